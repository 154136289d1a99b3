//! `keybrake serve`

use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use super::asked_to_stop;
use crate::{
    app::App,
    config::{Config, environment},
    outside::Clock,
    server::{self, Listeners},
    store::sqlite::Durability,
};

pub(super) async fn run() -> anyhow::Result<()> {
    start_logs("info");
    let config = Config::load(&environment)?;
    // Taken before anything listens, so that no signal is lost.
    let stop = tokio::spawn(asked_to_stop());
    let listeners = Listeners { callers: bind(config.listen).await?, admin: admin(&config).await? };
    let configured = config.vendors.iter().filter(|(_, vendor)| vendor.is_configured());
    let configured: Vec<_> = configured.map(|(name, _)| name.clone()).collect();
    let (app, closed) = App::open(config, Clock::default(), Durability::Full).await?;
    warn_of_missing_secrets(&app, &configured);
    tracing::info!(address = %listeners.callers.local_addr()?, "listening");
    if let Some(admin) = &listeners.admin {
        tracing::info!(address = %admin.local_addr()?, "listening for the admin API");
    }
    server::serve(app, closed, listeners, async {
        stop.await.unwrap_or_default();
    })
    .await
}

fn warn_of_missing_secrets(app: &App, configured: &[String]) {
    let lacks = |name: &&String| app.vendors.get(*name).is_some_and(|it| it.secret().is_none());
    for name in configured.iter().filter(lacks) {
        tracing::warn!(vendor = %name, "has no secret yet: set it with `keybrake vendor set`, then start again");
    }
    if app.vendors.values().all(|vendor| vendor.secret().is_none()) {
        tracing::warn!(
            "no vendor has a secret yet: set one with `keybrake vendor set`, then start again"
        );
    }
}

async fn admin(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    match config.admin_listen {
        Some(address) => bind(address).await.map(Some),
        None => Ok(None),
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))
}

/// Logs to standard error, as JSON where `KEYBRAKE_LOG_FORMAT=json`, by `KEYBRAKE_LOG`'s filter.
pub(super) fn start_logs(default: &str) {
    let filter =
        EnvFilter::try_new(environment("KEYBRAKE_LOG").unwrap_or_else(|| default.to_owned()));
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(default));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if environment("KEYBRAKE_LOG_FORMAT").as_deref() == Some("json") {
        logs.json().init();
    } else {
        logs.with_ansi(false).init();
    }
}
