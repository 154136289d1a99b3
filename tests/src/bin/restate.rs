//! Restate on this machine: `example` runs a capped fan-out and says what each side has seen, and
//! `bench` measures one.

use std::{io::Write, process::ExitCode, time::Instant};

use keybrake_tests::{
    API_KEY, SECRET,
    process::{self, Process},
    restate::{Engine, worker},
    rig::read,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How many customers the example bills, a dollar each, and how many dollars it may spend.
const EXAMPLE: (usize, usize) = (50, 20);
/// The same for the bench.
const BENCH: (usize, usize) = (500, 100);
const ROUNDS: usize = 3;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Every part as a process of its own, but for the engine's clients.
struct Stack {
    sandbox: Process,
    proxy: Process,
    engine: Engine,
    worker: Process,
    _data: TempDir,
}

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

fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}

impl Stack {
    async fn start() -> Outcome<Self> {
        let data = tempfile::tempdir()?;
        let sandbox = process::sandbox(&[]);
        let proxy = process::proxy(data.path(), &sandbox.url, &[]);
        let engine = Engine::start().await;
        let worker = worker(&proxy.url, &[]);
        engine.register(&worker.url).await;
        Ok(Self { sandbox, proxy, engine, worker, _data: data })
    }

    async fn customers(&self, count: usize) -> Vec<String> {
        let mut customers = Vec::with_capacity(count);
        for _ in 0..count {
            let request = keybrake_tests::http()
                .post(format!("{}/v1/customers", self.sandbox.url))
                .header("content-type", "application/x-www-form-urlencoded")
                .body("source=tok_visa");
            customers.push(read(request.bearer_auth(SECRET)).await.text("/id").to_owned());
        }
        customers
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

    async fn asked(&self, path: &str) -> Value {
        let request = keybrake_tests::http().get(format!("{}{path}", self.proxy.url));
        read(request.bearer_auth(API_KEY)).await.body
    }
}

async fn example() -> Outcome<()> {
    let (customers, dollars) = EXAMPLE;
    say("Starting a sandbox for Stripe, the proxy, Restate and Keybrake's services on loopback.");
    let stack = Stack::start().await?;
    say(&format!("Billing {customers} customers $1 each, in one run that may spend ${dollars}.\n"));
    let ids = stack.customers(customers).await;
    let (ended, _) = stack.bill(&ids, 100, dollars).await;
    let label = text(&ended, "/agent_run_label");
    if label.is_empty() {
        return Err(format!("the run failed: {ended}").into());
    }
    say(&format!("the run      {label}"));
    let count = |name: &str| text(&ended, &format!("/summary/{name}"));
    say(&format!(
        "             {} charged, {} capped, {} failed",
        count("charged"),
        count("capped"),
        count("failed")
    ));
    say_what_each_side_knows(&stack, &label).await;
    drop(stack.worker);
    Ok(())
}

async fn say_what_each_side_knows(stack: &Stack, label: &str) {
    let sql = "select target_service_name as service, completion_result as ended, \
               count(*) as invocations from sys_invocation group by 1, 2 order by 1, 2";
    for row in stack.engine.query(sql).await {
        let (service, ended) = (text(&row, "/service"), text(&row, "/ended"));
        say(&format!("the engine   {service}: {} ended as {ended}", text(&row, "/invocations")));
    }
    let keys = stack.asked(&format!("/vault/keys?agent_run_label={label}")).await;
    let of_key = |name: &str| text(&keys, &format!("/data/0/{name}"));
    say(&format!(
        "the ledger   {} is {}: ${} spent, ${} held, ${} in doubt, of ${}",
        of_key("key_id"),
        of_key("state"),
        of_key("spent_usd"),
        of_key("held_usd"),
        of_key("in_doubt_usd"),
        of_key("total_usd_cap")
    ));
    let asked = keybrake_tests::http().get(format!("{}/sandbox/executed", stack.sandbox.url));
    let executed = read(asked).await.body;
    let calls = executed.pointer("/data").and_then(Value::as_array).cloned().unwrap_or_default();
    let payments = calls.iter().filter(|call| text(call, "/amount") != "0").count();
    let cents: u64 = text(&executed, "/total_minor/usd").parse().unwrap_or(0);
    say(&format!("the vendor   {payments} payments executed, ${}.{:02}", cents / 100, cents % 100));
}

/// A member as text, whatever its type.
fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// The fan-out, and beside it the same one whose children end before they ask the proxy.
#[expect(clippy::float_arithmetic, reason = "a ratio for people to read")]
async fn bench() -> Outcome<()> {
    let (customers, dollars) = BENCH;
    let stack = Stack::start().await?;
    let ids = stack.customers(customers).await;
    for round in 1..=ROUNDS {
        let (_, empty) = stack.bill(&ids, 0, dollars).await;
        let (ended, charged) = stack.bill(&ids, 100, dollars).await;
        say(&format!(
            "restate, round {round}: {customers} children on a ${dollars} key, {} charged and {} capped: {charged:.2} s; \
             without asking the proxy {empty:.2} s; ratio {:.2}",
            text(&ended, "/summary/charged"),
            text(&ended, "/summary/capped"),
            charged / empty
        ));
    }
    Ok(())
}
