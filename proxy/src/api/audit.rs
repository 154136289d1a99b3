//! Reading the audit log, and ending a doubt by an operator's word.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::HeaderMap,
};
use keybrake_core::{
    call::Event,
    ids::CallId,
    ledger::{Command, Conclude, Ended, Reply},
    money::MicroUsd,
    refusal::Refusal,
    time::Timestamp,
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{Answer, answer, calls, invalid, read_json, require_admin};
use crate::{app::App, store::reader::CallFilter};

/// The most rows of one page.
const MOST: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    agent_run_label: Option<String>,
    key_id: Option<String>,
    vendor: Option<String>,
    idempotency_key: Option<String>,
    vendor_object_id: Option<String>,
    state: Option<String>,
    verdict: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /audit/calls`: the newest first, page by page.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    require_admin(&app, &headers)?;
    let Query(query) = query.map_err(|error| invalid(error.body_text()))?;
    let filter = filter(query)?;
    let (asked, wanted) = (CallFilter { limit: filter.limit + 1, ..filter.clone() }, filter.limit);
    let mut found = app.read(move |readers| readers.calls(&asked)).await?;
    let more = found.len() > wanted;
    found.truncate(wanted);
    let next = found.last().filter(|_| more).map(|call| call.id.to_string());
    let data: Vec<_> = found.iter().map(calls::row).collect();
    Ok(answer(200, json!({ "data": data, "next_cursor": next })))
}

fn filter(query: ListQuery) -> Result<CallFilter, Refusal> {
    let one_of = |name: &str, given: Option<String>, known: &[&str]| match given {
        Some(value) if !known.contains(&value.as_str()) => {
            Err(invalid(format!("{name} is one of: {}", known.join(", "))))
        }
        given => Ok(given),
    };
    Ok(CallFilter {
        label: query.agent_run_label,
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
        limit: query.limit.unwrap_or(100).clamp(1, MOST),
    })
}

fn instant(text: &str) -> Result<Timestamp, Refusal> {
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    let at = parsed
        .map_err(|_| invalid("since and until are instants, such as 2026-01-31T12:00:00Z"))?;
    Ok(Timestamp::from_micros(at.as_microsecond()))
}

fn call_id(text: &str) -> Result<CallId, Refusal> {
    text.parse().map_err(|_| unknown(text))
}

fn unknown(call: &str) -> Refusal {
    Refusal::NotFound { what: format!("call {}", call.chars().take(40).collect::<String>()) }
}

/// `GET /audit/calls/{call_id}`.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(call): Path<String>,
    headers: HeaderMap,
) -> Answer {
    require_admin(&app, &headers)?;
    let id = call_id(&call)?;
    let found = app.read(move |readers| readers.call(id)).await?.ok_or_else(|| unknown(&call))?;
    Ok(answer(200, calls::row(&found)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResolveRequest {
    /// Whether the vendor executed the call.
    executed: bool,
    /// For how much; the hold by default.
    amount_usd: Option<Box<RawValue>>,
    vendor_object_id: Option<String>,
    who: String,
    why: String,
}

/// `POST /audit/calls/{call_id}/resolve`.
pub(super) async fn resolve(
    State(app): State<Arc<App>>,
    Path(call): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    require_admin(&app, &headers)?;
    let id = call_id(&call)?;
    let request: ResolveRequest = read_json(&body)?;
    if request.who.trim().is_empty() || request.why.trim().is_empty() {
        return Err(invalid("who and why are needed: they stand in the audit row").into());
    }
    let found = app.read(move |readers| readers.call(id)).await?.ok_or_else(|| unknown(&call))?;
    let hold = found.life().map_or(MicroUsd::ZERO, |life| life.hold);
    let amount =
        request.amount_usd.as_deref().map(|raw| MicroUsd::parse(raw.get().trim_matches('"')));
    let amount =
        amount.transpose().map_err(|_| invalid("amount_usd is not an amount of dollars"))?;
    let event = match (request.executed, amount) {
        (true, amount) => Event::ResolvedSettled(amount.unwrap_or(hold)),
        (false, None) => Event::ResolvedReleased,
        (false, Some(_)) => {
            return Err(invalid("a call that was not executed has no amount").into());
        }
    };
    let conclude = Conclude {
        call: id,
        attempt: None,
        event,
        absent_after: Duration::ZERO,
        looked_at: app.clock.now(),
        object_id: request.vendor_object_id,
        status: None,
        note: format!("resolved by {}: {}", request.who, request.why),
        sealed: None,
    };
    match app.decide(Command::Conclude(Box::new(conclude))).await?.reply {
        Reply::Ended(Ended::Recorded { .. }) => {
            let resolved =
                app.read(move |readers| readers.call(id)).await?.ok_or_else(|| unknown(&call))?;
            Ok(answer(200, calls::row(&resolved)))
        }
        Reply::Ended(Ended::Ignored) => {
            Err(invalid("this call is not in doubt; nothing was changed").into())
        }
        Reply::Issued(_)
        | Reply::Revoked(_)
        | Reply::Peeked(_)
        | Reply::Begun(_)
        | Reply::Recovered(_) => Err(Refusal::LedgerUnavailable.into()),
    }
}
