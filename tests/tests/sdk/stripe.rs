//! Stripe's SDKs, and what the product's pages print.

use keybrake_tests::{
    process::{self, Process},
    rig::Key,
    sdk::{self, Scene, Sdk},
};
use serde_json::json;

use crate::{denied, verdicts};

macro_rules! every_sdk {
    ($($claim:ident),+ $(,)?) => {
        in_python_and_node![$($claim),+];
        claims_with![node_by_prefix, Sdk::NodeByPrefix; $($claim),+];
    };
}

every_sdk![
    an_agents_calls_work_as_at_stripe,
    lists_are_paged_by_the_sdk,
    a_cap_hit_is_a_rate_limit_error_and_one_request,
    each_refusal_is_the_class_of_its_status_and_one_request,
    an_expired_key_is_an_authentication_error,
    a_revoked_key_is_an_authentication_error,
    the_same_key_again_is_one_charge_and_its_stored_answer,
    retries_over_a_lost_answer_are_one_charge,
    retries_under_the_sdks_own_key_are_one_charge,
    retries_over_a_lost_request_are_one_charge,
    a_saved_error_after_the_charge_ends_with_the_charges_answer,
    calls_without_a_callers_key_carry_the_sdks_own,
];

async fn an_agents_calls_work_as_at_stripe(sdk: Sdk) {
    let scene = Scene::start();
    let key = scene.issue(json!({})).await;
    scene.run_with(sdk, "payments", &key, &[]).await;
    let executed = scene.executed().await;
    let executed: Vec<_> = executed
        .iter()
        .map(|(endpoint, amount, status)| (endpoint.as_str(), *amount, status.as_str()))
        .collect();
    assert_eq!(
        executed,
        [
            ("POST /v1/payment_intents", 1250, "succeeded"),
            ("POST /v1/charges", 700, "succeeded"),
            ("POST /v1/refunds", 700, "succeeded"),
            ("POST /v1/refunds", 1250, "succeeded"),
        ]
    );
    assert_eq!(scene.spent(&key).await, "39.00");
    assert_eq!(verdicts(&scene).await, ["allowed"; 6]);
}

async fn lists_are_paged_by_the_sdk(sdk: Sdk) {
    let scene = Scene::start();
    let key = scene.issue(json!({})).await;
    scene.run_with(sdk, "lists", &key, &[]).await;
    assert_eq!(payments(&scene).await, [100; 15]);
    let rows = scene.calls("").await;
    let reads = rows.iter().filter(|row| row["method"] == "GET").count();
    assert_eq!((reads, rows.len()), (6, 21));
}

async fn a_cap_hit_is_a_rate_limit_error_and_one_request(sdk: Sdk) {
    let scene = Scene::start();
    let key = scene.issue(json!({ "total_usd_cap": 10 })).await;
    scene.run_with(sdk, "cap_hit", &key, &[]).await;
    assert_eq!(payments(&scene).await, [600]);
    assert_eq!(scene.count("received").await, 1);
    assert_eq!(denied(&scene).await, ["cap_exhausted"]);
}

async fn each_refusal_is_the_class_of_its_status_and_one_request(sdk: Sdk) {
    let scene = Scene::start();
    let allowed =
        json!({ "per_call_usd_cap": 20, "allowed_endpoints": ["POST /v1/payment_intents"] });
    let key = scene.issue(allowed).await;
    scene.run_with(sdk, "refusals", &key, &[]).await;
    assert_eq!(payments(&scene).await, [500]);
    assert_eq!(scene.count("received").await, 1);
    assert_eq!(
        denied(&scene).await,
        [
            "idempotency_key_reused",
            "endpoint_not_allowed",
            "per_call_cap_exceeded",
            "currency_not_priced",
            "invalid_amount",
            "invalid_amount",
            "invalid_amount",
            "invalid_amount",
        ]
    );
}

async fn an_expired_key_is_an_authentication_error(sdk: Sdk) {
    let scene = Scene::start();
    scene.run(sdk, "expired", &[]).await;
    assert_eq!(payments(&scene).await, [0; 0]);
    let rows = scene.calls("verdict=denied").await;
    let writes: Vec<_> = rows.iter().filter(|row| row["method"] == "POST").collect();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_eq!(writes[0]["code"], "key_expired");
}

