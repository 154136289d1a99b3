//! The guide's commands, as they are printed.

use keybrake_tests::{durable, guide, process};
use serde_json::Value;

const GUIDE: &str = "docs/durable-functions.md";

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_commands_do_what_it_says() {
    let data = tempfile::tempdir().unwrap();
    let sandbox = process::sandbox(&[]);
    let proxy = process::proxy(data.path(), &sandbox.url, &[]);
    let worker = durable::worker(&proxy.url, &[], &[]);
    let addresses = [("http://127.0.0.1:9090", worker.url.as_str())];
    let blocks = guide::blocks(GUIDE, "## A capped run by hand");
    let customers = durable::customers(&sandbox.url, 1).await;
    let customer = customers[0]["id"].as_str().unwrap();

    let run = |block: &str, variables: &[(&str, &str)]| -> Value {
        serde_json::from_str(&guide::run(&proxy, block, &addresses, variables)).unwrap()
    };
    let key = run(&blocks[1], &[]);
    assert_eq!(run(&blocks[1], &[])["key_id"], key["key_id"], "asked again, it is the same key");
    let variables = [("CUSTOMER", customer), ("KEY_ID", key["key_id"].as_str().unwrap())];
    let charge = run(&blocks[2], &variables);
    assert_eq!((&charge["ok"], &charge["replayed"]), (&true.into(), &false.into()), "{charge}");
    assert_eq!(run(&blocks[2], &variables)["replayed"], true, "asked again, it is the same charge");

    let made = guide::run(&proxy, &blocks[3], &[], &[]);
    assert!(made.contains("durable-issuer") && made.contains("durable-caller"), "{made}");
}
