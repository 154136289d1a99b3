//! Durable Task and Durable Functions: real orchestrations on Microsoft's in-memory backends, the real
//! SDKs, and the envelope of Azure's host.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is not there fails the test"
)]

mod bad_input;
mod crashes;
mod envelope;
mod guide;
mod javascript;
mod python;

use keybrake::sandbox::Settings;
use keybrake_tests::{
    durable,
    process::Process,
    rig::{Rig, read},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A backend, the worker as a real process, a proxy and a sandbox.
struct Bench {
    rig: Rig,
    backend: Option<Process>,
    worker: Option<Process>,
    folder: TempDir,
}

impl Bench {
    async fn start() -> Self {
        let rig = Rig::start(Settings::default()).await;
        let backend = Some(durable::backend());
        let folder = tempfile::tempdir().unwrap();
        let mut bench = Self { rig, backend, worker: None, folder };
        bench.start_worker();
        bench
    }

    fn backend(&self) -> &Process {
        self.backend.as_ref().unwrap()
    }

    fn start_worker(&mut self) {
        let arguments = ["--durable-task", &self.backend().url];
        self.worker = Some(durable::worker(&self.rig.url, &arguments, &[]));
    }

    /// The example in Python, for so many customers.
    async fn example(&self, customers: usize, dollars: usize) -> tokio::process::Command {
        let customers = durable::customers(&self.rig.vendor_url, customers).await;
        durable::example(self.backend(), self.folder.path(), &customers, dollars)
    }

    /// One of the tests' orchestrations.
    async fn orchestrate(&self, name: &str, input: &Value) -> Value {
        let file = self.folder.path().join(format!("{name}.json"));
        std::fs::write(&file, input.to_string()).unwrap();
        let mut command = tokio::process::Command::new(durable::python());
        command
            .arg(durable::file("tests/durable/orchestrations.py"))
            .args([&durable::address(self.backend()), name, &format!("@{}", file.display())])
            .env("WORKER_URL", &self.worker.as_ref().unwrap().url)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        durable::printed(command).await
    }

    /// An order for so many customers.
    async fn order(&self, customers: usize, dollars: u32) -> Value {
        let customers = durable::customers(&self.rig.vendor_url, customers).await;
        json!({"budget_usd": dollars, "customers": customers})
    }
}

/// How many charges the vendor has executed, none of them twice.
fn charged(rig: &Rig) -> usize {
    let executed = rig.sandbox.executed();
    assert!(executed.duplicate_keys.is_empty(), "{:?}", executed.duplicate_keys);
    executed.data.iter().filter(|call| call.amount > 0).count()
}

/// The calls that the ledger has of charges, by their verdict.
async fn calls(rig: &Rig, verdict: &str) -> usize {
    rig.calls(&format!("verdict={verdict}")).await.len()
}

/// How many keys were issued, each with a budget of its own.
async fn issued(rig: &Rig) -> usize {
    let actions = read(rig.admin("GET", "/audit/actions")).await.body;
    let rows = actions["data"].as_array().unwrap().clone();
    rows.iter().filter(|row| row["action"] == "key_issued").count()
}
