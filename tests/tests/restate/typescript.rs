//! The example for TypeScript: built and run as a user would, with the real SDKs.

use keybrake_tests::examples;
use serde_json::json;

use crate::{Bench, charged, charges};

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_run_both_ways_under_their_caps() {
    let bench = Bench::start().await;
    let example = examples::typescript("restate-typescript", &bench.rig.url, &[]);
    bench.engine.register(&example.url).await;
    let charges = charges(&bench.rig, 20).await;
    let customers: Vec<_> = charges
        .iter()
        .map(|charge| json!({"id": charge["customer"], "amountCents": 100, "paymentMethod": "pm_card_visa"}))
        .collect();

    let itself = bench
        .engine
        .call("tsBilling/chargeCustomers", &json!({"customers": customers, "budgetUsd": 5}))
        .await;
    let by_name = bench
        .engine
        .call("tsBillingByName/chargeCustomers", &json!({"charges": charges, "budgetUsd": 7}))
        .await;

    assert_eq!(itself.body, json!({"charged": 5, "capped": 15, "failed": 0}));
    assert_eq!(by_name.body, json!({"charged": 7, "capped": 13, "failed": 0}));
    assert_eq!(charged(&bench.rig), 12);
    // None of those that the cap stopped was tried again.
    assert_eq!(bench.rig.calls("verdict=denied").await.len(), 28);
}
