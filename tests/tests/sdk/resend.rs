//! Resend's SDKs. Node's never throws: whatever is refused is in what it returns.

use keybrake_tests::sdk::{Scene, Sdk};
use serde_json::{Value, json};

use crate::{refusals::Refused, verdicts};

in_python_and_node![
    mails_and_batches_work_as_at_resend,
    the_same_key_again_is_one_mail_and_its_stored_answer,
    a_retry_over_a_lost_answer_is_one_mail,
    a_cap_hit_is_the_sdks_error_and_one_request,
    an_endpoint_that_is_not_allowed_is_the_sdks_error,
    an_expired_key_is_the_sdks_error,
    a_revoked_key_is_the_sdks_error,
];

fn key() -> Value {
    json!({
        "vendor": "resend",
        "allowed_endpoints": ["POST /emails", "POST /emails/*", "PATCH /emails/{id}", "GET /*"],
    })
}

async fn mails_and_batches_work_as_at_resend(sdk: Sdk) {
    let scene = Scene::start();
    let key = scene.issue(key()).await;
    scene.run_with(sdk, "resend_paid", &key, &[]).await;
    let executed = scene.executed_at("resend").await;
    assert_eq!((&executed["mails"], &executed["recipients"]), (&json!(4), &json!(6)), "{executed}");
    assert_eq!(scene.spent(&key).await, "0.0054");
    assert_eq!(verdicts(&scene).await, ["allowed"; 7]);
}

async fn the_same_key_again_is_one_mail_and_its_stored_answer(sdk: Sdk) {
    let scene = Scene::start();
    let key = scene.issue(key()).await;
    scene.run_with(sdk, "resend_repeated", &key, &[]).await;
    assert_eq!(scene.executed_at("resend").await["mails"], 1);
    assert_eq!(scene.count("received").await, 1);
    assert_eq!(verdicts(&scene).await, ["allowed", "replayed", "denied"]);
}

async fn a_retry_over_a_lost_answer_is_one_mail(sdk: Sdk) {
    let scene = Scene::start();
    let key = scene.issue(key()).await;
    let script = scene.run_with(sdk, "resend_retried", &key, &[]);
    scene.strike_once("answer_lost", script).await;
    assert_eq!(scene.executed_at("resend").await["mails"], 1);
    assert_eq!(scene.spent(&key).await, "0.0009");
    assert_eq!(scene.calls("state=settled").await.len(), 1);
}

/// A mail costs 0.0009 dollars.
fn refused() -> Refused<'static> {
    Refused {
        script: "resend_refused",
        key: key(),
        cap: "0.001",
        counted: "by_endpoint/POST ~1emails",
    }
}

async fn a_cap_hit_is_the_sdks_error_and_one_request(sdk: Sdk) {
    refused().by_the_cap(sdk).await;
}

async fn an_endpoint_that_is_not_allowed_is_the_sdks_error(sdk: Sdk) {
    refused().by_the_allowlist(sdk).await;
}

async fn an_expired_key_is_the_sdks_error(sdk: Sdk) {
    refused().by_the_expiry(sdk).await;
}

async fn a_revoked_key_is_the_sdks_error(sdk: Sdk) {
    refused().by_a_revocation(sdk).await;
}
