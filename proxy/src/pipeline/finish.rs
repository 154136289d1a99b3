//! What became of it? Records the evidence, and answers.
//!
//! The record is queued before the answer goes out, and it is never given up: while the ledger
//! fails it is tried again, and if the process dies the call is in doubt. Where the vendor
//! deduplicates, the answer does not wait for the record's commit: a crash in between leaves a
//! call in doubt, which a retry or a look-up resolves. Where it does not, it waits.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, Response};
use keybrake_core::{
    call::Evidence,
    ledger::{self, Command, Quote, rows::Request},
    money::MicroUsd,
    params::Params,
    path::CanonicalPath,
    policy::{Endpoint, Method, OnDecline},
    refusal::Refusal,
    vendor::{
        amount::Exchange,
        definition::Rule,
        outcome::{Answer, Outcome, Quoted},
    },
};
use tokio::sync::oneshot;

use super::{
    answer::{self, Ours, StoredAnswer},
    begin::Held,
    forward::{self, VendorAnswer},
    permit::Target,
    quote,
};
use crate::{app::App, upstream::NoAnswer};

/// The longest pause before a record is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Records what came back for a call and answers its caller. Returns the call that takes back what
/// a decline left committed, where its key's policy asks for that.
pub(super) async fn finish(
    app: &App,
    exchange: forward::Exchange,
    sender: oneshot::Sender<Response<Body>>,
) -> Option<quote::Quoted> {
    let forward::Exchange { held, answer } = exchange;
    let outcome = outcome(app, &held, &answer);
    let record = record(app, &held, &answer, &outcome);
    tracing::info!(call = %held.call.call, attempt = held.call.attempt, status = record.answer.status, evidence = ?outcome.evidence, "answered");
    let deduplicates = held.target.vendor.definition.idempotency.is_some();
    let queued = app.writer.queue(Command::Finish(Box::new(record.clone()))).await;
    let reply = reply(&held, answer, &outcome);
    if deduplicates {
        // A client that hung up does not hear it: its retry gets the stored answer.
        sender.send(reply).ok();
        commit(app, record, queued).await;
    } else {
        commit(app, record, queued).await;
        sender.send(reply).ok();
    }
    cancel_after(held, &outcome)
}

type Queued = Result<
    oneshot::Receiver<Result<crate::store::writer::Decided, crate::store::StoreError>>,
    crate::store::StoreError,
>;

