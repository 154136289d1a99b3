//! The example for TypeScript: built and run as a user would, with the real SDKs.

use std::process::Command;

use keybrake_tests::{
    API_KEY,
    process::{self, Process},
    sdk,
};
use serde_json::json;

use crate::{Bench, charged, charges};

/// The example as its own process, type-checked and built.
fn example(proxy_url: &str) -> Process {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (source, built) =
        (root.join("examples/restate-typescript"), sdk::tools().join("restate-typescript"));
    let mut copy = Command::new("cp");
    copy.arg("-r").args([source.join("src"), source.join("tsconfig.json")]).arg(&built);
    assert!(copy.status().unwrap().success());
    let compiled =
        Command::new("node").arg("node_modules/typescript/bin/tsc").current_dir(&built).status();
    assert!(compiled.unwrap().success(), "the example does not build");
    let port = process::free_port();
    let mut command = Command::new("node");
    command
        // The SDK is for Node 22; this is what Node 20 lacks of it.
        .args([
            "--import",
            root.join("tests/restate/polyfill.mjs").to_str().unwrap(),
            "dist/main.js",
        ])
        .current_dir(&built)
        .env("PORT", port.to_string())
        .env("KEYBRAKE_URL", proxy_url)
        .env("KEYBRAKE_API_KEY", API_KEY);
    process::started_listening(command, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_run_both_ways_under_their_caps() {
    let bench = Bench::start().await;
    let example = example(&bench.rig.url);
    bench.engine.register(&example.url).await;
    let charges = charges(&bench.rig, 20).await;
    let customers: Vec<_> = charges
        .iter()
        .map(|charge| json!({"id": charge["customer"], "amountCents": 100, "paymentMethod": "pm_card_visa"}))
        .collect();

    let itself = bench
        .engine
        .call("tsBilling/chargeCustomers", &json!({"customers": customers, "budgetUsd": 5}))
        .await;
    let by_name = bench
        .engine
        .call("tsBillingByName/chargeCustomers", &json!({"charges": charges, "budgetUsd": 7}))
        .await;

    assert_eq!(itself.body, json!({"charged": 5, "capped": 15, "failed": 0}));
    assert_eq!(by_name.body, json!({"charged": 7, "capped": 13, "failed": 0}));
    assert_eq!(charged(&bench.rig), 12);
    // None of those that the cap stopped was tried again.
    assert_eq!(bench.rig.calls("verdict=denied").await.len(), 28);
}
