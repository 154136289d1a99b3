//! `keybrake demo`: the product in one minute.
//!
//! A run fires 200 charges of $1 at once through the proxy, on a key with a $50 cap, at a sandbox
//! that loses answers and requests. Each charge is retried, under its idempotency key, until its
//! outcome is known, as a durable engine would do.

use std::{collections::BTreeMap, path::Path, time::Duration};

use bytes::Bytes;
use clap::Args;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{asked_to_stop, audit::COLUMNS, client::Client, print, serve, table, talk};
use crate::{
    app::App,
    config::Config,
    outside::{self, Clock},
    sandbox::{Faults, Sandbox, Settings},
    server,
    store::sqlite::Durability,
};

/// How many charges are fired at once.
const CHARGES: u32 = 200;
/// The sandbox's secret.
const SECRET: &str = "sk_test_sandbox";
/// How often one charge is tried at most.
const MOST_TRIES: u32 = 100;

#[derive(Args)]
pub(super) struct Options {
    /// Go on serving afterwards.
    #[arg(long)]
    keep: bool,
    /// Where to listen; a free port by default.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    serve::start_logs("error");
    let directory =
        std::env::temp_dir().join(format!("keybrake-demo-{}", hex::encode(outside::random::<6>())));
    let shown = demo(&options, &directory).await;
    std::fs::remove_dir_all(&directory).ok();
    shown
}

async fn demo(options: &Options, directory: &Path) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let sandbox = start_sandbox(&stop).await?;
    let listener = TcpListener::bind(&options.listen).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let api_key = format!("kb_api_{}", hex::encode(outside::random::<24>()));
    let variables = BTreeMap::from([
        ("KEYBRAKE_DATA_DIR", directory.display().to_string()),
        ("KEYBRAKE_API_KEY", api_key.clone()),
        ("KEYBRAKE_VENDOR_STRIPE_BASE_URL", sandbox.1.clone()),
        ("KEYBRAKE_VENDOR_STRIPE_SECRET", SECRET.to_owned()),
    ]);
    let config = Config::load(&|name| variables.get(name).cloned())?;
    let (app, closed) = App::open(config, Clock::default(), Durability::Full).await?;
    let stopped = stop.clone();
    let serving = tokio::spawn(server::serve(app, closed, listener.into(), async move {
        stopped.cancelled().await;
    }));

    let client = Client::new(url.clone(), SecretString::from(api_key.clone()));
    let key = issue(&client).await?;
    talk(&format!(
        "Firing {CHARGES} charges of $1 at once at {url}, on a key with a $50 cap. The vendor loses answers."
    ));
    let outcomes = fire(&url, &key).await?;
    report(&client, &sandbox.0, &key, &outcomes).await?;
    print(&further(&url, &api_key, &key, options.keep));
    if options.keep {
        asked_to_stop().await;
    }
    stop.cancel();
    serving.await?
}

