//! Finding out about a call that has no answer: what to ask the vendor, and what it means.
//!
//! Finding an object settles. Finding none is evidence only where every list was read to its end
//! and the object would have been visible by then; the ledger checks the time. More than one
//! candidate proves nothing.

use std::collections::BTreeSet;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    ids::CallId,
    ledger::rows::Call,
    money::MicroUsd,
    time::Timestamp,
    vendor::{
        definition::{Definition, Events, Priced, PricedLookup, Rule},
        price::fill,
    },
};

/// The most pages of one list of events that are read.
const MAX_PAGES: usize = 50;
/// How far the vendor's clock and ours may differ, in seconds.
const CLOCK_SKEW: i64 = 300;

/// What is to be read to find out about a call.
#[derive(Debug)]
pub struct Search<'a> {
    priced: &'a Priced,
    lookup: &'a PricedLookup,
    events: Option<&'a Events>,
    idempotency_key: String,
    pending: Vec<Page>,
    candidates: BTreeSet<String>,
    complete: bool,
}

#[derive(Clone, Debug)]
enum Page {
    Search(String),
    Events { list: String, after: String, number: usize },
}

/// What all that was read says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One object: it has this path.
    Found {
        /// The vendor's id.
        id: String,
        /// Where to read it.
        path: String,
    },
    /// No object anywhere.
    Absent,
    /// Candidates, or lists that were not read to their end.
    Unclear {
        /// How many candidates there are.
        candidates: usize,
    },
}

/// What a found object means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How much it moved or committed.
    pub moved: MicroUsd,
    /// The status of the answer that it stands for.
    pub status: u16,
    /// The answer that it stands for.
    pub answer: Value,
}

impl Definition {
    /// How to find out about a call in doubt; `None` where this vendor offers no way.
    #[must_use]
    pub fn search_for<'a>(
        &'a self,
        rule: Rule<'a>,
        call: &Call,
        now: Timestamp,
    ) -> Option<Search<'a>> {
        let Rule::Priced(priced) = rule else {
            return None;
        };
        let (lookup, how) = priced.lookup.as_ref().zip(self.lookup.as_ref())?;
        let idempotency_key = call.request.idempotency_key.clone()?;
        let searched = call.tagged.then(|| {
            search_page(
                lookup.search.as_deref()?,
                how.search.as_deref()?,
                how.search_query.as_deref()?,
                call.id,
            )
        });
        let listed: Option<Vec<_>> = how.events.as_ref().and_then(|events| {
            let list = |kind: &String| events_page(events, kind, call.at, now);
            lookup.events.iter().map(list).collect()
        });
        let complete = listed.as_ref().is_some_and(|lists| !lists.is_empty());
        let pending = listed.into_iter().flatten().chain(searched.flatten());
        Some(Search {
            priced,
            lookup,
            events: how.events.as_ref(),
            idempotency_key,
            pending: pending.collect(),
            candidates: BTreeSet::new(),
            complete,
        })
    }
}

fn search_page(path: &str, template: &str, query: &str, call: CallId) -> Option<Page> {
    let query = fill(query, |_| Some(call.to_string()))?;
    let encoded = utf8_percent_encode(&query, NON_ALPHANUMERIC).to_string();
    let filled = fill(template, |_| Some(encoded.clone()))?;
    Some(Page::Search(format!("{path}?{filled}")))
}

fn events_page(events: &Events, kind: &str, sent: Timestamp, now: Timestamp) -> Option<Page> {
    let list = fill(&events.list, |name| match name {
        "type" => Some(kind.to_owned()),
        "since" => Some(sent.as_seconds().saturating_sub(CLOCK_SKEW).to_string()),
        "until" => Some(now.as_seconds().saturating_add(CLOCK_SKEW).to_string()),
        _ => None,
    })?;
    Some(Page::Events { list, after: String::new(), number: 1 })
}

impl Search<'_> {
    /// Path and query of the next page to read; `None` when all is read.
    #[must_use]
    pub fn next(&self) -> Option<String> {
        match self.pending.last()? {
            Page::Search(path) => Some(path.clone()),
            Page::Events { list, after, .. } => Some(format!("{list}{after}")),
        }
    }

    /// Takes in the page that was asked for.
    pub fn read(&mut self, body: &Value) {
        let items = body.pointer("/data").and_then(Value::as_array);
        match (self.pending.pop(), items) {
            (Some(Page::Search(_)), Some(items)) => {
                let object = &self.priced.settled.object;
                self.admit(items.iter().map(|item| id_at(item, object)).collect());
            }
            (Some(Page::Events { list, number, .. }), Some(items)) => {
                let Some(events) = self.events else { return };
                let ours = |event: &&Value| {
                    let key = event.pointer(&events.idempotency_key).and_then(Value::as_str);
                    key == Some(self.idempotency_key.as_str())
                };
                let told = items.iter().filter(ours);
                self.admit(told.map(|event| id_at(event, &events.object)).collect());
                if body.pointer("/has_more").and_then(Value::as_bool) != Some(false) {
                    let last = items.last().and_then(|event| id_at(event, "/id"));
                    let after = last
                        .filter(|_| number < MAX_PAGES)
                        .and_then(|last| fill(&events.next, |_| Some(last.clone())));
                    match after {
                        Some(after) => {
                            self.pending.push(Page::Events { list, after, number: number + 1 });
                        }
                        None => self.complete = false,
                    }
                }
            }
            (_, None) | (None, Some(_)) => self.complete = false,
        }
    }

    /// Takes in candidates. One whose id can't be read is there all the same.
    fn admit(&mut self, ids: Vec<Option<String>>) {
        self.complete &= ids.iter().all(Option::is_some);
        self.candidates.extend(ids.into_iter().flatten());
    }

    /// What was read so far says, when there is no next page.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let mut candidates = self.candidates.iter();
        match (candidates.next(), candidates.next()) {
            (Some(id), None) => match fill(&self.lookup.object, |_| plain(id)) {
                Some(path) => Verdict::Found { id: id.clone(), path },
                None => Verdict::Unclear { candidates: 1 },
            },
            (None, _) if self.complete => Verdict::Absent,
            _ => Verdict::Unclear { candidates: self.candidates.len() },
        }
    }

    /// What the object means that was found.
    #[must_use]
    pub fn found(&self, call: &Call, object: &Value) -> Option<Found> {
        let hold = call.life()?.hold;
        let moved = self.priced.moved(hold, object);
        let status = object.pointer(&self.priced.settled.status).and_then(Value::as_str)?;
        let nothing = self.priced.settled.nothing.iter().any(|none| none == status);
        let Some(declined) = self.lookup.declined.as_ref().filter(|_| nothing) else {
            return Some(Found { moved, status: 200, answer: object.clone() });
        };
        let kind = object.pointer("/object").and_then(Value::as_str).unwrap_or("object");
        let answer = json!({ "error": {
            "type": declined.kind, "code": object.pointer(&declined.code),
            "message": object.pointer(&declined.message), kind: id_at(object, &self.priced.settled.object),
        }});
        Some(Found { moved, status: 402, answer })
    }
}

fn id_at(item: &Value, pointer: &str) -> Option<String> {
    item.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

/// An id that may stand in a path.
fn plain(id: &str) -> Option<String> {
    let plain =
        !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    plain.then(|| id.to_owned())
}

#[cfg(test)]
mod tests;
