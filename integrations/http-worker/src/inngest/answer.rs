//! What came of a call, in Inngest's words: statuses, op codes and headers.

use axum::http::StatusCode;
use keybrake_client::Failure;
use serde_json::{Map, Value, json};

use super::{
    function::FunctionError,
    replay::Came,
    step::{Found, Kind},
};

/// The shortest and the longest delay that Inngest takes, in seconds.
const DELAYS: std::ops::RangeInclusive<u64> = 1..=86_400;

/// An answer before it is signed.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) no_retry: Option<bool>,
    pub(super) retry_after: Option<u64>,
    pub(super) body: Value,
}

impl Answer {
    fn new(status: StatusCode, body: Value) -> Self {
        Self { status, no_retry: None, retry_after: None, body }
    }

    /// An error that concerns the request and not a run.
    pub(super) fn error(status: StatusCode, message: &str) -> Self {
        Self::new(status, json!({"message": message}))
    }
}

/// Which attempt of its step a call is.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    pub(super) is_first: bool,
    pub(super) is_last: bool,
}

/// The answer to what came of a call.
pub(super) fn answer(came: Came, attempt: Attempt) -> Answer {
    let is_last = attempt.is_last;
    match came {
        Came::Done(value) => Answer::new(StatusCode::OK, value),
        Came::Failed(error) => failed(&error, is_last),
        Came::Ran { found, result: Ok(data) } => {
            let op = op("StepRun", &found, Some(&found.id), &json!({}), &data);
            Answer::new(StatusCode::PARTIAL_CONTENT, json!([op]))
        }
        Came::Ran { found, result: Err(failure) } => {
            // An earlier attempt's answer may have been lost.
            let failure = if is_last && !attempt.is_first { failure.given_up() } else { failure };
            step_failed(&found, &failure, is_last)
        }
        Came::Planned(found) => {
            let ops: Vec<_> = found.iter().map(planned).collect();
            Answer::new(StatusCode::PARTIAL_CONTENT, Value::Array(ops))
        }
        Came::NoSuchStep(hash) => {
            let error = "the function has no such step at this point; its steps must not depend on anything but what steps return";
            let body = json!({"error": error, "requestedStep": hash});
            Answer { no_retry: Some(false), ..Answer::new(StatusCode::INTERNAL_SERVER_ERROR, body) }
        }
    }
}

fn planned(found: &Found) -> Value {
    match &found.kind {
        Kind::Run(_) => op("StepPlanned", found, Some(&found.id), &json!({}), &Value::Null),
        Kind::Ask { op: code, name, opts } => op(code, found, name.as_deref(), opts, &Value::Null),
    }
}

fn op(code: &str, found: &Found, name: Option<&str>, opts: &Value, data: &Value) -> Value {
    let mut userland = Map::from_iter([("id".to_owned(), json!(found.id))]);
    if found.index > 0 {
        userland.insert("index".to_owned(), json!(found.index));
    }
    json!({
        "id": found.hash, "op": code, "name": name, "displayName": found.id,
        "opts": opts, "userland": userland, "data": data,
    })
}

fn step_failed(found: &Found, failure: &Failure, is_last: bool) -> Answer {
    let ends = failure.is_terminal() || is_last;
    let error = json!({
        "name": failure.name(), "message": failure.told().message, "stack": "",
        "cause": failure.report(), "__serialized": true,
    });
    let data = if ends { error.clone() } else { Value::Null };
    let code = if ends { "StepFailed" } else { "StepError" };
    let mut op = op(code, found, Some(&found.id), &json!({}), &data);
    if let Some(fields) = op.as_object_mut() {
        fields.insert("error".to_owned(), error);
    }
    let seconds =
        |after: std::time::Duration| after.as_secs().clamp(*DELAYS.start(), *DELAYS.end());
    Answer {
        no_retry: Some(ends),
        retry_after: failure.after().filter(|_| !ends).map(seconds),
        ..Answer::new(StatusCode::PARTIAL_CONTENT, json!([op]))
    }
}

fn failed(error: &FunctionError, is_last: bool) -> Answer {
    let retriable = error.retriable && !is_last;
    let status =
        if retriable { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::BAD_REQUEST };
    let body =
        json!({"name": error.name, "message": error.message, "stack": "", "__serialized": true});
    Answer { no_retry: Some(!retriable), ..Answer::new(status, body) }
}
