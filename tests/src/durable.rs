//! Microsoft's in-memory backend of Durable Task, and Keybrake's worker for its activities.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    API_KEY, SECRET,
    process::{self, Process},
    rig::read,
    sdk,
};

/// How long a run may take.
const ENDS_WITHIN: Duration = Duration::from_mins(1);

/// The Python that has Durable Task.
#[must_use]
pub fn python() -> PathBuf {
    sdk::tool("durable").join("bin/python")
}

/// A file of the repository.
#[must_use]
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The backend on a port of its own.
#[must_use]
pub fn backend() -> Process {
    backend_on(process::free_port())
}

/// The same on a given port, as after a restart: it has forgotten everything.
#[must_use]
pub fn backend_on(port: u16) -> Process {
    let mut command = Command::new(python());
    command
        .arg(file("tests/durable/backend.py"))
        .arg(port.to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    process::started_listening(command, port)
}

/// Where the SDKs find a backend.
#[must_use]
pub fn address(backend: &Process) -> String {
    backend.url.replace("http://", "")
}

/// The worker, with these arguments and variables besides.
#[must_use]
pub fn worker(proxy_url: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Process {
    let port = process::free_port();
    let mut command = Command::new(process::program("keybrake-http-worker"));
    command
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .args(arguments)
        .env("KEYBRAKE_URL", proxy_url)
        .env("KEYBRAKE_API_KEY", API_KEY)
        .env("KEYBRAKE_LOG", "error")
        .envs(variables.iter().copied());
    process::started(command, port, "/healthz")
}

/// The worker as Azure's host starts it.
#[must_use]
pub fn custom_handler(proxy_url: &str) -> Process {
    let port = process::free_port();
    let mut command = Command::new(process::program("keybrake-http-worker"));
    command
        .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
        .env("KEYBRAKE_URL", proxy_url)
        .env("KEYBRAKE_API_KEY", API_KEY)
        .env("KEYBRAKE_LOG", "error");
    process::started(command, port, "/")
}

/// Customers of the sandbox at this address, a dollar to be charged to each.
pub async fn customers(vendor_url: &str, count: usize) -> Vec<Value> {
    let mut made = Vec::with_capacity(count);
    for _ in 0..count {
        let request = crate::http().post(format!("{vendor_url}/v1/customers"));
        let form = "application/x-www-form-urlencoded";
        let request = request.bearer_auth(SECRET).header("content-type", form);
        let answer = read(request.body("source=tok_visa")).await;
        made.push(json!({"id": answer.text("/id"), "amount_cents": 100}));
    }
    made
}

/// The command that runs the example in Python for these customers.
///
/// # Panics
/// Where the customers can't be written to the folder.
#[must_use]
#[expect(clippy::expect_used, reason = "a test that can't start fails")]
pub fn example(
    backend: &Process,
    folder: &Path,
    customers: &[Value],
    dollars: usize,
) -> tokio::process::Command {
    let listed = folder.join("customers.json");
    std::fs::write(&listed, json!(customers).to_string()).expect("a file");
    let mut command = tokio::process::Command::new(python());
    command
        .arg(file("examples/durable-task-python/main.py"))
        .args(["--backend", &address(backend), "--budget", &dollars.to_string()])
        .arg(listed)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs a program to its end, and gives the JSON that it printed last.
///
/// # Panics
/// Where it fails, or prints none.
#[expect(clippy::expect_used, reason = "a program that fails fails its test")]
pub async fn printed(mut command: tokio::process::Command) -> Value {
    let output = timeout(ENDS_WITHIN, command.kill_on_drop(true).output()).await;
    let output = output.expect("it ends in time").expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(!said.contains(SECRET) && !complained.contains(SECRET), "the vendor's secret");
    serde_json::from_str(said.lines().last().unwrap_or_default()).expect("JSON")
}
