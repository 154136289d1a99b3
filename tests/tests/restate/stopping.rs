//! Runs that are stopped: by a revocation, or by cancelling the invocation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use keybrake_tests::{
    process,
    restate::worker,
    rig::{eventually, read},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    Bench, charged, charges,
    front::{self, Watched},
};

/// What is held back at a moment, until it may go on. What comes later goes on at once.
struct Held {
    came: Arc<Notify>,
    times: Arc<AtomicU32>,
    go_on: Arc<Notify>,
}

impl Held {
    fn new() -> Self {
        let (came, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        Self { came, times: Arc::new(AtomicU32::new(0)), go_on }
    }

    fn then(&self) -> front::Then {
        let (came, go_on) = (Arc::clone(&self.came), Arc::clone(&self.go_on));
        let times = Arc::clone(&self.times);
        Arc::new(move || {
            let (came, go_on) = (Arc::clone(&came), Arc::clone(&go_on));
            times.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                came.notify_one();
                go_on.notified().await;
                go_on.notify_one();
            })
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn children_after_a_revocation_end_as_key_revoked_and_the_parent_reports_it() {
    let bench = Bench::start().await;
    let customers = charges(&bench.rig, 40).await;
    bench.rig.sandbox.set_latency(Duration::from_millis(300));
    let input = json!({"plan_id": "pro", "budget_usd": 100, "customers": customers});
    let run = bench.engine.send("Billing/chargeCustomers", &input).await;

    bench.executed(1).await;
    let label = format!("restate/Billing/{run}");
    let revoked = read(bench.rig.admin("DELETE", &format!("/runs?label={label}"))).await;
    assert_eq!(revoked.status, 200, "{:?}", revoked.body);

    let ended = bench.engine.attach(&run).await;
    assert_eq!(ended.status, 200, "{:?}", ended.body);
    let summary = &ended.body["summary"];
    let (paid, stopped) = (&summary["charged"], &summary["codes"]["key_revoked"]);
    assert_eq!(paid.as_u64().unwrap() + stopped.as_u64().unwrap_or(0), 40, "{summary}");
    assert_eq!(json!(charged(&bench.rig)), *paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_has_its_key_revoked() {
    let bench = Bench::start().await;
    let customers = charges(&bench.rig, 10).await;
    bench.rig.sandbox.hold(true);
    let input = json!({"plan_id": "pro", "budget_usd": 100, "customers": customers});
    let run = bench.engine.send("Billing/chargeCustomers", &input).await;
    bench.executed(1).await;

    bench.engine.end("cancel", &run).await;
    bench.rig.sandbox.hold(false);

    let ended = bench.engine.attach(&run).await;
    assert_eq!(ended.status, 409, "{:?}", ended.body);
    let label = format!("restate/Billing/{run}");
    assert_eq!(bench.keys(&label).await[0]["state"], "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_while_its_key_is_issued_leaves_no_live_key() {
    let bench = Bench::start().await;
    // The key is issued, and its name is on the way to the worker while the run is cancelled.
    let held = Held::new();
    let issue = Watched::Answer("POST /vault/keys");
    let slow = front::start(process::free_port(), &bench.rig.url, issue, held.then()).await;
    let worker = worker(&slow, &[]);
    bench.engine.register(&worker.url).await;
    let input = json!({"plan_id": "pro", "budget_usd": 100, "customers": []});
    let run = bench.engine.send("Billing/chargeCustomers", &input).await;

    held.came.notified().await;
    bench.engine.end("cancel", &run).await;
    held.go_on.notify_one();

    let ended = bench.engine.attach(&run).await;
    assert_eq!(ended.status, 409, "{:?}", ended.body);
    let keys = bench.keys(&format!("restate/Billing/{run}")).await;
    let states: Vec<_> = keys.iter().map(|key| &key["state"]).collect();
    assert_eq!(states, ["revoked"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_is_known_although_a_cancellation_threw_the_revocations_answer_away() {
    let bench = Bench::start().await;
    let customers = charges(&bench.rig, 1).await;
    // All is charged, and the revocation is on the way to the proxy while the run is cancelled.
    let held = Held::new();
    let revoke = Watched::Request("DELETE /vault/keys/*");
    let slow = front::start(process::free_port(), &bench.rig.url, revoke, held.then()).await;
    let worker = worker(&slow, &[]);
    bench.engine.register(&worker.url).await;
    let input = json!({"plan_id": "pro", "budget_usd": 100, "customers": customers});
    let run = bench.engine.send("Billing/chargeCustomers", &input).await;

    held.came.notified().await;
    bench.engine.end("cancel", &run).await;
    let journal = format!("select entry_type from sys_journal where id = '{run}'");
    eventually("the cancellation is in the journal", || async {
        let entries = Value::from(bench.engine.query(&journal).await).to_string();
        entries.contains("Signal").then_some(())
    })
    .await;
    held.go_on.notify_one();

    let ended = bench.engine.attach(&run).await;
    assert_eq!(ended.status, 200, "{:?}", ended.body);
    assert_eq!(ended.body["summary"]["charged"], 1);
    assert_eq!(ended.body["revoked"]["spent_usd"], "1.00", "{:?}", ended.body);
    assert_eq!(held.times.load(Ordering::SeqCst), 2, "the first one's answer was thrown away");
    assert_eq!(bench.keys(&format!("restate/Billing/{run}")).await[0]["state"], "revoked");
}
