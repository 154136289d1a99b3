//! A small executor that speaks Inngest's protocol to a worker, as its server does: it keeps what is
//! known of a run's steps, asks for one after the other or for many at once, and tries again what
//! failed for a while.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use keybrake_http_worker::auth::{signature_of, wall_clock};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// How many steps are asked for at once.
const AT_ONCE: usize = 50;
/// How often a step or a body is tried.
const ATTEMPTS: u32 = 4;
/// A worker that does not answer is tried again after this, and then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(300);

/// The server.
#[derive(Clone)]
pub struct Executor {
    /// Where a worker registers and asks for large state.
    pub url: String,
    http: Client,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    registered: Mutex<Vec<Value>>,
    states: Mutex<HashMap<String, Known>>,
    runs: AtomicU64,
    calls: AtomicU64,
    key: Mutex<Option<String>>,
    large: std::sync::atomic::AtomicBool,
    events: Mutex<HashMap<String, Value>>,
}

/// What is known of a run.
#[derive(Clone, Default)]
struct Known {
    steps: HashMap<String, Value>,
    event: Value,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The run's id.
    pub run_id: String,
    /// What it returned, or the error's body.
    pub result: Result<Value, Value>,
    /// How often each step was asked for that was run, by its name.
    pub tries: HashMap<String, u32>,
}

/// What an op asked for came to.
enum Came {
    Memo(Value),
    Again(Duration),
}

#[expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "an executor that does not work fails its test"
)]
impl Executor {
    /// One that listens on loopback.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::new(Shared::default());
        let router = Router::new()
            .route("/fn/register", post(register))
            .route("/v0/runs/{run}/actions", get(actions))
            .route("/v0/runs/{run}/batch", get(batch))
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, http: crate::http(), shared }
    }

    /// From now on, requests are signed with this key's digits.
    pub fn sign_with(&self, digits: &str) {
        *lock(&self.shared.key) = Some(digits.to_owned());
    }

    /// From now on, a run's state is not sent along but has to be fetched.
    pub fn keep_state(&self) {
        self.shared.large.store(true, Ordering::SeqCst);
    }

    /// What a step that waits for this event is given; without it the wait ends in vain.
    pub fn has_event(&self, name: &str, event: Value) {
        lock(&self.shared.events).insert(name.to_owned(), event);
    }

    /// How many calls were made so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::SeqCst)
    }

    /// The functions that a worker has told of.
    #[must_use]
    pub fn registered(&self) -> Vec<Value> {
        lock(&self.shared.registered).clone()
    }

    /// Has the worker at this URL tell its functions.
    pub async fn sync(&self, worker: &str) -> (StatusCode, Value) {
        let body = json!({"url": worker}).to_string();
        let answer = self.signed(self.http.put(worker), body).await.expect("an answer");
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    /// Runs the function of this id at this URL, from its event to its end.
    pub async fn run(&self, worker: &str, function: &str, event: Value) -> Ended {
        let number = self.shared.runs.fetch_add(1, Ordering::SeqCst);
        let run_id = format!("01TESTRUN{number:017}");
        self.run_as(worker, function, event, run_id).await
    }

    /// The same under a run's id of the test's own.
    pub async fn run_as(
        &self,
        worker: &str,
        function: &str,
        event: Value,
        run_id: String,
    ) -> Ended {
        let known = Known { event, ..Known::default() };
        lock(&self.shared.states).insert(run_id.clone(), known);
        let run = Run { executor: self, worker, function, id: &run_id };
        let mut tries = HashMap::new();
        let mut attempt = 0;
        let result = loop {
            let Some((status, answer)) = run.ask("step", attempt, false).await else {
                attempt += 1;
                assert!(attempt < 12, "the worker is gone for good");
                tokio::time::sleep(FIRST_PAUSE * attempt).await;
                continue;
            };
            match status.as_u16() {
                200 => break Ok(answer),
                206 => {
                    attempt = 0;
                    run.settle(answer, &mut tries).await;
                }
                500 if attempt + 1 < ATTEMPTS => attempt += 1,
                _ => break Err(answer),
            }
        };
        Ended { run_id, result, tries }
    }

    async fn signed(
        &self,
        request: reqwest::RequestBuilder,
        body: String,
    ) -> Result<Response, reqwest::Error> {
        let key = lock(&self.shared.key).clone();
        let mut request = request.header("content-type", "application/json");
        if let Some(key) = &key {
            let time = wall_clock().to_string();
            let signature = signature_of(key.as_bytes(), &[body.as_bytes(), time.as_bytes()]);
            request = request
                .header("x-inngest-signature", format!("t={time}&s={}", hex::encode(signature)));
        }
        request.body(body).send().await
    }
}

/// A step's hash and name, how often it was asked for, and what is known of it now.
type Settling<'a> = Pin<Box<dyn Future<Output = (String, String, u32, Value)> + Send + 'a>>;

/// A run that is going on.
struct Run<'a> {
    executor: &'a Executor,
    worker: &'a str,
    function: &'a str,
    id: &'a str,
}

