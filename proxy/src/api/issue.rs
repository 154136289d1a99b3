//! Issuing and refreshing vault keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, header::HOST},
};
use keybrake_core::{
    budget::Caps,
    ids::{BudgetId, KeyId},
    ledger::{Command, Issue, Issued, Refresh, Reply, rows::IssueBinding},
    money::MicroUsd,
    policy::{EndpointPattern, MAX_ENDPOINTS, Policy, RunLabel},
    refusal::Refusal,
    time::parse_span,
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use sha2::{Digest, Sha256};

use super::{Answer, KeyView, answer, invalid, read_json, require_admin};
use crate::app::App;

/// How long a vault key may live.
const LIVES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(31 * 24);
/// The admin's API key, as the issuer of record.
const ADMIN: &str = "admin";

/// An issue request, in both spellings. Amounts stay text, so that they are read exactly.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssueRequest {
    vendor: String,
    daily_usd_cap: Option<Box<RawValue>>,
    total_usd_cap: Option<Box<RawValue>>,
    per_call_usd_cap: Option<Box<RawValue>>,
    allowed_endpoints: Vec<EndpointPattern>,
    expires_in: Option<String>,
    expires_in_seconds: Option<u64>,
    agent_run_label: Option<RunLabel>,
    label: Option<RunLabel>,
    #[serde(default)]
    allowed_params: BTreeMap<String, BTreeSet<String>>,
    parent_key_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    expires_in: Option<String>,
    expires_in_seconds: Option<u64>,
}

/// `POST /vault/keys` and `POST /admin/vault_keys`.
pub(super) async fn issue(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Answer {
    require_admin(&app, &headers)?;
    let request: IssueRequest = read_json(&body)?;
    let (key, budget) = (KeyId::from_number(app.new_id()), BudgetId::from_number(app.new_id()));
    let policy = policy(&app, &request)?;
    let label = request
        .agent_run_label
        .or(request.label)
        .ok_or_else(|| invalid("agent_run_label is missing"))?;
    let command = Issue {
        once: once(&headers)?,
        fingerprint: Sha256::digest(&body).into(),
        key,
        budget,
        token_hash: app.token_of(key).hash(),
        policy,
        label,
        caps: caps(request.daily_usd_cap.as_deref(), request.total_usd_cap.as_deref())?,
        parent: request
            .parent_key_id
            .map(|id| id.parse().map_err(|_| invalid("parent_key_id is not a vault key's id")))
            .transpose()?,
        lives: lives(request.expires_in.as_deref(), request.expires_in_seconds)?
            .ok_or_else(|| invalid("expires_in is missing, such as \"30m\""))?,
    };
    issued(&app, &headers, Command::Issue(Box::new(command))).await
}

/// `POST /vault/keys/{key_id}/refresh`.
pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    require_admin(&app, &headers)?;
    let request: RefreshRequest =
        if body.is_empty() { RefreshRequest::default() } else { read_json(&body)? };
    let key = super::keys::key_id(&key)?;
    let successor = KeyId::from_number(app.new_id());
    let token_hash = app.token_of(successor).hash();
    let lives = lives(request.expires_in.as_deref(), request.expires_in_seconds)?;
    issued(&app, &headers, Command::Refresh(Refresh { key, successor, token_hash, lives })).await
}

async fn issued(app: &App, headers: &HeaderMap, command: Command) -> Answer {
    let Reply::Issued(issued) = app.decide(command).await?.reply else {
        return Err(Refusal::LedgerUnavailable.into());
    };
    let Issued { key, budget, replayed } = issued?;
    tracing::info!(key = %key.id, budget = %budget.id, replayed, "issued");
    let mut view = KeyView::new(&key, &budget, app.clock.now()).body();
    if let Some(view) = view.as_object_mut() {
        view.insert("vault_key".to_owned(), json!(app.token_of(key.id).expose()));
        view.insert("base_url".to_owned(), json!(base_url(app, headers, &key.policy.vendor)));
    }
    Ok(answer(if replayed { 200 } else { 201 }, view))
}

fn policy(app: &App, request: &IssueRequest) -> Result<Policy, Refusal> {
    if !app.vendors.contains_key(&request.vendor) {
        let known: Vec<_> = app.vendors.keys().map(String::as_str).collect();
        return Err(invalid(format!("vendor is not one of: {}", known.join(", "))));
    }
    if request.allowed_endpoints.is_empty() || request.allowed_endpoints.len() > MAX_ENDPOINTS {
        return Err(invalid(format!("allowed_endpoints has 1 to {MAX_ENDPOINTS} endpoints")));
    }
    Ok(Policy {
        vendor: request.vendor.clone(),
        allowed_endpoints: request.allowed_endpoints.clone(),
        per_call_usd_cap: amount("per_call_usd_cap", request.per_call_usd_cap.as_deref())?,
        allowed_params: request.allowed_params.clone(),
    })
}

fn caps(daily: Option<&RawValue>, total: Option<&RawValue>) -> Result<Caps, Refusal> {
    let caps = Caps::new(amount("daily_usd_cap", daily)?, amount("total_usd_cap", total)?);
    caps.ok_or_else(|| invalid("daily_usd_cap or total_usd_cap is needed, and neither may be zero"))
}

/// Dollars as a JSON number or string, exactly as it is written.
fn amount(name: &str, raw: Option<&RawValue>) -> Result<Option<MicroUsd>, Refusal> {
    let Some(raw) = raw.map(RawValue::get).filter(|raw| *raw != "null") else {
        return Ok(None);
    };
    let text = raw.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(raw);
    let why = || {
        invalid(format!(
            "{name} is not an amount of dollars, such as 50 or \"49.99\" with at most six decimals"
        ))
    };
    MicroUsd::parse(text).map(Some).map_err(|_| why())
}

fn lives(span: Option<&str>, seconds: Option<u64>) -> Result<Option<Duration>, Refusal> {
    let lives = match (span, seconds) {
        (Some(_), Some(_)) => {
            return Err(invalid("expires_in and expires_in_seconds exclude one another"));
        }
        (None, None) => return Ok(None),
        (Some(span), None) => {
            parse_span(span).map_err(|error| invalid(format!("expires_in: {error}")))?
        }
        (None, Some(seconds)) => Duration::from_secs(seconds),
    };
    if LIVES.contains(&lives) {
        Ok(Some(lives))
    } else {
        Err(invalid("a vault key lives from 1 second to 31 days"))
    }
}

fn once(headers: &HeaderMap) -> Result<Option<IssueBinding>, Refusal> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= 255);
    let key =
        key.ok_or_else(|| invalid("an idempotency key has 1 to 255 printable ASCII characters"))?;
    Ok(Some(IssueBinding { issuer: ADMIN.to_owned(), key: key.to_owned() }))
}

/// Where calls with the new key go.
fn base_url(app: &App, headers: &HeaderMap, vendor: &str) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let proxy = app.public_url.clone().unwrap_or_else(|| format!("http://{host}"));
    format!("{}/{vendor}", proxy.trim_end_matches('/'))
}