/// Waits for the record's commit, and tries again until there is one.
async fn commit(app: &App, record: ledger::Finish, queued: Queued) {
    let mut committed = match queued {
        Ok(receiver) => receiver.await.is_ok_and(|decided| decided.is_ok()),
        Err(_) => false,
    };
    let mut pause = Duration::from_millis(50);
    while !committed {
        tracing::error!(call = %record.call, "what became of a call is not recorded yet; trying again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        committed = app.writer.decide(Command::Finish(Box::new(record.clone()))).await.is_ok();
    }
}

fn outcome(app: &App, held: &Held, answer: &VendorAnswer) -> Outcome {
    let target = &held.target;
    let answer = match answer {
        VendorAnswer::None(NoAnswer::NotSent) => Answer::NotSent,
        VendorAnswer::None(NoAnswer::Lost) => Answer::None,
        VendorAnswer::Unreadable { status, .. } | VendorAnswer::Streamed { status, .. } => {
            Answer::Unreadable { status: *status }
        }
        VendorAnswer::Whole { status, body, .. } => Answer::Whole { status: *status, body },
    };
    let rates = app.rates();
    let quoted = Quoted::of(&held.call, Exchange::new(&rates, app.clock.now()));
    let is_read = target.endpoint.method.is_read();
    target.vendor.definition.outcome(target.rule(), is_read, &quoted, answer)
}

fn record(app: &App, held: &Held, answer: &VendorAnswer, outcome: &Outcome) -> ledger::Finish {
    let vendor = &held.target.vendor;
    let (status, headers) = match answer {
        VendorAnswer::None(_) => (None, None),
        VendorAnswer::Unreadable { status, headers }
        | VendorAnswer::Whole { status, headers, .. }
        | VendorAnswer::Streamed { status, headers, .. } => (Some(*status), Some(headers)),
    };
    let request_id = |headers: &HeaderMap| {
        let name = vendor.definition.headers.request_id.as_deref()?;
        Some(headers.get(name)?.to_str().ok()?.chars().take(200).collect())
    };
    let sealed = match (answer, outcome.evidence) {
        (VendorAnswer::Whole { status, headers, body }, Evidence::Executed(_))
            if !vendor.leaks_into(body) =>
        {
            let stored =
                StoredAnswer { status: *status, headers: headers.clone(), body: body.clone() };
            Some(stored.seal(&app.seal, held.call.call))
        }
        _ => None,
    };
    ledger::Finish {
        call: held.call.call,
        attempt: held.call.attempt,
        evidence: outcome.evidence,
        awaits_bill: matches!(held.target.rule(), Rule::Priced(priced) if priced.bill.is_some())
            && outcome.object_id.is_some(),
        sent_at: held.gate.sent_at(),
        answer: ledger::rows::VendorAnswer {
            status,
            request_id: headers.and_then(request_id),
            object_id: outcome.object_id.clone().filter(|id| !vendor.leaks_into(id.as_bytes())),
        },
        sealed,
    }
}

/// The call that cancels what a decline left committed, where the key's policy asks for that.
fn cancel_after(held: Box<Held>, outcome: &Outcome) -> Option<quote::Quoted> {
    let Held { call, target, request, key, .. } = *held;
    let Rule::Priced(priced) = target.rule() else {
        return None;
    };
    let template = priced.cancel.as_deref()?;
    if !outcome.declined || key.policy.on_decline != OnDecline::Cancel {
        return None;
    }
    let id = outcome.object_id.clone()?;
    let path = CanonicalPath::parse(&template.replace("{id}", &id)).ok()?;
    let endpoint = Endpoint { method: Method::Post, path };
    let params = Params::none();
    let request = Request {
        path: endpoint.path.to_string(),
        context: Some(format!("cancels what the decline of {} left", call.call)),
        idempotency_key: Some(format!("kb-cancel-{}-{}", call.call, call.attempt)),
        fingerprint: params.fingerprint(&endpoint, &[]),
        likeness: None,
        ..request
    };
    let quote = Ok(Quote { object: Some(id), ..Quote::nothing() });
    let headers = target.headers.clone();
    let vendor = target.vendor;
    let target = Target { vendor, endpoint, params, json: None, query: None, headers };
    Some(quote::Quoted { key, request, target: Ok(target), quote })
}

fn reply(held: &Held, answer: VendorAnswer, outcome: &Outcome) -> Response<Body> {
    let vendor = &held.target.vendor;
    let ours = Ours {
        call: held.call.call,
        remaining: held.call.remaining,
        expires_at: held.key.expires_at,
    };
    let is_free_read = held.target.endpoint.method.is_read() && held.call.at_most == MicroUsd::ZERO;
    let retry_helps = vendor.definition.idempotency.is_some();
    // A retry that was refused says nothing about the attempt before it.
    let still_in_doubt = held.call.attempt > 1 && outcome.evidence == Evidence::NotExecuted;
    let refusal = match &answer {
        VendorAnswer::None(_) if is_free_read => Some(Refusal::VendorUnreachable),
        _ if outcome.evidence == Evidence::Unknown || still_in_doubt => {
            Some(Refusal::OutcomeUnknown { retry_helps })
        }
        VendorAnswer::None(_) => Some(Refusal::VendorUnreachable),
        _ if outcome.secret_refused => Some(Refusal::VendorRefusedSecret),
        VendorAnswer::Unreadable { .. } => {
            Some(Refusal::AnswerPruned { vendor_object_id: outcome.object_id.clone() })
        }
        VendorAnswer::Whole { body, .. } if vendor.leaks_into(body) => {
            Some(Refusal::AnswerWithheld)
        }
        VendorAnswer::Whole { .. } | VendorAnswer::Streamed { .. } => None,
    };
    match (refusal, answer) {
        (Some(refusal), _) => answer::refuse_ours(&refusal, &ours),
        (None, VendorAnswer::Whole { status, headers, body }) => {
            StoredAnswer { status, headers, body }.respond(&ours)
        }
        (None, VendorAnswer::Streamed { status, headers, body }) => {
            answer::stream(vendor, status, headers, body, &ours)
        }
        (None, VendorAnswer::None(_) | VendorAnswer::Unreadable { .. }) => {
            answer::refuse_ours(&Refusal::VendorUnreachable, &ours)
        }
    }
}
