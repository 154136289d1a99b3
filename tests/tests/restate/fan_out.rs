//! Many children on one key.

use std::sync::Arc;

use keybrake_tests::{process, restate::worker, rig::eventually};
use serde_json::{Value, json};

use crate::{Bench, charged, charges, front};

#[tokio::test(flavor = "multi_thread")]
async fn of_five_hundred_children_on_100_dollars_100_are_charged_and_400_end_at_once() {
    let bench = Bench::start().await;
    let customers = charges(&bench.rig, 500).await;

    let input = json!({"plan_id": "pro", "budget_usd": 100, "customers": customers});
    let ended = bench.engine.call("Billing/chargeCustomers", &input).await;

    assert_eq!(ended.status, 200, "{:?}", ended.body);
    let summary = &ended.body["summary"];
    assert_eq!((&summary["charged"], &summary["charged_amount"]), (&json!(100), &json!(10_000)));
    assert_eq!(summary["codes"], json!({"cap_exhausted": 400}));
    assert_eq!(ended.body["revoked"]["spent_usd"], json!("100.00"));
    assert_eq!((charged(&bench.rig), bench.rig.vendor_total()), (100, 10_000));
    // One row for each child: what ended at the cap was not asked again.
    let label = ended.text("/agent_run_label");
    let rows = bench.rig.calls(&format!("agent_run_label={label}")).await;
    let of = |code: &str| rows.iter().filter(|row| row["code"] == code).count();
    assert_eq!(of("cap_exhausted"), 400, "{rows:?}");
    assert_eq!(bench.keys(label).await[0]["state"], "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_child_of_a_one_way_fan_out_revokes_the_key() {
    let bench = Bench::start().await;
    let customers = charges(&bench.rig, 30).await;

    let input = json!({"plan_id": "pro", "budget_usd": "10", "customers": customers});
    let sent = bench.engine.call("Billing/sendCharges", &input).await;
    assert_eq!((sent.status, &sent.body["charges"]), (200, &json!(30)), "{:?}", sent.body);

    let label = sent.text("/agent_run_label").replace('/', "%2F");
    let progress: Value = eventually("the last child has ended", || async {
        let answer = bench.engine.call(&format!("FanOut/{label}/summary"), &Value::Null).await;
        (answer.body["revoked"] == true).then_some(answer.body)
    })
    .await;
    assert_eq!(progress["summary"]["charged"], 10, "{progress}");
    assert_eq!(progress["summary"]["codes"], json!({"cap_exhausted": 20}));
    assert_eq!(charged(&bench.rig), 10);
    assert_eq!(bench.keys(sent.text("/agent_run_label")).await[0]["state"], "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_are_fetched_from_the_users_own_api() {
    let bench = Bench::start().await;
    let customer = charges(&bench.rig, 1).await[0]["customer"].clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/customers", listener.local_addr().unwrap());
    let listed = json!([{"id": customer, "amountCents": 250}]);
    let api = axum::Router::new().route(
        "/customers",
        axum::routing::get(move |uri: axum::http::Uri| async move {
            assert_eq!(uri.query(), Some("plan_id=pro"));
            axum::Json(listed)
        }),
    );
    tokio::spawn(async move { axum::serve(listener, api).await.unwrap() });
    let worker = worker(&bench.rig.url, &[("KEYBRAKE_CUSTOMERS_URL", &url)]);
    bench.engine.register(&worker.url).await;

    let input = json!({"plan_id": "pro", "budget_usd": 100});
    let ended = bench.engine.call("Billing/chargeCustomers", &input).await;

    assert_eq!(ended.body["summary"]["charged_amount"], 250, "{:?}", ended.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_down_for_a_while_is_asked_again_and_nothing_happens_twice() {
    let bench = Bench::start().await;
    let customers = charges(&bench.rig, 20).await;
    // Keys are issued, and where calls go nobody listens.
    let port = process::free_port();
    let calls_go_to = format!("http://127.0.0.1:{port}");
    let worker = worker(&calls_go_to, &[("KEYBRAKE_ADMIN_URL", &bench.rig.url)]);
    bench.engine.register(&worker.url).await;
    let input = json!({"plan_id": "pro", "budget_usd": 100, "customers": customers});
    let run = bench.engine.send("Billing/chargeCustomers", &input).await;
    eventually("all children have asked in vain, more than once", || async {
        let sql = "select id from sys_invocation where target_service_name = 'ChargeOne' and retry_count > 1";
        (bench.engine.query(sql).await.len() == 20).then_some(())
    })
    .await;
    assert_eq!(charged(&bench.rig), 0);

    front::start(port, &bench.rig.url, "", &Arc::default()).await;

    let ended = bench.engine.attach(&run).await;
    assert_eq!(ended.body["summary"]["charged"], 20, "{:?}", ended.body);
    assert_eq!(charged(&bench.rig), 20);
}
