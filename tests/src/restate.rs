//! A real Restate server on free ports of loopback, and Keybrake's services registered with it.

use std::{path::PathBuf, process::Command, time::Duration};

use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    API_KEY,
    process::{self, Process},
    rig::{Answer, eventually, read},
    sdk,
};

/// How long an invocation may take that a test waits for.
const ENDS_WITHIN: Duration = Duration::from_mins(2);

/// A Restate server with its data in a temporary directory.
pub struct Engine {
    process: Option<Process>,
    data: TempDir,
    ingress: u16,
    admin: u16,
    node: u16,
    variables: Vec<(String, String)>,
    http: Client,
}

#[expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "an engine that does not work fails its test"
)]
impl Engine {
    /// A server that has no services yet.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same, with more of its settings.
    pub async fn start_with(variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut engine = Self {
            process: None,
            data: tempfile::tempdir().expect("a temporary directory"),
            ingress: process::free_port(),
            admin: process::free_port(),
            node: process::free_port(),
            variables: variables.iter().map(owned).collect(),
            http: crate::http_builder().timeout(ENDS_WITHIN).build().expect("a client"),
        };
        engine.resume().await;
        engine
    }

    /// Where its log is.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.data.path().join("restate.log")
    }

    /// Kills the server as a crash would.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts it on its data, as after a crash.
    pub async fn resume(&mut self) {
        // What it logs at its start tells its identity key.
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$0\" --no-logo >>\"$1\" 2>&1"])
            .args([server(), self.log()])
            .env("RESTATE_BASE_DIR", self.data.path())
            .env("RESTATE_LISTEN_MODE", "tcp")
            .env("RESTATE_BIND_ADDRESS", format!("127.0.0.1:{}", self.node))
            .env("RESTATE_INGRESS__BIND_ADDRESS", format!("127.0.0.1:{}", self.ingress))
            .env("RESTATE_ADMIN__BIND_ADDRESS", format!("127.0.0.1:{}", self.admin))
            .env("RESTATE_DISABLE_TELEMETRY", "true")
            .env("RESTATE_DEFAULT_NUM_PARTITIONS", "1")
            .env("RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE", "64MiB")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        self.process = Some(process::started(command, self.admin, "/health"));
        let ingress = self.ingress;
        eventually("the ingress is healthy", || async {
            process::answers(ingress, "/restate/health").then_some(())
        })
        .await;
    }

    /// Has the services at this address called.
    pub async fn register(&self, services: &str) {
        let answer = self.try_register(services).await;
        assert!(answer.status < 300, "{:?}", answer.body);
    }

    /// Asks for that.
    pub async fn try_register(&self, services: &str) -> Answer {
        let deployment = json!({"uri": services, "force": true});
        read(self.admin("POST", "/deployments").json(&deployment)).await
    }

    /// Calls a handler and waits for its end, such as `Billing/chargeCustomers`.
    pub async fn call(&self, handler: &str, input: &Value) -> Answer {
        let request = self.http.post(self.at(handler));
        // A handler without an input takes no body at all.
        read(if input.is_null() { request } else { request.json(input) }).await
    }

    /// Calls a handler without waiting, and gives the invocation's id.
    pub async fn send(&self, handler: &str, input: &Value) -> String {
        let answer = read(self.http.post(self.at(&format!("{handler}/send"))).json(input)).await;
        assert!(answer.status < 300, "{:?}", answer.body);
        answer.text("/invocationId").to_owned()
    }

    /// Waits for an invocation's end.
    pub async fn attach(&self, invocation: &str) -> Answer {
        read(self.http.get(self.at(&format!("restate/attach/{invocation}")))).await
    }

    /// Cancels an invocation, or kills it.
    pub async fn end(&self, how: &str, invocation: &str) {
        let answer = read(self.admin("PATCH", &format!("/invocations/{invocation}/{how}"))).await;
        assert!(answer.status < 300, "{:?}", answer.body);
    }

    /// The rows of a query on the server's tables.
    pub async fn query(&self, sql: &str) -> Vec<Value> {
        let asked = self.admin("POST", "/query").header("accept", "application/json");
        let answer = read(asked.json(&json!({"query": sql}))).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        answer.body.pointer("/rows").and_then(Value::as_array).cloned().unwrap_or_default()
    }

    /// The address of the admin API.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin)
    }

    /// The ingress's address of this path.
    #[must_use]
    pub fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.ingress)
    }

    fn admin(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        self.http.request(method, format!("{}{path}", self.admin_url()))
    }
}

/// The installed server.
#[expect(clippy::expect_used, reason = "a test that can't start fails")]
fn server() -> PathBuf {
    let packages = sdk::installed("restate").join("node_modules/@restatedev");
    let found = std::fs::read_dir(packages).expect("tests/install.sh ran").flatten().next();
    found.expect("a server for this machine").path().join("bin/restate-server")
}

/// Keybrake's services as a process of its own, which asks this proxy.
#[must_use]
pub fn worker(proxy_url: &str, variables: &[(&str, &str)]) -> Process {
    worker_on(process::free_port(), proxy_url, variables)
}

/// The same on a given port, as after a restart.
#[must_use]
pub fn worker_on(port: u16, proxy_url: &str, variables: &[(&str, &str)]) -> Process {
    let mut command = Command::new(process::program("keybrake-restate"));
    command
        .args(["--billing", "--listen", &format!("127.0.0.1:{port}")])
        .env("KEYBRAKE_URL", proxy_url)
        .env("KEYBRAKE_API_KEY", API_KEY)
        .env("KEYBRAKE_LOG", "error")
        .envs(variables.iter().copied());
    process::started_listening(command, port)
}
