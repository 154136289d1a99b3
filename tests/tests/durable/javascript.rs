//! Orchestrators in JavaScript: Microsoft's in-memory backend, and `durable-functions` driven by a
//! stand-in for Azure's host.

use keybrake::sandbox::{Faults, Settings};
use keybrake_tests::{
    durable,
    rig::{Rig, eventually},
    sdk,
};
use serde_json::{Value, json};

use crate::{calls, charged, issued};

async fn in_memory(rig: &Rig, way: &str, worker: &str) -> Value {
    let customers = durable::customers(&rig.vendor_url, 100).await;
    let order = json!({"budget_usd": 40, "customers": customers}).to_string();
    let mut command = tokio::process::Command::new("node");
    command
        .arg(durable::file("tests/durable/in_memory.mjs"))
        .args([way, worker, "js-run-1", &order])
        .env("PACKAGES", std::fs::canonicalize(sdk::tool("durable-node")).unwrap());
    durable::printed(command).await
}

/// The example in TypeScript on the stand-in, with its thin activities.
async fn hosted(rig: &Rig, order: &Value, events: &[&str]) -> Value {
    let worker = durable::worker(&rig.url, &["--token", "worker-token"], &[]);
    let app = sdk::tool("durable-functions-typescript").join("dist");
    let mut command = tokio::process::Command::new("node");
    command
        .arg(durable::file("tests/durable/host.cjs"))
        .arg(app)
        .args(["df-run-1", &order.to_string()])
        .args(events)
        .env("KEYBRAKE_WORKER_URL", &worker.url)
        .env("KEYBRAKE_WORKER_TOKEN", "worker-token");
    durable::printed(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn through_azures_envelope_40_of_a_hundred_are_charged_and_each_is_tried_once() {
    let rig = Rig::start(Settings::default()).await;
    let handler = durable::custom_handler(&rig.url);

    let ended = in_memory(&rig, "azure", &handler.url).await;

    assert_eq!((&ended["charged"], &ended["codes"]), (&json!(40), &json!({"cap_exhausted": 60})));
    assert_eq!((&ended["most_attempts"], &ended["spent_usd"]), (&json!(1), &json!("40.00")));
    assert_eq!(
        ended["calls"],
        json!({"IssueVaultKey": 1, "ChargeCustomer": 100, "RevokeVaultKey": 1})
    );
    assert_eq!((charged(&rig), rig.vendor_total(), issued(&rig).await), (40, 4_000, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_the_retry_policy_leaves_out_is_tried_once() {
    let rig = Rig::start(Settings::default()).await;
    let worker = durable::worker(&rig.url, &[], &[]);

    let ended = in_memory(&rig, "throwing", &worker.url).await;

    assert_eq!((&ended["charged"], &ended["codes"]), (&json!(40), &json!({"CapExhausted": 60})));
    assert_eq!(ended["most_attempts"], 1);
    assert_eq!((charged(&rig), calls(&rig, "denied").await), (40, 60));
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_functions_tries_capped_items_once_since_they_are_values() {
    let rig = Rig::start(Settings::default()).await;
    let order =
        json!({"budget_usd": 40, "customers": durable::customers(&rig.vendor_url, 100).await});

    let ended = hosted(&rig, &order, &[]).await;

    let output = &ended["output"];
    assert_eq!((&output["charged"], &output["codes"]), (&json!(40), &json!({"cap_exhausted": 60})));
    assert_eq!(
        ended["calls"],
        json!({"IssueVaultKey": 1, "ChargeCustomer": 100, "RevokeVaultKey": 1})
    );
    assert_eq!((charged(&rig), rig.vendor_total(), issued(&rig).await), (40, 4_000, 1));
    assert_eq!(output["agent_run_label"], "azure-durable/df-run-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_phase_after_an_external_event_goes_on_with_the_first_ones_budget() {
    let rig = Rig::start(Settings::default()).await;
    let (first, second) = (
        durable::customers(&rig.vendor_url, 6).await,
        durable::customers(&rig.vendor_url, 6).await,
    );
    let order = json!({"budget_usd": 10, "customers": first, "after_approval": second});

    let ended = hosted(&rig, &order, &["approved"]).await;

    assert_eq!(ended["at_event"], json!({"IssueVaultKey": 1, "ChargeCustomer": 6}));
    let output = &ended["output"];
    assert_eq!((&output["charged"], &output["codes"]), (&json!(10), &json!({"cap_exhausted": 2})));
    assert_eq!((charged(&rig), &output["spent_usd"]), (10, &json!("10.00")));
    assert_eq!((issued(&rig).await, &ended["calls"]["RefreshVaultKey"]), (1, &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_durable_functions_retries_after_a_lost_answer_is_one_charge() {
    let rig = Rig::start(Settings::default()).await;
    let order =
        json!({"budget_usd": 40, "customers": durable::customers(&rig.vendor_url, 20).await});
    rig.sandbox.set_faults(Faults { answer_lost: 1_000_000, ..Faults::default() }).unwrap();
    let struck = async {
        let lost = || rig.sandbox.requests().faults["answer_lost"];
        eventually("an answer is lost", || async { (lost() > 0).then_some(()) }).await;
        rig.sandbox.set_faults(Faults::default()).unwrap();
    };

    let (ended, ()) = tokio::join!(hosted(&rig, &order, &[]), struck);

    let tries: Vec<_> = ended["tries"].as_object().unwrap().values().collect();
    assert!(tries.iter().any(|tries| tries.as_u64() > Some(1)), "none was tried again: {ended}");
    assert_eq!((&ended["output"]["charged"], charged(&rig)), (&json!(20), 20), "{ended}");
}
