//! The listener, and the way of one request from its bytes to the bytes of its answer.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, Uri, header::CONTENT_TYPE},
    response::Response,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    Sandbox,
    engine::{self, Reply, Step, Ticket},
};

const MAX_BODY: usize = 1 << 20;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: Method,
    uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Seen {
    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    pub(super) fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }

    /// Whether the body is a form, or nothing.
    pub(super) fn is_form(&self) -> bool {
        self.body.is_empty() || self.has_type("application/x-www-form-urlencoded")
    }

    /// Whether this is the body's content type.
    pub(super) fn has_type(&self, wanted: &str) -> bool {
        let kind = self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
        kind.trim().eq_ignore_ascii_case(wanted)
    }
}

/// Serves connections until `stop`; then all of them are cut, as when a process ends.
pub(super) async fn serve(
    sandbox: Sandbox,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = sandbox.router();
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => return Ok(()),
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Most likely there are no file descriptors left: some will be closed in a while.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // Ends in an error for each client that hangs up and each answer that is lost.
            drop(connection.await);
        });
    }
}

/// Every request that is not for the control endpoints.
pub(super) async fn vendor(State(sandbox): State<Sandbox>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return lost();
    };
    let seen = Seen { method: parts.method, uri: parts.uri, headers: parts.headers, body };
    let admitted = sandbox.lock().admit(&seen, sandbox.now());
    let step = match admitted {
        Step::Run(ticket) => run(&sandbox, *ticket).await,
        step @ (Step::Lost | Step::Answered(_)) => step,
    };
    let Step::Answered(reply) = step else {
        return lost();
    };
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    if reply.executed && engine::may_cost(&seen.method, seen.path()) {
        sandbox.while_held().await;
    }
    respond(reply)
}

/// Executes the call after the vendor's latency, also where the client has hung up by then.
async fn run(sandbox: &Sandbox, ticket: Ticket) -> Step {
    if sandbox.latency().is_zero() {
        return sandbox.lock().finish(ticket, sandbox.now());
    }
    let sandbox = sandbox.clone();
    let task = tokio::spawn(async move {
        sandbox.wait_latency().await;
        sandbox.lock().finish(ticket, sandbox.now())
    });
    task.await.unwrap_or(Step::Lost)
}

fn respond(reply: Reply) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    let headers = response.headers_mut();
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    response
}

/// A response that never leaves: its body fails before the head is flushed, and hyper then closes
/// the connection without a byte.
fn lost() -> Response {
    Response::new(Body::new(Lost))
}

struct Lost;

impl http_body::Body for Lost {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
        Poll::Ready(Some(Err(io::Error::other("the connection is lost"))))
    }
}
