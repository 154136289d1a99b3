//! Steps: what a body awaits.
//!
//! A step has an identity, the SHA-1 of its id (of `id:1` where the id comes again), by which the
//! server tells what became of it. One that it knows is answered at once. One that it does not know
//! is put down as found, and its future never ends: the body is replayed when there is news.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    future::Future,
    hash::{BuildHasherDefault, Hasher},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use keybrake_client::{Failure, failure::Report, input::is_object};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};
use sha1::{Digest, Sha1};

type Work = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>;

/// A step's result, once the server knows it: it is here at once, or never in this replay.
#[derive(Debug)]
#[must_use = "a step is awaited, so that the body goes on once it is done"]
pub struct Pending<T>(Option<Result<T, StepError>>);

impl<T> Future for Pending<T> {
    type Output = Result<T, StepError>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.take().map_or(Poll::Pending, Poll::Ready)
    }
}

// The result is not pinned: it is only taken out.
impl<T> Unpin for Pending<T> {}

/// Steps in parallel: all are begun before one is awaited. For branches of several steps each take
/// `futures_util::future::join_all`.
pub async fn all<T>(steps: impl IntoIterator<Item = Pending<T>>) -> Vec<Result<T, StepError>> {
    let steps: Vec<_> = steps.into_iter().collect();
    let mut ended = Vec::new();
    for step in steps {
        ended.push(step.await);
    }
    ended
}

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
    memo: ByHash<Box<RawValue>>,
    /// The one step that is wanted. Others that are not known are not even prepared then: a body of
    /// a thousand steps is replayed for each of them.
    wanted: Option<Hash>,
    /// How often the step with this identity came, by that of its first time.
    counts: ByHash<u32>,
    found: Vec<Found>,
}

/// A step's identity.
type Hash = [u8; 20];
type ByHash<T> = HashMap<Hash, T, BuildHasherDefault<FirstBytes>>;

/// Hashes what is a hash already.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    }

    fn finish(&self) -> u64 {
        self.0
    }
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
    /// Steps of which the server knows this, one of which may be wanted by its hash.
    pub(super) fn new(memo: HashMap<String, Box<RawValue>>, wanted: Option<&str>) -> Self {
        let memo = memo.into_iter().filter_map(|(hash, memo)| Some((read_hash(&hash)?, memo)));
        Self(Arc::new(Mutex::new(Inner {
            memo: memo.collect(),
            wanted: wanted.and_then(read_hash),
            counts: ByHash::default(),
            found: Vec::new(),
        })))
    }

    /// Does something once. It is tried again as long as its failure says that this may help.
    pub fn run<T, F>(&self, id: &str, work: impl FnOnce() -> F) -> Pending<T>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let kind = || {
            let work = work();
            Kind::Run(Box::pin(async move {
                let done = work.await?;
                serde_json::to_value(done).map_err(|error| Failure::invalid_input("step", error))
            }))
        };
        self.known_or(id, kind, read)
    }

    /// Waits.
    pub fn sleep(&self, id: &str, time: Duration) -> Pending<()> {
        let kind = || Kind::Ask {
            op: "Sleep",
            name: Some(format!("{}s", time.as_secs())),
            opts: json!({}),
        };
        self.known_or(id, kind, |_| Ok(()))
    }

    /// Waits for an event, and gives it, or nothing where it does not come in time. With `matching`,
    /// such as `data.run_id`, that member of it must be the same as in the event that began the run.
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
        let kind = || Kind::Ask { op: "WaitForEvent", name: Some(event.to_owned()), opts };
        self.known_or(id, kind, read)
    }

    /// Has another function run with this data, and gives what it returned.
    pub fn invoke(&self, id: &str, function_id: &str, data: &Value) -> Pending<Value> {
        let opts = json!({"payload": {"data": data}, "function_id": function_id});
        let kind = || Kind::Ask { op: "InvokeFunction", name: None, opts };
        self.known_or(id, kind, read)
    }

    fn known_or<T>(
        &self,
        id: &str,
        kind: impl FnOnce() -> Kind,
        read: impl FnOnce(&RawValue) -> Result<T, StepError>,
    ) -> Pending<T> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.wanted.is_some() && !inner.found.is_empty() {
            return Pending(None);
        }
        let (hash, index) = inner.identity(id);
        let is_wanted = inner.wanted == Some(hash);
        let memo = if is_wanted { None } else { inner.memo.remove(&hash) };
        match memo.as_deref().map(Memo::from) {
            Some(Memo::Done(data)) => Pending(Some(read(data))),
            Some(Memo::Failed(error)) => Pending(Some(Err(error))),
            Some(Memo::Unfinished) | None => {
                if is_wanted || inner.wanted.is_none() {
                    let (hash, id) = (hex::encode(hash), id.to_owned());
                    inner.found.push(Found { hash, id, index, kind: kind() });
                }
                Pending(None)
            }
        }
    }

    /// What was found, in the order of the body.
    pub(super) fn take_found(&self) -> Vec<Found> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).found)
    }
}

