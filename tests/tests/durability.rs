//! Law 2 seen from the kernel: between the write of a call's row and the first byte of that call
//! to the vendor lies a sync of the log.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what can't be traced fails the test"
)]

use std::{path::Path, process::Command};

use keybrake::{
    outside::Clock,
    sandbox::{Sandbox, Settings},
};
use keybrake_tests::{API_KEY, SECRET, process};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const CALLS: usize = 20;

/// A proxy whose writes and syncs are traced into this file.
fn traced_proxy(program: &Path, data: &Path, vendor_url: &str, trace: &Path) -> process::Process {
    let port = process::free_port();
    let plain = process::proxy_command(program, data, vendor_url, &[], port);
    // With -D the proxy is our child and the tracer is not, so that stopping it stops both.
    let mut traced = Command::new("strace");
    traced.args([
        "-D",
        "-f",
        "-qq",
        "-s",
        "5000",
        "-e",
        "trace=pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg",
        "-o",
    ]);
    traced.arg(trace).arg(plain.get_program()).args(plain.get_args());
    traced.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    process::started(traced, port, "/healthz")
}

/// Makes calls through this program under a system call trace, and gives the trace.
async fn trace_of_calls(program: &Path) -> String {
    let directory = tempfile::tempdir().unwrap();
    let sandbox =
        Sandbox::new(Settings { secret: SECRET.into(), ..Settings::default() }, Clock::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let vendor_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));
    let trace = directory.path().join("trace");
    let proxy = traced_proxy(program, &directory.path().join("data"), &vendor_url, &trace);
    let http = keybrake_tests::http();
    let issue = json!({
        "vendor": "stripe", "total_usd_cap": "1000", "expires_in": "1h", "agent_run_label": "durability",
        "allowed_endpoints": ["POST /v1/payment_intents"],
    });
    let issued = http
        .post(format!("{}/vault/keys", proxy.url))
        .bearer_auth(API_KEY)
        .json(&issue)
        .send()
        .await
        .unwrap();
    let issued: Value = issued.json().await.unwrap();
    let token = issued["vault_key"].as_str().unwrap();
    let calls = (0..CALLS).map(|index| {
        let call = http.post(format!("{}/stripe/v1/payment_intents", proxy.url)).bearer_auth(token);
        let call = call
            .header("idempotency-key", key(index))
            .header("content-type", "application/x-www-form-urlencoded");
        tokio::spawn(call.body("amount=100&currency=usd").send())
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap().unwrap().status().as_u16(), 200);
    }
    drop(proxy);
    std::fs::read_to_string(trace).unwrap()
}

fn key(index: usize) -> String {
    format!("durable-call-{index:03}-end")
}

/// The end of a sync: its whole line, or where it goes on after another thread's.
fn is_sync(line: &str) -> bool {
    (line.contains("fdatasync") || line.contains("fsync")) && !line.contains("unfinished")
}

/// Whether a sync ended between the first write of this key's row to the log and its first byte to
/// the vendor.
fn is_synced_before_it_is_sent(trace: &str, key: &str) -> bool {
    let mut written = false;
    let mut synced = false;
    for line in trace.lines() {
        if line.contains("pwrite64(") && line.contains(key) {
            written = true;
        } else if written && is_sync(line) {
            synced = true;
        } else if line.contains("POST /v1/payment_intents")
            && line.contains(key)
            && !line.contains("pwrite64(")
        {
            assert!(
                written,
                "the row of {key} was sent before it was written, or the trace is not understood"
            );
            return synced;
        }
    }
    panic!("{key} was never sent");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs strace: run make test"]
async fn law_2_hold_first_on_the_disk_before_the_wire() {
    let trace = trace_of_calls(&process::binary()).await;
    for index in 0..CALLS {
        assert!(is_synced_before_it_is_sent(&trace, &key(index)), "{}", key(index));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs strace: run make test"]
async fn the_trace_notices_a_commit_that_is_not_synced() {
    let trace = trace_of_calls(Path::new(env!("CARGO_BIN_EXE_relaxed-proxy"))).await;
    assert!((0..CALLS).any(|index| !is_synced_before_it_is_sent(&trace, &key(index))));
}
