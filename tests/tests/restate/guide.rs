//! The guide's commands, as they are printed.

use keybrake_tests::{
    guide::{blocks, run},
    process,
    restate::{Engine, worker},
    rig::read,
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_commands_lead_to_a_capped_run() {
    let data = tempfile::tempdir().unwrap();
    let sandbox = process::sandbox(&[]);
    let proxy = process::proxy(data.path(), &sandbox.url, &[]);
    let engine = Engine::start().await;
    let worker = worker(&proxy.url, &[]);
    let customer = keybrake_tests::http()
        .post(format!("{}/v1/customers", sandbox.url))
        .bearer_auth(keybrake_tests::SECRET);
    let customer = read(customer).await.text("/id").to_owned();
    let (admin, ingress) = (engine.admin_url(), engine.at(""));
    let addresses = [
        ("http://127.0.0.1:9070", admin.as_str()),
        ("http://127.0.0.1:8080/", ingress.as_str()),
        ("http://127.0.0.1:9080", worker.url.as_str()),
    ];

    let blocks = blocks("docs/restate.md", "## A capped run in five minutes");
    let [start, register, issue, charge, api_keys, _identity] = blocks.as_slice() else {
        panic!("six blocks: {blocks:?}")
    };
    assert!(start.contains("keybrake serve &") && start.contains("keybrake-restate &"));
    run(&proxy, register, &addresses, &[]);
    let key = run(&proxy, issue, &addresses, &[]);
    let charged = run(&proxy, charge, &addresses, &[("KEY", &key), ("CUSTOMER", &customer)]);
    let charged: Value = serde_json::from_str(&charged).unwrap();
    assert_eq!((&charged["status"], &charged["amount"]), (&json!("succeeded"), &json!(1099)));
    let made = run(&proxy, api_keys, &addresses, &[]);
    assert!(made.contains("restate-issuer") && made.contains("restate-caller"), "{made}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_the_engines_identity_key_serves_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("restate-identity.pem").display().to_string();
    let data = tempfile::tempdir().unwrap();
    let sandbox = process::sandbox(&[]);
    let proxy = process::proxy(data.path(), &sandbox.url, &[]);
    let blocks = blocks("docs/restate.md", "## Run it");
    run(&proxy, blocks[1].as_str(), &[("restate-identity.pem", &key)], &[]);

    let variable = "RESTATE_WORKER__INVOKER__REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE";
    let signing = Engine::start_with(&[(variable, &key)]).await;
    let log = std::fs::read_to_string(signing.log()).unwrap();
    let (_, rest) = log.split_once("publickeyv1_").unwrap();
    let digits: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    let identity = format!("publickeyv1_{digits}");
    let worker = worker(&proxy.url, &[("KEYBRAKE_RESTATE_IDENTITY_KEYS", &identity)]);

    signing.register(&worker.url).await;
    let another = Engine::start().await.try_register(&worker.url).await;
    assert!(
        another.status >= 400 && another.body.to_string().contains("401"),
        "{:?}",
        another.body
    );
}
