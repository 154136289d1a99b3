//! The durable background task that finds out about calls in doubt.
//!
//! What is in doubt stands in the ledger, so a restart forgets nothing but how often was looked.
//! It looks soon at first, then less and less often, and never sends a call again.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use keybrake_core::{
    access::Actor,
    ids::CallId,
    ledger::{Command, Conclude, Finding, rows::Call},
    path::CanonicalPath,
    policy::Endpoint,
    time::Timestamp,
    vendor::lookup::{Found, Search, Verdict},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, Vendor},
    gate::{Gate, SEND_WITHIN},
    pipeline::StoredAnswer,
    upstream::read_whole,
    vendor_request,
};

/// How often the calls in doubt are gone through.
const ROUND: Duration = Duration::from_secs(1);
/// The first pause after a look-up that proved nothing; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// How often answers that are too old are forgotten.
const PRUNE_EVERY: Duration = Duration::from_hours(1);

/// When a call is looked up next, and after which pause again.
struct Turn {
    next: Timestamp,
    pause: Duration,
}

/// Looks up calls in doubt until it is told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut turns = HashMap::new();
    let mut pruned: Option<Instant> = None;
    while !stop.is_cancelled() {
        round(&app, &mut turns).await;
        if pruned.is_none_or(|at| at.elapsed() > PRUNE_EVERY) {
            pruned = Some(Instant::now());
            if app.writer.prune_answers(app.clock.now().before(app.answers_kept)).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
    }
}

async fn round(app: &App, turns: &mut HashMap<CallId, Turn>) {
    let Ok(in_doubt) = app.read(crate::store::reader::Readers::in_doubt).await else {
        return;
    };
    turns.retain(|call, _| in_doubt.iter().any(|doubted| doubted.id == *call));
    for call in in_doubt {
        let now = app.clock.now();
        let turn = turns.entry(call.id).or_insert(Turn { next: now, pause: FIRST_PAUSE });
        if now >= turn.next {
            look_up(app, &call).await;
            turn.next = app.clock.now().after(turn.pause);
            turn.pause = (turn.pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Looks one call up, and tells the ledger what it means.
async fn look_up(app: &App, call: &Call) {
    let Some(vendor) = app.vendors.get(&call.request.vendor) else {
        return;
    };
    let Ok(path) = CanonicalPath::parse(&call.request.path) else {
        return;
    };
    let endpoint = Endpoint { method: call.request.method, path };
    let looked_at = app.clock.now();
    let rule = vendor.definition.rule(&endpoint);
    let Some(mut search) = vendor.definition.search_for(rule, call, looked_at) else {
        return;
    };
    let (finding, note, found) = match read_all(app, vendor, &mut search).await {
        Some(Verdict::Found { id, path }) => {
            let object = fetch(app, vendor, &path).await;
            let Some(found) = object.and_then(|object| search.found(call, &object)) else {
                return;
            };
            let note = format!("looked up: the vendor has {id}");
            (Finding::moved(found.moved), note, Some((id, found)))
        }
        Some(Verdict::Absent) => {
            let absent = Finding::Absent {
                attempt: call.attempt,
                looked_at,
                absent_after: absent_after(app, vendor),
                stands: None,
            };
            (absent, "looked up: the vendor has no such object".to_owned(), None)
        }
        Some(Verdict::Unclear { candidates }) => {
            tracing::warn!(call = %call.id, candidates, "a look-up proved nothing");
            return;
        }
        None => return,
    };
    let conclude = Conclude {
        call: call.id,
        finding,
        status: found.as_ref().map(|(_, found)| found.status),
        sealed: found.as_ref().map(|(_, found)| sealed(app, call, found)),
        object_id: found.map(|(id, _)| id),
        by: Actor::look_up(),
        note,
        awaits_bill: false,
    };
    match app.decide(Command::Conclude(Box::new(conclude))).await {
        Ok(decided) => {
            tracing::info!(call = %call.id, ?finding, reply = ?decided.reply, "looked up");
        }
        Err(refusal) => tracing::warn!(call = %call.id, %refusal, "a look-up is not recorded"),
    }
}

/// How long after its begin an attempt may still be sent, be answered, and become visible.
fn absent_after(app: &App, vendor: &Vendor) -> Duration {
    let visible_after =
        vendor.definition.lookup.as_ref().map_or(Duration::MAX, |how| how.visible_after);
    SEND_WITHIN.saturating_add(app.vendor_timeout).saturating_add(visible_after)
}

/// The answer that a found object stands for, for whoever asks again.
fn sealed(app: &App, call: &Call, found: &Found) -> Vec<u8> {
    let body = Bytes::from(found.answer.to_string());
    StoredAnswer::found(found.status, body).seal(&app.seal, call.id)
}

async fn read_all(app: &App, vendor: &Vendor, search: &mut Search<'_>) -> Option<Verdict> {
    while let Some(page) = search.next() {
        let body = fetch(app, vendor, &page).await?;
        search.read(&body);
    }
    Some(search.verdict())
}

/// Reads one page or object. Nothing is concluded from an answer that is not a whole 200.
async fn fetch(app: &App, vendor: &Vendor, path_and_query: &str) -> Option<Value> {
    let gate = Arc::new(Gate::new(Instant::now(), app.clock.clone()));
    let request = vendor_request::build(
        vendor,
        &Method::GET,
        path_and_query,
        &HeaderMap::new(),
        None,
        Bytes::new(),
        gate,
    );
    let answer = app.upstream.send(request.ok()?, app.vendor_timeout).await.ok()?;
    if answer.status().as_u16() != 200 {
        tracing::warn!(status = answer.status().as_u16(), "the vendor did not answer a look-up");
        return None;
    }
    let body = read_whole(answer.into_body(), MAX_ANSWER, app.vendor_timeout).await.ok()?;
    if vendor.leaks_into(&body) {
        return None;
    }
    serde_json::from_slice(&body).ok()
}
