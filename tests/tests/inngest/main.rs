//! Keybrake's functions for Inngest: recorded traffic of the real server, and whole runs driven by
//! an executor of our own that speaks its protocol.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is not there fails the test"
)]

mod bad_input;
mod guide;
mod recorded;
mod runs;
mod typescript;

use keybrake::sandbox::Settings;
use keybrake_tests::{
    API_KEY, SECRET,
    inngest::Executor,
    process::{self, Process},
    rig::{Rig, read},
};
use serde_json::{Value, json};

const AGENT: &str = "keybrake-billing-agent";

/// An executor, the worker as a real process, a proxy and a sandbox.
struct Bench {
    executor: Executor,
    worker: Option<Process>,
    port: u16,
    rig: Rig,
}

impl Bench {
    async fn start() -> Self {
        let rig = Rig::start(Settings::default()).await;
        let executor = Executor::start().await;
        let port = process::free_port();
        let worker = Some(worker_on(port, &rig.url, &[("INNGEST_DEV", &executor.url)]));
        Self { executor, worker, port, rig }
    }

    fn served(&self) -> String {
        format!("http://127.0.0.1:{}/api/inngest", self.port)
    }

    /// How many charges the vendor has executed, none of them twice.
    fn charged(&self) -> usize {
        let executed = self.rig.sandbox.executed();
        assert!(executed.duplicate_keys.is_empty(), "{:?}", executed.duplicate_keys);
        executed.data.iter().filter(|call| call.amount > 0).count()
    }

    /// An event that asks to bill so many customers, a dollar each.
    async fn event(&self, customers: usize, budget: u32) -> Value {
        let customers = customers_of(&self.rig, customers).await;
        json!({"name": "billing/subscription.process", "data": {"budget_usd": budget, "customers": customers}})
    }
}

fn worker_on(port: u16, proxy_url: &str, variables: &[(&str, &str)]) -> Process {
    let mut command = std::process::Command::new(process::program("keybrake-http-worker"));
    command
        .args(["--inngest", "--listen", &format!("127.0.0.1:{port}")])
        .env("KEYBRAKE_URL", proxy_url)
        .env("KEYBRAKE_API_KEY", API_KEY)
        .env("KEYBRAKE_LOG", "error")
        .envs(variables.iter().copied());
    process::started(command, port, "/healthz")
}

async fn customers_of(rig: &Rig, count: usize) -> Vec<Value> {
    let mut made = Vec::with_capacity(count);
    for _ in 0..count {
        let request = rig.http.post(format!("{}/v1/customers", rig.vendor_url));
        let form = "application/x-www-form-urlencoded";
        let request = request.bearer_auth(SECRET).header("content-type", form);
        let answer = read(request.body("source=tok_visa")).await;
        made.push(json!({"id": answer.text("/id"), "amount_cents": 100}));
    }
    made
}
