//! Steps: what a body awaits.
//!
//! A step has an identity, the SHA-1 of its id (of `id:1` where the id comes again), by which the
//! server tells what became of it. One that it knows is answered at once. One that it does not know
//! is put down as found, and its future never ends: the body is replayed when there is news.

use std::{
    collections::HashMap,
    fmt,
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use keybrake_client::{Failure, failure::Report};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

type Work = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>;
/// A step's result, once the server knows it.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, StepError>> + Send>>;

/// A step that failed for good, as the body sees it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{name}: {message}")]
pub struct StepError {
    /// Such as `CapExhausted`; see [`Failure::name`].
    pub name: String,
    /// What happened, whether anything was sent or charged, and what to do next.
    pub message: String,
    /// All that is known of it, where this worker's step failed.
    pub report: Option<Box<Report>>,
}

/// Does the steps of one run. Clones share what they find.
#[derive(Clone)]
pub struct Steps(Arc<Mutex<Inner>>);

struct Inner {
    memo: HashMap<String, Value>,
    counts: HashMap<String, u32>,
    found: Vec<Found>,
}

/// A step of which the server does not know yet.
pub(super) struct Found {
    pub(super) hash: String,
    pub(super) id: String,
    pub(super) index: u32,
    pub(super) kind: Kind,
}

/// What is to be done for a step.
pub(super) enum Kind {
    /// Done here.
    Run(Work),
    /// Done by the server: its op code, name and options.
    Ask { op: &'static str, name: Option<String>, opts: Value },
}

impl Steps {
    pub(super) fn new(memo: HashMap<String, Value>) -> Self {
        Self(Arc::new(Mutex::new(Inner { memo, counts: HashMap::new(), found: Vec::new() })))
    }

    /// Does something once. It is tried again as long as its failure says that this may help.
    pub fn run<T, F>(&self, id: &str, work: impl FnOnce() -> F) -> Pending<T>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let work = work();
        let kind = Kind::Run(Box::pin(async move {
            let done = work.await?;
            serde_json::to_value(done).map_err(|error| Failure::invalid_input("step", error))
        }));
        self.known_or(id, kind, |memo| {
            serde_json::from_value(memo).map_err(|error| StepError {
                name: "InvalidMemo".to_owned(),
                message: format!(
                    "what the server keeps of this step is of another version: {error}"
                ),
                report: None,
            })
        })
    }

    /// Waits.
    #[must_use]
    pub fn sleep(&self, id: &str, time: Duration) -> Pending<()> {
        let kind =
            Kind::Ask { op: "Sleep", name: Some(format!("{}s", time.as_secs())), opts: json!({}) };
        self.known_or(id, kind, |_| Ok(()))
    }

    /// Waits for an event, and gives it, or nothing where it does not come in time. With `matching`,
    /// such as `data.run_id`, that member of it must be the same as in the event that began the run.
    #[must_use]
    pub fn wait_for_event(
        &self,
        id: &str,
        event: &str,
        within: Duration,
        matching: Option<&str>,
    ) -> Pending<Option<Value>> {
        let mut opts = json!({"timeout": format!("{}s", within.as_secs())});
        if let (Some(member), Some(opts)) = (matching, opts.as_object_mut()) {
            opts.insert("if".to_owned(), json!(format!("event.{member} == async.{member}")));
        }
        let kind = Kind::Ask { op: "WaitForEvent", name: Some(event.to_owned()), opts };
        self.known_or(id, kind, |memo| Ok(Some(memo).filter(|memo| !memo.is_null())))
    }

    /// Has another function run with this data, and gives what it returned.
    #[must_use]
    pub fn invoke(&self, id: &str, function_id: &str, data: &Value) -> Pending<Value> {
        let opts = json!({"payload": {"data": data}, "function_id": function_id});
        self.known_or(id, Kind::Ask { op: "InvokeFunction", name: None, opts }, Ok)
    }

    fn known_or<T: Send + 'static>(
        &self,
        id: &str,
        kind: Kind,
        read: impl FnOnce(Value) -> Result<T, StepError>,
    ) -> Pending<T> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = inner.counts.entry(id.to_owned()).or_default();
        let index = *count;
        *count += 1;
        let hash = hash(id, index);
        match inner.memo.remove(&hash).map(Memo::from) {
            Some(Memo::Done(data)) => {
                let read = read(data);
                Box::pin(async move { read })
            }
            Some(Memo::Failed(error)) => Box::pin(async move { Err(error) }),
            Some(Memo::Unfinished) | None => {
                inner.found.push(Found { hash, id: id.to_owned(), index, kind });
                Box::pin(pending())
            }
        }
    }

    /// What was found, in the order of the body.
    pub(super) fn take_found(&self) -> Vec<Found> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).found)
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Steps")
    }
}

/// What the server knows of a step.
enum Memo {
    Done(Value),
    Failed(StepError),
    /// `{"input": …}`: it is to be done.
    Unfinished,
}

impl From<Value> for Memo {
    fn from(mut memo: Value) -> Self {
        if let Some(error) = memo.get("error").filter(|error| error.is_object()) {
            let text =
                |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let report = error
                .get("cause")
                .and_then(|cause| serde_json::from_value(cause.clone()).ok())
                .map(Box::new);
            return Self::Failed(StepError {
                name: text("name"),
                message: text("message"),
                report,
            });
        }
        if let Some(data) = memo.get_mut("data") {
            return Self::Done(data.take());
        }
        // Else it is bare, as a sleep's or an event's that did not come.
        if memo.get("input").is_some() { Self::Unfinished } else { Self::Done(memo) }
    }
}

/// The identity of a step.
pub(super) fn hash(id: &str, index: u32) -> String {
    let named = if index == 0 { id.to_owned() } else { format!("{id}:{index}") };
    hex::encode(Sha1::digest(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_named_by_its_id_and_by_how_often_it_came() {
        assert_eq!(hash("issue-vault-key", 0), "7bb66c97a25073c0d44a6d59a8eb7be9c9cea373");
        assert_eq!(hash("dup", 1), "6a50dff215397ce7fb1527a10badb3efd5592256");
    }
}
