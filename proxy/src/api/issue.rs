//! Issuing and refreshing vault keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, header::HOST},
};
use keybrake_core::{
    access::{Action, Grant},
    budget::Caps,
    ids::{BudgetId, KeyId},
    ledger::{Command, Issue, Issued, Refresh, Reply, rows::IssueBinding},
    money::MicroUsd,
    policy::{
        EndpointPattern, FixedHolds, IdempotencyFrom, MAX_ENDPOINTS, OnDecline, Policy, RunLabel,
        Scope,
    },
    refusal::Refusal,
    time::parse_span,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{
    Answer, InPath, KeyView, allowed, amount, answer,
    described::{self, Dollars, Endpoint, Label, OfKey, Span, issue_example},
    invalid,
    keys::read_key,
    openapi::Refused,
    read_json,
};
use crate::app::App;

/// How long a vault key may live.
const LIVES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(31 * 24);

/// What a vault key may do, for which run and how long.
///
/// To spend, it takes a `vendor`, `allowed_endpoints`, and a daily or a total cap or both; with the
/// scope `audit`, none of these. The label and the time to live have two spellings each, of which
/// one is needed.
// Amounts stay text, so that they are read exactly.
#[derive(Deserialize, ToSchema)]
#[schema(example = issue_example)]
#[serde(deny_unknown_fields)]
struct IssueRequest {
    /// `spend` by default.
    #[schema(value_type = described::Scope)]
    #[serde(default)]
    scope: Scope,
    /// The vendor whose API the key is for, such as `stripe`.
    vendor: Option<String>,
    /// Per 24 hours from now.
    #[schema(value_type = Option<Dollars>)]
    daily_usd_cap: Option<Box<RawValue>>,
    /// For the life of the budget, over all refreshes.
    #[schema(value_type = Option<Dollars>)]
    total_usd_cap: Option<Box<RawValue>>,
    #[schema(value_type = Option<Dollars>)]
    per_call_usd_cap: Option<Box<RawValue>>,
    #[schema(minimum = 1)]
    max_calls: Option<u32>,
    #[schema(value_type = Option<Vec<Endpoint>>, min_items = 1, max_items = 100)]
    allowed_endpoints: Option<Vec<EndpointPattern>>,
    /// From 1 second to 31 days.
    #[schema(value_type = Option<Span>)]
    expires_in: Option<String>,
    /// The same, in seconds.
    #[schema(minimum = 1, maximum = 2_678_400)]
    expires_in_seconds: Option<u64>,
    #[schema(value_type = Option<Label>)]
    agent_run_label: Option<RunLabel>,
    /// The same as `agent_run_label`.
    #[schema(value_type = Option<Label>)]
    label: Option<RunLabel>,
    /// For a parameter, the values that it may have. It must then be given.
    #[serde(default)]
    allowed_params: BTreeMap<String, BTreeSet<String>>,
    /// The vendor's accounts that a header such as `Stripe-Account` may name. None by default.
    #[serde(default)]
    allowed_accounts: BTreeSet<String>,
    /// `cancel` takes back what a decline leaves committed, such as a payment intent that could
    /// still be confirmed.
    #[schema(value_type = described::OnDecline)]
    #[serde(default)]
    on_decline: OnDecline,
    /// By endpoint, what a call counts for whose price can't be known.
    #[schema(value_type = BTreeMap<String, Dollars>)]
    #[serde(default)]
    fixed_holds: BTreeMap<EndpointPattern, Box<RawValue>>,
    /// `content` is for SDKs that send no idempotency key, or random ones.
    #[schema(value_type = described::IdempotencyFrom)]
    #[serde(default)]
    idempotency: IdempotencyFrom,
    /// Whether a write without a caller's idempotency key is refused.
    #[serde(default)]
    require_idempotency_key: bool,
    /// A vault key whose budget is spent from as well.
    #[schema(pattern = "^vk_[0-7][0-9a-hjkmnp-tv-z]{12}$")]
    parent_key_id: Option<String>,
    /// Whether the answer has the token: `true` by default. Without it the key is spent by its id.
    return_token: Option<bool>,
}

/// How long the new vault key lives: as long as the old one did, unless something is said.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    /// From 1 second to 31 days.
    #[schema(value_type = Option<Span>)]
    expires_in: Option<String>,
    /// The same, in seconds.
    #[schema(minimum = 1, maximum = 2_678_400)]
    expires_in_seconds: Option<u64>,
    /// Whether the answer has the token: `true` by default.
    return_token: Option<bool>,
}

/// A vault key that was issued.
#[derive(Serialize, ToSchema)]
struct IssuedKey {
    /// The token, unless the request asked for none. It is shown here alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    vault_key: Option<String>,
    /// Where its calls go.
    base_url: String,
    #[serde(flatten)]
    key: KeyView,
}

