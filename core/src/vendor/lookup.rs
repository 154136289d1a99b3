//! Finding out about a call that has no answer: what to ask the vendor, and what it means.
//!
//! Finding an object settles. Finding none is evidence only where every list was read to its end
//! and the object would have been visible by then; the ledger checks the time. More than one
//! candidate proves nothing.

use std::collections::BTreeSet;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    amount::{Exchange, currency_at},
    definition::{Bill, Definition, Events, List, Priced, PricedLookup, Rule},
    outcome::text,
    price::{fill, plain},
};
use crate::{
    call::Effect, currency::Currency, ids::CallId, ledger::rows::Call, money::MicroUsd,
    params::Params, policy::Endpoint, time::Timestamp,
};

/// The most pages of one list that are read.
const MAX_PAGES: usize = 50;
/// How far the vendor's clock and ours may differ, in seconds.
const CLOCK_SKEW: i64 = 300;
/// How many bytes of a parameter's hash are kept to recognise it by.
const LIKENESS: usize = 8;

/// What is to be read to find out about a call.
#[derive(Debug)]
pub struct Search<'a> {
    definition: &'a Definition,
    priced: &'a Priced,
    lookup: &'a PricedLookup,
    call: &'a Call,
    endpoint: &'a Endpoint,
    pending: Vec<Page>,
    candidates: BTreeSet<String>,
    /// Objects in a list without tags that the call could have made, although they are not alike.
    strangers: BTreeSet<String>,
    complete: bool,
}

#[derive(Clone, Debug)]
enum Page {
    Search(String),
    Events { list: String, after: String, number: usize },
    List { path: String, number: usize },
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
    /// No trace of the call anywhere.
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
    /// What the call did.
    pub effect: Effect,
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
        endpoint: &'a Endpoint,
        call: &'a Call,
        now: Timestamp,
    ) -> Option<Search<'a>> {
        let Rule::Priced(priced) = rule else {
            return None;
        };
        let (lookup, how) = priced.lookup.as_ref().zip(self.lookup.as_ref())?;
        call.request.idempotency_key.as_ref()?;
        let mut search = Search {
            definition: self,
            priced,
            lookup,
            call,
            endpoint,
            pending: Vec::new(),
            candidates: BTreeSet::new(),
            strangers: BTreeSet::new(),
            complete: true,
        };
        let event = |kind: &String| events_page(how.events.as_ref()?, kind, call.at, now);
        // What carries no tag of ours is not found by it.
        let can_tell = |list: &List| list.tag.is_none() || call.tagged;
        let list = |list: &List| {
            can_tell(list).then_some(())?;
            let path = fill(&list.get, |name| search.blank(name, now))?;
            Some(Page::List { path, number: 1 })
        };
        let events = lookup.events.iter().map(event);
        let lists: Vec<_> = events.chain(lookup.list.iter().map(list)).collect();
        // A vendor writes an address in its own way, and filters by that: of another spelling
        // neither the list nor the calls to the same recipient are known.
        let address = call.request.customer.as_deref().filter(|_| search.goes_by_likeness());
        let is_plain = |address: &str| {
            address.bytes().all(|b| b.is_ascii_alphanumeric() || b"+:@._-".contains(&b))
        };
        // A search shows objects late, so that finding nothing by it alone proves nothing. What a
        // call about an object did can be seen at the object.
        search.complete =
            (!lists.is_empty() || call.object.is_some()) && lists.iter().all(Option::is_some);
        if !address.is_none_or(is_plain) {
            return None;
        }
        search.pending.extend(lists.into_iter().flatten());
        let paths = (&lookup.search, &how.search, &how.search_query);
        if let ((Some(path), Some(template), Some(query)), true) = (paths, call.tagged) {
            search.pending.push(search_page(path, template, query, call.id)?);
        }
        let is_possible = !search.pending.is_empty() || call.object.is_some();
        is_possible.then_some(search)
    }

    /// What a request is recognised by at the vendor where it carries no tag of ours.
    #[must_use]
    pub fn likeness(&self, rule: Rule<'_>, params: &Params) -> Option<Vec<u8>> {
        let Rule::Priced(Priced { lookup: Some(PricedLookup { list: Some(list), .. }), .. }) = rule
        else {
            return None;
        };
        let hashes = list.alike.keys().flat_map(|name| match params.get(name) {
            Some(value) => hash(value),
            None => [0; LIKENESS],
        });
        (!list.alike.is_empty()).then(|| hashes.collect())
    }

    /// Where the final price of a call is to be read.
    #[must_use]
    pub fn bill_of(&self, rule: Rule<'_>, endpoint: &Endpoint, call: &Call) -> Option<String> {
        let Rule::Priced(Priced { bill: Some(Bill { get, .. }), endpoint: pattern, .. }) = rule
        else {
            return None;
        };
        let id = plain(call.answer.object_id.as_deref()?)?;
        fill(get, |name| match name {
            "id" => Some(id.clone()),
            name => plain(pattern.get_ref().capture(endpoint, name)?),
        })
    }

    /// The final price of a call; `None` where the vendor does not say it yet.
    #[must_use]
    pub fn billed(
        &self,
        rule: Rule<'_>,
        object: &Value,
        exchange: &Exchange<'_>,
    ) -> Option<MicroUsd> {
        let Rule::Priced(Priced { bill: Some(bill), .. }) = rule else {
            return None;
        };
        // The price comes with its currency, in capital letters at some vendors.
        currency_at(object, &bill.currency).map(Currency::code)?;
        self.amount(&bill.price, &bill.currency, exchange, object)
    }
}

