//! What an issue request may ask for beside caps and endpoints.

use keybrake::sandbox::Settings;
use keybrake_tests::rig::{Rig, read};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn no_more_calls_than_the_policy_says_across_refreshes_and_children() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({"max_calls": 3})).await;
    assert_eq!(rig.pay(&key, "k1", 100).await.status, 200);
    assert_eq!(rig.pay(&key, "k1", 100).await.header("x-keybrake-replayed"), Some("true"));
    let child = rig.issue(json!({"parent_key_id": key.id})).await;
    assert_eq!(rig.pay(&child, "k2", 100).await.status, 200);
    assert_eq!(rig.pay(&key, "k3", 100).await.status, 200);
    for (name, key) in [("k4", &key), ("k5", &child)] {
        let refused = rig.pay(key, name, 100).await;
        assert_eq!((refused.status, refused.code()), (429, "cap_exhausted"));
        assert_eq!(refused.header("x-keybrake-cap-hit"), Some("true"));
        assert_eq!(refused.body["keybrake"]["max_calls"], 3);
    }
    assert_eq!(rig.pay(&key, "k3", 100).await.status, 200, "a replay is no call");
    assert_eq!(rig.vendor_total(), 300);
    assert_eq!(rig.show(&key).await["calls"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_an_idempotency_key_is_refused_where_the_policy_asks_for_one() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({"require_idempotency_key": true})).await;
    let write = rig
        .http
        .post(format!("{}/stripe/v1/charges", rig.url))
        .bearer_auth(&key.token)
        .header("content-type", "application/x-www-form-urlencoded")
        .body("amount=100&currency=usd&source=tok_visa");
    let refused = read(write).await;
    assert_eq!((refused.status, refused.code()), (400, "idempotency_key_required"));
    assert_eq!(rig.vendor_requests(), 0);
    let list = rig.http.get(format!("{}/stripe/v1/charges", rig.url)).bearer_auth(&key.token);
    assert_eq!(read(list).await.status, 200, "a read needs none");
    assert_eq!(rig.pay(&key, "k", 100).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_is_charged_once_whatever_key_an_sdk_sends() {
    let rig = Rig::start(Settings::default()).await;
    let content = json!({"idempotency": "content"});
    let key = rig.issue(content.clone()).await;
    let first = rig.pay(&key, "random-1", 100).await;
    let second = rig.pay(&key, "random-2", 100).await;
    assert_eq!(second.header("x-keybrake-replayed"), Some("true"));
    assert_eq!(second.text("/id"), first.text("/id"));
    assert_eq!(rig.pay(&key, "random-3", 101).await.header("x-keybrake-replayed"), None);
    let path = format!("/vault/keys/{}/refresh", key.id);
    let refreshed = read(rig.admin("POST", &path)).await;
    let refreshed =
        keybrake_tests::rig::Key { token: refreshed.text("/vault_key").to_owned(), ..key.clone() };
    assert_eq!(rig.pay(&refreshed, "r", 100).await.header("x-keybrake-replayed"), Some("true"));
    let mut other = content;
    other["agent_run_label"] = json!("test/run-2");
    let other = rig.issue(other).await;
    assert_eq!(rig.pay(&other, "random-1", 100).await.header("x-keybrake-replayed"), None);
    assert_eq!(rig.vendor_total(), 301);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_price_is_refused_unless_the_policy_sets_a_fixed_hold() {
    let rig = Rig::start(Settings::default()).await;
    let endpoints = json!(["POST /v1/subscriptions"]);
    let subscribe = async |key: &keybrake_tests::rig::Key| {
        let form = "customer=cus_1&items[0][price]=price_1";
        read(rig.post(key, "/v1/subscriptions", "s", form)).await
    };
    let without = rig.issue(json!({"allowed_endpoints": endpoints})).await;
    assert_eq!(subscribe(&without).await.code(), "unpriced_endpoint");
    assert_eq!(rig.vendor_requests(), 0);
    let holds = json!({"POST /v1/subscriptions": "60.00"});
    let capped = json!({"allowed_endpoints": endpoints, "fixed_holds": holds});
    let over = subscribe(&rig.issue(capped).await).await;
    assert_eq!((over.code(), over.text("/keybrake/asked_usd")), ("cap_exhausted", "60.00"));
    for (endpoint, hold) in [
        ("POST /v1/charges", json!("5")),
        ("POST /v1/payouts", json!("5")),
        ("POST /v1/subscriptions", json!("0")),
        ("POST /v1/subscriptions", json!("-5")),
    ] {
        let holds = json!({"fixed_holds": {endpoint: hold}});
        let answer = rig.try_issue(holds).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{endpoint} {hold}");
    }
}
