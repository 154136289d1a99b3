//! Runs that are stopped: by a revocation, or by cancelling the invocation.

use std::sync::Arc;

use keybrake_tests::{process, restate::worker, rig::read};
use serde_json::json;
use tokio::sync::Notify;

use crate::{Bench, charged, charges, front};

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
    let bench = Bench::start().await;
    // The key is issued, and its name is on the way to the worker while the run is cancelled.
    let (issued, cancelled) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let hold: front::Then = {
        let (issued, cancelled) = (Arc::clone(&issued), Arc::clone(&cancelled));
        Arc::new(move || {
            let (issued, cancelled) = (Arc::clone(&issued), Arc::clone(&cancelled));
            Box::pin(async move {
                issued.notify_one();
                cancelled.notified().await;
                // For the next answer, that of the repeated issue.
                cancelled.notify_one();
            })
        })
    };
    let slow = front::start(process::free_port(), &bench.rig.url, "/vault/keys", hold).await;
    let worker = worker(&slow, &[]);
    bench.engine.register(&worker.url).await;
    let input = json!({"plan_id": "pro", "budget_usd": 100, "customers": []});
    let run = bench.engine.send("Billing/chargeCustomers", &input).await;

    issued.notified().await;
    bench.engine.end("cancel", &run).await;
    cancelled.notify_one();

    let ended = bench.engine.attach(&run).await;
    assert_eq!(ended.status, 409, "{:?}", ended.body);
    let keys = bench.keys(&format!("restate/Billing/{run}")).await;
    let states: Vec<_> = keys.iter().map(|key| &key["state"]).collect();
    assert_eq!(states, ["revoked"]);
}