async fn start_sandbox(stop: &CancellationToken) -> anyhow::Result<(Sandbox, String)> {
    let faults = Faults {
        answer_lost: 150_000,
        request_lost: 50_000,
        error_after_charge: 0,
        ..Faults::default()
    };
    let settings = Settings { secret: SECRET.to_owned(), faults, ..Settings::default() };
    let sandbox = Sandbox::new(settings, Clock::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let stop = stop.clone();
    tokio::spawn(sandbox.clone().serve(listener, async move { stop.cancelled().await }));
    Ok((sandbox, url))
}

async fn issue(client: &Client) -> anyhow::Result<Value> {
    let body = json!({
        "vendor": "stripe",
        "total_usd_cap": "50",
        "allowed_endpoints": ["POST /v1/payment_intents"],
        "expires_in": "30m",
        "agent_run_label": "demo/fan-out",
    });
    client.ask(Method::POST, "/vault/keys", Some(&body)).await
}

/// Fires all charges at once, and counts how they ended and how often they were tried.
async fn fire(url: &str, key: &Value) -> anyhow::Result<BTreeMap<String, u32>> {
    let pool: Pool<HttpConnector, Full<Bytes>> = Pool::builder(TokioExecutor::new()).build_http();
    let token = key.get("vault_key").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut charges = JoinSet::new();
    for index in 0..CHARGES {
        charges.spawn(charge(pool.clone(), url.to_owned(), token.clone(), index));
    }
    let mut outcomes = BTreeMap::new();
    while let Some(ended) = charges.join_next().await {
        let (outcome, tries) = ended??;
        *outcomes.entry(outcome).or_default() += 1;
        *outcomes.entry("tries".to_owned()).or_default() += tries;
    }
    Ok(outcomes)
}

/// One charge, retried under its idempotency key until its outcome is known.
async fn charge(
    pool: Pool<HttpConnector, Full<Bytes>>,
    url: String,
    token: String,
    index: u32,
) -> anyhow::Result<(String, u32)> {
    for tries in 1..=MOST_TRIES {
        let request = Request::post(format!("{url}/stripe/v1/payment_intents"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("idempotency-key", format!("demo-run-1-{index}"))
            .body(Full::new(Bytes::from(
                "amount=100&currency=usd&confirm=true&payment_method=pm_card_visa",
            )))?;
        let answer = pool.request(request).await?;
        let status = answer.status().as_u16();
        let body: Value = serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?;
        if status == 200 {
            return Ok(("charged".to_owned(), tries));
        }
        if body.pointer("/keybrake/terminal") == Some(&Value::Bool(true)) {
            let code = body.get("code").and_then(Value::as_str).unwrap_or("refused");
            return Ok((code.to_owned(), tries));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(("unknown".to_owned(), MOST_TRIES))
}

async fn report(
    client: &Client,
    sandbox: &Sandbox,
    key: &Value,
    outcomes: &BTreeMap<String, u32>,
) -> anyhow::Result<()> {
    let count = |name: &str| outcomes.get(name).copied().unwrap_or(0);
    let executed = sandbox.executed();
    let moved = executed.total_minor.get("usd").copied().unwrap_or(0);
    let id = key.get("key_id").and_then(Value::as_str).unwrap_or_default();
    let budget = settled_budget(client, id).await?;
    let amount = |name: &str| budget.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
    print(&format!("{:3} charged", count("charged")));
    print(&format!("{:3} refused, since the cap is exhausted", count("cap_exhausted")));
    print(&format!("{:3} charged twice", executed.duplicate_keys.len()));
    print(&format!(
        "\nThat took {} tries: on the way to the vendor {} got lost, and on the way back {}.",
        count("tries"),
        counted(faults(sandbox, "request_lost"), "request"),
        counted(faults(sandbox, "answer_lost"), "answer"),
    ));
    print(&format!(
        "The vendor executed {} charges, ${}.{:02} in all.",
        executed.data.len(),
        moved / 100,
        moved % 100
    ));
    print(&format!(
        "The ledger says ${} spent, ${} held, ${} in doubt.\n",
        amount("spent_usd"),
        amount("held_usd"),
        amount("in_doubt_usd")
    ));
    let mut rows = Vec::new();
    for verdict in ["allowed", "denied"] {
        let path = format!("/audit/calls?agent_run_label=demo/fan-out&verdict={verdict}&limit=4");
        let listed = client.ask(Method::GET, &path, None).await?;
        rows.extend(listed.get("data").and_then(Value::as_array).cloned().unwrap_or_default());
    }
    print("Some of the run's audit rows:");
    print(&table::show(&rows, &COLUMNS, false));
    Ok(())
}

/// The budget, once the last answer is recorded: it is given before that.
async fn settled_budget(client: &Client, id: &str) -> anyhow::Result<Value> {
    let path = format!("/vault/keys/{id}");
    let mut budget = client.ask(Method::GET, &path, None).await?;
    for _ in 0..100 {
        if budget.get("held_usd").and_then(Value::as_str) == Some("0.00") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        budget = client.ask(Method::GET, &path, None).await?;
    }
    Ok(budget)
}

fn faults(sandbox: &Sandbox, name: &str) -> u64 {
    sandbox.requests().faults.get(name).copied().unwrap_or(0)
}

fn counted(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

fn further(url: &str, api_key: &str, key: &Value, keeps: bool) -> String {
    // As it was called, since it need not be on the PATH.
    let keybrake = std::env::args().next().unwrap_or_else(|| "keybrake".to_owned());
    if !keeps {
        return format!(
            "\nTo look further, run `{keybrake} demo --keep`: it goes on serving and says how to ask it."
        );
    }
    let id = key.get("key_id").and_then(Value::as_str).unwrap_or_default();
    format!(
        "\nStill serving, until Ctrl-C. In another terminal:\n\
         \n  export KEYBRAKE_URL={url} KEYBRAKE_API_KEY={api_key}\
         \n  {keybrake} audit list --verdict denied\
         \n  {keybrake} key show {id}\
         \n  {keybrake} key revoke {id}"
    )
}