/// Issues a vault key
///
/// With an `Idempotency-Key`, a repeated request gives the same key and budget.
#[utoipa::path(
    post, path = "/vault/keys", operation_id = "issue_vault_key",
    tag = "vault keys", request_body = IssueRequest,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        pattern = "^[ -~]*$", description = "The same for each retry of the request")),
    responses(
        (status = 201, description = "A new vault key", body = IssuedKey),
        (status = 200, description = "The key that this request made before", body = IssuedKey),
        Refused,
    ),
)]
pub(super) async fn issue(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Answer {
    let grant = allowed(&app, &headers, Action::Issue).await?;
    let request: IssueRequest = read_json(&body)?;
    let label = request.agent_run_label.clone().or_else(|| request.label.clone());
    let label = label.ok_or_else(|| invalid("agent_run_label is missing"))?;
    let lives = lives(request.expires_in.as_deref(), request.expires_in_seconds)?
        .ok_or_else(|| invalid("expires_in is missing, such as \"30m\""))?;
    let (policy, caps) = match request.scope {
        Scope::Spend => spending(&app, &request)?,
        Scope::Audit => {
            grant.permit(Action::ReadCalls)?;
            auditing(&request)?
        }
    };
    let vendor = Some(policy.vendor.as_str()).filter(|vendor| !vendor.is_empty());
    let caps = grant.permit_issue(&label, vendor, caps, lives)?;
    let (key, budget) = (KeyId::from_number(app.new_id()), BudgetId::from_number(app.new_id()));
    let command = Issue {
        once: once(&headers, &grant)?,
        fingerprint: Sha256::digest(&body).into(),
        key,
        budget,
        token_hash: app.token_of(key).hash(),
        policy,
        label,
        caps,
        parent: parent(&app, &grant, request.parent_key_id.as_deref()).await?,
        lives,
        by: grant.actor().clone(),
    };
    let shows_token = request.return_token.unwrap_or(true);
    issued(&app, &headers, Command::Issue(Box::new(command)), shows_token).await
}

/// Issues a vault key, as `POST /vault/keys` does
#[utoipa::path(
    post, path = "/admin/vault_keys", operation_id = "issue_vault_key_alike",
    tag = "vault keys", request_body = IssueRequest,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        pattern = "^[ -~]*$", description = "The same for each retry of the request")),
    responses(
        (status = 201, description = "A new vault key", body = IssuedKey),
        (status = 200, description = "The key that this request made before", body = IssuedKey),
        Refused,
    ),
)]
pub(super) async fn issue_alike(app: State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Answer {
    issue(app, headers, body).await
}

/// Refreshes a vault key
///
/// A new key and token on the same budget and policy; the old one lives to its own expiry. Where a
/// successor lives already, that one is the answer. An expired key can be refreshed, a revoked one
/// never. The body may be left out.
#[utoipa::path(
    post, path = "/vault/keys/{key_id}/refresh", operation_id = "refresh_vault_key",
    tag = "vault keys", params(OfKey),
    request_body = Option<RefreshRequest>,
    responses(
        (status = 201, description = "A new vault key", body = IssuedKey),
        (status = 200, description = "The successor that lives already", body = IssuedKey),
        Refused,
    ),
)]
pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    InPath(OfKey { key_id: key }): InPath<OfKey>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let grant = allowed(&app, &headers, Action::Refresh).await?;
    let request: RefreshRequest =
        if body.is_empty() { RefreshRequest::default() } else { read_json(&body)? };
    let (old, _) = read_key(&app, &grant, super::keys::key_id(&key)?).await?;
    let lives = lives(request.expires_in.as_deref(), request.expires_in_seconds)?;
    grant.permit_lives(lives.unwrap_or_else(|| old.expires_at.since(old.issued_at)))?;
    let successor = KeyId::from_number(app.new_id());
    let refresh = Refresh {
        key: old.id,
        successor,
        token_hash: app.token_of(successor).hash(),
        lives,
        by: grant.actor().clone(),
    };
    let shows_token = request.return_token.unwrap_or(true);
    issued(&app, &headers, Command::Refresh(refresh), shows_token).await
}

async fn issued(app: &App, headers: &HeaderMap, command: Command, shows_token: bool) -> Answer {
    let Reply::Issued(issued) = app.decide(command).await?.reply else {
        return Err(Refusal::LedgerUnavailable.into());
    };
    let Issued { key, budget, replayed } = issued?;
    tracing::info!(key = %key.id, budget = %budget.id, replayed, "issued");
    let body = IssuedKey {
        vault_key: shows_token.then(|| app.token_of(key.id).expose().to_owned()),
        base_url: base_url(app, headers, &key.policy.vendor),
        key: KeyView::new(&key, &budget, app.clock.now()),
    };
    Ok(answer(if replayed { 200 } else { 201 }, body))
}

