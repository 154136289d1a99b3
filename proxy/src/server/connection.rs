//! One connection: served until it ends, has waited too long, or the server stops.

use std::{
    convert::Infallible,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::{Router, body::Body};
use http::{Request, Response, Version};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::watch::{Arriving, OpenBody, Watch};
use crate::{failures::Peer, limits::Limits};

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// How often an HTTP/2 client is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long a client that was answered before it had sent its body is listened to. A socket closed
/// on what it sends would break its writing, and many clients then never read the answer.
const LISTENS_FOR: Duration = Duration::from_secs(2);

/// Serves a connection. Requests that are open go on to their end.
pub(super) async fn serve(
    (socket, peer): (TcpStream, Peer),
    router: Router,
    limits: Limits,
    stopping: CancellationToken,
) {
    let watch = Arc::new(Watch::new(&limits, Instant::now()));
    let heard = Heard { socket, watch: Arc::clone(&watch), listens: None };
    let watched = Arc::clone(&watch);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let open = watched.begins(request.version() == Version::HTTP_2);
        let body = |body| Body::new(Arriving::new(body, Arc::clone(&watched)));
        let answer = router.clone().call(request.map(body));
        async move {
            let answer: Response<Body> = answer.await.unwrap_or_else(|never| match never {});
            Ok::<_, Infallible>(answer.map(|body| OpenBody::new(body, open)))
        }
    });
    let builder = builder(&limits);
    let connection = builder.serve_connection(TokioIo::new(heard), service);
    tokio::pin!(connection);
    let mut is_closing = false;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = stopping.cancelled(), if !is_closing => {}
            // Told to close, it did not: nothing is open on it, so nothing is cut off.
            () = watch.is_overdue() => if is_closing { break Ok(()) },
        }
        is_closing = true;
        watch.closes(Instant::now());
        connection.as_mut().graceful_shutdown();
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(PING_EVERY))
        .max_concurrent_streams(limits.http2_streams);
    builder
}

/// A socket that tells the watch when bytes come, and lets a client end what it is sending.
struct Heard {
    socket: TcpStream,
    watch: Arc<Watch>,
    listens: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.watch.heard(Instant::now());
        }
        read
    }
}

impl AsyncWrite for Heard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, watch, listens } = self.get_mut();
        ready!(Pin::new(&mut *socket).poll_shutdown(context))?;
        if !watch.has_unread() {
            return Poll::Ready(Ok(()));
        }
        let listens = listens.get_or_insert_with(|| Box::pin(tokio::time::sleep(LISTENS_FOR)));
        let mut space = [MaybeUninit::uninit(); 4096];
        while listens.as_mut().poll(context).is_pending() {
            let mut ignored = ReadBuf::uninit(&mut space);
            let read = ready!(Pin::new(&mut *socket).poll_read(context, &mut ignored));
            if read.is_err() || ignored.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
