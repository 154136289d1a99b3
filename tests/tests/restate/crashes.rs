//! Processes that die while money is on its way.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::{body::Body, extract::Request, response::Response};
use keybrake_tests::{
    process,
    restate::{Engine, worker_on},
    rig::{Rig, eventually},
};
use serde_json::{Value, json};

use crate::{Bench, charged, charges};

fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

fn signal(name: &str, process: u32) {
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

/// Stands before the proxy, and kills a process once the first answer to this path is there: the
/// proxy has done it, and nobody else will ever know of that answer.
async fn killing_front(proxy_url: String, path: &'static str, victim: Arc<AtomicU32>) -> String {
    let http = keybrake_tests::http();
    let forward = move |request: Request| {
        let (http, proxy_url, victim) = (http.clone(), proxy_url.clone(), Arc::clone(&victim));
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let asked = http.request(parts.method, format!("{proxy_url}{}", parts.uri));
            let answer = asked.headers(parts.headers).body(body).send().await.unwrap();
            let status = answer.status();
            let answer = answer.bytes().await.unwrap();
            let victim =
                if parts.uri.path() == path { victim.swap(0, Ordering::SeqCst) } else { 0 };
            if victim != 0 {
                signal("-KILL", victim);
            }
            Response::builder().status(status).body(Body::from(answer)).unwrap()
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(forward);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

async fn killed_after(path: &'static str) {
    let rig = Rig::start(keybrake::sandbox::Settings::default()).await;
    let engine = Engine::start().await;
    let victim = Arc::new(AtomicU32::new(0));
    let front = killing_front(rig.url.clone(), path, Arc::clone(&victim)).await;
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
    killed_after("/vault/keys").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_when_its_charge_is_answered_charges_once() {
    killed_after("/stripe/v1/payment_intents").await;
}
