//! The durable background task that finds out about calls in doubt, and what calls cost whose
//! vendor says so only later.
//!
//! Which those are stands in the ledger, so a restart forgets nothing but how often was looked.
//! It looks soon at first, then less and less often, and never sends a call again.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use keybrake_core::{
    access::Actor,
    call::State,
    ids::CallId,
    ledger::{Command, Conclude, Finding, rows::Call},
    path::CanonicalPath,
    policy::Endpoint,
    time::Timestamp,
    vendor::{
        amount::Exchange,
        definition::Rule,
        lookup::{Found, Search, Verdict},
    },
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, Vendor},
    gate::{Gate, SEND_WITHIN},
    pipeline::StoredAnswer,
    upstream::read_whole,
    vendor_request::{self, Content},
};

/// How often the calls in doubt are gone through.
const ROUND: Duration = Duration::from_secs(1);
/// The first pause after a look-up that proved nothing; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// How many calls are looked up at once.
const AT_ONCE: usize = 8;
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
    let open = app.read(crate::store::reader::Readers::to_look_up).await;
    let Ok(open) = open else {
        return;
    };
    turns.retain(|call, _| open.iter().any(|open| open.id == *call));
    let now = app.clock.now();
    let is_due = |call: &Call| {
        let turn = turns.entry(call.id).or_insert(Turn { next: now, pause: FIRST_PAUSE });
        let due = now >= turn.next;
        if due {
            turn.next = now.after(turn.pause);
            turn.pause = (turn.pause * 2).min(LONGEST_PAUSE);
        }
        due
    };
    let due: Vec<Call> = open.into_iter().filter(is_due).collect();
    futures_util::stream::iter(&due).for_each_concurrent(AT_ONCE, |call| look_up(app, call)).await;
}

/// Looks one call up, and tells the ledger what it means.
async fn look_up(app: &App, call: &Call) {
    let found = match call.life().map(|life| life.state) {
        Some(State::InDoubt) => find_out(app, call).await,
        Some(State::Settled(_)) if call.awaits_bill => ask_for_bill(app, call).await,
        Some(State::Settled(_) | State::Held | State::Released) | None => return,
    };
    let Some(conclude) = found else {
        return;
    };
    let finding = conclude.finding;
    match app.decide(Command::Conclude(Box::new(conclude))).await {
        Ok(decided) => {
            tracing::info!(call = %call.id, ?finding, reply = ?decided.reply, "looked up");
        }
        Err(refusal) => tracing::warn!(call = %call.id, %refusal, "a look-up is not recorded"),
    }
}

/// A call at its vendor.
struct Subject<'a> {
    vendor: &'a Vendor,
    endpoint: Endpoint,
    call: &'a Call,
}

impl<'a> Subject<'a> {
    fn new(app: &'a App, call: &'a Call) -> Option<Self> {
        let vendor = app.vendors.get(&call.request.vendor)?;
        let path = CanonicalPath::parse(&call.request.path).ok()?;
        Some(Self { vendor, endpoint: Endpoint { method: call.request.method, path }, call })
    }

    fn rule(&self) -> Rule<'_> {
        self.vendor.definition.rule_of(&self.endpoint, self.call.object.is_some())
    }

    fn concludes(&self, finding: Finding, note: String) -> Conclude {
        Conclude {
            call: self.call.id,
            finding,
            object_id: None,
            status: None,
            by: Actor::look_up(),
            note,
            awaits_bill: false,
            sealed: None,
        }
    }

    /// Whether the time is over after which an operator has to find out.
    fn gives_up(&self, app: &App) -> bool {
        let after = self.vendor.definition.lookup.as_ref().map(|how| how.gives_up_after);
        app.clock.now().since(self.call.at) > after.unwrap_or_default()
    }
}

/// Finds out what became of a call in doubt. `None` where nothing is to be recorded.
async fn find_out(app: &App, call: &Call) -> Option<Conclude> {
    let subject = Subject::new(app, call)?;
    let known = search(app, &subject).await;
    if known.is_some() || call.note.is_some() || !subject.gives_up(app) {
        return known;
    }
    let note = format!(
        "not found out by {}: ask {} what became of it, and resolve it",
        app.clock.now(),
        call.request.vendor
    );
    Some(subject.concludes(Finding::NotFoundOut, note))
}

