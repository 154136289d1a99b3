//! Durable Task on this machine: runs a capped fan-out and says what each side has seen.

use std::{io::Write, process::ExitCode};

use keybrake_tests::{
    API_KEY, durable,
    process::{self, Process},
    rig::read,
};
use serde_json::Value;

/// How many customers the example bills, a dollar each, and how many dollars it may spend.
const EXAMPLE: (usize, usize) = (50, 20);

#[tokio::main]
async fn main() -> ExitCode {
    match example().await {
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

async fn example() -> Result<(), Box<dyn std::error::Error>> {
    let (count, dollars) = EXAMPLE;
    say("Starting a sandbox for Stripe, the proxy, a Durable Task backend and Keybrake's worker.");
    let data = tempfile::tempdir()?;
    let sandbox = process::sandbox(&[]);
    let proxy = process::proxy(data.path(), &sandbox.url, &[]);
    let backend = durable::backend();
    let _worker = durable::worker(&proxy.url, &["--durable-task", &backend.url], &[]);
    say(&format!("Billing {count} customers $1 each, in one run that may spend ${dollars}.\n"));
    let customers = durable::customers(&sandbox.url, count).await;
    let ended =
        durable::printed(durable::example(&backend, data.path(), &customers, dollars)).await;
    let label = text(&ended, "/agent_run_label");
    say(&format!("the run      {label}"));
    let of_engine = |name: &str| text(&ended, &format!("/summary/{name}"));
    say(&format!(
        "the engine   completed: {} charged, {} cap_exhausted",
        of_engine("charged"),
        of_engine("cap_exhausted")
    ));
    say_what_was_spent(&proxy, &sandbox, &label).await;
    Ok(())
}

async fn say_what_was_spent(proxy: &Process, sandbox: &Process, label: &str) {
    let path = format!("{}/vault/keys?agent_run_label={label}", proxy.url);
    let keys = read(keybrake_tests::http().get(path).bearer_auth(API_KEY)).await.body;
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
    let asked = keybrake_tests::http().get(format!("{}/sandbox/executed", sandbox.url));
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
