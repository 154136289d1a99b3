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
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header::CONTENT_TYPE},
    response::Response,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    API_VERSION, Sandbox,
    engine::{Reply, Step, Ticket},
    errors::{self, ApiError},
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

    /// Refuses a body that is not a form.
    pub(super) fn check_form(&self) -> Result<(), ApiError> {
        if self.body.is_empty() {
            return Ok(());
        }
        let kind = self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
        if kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            Ok(())
        } else {
            Err(errors::not_a_form())
        }
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
    let version = seen.headers.get("stripe-version").cloned();
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
    if seen.method == Method::POST && reply.original.is_some() {
        sandbox.while_held().await;
    }
    respond(reply, version)
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

fn respond(reply: Reply, version: Option<HeaderValue>) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let version = version.unwrap_or(HeaderValue::from_static(API_VERSION));
    headers.insert(HeaderName::from_static("stripe-version"), version);
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("request-id", &reply.request_id);
    if let Some(key) = &reply.key {
        set("idempotency-key", key);
        if let Some(original) = &reply.original {
            set("original-request", original);
        }
    }
    if reply.replayed {
        set("idempotent-replayed", "true");
    }
    // Where Stripe itself does not know whether trying again helps, it says nothing.
    if !matches!(reply.status, StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS) {
        set("stripe-should-retry", "false");
    }
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
