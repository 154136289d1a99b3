//! The virtual object: one charge per customer and period.

use keybrake::sandbox::Faults;
use serde_json::{Value, json};

use crate::{Bench, charged, charges, report};

async fn customer(bench: &Bench) -> String {
    charges(&bench.rig, 1).await[0]["customer"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_is_charged_once_and_the_next_one_again() {
    let bench = Bench::start().await;
    let charge = format!("CustomerBilling/{}/charge", customer(&bench).await);
    let (november, december) = (
        json!({"period": "2026-11", "amount": 1_905}),
        json!({"period": "2026-12", "amount": 1_905}),
    );

    let first = bench.engine.call(&charge, &november).await;
    let again = bench.engine.call(&charge, &november).await;
    let next = bench.engine.call(&charge, &december).await;

    assert_eq!(
        (first.status, &first.body["already_charged"]),
        (200, &json!(false)),
        "{:?}",
        first.body
    );
    assert_eq!(
        (&again.body["already_charged"], &again.body["id"]),
        (&json!(true), &first.body["id"])
    );
    assert_ne!(next.body["id"], first.body["id"]);
    assert_eq!((charged(&bench.rig), bench.rig.vendor_total()), (2, 3_810));
    let charged = charge.replace("/charge", "/charged");
    let kept = bench.engine.call(&charged, &json!({"period": "2026-11"})).await;
    assert_eq!(kept.body["id"], first.body["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_objects_key_is_in_the_runs_label_and_its_vault_key_is_revoked() {
    let bench = Bench::start().await;
    let customer = customer(&bench).await;
    let input = json!({"period": "2026-11", "amount": 100});
    bench.engine.call(&format!("CustomerBilling/{customer}/charge"), &input).await;

    let row = &bench.rig.calls("").await[0];
    let label = row["agent_run_label"].as_str().unwrap();
    assert!(label.starts_with(&format!("restate/CustomerBilling/{customer}/inv_")), "{label}");
    let key = &bench.keys(label).await[0];
    assert_eq!((&key["state"], &key["total_usd_cap"]), (&json!("revoked"), &json!("1.00")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decline_is_final_for_its_attempt_and_not_for_the_period() {
    let bench = Bench::start().await;
    let charge = format!("CustomerBilling/{}/charge", customer(&bench).await);
    let input = json!({"period": "2026-11", "amount": 100});
    bench.rig.sandbox.set_faults(Faults { declined: 1_000_000, ..Faults::default() }).unwrap();

    let declined = bench.engine.call(&charge, &input).await;
    let said: Value = report(&declined.body["message"]);
    assert_eq!((declined.status, &said["error"]), (402, &json!("VendorDeclined")), "{said}");

    bench.rig.sandbox.set_faults(Faults::default()).unwrap();
    let paid = bench.engine.call(&charge, &input).await;
    assert_eq!((paid.status, &paid.body["status"]), (200, &json!("succeeded")), "{:?}", paid.body);
}