async fn a_revoked_key_is_an_authentication_error(sdk: Sdk) {
    let scene = Scene::start();
    let key = scene.issue(json!({})).await;
    scene.run_with(sdk, "revoked", &key, &[]).await;
    assert_eq!(payments(&scene).await, [500]);
    assert_eq!(denied(&scene).await, ["key_revoked", "key_revoked"]);
}

async fn the_same_key_again_is_one_charge_and_its_stored_answer(sdk: Sdk) {
    let scene = Scene::start();
    let key = scene.issue(json!({})).await;
    scene.run_with(sdk, "repeated", &key, &[]).await;
    assert_eq!(payments(&scene).await, [500]);
    assert_eq!(scene.count("received").await, 1);
    assert_eq!(verdicts(&scene).await, ["allowed", "replayed"]);
}

async fn retries_over_a_lost_answer_are_one_charge(sdk: Sdk) {
    let (scene, key) = struck_once(sdk, "answer_lost", &[("IDEMPOTENCY_KEY", "lost-1")]).await;
    assert_is_one_payment(&scene, &key).await;
    assert_eq!(scene.calls("idempotency_key=lost-1").await[0]["state"], "settled");
}

async fn retries_under_the_sdks_own_key_are_one_charge(sdk: Sdk) {
    let (scene, key) = struck_once(sdk, "answer_lost", &[]).await;
    assert_is_one_payment(&scene, &key).await;
}

async fn retries_over_a_lost_request_are_one_charge(sdk: Sdk) {
    let (scene, key) = struck_once(sdk, "request_lost", &[]).await;
    assert_is_one_payment(&scene, &key).await;
}

async fn a_saved_error_after_the_charge_ends_with_the_charges_answer(sdk: Sdk) {
    let scene = Scene::start();
    let key = scene.issue(json!({})).await;
    let script = scene.run_with(sdk, "saved_error", &key, &[]);
    scene.strike_once("error_after_charge", script).await;
    assert_is_one_payment(&scene, &key).await;
}

