//! The Invoke API: who may run, in which environment, and how it ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Code, Function, Shared,
    environment::{Environment, Outcome},
};

static REQUESTS: AtomicU64 = AtomicU64::new(1);

/// What an invocation runs on.
enum Place {
    Environment(Arc<Environment>),
    Local(Arc<dyn Fn(&Value) -> Value + Send + Sync>),
}

/// What becomes of an answer.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Given,
    Killed,
    TimedOut,
}

struct Begun {
    place: Place,
    fate: Fate,
    timeout: Duration,
}

pub(super) async fn invoke(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    payload: Bytes,
) -> Response {
    let request_id = format!("request-{}", REQUESTS.fetch_add(1, Ordering::Relaxed));
    let payload = if payload.is_empty() { Bytes::from_static(b"{}") } else { payload };
    // Syntax alone, as Lambda checks it.
    let Ok(_) = serde_json::from_slice::<&serde_json::value::RawValue>(&payload) else {
        let what = "InvalidRequestContentException";
        return refused(&request_id, StatusCode::BAD_REQUEST, what, "Could not parse request body");
    };
    let input = serde_json::from_slice(&payload).unwrap_or(Value::Null);
    let begun = shared.function(&name, |function| begin(function, &shared, &name, input));
    let Some(begun) = begun else {
        let what = "ResourceNotFoundException";
        return refused(&request_id, StatusCode::NOT_FOUND, what, "Function not found");
    };
    let Some(begun) = begun else {
        let what = "TooManyRequestsException";
        return refused(&request_id, StatusCode::TOO_MANY_REQUESTS, what, "Rate Exceeded.");
    };
    // In a task of its own: a caller that gives up does not end the function.
    let asynchronous =
        headers.get("x-amz-invocation-type").is_some_and(|kind| kind.as_bytes() == b"Event");
    let running = tokio::spawn(run(shared, name, begun, request_id.clone(), payload));
    if asynchronous {
        return answered(&request_id, StatusCode::ACCEPTED, Bytes::new(), false);
    }
    match running.await {
        Ok((body, failed)) => answered(&request_id, StatusCode::OK, body, failed),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A place for an invocation, where there is one.
fn begin(function: &mut Function, shared: &Arc<Shared>, name: &str, input: Value) -> Option<Begun> {
    if function.faults.throttled > 0 || function.running >= function.limit {
        function.faults.throttled = function.faults.throttled.saturating_sub(1);
        function.history.throttled += 1;
        return None;
    }
    let fate = if function.faults.killed > 0 {
        function.faults.killed -= 1;
        Fate::Killed
    } else if function.faults.timed_out > 0 {
        function.faults.timed_out -= 1;
        Fate::TimedOut
    } else {
        Fate::Given
    };
    let place = match &function.code {
        Code::Local(run) => Place::Local(Arc::clone(run)),
        Code::Program(program) => Place::Environment(function.idle.pop().unwrap_or_else(|| {
            let name = name.rsplit("function:").next().unwrap_or(name);
            Environment::start(shared, name, program, &function.variables)
        })),
    };
    function.running += 1;
    function.history.inputs.push(input);
    Some(Begun { place, fate, timeout: function.timeout })
}

async fn run(
    shared: Arc<Shared>,
    name: String,
    begun: Begun,
    request_id: String,
    payload: Bytes,
) -> (Bytes, bool) {
    let since = Instant::now();
    let Ended { body, failed, reusable } = match &begun.place {
        Place::Local(run) => {
            let answer = run(&serde_json::from_slice(&payload).unwrap_or(Value::Null));
            let failed = answer.get("errorType").is_some();
            Ended { body: Bytes::from(answer.to_string()), failed, reusable: false }
        }
        Place::Environment(environment) => {
            let arn = if name.starts_with("arn:") { name.clone() } else { arn(&name) };
            let end = environment.give(&request_id, &arn, payload, begun.timeout);
            let ended = tokio::time::timeout(begun.timeout, end).await;
            ending(environment, begun.fate, &request_id, ended.map(Result::ok))
        }
    };
    shared.function(&name, |function| {
        function.running -= 1;
        function.history.durations.push(since.elapsed());
        function.history.answers.push(serde_json::from_slice(&body).unwrap_or(Value::Null));
        if let Place::Environment(environment) = begun.place
            && reusable
        {
            function.idle.push(environment);
        }
    });
    (body, failed)
}

/// The ARN of a function by this name.
pub(super) fn arn(name: &str) -> String {
    format!("arn:aws:lambda:us-east-1:123456789012:function:{name}")
}

/// What the caller is told, whether it is an error, and whether the environment serves on.
struct Ended {
    body: Bytes,
    failed: bool,
    reusable: bool,
}

fn ending(
    environment: &Environment,
    fate: Fate,
    request_id: &str,
    ended: Result<Option<Outcome>, tokio::time::error::Elapsed>,
) -> Ended {
    let error = |kind: &str, message: String| {
        environment.kill();
        let body = Bytes::from(json!({"errorType": kind, "errorMessage": message}).to_string());
        Ended { body, failed: true, reusable: false }
    };
    let exited =
        || format!("RequestId: {request_id} Error: Runtime exited with error: signal: killed");
    let timed_out = || format!("RequestId: {request_id} Error: Task timed out");
    match (ended, fate) {
        (Ok(Some(Outcome::Response(body))), Fate::Given) => {
            Ended { body, failed: false, reusable: true }
        }
        (Ok(Some(Outcome::Error(body))), Fate::Given) => {
            Ended { body, failed: true, reusable: true }
        }
        (Ok(Some(Outcome::Exited) | None), _) | (Ok(_), Fate::Killed) => {
            error("Runtime.ExitError", exited())
        }
        (Ok(_), Fate::TimedOut) | (Err(_), _) => error("Sandbox.Timedout", timed_out()),
    }
}

fn answered(request_id: &str, status: StatusCode, body: Bytes, failed: bool) -> Response {
    let mut answer = (status, [("x-amzn-requestid", request_id.to_owned())], body).into_response();
    if failed && let Ok(value) = "Unhandled".parse() {
        answer.headers_mut().insert("x-amz-function-error", value);
    }
    answer
}

pub(super) fn refused(request_id: &str, status: StatusCode, what: &str, message: &str) -> Response {
    let headers = [
        ("x-amzn-requestid", request_id.to_owned()),
        ("x-amzn-errortype", what.to_owned()),
        ("content-type", "application/json".to_owned()),
    ];
    let body = json!({"Type": "User", "message": message, "Reason": "CallerRateLimitExceeded"});
    (status, headers, body.to_string()).into_response()
}
