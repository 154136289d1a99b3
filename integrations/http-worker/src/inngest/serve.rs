//! The one URL: sync, introspection and calls.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::Response,
    routing::get,
};
use keybrake_client::client::NoClient;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::{Answer, answer},
    api::{Api, SDK},
    call::Call,
    function::Function,
    replay::{Asked, replay},
    settings::{Mode, Settings},
};
use crate::{auth::not_a_page, server::body_of};

/// Where the functions are served.
pub const PATH: &str = "/api/inngest";
const SIGNATURE: &str = "x-inngest-signature";

/// An app: its functions and how they are served.
#[derive(Clone, Debug)]
pub struct App {
    settings: Arc<Settings>,
    functions: Arc<Vec<Function>>,
    api: Api,
}

impl App {
    /// An app of these functions.
    pub fn new(settings: Settings, functions: Vec<Function>) -> Result<Self, NoClient> {
        Ok(Self { settings: Arc::new(settings), functions: Arc::new(functions), api: Api::new()? })
    }
}

/// The routes.
pub fn routes(app: App) -> Router {
    Router::new().route(PATH, get(introspect).put(sync).post(call)).with_state(app)
}

/// Which function, and which of its steps.
#[derive(Deserialize)]
struct Target {
    #[serde(rename = "fnId", default)]
    function: String,
    #[serde(rename = "stepId", default = "the_body")]
    step: String,
}

/// What stands for the body instead of one of its steps.
fn the_body() -> String {
    "step".to_owned()
}

async fn call(State(app): State<App>, Query(target): Query<Target>, request: Request) -> Response {
    let (headers, body) = match app.signed(request).await {
        Ok(signed) => signed,
        Err(refused) => return refused,
    };
    let given = Given { server_kind: text(&headers, "x-inngest-server-kind") };
    let came = app.called(target, &body).await;
    app.respond(&came, &given)
}

async fn sync(State(app): State<App>, request: Request) -> Response {
    let (headers, body) = match app.signed(request).await {
        Ok(signed) => signed,
        Err(refused) => return refused,
    };
    let given = Given { server_kind: text(&headers, "x-inngest-server-kind") };
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let url = match (&app.settings.serve_origin, asked.get("url").and_then(Value::as_str)) {
        (Some(origin), _) => format!("{origin}{PATH}"),
        (None, Some(url)) => url.to_owned(),
        (None, None) => {
            let message = "there is no url to be reached at, neither in INNGEST_SERVE_ORIGIN nor in the request";
            return app.respond(&Answer::error(StatusCode::BAD_REQUEST, message), &given);
        }
    };
    let kind = given.server_kind.as_deref();
    let mut response = match app.api.register(&app.settings, &app.functions, &url, kind).await {
        Ok(modified) => {
            let body = json!({"message": "Successfully registered", "modified": modified});
            app.respond(&Answer { body, ..Answer::error(StatusCode::OK, "") }, &given)
        }
        Err(error) => {
            tracing::warn!(%error, "the functions could not be registered");
            let body = json!({"message": error.to_string(), "modified": false});
            app.respond(
                &Answer { body, ..Answer::error(StatusCode::INTERNAL_SERVER_ERROR, "") },
                &given,
            )
        }
    };
    let out_of_band = HeaderValue::from_static("out_of_band");
    response.headers_mut().insert("x-inngest-sync-kind", out_of_band);
    response
}

