//! Whole runs.

use std::time::Duration;

use keybrake::sandbox::Faults;
use keybrake_tests::rig::{eventually, read};
use serde_json::{Value, json};

use crate::{AGENT, Bench, customers_of, worker_on};

async fn key_of(bench: &Bench, label: &Value) -> Value {
    let label = label.as_str().unwrap();
    let answer =
        read(bench.rig.admin("GET", &format!("/vault/keys?agent_run_label={label}"))).await;
    let keys = answer.body["data"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_parallel_charges_under_40_dollars_40_are_made_and_60_end_at_once() {
    let bench = Bench::start().await;
    let event = bench.event(100, 40).await;

    let ended = bench.executor.run(&bench.served(), AGENT, event).await;

    let result = ended.result.unwrap();
    assert_eq!(result["summary"]["charged"], 40, "{result}");
    assert_eq!(result["summary"]["codes"], json!({"cap_exhausted": 60}));
    assert_eq!(result["spent_usd"], "40.00");
    assert_eq!((bench.charged(), bench.rig.vendor_total()), (40, 4_000));
    let charges = ended.tries.iter().filter(|(name, _)| name.starts_with("charge-"));
    assert!(charges.clone().all(|(_, tries)| *tries == 1), "{:?}", ended.tries);
    assert_eq!((charges.count(), ended.tries["issue-vault-key"]), (100, 1));
    assert_eq!(key_of(&bench, &result["agent_run_label"]).await["state"], "revoked");
    let label = format!("inngest/billing/subscription.process/{}", ended.run_id);
    assert_eq!(result["agent_run_label"], json!(label));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_in_the_middle_leaves_one_charge_for_each_customer() {
    let mut bench = Bench::start().await;
    bench.rig.sandbox.set_latency(Duration::from_millis(50));
    let event = bench.event(60, 100).await;
    let (executor, served) = (bench.executor.clone(), bench.served());
    let run = tokio::spawn(async move { executor.run(&served, AGENT, event).await });

    eventually("some charges are made", || async { (bench.charged() >= 5).then_some(()) }).await;
    bench.worker.take().unwrap().kill();
    bench.worker =
        Some(worker_on(bench.port, &bench.rig.url, &[("INNGEST_DEV", &bench.executor.url)]));

    let result = run.await.unwrap().result.unwrap();
    assert_eq!(result["summary"]["charged"], 60, "{result}");
    assert_eq!((bench.charged(), bench.rig.vendor_total()), (60, 6_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_tried_again_after_its_charge_is_one_charge() {
    let bench = Bench::start().await;
    let event = bench.event(10, 100).await;
    let lost = Faults { answer_lost: 300_000, error_after_charge: 200_000, ..Faults::default() };
    bench.rig.sandbox.set_faults(lost).unwrap();

    let ended = bench.executor.run(&bench.served(), AGENT, event).await;

    let result = ended.result.unwrap();
    let (charged, unknown) = (&result["summary"]["charged"], &result["summary"]["unknown"]);
    assert_eq!(charged.as_u64().unwrap() + unknown.as_u64().unwrap(), 10, "{result}");
    assert!(ended.tries.values().any(|tries| *tries > 1), "{:?}", ended.tries);
    assert!(bench.charged() <= 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_a_fan_out_spend_from_their_own_budget_and_from_their_parents() {
    let bench = Bench::start().await;
    let runs: Vec<_> = [5, 5, 5].into_iter().map(|budget| json!({"budget_usd": budget})).collect();
    let mut filled = Vec::new();
    for mut run in runs {
        run["customers"] = json!(customers_of(&bench.rig, 10).await);
        filled.push(run);
    }
    let event = json!({"name": "billing/fan-out", "data": {"budget_usd": 12, "runs": filled}});

    let ended = bench.executor.run(&bench.served(), "keybrake-billing-fan-out", event).await;

    let result = ended.result.unwrap();
    let charged: Vec<_> =
        (0..3).map(|run| result["runs"][run]["summary"]["charged"].as_u64().unwrap()).collect();
    assert!(charged.iter().all(|charged| *charged <= 5), "{result}");
    assert_eq!(charged.iter().sum::<u64>(), 12, "{result}");
    assert_eq!((bench.charged(), &result["spent_usd"]), (12, &json!("12.00")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_runs_key_is_revoked_by_the_run_that_inngest_begins_then() {
    let bench = Bench::start().await;
    let event =
        json!({"name": "billing/subscription.process", "data": {"budget_usd": 5, "customers": []}});
    let label = "inngest/billing/subscription.process/01TESTCANCELLED";
    let key = bench.rig.issue(json!({"agent_run_label": label})).await;

    let data = json!({"run_id": "01TESTCANCELLED", "function_id": AGENT, "event": event});
    let cancelled = json!({"name": "inngest/function.cancelled", "data": data});
    let ended = bench.executor.run(&bench.served(), "keybrake-billing-cancelled", cancelled).await;

    assert_eq!(ended.result.unwrap()["agent_run_label"], label);
    assert_eq!(bench.rig.show(&key).await["state"], "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_is_too_large_to_be_sent_is_fetched() {
    let bench = Bench::start().await;
    let event = bench.event(5, 3).await;
    bench.executor.keep_state();

    let ended = bench.executor.run(&bench.served(), AGENT, event).await;

    assert_eq!(ended.result.unwrap()["summary"]["charged"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_tells_inngest_the_functions() {
    let bench = Bench::start().await;
    let (status, said) = bench.executor.sync(&bench.served()).await;
    assert_eq!((status.as_u16(), &said["modified"]), (200, &json!(true)), "{said}");
    let registered = bench.executor.registered();
    let ids: Vec<_> = registered.iter().map(|function| function["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [AGENT, "keybrake-billing-fan-out", "keybrake-billing-cancelled"]);
    let step = &registered[0]["steps"]["step"];
    assert_eq!(
        (&step["retries"]["attempts"], &step["runtime"]["type"]),
        (&json!(3), &json!("http"))
    );
    assert_eq!(step["runtime"]["url"], format!("{}?fnId={AGENT}&stepId=step", bench.served()));
    assert!(registered[2]["triggers"][0]["expression"].as_str().unwrap().contains(AGENT));
}
