//! The README's commands, run as they are printed, on other ports.

#![expect(clippy::unwrap_used, reason = "what is not there fails the test")]

use std::{fs, path::Path, process::Command, time::Duration};

use keybrake_tests::{API_KEY, SECRET, process};

/// The shell blocks under "Try it by hand".
fn blocks() -> Vec<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("README.md");
    let text = fs::read_to_string(readme).unwrap();
    let (_, section) = text.split_once("## Try it by hand").unwrap();
    let pieces = section.split("```sh\n").skip(1);
    pieces.map(|piece| piece.split_once("```").unwrap().0.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_commands_work() {
    let data = tempfile::tempdir().unwrap();
    let sandbox = process::sandbox(&[]);
    let proxy = process::proxy(data.path(), &sandbox.url, &[]);
    let run = |script: &str, variables: &[(&str, &str)]| {
        let script = script.replace("http://127.0.0.1:8787", &proxy.url);
        let script = script.replace("export KEYBRAKE_API_KEY=kb_api_choose_a_long_random_one", ":");
        let folder = process::binary().parent().unwrap().display().to_string();
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap()))
            .env("KEYBRAKE_API_KEY", API_KEY)
            .env("KEYBRAKE_URL", &proxy.url)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{script}\n{said}\n{complained}");
        assert!(!said.contains(SECRET) && !complained.contains(SECRET));
        said
    };
    let blocks = blocks();
    let [start, issue, charge, look] = blocks.as_slice() else { panic!("four blocks: {blocks:?}") };
    assert!(start.contains("keybrake sandbox &") && start.contains("keybrake serve"));

    let issued: serde_json::Value = serde_json::from_str(&run(issue, &[])).unwrap();
    let text =
        |name: &str| issued.get(name).and_then(serde_json::Value::as_str).unwrap().to_owned();
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