async fn search(app: &App, subject: &Subject<'_>) -> Option<Conclude> {
    let (definition, call) = (&subject.vendor.definition, subject.call);
    let looked_at = app.clock.now();
    let rule = subject.rule();
    let mut search = definition.search_for(rule, &subject.endpoint, call, looked_at)?;
    let rates = app.rates();
    let exchange = Exchange::new(&rates, looked_at);
    match read_all(app, subject, &mut search).await? {
        Verdict::Found { id, path } => {
            let object = fetch(app, subject, &path).await?;
            let found = search.found(&object, &exchange)?;
            let note = format!("looked up: the vendor has {id}");
            Some(Conclude {
                status: Some(found.status),
                sealed: Some(sealed(app, call, &found)),
                object_id: Some(id),
                awaits_bill: matches!(rule, Rule::Priced(priced) if priced.bill.is_some()),
                ..subject.concludes(Finding::Found(found.effect), note)
            })
        }
        Verdict::Absent => {
            let stands = match search.object_path() {
                Some(path) => Some(search.stands(&fetch(app, subject, &path).await?, &exchange)?),
                None => None,
            };
            let absent = Finding::Absent {
                attempt: call.attempt,
                looked_at,
                absent_after: absent_after(app, subject.vendor),
                stands,
            };
            let note = match stands {
                Some(stands) => format!(
                    "looked up: no trace of it; the object that it is about stands for {stands} USD"
                ),
                None => "looked up: the vendor has no such object".to_owned(),
            };
            Some(subject.concludes(absent, note))
        }
        Verdict::Unclear { candidates } => {
            tracing::warn!(call = %call.id, candidates, "a look-up proved nothing");
            None
        }
    }
}

/// Asks for the final price of a call that is settled at its quote.
async fn ask_for_bill(app: &App, call: &Call) -> Option<Conclude> {
    let subject = Subject::new(app, call)?;
    let (definition, rule) = (&subject.vendor.definition, subject.rule());
    let path = definition.bill_of(rule, &subject.endpoint, call);
    let object = match &path {
        Some(path) => fetch(app, &subject, path).await,
        None => None,
    };
    let rates = app.rates();
    let exchange = Exchange::new(&rates, app.clock.now());
    let billed = object.and_then(|object| definition.billed(rule, &object, &exchange));
    match billed {
        Some(price) => {
            let note = format!("billed at {price} USD");
            Some(subject.concludes(Finding::Billed(price), note))
        }
        None if path.is_none() || subject.gives_up(app) => {
            let note = "the vendor does not say its price: it stays at what was held".to_owned();
            Some(subject.concludes(Finding::NotBilled, note))
        }
        None => None,
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

async fn read_all(app: &App, subject: &Subject<'_>, search: &mut Search<'_>) -> Option<Verdict> {
    while let Some(page) = search.next() {
        let body = fetch(app, subject, &page).await?;
        search.read(&body);
    }
    if search.goes_by_likeness() {
        leave_out_siblings(app, subject.call, search).await?;
    }
    Some(search.verdict())
}

/// Leaves out the objects that other calls made. `None` while a call to the same recipient has not
/// said which is its own: then nobody can tell whose object is whose.
async fn leave_out_siblings(app: &App, call: &Call, search: &mut Search<'_>) -> Option<()> {
    let (asked, candidates) = (call.clone(), search.candidates());
    let siblings = app.read(move |readers| readers.siblings(&asked, &candidates)).await.ok()?;
    let may_own_any = |sibling: &Call| {
        let released = sibling.life().is_none_or(|life| life.state == State::Released);
        !released && sibling.answer.object_id.is_none()
    };
    if siblings.iter().any(may_own_any) {
        tracing::warn!(call = %call.id, "another call to the same recipient has no answer either");
        return None;
    }
    search.disown(siblings.iter().filter_map(|sibling| sibling.answer.object_id.as_deref()));
    Some(())
}

/// Reads one page or object. Nothing is concluded from an answer that is not a whole 200.
async fn fetch(app: &App, subject: &Subject<'_>, path_and_query: &str) -> Option<Value> {
    let gate = Arc::new(Gate::new(Instant::now(), app.clock.clone()));
    let mut headers = HeaderMap::new();
    if let Some((name, account)) =
        subject.call.request.account.as_deref().and_then(|account| account.split_once('='))
    {
        headers.insert(HeaderName::try_from(name).ok()?, HeaderValue::from_str(account).ok()?);
    }
    let request = vendor_request::build(
        subject.vendor,
        &Method::GET,
        path_and_query,
        &headers,
        Content::None,
        gate,
    );
    let answer = app.upstream.send(request.ok()?, app.vendor_timeout).await.ok()?;
    if answer.status().as_u16() != 200 {
        tracing::warn!(status = answer.status().as_u16(), "the vendor did not answer a look-up");
        return None;
    }
    let body = read_whole(answer.into_body(), MAX_ANSWER, app.vendor_timeout).await.ok()?;
    if subject.vendor.leaks_into(&body) {
        return None;
    }
    serde_json::from_slice(&body).ok()
}
