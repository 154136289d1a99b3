//! A state machine interpreter on loopback, and a run of a machine in it.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    lambda::Lambda,
    process::{Process, free_port, started},
    sdk,
};

/// The account that the interpreter plays.
const ACCOUNT: &str = "123456789012";
/// How long an execution may take.
const ENDS_WITHIN: Duration = Duration::from_mins(2);

/// The interpreter. Its Lambda tasks go to an emulator.
#[derive(Debug)]
pub struct Engine {
    process: Process,
    http: reqwest::Client,
}

/// How an execution ended.
#[derive(Debug)]
pub struct Execution {
    /// Its ARN.
    pub arn: String,
    /// Such as `SUCCEEDED`.
    pub status: String,
    /// What it put out; null where it failed.
    pub output: Value,
    /// The error's name and cause, where it failed.
    pub failure: Value,
}

#[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a test that can't go on fails")]
impl Engine {
    /// Starts it, with its tasks going to this emulator.
    #[must_use]
    pub fn start(lambda: &Lambda) -> Self {
        let port = free_port();
        let mut command = Command::new(python());
        command
            .arg(root().join("tests/step-functions/engine.py"))
            .arg(port.to_string())
            .env("MOTO_PORT", lambda.port())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("NO_PROXY", "*")
            .stderr(std::process::Stdio::null());
        let process = started(command, port, "/moto-api/data.json");
        lambda.others_to(&process.url);
        Self { process, http: crate::http_builder().no_proxy().build().expect("a client") }
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.process.url
    }

    /// Makes a state machine of this definition, and gives its ARN.
    pub async fn create(&self, name: &str, definition: &Value) -> String {
        let role = format!("arn:aws:iam::{ACCOUNT}:role/states");
        let asked = json!({"name": name, "definition": definition.to_string(), "roleArn": role});
        let made = self.ask("CreateStateMachine", &asked).await;
        let arn = made.get("stateMachineArn").and_then(Value::as_str);
        arn.unwrap_or_else(|| fail(&made)).to_owned()
    }

    /// Starts an execution of this name, and gives its ARN.
    pub async fn begin(&self, machine: &str, name: &str, input: &Value) -> String {
        let asked = json!({"stateMachineArn": machine, "name": name, "input": input.to_string()});
        let begun = self.ask("StartExecution", &asked).await;
        let arn = begun.get("executionArn").and_then(Value::as_str);
        arn.unwrap_or_else(|| fail(&begun)).to_owned()
    }

    /// Waits for an execution's end.
    pub async fn end(&self, execution: &str) -> Execution {
        let ended = async {
            loop {
                let shown =
                    self.ask("DescribeExecution", &json!({"executionArn": execution})).await;
                let text = |name| shown.get(name).and_then(Value::as_str).unwrap_or_default();
                if text("status") != "RUNNING" {
                    return Execution {
                        arn: execution.to_owned(),
                        status: text("status").to_owned(),
                        output: serde_json::from_str(text("output")).unwrap_or(Value::Null),
                        failure: json!({"error": text("error"), "cause": text("cause")}),
                    };
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(ENDS_WITHIN, ended).await.expect("the execution ends")
    }

    /// Runs a machine of this definition once, to its end.
    pub async fn run(&self, name: &str, definition: &Value, input: &Value) -> Execution {
        let machine = self.create(name, definition).await;
        self.end(&self.begin(&machine, "run-1", input).await).await
    }

    /// All events of an execution.
    pub async fn history(&self, execution: &str) -> Vec<Value> {
        let mut events = Vec::new();
        let mut token = Value::Null;
        loop {
            let mut asked = json!({"executionArn": execution, "maxResults": 1000});
            if let (Some(asked), Value::String(_)) = (asked.as_object_mut(), &token) {
                asked.insert("nextToken".to_owned(), token);
            }
            let page = self.ask("GetExecutionHistory", &asked).await;
            let listed = page.get("events").and_then(Value::as_array);
            events.extend(listed.expect("a list of events").iter().cloned());
            token = page.get("nextToken").cloned().unwrap_or_default();
            if token.is_null() {
                return events;
            }
        }
    }

    /// A call of the Step Functions API.
    pub async fn ask(&self, action: &str, body: &Value) -> Value {
        let asked = self
            .http
            .post(&self.process.url)
            .header("x-amz-target", format!("AWSStepFunctions.{action}"))
            .header("content-type", "application/x-amz-json-1.0")
            .header("authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/states/aws4_request, SignedHeaders=host, Signature=test");
        let answer = asked.body(body.to_string()).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }
}

#[expect(clippy::panic, reason = "a test that can't go on fails")]
fn fail(answer: &Value) -> ! {
    panic!("the engine refuses: {answer}")
}

/// A state machine of `examples/step-functions`, with each `${Name}` standing for a function.
///
/// # Panics
/// Where there is no such file, or it is no JSON.
#[must_use]
#[expect(clippy::expect_used, reason = "a test that can't go on fails")]
pub fn example(name: &str) -> Value {
    let path = root().join(format!("examples/step-functions/{name}.asl.json"));
    let mut text = std::fs::read_to_string(path).expect("the example");
    for (placeholder, function) in FUNCTIONS {
        text = text.replace(&format!("${{{placeholder}}}"), &arn(function));
    }
    text = text.replace("${Bucket}", "customers");
    assert!(!text.contains("${"), "{name} has a placeholder that nothing fills");
    serde_json::from_str(&text).expect("JSON")
}

/// A function's ARN.
#[must_use]
pub fn arn(function: &str) -> String {
    format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:{function}")
}

/// The placeholders of the state machines, and the functions that they stand for.
pub const FUNCTIONS: [(&str, &str); 6] = [
    ("IssueVaultKey", "issue-vault-key"),
    ("ChargeOne", "charge-one"),
    ("RefreshVaultKey", "refresh-vault-key"),
    ("RevokeVaultKey", "revoke-vault-key"),
    ("FetchCustomers", "fetch-customers"),
    ("AskForApproval", "ask-for-approval"),
];

/// The workspace's folder.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The Python that has the interpreter and the validators.
///
/// # Panics
/// Where `tests/install.sh` did not run.
#[must_use]
pub fn python() -> PathBuf {
    let folder = sdk::tool("step-functions");
    assert!(
        folder.with_extension("stamp").exists(),
        "the interpreter is not installed in {}: run make test",
        folder.display()
    );
    folder.join("bin/python")
}
