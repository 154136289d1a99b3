//! `keybrake-http-worker`: the activities as a process that engines call over HTTP.

use std::{io::IsTerminal, net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use axum::{Router, routing::get};
use clap::Parser;
use keybrake_client::{Customers, Keybrake, Settings};
use keybrake_core::time::parse_span;
use keybrake_http_worker::{
    activities::Activities,
    auth::{Callers, wall_clock},
    azure, durable_task, inngest, plain,
    server::serve,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// A request allocates on one thread and frees on another: this allocator is measurably faster at it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves Keybrake's activities to engines that call over HTTP.
///
/// The proxy is found by `KEYBRAKE_URL`, and asked with `KEYBRAKE_API_KEY` (role issuer) and
/// `KEYBRAKE_CALLER_API_KEY` (role caller; the first one by default). Inngest's own variables say
/// how it is reached: `INNGEST_DEV`, or `INNGEST_SIGNING_KEY` and `INNGEST_SERVE_ORIGIN`. Under
/// Azure's host, `FUNCTIONS_CUSTOMHANDLER_PORT` is set, and its functions are served there alone.
#[derive(Parser)]
#[command(version, about)]
struct Options {
    /// Where `/activities/{name}` and `/api/inngest` are served.
    #[arg(long, env = "KEYBRAKE_WORKER_LISTEN", default_value = "127.0.0.1:9090")]
    listen: SocketAddr,
    /// The bearer token of those who may call /activities.
    #[arg(long, env = "KEYBRAKE_WORKER_TOKEN", hide_env_values = true)]
    token: Option<SecretString>,
    /// The secret of those who sign what they send to /activities.
    #[arg(long, env = "KEYBRAKE_WORKER_SIGNING_SECRET", hide_env_values = true)]
    signing_secret: Option<SecretString>,
    /// Serve the ready functions to Inngest.
    #[arg(long, env = "KEYBRAKE_WORKER_INNGEST")]
    inngest: bool,
    /// Take activities from this Durable Task backend too, such as <http://127.0.0.1:4001>.
    #[arg(long, env = "KEYBRAKE_WORKER_DURABLE_TASK")]
    durable_task: Option<String>,
    /// The backend's task hub, where it has several.
    #[arg(long, env = "KEYBRAKE_WORKER_TASK_HUB", requires = "durable_task")]
    task_hub: Option<String>,
    /// Who is on a plan, for the ready functions: answers `[{"id", "amount_cents", "payment_method"?}]`.
    #[arg(long, env = "KEYBRAKE_CUSTOMERS_URL")]
    customers_url: Option<String>,
    /// How many activities run at a time; others wait.
    #[arg(
        long,
        env = "KEYBRAKE_WORKER_AT_ONCE",
        default_value_t = 256,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    at_once: u16,
    /// How long an activity may take, such as 100s.
    #[arg(long, env = "KEYBRAKE_WORKER_TIMEOUT", default_value = "100s", value_parser = span)]
    timeout: Duration,
    /// What is logged, such as info or `keybrake_http_worker=debug`.
    #[arg(long, env = "KEYBRAKE_LOG", default_value = "info")]
    log: String,
    #[arg(long = "azure-port", env = "FUNCTIONS_CUSTOMHANDLER_PORT", hide = true)]
    azure_port: Option<u16>,
}

fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).map_err(|error| error.to_string())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    start_logs(&options.log)?;
    let keybrake = Keybrake::new(Settings::from_env()?)?;
    let activities = Activities::new(keybrake, "worker", options.at_once.into(), options.timeout);
    let (listen, router) = match options.azure_port {
        Some(port) => {
            let listen = SocketAddr::from(([127, 0, 0, 1], port));
            (listen, azure::routes(activities.of_engine("azure-durable")))
        }
        None => (options.listen, routes(&options, &activities)?),
    };
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("can't listen on {listen}"))?;
    tracing::info!(listen = %listener.local_addr()?, proxy = ?activities.keybrake, "serving");
    let stop = CancellationToken::new();
    let mut terminated = signal(SignalKind::terminate())?;
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        stopping.cancel();
    });
    let served = serve(listener, router, stop.clone().cancelled_owned());
    match durable_task(&options, &activities)? {
        Some(worker) => tokio::join!(served, worker.work(stop)).0?,
        None => served.await?,
    }
    Ok(())
}

fn durable_task(
    options: &Options,
    activities: &Activities,
) -> anyhow::Result<Option<durable_task::Worker>> {
    let Some(address) = &options.durable_task else {
        return Ok(None);
    };
    let backend = durable_task::Backend::at(address, options.task_hub.as_deref())?;
    let activities = activities.of_engine("durable-task");
    Ok(Some(durable_task::Worker::new(backend, activities, options.at_once)))
}

fn routes(options: &Options, activities: &Activities) -> anyhow::Result<Router> {
    let empty = |secret: &Option<SecretString>| {
        secret.as_ref().is_some_and(|secret| secret.expose_secret().trim().is_empty())
    };
    if empty(&options.token) || empty(&options.signing_secret) {
        bail!("--token or --signing-secret is empty, which anybody can guess");
    }
    let callers = Callers::new(options.token.clone(), options.signing_secret.clone(), wall_clock);
    if callers.is_open() && !options.listen.ip().is_loopback() {
        bail!(
            "whoever reaches {} could charge: give --token or --signing-secret, or listen on loopback",
            options.listen
        );
    }
    let plain = plain::Plain { activities: activities.clone(), callers };
    let mut router =
        Router::new().route("/healthz", get(|| async { "ok" })).merge(plain::routes(plain));
    if options.inngest {
        let variable = |name: &str| std::env::var(name).ok();
        let settings = inngest::Settings::load(&variable, wall_clock)?;
        if settings.mode == inngest::Mode::Dev && !options.listen.ip().is_loopback() {
            bail!("with INNGEST_DEV nothing is signed, so that it is for loopback alone");
        }
        let customers = Customers::at(options.customers_url.clone())?;
        let of_inngest = activities.of_engine("inngest");
        let functions = inngest::billing::functions(&settings.app_id, &of_inngest, &customers);
        router = router.merge(inngest::routes(inngest::App::new(settings, functions)?));
    }
    Ok(router)
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
