//! Listening, and stopping without losing anything.

mod connection;
mod watch;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::{self, Side},
    app::App,
    failures::Peer,
    limits::Limits,
    lookups,
    metrics::Metrics,
};

/// How long open requests may take to end when the server stops.
const DRAIN_WITHIN: Duration = Duration::from_secs(90);

/// Where it listens.
#[derive(Debug)]
pub struct Listeners {
    /// For callers; for everything, where there is no other.
    pub callers: TcpListener,
    /// For the admin API alone.
    pub admin: Option<TcpListener>,
}

impl From<TcpListener> for Listeners {
    fn from(one: TcpListener) -> Self {
        Self { callers: one, admin: None }
    }
}

impl Listeners {
    fn sides(self) -> Vec<(TcpListener, Side)> {
        match self.admin {
            Some(admin) => vec![(self.callers, Side::Callers), (admin, Side::Admin)],
            None => vec![(self.callers, Side::Both)],
        }
    }
}

/// Serves until `stop`, then drains: open requests end, calls in flight are recorded, the ledger
/// is closed. `closed` hears from the ledger.
pub async fn serve(
    app: Arc<App>,
    closed: oneshot::Receiver<()>,
    listeners: Listeners,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let stopping = CancellationToken::new();
    let connections = TaskTracker::new();
    let lookups = tokio::spawn(lookups::run(Arc::clone(&app), stopping.clone()));
    let doors = listeners.sides().into_iter().map(|(listener, side)| {
        let router = api::router(Arc::clone(&app), side);
        let door = Door {
            listener,
            side,
            router,
            limits: app.limits,
            metrics: Arc::clone(&app.metrics),
            connections: connections.clone(),
            stopping: stopping.clone(),
        };
        tokio::spawn(door.accept())
    });
    let doors: Vec<_> = doors.collect();
    stop.await;
    tracing::info!("stopping: no new connections; waiting for calls in flight");
    stopping.cancel();
    for door in doors {
        door.await?;
    }
    connections.close();
    if tokio::time::timeout(DRAIN_WITHIN, connections.wait()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    app.tasks.close();
    if tokio::time::timeout(DRAIN_WITHIN, app.tasks.wait()).await.is_err() {
        tracing::warn!("some calls did not end in time; they will be in doubt");
    }
    lookups.await?;
    drop(app);
    // An error means that the ledger's thread is gone already.
    tokio::time::timeout(DRAIN_WITHIN, closed).await.ok();
    tracing::info!("stopped");
    Ok(())
}

/// A listener, with what its connections need.
struct Door {
    listener: TcpListener,
    side: Side,
    router: Router,
    limits: Limits,
    metrics: Arc<Metrics>,
    connections: TaskTracker,
    stopping: CancellationToken,
}

impl Door {
    /// Accepts connections until it is told to stop. Where as many are open as may be, the next
    /// ones wait in the system's queue.
    async fn accept(self) {
        let places = usize::try_from(self.limits.open_connections).unwrap_or(usize::MAX);
        let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        loop {
            let accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = self.stopping.cancelled() => return,
                accepted = accepted => accepted,
            };
            match accepted {
                Ok((socket, address)) => {
                    let counted = self.metrics.connection(self.side);
                    let served = self.serve(socket, address);
                    self.connections.spawn(async move {
                        served.await;
                        drop((place, counted));
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn serve(&self, socket: TcpStream, address: SocketAddr) -> impl Future<Output = ()> + use<> {
        socket.set_nodelay(true).ok();
        let socket = (socket, Peer(address.ip()));
        connection::serve(socket, self.router.clone(), self.limits, self.stopping.clone())
    }
}
