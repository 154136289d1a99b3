//! Processes that die while money is on its way.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use keybrake_tests::{
    process,
    restate::{Engine, worker_on},
    rig::{Rig, eventually},
};
use serde_json::{Value, json};

use crate::{Bench, charged, charges, front};

fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

pub(crate) fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_between_the_vendors_answer_and_the_journal_charges_once() {
    let mut bench = Bench::start().await;
    let input =
        json!({"plan_id": "pro", "budget_usd": 5, "customers": charges(&bench.rig, 1).await});
    bench.rig.sandbox.hold(true);
    let run = bench.engine.send("Billing/chargeCustomers", &input).await;
    bench.executed(1).await;

    // It stands still while the answer comes to it, and never wakes again.
    let worker = bench.worker.take().unwrap();
    signal("-STOP", worker.id());
    bench.rig.sandbox.hold(false);
    let settled: Value = eventually("the proxy has the answer", || async {
        bench.rig.calls("state=settled").await.into_iter().next()
    })
    .await;
    let port = port_of(&worker.url);
    worker.kill();
    bench.worker = Some(worker_on(port, &bench.rig.url, &[]));

    let ended = bench.engine.attach(&run).await;
    assert_eq!(ended.body["summary"]["charged"], 1, "{:?}", ended.body);
    assert_eq!(charged(&bench.rig), 1);
    let replays = bench.rig.calls("verdict=replayed").await;
    assert_eq!(replays.first().map(|row| &row["replay_of"]), Some(&settled["call_id"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_and_an_engine_that_die_in_a_fan_out_leave_one_charge_for_each_customer() {
    let mut bench = Bench::start().await;
    let customers = charges(&bench.rig, 60).await;
    let input = json!({"plan_id": "pro", "budget_usd": 100, "customers": customers});
    bench.rig.sandbox.set_latency(std::time::Duration::from_millis(50));
    let run = bench.engine.send("Billing/chargeCustomers", &input).await;

    bench.executed(5).await;
    let worker = bench.worker.take().unwrap();
    let port = port_of(&worker.url);
    worker.kill();
    bench.worker = Some(worker_on(port, &bench.rig.url, &[]));
    let so_far = charged(&bench.rig);
    bench.executed(so_far.saturating_add(5).min(60)).await;
    bench.engine.kill();
    bench.engine.resume().await;

    let ended = bench.engine.attach(&run).await;
    assert_eq!(ended.body["summary"]["charged"], 60, "{:?}", ended.body);
    assert_eq!((charged(&bench.rig), bench.rig.vendor_total()), (60, 6_000));
    assert_eq!(ended.body["revoked"]["spent_usd"], "60.00");
}

async fn killed_after(request: &'static str) {
    let rig = Rig::start(keybrake::sandbox::Settings::default()).await;
    let engine = Engine::start().await;
    let victim = Arc::new(AtomicU32::new(0));
    let front = front::killing(process::free_port(), &rig.url, request, &victim).await;
    let port = process::free_port();
    let mut worker = worker_on(port, &front, &[]);
    victim.store(worker.id(), Ordering::SeqCst);
    engine.register(&worker.url).await;
    let input = json!({"plan_id": "pro", "budget_usd": 5, "customers": charges(&rig, 1).await});

    let run = engine.send("Billing/chargeCustomers", &input).await;
    eventually("the worker is killed", || async {
        (victim.load(Ordering::SeqCst) == 0).then_some(())
    })
    .await;
    worker.kill();
    worker = worker_on(port, &front, &[]);

    let ended = engine.attach(&run).await;
    assert_eq!(ended.body["summary"]["charged"], 1, "{:?}", ended.body);
    assert_eq!(charged(&rig), 1);
    let actions: Value =
        rig.admin("GET", "/audit/actions").send().await.unwrap().json().await.unwrap();
    let issues =
        actions["data"].as_array().unwrap().iter().filter(|row| row["action"] == "key_issued");
    assert_eq!(issues.count(), 1, "one key, one budget: {actions}");
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_between_the_issue_and_the_journal_has_one_key() {
    killed_after("POST /vault/keys").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_when_its_charge_is_answered_charges_once() {
    killed_after("POST /stripe/v1/payment_intents").await;
}
