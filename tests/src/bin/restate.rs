//! Restate on this machine: `example` runs a capped fan-out and says what each side has seen, and
//! `bench` measures one.

use std::{process::ExitCode, time::Instant};

use keybrake_tests::{
    process::Process,
    restate::{Engine, worker},
    stage::{Stage, say, text},
};
use serde_json::{Value, json};

/// How many customers the example bills, a dollar each, and how many dollars it may spend.
const EXAMPLE: (usize, usize) = (50, 20);
/// The same for the bench.
const BENCH: (usize, usize) = (500, 100);
const ROUNDS: usize = 3;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// An engine with its worker before a stage.
struct Scene {
    stage: Stage,
    engine: Engine,
    _worker: Process,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match std::env::args().nth(1).as_deref() {
        Some("example") => example().await,
        Some("bench") => {
            bench().await;
            Ok(())
        }
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

impl Scene {
    async fn start() -> Self {
        let stage = Stage::start();
        let engine = Engine::start().await;
        let worker = worker(&stage.proxy.url, &[]);
        engine.register(&worker.url).await;
        Self { stage, engine, _worker: worker }
    }

    /// Bills these customers, and gives the run's answer and its seconds.
    async fn bill(&self, customers: &[String], cents: u64, dollars: usize) -> (Value, f64) {
        let charges: Vec<_> =
            customers.iter().map(|id| json!({"customer": id, "amount": cents})).collect();
        let input = json!({"plan_id": "pro", "budget_usd": dollars, "customers": charges});
        let begun = Instant::now();
        let ended = self.engine.call("Billing/chargeCustomers", &input).await;
        (ended.body, begun.elapsed().as_secs_f64())
    }
}

async fn example() -> Outcome {
    let (customers, dollars) = EXAMPLE;
    say("Starting a sandbox for Stripe, the proxy, Restate and Keybrake's services on loopback.");
    let scene = Scene::start().await;
    say(&format!("Billing {customers} customers $1 each, in one run that may spend ${dollars}.\n"));
    let ids = scene.stage.customers(customers).await;
    let (ended, _) = scene.bill(&ids, 100, dollars).await;
    let label = text(&ended, "/agent_run_label");
    if label.is_empty() {
        return Err(format!("the run failed: {ended}").into());
    }
    say(&format!("the run      {label}"));
    let count = |name: &str| text(&ended, &format!("/summary/{name}"));
    let (charged, capped, failed) = (count("charged"), count("capped"), count("failed"));
    say(&format!("             {charged} charged, {capped} capped, {failed} failed"));
    let sql = "select target_service_name as service, completion_result as ended, \
               count(*) as invocations from sys_invocation group by 1, 2 order by 1, 2";
    for row in scene.engine.query(sql).await {
        let (service, ended) = (text(&row, "/service"), text(&row, "/ended"));
        say(&format!("the engine   {service}: {} ended as {ended}", text(&row, "/invocations")));
    }
    scene.stage.say_what_both_know(&label).await;
    Ok(())
}

/// The fan-out, and beside it the same one whose children end before they ask the proxy.
#[expect(clippy::float_arithmetic, reason = "a ratio for people to read")]
async fn bench() {
    let (customers, dollars) = BENCH;
    let scene = Scene::start().await;
    let ids = scene.stage.customers(customers).await;
    for round in 1..=ROUNDS {
        let (_, empty) = scene.bill(&ids, 0, dollars).await;
        let (ended, charged) = scene.bill(&ids, 100, dollars).await;
        say(&format!(
            "restate, round {round}: {customers} children on a ${dollars} key, {} charged and {} capped: {charged:.2} s; \
             without asking the proxy {empty:.2} s; ratio {:.2}",
            text(&ended, "/summary/charged"),
            text(&ended, "/summary/capped"),
            charged / empty
        ));
    }
}
