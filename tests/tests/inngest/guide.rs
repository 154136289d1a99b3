//! The guide's commands, as they are printed.

use keybrake_tests::{
    guide::{blocks, run},
    inngest::Executor,
    process,
};
use serde_json::Value;

use crate::worker_on;

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_commands_work() {
    let data = tempfile::tempdir().unwrap();
    let sandbox = process::sandbox(&[]);
    let proxy = process::proxy(data.path(), &sandbox.url, &[]);
    let executor = Executor::start().await;
    let port = process::free_port();
    let worker = worker_on(port, &proxy.url, &[("INNGEST_DEV", &executor.url)]);
    let addresses = [("http://127.0.0.1:9090", worker.url.as_str())];

    let blocks = blocks("docs/inngest.md", "# Inngest");
    let [start, sync, issue] = blocks.as_slice() else { panic!("three blocks: {blocks:?}") };
    assert!(start.contains("INNGEST_DEV=1 keybrake-http-worker --inngest &"));
    let synced = run(&proxy, sync, &addresses, &[]);
    assert!(synced.contains("Successfully registered"), "{synced}");
    assert_eq!(executor.registered().len(), 3);
    let issued: Value = serde_json::from_str(&run(&proxy, issue, &addresses, &[])).unwrap();
    assert_eq!(issued["agent_run_label"], "worker/cron-2026-11-26", "{issued}");
}
