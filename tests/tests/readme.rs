//! The documents' commands, run as they are printed, on other ports.

use std::{collections::BTreeMap, time::Duration};

use keybrake_tests::{
    guide::{self, blocks},
    process::{self, Process},
};
use serde_json::Value;

/// Runs a block against this proxy.
fn run(proxy: &Process, script: &str, variables: &[(&str, &str)]) -> String {
    guide::run(proxy, script, &[], variables)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_guide_to_the_http_api_work() {
    let data = tempfile::tempdir().unwrap();
    let sandbox = process::sandbox(&[]);
    let proxy = process::proxy(data.path(), &sandbox.url, &[]);
    // What an answer tells goes into the variables that later blocks name.
    let mut variables = BTreeMap::new();
    let mut answers = Vec::new();
    for block in blocks("docs/http-api.md", "# The HTTP API") {
        let given: Vec<_> = variables
            .iter()
            .map(|(name, value): (&&str, &String)| (*name, value.as_str()))
            .collect();
        let said = run(&proxy, &block, &given);
        let answer: Value = serde_json::from_str(&said).unwrap_or_default();
        for (variable, member) in
            [("VAULT_KEY", "vault_key"), ("KEY_ID", "key_id"), ("API_KEY_ID", "api_key_id")]
        {
            if let Some(value) = answer.get(member).and_then(Value::as_str) {
                variables.insert(variable, value.to_owned());
            }
        }
        answers.push(said);
    }
    assert!(answers.len() >= 10, "{answers:?}");
    let told = [
        "\"vault_key\":",
        "pi_",
        "run-42-item-8",
        "\"last_call_at\":",
        "\"revoked_at\":",
        "\"lifted\":",
    ];
    for told in told {
        assert!(answers.iter().any(|answer| answer.contains(told)), "{told}: {answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_commands_work() {
    let data = tempfile::tempdir().unwrap();
    let sandbox = process::sandbox(&[]);
    let proxy = process::proxy(data.path(), &sandbox.url, &[]);
    let run = |script: &str, variables: &[(&str, &str)]| run(&proxy, script, variables);
    let blocks = blocks("README.md", "## Try it by hand");
    let [start, issue, charge, look] = blocks.as_slice() else { panic!("four blocks: {blocks:?}") };
    assert!(start.contains("keybrake sandbox &") && start.contains("keybrake serve"));

    let issued: Value = serde_json::from_str(&run(issue, &[])).unwrap();
    let text = |name: &str| issued.get(name).and_then(Value::as_str).unwrap().to_owned();
    let token = text("vault_key");
    let first = run(charge, &[("VAULT_KEY", &token)]);
    assert!(first.starts_with("HTTP/1.1 200") && !first.contains("x-keybrake-replayed"), "{first}");
    tokio::time::timeout(Duration::from_secs(20), async {
        // The stored answer is there as soon as the first call is recorded.
        while !run(charge, &[("VAULT_KEY", &token)]).contains("x-keybrake-replayed: true") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    let looks = look.replace("vk_…", &text("key_id"));
    let (looks, _resolve) = looks.split_once("keybrake audit resolve").unwrap();
    let shown = run(looks, &[]);
    assert!(
        shown.contains("billing/run-42")
            && shown.contains("run-42-item-7")
            && shown.contains("revoked_at"),
        "{shown}"
    );
}
