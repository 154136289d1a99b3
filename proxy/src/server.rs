//! Listening, and stopping without losing anything.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::{api, app::App, lookups};

/// How long the head of a request may take to arrive.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// How long open requests may take to end when the server stops.
const DRAIN_WITHIN: Duration = Duration::from_secs(90);

/// Serves until `stop`, then drains: open requests end, calls in flight are recorded, the ledger
/// is closed. `closed` hears from the ledger.
pub async fn serve(
    app: Arc<App>,
    closed: oneshot::Receiver<()>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let stop_lookups = CancellationToken::new();
    let lookups = tokio::spawn(lookups::run(Arc::clone(&app), stop_lookups.clone()));
    let router = api::router(Arc::clone(&app));
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let (socket, _) = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        socket.set_nodelay(true).ok();
        let router = router.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let mut router = router.clone();
            async move {
                Ok::<_, Infallible>(
                    router
                        .call(request.map(Body::new))
                        .await
                        .unwrap_or_else(|never| match never {}),
                )
            }
        });
        let connection =
            builder().serve_connection_with_upgrades(TokioIo::new(socket), service).into_owned();
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    tracing::info!("stopping: no new connections; waiting for calls in flight");
    drop(listener);
    stop_lookups.cancel();
    if tokio::time::timeout(DRAIN_WITHIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    app.tasks.close();
    if tokio::time::timeout(DRAIN_WITHIN, app.tasks.wait()).await.is_err() {
        tracing::warn!("some calls did not end in time; they will be in doubt");
    }
    lookups.await?;
    drop(router);
    drop(app);
    // An error means that the ledger's thread is gone already.
    tokio::time::timeout(DRAIN_WITHIN, closed).await.ok();
    tracing::info!("stopped");
    Ok(())
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(Duration::from_secs(30)));
    builder
}
