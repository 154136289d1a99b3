//! One execution environment: a process that asks for an invocation, answers it, and asks again.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tokio::{
    io::AsyncReadExt,
    process::Command,
    sync::{Mutex as AsyncMutex, mpsc, oneshot},
};

use super::{Shared, unpoisoned};

/// How an invocation ended in its environment.
pub(super) enum Outcome {
    Response(Bytes),
    Error(Bytes),
    Exited,
}

pub(super) struct Environment {
    id: String,
    function: String,
    started: Instant,
    is_ready: Mutex<bool>,
    work: mpsc::UnboundedSender<Work>,
    next: AsyncMutex<mpsc::UnboundedReceiver<Work>>,
    current: Mutex<Option<(String, oneshot::Sender<Outcome>)>>,
    kill: Mutex<Option<oneshot::Sender<()>>>,
}

struct Work {
    request_id: String,
    payload: Bytes,
    deadline: Duration,
    arn: String,
}

impl Environment {
    /// Starts a process for this function.
    pub(super) fn start(
        shared: &Arc<Shared>,
        function: &str,
        program: &std::path::Path,
        variables: &std::collections::BTreeMap<String, String>,
    ) -> Arc<Self> {
        let mut environments = unpoisoned(&shared.environments);
        let id = format!("environment-{}", environments.len());
        let (work, next) = mpsc::unbounded_channel();
        let (kill, killed) = oneshot::channel();
        let environment = Arc::new(Self {
            id: id.clone(),
            function: function.to_owned(),
            started: Instant::now(),
            is_ready: Mutex::new(false),
            work,
            next: AsyncMutex::new(next),
            current: Mutex::new(None),
            kill: Mutex::new(Some(kill)),
        });
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", format!("http://{}/{id}", shared.address))
            .env("AWS_LAMBDA_FUNCTION_NAME", function)
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        environments.insert(id, Arc::clone(&environment));
        tokio::spawn(Arc::clone(&environment).watch(Arc::clone(shared), command, killed));
        environment
    }

    /// Waits for the process's end, and ends what it was at.
    async fn watch(
        self: Arc<Self>,
        shared: Arc<Shared>,
        mut command: Command,
        killed: oneshot::Receiver<()>,
    ) {
        if let Ok(mut child) = command.spawn() {
            let errors = child.stderr.take();
            let reading = async {
                let mut text = String::new();
                if let Some(mut errors) = errors {
                    let mut piece = vec![0; 4096];
                    while let Ok(length @ 1..) = errors.read(&mut piece).await {
                        let piece =
                            String::from_utf8_lossy(piece.get(..length).unwrap_or_default());
                        shared.function(&self.function, |known| known.history.log.push_str(&piece));
                        text.push_str(&piece);
                    }
                }
            };
            tokio::select! {
                _ = child.wait() => {}
                _ = killed => { child.kill().await.ok(); }
                () = async { reading.await; std::future::pending().await } => {}
            }
        }
        unpoisoned(&shared.environments).remove(&self.id);
        shared.function(&self.function, |known| known.idle.retain(|idle| idle.id != self.id));
        if let Some((_, ended)) = unpoisoned(&self.current).take() {
            ended.send(Outcome::Exited).ok();
        }
    }

    pub(super) fn kill(&self) {
        if let Some(kill) = unpoisoned(&self.kill).take() {
            kill.send(()).ok();
        }
    }

    /// Has it work on a payload.
    pub(super) fn give(
        &self,
        request_id: &str,
        arn: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> oneshot::Receiver<Outcome> {
        let (ended, end) = oneshot::channel();
        *unpoisoned(&self.current) = Some((request_id.to_owned(), ended));
        #[expect(clippy::disallowed_methods, reason = "the runtime asks for the wall clock")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (request_id, arn, deadline) = (request_id.to_owned(), arn.to_owned(), now + timeout);
        self.work.send(Work { request_id, payload, deadline, arn }).ok();
        end
    }
}

fn known(shared: &Shared, id: &str) -> Option<Arc<Environment>> {
    unpoisoned(&shared.environments).get(id).cloned()
}

/// `GET …/runtime/invocation/next`: waits until there is one.
pub(super) async fn next(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let Some(environment) = known(&shared, &id) else {
        return StatusCode::GONE.into_response();
    };
    if !std::mem::replace(&mut *unpoisoned(&environment.is_ready), true) {
        let took = environment.started.elapsed();
        shared.function(&environment.function, |function| function.history.inits.push(took));
    }
    let Some(work) = environment.next.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let headers = [
        ("lambda-runtime-aws-request-id", work.request_id),
        ("lambda-runtime-deadline-ms", work.deadline.as_millis().to_string()),
        ("lambda-runtime-invoked-function-arn", work.arn),
        ("content-type", "application/json".to_owned()),
    ];
    (headers, work.payload).into_response()
}

/// `POST …/runtime/invocation/{request id}/{response|error}`.
pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    Path((id, request, how)): Path<(String, String, String)>,
    body: Bytes,
) -> Response {
    let current = known(&shared, &id).and_then(|environment| {
        let mut current = unpoisoned(&environment.current);
        current.take_if(|(asked, _)| *asked == request)
    });
    let Some((_, ended)) = current else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let outcome = if how == "response" { Outcome::Response(body) } else { Outcome::Error(body) };
    ended.send(outcome).ok();
    (StatusCode::ACCEPTED, "{}").into_response()
}