async fn introspect(State(app): State<App>, request: Request) -> Response {
    let (_, _) = match app.signed(request).await {
        Ok(signed) => signed,
        Err(refused) => return refused,
    };
    let settings = &app.settings;
    let [hash, fallback_hash] = settings.key_hashes();
    let is_cloud = settings.mode == Mode::Cloud;
    let body = json!({
        "schema_version": "2024-05-24", "mode": if is_cloud { "cloud" } else { "dev" },
        "authentication_succeeded": is_cloud.then_some(true), "function_count": app.functions.len(),
        "has_event_key": false, "has_signing_key": hash.is_some(), "app_id": settings.app_id,
        "api_origin": settings.api, "framework": "axum", "sdk_language": "rust",
        "sdk_version": env!("CARGO_PKG_VERSION"), "serve_origin": settings.serve_origin,
        "serve_path": PATH, "signing_key_hash": hash, "signing_key_fallback_hash": fallback_hash,
        "capabilities": {"trust_probe": "v1"}, "extra": {"is_streaming": false},
    });
    app.respond(&Answer { body, ..Answer::error(StatusCode::OK, "") }, &Given { server_kind: None })
}

/// What of the request its answer repeats.
struct Given {
    server_kind: Option<String>,
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

impl App {
    /// The request's headers and body, where it comes from Inngest.
    async fn signed(&self, request: Request) -> Result<(HeaderMap, Bytes), Response> {
        let (parts, body) = body_of(request).await?;
        let signature = text(&parts.headers, SIGNATURE);
        // The dev server's requests carry no signature, and a page's must not pass for them.
        if not_a_page(&parts.headers).is_ok()
            && self.settings.is_signed(signature.as_deref(), &body)
        {
            return Ok((parts.headers, body));
        }
        // Without a sign of what is served here.
        let body = Body::from(json!({"message": "Unauthorized"}).to_string());
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Err(response)
    }

    async fn called(&self, target: Target, body: &[u8]) -> Answer {
        let id = target.function.strip_prefix(&format!("{}-", self.settings.app_id));
        let Some(function) = self.functions.iter().find(|function| Some(function.id) == id) else {
            let message =
                "there is no such function in this worker; nothing was done; sync the app";
            return Answer::error(StatusCode::NOT_FOUND, message);
        };
        let call: Call = match serde_json::from_slice(body) {
            Ok(call) => call,
            Err(error) => {
                let message = format!("the body is not a call's: {error}; nothing was done");
                return Answer::error(StatusCode::BAD_REQUEST, &message);
            }
        };
        let attempt = call.attempt();
        match self.asked(call, target.step).await {
            Ok(asked) => answer(replay(function, asked).await, attempt),
            Err(error) => {
                tracing::warn!(%error, "a run's state could not be fetched");
                let message = format!("{error}; nothing was done; retry");
                Answer {
                    no_retry: Some(false),
                    ..Answer::error(StatusCode::INTERNAL_SERVER_ERROR, &message)
                }
            }
        }
    }

    async fn asked(&self, call: Call, step: String) -> Result<Asked, super::api::ApiError> {
        let (memo, event) = if call.is_large() {
            let run = &call.ctx.run_id;
            let steps = self.api.steps(&self.settings, run).await?;
            let events = self.api.events(&self.settings, run).await?;
            (steps, events.into_iter().next().unwrap_or_default())
        } else {
            (call.steps.unwrap_or_default(), call.event)
        };
        Ok(Asked {
            run_id: call.ctx.run_id,
            attempt: call.ctx.attempt,
            event,
            memo,
            step: Some(step).filter(|step| *step != the_body()),
            may_run: !call.ctx.disable_immediate_execution,
        })
    }

    fn respond(&self, answer: &Answer, given: &Given) -> Response {
        let body = answer.body.to_string();
        let signature = self.settings.sign(body.as_bytes());
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-inngest-sdk", HeaderValue::from_static(SDK));
        headers.insert("x-inngest-req-version", HeaderValue::from_static("2"));
        if let Some(no_retry) = answer.no_retry {
            let no_retry = if no_retry { "true" } else { "false" };
            headers.insert("x-inngest-no-retry", HeaderValue::from_static(no_retry));
        }
        if let Some(seconds) = answer.retry_after {
            headers.insert("retry-after", HeaderValue::from(seconds));
        }
        let texts =
            [("x-inngest-expected-server-kind", given.server_kind.clone()), (SIGNATURE, signature)];
        for (name, value) in texts {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        }
        response
    }
}