impl Inner {
    /// A step's identity, and how often one with this id came before.
    fn identity(&mut self, id: &str) -> (Hash, u32) {
        let first = hash(id, 0);
        match self.counts.entry(first) {
            Entry::Vacant(unknown) => {
                unknown.insert(1);
                (first, 0)
            }
            Entry::Occupied(mut known) => {
                let index = *known.get();
                *known.get_mut() += 1;
                (hash(id, index), index)
            }
        }
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Steps")
    }
}

/// What the server knows of a step.
enum Memo<'a> {
    Done(&'a RawValue),
    Failed(StepError),
    /// `{"input": …}`: it is to be done.
    Unfinished,
}

/// How the server says it, where it is an object.
#[derive(Default, Deserialize)]
struct Members<'a> {
    #[serde(default, borrow, deserialize_with = "given")]
    error: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "given")]
    data: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "given")]
    input: Option<&'a RawValue>,
}

/// A member that is there, be it null.
fn given<'de: 'a, 'a, D: Deserializer<'de>>(member: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(member).map(Some)
}

impl<'a> From<&'a RawValue> for Memo<'a> {
    fn from(memo: &'a RawValue) -> Self {
        let members: Members<'_> = if is_object(memo) {
            serde_json::from_str(memo.get()).unwrap_or_default()
        } else {
            Members::default()
        };
        if let Some(error) = members.error.filter(|error| is_object(error)) {
            return Self::Failed(failed(error));
        }
        // Else it is bare, as a sleep's or an event's that did not come.
        match (members.data, members.input) {
            (Some(data), _) => Self::Done(data),
            (None, Some(_)) => Self::Unfinished,
            (None, None) => Self::Done(memo),
        }
    }
}

/// A step's error as this worker, or the server, told it.
fn failed(error: &RawValue) -> StepError {
    let mut error: Value = serde_json::from_str(error.get()).unwrap_or_default();
    let cause = error.get_mut("cause").map(Value::take).unwrap_or_default();
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let report = serde_json::from_value(cause).ok().map(Box::new);
    StepError { name: text("name"), message: text("message"), report }
}

/// A step's result as the body wants it.
fn read<T: DeserializeOwned>(memo: &RawValue) -> Result<T, StepError> {
    serde_json::from_str(memo.get()).map_err(|error| StepError {
        name: "InvalidMemo".to_owned(),
        message: format!("what the server keeps of this step is of another version: {error}"),
        report: None,
    })
}

/// The identity of a step that came so often before.
fn hash(id: &str, index: u32) -> Hash {
    match index {
        0 => Sha1::digest(id),
        _ => Sha1::digest(format!("{id}:{index}")),
    }
    .into()
}

fn read_hash(text: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    hex::decode_to_slice(text, &mut hash).ok()?;
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memo(text: &str) -> Result<Option<Value>, StepError> {
        let raw = RawValue::from_string(text.to_owned()).unwrap();
        match Memo::from(&*raw) {
            Memo::Done(data) => read(data).map(Some),
            Memo::Failed(error) => Err(error),
            Memo::Unfinished => Ok(None),
        }
    }

    #[test]
    fn what_the_server_knows_of_a_step_is_its_data_its_error_or_that_it_is_to_be_done() {
        for (text, data) in [
            (r#"{"data": {"a": 1}}"#, json!({"a": 1})),
            (r#"{"data": null}"#, Value::Null),
            (r#"{"data": [1], "error": null}"#, json!([1])),
            (r#"{"data": 1, "input": [2]}"#, json!(1)),
            ("null", Value::Null),
            ("[1, 2]", json!([1, 2])),
            (r#""done""#, json!("done")),
            (r#"{"name": "app/event", "ts": 1}"#, json!({"name": "app/event", "ts": 1})),
        ] {
            assert_eq!(memo(text).unwrap(), Some(data), "{text}");
        }
        assert_eq!(memo(r#"{"input": null}"#).unwrap(), None);
    }

    #[test]
    fn a_steps_error_is_known_by_whatever_of_it_can_be_read() {
        let report = json!({
            "error": "CapExhausted", "terminal": true, "code": "cap_exhausted", "message": "m",
        });
        let of = |error: Value| memo(&json!({"error": error}).to_string()).unwrap_err();
        let full = of(json!({"name": "CapExhausted", "message": "it is", "cause": {"error": "x"}}));
        assert_eq!((full.name.as_str(), full.message.as_str()), ("CapExhausted", "it is"));
        assert!(full.report.is_none(), "not one of this worker's");
        let odd = of(json!({"name": null, "message": 5, "cause": report}));
        assert_eq!((odd.name.as_str(), odd.message.as_str()), ("", ""));
        assert_eq!(odd.report.map(|report| report.error), Some("CapExhausted".to_owned()));
    }

    #[test]
    fn a_step_is_named_by_its_id_and_by_how_often_it_came() {
        let known = |text| read_hash(text).unwrap();
        assert_eq!(hash("issue-vault-key", 0), known("7bb66c97a25073c0d44a6d59a8eb7be9c9cea373"));
        assert_eq!(hash("dup", 1), known("6a50dff215397ce7fb1527a10badb3efd5592256"));
    }
}
