//! The server does what its description says: schemathesis makes requests of it, good and bad.

#![expect(clippy::unwrap_used, reason = "what is not there fails the test")]

use std::fs;

use keybrake_tests::{
    API_KEY, process,
    rig::{Answer, eventually, read},
    sdk::{Scene, tool},
};
use reqwest::RequestBuilder;
use serde_json::json;
use tokio::process::Command;

/// No error of the server, and nothing that is not described; and what breaks the description or
/// has no credential is refused.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,negative_data_rejection,\
    missing_required_header,ignored_auth";
/// How many requests each phase makes of an operation, at most.
const EXAMPLES: &str = "30";

/// What schemathesis says of the server by this description.
async fn checked(scene: &Scene, description: &str, more: &[&str], config: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("schemathesis.toml");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(tool("python").join("bin/schemathesis"));
    command
        .arg("--config-file")
        .arg(&file)
        .args(["run", description, "--url", &scene.proxy.url])
        .args(["--header", &format!("Authorization: Bearer {API_KEY}")])
        .args(["--checks", CHECKS, "--max-examples", EXAMPLES, "--generation-deterministic"])
        .args(["--warnings", "off", "--no-color", "--continue-on-failure"])
        .args(more)
        .current_dir(folder.path())
        .env("NO_PROXY", "*")
        .kill_on_drop(true);
    let output = command.output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

async fn conforms(scene: &Scene, more: &[&str], config: &str) {
    let description = format!("{}/openapi.json", scene.proxy.url);
    let (is_well, said) = checked(scene, &description, more, config).await;
    assert!(is_well && said.contains("No issues found"), "{said}");
}

fn scene() -> Scene {
    let vendor = process::sandbox(&[]);
    Scene::before_with(vendor, &[("KEYBRAKE_LIMITS_FAILURES_PER_MINUTE", "1000000")])
}

fn pay(scene: &Scene, token: &str, key: &str, dollars: u32) -> RequestBuilder {
    let url = format!("{}/stripe/v1/charges", scene.proxy.url);
    let form = format!("amount={dollars}00&currency=usd&source=tok_visa");
    let request = scene.http.post(url).bearer_auth(token).header("idempotency-key", key);
    request.header("content-type", "application/x-www-form-urlencoded").body(form)
}

async fn order(scene: &Scene, method: &str, path: &str, body: serde_json::Value) -> Answer {
    let url = format!("{}{path}", scene.proxy.url);
    let request = scene.http.request(method.parse().unwrap(), url).bearer_auth(API_KEY);
    let answer = read(request.json(&body)).await;
    assert!(answer.status < 300, "{path}: {:?}", answer.body);
    answer
}

#[tokio::test]
#[ignore = "needs schemathesis: run make test"]
async fn the_server_conforms_to_its_description() {
    let scene = scene();
    conforms(&scene, &[], "").await;
}

#[tokio::test]
#[ignore = "needs schemathesis: run make test"]
async fn so_it_does_for_keys_and_calls_that_exist() {
    let scene = scene();
    let key = scene.issue(json!({"allowed_params": {}, "daily_usd_cap": 40})).await;
    for (name, dollars) in [("paid", 1), ("paid", 1), ("too much", 45)] {
        read(pay(&scene, &key.token, name, dollars)).await;
    }
    scene
        .strike_once("answer_lost", async {
            read(pay(&scene, &key.token, "lost", 2)).await;
        })
        .await;
    let doubted = eventually("a call is in doubt or settled again", || async {
        let calls = scene.calls("idempotency_key=lost").await;
        calls.first()?.get("call_id")?.as_str().map(str::to_owned)
    })
    .await;
    let made = order(
        &scene,
        "POST",
        "/admin/api_keys",
        json!({
            "name": "bounded", "role": "issuer", "label_prefix": "a/", "vendors": ["stripe"],
            "largest_usd_cap": "10", "longest_expiry": "1h", "expires_in": "1d",
        }),
    )
    .await;
    order(&scene, "DELETE", "/runs?label=gone", json!({})).await;
    // A path's parameter is what exists, in every request; all else is as before.
    let config = format!(
        "[parameters]\n\"path.key_id\" = {:?}\n\"path.call_id\" = {doubted:?}\n\
         \"path.api_key_id\" = {:?}\n",
        key.id,
        made.text("/api_key_id"),
    );
    conforms(&scene, &["--exclude-method", "DELETE"], &config).await;
    conforms(&scene, &["--include-method", "DELETE"], &config).await;
    let done = scene.ask("GET", "/audit/actions?limit=1000").await.body.to_string();
    for deed in ["key_issued", "key_refreshed", "key_revoked", "runs_revoked", "api_key_revoked"] {
        assert!(done.contains(deed), "no request came as far as {deed}");
    }
}

#[tokio::test]
#[ignore = "needs schemathesis: run make test"]
async fn a_wrong_description_is_noticed() {
    let scene = scene();
    let described = scene.ask("GET", "/openapi.json").await.body;
    // Where it is changed, what stands there instead, the operations that are asked, what is said.
    let wrong = [
        (
            "/components/schemas/KeyView/properties/max_calls/type",
            json!("string"),
            "/vault/keys",
            "Response violates schema",
        ),
        (
            "/paths/~1vault~1keys~1{key_id}~1refresh/post/responses/201",
            json!(null),
            "refresh",
            "Undocumented status code",
        ),
    ];
    for (pointer, instead, operations, told) in wrong {
        let key = scene.issue(json!({})).await;
        let config = format!("[parameters]\n\"path.key_id\" = {:?}\n", key.id);
        let mut described = described.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = described.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        assert!(parent.remove(name).is_some(), "{pointer}");
        if !instead.is_null() {
            parent.insert(name.to_owned(), instead);
        }
        let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
        fs::write(file.path(), described.to_string()).unwrap();
        let only = ["--include-path-regex", operations, "--exclude-method", "DELETE"];
        let path = file.path().to_str().unwrap();
        let (is_well, said) = checked(&scene, path, &only, &config).await;
        assert!(!is_well && said.contains(told), "{pointer}: {said}");
    }
}
