//! A real proxy before a real sandbox, and scripts that use a vendor's real SDK on them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    API_KEY, SECRET,
    process::{self, Process},
    rig::{self, Answer, Key},
};

/// How long a script may run. The longest one waits for an SDK's pauses before its retries.
const SCRIPT_WITHIN: Duration = Duration::from_mins(2);

/// A vendor's SDK, and how it is pointed at the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// A vendor's SDK for Python, by the vendor's path prefix.
    Python,
    /// A vendor's SDK for Node. Stripe's goes by host and port alone: its paths stand at the proxy's
    /// root.
    Node,
    /// stripe-node by the path prefix `/stripe`, through an HTTP client of its own.
    NodeByPrefix,
}

impl Sdk {
    fn command(self, script: &str) -> Command {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk");
        let (program, path) = match self {
            Self::Python => (python(), scripts.join(format!("python/{script}.py"))),
            Self::Node | Self::NodeByPrefix => {
                ("node".into(), scripts.join(format!("node/{script}.mjs")))
            }
        };
        let mut command = Command::new(program);
        command.arg(path);
        command
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Python | Self::NodeByPrefix => "/stripe",
            Self::Node => "",
        }
    }
}

/// Where `tests/install.sh` puts what the tests need.
///
/// # Panics
/// Where it did not run.
#[must_use]
pub fn tools() -> PathBuf {
    require("python");
    require("node");
    folder()
}

/// Where it has put what goes by this name.
///
/// # Panics
/// Where it did not.
#[must_use]
pub fn installed(name: &str) -> PathBuf {
    require(name);
    folder().join(name)
}

fn require(name: &str) {
    let is_there = folder().join(format!("{name}.stamp")).exists();
    assert!(is_there, "{name} is not installed in {}: run make test", folder().display());
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-tools")
}

/// The Python that has the SDKs.
#[must_use]
pub fn python() -> PathBuf {
    tools().join("python/bin/python")
}

/// A proxy before a sandbox, or before another fake of Stripe.
#[derive(Debug)]
pub struct Scene {
    /// The proxy.
    pub proxy: Process,
    /// The vendor: a sandbox, unless the test brought another one.
    pub vendor: Process,
    /// For any request.
    pub http: Client,
    _data: TempDir,
}

#[expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a scene that does not work fails its test"
)]
impl Scene {
    /// A proxy before a sandbox.
    #[must_use]
    pub fn start() -> Self {
        Self::before(process::sandbox(&[]))
    }

    /// A proxy before this vendor.
    #[must_use]
    pub fn before(vendor: Process) -> Self {
        Self::before_with(vendor, &[])
    }

    /// A proxy with these variables before this vendor.
    #[must_use]
    pub fn before_with(vendor: Process, variables: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().expect("a temporary directory");
        Self {
            proxy: process::proxy(data.path(), &vendor.url, variables),
            vendor,
            http: crate::http_builder().no_proxy().build().expect("a client"),
            _data: data,
        }
    }

