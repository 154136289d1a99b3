//! Runs that are stopped: by a revocation, or by cancelling the invocation.

use keybrake_tests::rig::{eventually, read};
use serde_json::json;

use crate::{Bench, charged, charges};

#[tokio::test(flavor = "multi_thread")]
async fn children_after_a_revocation_end_as_key_revoked_and_the_parent_reports_it() {
    let bench = Bench::start().await;
    let customers = charges(&bench.rig, 40).await;
    bench.rig.sandbox.set_latency(std::time::Duration::from_millis(300));
    let input = json!({"plan_id": "pro", "budget_usd": 100, "customers": customers});
    let run = bench.engine.send("Billing/chargeCustomers", &input).await;

    bench.executed(1).await;
    let label = format!("restate/Billing/{run}");
    let revoked = read(bench.rig.admin("DELETE", &format!("/runs?label={label}"))).await;
    assert_eq!(revoked.status, 200, "{:?}", revoked.body);

    let ended = bench.engine.attach(&run).await;
    assert_eq!(ended.status, 200, "{:?}", ended.body);
    let summary = &ended.body["summary"];
    let (paid, stopped) = (&summary["charged"], &summary["codes"]["key_revoked"]);
    assert_eq!(paid.as_u64().unwrap() + stopped.as_u64().unwrap_or(0), 40, "{summary}");
    assert_eq!(json!(charged(&bench.rig)), *paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_has_its_key_revoked() {
    let bench = Bench::start().await;
    let customers = charges(&bench.rig, 10).await;
    bench.rig.sandbox.hold(true);
    let input = json!({"plan_id": "pro", "budget_usd": 100, "customers": customers});
    let run = bench.engine.send("Billing/chargeCustomers", &input).await;
    bench.executed(1).await;

    bench.engine.end("cancel", &run).await;
    bench.rig.sandbox.hold(false);

    let ended = bench.engine.attach(&run).await;
    assert_eq!(ended.status, 409, "{:?}", ended.body);
    let label = format!("restate/Billing/{run}");
    assert_eq!(bench.keys(&label).await[0]["state"], "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_while_its_key_is_issued_leaves_no_live_key() {
    let mut bench = Bench::start().await;
    bench.rig.stop_proxy().await;
    let input = json!({"plan_id": "pro", "budget_usd": 100, "customers": []});
    let run = bench.engine.send("Billing/chargeCustomers", &input).await;
    eventually("the issue step is retried", || async {
        let sql = format!(
            "select retry_count from sys_invocation where id = '{run}' and retry_count > 1"
        );
        (!bench.engine.query(&sql).await.is_empty()).then_some(())
    })
    .await;

    bench.engine.end("cancel", &run).await;
    bench.rig.start_proxy().await;

    let ended = bench.engine.attach(&run).await;
    assert_eq!(ended.status, 409, "{:?}", ended.body);
    for key in bench.keys(&format!("restate/Billing/{run}")).await {
        assert_eq!(key["state"], "revoked", "{key}");
    }
}
