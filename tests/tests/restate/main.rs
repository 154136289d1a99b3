//! Keybrake's services for Restate, on the real engine: fan-outs under a cap, crashes between a
//! charge and the journal, cancellation, expiry, and what a journal holds.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is not there fails the test"
)]

mod crashes;
mod customers;
mod fan_out;
mod front;
mod guide;
mod handlers;
mod journal;
mod stopping;
mod typescript;

use keybrake::sandbox::Settings;
use keybrake_tests::{
    SECRET,
    process::Process,
    restate::{Engine, worker},
    rig::{Rig, eventually, read},
};
use serde_json::{Value, json};

const FORM: &str = "application/x-www-form-urlencoded";

/// An engine, the services as a real process, a proxy and a sandbox.
struct Bench {
    engine: Engine,
    worker: Option<Process>,
    rig: Rig,
}

impl Bench {
    async fn start() -> Self {
        let rig = Rig::start(Settings::default()).await;
        let engine = Engine::start().await;
        let worker = worker(&rig.url, &[]);
        engine.register(&worker.url).await;
        Self { engine, worker: Some(worker), rig }
    }

    /// Vault keys' states by a run's label.
    async fn keys(&self, label: &str) -> Vec<Value> {
        let answer =
            read(self.rig.admin("GET", &format!("/vault/keys?agent_run_label={label}"))).await;
        answer.body["data"].as_array().unwrap().clone()
    }

    /// Waits until this many charges were executed.
    async fn executed(&self, count: usize) {
        eventually("the vendor has executed them", || async {
            (charged(&self.rig) >= count).then_some(())
        })
        .await;
    }
}

/// Customers that have a card, as charges of a dollar each.
async fn charges(rig: &Rig, count: usize) -> Vec<Value> {
    let mut made = Vec::with_capacity(count);
    for _ in 0..count {
        let request = rig.http.post(format!("{}/v1/customers", rig.vendor_url));
        let answer =
            read(request.bearer_auth(SECRET).header("content-type", FORM).body("source=tok_visa"))
                .await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        made.push(json!({"customer": answer.text("/id"), "amount": 100}));
    }
    made
}

/// How many charges the vendor has executed, none of them twice.
fn charged(rig: &Rig) -> usize {
    let executed = rig.sandbox.executed();
    assert!(executed.duplicate_keys.is_empty(), "{:?}", executed.duplicate_keys);
    executed.data.iter().filter(|call| call.amount > 0).count()
}

/// What a terminal error says to its caller.
fn report(message: &Value) -> Value {
    serde_json::from_str(message.as_str().unwrap()).unwrap()
}
