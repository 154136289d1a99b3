//! `keybrake-restate`: the services as a process that Restate calls.

use std::{io::IsTerminal, net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use clap::Parser;
use keybrake_client::{Customers, Keybrake, Settings};
use keybrake_core::time::parse_span;
use keybrake_restate::{
    server::{Served, endpoint},
    steps::Worker,
};
use restate_sdk::prelude::HttpServer;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

/// Serves Keybrake's services to Restate.
///
/// The proxy is found by `KEYBRAKE_URL`, and asked with `KEYBRAKE_API_KEY` (role issuer) and
/// `KEYBRAKE_CALLER_API_KEY` (role caller; the first one by default).
#[derive(Parser)]
#[command(version, about)]
struct Options {
    /// Where Restate reaches the services, by HTTP/2 without TLS.
    #[arg(long, env = "KEYBRAKE_RESTATE_LISTEN", default_value = "127.0.0.1:9080")]
    listen: SocketAddr,
    /// Serve only the Restate server with this key (`publickeyv1_…`). May be given more than once.
    #[arg(long = "identity-key", env = "KEYBRAKE_RESTATE_IDENTITY_KEYS", value_delimiter = ',')]
    identity_keys: Vec<String>,
    /// Serve whoever reaches an address that is not loopback.
    #[arg(long, env = "KEYBRAKE_RESTATE_UNSIGNED")]
    unsigned: bool,
    /// For how long a step is retried that failed for a while, such as 10m.
    #[arg(long, env = "KEYBRAKE_RESTATE_RETRY_FOR", default_value = "10m", value_parser = span)]
    retry_for: Duration,
    /// How long Restate keeps the journals of ended invocations, such as 0s or 7d.
    #[arg(long, env = "KEYBRAKE_RESTATE_JOURNAL_RETENTION", value_parser = span)]
    journal_retention: Option<Duration>,
    /// Serve the example service Billing as well.
    #[arg(long, env = "KEYBRAKE_RESTATE_BILLING")]
    billing: bool,
    /// Who is on a plan, for Billing: answers `[{"id", "amount_cents", "payment_method"?}]`.
    #[arg(long, env = "KEYBRAKE_CUSTOMERS_URL")]
    customers_url: Option<String>,
    /// What is logged, such as info or `keybrake_restate=debug`.
    #[arg(long, env = "KEYBRAKE_LOG", default_value = "info")]
    log: String,
}

fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).map_err(|error| error.to_string())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    start_logs(&options.log)?;
    let is_open = options.identity_keys.is_empty() && !options.listen.ip().is_loopback();
    if is_open && !options.unsigned {
        bail!(
            "whoever reaches {} could charge: give an --identity-key, or say --unsigned where nobody but Restate reaches it",
            options.listen
        );
    }
    let keybrake = Keybrake::new(Settings::from_env()?)?;
    let worker = Worker { keybrake, retry_for: options.retry_for };
    let billing = options.billing.then(|| Customers::at(options.customers_url)).transpose()?;
    let served = Served {
        identity_keys: options.identity_keys,
        journal_retention: options.journal_retention,
        billing,
    };
    let endpoint = endpoint(&worker, &served)?;
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("can't listen on {}", options.listen))?;
    tracing::info!(listen = %listener.local_addr()?, proxy = ?worker.keybrake, "serving");
    let mut terminated = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
    };
    HttpServer::new(endpoint).serve_with_cancel(listener, stop).await;
    Ok(())
}

fn start_logs(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).context("--log can't be read")?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.init();
    } else {
        logs.json().init();
    }
    Ok(())
}
