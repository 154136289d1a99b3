//! Inngest on this machine, by the executor of the tests: `example` runs parallel charges under a cap
//! and says what each side has seen, and `bench` measures the worker.

use std::{
    process::{Command, ExitCode},
    time::Instant,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Request, StatusCode},
};
use futures_util::{StreamExt, stream};
use keybrake_client::{IdempotencyKey, Keybrake, Settings as Proxy, Spender, charge::Charge};
use keybrake_http_worker::{
    auth::wall_clock,
    inngest::{App, Function, FunctionError, Run, Settings, all, routes},
};
use keybrake_tests::{
    API_KEY,
    inngest::Executor,
    process::{self, Process},
    stage::{Stage, say, text},
};
use serde::Deserialize;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use tower_service::Service;

const CUSTOMERS: usize = 100;
const DOLLARS: usize = 40;
/// With what surrounds them no more than Inngest's 1,000.
const STEPS: usize = 1_000;
/// How many the executor asks for at once.
const AT_ONCE: usize = 50;
const ROUNDS: usize = 3;

/// What the worker allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let done = match std::env::args().nth(1).as_deref() {
        Some("example") => example().await,
        Some("bench") => bench().await,
        _ => Err("say example or bench".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn worker(proxy_url: &str, executor: &Executor) -> Process {
    let port = process::free_port();
    let mut command = Command::new(process::program("keybrake-http-worker"));
    command
        .args(["--inngest", "--listen", &format!("127.0.0.1:{port}")])
        .env("KEYBRAKE_URL", proxy_url)
        .env("KEYBRAKE_API_KEY", API_KEY)
        .env("KEYBRAKE_LOG", "error")
        .env("INNGEST_DEV", &executor.url);
    process::started(command, port, "/healthz")
}

async fn example() -> Outcome {
    say("Starting a sandbox for Stripe, the proxy, the worker and an executor on loopback.");
    let stage = Stage::start();
    let executor = Executor::start().await;
    let worker = worker(&stage.proxy.url, &executor);
    let served = format!("{}/api/inngest", worker.url);
    let (status, _) = executor.sync(&served).await;
    say(&format!("Synced ({status}): {} functions.", executor.registered().len()));
    say(&format!("Billing {CUSTOMERS} customers $1 each, in one run that may spend ${DOLLARS}.\n"));
    let customers = stage.customers(CUSTOMERS).await;
    let customers: Vec<_> =
        customers.iter().map(|id| json!({"id": id, "amount_cents": 100})).collect();
    let data = json!({"budget_usd": DOLLARS, "customers": customers});
    let event = json!({"name": "billing/subscription.process", "data": data});
    let ended = executor.run(&served, "keybrake-billing-agent", event).await;
    let result = ended.result.map_err(|error| format!("the run failed: {error}"))?;

    let label = text(&result, "/agent_run_label");
    say(&format!("the run      {label}"));
    let count = |name: &str| text(&result, &format!("/summary/{name}"));
    let (charged, capped, failed) = (count("charged"), count("capped"), count("failed"));
    say(&format!("             {charged} charged, {capped} capped, {failed} failed"));
    let (steps, tries) = (ended.tries.len(), ended.tries.values().sum::<u32>());
    say(&format!("the engine   {steps} steps, run {tries} times"));
    stage.say_what_both_know(&label).await;
    Ok(())
}

/// What the bench's function needs.
#[derive(Clone)]
struct Charges {
    keybrake: Keybrake,
    key: Value,
}

#[derive(Deserialize)]
struct Asked {
    customers: Vec<Charge>,
}

/// Many steps in parallel, which charge, or do nothing.
async fn parallel(run: Run, charges: Option<Charges>) -> Result<Value, FunctionError> {
    let asked: Asked = run.event.data()?;
    let steps = asked.customers.iter().enumerate().map(|(item, charge)| {
        run.step.run(&format!("charge-{item}"), || {
            let (charges, run_id, charge) = (charges.clone(), run.id.clone(), charge.clone());
            async move {
                let Some(charges) = charges else { return Ok(Value::Null) };
                let spender: Spender = keybrake_client::input::read(charges.key)?;
                let once = IdempotencyKey::of_item(&run_id, item)?;
                Ok(json!(charges.keybrake.charge(&spender, &charge, &once).await?))
            }
        })
    });
    let ended = all(steps).await;
    Ok(json!(ended.iter().filter(|ended| ended.is_ok()).count()))
}

#[expect(clippy::float_arithmetic, reason = "figures for people to read")]
async fn bench() -> Outcome {
    let stage = Stage::start();
    let executor = Executor::start().await;
    let keybrake = Keybrake::new(Proxy::load(&|name| match name {
        "KEYBRAKE_URL" => Some(stage.proxy.url.clone()),
        "KEYBRAKE_API_KEY" => Some(API_KEY.to_owned()),
        _ => None,
    })?)?;
    let request = json!({
        "vendor": "stripe", "total_usd_cap": 1_000_000, "allowed_endpoints": ["POST /v1/payment_intents"],
        "expires_in": "2h", "agent_run_label": "bench",
    });
    let request = keybrake_client::input::read(request)?;
    let key = json!(keybrake.issue(&request, &IdempotencyKey::new("bench")?).await?);
    let purse = Charges { keybrake: keybrake.clone(), key: key.clone() };
    let (served, router) = serve(&executor, purse).await?;
    let ids = stage.customers(STEPS).await;
    let customers: Vec<_> = ids.iter().map(|id| json!({"customer": id, "amount": 100})).collect();
    let event = json!({"name": "bench", "data": {"customers": customers}});
    let per_step = |begun: Instant| begun.elapsed().as_secs_f64() * 1e6 / 1_000.0;

    for round in 1..=ROUNDS {
        let begun = Instant::now();
        alone(router.clone(), &event).await?;
        let own = per_step(begun);
        let begun = Instant::now();
        let ended = executor.run(&served, "bench-charging", event.clone()).await;
        let stepped = per_step(begun);
        let begun = Instant::now();
        direct(&keybrake, &key, &customers, round).await?;
        let proxied = per_step(begun);
        let done = ended.result.map_err(|error| error.to_string())?;
        say(&format!(
            "inngest, round {round}: {done} parallel steps: the worker's own time a step {own:.0} µs; \
             {AT_ONCE} at once, a charge {proxied:.0} µs, and as a step {stepped:.0} µs, executor \
             included; the step beside the charge {:.2}",
            own / proxied
        ));
    }
    Ok(())
}

async fn serve(
    executor: &Executor,
    charges: Charges,
) -> Result<(String, Router), Box<dyn std::error::Error>> {
    let variable = |name: &str| match name {
        "INNGEST_DEV" => Some(executor.url.clone()),
        "KEYBRAKE_INNGEST_APP_ID" => Some("bench".to_owned()),
        _ => None,
    };
    let settings = Settings::load(&variable, wall_clock)?;
    let functions = vec![
        Function::new("empty", "bench", |run| parallel(run, None)),
        Function::new("charging", "bench", move |run| parallel(run, Some(charges.clone()))),
    ];
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/api/inngest", listener.local_addr()?);
    let router = routes(App::new(settings, functions)?);
    let served = router.clone();
    tokio::spawn(async move { axum::serve(listener, served).await.ok() });
    Ok((url, router))
}

/// The worker alone: each step of a run in which nothing is done, as the server asks for it.
async fn alone(mut router: Router, event: &Value) -> Outcome {
    let ctx = json!({"run_id": "01BENCH", "disable_immediate_execution": true});
    let body = json!({"ctx": ctx, "event": event, "events": [event], "steps": {}}).to_string();
    let body = Bytes::from(body);
    for item in 0..STEPS {
        let step = hex::encode(Sha1::digest(format!("charge-{item}")));
        let uri = format!("/api/inngest?fnId=bench-empty&stepId={step}");
        let request = Request::post(uri).body(Body::from(body.clone()))?;
        let answer = router.call(request).await?;
        if answer.status() != StatusCode::PARTIAL_CONTENT {
            return Err(format!("a step was answered {}", answer.status()).into());
        }
    }
    Ok(())
}

/// The same charges without an engine.
async fn direct(keybrake: &Keybrake, key: &Value, customers: &[Value], round: usize) -> Outcome {
    let spender: Spender = keybrake_client::input::read(key.clone())?;
    let charged = stream::iter(customers.iter().enumerate()).map(|(item, customer)| {
        let spender = &spender;
        async move {
            let charge: Charge = keybrake_client::input::read(customer.clone())?;
            let once = IdempotencyKey::of_item(&format!("direct-{round}"), item)?;
            keybrake.charge(spender, &charge, &once).await
        }
    });
    let charged: Vec<_> = charged.buffer_unordered(AT_ONCE).collect().await;
    for charge in charged {
        charge?;
    }
    Ok(())
}
