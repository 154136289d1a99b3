//! The control endpoints under `/sandbox`: JSON in, JSON out, no authentication.

use std::time::Duration;

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{Executed, Faults, Requests, Sandbox, server};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Latency {
    ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    secret: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hold {
    answers: bool,
}

/// The control endpoints, and the vendors at every other path.
pub(super) fn router(sandbox: Sandbox) -> Router {
    Router::new()
        .route("/sandbox/executed", get(executed))
        .route("/sandbox/requests", get(requests))
        .route("/sandbox/held", get(held))
        .route("/sandbox/faults", post(faults))
        .route("/sandbox/advance", post(advance))
        .route("/sandbox/latency", post(latency))
        .route("/sandbox/secret", post(secret))
        .route("/sandbox/reset", post(reset))
        .route("/sandbox/hold", post(hold))
        .route("/sandbox/twilio", post(twilio))
        .route("/sandbox/resend", post(resend))
        .fallback(server::vendor)
        .with_state(sandbox)
}

async fn executed(State(sandbox): State<Sandbox>) -> Json<Executed> {
    Json(sandbox.executed())
}

async fn requests(State(sandbox): State<Sandbox>) -> Json<Requests> {
    Json(sandbox.requests())
}

async fn held(State(sandbox): State<Sandbox>) -> Response {
    Json(json!({"held": sandbox.held()})).into_response()
}

async fn faults(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    order(&body, |faults: Faults| sandbox.set_faults(faults).map_err(|error| error.to_string()))
}

async fn advance(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    order(&body, |order: Advance| {
        sandbox.advance(Duration::from_secs(order.seconds));
        Ok(())
    })
}

async fn latency(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    order(&body, |order: Latency| {
        sandbox.set_latency(Duration::from_millis(order.ms));
        Ok(())
    })
}

async fn secret(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    order(&body, |order: Secret| {
        sandbox.set_secret(order.secret);
        Ok(())
    })
}

async fn reset(State(sandbox): State<Sandbox>) -> Response {
    sandbox.reset();
    done()
}

async fn hold(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    order(&body, |order: Hold| {
        sandbox.hold(order.answers);
        Ok(())
    })
}

async fn twilio(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    order(&body, |order| {
        sandbox.set_twilio(changed(&sandbox.twilio(), order)?);
        Ok(())
    })
}

async fn resend(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    order(&body, |order| {
        sandbox.set_resend(changed(&sandbox.resend(), order)?);
        Ok(())
    })
}

/// The settings with those that the order names in place of the old ones.
fn changed<T: Serialize + DeserializeOwned>(
    settings: &T,
    order: Map<String, Value>,
) -> Result<T, String> {
    let mut all = serde_json::to_value(settings).map_err(|error| error.to_string())?;
    if let Value::Object(all) = &mut all {
        all.extend(order);
    }
    serde_json::from_value(all).map_err(|error| error.to_string())
}

/// Reads an order and carries it out; a field that is not known is a mistake of the test.
fn order<T: DeserializeOwned>(
    body: &[u8],
    carry_out: impl FnOnce(T) -> Result<(), String>,
) -> Response {
    let order = serde_json::from_slice(body).map_err(|error| error.to_string());
    match order.and_then(carry_out) {
        Ok(()) => done(),
        Err(message) => (StatusCode::BAD_REQUEST, Json(json!({"error": message}))).into_response(),
    }
}

fn done() -> Response {
    Json(json!({"ok": true})).into_response()
}
