//! Who may do what: the roles, their bounds, and what somebody with one credential does not get.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that can't go on fails"
)]

mod attackers;
mod bounds;
mod budgets;
mod export;
mod handles;
mod million;
mod policies;
mod reports;
mod roles;
mod runs;

use keybrake_tests::rig::{Answer, Key, Rig, read};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

/// Creates an API key with a role and bounds, and gives its token.
async fn api_key(rig: &Rig, role: &str, bounds: Value) -> String {
    let created = try_api_key(rig, role, bounds).await;
    assert_eq!(created.status, 201, "{:?}", created.body);
    created.text("/api_key").to_owned()
}

async fn try_api_key(rig: &Rig, role: &str, bounds: Value) -> Answer {
    let mut body = json!({"name": format!("the {role}'s"), "role": role});
    body.as_object_mut().unwrap().extend(bounds.as_object().unwrap().clone());
    read(rig.admin("POST", "/admin/api_keys").json(&body)).await
}

/// A request with this credential.
fn with(rig: &Rig, credential: &str, method: &str, path: &str) -> RequestBuilder {
    rig.http.request(method.parse().unwrap(), format!("{}{path}", rig.url)).bearer_auth(credential)
}

/// What an issue request asks for.
fn order(more: &Value) -> Value {
    let mut body = json!({
        "vendor": "stripe", "total_usd_cap": "5", "expires_in": "1h", "agent_run_label": "a/1",
        "allowed_endpoints": ["POST /v1/charges", "POST /v1/payment_intents", "GET /*"],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    body
}

async fn issue_with(rig: &Rig, credential: &str, more: Value) -> Answer {
    read(with(rig, credential, "POST", "/vault/keys").json(&order(&more))).await
}

/// A charge of one dollar as a vault key that is named.
async fn charge_as(rig: &Rig, credential: &str, key_id: &str, idempotency_key: &str) -> Answer {
    let request = with(rig, credential, "POST", "/stripe/v1/charges")
        .header("x-keybrake-key-id", key_id)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("idempotency-key", idempotency_key)
        .body("amount=100&currency=usd&source=tok_visa");
    read(request).await
}

/// A key for audit rows of labels that begin so.
async fn audit_key(rig: &Rig, prefix: &str) -> Key {
    let body = json!({"scope": "audit", "expires_in": "1h", "agent_run_label": prefix});
    let answer = read(rig.admin("POST", "/vault/keys").json(&body)).await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    let text = |pointer: &str| answer.text(pointer).to_owned();
    Key { id: text("/key_id"), token: text("/vault_key"), body: answer.body.clone() }
}