fn hash(value: &str) -> [u8; LIKENESS] {
    let hash: [u8; 32] = Sha256::digest(value).into();
    let mut kept = [0; LIKENESS];
    kept.iter_mut().zip(hash).for_each(|(kept, byte)| *kept = byte);
    kept
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
    /// What fills a blank of a list's path.
    fn blank(&self, name: &str, now: Timestamp) -> Option<String> {
        match name {
            "since" => Some(self.call.at.as_seconds().saturating_sub(CLOCK_SKEW).to_string()),
            "until" => Some(now.as_seconds().saturating_add(CLOCK_SKEW).to_string()),
            "customer" => {
                let customer = self.call.request.customer.as_deref()?;
                Some(utf8_percent_encode(customer, NON_ALPHANUMERIC).to_string())
            }
            name => plain(self.priced.endpoint.get_ref().capture(self.endpoint, name)?),
        }
    }

    /// Path and query of the next page to read; `None` when all is read.
    #[must_use]
    pub fn next(&self) -> Option<String> {
        match self.pending.last()? {
            Page::Search(path) | Page::List { path, .. } => Some(path.clone()),
            Page::Events { list, after, .. } => Some(format!("{list}{after}")),
        }
    }

    /// Takes in the page that was asked for.
    pub fn read(&mut self, body: &Value) {
        match self.pending.pop() {
            Some(Page::Search(_)) => self.read_found(body),
            Some(Page::Events { list, number, .. }) => self.read_events(body, list, number),
            Some(Page::List { path, number }) => self.read_list(body, &path, number),
            None => {}
        }
    }

    fn read_found(&mut self, body: &Value) {
        match body.pointer("/data").and_then(Value::as_array) {
            Some(items) => {
                self.admit(
                    items.iter().map(|item| self.definition.object_id(self.priced, item)).collect(),
                );
            }
            None => self.complete = false,
        }
    }

    fn read_events(&mut self, body: &Value, list: String, number: usize) {
        let events = self.definition.lookup.as_ref().and_then(|how| how.events.as_ref());
        let items = body.pointer("/data").and_then(Value::as_array);
        let Some((events, items)) = events.zip(items) else {
            self.complete = false;
            return;
        };
        let ours = |event: &&Value| {
            let key = event.pointer(&events.idempotency_key).and_then(Value::as_str);
            key.is_some() && key == self.call.request.idempotency_key.as_deref()
        };
        let told = items.iter().filter(ours);
        self.admit(told.map(|event| text(event, &events.object)).collect());
        if body.pointer("/has_more").and_then(Value::as_bool) != Some(false) {
            let end = items.last().and_then(|event| text(event, "/id"));
            let after = end
                .filter(|_| number < MAX_PAGES)
                .and_then(|end| fill(&events.next, |_| Some(end.clone())));
            match after {
                Some(after) => {
                    self.pending.push(Page::Events { list, after, number: number + 1 });
                }
                None => self.complete = false,
            }
        }
    }

    fn read_list(&mut self, body: &Value, path: &str, number: usize) {
        let list = self.lookup.list.as_ref();
        let items = list.and_then(|list| body.pointer(&list.items)).and_then(Value::as_array);
        let Some((list, items)) = list.zip(items) else {
            self.complete = false;
            return;
        };
        let id = |item: &Value| self.definition.object_id(self.priced, item);
        let in_time = items.iter().filter(|item| self.may_be_as_old(list, item));
        let (ours, others): (Vec<_>, Vec<_>) = in_time.partition(|item| self.is_ours(list, item));
        let ours = ours.into_iter().map(id).collect();
        let others: Vec<_> = others.into_iter().map(id).collect();
        self.admit(ours);
        if self.goes_by_likeness() {
            self.complete &= others.iter().all(Option::is_some);
            self.strangers.extend(others.into_iter().flatten());
        }
        let is_too_old = |last: &Value| !self.may_be_as_old(list, last);
        if list.newest_first && items.last().is_some_and(is_too_old) {
            return;
        }
        let more = match list.next.as_deref() {
            None => return,
            Some(pointer) if pointer.starts_with('/') => match body.pointer(pointer) {
                Some(Value::String(next)) if next.starts_with('/') => Some(next.clone()),
                // Many vendors say that there is no more by an empty or missing address.
                Some(Value::Null) | None => return,
                Some(Value::String(next)) if next.is_empty() => return,
                Some(_) => None,
            },
            Some(template) => {
                if body.pointer("/has_more").and_then(Value::as_bool) == Some(false) {
                    return;
                }
                let end = items.last().and_then(|item| text(item, "/id"));
                let first = self.first_of(path);
                end.and_then(|end| Some(first + &fill(template, |_| Some(end.clone()))?))
            }
        };
        match more.filter(|_| number < MAX_PAGES) {
            Some(path) => self.pending.push(Page::List { path, number: number + 1 }),
            None => self.complete = false,
        }
    }

    /// The path of a list's first page.
    fn first_of(&self, path: &str) -> String {
        let next = self.lookup.list.as_ref().and_then(|list| list.next.as_deref());
        let marker = next.and_then(|next| next.split('{').next()).unwrap_or_default();
        let first = path.split_once(marker).map_or(path, |(first, _)| first);
        first.to_owned()
    }

    /// Whether the call's own object is recognised by what it shows alone.
    #[must_use]
    pub fn goes_by_likeness(&self) -> bool {
        self.lookup.list.as_ref().is_some_and(|list| list.tag.is_none())
    }

    /// The objects that were found and could be the call's own.
    #[must_use]
    pub fn candidates(&self) -> Vec<String> {
        self.candidates.iter().cloned().collect()
    }

    /// Leaves out objects that other calls made.
    pub fn disown<'o>(&mut self, objects: impl IntoIterator<Item = &'o str>) {
        for object in objects {
            self.candidates.remove(object);
            self.strangers.remove(object);
        }
    }

    /// Whether an object in a list was made after the call was begun, or may have been.
    fn may_be_as_old(&self, list: &List, item: &Value) -> bool {
        let made_at = list.made_at.as_deref().and_then(|pointer| text(item, pointer));
        let made_at = made_at.and_then(|text| Timestamp::parse_any(&text));
        let earliest = self.call.at.as_seconds().saturating_sub(CLOCK_SKEW);
        made_at.is_none_or(|made_at| made_at.as_seconds() >= earliest)
    }

    /// Whether an object in a list can be what the call made.
    fn is_ours(&self, list: &List, item: &Value) -> bool {
        if let Some(tag) = &list.tag {
            return text(item, tag) == Some(self.call.id.to_string());
        }
        let Some(likeness) = &self.call.request.likeness else {
            return false;
        };
        let mut pairs = list.alike.values().zip(likeness.chunks(LIKENESS));
        !list.alike.is_empty()
            && pairs.all(|(pointer, known)| {
                let shown = text(item, pointer).map(|value| hash(&value));
                known == [0; LIKENESS] || shown.is_some_and(|shown| shown == known)
            })
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
            (Some(id), None) => match self.path_of(id) {
                Some(path) => Verdict::Found { id: id.clone(), path },
                None => Verdict::Unclear { candidates: 1 },
            },
            (None, _) if self.complete && self.strangers.is_empty() => Verdict::Absent,
            _ => Verdict::Unclear { candidates: self.candidates.len() + self.strangers.len() },
        }
    }

    /// Where the object that the call is about is to be read, if it is about one.
    #[must_use]
    pub fn object_path(&self) -> Option<String> {
        self.path_of(self.call.object.as_deref()?)
    }

    fn path_of(&self, id: &str) -> Option<String> {
        let kind = self.definition.kind_of(self.priced);
        let template = self.lookup.object.as_deref().or_else(|| kind.map(|kind| kind.get.as_str()));
        fill(template?, |name| match name {
            "id" => plain(id),
            name => plain(self.priced.endpoint.get_ref().capture(self.endpoint, name)?),
        })
    }

    /// What the object that the call is about stands for now.
    #[must_use]
    pub fn stands(&self, object: &Value, exchange: &Exchange<'_>) -> Option<MicroUsd> {
        let exchange = exchange.held_at(self.call.asked.as_ref());
        let kind = self.definition.kind_of(self.priced)?;
        Some(kind.worth(object, self.definition.amounts, &exchange)?.0)
    }

    /// What the object means that was found.
    #[must_use]
    pub fn found(&self, object: &Value, exchange: &Exchange<'_>) -> Option<Found> {
        let exchange = exchange.held_at(self.call.asked.as_ref());
        let said =
            self.definition.effect(self.priced, self.call.object.is_some(), &exchange, object);
        let effect = match said {
            Some(effect) => effect,
            // It was made, and does not say an amount: what was held for it is what it costs.
            None if self.priced.about.is_none() => Effect::Moved(self.call.life()?.hold),
            None => return None,
        };
        let nothing =
            matches!(effect, Effect::Moved(MicroUsd::ZERO) | Effect::Stands(MicroUsd::ZERO));
        let Some(declined) = self.lookup.declined.as_ref().filter(|_| nothing) else {
            return Some(Found { effect, status: 200, answer: object.clone() });
        };
        let kind = object.pointer("/object").and_then(Value::as_str).unwrap_or("object");
        let answer = json!({ "error": {
            "type": declined.kind, "code": object.pointer(&declined.code),
            "message": object.pointer(&declined.message),
            kind: self.definition.object_id(self.priced, object),
        }});
        Some(Found { effect, status: 402, answer })
    }
}

#[cfg(test)]
mod tests;
