//! Orchestrators in Python.

use keybrake_tests::durable;
use serde_json::json;

use crate::{Bench, calls, charged, issued};

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_charges_under_40_dollars_40_are_made_and_60_are_tried_once() {
    let bench = Bench::start().await;

    let ended = durable::printed(bench.example(100, 40).await).await;

    assert_eq!(ended["summary"], json!({"charged": 40, "cap_exhausted": 60}), "{ended}");
    assert_eq!(ended["spent_usd"], "40.00");
    assert_eq!((charged(&bench.rig), bench.rig.vendor_total()), (40, 4_000));
    assert_eq!((calls(&bench.rig, "allowed").await, calls(&bench.rig, "denied").await), (40, 60));
    assert_eq!(issued(&bench.rig).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_reaches_the_orchestrator_with_its_type_and_its_code() {
    let bench = Bench::start().await;
    let order = bench.order(10, 4).await;

    let ended = bench.orchestrate("by_type", &order).await;

    assert_eq!((&ended["charged"], &ended["types"]), (&json!(4), &json!({"CapExhausted": 6})));
    assert_eq!(ended["codes"], json!({"cap_exhausted": 6}));
    assert_eq!(charged(&bench.rig), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thin_activity_over_http_charges_40_of_a_hundred_and_tries_each_once() {
    let bench = Bench::start().await;
    let order = bench.order(100, 40).await;

    let ended = bench.orchestrate("thin", &order).await;

    assert_eq!((&ended["charged"], &ended["codes"]), (&json!(40), &json!({"cap_exhausted": 60})));
    assert_eq!(ended["most_tries"], 1);
    assert_eq!((charged(&bench.rig), bench.rig.vendor_total()), (40, 4_000));
    assert_eq!((calls(&bench.rig, "denied").await, issued(&bench.rig).await), (60, 1));
}
