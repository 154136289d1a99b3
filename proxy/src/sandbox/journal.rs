//! What reached the vendor, whether or not it was executed.

use std::collections::{BTreeMap, VecDeque};

use axum::http::header::AUTHORIZATION;
use serde::Serialize;

use super::{
    faults::{Fate, Fault},
    server::Seen,
};

const KEPT: usize = 50;

/// One request as the vendor saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenRequest {
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// By lower-case name; the credential is redacted.
    pub headers: BTreeMap<String, String>,
    /// The body, as text.
    pub body: String,
}

/// Counts of requests, and the last 50 of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// All that reached the vendor, also those that a fault lost there.
    pub received: u64,
    /// By method and path, with `{id}` for ids; `unrecognized` for all that are no endpoint.
    pub by_endpoint: BTreeMap<&'static str, u64>,
    /// Answers that were replayed under an idempotency key.
    pub replayed: u64,
    /// Faults that struck, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// Oldest first.
    pub last: Vec<SeenRequest>,
}

#[derive(Default)]
pub(super) struct Journal {
    received: u64,
    by_endpoint: BTreeMap<&'static str, u64>,
    pub(super) replayed: u64,
    faults: BTreeMap<&'static str, u64>,
    last: VecDeque<Seen>,
}

impl Journal {
    pub(super) fn received(&mut self, endpoint: Option<&'static str>, seen: &Seen) {
        self.received = self.received.saturating_add(1);
        let endpoint = endpoint.unwrap_or("unrecognized");
        *self.by_endpoint.entry(endpoint).or_default() += 1;
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(seen.clone());
    }

    /// Counts the request's fault, if one struck.
    pub(super) fn struck(&mut self, fate: &Fate) {
        if let Some(fault) = fate.struck() {
            *self.faults.entry(fault.name()).or_default() += 1;
        }
    }

    pub(super) fn requests(&self) -> Requests {
        let struck = |fault: Fault| self.faults.get(fault.name()).copied().unwrap_or(0);
        Requests {
            received: self.received,
            by_endpoint: self.by_endpoint.clone(),
            replayed: self.replayed,
            faults: Fault::ALL.iter().map(|f| (f.name(), struck(*f))).collect(),
            last: self.last.iter().map(render).collect(),
        }
    }
}

fn render(seen: &Seen) -> SeenRequest {
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in &seen.headers {
        let value = if name == AUTHORIZATION {
            "[redacted]".into()
        } else {
            String::from_utf8_lossy(value.as_bytes())
        };
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(&value);
            })
            .or_insert_with(|| value.to_string());
    }
    SeenRequest {
        method: seen.method.to_string(),
        path: match seen.query() {
            "" => seen.path().to_owned(),
            query => format!("{}?{query}", seen.path()),
        },
        headers,
        body: String::from_utf8_lossy(&seen.body).into_owned(),
    }
}