#[expect(
    clippy::expect_used,
    clippy::panic,
    reason = "an executor that does not work fails its test"
)]
impl Run<'_> {
    /// One call. Nothing where the worker does not answer.
    async fn ask(&self, step: &str, attempt: u32, is_planned: bool) -> Option<(StatusCode, Value)> {
        let shared = &self.executor.shared;
        shared.calls.fetch_add(1, Ordering::SeqCst);
        let known = lock(&shared.states).get(self.id).cloned().unwrap_or_default();
        let large = shared.large.load(Ordering::SeqCst);
        let body = json!({
            "ctx": {
                "run_id": self.id, "attempt": attempt, "max_attempts": ATTEMPTS, "step_id": "step",
                "disable_immediate_execution": is_planned, "use_api": large, "stack": {"stack": [], "current": 0},
            },
            "event": if large { Value::Null } else { known.event.clone() },
            "events": [], "version": 2, "use_api": large,
            "steps": if large { json!({}) } else { json!(known.steps) },
        });
        let url = format!("{}?fnId={}&stepId={step}", self.worker, self.function);
        let answer =
            self.executor.signed(self.executor.http.post(url), body.to_string()).await.ok()?;
        let status = answer.status();
        assert!(
            answer.headers().contains_key("x-inngest-sdk") || !status.is_success(),
            "no SDK header"
        );
        Some((status, answer.json().await.ok()?))
    }

    /// Brings what a call has found to its end, as far as it goes without the body.
    async fn settle(&self, ops: Value, tries: &mut HashMap<String, u32>) {
        let ops = ops.as_array().cloned().expect("a list of ops");
        let settled: Vec<_> = stream::iter(ops)
            .map(|op| self.settle_one(op))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut states = lock(&self.executor.shared.states);
        let known = states.get_mut(self.id).expect("a run");
        for (hash, name, tried, memo) in settled {
            known.steps.insert(hash, memo);
            *tries.entry(name).or_default() += tried;
        }
    }

    fn settle_one(&self, op: Value) -> Settling<'_> {
        Box::pin(async move {
            let text =
                |name: &str| op.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (hash, name) = (text("id"), text("displayName"));
            let mut came = self.came(&op).await;
            let mut tried = u32::from(text("op") != "StepPlanned");
            let mut attempt = tried;
            loop {
                let pause = match came {
                    Came::Memo(memo) => return (hash, name, tried, memo),
                    Came::Again(pause) => pause,
                };
                tokio::time::sleep(pause).await;
                assert!(attempt < 12, "{name} is tried without an end");
                came = match self.ask(&hash, attempt, true).await {
                    None => Came::Again(FIRST_PAUSE * (attempt + 1)),
                    Some((status, answer)) => {
                        tried += 1;
                        assert_eq!(status, StatusCode::PARTIAL_CONTENT, "{answer}");
                        let op = answer.get(0).cloned().expect("one op");
                        Box::pin(self.came(&op)).await
                    }
                };
                attempt += 1;
            }
        })
    }

    async fn came(&self, op: &Value) -> Came {
        let member = |name: &str| op.get(name).cloned().unwrap_or_default();
        match op.get("op").and_then(Value::as_str).unwrap_or_default() {
            "StepRun" => Came::Memo(json!({"data": member("data")})),
            "StepFailed" => Came::Memo(json!({"error": member("error")})),
            "StepPlanned" => Came::Again(Duration::ZERO),
            "StepError" => Came::Again(Duration::from_millis(200)),
            "Sleep" => Came::Memo(Value::Null),
            "WaitForEvent" => {
                let name = op.get("name").and_then(Value::as_str).unwrap_or_default();
                let event = lock(&self.executor.shared.events).get(name).cloned();
                Came::Memo(event.map_or(Value::Null, |event| json!({"data": event})))
            }
            "InvokeFunction" => {
                let (opts, event) = (member("opts"), json!({"name": "inngest/function.invoked"}));
                let function = opts.get("function_id").and_then(Value::as_str).unwrap_or_default();
                let mut event = event;
                if let (Some(event), Some(data)) =
                    (event.as_object_mut(), opts.pointer("/payload/data"))
                {
                    event.insert("data".to_owned(), data.clone());
                }
                let ended = self.executor.run(self.worker, function, event).await;
                Came::Memo(match ended.result {
                    Ok(data) => json!({"data": data}),
                    Err(error) => json!({"error": error}),
                })
            }
            other => panic!("an op that this executor does not know: {other}"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn register(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Json<Value> {
    let functions = body.get("functions").and_then(Value::as_array).cloned().unwrap_or_default();
    *lock(&shared.registered) = functions;
    Json(json!({"ok": true, "modified": true}))
}

async fn actions(State(shared): State<Arc<Shared>>, Path(run): Path<String>) -> Json<Value> {
    Json(json!(lock(&shared.states).get(&run).map(|known| known.steps.clone()).unwrap_or_default()))
}

async fn batch(State(shared): State<Arc<Shared>>, Path(run): Path<String>) -> Json<Value> {
    Json(json!([lock(&shared.states).get(&run).map(|known| known.event.clone())]))
}
