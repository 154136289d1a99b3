//! AWS Lambda on loopback: enough of its Invoke API, its Runtime API and its management API to run
//! real binaries, one process for each execution environment, as AWS does.
//!
//! What it must get right, since a state machine decides by it: a function's error is a 200 with
//! `x-amz-function-error`, too many invocations are a 429, and an environment serves one invocation
//! at a time.

mod environment;
mod invoke;
mod manage;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{any, get, post, put},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

use environment::Environment;

/// The emulator. Its processes are killed when it is dropped.
#[derive(Clone)]
pub struct Lambda {
    /// Where it listens, such as `http://127.0.0.1:4711`.
    pub url: String,
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    address: String,
    functions: Mutex<HashMap<String, Function>>,
    environments: Mutex<HashMap<String, Arc<Environment>>>,
    /// What is no Lambda call goes there: the state machine's engine asks S3 and others of it.
    others: Mutex<Option<String>>,
    http: reqwest::Client,
    code: TempDir,
}

/// What a function runs.
#[derive(Clone)]
pub enum Code {
    /// A binary that speaks to the Runtime API.
    Program(PathBuf),
    /// A stand-in for a function of the user's own.
    Local(Arc<dyn Fn(&Value) -> Value + Send + Sync>),
}

/// A function and what became of it.
pub struct Function {
    code: Code,
    variables: BTreeMap<String, String>,
    limit: usize,
    timeout: Duration,
    idle: Vec<Arc<Environment>>,
    running: usize,
    faults: Faults,
    history: History,
    settings: Value,
}

/// What shall go wrong with the next invocations of a function.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// So many are throttled.
    pub throttled: usize,
    /// So many are killed when they give their answer, which is lost.
    pub killed: usize,
    /// So many run out of time when they give their answer, which is lost.
    pub timed_out: usize,
}

/// What happened to a function.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The input of each invocation that began.
    pub inputs: Vec<Value>,
    /// The results that were given, and the errors.
    pub answers: Vec<Value>,
    /// How many invocations were refused for too many at once.
    pub throttled: usize,
    /// How long each environment took to ask for its first invocation.
    pub inits: Vec<Duration>,
    /// How long each invocation took.
    pub durations: Vec<Duration>,
    /// What its processes wrote to standard error.
    pub log: String,
}

impl Lambda {
    /// Starts without functions.
    ///
    /// # Panics
    /// Where loopback has no port.
    #[expect(clippy::expect_used, reason = "a test that can't start fails")]
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address").to_string();
        let shared = Arc::new(Shared {
            address: address.clone(),
            functions: Mutex::default(),
            environments: Mutex::default(),
            others: Mutex::default(),
            http: crate::http_builder().no_proxy().build().expect("a client"),
            code: tempfile::tempdir().expect("a temporary directory"),
        });
        let router = Router::new()
            .route("/2015-03-31/functions", post(manage::create))
            .route("/2015-03-31/functions/{name}", get(manage::show))
            .route(
                "/2015-03-31/functions/{name}/configuration",
                get(manage::show).put(manage::configure),
            )
            .route("/2015-03-31/functions/{name}/code", put(manage::replace))
            .route("/2015-03-31/functions/{name}/invocations", post(invoke::invoke))
            .route("/{environment}/2018-06-01/runtime/invocation/next", get(environment::next))
            .route(
                "/{environment}/2018-06-01/runtime/invocation/{request}/{how}",
                post(environment::answer),
            )
            .route("/{environment}/2018-06-01/runtime/init/error", any(|| async { "{}" }))
            .fallback(forward)
            // A function's code may have 50 MB.
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url: format!("http://{address}"), shared }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> &str {
        self.shared.address.rsplit(':').next().unwrap_or_default()
    }

    /// Has all that is no Lambda call answered there.
    pub fn others_to(&self, url: &str) {
        *unpoisoned(&self.shared.others) = Some(url.to_owned());
    }

    /// Adds a function with these environment variables.
    pub fn add(&self, name: &str, code: Code, variables: &[(&str, &str)]) {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let function = Function::new(code, variables.collect());
        unpoisoned(&self.shared.functions).insert(name.to_owned(), function);
    }

    /// How many invocations of a function may run at once.
    pub fn limit(&self, name: &str, limit: usize) {
        self.with(name, |function| function.limit = limit);
    }

    /// What shall go wrong with a function.
    pub fn fail(&self, name: &str, faults: Faults) {
        self.with(name, |function| function.faults = faults);
    }

    /// What happened to a function.
    #[must_use]
    pub fn history(&self, name: &str) -> History {
        self.with(name, |function| function.history.clone())
    }

    /// The settings that a function was deployed with.
    #[must_use]
    pub fn settings(&self, name: &str) -> Value {
        self.with(name, |function| function.settings.clone())
    }

    /// Invokes a function: its answer, or the error that it ended in.
    ///
    /// # Panics
    /// Where the emulator does not answer.
    #[expect(clippy::expect_used, reason = "a test that can't go on fails")]
    pub async fn invoke(
        &self,
        name: &str,
        input: impl Into<reqwest::Body>,
    ) -> Result<Value, Value> {
        let url = format!("{}/2015-03-31/functions/{name}/invocations", self.url);
        let answer = self.shared.http.post(url).body(input).send().await.expect("an answer");
        let failed =
            answer.headers().contains_key("x-amz-function-error") || !answer.status().is_success();
        let body = answer.json().await.expect("JSON");
        if failed { Err(body) } else { Ok(body) }
    }

    #[expect(clippy::expect_used, reason = "a test that names no function fails")]
    fn with<T>(&self, name: &str, change: impl FnOnce(&mut Function) -> T) -> T {
        let mut functions = unpoisoned(&self.shared.functions);
        change(functions.get_mut(name).expect("a function of this name"))
    }
}

impl Function {
    fn new(code: Code, variables: BTreeMap<String, String>) -> Self {
        Self {
            code,
            variables,
            limit: 1_000,
            timeout: Duration::from_mins(1),
            idle: Vec::new(),
            running: 0,
            faults: Faults::default(),
            history: History::default(),
            settings: Value::Null,
        }
    }
}

impl Shared {
    /// A function by its name or ARN, with or without a version.
    fn function<T>(&self, name: &str, change: impl FnOnce(&mut Function) -> T) -> Option<T> {
        let name = match name.split(':').collect::<Vec<_>>().as_slice() {
            ["arn", _, "lambda", _, _, "function", name, ..] | [name, ..] => (*name).to_owned(),
            [] => String::new(),
        };
        unpoisoned(&self.functions).get_mut(&name).map(change)
    }
}

pub(crate) fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn forward(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let Some(base) = unpoisoned(&shared.others).clone() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = parts.headers;
    headers.remove("content-length");
    let asked = shared.http.request(parts.method, format!("{base}{path}")).headers(headers);
    let Ok(answer) = asked.body(body).send().await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    for name in ["transfer-encoding", "content-length", "connection"] {
        headers.remove(name);
    }
    let body: Bytes = answer.bytes().await.unwrap_or_default();
    (status, headers, body).into_response()
}
