//! The whole of it: an engine, Lambda functions, the proxy before a sandbox, and customers.

use std::{path::PathBuf, sync::Arc};

use serde_json::{Value, json};

use crate::{
    API_KEY, SECRET,
    engine::{Engine, Execution},
    lambda::{Code, Lambda},
    process,
    rig::read,
    sdk,
};

/// The functions that this project ships.
pub const FUNCTIONS: [&str; 6] = [
    "issue-vault-key",
    "charge-one",
    "refresh-vault-key",
    "revoke-vault-key",
    "charge-from-queue",
    "revoke-ended-run",
];

/// A proxy before a sandbox, and Lambda with our functions.
pub struct Cloud {
    /// The proxy and the sandbox.
    pub keybrake: sdk::Scene,
    /// Lambda.
    pub lambda: Lambda,
    /// A customer of the sandbox.
    pub customer: String,
}

#[expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "what can't start fails its test"
)]
impl Cloud {
    /// Starts it with the built binaries of this profile.
    pub async fn start() -> Self {
        Self::start_with(process::program).await
    }

    /// Starts it with the binaries that these paths name.
    pub async fn start_with(program: impl Fn(&str) -> PathBuf) -> Self {
        let keybrake = sdk::Scene::start();
        let lambda = Lambda::start().await;
        let variables =
            [("KEYBRAKE_URL", keybrake.proxy.url.as_str()), ("KEYBRAKE_API_KEY", API_KEY)];
        for function in FUNCTIONS {
            lambda.add(function, Code::Program(program(function)), &variables);
        }
        let made = keybrake.http.post(format!("{}/v1/customers", keybrake.vendor.url));
        let made = read(made.bearer_auth(SECRET).body("")).await;
        let customer = made.text("/id").to_owned();
        assert!(customer.starts_with("cus_"), "{made:?}");
        Self { keybrake, lambda, customer }
    }

    /// What a charge of this many cents is for.
    #[must_use]
    pub fn customer(&self, cents: u64) -> Value {
        json!({"id": self.customer, "amount_cents": cents, "payment_method": "pm_card_visa"})
    }

    /// Has `fetch-customers` give so many customers, at $1 each.
    pub fn has_customers(&self, count: usize) {
        let customers = json!(vec![self.customer(100); count]);
        let fetch = Code::Local(Arc::new(move |_: &Value| customers.clone()));
        self.lambda.add("fetch-customers", fetch, &[]);
    }

    /// How many payments the vendor executed.
    pub async fn charged(&self) -> usize {
        let executed = self.keybrake.executed().await;
        executed.iter().filter(|(endpoint, ..)| endpoint.ends_with("/v1/payment_intents")).count()
    }

    /// The keys of a run, the oldest first.
    pub async fn keys(&self, label: &str) -> Vec<Value> {
        let answer = self.keybrake.ask("GET", "/vault/keys?limit=1000").await;
        let keys = answer.body.pointer("/data").and_then(Value::as_array).expect("a list");
        let of_run = |key: &&Value| key.get("agent_run_label") == Some(&json!(label));
        keys.iter().rev().filter(of_run).cloned().collect()
    }

    /// Every message that the vendor's and our own bookkeeping agree on: what the run spent.
    pub async fn spent(&self, label: &str) -> String {
        let keys = self.keys(label).await;
        let id = keys.first().and_then(|key| key.get("key_id")?.as_str()).expect("a key");
        let key = crate::rig::Key { id: id.to_owned(), token: String::new(), body: Value::Null };
        self.keybrake.spent(&key).await
    }

    /// An engine whose tasks come here.
    #[must_use]
    pub fn engine(&self) -> Engine {
        Engine::start(&self.lambda)
    }

    /// Runs a machine to its end, and says what its history holds as one text.
    pub async fn run(
        &self,
        engine: &Engine,
        machine: &Value,
        input: &Value,
    ) -> (Execution, String) {
        let ended = engine.run("billing", machine, input).await;
        let history = json!(engine.history(&ended.arn).await).to_string();
        (ended, history)
    }
}
