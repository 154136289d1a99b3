//! A worker that dies while money is on its way, and a backend that goes away.

use std::process::Command;

use keybrake_tests::{
    durable,
    rig::{eventually, read},
};
use serde_json::{Value, json};

use crate::{Bench, charged};

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_between_the_vendors_answer_and_its_completion_charges_once() {
    let mut bench = Bench::start().await;
    let example = bench.example(1, 5).await;
    bench.rig.sandbox.hold(true);
    let run = tokio::spawn(durable::printed(example));
    eventually("the vendor has executed it", || async { (charged(&bench.rig) == 1).then_some(()) })
        .await;

    // It stands still while the answer comes to it, and never wakes again.
    let worker = bench.worker.take().unwrap();
    signal("-STOP", worker.id());
    bench.rig.sandbox.hold(false);
    let settled: Value = eventually("the proxy has the answer", || async {
        bench.rig.calls("state=settled").await.into_iter().next()
    })
    .await;
    worker.kill();
    bench.start_worker();

    let ended = run.await.unwrap();
    assert_eq!(ended["summary"], json!({"charged": 1}), "{ended}");
    assert_eq!(charged(&bench.rig), 1);
    let replays = bench.rig.calls("verdict=replayed").await;
    assert_eq!(replays.first().map(|row| &row["replay_of"]), Some(&settled["call_id"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_in_a_fan_out_leaves_one_charge_for_each_customer() {
    let mut bench = Bench::start().await;
    bench.rig.sandbox.set_latency(std::time::Duration::from_millis(50));
    let run = tokio::spawn(durable::printed(bench.example(60, 100).await));
    eventually("some are charged", || async { (charged(&bench.rig) >= 5).then_some(()) }).await;

    bench.worker.take().unwrap().kill();
    bench.start_worker();

    let ended = run.await.unwrap();
    assert_eq!(ended["summary"], json!({"charged": 60}), "{ended}");
    assert_eq!((charged(&bench.rig), bench.rig.vendor_total()), (60, 6_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_asked_to_stop_ends_what_runs_and_gives_its_answer() {
    let mut bench = Bench::start().await;
    let example = bench.example(1, 5).await;
    bench.rig.sandbox.hold(true);
    let run = tokio::spawn(durable::printed(example));
    eventually("the vendor has executed it", || async { (charged(&bench.rig) == 1).then_some(()) })
        .await;

    let worker = bench.worker.take().unwrap();
    let (id, sandbox) = (worker.id(), bench.rig.sandbox.clone());
    signal("-TERM", id);
    let stopped = tokio::task::spawn_blocking(move || worker.stop());
    sandbox.hold(false);
    assert!(stopped.await.unwrap(), "it ends well");
    bench.start_worker();

    assert_eq!(run.await.unwrap()["summary"], json!({"charged": 1}));
    assert_eq!(charged(&bench.rig), 1);
    let again = bench.rig.calls("verdict=replayed").await;
    assert!(again.is_empty(), "its answer was lost: {again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_comes_back_to_a_backend_that_was_away() {
    let mut bench = Bench::start().await;
    let first = durable::printed(bench.example(2, 5).await).await;
    assert_eq!(first["summary"], json!({"charged": 2}));

    let backend = bench.backend.take().unwrap();
    let port = backend.url.rsplit(':').next().unwrap().parse().unwrap();
    backend.kill();
    // It goes on serving HTTP meanwhile.
    let health = format!("{}/healthz", bench.worker.as_ref().unwrap().url);
    assert_eq!(read(bench.rig.http.get(health)).await.status, 200);
    bench.backend = Some(durable::backend_on(port));

    let second = durable::printed(bench.example(3, 5).await).await;
    assert_eq!(second["summary"], json!({"charged": 3}));
    assert_eq!(charged(&bench.rig), 5);
}
