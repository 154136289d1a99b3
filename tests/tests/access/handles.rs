//! Spending as a vault key that is named, without its token.

use std::time::Duration;

use keybrake::sandbox::Settings;
use keybrake_tests::rig::{Rig, read};
use serde_json::json;

use super::{api_key, charge_as, issue_with, with};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_needs_no_token_at_all() {
    let rig = Rig::start(Settings::default()).await;
    let issuer = api_key(&rig, "issuer", json!({})).await;
    let caller = api_key(&rig, "caller", json!({})).await;
    let journal = issue_with(&rig, &issuer, json!({"return_token": false})).await;
    assert_eq!((journal.status, journal.text("/vault_key")), (201, ""));
    assert!(!journal.body.to_string().contains("vault_key_"), "{:?}", journal.body);
    let key_id = journal.text("/key_id").to_owned();
    let charged = charge_as(&rig, &caller, &key_id, "k").await;
    assert_eq!(charged.status, 200, "{:?}", charged.body);
    assert_eq!(charged.header("x-keybrake-remaining-usd"), Some("4.00"));
    let own = with(&rig, &caller, "GET", "/vault/keys/self").header("x-keybrake-key-id", &key_id);
    assert_eq!(read(own).await.text("/key_id"), key_id);
    let path = format!("/vault/keys/{key_id}/refresh");
    let refresh = with(&rig, &issuer, "POST", &path).json(&json!({"return_token": false}));
    assert!(!read(refresh).await.body.to_string().contains("vault_key_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_follows_a_refresh_to_the_live_successor() {
    let rig = Rig::start(Settings::default()).await;
    let caller = api_key(&rig, "caller", json!({})).await;
    let key = rig.issue(json!({"expires_in": "1h", "total_usd_cap": "3"})).await;
    assert_eq!(charge_as(&rig, &caller, &key.id, "k1").await.status, 200);
    rig.clock.advance(Duration::from_mins(61));
    assert_eq!(charge_as(&rig, &caller, &key.id, "k2").await.code(), "key_expired");
    let path = format!("/vault/keys/{}/refresh", key.id);
    assert_eq!(read(rig.admin("POST", &path)).await.status, 201);
    let followed = charge_as(&rig, &caller, &key.id, "k2").await;
    assert_eq!(followed.header("x-keybrake-remaining-usd"), Some("1.00"), "{:?}", followed.body);
    read(rig.admin("DELETE", &format!("/vault/keys/{}", key.id))).await;
    assert_eq!(charge_as(&rig, &caller, &key.id, "k3").await.code(), "key_revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_and_a_handle_exclude_one_another() {
    let rig = Rig::start(Settings::default()).await;
    let (key, other) = (rig.issue(json!({})).await, rig.issue(json!({})).await);
    for named in [&key.id, &other.id] {
        let refused = charge_as(&rig, &key.token, named, "k").await;
        assert_eq!((refused.status, refused.code()), (400, "invalid_request"));
    }
    let caller = api_key(&rig, "caller", json!({})).await;
    let malformed = charge_as(&rig, &caller, "vk_", "k").await;
    assert_eq!((malformed.status, malformed.code()), (400, "invalid_request"));
    assert_eq!(rig.vendor_requests(), 0);
}
