//! `keybrake sandbox`

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;

use super::{asked_to_stop, talk};
use crate::{
    outside::Clock,
    sandbox::{Sandbox, Settings},
};

#[derive(Args)]
pub(super) struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8788")]
    listen: SocketAddr,
    /// The secret key that it accepts.
    #[arg(long, default_value = "sk_test_sandbox")]
    secret: String,
    /// How long it takes for each write, in milliseconds.
    #[arg(long, default_value_t = 0)]
    latency: u64,
    /// Makes its faults the same in each run.
    #[arg(long)]
    seed: Option<u64>,
    /// How long it remembers an idempotency key, in seconds.
    #[arg(long, default_value_t = 86_400)]
    idempotency_window: u64,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("can't listen on {}", options.listen))?;
    talk(&format!(
        "sandbox listening on http://{}; what it executed: /sandbox/executed",
        listener.local_addr()?
    ));
    let settings = Settings {
        secret: options.secret,
        latency: Duration::from_millis(options.latency),
        seed: options.seed,
        idempotency_window: Duration::from_secs(options.idempotency_window),
        ..Settings::default()
    };
    Ok(Sandbox::new(settings, Clock::default()).serve(listener, asked_to_stop()).await?)
}
