//! Azure Functions' custom handler: the host posts an activity's input to `/{FunctionName}` on
//! loopback, in its own envelope.
//!
//! A failure loses its body on the way to the orchestrator, and a retry policy can't leave one out.
//! So what no retry mends is a *value*, `{"ok": false, "code": …}`; only what a retry may mend is an
//! HTTP error.

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use keybrake_client::Failure;
use serde_json::{Value, json};

use crate::{
    activities::{Activities, Activity},
    plain::{failed, succeeded},
    server::{LARGEST_BODY, body_of},
};

/// The input is a JSON text that was serialized again on its way, up to so often.
const WRAPPED: usize = 3;

/// The routes. Whoever asks is the host: nobody else reaches its loopback.
pub fn routes(activities: Activities) -> Router {
    Router::new()
        // The host waits for any answer here.
        .route("/", get(|| async { "keybrake" }))
        .route("/{function}", post(function))
        .with_state(activities)
}

async fn function(
    State(activities): State<Activities>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let (_, body) = match body_of(request).await {
        Ok(request) => request,
        // The same input is as large the next time.
        Err(refused) if refused.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let problem = format!("is over {LARGEST_BODY} bytes, or broke off");
            return value(&failed(&Failure::invalid_input("body", problem)));
        }
        Err(refused) => return refused,
    };
    let Some(activity) = Activity::named(&name) else {
        let names: Vec<_> = Activity::ALL.iter().map(|(_, _, azure)| *azure).collect();
        let message = format!(
            "this worker has no function {name:?}; it has {}; nothing was sent",
            names.join(", ")
        );
        return (StatusCode::NOT_FOUND, Json(json!({"message": message}))).into_response();
    };
    let Some(envelope) = serde_json::from_slice(&body).ok().and_then(|body| Envelope::read(&body))
    else {
        let failure =
            Failure::invalid_input("body", "is not the host's envelope with one Data member");
        return value(&failed(&failure));
    };
    match activities.run(activity, envelope.instance.as_deref(), envelope.input).await {
        Ok(done) => value(&succeeded(done)),
        Err(failure @ Failure::Terminal { .. }) => value(&failed(&failure)),
        Err(failure @ (Failure::Retryable { .. } | Failure::Unknown { .. })) => {
            let status =
                StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            let status =
                if status.is_server_error() { status } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, Json(json!({"message": failure.to_string()}))).into_response()
        }
    }
}

fn value(value: &Value) -> Response {
    Json(json!({"Outputs": {}, "Logs": [], "ReturnValue": value})).into_response()
}

/// What the host sends.
struct Envelope {
    instance: Option<String>,
    input: Value,
}

impl Envelope {
    fn read(body: &Value) -> Option<Self> {
        let data = body.get("Data")?.as_object()?;
        // The binding's name is the user's; an activity has one.
        let input = data.values().next().filter(|_| data.len() == 1)?;
        let instance = body.pointer("/Metadata/instanceId").and_then(Value::as_str);
        Some(Self { instance: instance.map(text_of), input: unwrapped(input.clone()) })
    }
}

/// The text inside of texts that are JSON themselves. A run may be called `42`, which is no number.
fn text_of(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..WRAPPED {
        let Ok(inner) = serde_json::from_str(&text) else {
            break;
        };
        text = inner;
    }
    text
}

/// The value inside of texts that are JSON themselves.
fn unwrapped(mut value: Value) -> Value {
    for _ in 0..WRAPPED {
        let Some(inner) = value.as_str().and_then(|text| serde_json::from_str(text).ok()) else {
            break;
        };
        value = inner;
    }
    value
}
