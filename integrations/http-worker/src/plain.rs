//! Plain JSON: `POST /activities/{name}`, for an engine's own HTTP call, a cron job, anything.
//!
//! A failure that no retry mends is a *value*: 200 with `{"ok": false, "code": …}`, since many
//! engines retry what is not 2xx and drop its body. `?failures=status` asks for the status instead.
//! What a retry may mend is 503 or 504 in either case.

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::post,
};
use keybrake_client::Failure;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    activities::{Activities, Activity},
    auth::Callers,
    server::body_of,
};

/// What the routes share.
#[derive(Clone, Debug)]
pub struct Plain {
    /// Does what is asked.
    pub activities: Activities,
    /// Who may ask.
    pub callers: Callers,
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    failures: FailuresAs,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum FailuresAs {
    #[default]
    Value,
    Status,
}

/// The routes.
pub fn routes(plain: Plain) -> Router {
    Router::new().route("/activities/{name}", post(activity)).with_state(plain)
}

async fn activity(
    State(plain): State<Plain>,
    Path(name): Path<String>,
    Query(Wanted { failures }): Query<Wanted>,
    request: Request,
) -> Response {
    let (parts, body) = match body_of(request).await {
        Ok(request) => request,
        Err(refused) => return refused,
    };
    if let Err(why) = plain.callers.check(&parts.headers, &body) {
        return refused(StatusCode::UNAUTHORIZED, "unauthorized", &why.to_string());
    }
    let Some(activity) = Activity::named(&name) else {
        let names: Vec<_> = Activity::ALL.iter().map(|(_, path, _)| *path).collect();
        let message =
            format!("there is no such activity; there are {}; nothing was sent", names.join(", "));
        return refused(StatusCode::NOT_FOUND, "unknown_activity", &message);
    };
    let Ok(input) = serde_json::from_slice::<Value>(&body) else {
        return refused(
            StatusCode::BAD_REQUEST,
            "invalid_input",
            "the body is not JSON; nothing was sent",
        );
    };
    answer(plain.activities.run(activity, None, input).await, failures)
}

fn refused(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({"ok": false, "code": code, "message": message, "terminal": true})))
        .into_response()
}

fn answer(done: Result<Value, Failure>, failures: FailuresAs) -> Response {
    let failure = match done {
        Ok(done) => return Json(succeeded(done)).into_response(),
        Err(failure) => failure,
    };
    let own = StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let status = match (&failure, failures) {
        (Failure::Terminal { .. }, FailuresAs::Value) => StatusCode::OK,
        (Failure::Terminal { .. }, FailuresAs::Status) => own,
        (Failure::Retryable { .. }, _) => StatusCode::SERVICE_UNAVAILABLE,
        (Failure::Unknown { .. }, _) => StatusCode::GATEWAY_TIMEOUT,
    };
    let mut response = (status, Json(failed(&failure))).into_response();
    if let Some(after) = failure.after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
    }
    response
}

/// What was done, with `"ok": true` in it.
#[must_use]
pub fn succeeded(mut done: Value) -> Value {
    if let Some(fields) = done.as_object_mut() {
        fields.insert("ok".to_owned(), Value::Bool(true));
    }
    done
}

/// The failure as a value: `{"ok": false, "error", "code", "message", "terminal", …}`.
#[must_use]
pub fn failed(failure: &Failure) -> Value {
    let mut value = serde_json::to_value(failure.report()).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("ok".to_owned(), Value::Bool(false));
    }
    value
}
