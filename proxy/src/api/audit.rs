//! Reading the audit log, and ending a doubt by an operator's word.

use std::sync::Arc;

use axum::{body::Bytes, extract::State, http::HeaderMap};
use keybrake_core::{
    access::Action,
    ids::CallId,
    ledger::{Command, Conclude, Ended, Finding, Reply, rows::Call},
    money::MicroUsd,
    policy::Scope,
    refusal::Refusal,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer, InPath, InQuery, Page, allowed, amount, answer,
    calls::{CallRow, KnownCall},
    described::{CallState, Dollars, OfCall, Verdict},
    invalid,
    openapi::Refused,
    page_size, read_json,
};
use crate::{
    app::App,
    pipeline,
    store::reader::{CallFilter, Reach},
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    agent_run_label: Option<String>,
    #[param(pattern = "^vk_[0-7][0-9a-hjkmnp-tv-z]{12}$")]
    key_id: Option<String>,
    vendor: Option<String>,
    idempotency_key: Option<String>,
    /// What a call made at the vendor.
    vendor_object_id: Option<String>,
    #[param(value_type = Option<CallState>)]
    state: Option<String>,
    #[param(value_type = Option<Verdict>)]
    verdict: Option<String>,
    /// From this instant on.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Before this instant.
    #[param(format = DateTime)]
    until: Option<String>,
    /// How many rows: 100 by default, 1000 at most.
    limit: Option<usize>,
    /// The last page's `next_cursor`.
    #[param(pattern = "^call_[0-7][0-9a-hjkmnp-tv-z]{12}$")]
    cursor: Option<String>,
}

/// Who reads audit rows, and which.
pub(super) struct Auditor {
    reach: Reach,
    /// Whether it learns of calls out of its reach whose idempotency key it knows.
    knows_by_key: bool,
}

impl Auditor {
    pub(super) fn into_reach(self) -> Reach {
        self.reach
    }

    fn reaches(&self, call: &Call) -> bool {
        self.reach.has(call)
    }
}

/// Lets pass an API key that may read audit rows, or a vault key of the scope `audit`.
pub(super) async fn auditor(app: &App, headers: &HeaderMap) -> Result<Auditor, Refusal> {
    let Some(token) = pipeline::vault_token(headers) else {
        let grant = allowed(app, headers, Action::ReadCalls).await?;
        let bounds = grant.bounds();
        let reach =
            Reach { label_prefix: bounds.label_prefix.clone(), vendors: bounds.vendors.clone() };
        return Ok(Auditor { reach, knows_by_key: false });
    };
    let id = app.key_of(&token).await?.id;
    let found = app.read(move |readers| readers.key_by_id(id)).await?;
    let (key, rows) = found.ok_or(Refusal::InvalidKey)?;
    if key.policy.scope != Scope::Audit {
        return Err(Refusal::NotPermitted {
            why: "only a vault key of the scope \"audit\" reads audit rows".to_owned(),
        });
    }
    if let Some(at) = rows.revoked_at(&key.chain) {
        return Err(Refusal::KeyRevoked { at, prior: None });
    }
    if app.clock.now() >= key.expires_at {
        return Err(Refusal::KeyExpired { at: key.expires_at });
    }
    let label_prefix = Some(key.label.as_str().to_owned());
    Ok(Auditor { reach: Reach { label_prefix, vendors: None }, knows_by_key: true })
}

/// A call as its reader may see it.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Seen {
    Row(Box<CallRow>),
    Known(KnownCall),
}

/// Lists calls
///
/// The newest first. A vault key of the scope `audit` reads those of its label and all labels that
/// begin so; by an `idempotency_key` it also learns what became of the call that has it.
#[utoipa::path(
    get, path = "/audit/calls", operation_id = "list_calls",
    tag = "audit", params(ListQuery),
    security(("api_key" = []), ("vault_key" = [])),
    responses((status = 200, description = "A page of calls", body = Page<Seen>), Refused),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: InQuery<ListQuery>,
) -> Answer {
    let auditor = auditor(&app, &headers).await?;
    let query = query.read()?;
    let by_key = auditor.knows_by_key && query.idempotency_key.is_some();
    let reach = if by_key { Reach::default() } else { auditor.reach.clone() };
    let wanted = page_size(query.limit);
    let filter = CallFilter { limit: wanted + 1, ..filter(query, reach)? };
    let found = app.read(move |readers| readers.calls(&filter)).await?;
    let page = Page::new(found, wanted, |call: &Call| call.id.to_string());
    // Of what is out of reach, only what binds the idempotency key.
    let told = |call: &&Call| auditor.reaches(call) || call.binding().is_some();
    let see = |call: &Call| {
        if auditor.reaches(call) {
            Seen::Row(Box::new(call.into()))
        } else {
            Seen::Known(call.into())
        }
    };
    let data = page.data.iter().filter(told).map(see).collect();
    Ok(answer(200, Page { data, next_cursor: page.next_cursor }))
}