    /// A key for PaymentIntents, charges, refunds and all reads, with a cap of $50, changed by `more`.
    pub async fn issue(&self, more: Value) -> Key {
        let mut body = json!({
            "vendor": "stripe",
            "total_usd_cap": "50",
            "allowed_endpoints": ["POST /v1/payment_intents", "POST /v1/charges", "POST /v1/refunds", "GET /*"],
            "expires_in": "2h",
            "agent_run_label": "sdk/run-1",
        });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
            body.retain(|_, value| !value.is_null());
        }
        let asked = self.http.post(format!("{}/vault/keys", self.proxy.url));
        let answer = rig::read(asked.bearer_auth(API_KEY).json(&body)).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        Key {
            id: answer.text("/key_id").to_owned(),
            token: answer.text("/vault_key").to_owned(),
            body: answer.body,
        }
    }

    /// Runs a script of `tests/sdk` to its end with these variables, and expects success.
    pub async fn run(&self, sdk: Sdk, script: &str, variables: &[(&str, &str)]) {
        let mut command = sdk.command(script);
        command
            .env("KEYBRAKE_URL", &self.proxy.url)
            .env("KEYBRAKE_API_KEY", API_KEY)
            .env("VENDOR_URL", &self.vendor.url)
            .env("VENDOR_SECRET", SECRET)
            .env("STRIPE_PREFIX", sdk.prefix())
            .env("TEST_TOOLS", tools())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("NO_PROXY", "*")
            .env("no_proxy", "*")
            .envs(variables.iter().copied())
            .kill_on_drop(true);
        let ended = tokio::time::timeout(SCRIPT_WITHIN, command.output()).await;
        let Ok(output) = ended else {
            panic!("{script} did not end within {SCRIPT_WITHIN:?}");
        };
        let output = output.expect("the script starts");
        assert!(
            output.status.success(),
            "{script} failed: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }

    /// The same, with a vault key.
    pub async fn run_with(&self, sdk: Sdk, script: &str, key: &Key, variables: &[(&str, &str)]) {
        let key = [("VAULT_KEY", key.token.as_str()), ("KEY_ID", &key.id)];
        self.run(sdk, script, &[&key, variables].concat()).await;
    }

    /// The audit rows that fit a query, the oldest first.
    pub async fn calls(&self, query: &str) -> Vec<Value> {
        let answer = self.ask("GET", &format!("/audit/calls?limit=1000&{query}")).await;
        let rows = answer.body.pointer("/data").and_then(Value::as_array);
        rows.expect("a list of rows").iter().rev().cloned().collect()
    }

    /// What is spent of a key's budget in dollars, once nothing is held any more: an answer may come
    /// before its record.
    pub async fn spent(&self, key: &Key) -> String {
        rig::eventually("nothing is held", || async {
            let shown = self.ask("GET", &format!("/vault/keys/{}", key.id)).await;
            (shown.text("/held_usd") == "0.00").then(|| shown.text("/spent_usd").to_owned())
        })
        .await
    }

    /// A request with the admin's API key.
    pub async fn ask(&self, method: &str, path: &str) -> Answer {
        let method = method.parse().expect("a method");
        let url = format!("{}{path}", self.proxy.url);
        let answer = rig::read(self.http.request(method, url).bearer_auth(API_KEY)).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        answer
    }

    /// What the sandbox executed: endpoint, amount in cents, and status of each call.
    pub async fn executed(&self) -> Vec<(String, u64, String)> {
        let executed = self.control("executed").await;
        let rows = executed.pointer("/data").and_then(Value::as_array);
        let text = |row: &Value, name| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let one = |row: &Value| {
            Some((text(row, "endpoint")?, row.get("amount")?.as_u64()?, text(row, "status")?))
        };
        rows.expect("a list of executions")
            .iter()
            .map(|row| one(row).expect("an execution"))
            .collect()
    }

    /// What the sandbox executed as this vendor, in the vendor's own terms.
    pub async fn executed_at(&self, vendor: &str) -> Value {
        self.control("executed")
            .await
            .get(vendor)
            .cloned()
            .expect("a vendor that the sandbox plays")
    }

    /// A count of the sandbox's requests, such as `faults/answer_lost`.
    pub async fn count(&self, pointer: &str) -> u64 {
        let requests = self.control("requests").await;
        requests.pointer(&format!("/{pointer}")).and_then(Value::as_u64).unwrap_or(0)
    }

    /// Has this fault strike every write until it struck once.
    pub async fn strike_once(&self, fault: &str, meanwhile: impl Future<Output = ()>) {
        self.set_faults(&json!({ fault: 1_000_000 })).await;
        let cleared = async {
            let pointer = format!("faults/{fault}");
            rig::eventually("the fault strikes", || async {
                (self.count(&pointer).await > 0).then_some(())
            })
            .await;
            self.set_faults(&json!({})).await;
        };
        tokio::join!(meanwhile, cleared);
    }

    async fn set_faults(&self, faults: &Value) {
        let set = self.http.post(format!("{}/sandbox/faults", self.vendor.url));
        assert_eq!(rig::read(set.json(faults)).await.status, 200);
    }

    async fn control(&self, what: &str) -> Value {
        let url = format!("{}/sandbox/{what}", self.vendor.url);
        rig::read(self.http.get(url)).await.body
    }
}
