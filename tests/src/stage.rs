//! What examples and benches of engines have in common: a sandbox and a proxy as real processes, and
//! what these two say of a run.

use std::io::Write;

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    API_KEY, SECRET,
    process::{self, Process},
    rig::read,
};

/// A sandbox, and a proxy before it.
pub struct Stage {
    /// The vendor.
    pub sandbox: Process,
    /// The proxy.
    pub proxy: Process,
    _data: TempDir,
}

impl Stage {
    /// Both, on free ports of loopback.
    ///
    /// # Panics
    /// Where they don't start.
    #[must_use]
    #[expect(clippy::expect_used, reason = "an example that can't start fails")]
    pub fn start() -> Self {
        let data = tempfile::tempdir().expect("a temporary directory");
        let sandbox = process::sandbox(&[]);
        let proxy = process::proxy(data.path(), &sandbox.url, &[("KEYBRAKE_LOG", "error")]);
        Self { sandbox, proxy, _data: data }
    }

    /// The ids of new customers that have a card.
    pub async fn customers(&self, count: usize) -> Vec<String> {
        let mut customers = Vec::with_capacity(count);
        for _ in 0..count {
            let request = crate::http()
                .post(format!("{}/v1/customers", self.sandbox.url))
                .header("content-type", "application/x-www-form-urlencoded")
                .body("source=tok_visa");
            customers.push(read(request.bearer_auth(SECRET)).await.text("/id").to_owned());
        }
        customers
    }

    /// What the proxy's API answers.
    pub async fn asked(&self, path: &str) -> Value {
        let request = crate::http().get(format!("{}{path}", self.proxy.url));
        read(request.bearer_auth(API_KEY)).await.body
    }

    /// Says what the ledger and the vendor know of a run.
    pub async fn say_what_both_know(&self, label: &str) {
        let keys = self.asked(&format!("/vault/keys?agent_run_label={label}")).await;
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
        let asked = crate::http().get(format!("{}/sandbox/executed", self.sandbox.url));
        let executed = read(asked).await.body;
        let calls = executed.pointer("/data").and_then(Value::as_array).cloned();
        let calls = calls.unwrap_or_default();
        let payments = calls.iter().filter(|call| text(call, "/amount") != "0").count();
        let cents: u64 = text(&executed, "/total_minor/usd").parse().unwrap_or(0);
        let (dollars, cents) = (cents / 100, cents % 100);
        say(&format!("the vendor   {payments} payments executed, ${dollars}.{cents:02}"));
    }
}

/// Prints a line.
pub fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

/// A member as text, whatever its type.
#[must_use]
pub fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(
            other @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_)),
        ) => other.to_string(),
        None => String::new(),
    }
}