/// The filter that a query asks for, within a reach.
pub(super) fn filter(query: ListQuery, reach: Reach) -> Result<CallFilter, Refusal> {
    let one_of = |name: &str, given: Option<String>, known: &[&str]| match given {
        Some(value) if !known.contains(&value.as_str()) => {
            Err(invalid(format!("{name} is one of: {}", known.join(", "))))
        }
        given => Ok(given),
    };
    Ok(CallFilter {
        reach,
        label: query.agent_run_label,
        label_prefix: None,
        key: query.key_id.as_deref().map(super::keys::key_id).transpose()?,
        vendor: query.vendor,
        idempotency_key: query.idempotency_key,
        object_id: query.vendor_object_id,
        state: one_of("state", query.state, &["held", "settled", "released", "in_doubt"])?,
        verdict: one_of("verdict", query.verdict, &["allowed", "denied", "replayed"])?,
        since: query.since.as_deref().map(instant).transpose()?,
        until: query.until.as_deref().map(instant).transpose()?,
        before: query
            .cursor
            .map(|cursor| {
                cursor.parse().map_err(|_| invalid("the cursor is not one that was given"))
            })
            .transpose()?,
        after: None,
        limit: page_size(query.limit),
    })
}

pub(super) fn instant(text: &str) -> Result<Timestamp, Refusal> {
    Timestamp::parse(text)
        .ok_or_else(|| invalid("since and until are instants, such as 2026-01-31T12:00:00Z"))
}

fn call_id(text: &str) -> Result<CallId, Refusal> {
    text.parse().map_err(|_| unknown(text))
}

fn unknown(call: &str) -> Refusal {
    Refusal::NotFound { what: format!("call {}", call.chars().take(40).collect::<String>()) }
}

async fn read_call(app: &App, id: CallId) -> Result<Call, Refusal> {
    let found = app.read(move |readers| readers.call(id)).await?;
    found.ok_or_else(|| unknown(&id.to_string()))
}

/// Shows a call
#[utoipa::path(
    get, path = "/audit/calls/{call_id}", operation_id = "show_call",
    tag = "audit", params(OfCall),
    security(("api_key" = []), ("vault_key" = [])),
    responses((status = 200, description = "The call", body = CallRow), Refused),
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    InPath(OfCall { call_id: call }): InPath<OfCall>,
    headers: HeaderMap,
) -> Answer {
    let auditor = auditor(&app, &headers).await?;
    let found = read_call(&app, call_id(&call)?).await?;
    if !auditor.reaches(&found) {
        return Err(unknown(&call).into());
    }
    Ok(answer(200, CallRow::from(&found)))
}

/// What became of a call, by an operator's word.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResolveRequest {
    /// Whether the vendor executed the call.
    executed: bool,
    /// For how much; the hold by default.
    #[schema(value_type = Option<Dollars>)]
    amount_usd: Option<Box<RawValue>>,
    /// What the call made at the vendor.
    vendor_object_id: Option<String>,
    /// Who says so.
    #[schema(min_length = 1, pattern = r"\S", example = "me")]
    who: String,
    /// How they know.
    #[schema(min_length = 1, pattern = r"\S", example = "seen in the dashboard")]
    why: String,
}

/// Ends a doubt
///
/// Settles or releases a call that is in doubt.
#[utoipa::path(
    post, path = "/audit/calls/{call_id}/resolve", operation_id = "resolve_call",
    tag = "audit", params(OfCall),
    request_body = ResolveRequest,
    responses((status = 200, description = "The call as it is now", body = CallRow), Refused),
)]
pub(super) async fn resolve(
    State(app): State<Arc<App>>,
    InPath(OfCall { call_id: call }): InPath<OfCall>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let grant = allowed(&app, &headers, Action::Resolve).await?;
    let id = call_id(&call)?;
    let request: ResolveRequest = read_json(&body)?;
    if request.who.trim().is_empty() || request.why.trim().is_empty() {
        return Err(invalid("who and why are needed: they stand in the audit row").into());
    }
    let found = read_call(&app, id).await?;
    let hold = found.life().map_or(MicroUsd::ZERO, |life| life.hold);
    let finding = match (request.executed, amount("amount_usd", request.amount_usd.as_deref())?) {
        (true, amount) => Finding::ResolvedSettled(amount.unwrap_or(hold)),
        (false, None) => Finding::ResolvedReleased,
        (false, Some(_)) => {
            return Err(invalid("a call that was not executed has no amount").into());
        }
    };
    let conclude = Conclude {
        call: id,
        finding,
        object_id: request.vendor_object_id,
        status: None,
        by: grant.actor().clone(),
        note: format!("resolved by {}: {}", request.who, request.why),
        awaits_bill: false,
        sealed: None,
    };
    let Reply::Ended(ended) = app.decide(Command::Conclude(Box::new(conclude))).await?.reply else {
        return Err(Refusal::LedgerUnavailable.into());
    };
    match ended {
        Ended::Recorded { .. } => Ok(answer(200, CallRow::from(&read_call(&app, id).await?))),
        Ended::Ignored => Err(invalid("this call is not in doubt; nothing was changed").into()),
    }
}