async fn calls_without_a_callers_key_carry_the_sdks_own(sdk: Sdk) {
    let scene = Scene::start();
    let key = scene.issue(json!({})).await;
    scene.run_with(sdk, "without_keys", &key, &[]).await;
    assert_eq!(payments(&scene).await, [500, 500]);
    let rows = scene.calls("").await;
    let keys: Vec<_> = rows.iter().map(|row| row["idempotency_key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0], keys[1]);
    assert!(keys.iter().all(|key| !key.starts_with("kb-")), "{keys:?}");
}

#[tokio::test]
#[ignore = "needs the SDKs: run make test"]
async fn stripe_pythons_module_level_interface_works() {
    let scene = Scene::start();
    let key = scene.issue(json!({ "total_usd_cap": 10 })).await;
    scene.run_with(Sdk::Python, "module_level", &key, &[]).await;
    assert_eq!(payments(&scene).await, [600]);
    assert_eq!(verdicts(&scene).await, ["allowed", "replayed", "allowed", "allowed", "denied"]);
}

#[tokio::test]
#[ignore = "needs the SDKs: run make test"]
async fn an_idempotency_key_among_nodes_parameters_is_lifted() {
    for sdk in [Sdk::Node, Sdk::NodeByPrefix] {
        let scene = Scene::start();
        let key = scene.issue(json!({})).await;
        scene.run_with(sdk, "key_among_params", &key, &[]).await;
        assert_eq!(payments(&scene).await, [500]);
        let rows = scene.calls("idempotency_key=inv_1-cus_1").await;
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert_eq!(verdicts(&scene).await, ["allowed", "replayed"]);
    }
}

#[tokio::test]
#[ignore = "needs the SDKs: run make test"]
async fn a_vendor_that_ignores_idempotency_keys_is_charged_once() {
    let scene = Scene::before(localstripe());
    let key = scene.issue(json!({})).await;
    let script = "before_localstripe";
    scene.run_with(Sdk::Python, script, &key, &[]).await;
    assert_eq!(verdicts(&scene).await, ["allowed", "replayed"]);
    assert_eq!(scene.spent(&key).await, "5.00");
}

#[tokio::test]
#[ignore = "needs the SDKs: run make test"]
async fn the_restate_guides_requests_work_as_printed() {
    for sdk in [Sdk::Node, Sdk::NodeByPrefix] {
        let scene = Scene::start();
        scene.run(sdk, "page_restate", &[]).await;
        assert_is_two_of_three(&scene, "restate/billing/inv_1aiqX0vFEFNH1Umgre58JiCLgHfTtztYK5")
            .await;
    }
}

#[tokio::test]
#[ignore = "needs the SDKs: run make test"]
async fn the_step_functions_guides_requests_work_as_printed() {
    let execution = "arn:aws:states:us-east-1:123456789012:execution:billing:0f3c1a5e-8f0a-4c57-9d5b-8c1b3f8f2f61";
    let scene = Scene::start();
    let variables = [("LABEL", execution), ("RUN", execution)];
    scene.run(Sdk::Node, "page_fetch", &variables).await;
    assert_is_two_of_three(&scene, execution).await;
}

#[tokio::test]
#[ignore = "needs the SDKs: run make test"]
async fn the_durable_functions_guides_requests_work_as_printed() {
    let (label, instance) =
        ("azure-durable/5f1c9a0e0d5b4b0f8f6e0c3a2b1d4e7f", "5f1c9a0e0d5b4b0f8f6e0c3a2b1d4e7f");
    let scene = Scene::start();
    let variables = [("LABEL", label), ("RUN", instance)];
    scene.run(Sdk::Node, "page_fetch", &variables).await;
    assert_is_two_of_three(&scene, label).await;
}

#[tokio::test]
#[ignore = "needs the SDKs: run make test"]
async fn the_inngest_guides_requests_work_as_printed() {
    for sdk in [Sdk::Node, Sdk::NodeByPrefix] {
        let scene = Scene::start();
        scene.run(sdk, "page_inngest", &[]).await;
        assert_eq!(payments(&scene).await, [9000; 3]);
        let label =
            "agent_run_label=inngest/billing/subscription.process/01HX9Z7Y3K5M8N2P4Q6R8S0T2V";
        assert_eq!(scene.calls(label).await.len(), 6);
        assert_eq!(verdicts(&scene).await, [["allowed"; 3], ["replayed"; 3]].concat());
    }
}

#[tokio::test]
#[ignore = "needs the SDKs: run make test"]
async fn the_ray_guides_requests_work_as_printed() {
    let scene = Scene::start();
    scene.run(Sdk::Python, "page_ray", &[]).await;
    let executed = scene.executed().await;
    let charges: Vec<_> =
        executed.iter().filter(|(endpoint, ..)| endpoint == "POST /v1/charges").collect();
    assert_eq!(charges.len(), 1, "{charges:?}");
    assert_eq!(charges[0].1, 2999);
    assert_eq!(verdicts(&scene).await, ["allowed", "replayed", "denied", "denied"]);
}

/// Pays once by a script while a fault strikes once.
async fn struck_once(sdk: Sdk, fault: &str, variables: &[(&str, &str)]) -> (Scene, Key) {
    let scene = Scene::start();
    let key = scene.issue(json!({})).await;
    let variables = [variables, &[("RETRIES", "5")]].concat();
    let script = scene.run_with(sdk, "pay_once", &key, &variables);
    scene.strike_once(fault, script).await;
    (scene, key)
}

async fn assert_is_one_payment(scene: &Scene, key: &Key) {
    assert_eq!(payments(scene).await, [500]);
    assert_eq!(scene.spent(key).await, "5.00");
}

/// Of a run's four calls one was replayed, and one had no room under the cap.
async fn assert_is_two_of_three(scene: &Scene, label: &str) {
    assert_eq!(payments(scene).await, [2000, 2000]);
    assert_eq!(verdicts(scene).await, ["allowed", "allowed", "replayed", "denied"]);
    assert_eq!(denied(scene).await, ["cap_exhausted"]);
    let rows = scene.calls(&format!("agent_run_label={label}")).await;
    assert_eq!(rows.len(), 4, "{rows:?}");
}

/// The amounts of the PaymentIntents that the vendor made, in cents.
async fn payments(scene: &Scene) -> Vec<u64> {
    let executed = scene.executed().await;
    let payment = |endpoint: &str| endpoint == "POST /v1/payment_intents";
    executed
        .into_iter()
        .filter(|(endpoint, ..)| payment(endpoint))
        .map(|(_, amount, _)| amount)
        .collect()
}

/// A fake of Stripe that this project did not write.
fn localstripe() -> Process {
    let port = process::free_port();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/sdk/python/localstripe_server.py");
    let mut command = std::process::Command::new(sdk::python());
    command.arg(script).arg(port.to_string());
    process::started(command, port, "/js.stripe.com/v3/")
}