fn spending(app: &App, request: &IssueRequest) -> Result<(Policy, Caps), Refusal> {
    let vendor = request.vendor.as_ref().ok_or_else(|| invalid("vendor is missing"))?;
    let Some(known) = app.vendors.get(vendor) else {
        let known: Vec<_> = app.vendors.keys().map(String::as_str).collect();
        return Err(invalid(format!("vendor is not one of: {}", known.join(", "))));
    };
    let endpoints = request.allowed_endpoints.clone().unwrap_or_default();
    if endpoints.is_empty() || endpoints.len() > MAX_ENDPOINTS {
        return Err(invalid(format!("allowed_endpoints has 1 to {MAX_ENDPOINTS} endpoints")));
    }
    if request.max_calls == Some(0) {
        return Err(invalid("max_calls is at least 1"));
    }
    let fixed_hold = |pattern: &EndpointPattern| {
        let name = format!("fixed_holds of {pattern}");
        let given = request.fixed_holds.get(pattern).map(Box::as_ref);
        let hold = amount(&name, given)?.filter(|hold| *hold > MicroUsd::ZERO);
        let hold = hold.ok_or_else(|| invalid(format!("{name} is more than nothing")))?;
        if known.definition.takes_fixed_hold(pattern) {
            return Ok((pattern.clone(), hold));
        }
        Err(invalid(format!(
            "{pattern} takes no fixed hold: {vendor} prices it itself, or it is never allowed"
        )))
    };
    let caps = Caps::new(
        amount("daily_usd_cap", request.daily_usd_cap.as_deref())?,
        amount("total_usd_cap", request.total_usd_cap.as_deref())?,
    );
    let caps = caps.ok_or_else(|| {
        invalid("daily_usd_cap or total_usd_cap is needed, and neither may be zero")
    })?;
    let policy = Policy {
        per_call_usd_cap: amount("per_call_usd_cap", request.per_call_usd_cap.as_deref())?,
        allowed_params: request.allowed_params.clone(),
        allowed_accounts: request.allowed_accounts.clone(),
        on_decline: request.on_decline,
        fixed_holds: request
            .fixed_holds
            .keys()
            .map(fixed_hold)
            .collect::<Result<FixedHolds, _>>()?,
        idempotency: request.idempotency,
        require_idempotency_key: request.require_idempotency_key,
        ..Policy::allowing(vendor.clone(), endpoints)
    };
    Ok((policy, caps.with_max_calls(request.max_calls)))
}

/// A key that reads the audit rows of its own and all labels that begin so.
fn auditing(request: &IssueRequest) -> Result<(Policy, Caps), Refusal> {
    let spends = request.vendor.is_some()
        || request.allowed_endpoints.is_some()
        || request.daily_usd_cap.is_some()
        || request.total_usd_cap.is_some()
        || request.per_call_usd_cap.is_some()
        || request.max_calls.is_some()
        || !request.allowed_params.is_empty()
        || !request.allowed_accounts.is_empty()
        || !request.fixed_holds.is_empty();
    if spends {
        return Err(invalid(
            "a vault key of the scope \"audit\" spends nothing: it has no vendor, endpoints, caps or parameters",
        ));
    }
    Ok((Policy::audit(), Caps::nothing()))
}

/// The key under whose budget the new one is issued, which must lie within the asker's bounds.
async fn parent(app: &App, grant: &Grant, asked: Option<&str>) -> Result<Option<KeyId>, Refusal> {
    let asked =
        asked.map(|id| id.parse().map_err(|_| invalid("parent_key_id is not a vault key's id")));
    let Some(id) = grant.parent_of_issue(asked.transpose()?) else {
        return Ok(None);
    };
    let found = app.read(move |readers| readers.key_by_id(id)).await?;
    let (parent, _) = found.ok_or_else(|| Refusal::unknown_key(id))?;
    grant.permit_parent(&parent)?;
    Ok(Some(id))
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

fn once(headers: &HeaderMap, grant: &Grant) -> Result<Option<IssueBinding>, Refusal> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= 255);
    let key =
        key.ok_or_else(|| invalid("an idempotency key has 1 to 255 printable ASCII characters"))?;
    Ok(Some(IssueBinding { issuer: grant.actor().to_string(), key: key.to_owned() }))
}

/// Where calls with the new key go.
fn base_url(app: &App, headers: &HeaderMap, vendor: &str) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let proxy = app.public_url.clone().unwrap_or_else(|| format!("http://{host}"));
    format!("{}/{vendor}", proxy.trim_end_matches('/'))
}
