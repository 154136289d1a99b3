//! Many at once on one budget, and on a tree of them.

use std::sync::Arc;

use keybrake::sandbox::{Faults, Settings};
use keybrake_tests::rig::{Key, Rig, eventually, read};
use serde_json::json;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_children_refresh_one_key_at_once_and_get_one_successor() {
    let rig = Arc::new(Rig::start(Settings::default()).await);
    let key = rig.issue(json!({})).await;
    let path = format!("/vault/keys/{}/refresh", key.id);
    let mut refreshes = JoinSet::new();
    for _ in 0..500 {
        let (rig, path) = (Arc::clone(&rig), path.clone());
        refreshes.spawn(async move { read(rig.admin("POST", &path)).await });
    }
    let answers = refreshes.join_all().await;
    let first = answers[0].clone();
    assert!(answers.iter().all(|answer| answer.text("/key_id") == first.text("/key_id")));
    assert!(answers.iter().all(|answer| answer.text("/vault_key") == first.text("/vault_key")));
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 499);
    assert_eq!(first.text("/budget_id"), key.body["budget_id"].as_str().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_issue_after_a_crash_is_one_key_on_one_budget() {
    let mut rig = Rig::start(Settings::default()).await;
    let issue = async |rig: &Rig| {
        let body = super::order(&json!({}));
        let request = rig.admin("POST", "/vault/keys").header("idempotency-key", "run-1/issue");
        read(request.json(&body)).await
    };
    let first = issue(&rig).await;
    // The answer was lost with the process that had given it.
    rig.stop_proxy().await;
    rig.start_proxy().await;
    let second = issue(&rig).await;
    assert_eq!((first.status, second.status), (201, 200));
    for member in ["/key_id", "/vault_key", "/budget_id", "/expires_at"] {
        assert_eq!(first.text(member), second.text(member), "{member}");
    }
    let keys = read(rig.admin("GET", "/vault/keys")).await;
    assert_eq!(keys.body["data"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_calls_over_twenty_children_pass_no_ancestor() {
    let faults = Faults { answer_lost: 100_000, request_lost: 50_000, ..Faults::default() };
    let rig = Arc::new(Rig::start(Settings::default()).await);
    rig.sandbox.set_faults(faults).unwrap();
    let root = rig.issue(json!({"total_usd_cap": "60"})).await;
    let mut middle = Vec::new();
    for _ in 0..2 {
        middle.push(rig.issue(json!({"total_usd_cap": "40", "parent_key_id": root.id})).await);
    }
    let mut children = Vec::new();
    for index in 0..20 {
        let parent = &middle[index % 2];
        let child = json!({"total_usd_cap": "5", "parent_key_id": parent.id});
        children.push(rig.issue(child).await);
    }
    let all: Vec<Key> = [&root].into_iter().chain(&middle).chain(&children).cloned().collect();
    let watcher = tokio::spawn({
        let (rig, all) = (Arc::clone(&rig), all.clone());
        async move {
            loop {
                for key in &all {
                    never_over(&rig, key).await;
                }
            }
        }
    });
    let mut calls = JoinSet::new();
    for index in 0..300 {
        let (rig, key) = (Arc::clone(&rig), children[index % 20].clone());
        calls.spawn(async move {
            // As an engine does: again until it is known.
            for _ in 0..10 {
                let answer = rig.pay(&key, &format!("k-{index}"), 100).await;
                if ![409, 502, 504].contains(&answer.status) && answer.code() != "cap_contended" {
                    return answer.status;
                }
            }
            504
        });
    }
    let statuses = calls.join_all().await;
    watcher.abort();
    assert!(watcher.await.is_err_and(|error| error.is_cancelled()), "a budget was over its cap");
    assert!(statuses.iter().filter(|status| **status == 200).count() <= 60);
    rig.sandbox.set_faults(Faults::default()).unwrap();
    eventually("nothing is held", || async {
        let shown = rig.show(&root).await;
        (shown["held_usd"] == "0.00").then_some(())
    })
    .await;
    for key in &all {
        never_over(&rig, key).await;
    }
    assert!(rig.vendor_total() <= 6_000, "{}", rig.vendor_total());
}

async fn never_over(rig: &Rig, key: &Key) {
    let shown = rig.show(key).await;
    let cents =
        |name: &str| -> u64 { shown[name].as_str().unwrap().replace('.', "").parse().unwrap() };
    let used = cents("spent_usd") + cents("held_usd");
    assert!(used <= cents("total_usd_cap"), "{shown}");
}
