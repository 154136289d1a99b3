//! Stopping whole runs, and letting them issue again.

use keybrake::sandbox::Settings;
use keybrake_tests::rig::{Rig, read};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_run_is_stopped_with_all_its_keys_and_issues_nothing_until_it_is_lifted() {
    let rig = Rig::start(Settings::default()).await;
    let label = json!({"agent_run_label": "run/1"});
    let (one, two) = (rig.issue(label.clone()).await, rig.issue(label.clone()).await);
    let child = rig.issue(json!({"agent_run_label": "elsewhere", "parent_key_id": one.id})).await;
    let other = rig.issue(json!({"agent_run_label": "run/10"})).await;
    assert_eq!(rig.pay(&one, "k1", 100).await.status, 200);
    let revoked = read(rig.admin("DELETE", "/runs?label=run/1")).await;
    assert_eq!(revoked.status, 200, "{:?}", revoked.body);
    assert_eq!((revoked.text("/spent_usd"), &revoked.body["budgets"]), ("1.00", &json!(2)));
    for key in [&one, &two, &child] {
        assert_eq!(rig.pay(key, "k2", 100).await.code(), "key_revoked");
    }
    assert_eq!(rig.pay(&other, "k3", 100).await.status, 200);
    assert_eq!(rig.try_issue(label.clone()).await.code(), "run_revoked");
    let again = read(rig.admin("DELETE", "/runs?label=run/1")).await;
    assert_eq!(again.text("/revoked_at"), revoked.text("/revoked_at"));
    let listed = read(rig.admin("GET", "/runs/revoked")).await;
    assert_eq!(listed.text("/data/0/label"), "run/1");
    let lift =
        async || read(rig.admin("POST", "/runs/lift").json(&json!({"label": "run/1"}))).await;
    assert_eq!(lift().await.status, 200);
    assert_eq!(lift().await.code(), "not_found");
    let fresh = rig.issue(label).await;
    assert_eq!(rig.pay(&fresh, "k4", 100).await.status, 200);
    assert_eq!(rig.pay(&one, "k5", 100).await.code(), "key_revoked", "what was revoked stays so");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_stops_what_begins_so_and_an_empty_one_must_say_all() {
    let rig = Rig::start(Settings::default()).await;
    let issue = async |label: &str| rig.issue(json!({"agent_run_label": label})).await;
    let (one, two) = (issue("team_a/1").await, issue("team_a/2").await);
    let (like, other) = (issue("teamXa/1").await, issue("team_b/1").await);
    let revoked = read(rig.admin("DELETE", "/runs?label_prefix=team_a/")).await;
    assert_eq!((revoked.status, &revoked.body["budgets"]), (200, &json!(2)));
    for key in [&one, &two] {
        assert_eq!(rig.pay(key, "k1", 100).await.code(), "key_revoked");
    }
    for (index, key) in [&like, &other].into_iter().enumerate() {
        assert_eq!(rig.pay(key, &format!("o{index}"), 100).await.status, 200);
    }
    assert_eq!(rig.try_issue(json!({"agent_run_label": "team_a/3"})).await.code(), "run_revoked");
    for query in ["", "label_prefix=", "label=a&label_prefix=b", "label=a&some=b"] {
        let answer = read(rig.admin("DELETE", &format!("/runs?{query}"))).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{query}");
    }
    assert_eq!(rig.pay(&other, "k2", 100).await.status, 200);
    assert_eq!(read(rig.admin("DELETE", "/runs?label_prefix=&all=true")).await.status, 200);
    assert_eq!(rig.pay(&other, "k3", 100).await.code(), "key_revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_run_can_still_report_what_its_call_did() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({"agent_run_label": "run/1"})).await;
    let paid = rig.pay(&key, "k", 100).await;
    read(rig.admin("DELETE", "/runs?label=run/1")).await;
    let told = rig.pay(&key, "k", 100).await;
    assert_eq!((told.status, told.code()), (401, "key_revoked"));
    assert_eq!(told.text("/keybrake/prior/vendor_object_id"), paid.text("/id"));
    assert_eq!(told.text("/keybrake/prior/amount_usd"), "1.00");
}
