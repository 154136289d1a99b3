//! What the worker asks of Inngest: to know its functions, and for state that is too large to be sent.

use std::{collections::HashMap, time::Duration};

use keybrake_client::client::{NoClient, body_within, http_client};
use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::{Value, json, value::RawValue};

use super::{event::Event, function::Function, settings::Settings};

const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// In bytes: twice what Inngest keeps of a run.
const LONGEST_STATE: usize = 64 * 1024 * 1024;
/// The name and version by which Inngest knows this kind of worker.
pub(super) const SDK: &str = concat!("keybrake:v", env!("CARGO_PKG_VERSION"));

/// Inngest's API.
#[derive(Clone, Debug)]
pub(super) struct Api {
    http: Client,
}

/// No answer, or not the one that was asked for. Without the URL and the credential.
#[derive(Debug, thiserror::Error)]
#[error("Inngest's API did not answer as it should: {0}")]
pub(super) struct ApiError(String);

impl Api {
    pub(super) fn new() -> Result<Self, NoClient> {
        Ok(Self { http: http_client()?.timeout(ANSWERS_WITHIN).build()? })
    }

    /// Tells Inngest the functions, and how they are reached. Gives whether that was news.
    pub(super) async fn register(
        &self,
        settings: &Settings,
        functions: &[Function],
        url: &str,
        server_kind: Option<&str>,
    ) -> Result<bool, ApiError> {
        let listed: Vec<_> =
            functions.iter().map(|function| listed(settings, function, url)).collect();
        let body = json!({
            "url": url, "deployType": "ping", "framework": "axum", "appName": settings.app_id,
            "sdk": SDK, "v": "0.1", "functions": listed,
        });
        let mut request = self.http.post(format!("{}/fn/register", settings.api)).json(&body);
        request = request.header("x-inngest-sdk", SDK);
        if let Some(kind) = server_kind {
            request = request.header("x-inngest-expected-server-kind", kind);
        }
        let answer: Value = ask(settings, request).await?;
        Ok(answer.get("modified").and_then(Value::as_bool).unwrap_or(false))
    }

    /// What is known of a run's steps.
    pub(super) async fn steps(
        &self,
        settings: &Settings,
        run_id: &str,
    ) -> Result<HashMap<String, Box<RawValue>>, ApiError> {
        let url = run_url(settings, run_id, "actions")?;
        ask(settings, self.http.get(url)).await
    }

    /// The events that began a run.
    pub(super) async fn events(
        &self,
        settings: &Settings,
        run_id: &str,
    ) -> Result<Vec<Event>, ApiError> {
        let url = run_url(settings, run_id, "batch")?;
        ask(settings, self.http.get(url)).await
    }
}

/// A run's id goes into a path, so it is nothing but letters and digits.
fn run_url(settings: &Settings, run_id: &str, what: &str) -> Result<String, ApiError> {
    if run_id.is_empty() || !run_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(ApiError("the run's id is not one".to_owned()));
    }
    Ok(format!("{}/v0/runs/{run_id}/{what}", settings.api))
}

async fn ask<T: DeserializeOwned>(
    settings: &Settings,
    mut request: RequestBuilder,
) -> Result<T, ApiError> {
    if let Some(bearer) = settings.bearer() {
        request = request.bearer_auth(bearer);
    }
    let unread = |error: reqwest::Error| ApiError(error.without_url().to_string());
    let answer = request.send().await.map_err(unread)?.error_for_status().map_err(unread)?;
    let body = body_within(answer, LONGEST_STATE).await;
    let body = body.map_err(|error| ApiError(error.to_string()))?;
    // Serde's own words have in them what it found.
    serde_json::from_slice(&body)
        .map_err(|_| ApiError("the answer is not the JSON that was asked for".to_owned()))
}

/// A function as Inngest lists it.
pub(super) fn listed(settings: &Settings, function: &Function, url: &str) -> Value {
    let id = format!("{}-{}", settings.app_id, function.id);
    let mut trigger = json!({"event": function.event});
    if let (Some(expression), Some(trigger)) = (&function.only_if, trigger.as_object_mut()) {
        trigger.insert("expression".to_owned(), json!(expression));
    }
    json!({
        "id": id, "name": function.id, "triggers": [trigger],
        "steps": {"step": {
            "id": "step", "name": "step", "retries": {"attempts": function.retries},
            "runtime": {"type": "http", "url": format!("{url}?fnId={id}&stepId=step")},
        }},
    })
}
