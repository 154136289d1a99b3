//! Events: a snapshot of an object at each change, with the request that caused it.

use std::time::Duration;

use keybrake_core::time::Timestamp;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::{
    errors::{self, ApiError},
    lists::{self, Paging},
    params::Params,
    world::{Keyed, Origin, Record, Table},
};

/// An event, and its object as it was then.
pub(super) struct Event {
    id: String,
    kind: &'static str,
    created: Timestamp,
    request_id: String,
    key: Option<String>,
    object: Box<RawValue>,
}

impl Keyed for Event {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Record for Event {
    const OBJECT: &'static str = "event";
    const URL: &'static str = "/v1/events";

    fn created(&self) -> Timestamp {
        self.created
    }

    fn render(&self) -> Value {
        serde_json::to_value(self.view()).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct View<'a> {
    id: &'a str,
    object: &'static str,
    api_version: &'static str,
    created: i64,
    data: Data<'a>,
    livemode: bool,
    pending_webhooks: u8,
    request: Request<'a>,
    #[serde(rename = "type")]
    kind: &'a str,
}

#[derive(Serialize)]
struct Data<'a> {
    object: &'a RawValue,
}

#[derive(Serialize)]
struct Request<'a> {
    id: &'a str,
    idempotency_key: Option<&'a str>,
}

impl Event {
    fn view(&self) -> View<'_> {
        View {
            id: &self.id,
            object: Self::OBJECT,
            api_version: super::API_VERSION,
            created: self.created.as_seconds(),
            data: Data { object: &self.object },
            livemode: false,
            pending_webhooks: 0,
            request: Request { id: &self.request_id, idempotency_key: self.key.as_deref() },
            kind: self.kind,
        }
    }
}

#[derive(Default)]
pub(super) struct Events(Table<Event>);

impl Events {
    pub(super) fn push(
        &mut self,
        id: String,
        kind: &'static str,
        object: &Value,
        now: Timestamp,
        origin: &Origin,
    ) {
        let Ok(object) = serde_json::value::to_raw_value(object) else {
            return;
        };
        self.0.push(Event {
            id,
            kind,
            created: now,
            request_id: origin.request_id.clone(),
            key: origin.key.clone(),
            object,
        });
    }

    /// The event of this id, once it is visible.
    pub(super) fn one(&self, id: &str, now: Timestamp, delay: Duration) -> Result<Value, ApiError> {
        self.0
            .get(id)
            .filter(|event| event.created.after(delay) <= now)
            .map(Record::render)
            .ok_or_else(|| errors::no_such("event", id))
    }

    pub(super) fn list(
        &self,
        params: &Params,
        now: Timestamp,
        delay: Duration,
    ) -> Result<Value, ApiError> {
        let kind = params.text("type")?;
        let kinds = params.list("types")?;
        if kind.is_some() && !kinds.is_empty() {
            return Err(ApiError::invalid("Give either type or types, not both").param("types"));
        }
        let page = lists::page(&self.0, &Paging::read(params)?, |event| {
            event.created.after(delay) <= now
                && kind.is_none_or(|kind| matches(kind, event.kind))
                && (kinds.is_empty() || kinds.iter().any(|kind| matches(kind, event.kind)))
        })?;
        Ok(lists::render(&page, Record::render))
    }
}

/// `charge.*` matches every event about charges.
fn matches(wanted: &str, kind: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => kind == wanted,
    }
}
