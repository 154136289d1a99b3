//! The way to the vendors: a pooled client, HTTP/1.1 and 2, and a gate before each first byte.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tower_service::Service;

use crate::gate::{CONNECT_WITHIN, Gate};

/// A pooled client for all vendors.
#[derive(Clone, Debug)]
pub struct Upstream {
    client: Client<InTime<HttpsConnector<HttpConnector>>, GatedBody>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// Not a byte went out.
    NotSent,
    /// Something may have gone out.
    Lost,
}

/// An answer's body that can't be had whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

impl Upstream {
    /// A client that trusts the certificates of the operating system.
    pub fn new() -> std::io::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let tls = HttpsConnectorBuilder::new()
            .with_native_roots()?
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(InTime(tls));
        Ok(Self { client })
    }

    /// Sends a request whose body waits behind a gate, and waits for the head of its answer.
    pub async fn send(
        &self,
        request: Request<GatedBody>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let gate = Arc::clone(&request.body().gate);
        // HTTP/1 never asks an empty body for its first byte.
        if request.body().is_empty() && !gate.open_early() {
            return Err(NoAnswer::NotSent);
        }
        let answer = self.client.request(request);
        let not_in_time = tokio::time::sleep_until(gate.send_by().into());
        tokio::pin!(answer, not_in_time);
        let answered = tokio::select! {
            answered = &mut answer => Some(answered),
            () = &mut not_in_time => None,
        };
        let answered = match answered {
            Some(answered) => answered,
            // Nothing went out in time: whatever the connection does now, nothing will.
            None if gate.give_up() => return Err(NoAnswer::NotSent),
            None => match tokio::time::timeout(timeout, answer).await {
                Ok(answered) => answered,
                Err(_) => return Err(NoAnswer::Lost),
            },
        };
        answered.map_err(|error| {
            tracing::debug!(%error, "no answer from the vendor");
            if gate.give_up() || error.is_connect() { NoAnswer::NotSent } else { NoAnswer::Lost }
        })
    }
}

/// A connector whose connections are made in time, TLS included, or not at all.
#[derive(Clone, Debug)]
struct InTime<C>(C);

impl<C> Service<Uri> for InTime<C>
where
    C: Service<Uri, Error = Box<dyn std::error::Error + Send + Sync>>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, C::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(CONNECT_WITHIN, self.0.call(uri));
        Box::pin(async move { connecting.await? })
    }
}

/// Reads a body whole, up to `limit` bytes.
pub async fn read_whole<B>(body: B, limit: usize, timeout: Duration) -> Result<Bytes, Unreadable>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut body = body;
    let mut whole = BytesMut::new();
    let reading = async {
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Unreadable)?.into_data() else {
                continue;
            };
            if whole.len().saturating_add(data.len()) > limit {
                return Err(Unreadable);
            }
            whole.extend_from_slice(&data);
        }
        Ok(())
    };
    tokio::time::timeout(timeout, reading).await.map_err(|_| Unreadable)??;
    Ok(whole.freeze())
}

/// A request body that asks its gate before its first byte, and fails where the gate is shut.
///
/// HTTP/1 writes a request's head together with the first of its body, so nothing at all goes out;
/// HTTP/2 may have sent the head, without which end no vendor acts.
#[derive(Debug)]
pub struct GatedBody {
    gate: Arc<Gate>,
    data: Option<Bytes>,
    asked: bool,
}

/// The gate was shut.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the send deadline has passed")]
pub struct TooLate;

impl GatedBody {
    /// This body, behind this gate.
    #[must_use]
    pub const fn new(data: Bytes, gate: Arc<Gate>) -> Self {
        Self { gate, data: Some(data), asked: false }
    }

    fn is_empty(&self) -> bool {
        self.data.as_ref().is_none_or(Bytes::is_empty)
    }
}

impl Body for GatedBody {
    type Data = Bytes;
    type Error = TooLate;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TooLate>>> {
        if !self.asked {
            self.asked = true;
            if !self.gate.open() {
                self.data = None;
                return Poll::Ready(Some(Err(TooLate)));
            }
        }
        let data = self.data.take().filter(|data| !data.is_empty());
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.asked && self.data.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(
            self.data.as_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX)),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::outside::Clock;

    async fn exchange(
        method: &str,
        body: &'static str,
        gate: Arc<Gate>,
    ) -> (Result<u16, NoAnswer>, String) {
        let vendor = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = vendor.local_addr().unwrap();
        let uri = format!("http://{address}/v1/x");
        let served = tokio::spawn(async move {
            let (mut socket, _) = vendor.accept().await.unwrap();
            let mut seen = vec![0; 4_096];
            let length = socket.read(&mut seen).await.unwrap_or(0);
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok();
            String::from_utf8(seen[..length].to_vec()).unwrap()
        });
        let request = Request::builder().method(method).uri(uri);
        let request =
            request.body(GatedBody::new(Bytes::from_static(body.as_bytes()), gate)).unwrap();
        let upstream = Upstream::new().unwrap();
        let answer = upstream.send(request, Duration::from_secs(5)).await;
        let status = answer.map(|answer| answer.status().as_u16());
        drop(upstream);
        // Where nobody connected, the vendor still waits for somebody.
        drop(tokio::net::TcpStream::connect(address).await);
        (status, served.await.unwrap())
    }

    #[tokio::test]
    async fn an_open_gate_lets_the_whole_request_pass() {
        for (method, body) in [("POST", "amount=1"), ("POST", ""), ("GET", "")] {
            let gate = Arc::new(Gate::new(Instant::now(), Clock::default()));
            let (status, seen) = exchange(method, body, Arc::clone(&gate)).await;
            assert_eq!(status, Ok(200));
            assert!(
                seen.starts_with(&format!("{method} /v1/x HTTP/1.1\r\n")) && seen.ends_with(body),
                "{seen}"
            );
            assert!(gate.sent_at().is_some());
        }
    }

    #[tokio::test]
    async fn a_shut_gate_lets_not_a_byte_pass() {
        for (method, body) in [("POST", "amount=1"), ("GET", "")] {
            let gate = Arc::new(Gate::new(Instant::now(), Clock::default()));
            gate.give_up();
            assert_eq!(exchange(method, body, gate).await, (Err(NoAnswer::NotSent), String::new()));
        }
    }

    #[tokio::test]
    async fn a_vendor_that_is_not_there_was_sent_nothing() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let gate = Arc::new(Gate::new(Instant::now(), Clock::default()));
        let request = Request::post(format!("http://{closed}/"))
            .body(GatedBody::new(Bytes::new(), gate))
            .unwrap();
        let answer = Upstream::new().unwrap().send(request, Duration::from_secs(5)).await;
        assert_eq!(answer.map(|_| ()), Err(NoAnswer::NotSent));
    }

    #[tokio::test]
    async fn a_body_over_the_bound_or_broken_off_is_unreadable() {
        let whole = http_body_util::Full::new(Bytes::from_static(b"12345"));
        assert_eq!(read_whole(whole.clone(), 5, Duration::from_secs(5)).await.unwrap(), "12345");
        assert_eq!(read_whole(whole, 4, Duration::from_secs(5)).await, Err(Unreadable));
    }
}
