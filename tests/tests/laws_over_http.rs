//! The laws, as a caller of the proxy sees them. The ledger's own
//! property tests are in `laws.rs`.

use std::{sync::Arc, time::Duration};

use keybrake::sandbox::{Faults, Settings};
use keybrake_tests::rig::{Answer, Rig, eventually, read};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const HOUR: u64 = 3_600;
const CERTAIN: u32 = 1_000_000;

fn hours(count: u64) -> Duration {
    Duration::from_secs(count * HOUR)
}

async fn no_hold_left(rig: &Rig, key: &keybrake_tests::rig::Key) -> Value {
    eventually("no hold is left", || async {
        let shown = rig.show(key).await;
        (shown.get("held_usd") == Some(&json!("0.00"))).then_some(shown)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn law_1_never_over_with_300_calls_at_once() {
    let rig = Arc::new(Rig::start(Settings::default()).await);
    let key = rig.issue(json!({"total_usd_cap": "50"})).await;
    let mut calls = JoinSet::new();
    for index in 0..300 {
        let (rig, key) = (Arc::clone(&rig), key.clone());
        calls.spawn(async move { rig.pay(&key, &format!("k-{index}"), 100).await });
    }
    let answers = calls.join_all().await;
    let with = |code: &str| answers.iter().filter(|answer| answer.code() == code).count();
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 50);
    assert_eq!(with("cap_exhausted"), 250);
    assert_eq!(rig.vendor_total(), 5_000);
    assert_eq!(no_hold_left(&rig, &key).await["spent_usd"], "50.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn law_1_a_childs_calls_fit_every_ancestor() {
    let rig = Rig::start(Settings::default()).await;
    let parent = rig.issue(json!({"total_usd_cap": "3"})).await;
    let child = |cap: &str| json!({"total_usd_cap": cap, "parent_key_id": parent.id});
    let (one, other) = (rig.issue(child("2")).await, rig.issue(child("2")).await);
    assert_eq!(rig.pay(&one, "a", 200).await.status, 200);
    let refused = rig.pay(&other, "b", 200).await;
    assert_eq!(refused.code(), "cap_exhausted");
    assert_eq!(refused.text("/keybrake/budget_id"), parent.body["budget_id"]);
    assert_eq!(rig.pay(&other, "c", 100).await.status, 200);
    assert_eq!(no_hold_left(&rig, &parent).await["spent_usd"], "3.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_a_refusal_before_processing_gives_the_hold_back() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({})).await;
    rig.sandbox.set_faults(Faults { rate_limited: CERTAIN, ..Faults::default() }).unwrap();
    let limited = rig.pay(&key, "k", 100).await;
    assert_eq!((limited.status, limited.header("x-keybrake-cap-hit")), (429, None));
    assert_eq!(no_hold_left(&rig, &key).await["spent_usd"], "0.00");
    rig.sandbox.set_faults(Faults::default()).unwrap();
    assert_eq!(rig.pay(&key, "k", 100).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_a_decline_of_a_charge_costs_nothing_and_of_an_intent_stays_committed() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({})).await;
    let charge = "amount=100&currency=usd&source=tok_chargeDeclined";
    let declined = read(rig.post(&key, "/v1/charges", "c", charge)).await;
    assert_eq!((declined.status, declined.text("/error/type")), (402, "card_error"));
    assert_eq!(no_hold_left(&rig, &key).await["spent_usd"], "0.00");
    let intent = "amount=100&currency=usd&confirm=true&payment_method=pm_card_chargeDeclined";
    assert_eq!(read(rig.post(&key, "/v1/payment_intents", "i", intent)).await.status, 402);
    assert_eq!(no_hold_left(&rig, &key).await["spent_usd"], "1.00");
    let again = read(rig.post(&key, "/v1/charges", "c", charge)).await;
    assert_eq!((again.status, again.header("x-keybrake-replayed")), (402, Some("true")));
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_once_in_doubt_a_refused_retry_ends_nothing() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({})).await;
    rig.sandbox.set_faults(Faults { request_lost: CERTAIN, ..Faults::default() }).unwrap();
    assert_eq!(rig.pay(&key, "k", 100).await.code(), "outcome_unknown");
    for faults in [
        Faults { rate_limited: CERTAIN, ..Faults::default() },
        Faults { server_error_before: CERTAIN, ..Faults::default() },
    ] {
        rig.sandbox.set_faults(faults).unwrap();
        let unknown = rig.pay(&key, "k", 100).await;
        assert_eq!((unknown.status, unknown.code()), (504, "outcome_unknown"));
        assert_eq!(unknown.header("stripe-should-retry"), Some("true"));
        let shown = no_hold_left(&rig, &key).await;
        assert_eq!((&shown["spent_usd"], &shown["in_doubt_usd"]), (&json!("1.00"), &json!("1.00")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn law_4_once_per_idempotency_key_for_twins_siblings_and_refreshed_keys() {
    let rig = Arc::new(Rig::start(Settings::default()).await);
    let key = rig.issue(json!({})).await;
    let sibling = rig.issue(json!({"agent_run_label": "test/sibling"})).await;
    let mut twins = JoinSet::new();
    for _ in 0..20 {
        let (rig, key) = (Arc::clone(&rig), key.clone());
        twins.spawn(async move { rig.pay(&key, "k", 100).await });
    }
    let twins = twins.join_all().await;
    assert!(twins.iter().all(|twin| twin.status == 200 || twin.code() == "call_in_progress"));
    let first = twins
        .iter()
        .find(|twin| twin.status == 200 && twin.header("x-keybrake-replayed").is_none())
        .unwrap();

    let refreshed =
        read(rig.admin("POST", &format!("/vault/keys/{}/refresh", key.id)).json(&json!({}))).await;
    let refreshed =
        keybrake_tests::rig::Key { token: refreshed.text("/vault_key").into(), ..key.clone() };
    for key in [&key, &sibling, &refreshed] {
        let again = rig.pay(key, "k", 100).await;
        assert_eq!((again.status, again.header("x-keybrake-replayed")), (200, Some("true")));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_eq!(again.text("/id"), first.text("/id"));
    }
    let other = rig.pay(&sibling, "k", 101).await;
    assert_eq!(
        (other.status, other.code(), other.text("/error/type")),
        (400, "idempotency_key_reused", "idempotency_error")
    );
    assert_eq!((rig.vendor_total(), rig.vendor_requests()), (100, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn law_4_a_pruned_answer_is_told_and_never_sent_again() {
    let mut rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({"expires_in": "31d"})).await;
    let paid = rig.pay(&key, "k", 100).await;
    no_hold_left(&rig, &key).await;
    rig.clock.advance(hours(30 * 24 + 1));
    rig.stop_proxy().await;
    rig.start_proxy().await;
    let pruned = eventually("the answer is pruned", || async {
        let again = rig.pay(&key, "k", 100).await;
        (again.status != 200).then_some(again)
    })
    .await;
    assert_eq!((pruned.status, pruned.code()), (400, "answer_pruned"));
    assert_eq!(pruned.text("/keybrake/vendor_object_id"), paid.text("/id"));
    assert_eq!(rig.vendor_total(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn law_5_a_replay_needs_no_cap_no_vendor_and_no_living_key() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({"total_usd_cap": "1"})).await;
    let paid = rig.pay(&key, "k", 100).await;
    assert_eq!(rig.pay(&key, "more", 100).await.code(), "cap_exhausted");
    rig.sandbox.set_secret("sk_test_another_secret".into());
    rig.clock.advance(hours(3));
    assert_eq!(rig.pay(&key, "new", 100).await.code(), "key_expired");
    let replay = rig.pay(&key, "k", 100).await;
    assert_eq!((replay.status, replay.text("/id")), (200, paid.text("/id")));
}

#[tokio::test(flavor = "multi_thread")]
async fn law_5_a_replay_must_satisfy_the_asking_keys_own_policy() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({})).await;
    assert_eq!(rig.pay(&key, "k", 100).await.status, 200);
    let reader = rig.issue(json!({"allowed_endpoints": ["GET /v1/payment_intents"]})).await;
    assert_eq!(rig.pay(&reader, "k", 100).await.code(), "endpoint_not_allowed");
    let other_customer = rig.issue(json!({"allowed_params": {"customer": ["cus_1"]}})).await;
    assert_eq!(rig.pay(&other_customer, "k", 100).await.code(), "parameter_not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn law_6_revoked_means_now_for_the_budget_its_successors_and_descendants() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({})).await;
    let paid = rig.pay(&key, "k", 100).await;
    let successor =
        read(rig.admin("POST", &format!("/vault/keys/{}/refresh", key.id)).json(&json!({}))).await;
    let successor =
        keybrake_tests::rig::Key { token: successor.text("/vault_key").into(), ..key.clone() };
    let child = rig.issue(json!({"parent_key_id": key.id})).await;
    no_hold_left(&rig, &key).await;
    let revoked = read(rig.admin("DELETE", &format!("/vault/keys/{}", key.id))).await;
    assert_eq!((revoked.status, revoked.text("/spent_usd")), (200, "1.00"));
    let before = rig.vendor_requests();
    for key in [&key, &successor, &child] {
        let refused = rig.pay(key, "new", 100).await;
        assert_eq!((refused.status, refused.code()), (401, "key_revoked"));
        assert_eq!(refused.body.pointer("/keybrake/prior"), None);
    }
    let prior = rig.pay(&successor, "k", 100).await;
    assert_eq!(
        (prior.code(), prior.text("/keybrake/prior/vendor_object_id")),
        ("key_revoked", paid.text("/id"))
    );
    assert_eq!(
        (prior.text("/keybrake/prior/state"), prior.text("/keybrake/prior/amount_usd")),
        ("settled", "1.00")
    );
    let refresh =
        read(rig.admin("POST", &format!("/vault/keys/{}/refresh", key.id)).json(&json!({}))).await;
    assert_eq!(refresh.code(), "key_revoked");
    assert_eq!(rig.try_issue(json!({"parent_key_id": key.id})).await.code(), "key_revoked");
    let again = read(rig.admin("DELETE", &format!("/vault/keys/{}", key.id))).await;
    assert_eq!(again.text("/revoked_at"), revoked.text("/revoked_at"));
    assert_eq!(rig.vendor_requests(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn law_6_after_a_revocation_answers_nothing_more_is_sent() {
    let rig = Arc::new(Rig::start(Settings::default()).await);
    for round in 0..10 {
        let key = rig.issue(json!({"total_usd_cap": "1000"})).await;
        let mut calls = JoinSet::new();
        for index in 0..60 {
            let (rig, key) = (Arc::clone(&rig), key.clone());
            calls.spawn(async move { rig.pay(&key, &format!("k-{round}-{index}"), 100).await });
        }
        tokio::time::sleep(Duration::from_millis(3 * round)).await;
        let revoked = read(rig.admin("DELETE", &format!("/vault/keys/{}", key.id))).await;
        // What was sent before is on its way to the vendor's counter; it arrives at once or not at all.
        let sent = rig.vendor_requests();
        let answers = calls.join_all().await;
        let paid = answers.iter().filter(|answer| answer.status == 200).count();
        let refused = answers.iter().filter(|answer| answer.code() == "key_revoked").count();
        assert_eq!(
            paid + refused,
            60,
            "{:?}",
            answers.iter().map(Answer::code).collect::<Vec<_>>()
        );
        let in_flight = revoked.body["in_flight"].as_array().unwrap().len();
        let later = usize::try_from(rig.vendor_requests() - sent).unwrap();
        assert!(later <= in_flight);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn law_6_a_call_in_doubt_is_not_sent_again_once_its_budget_is_revoked() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({})).await;
    let sibling = rig.issue(json!({})).await;
    rig.sandbox.set_faults(Faults { request_lost: CERTAIN, ..Faults::default() }).unwrap();
    assert_eq!(rig.pay(&key, "k", 100).await.code(), "outcome_unknown");
    rig.sandbox.set_faults(Faults::default()).unwrap();
    let revoked = read(rig.admin("DELETE", &format!("/vault/keys/{}", key.id))).await;
    assert_eq!(
        (revoked.text("/in_doubt_usd"), revoked.body["in_doubt"].as_array().map(Vec::len)),
        ("1.00", Some(1))
    );
    assert_eq!(rig.pay(&sibling, "k", 100).await.code(), "outcome_unknown");
    assert_eq!(rig.vendor_total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn law_7_issued_once() {
    let rig = Rig::start(Settings::default()).await;
    let body = |cap: &str| {
        json!({
            "vendor": "stripe", "total_usd_cap": cap, "expires_in": "1h",
            "allowed_endpoints": ["POST /v1/charges"], "agent_run_label": "run/once",
        })
    };
    let issue = |cap: &str| {
        read(
            rig.admin("POST", "/vault/keys")
                .header("idempotency-key", "run-1/issue")
                .json(&body(cap)),
        )
    };
    let (first, again, other) = (issue("5").await, issue("5").await, issue("6").await);
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.text("/vault_key"), again.text("/vault_key"));
    assert_eq!(first.text("/budget_id"), again.text("/budget_id"));
    assert_eq!((other.status, other.code()), (400, "idempotency_key_reused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn law_7_many_refreshes_make_one_successor() {
    let rig = Arc::new(Rig::start(Settings::default()).await);
    let key = rig.issue(json!({})).await;
    let mut refreshes = JoinSet::new();
    for _ in 0..50 {
        let (rig, key) = (Arc::clone(&rig), key.clone());
        refreshes.spawn(async move {
            read(rig.admin("POST", &format!("/vault/keys/{}/refresh", key.id))).await
        });
    }
    let made: std::collections::HashSet<_> =
        refreshes.join_all().await.iter().map(|made| made.text("/vault_key").to_owned()).collect();
    assert_eq!(made.len(), 1);
    rig.clock.advance(hours(3));
    let later = read(rig.admin("POST", &format!("/vault/keys/{}/refresh", key.id))).await;
    assert!(later.status == 201 && !made.contains(later.text("/vault_key")));
    assert_eq!(later.text("/budget_id"), key.body["budget_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn law_9_fail_closed() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({})).await;
    // Somebody else holds the database: no commit gets through.
    let other = rusqlite::Connection::open(rig.data.path().join("keybrake.sqlite3")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = rig.pay(&key, "k", 100).await;
    assert_eq!((refused.status, refused.code()), (503, "ledger_unavailable"));
    assert_eq!((refused.header("retry-after"), rig.vendor_requests()), (Some("1"), 0));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(rig.pay(&key, "k", 100).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn law_10_every_call_has_a_row_and_no_row_has_a_secret() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({"total_usd_cap": "1"})).await;
    rig.pay(&key, "paid", 100).await;
    rig.pay(&key, "paid", 100).await;
    rig.pay(&key, "capped", 100).await;
    read(rig.post(&key, "/v1/payouts", "denied", "amount=1&currency=usd")).await;
    read(rig.http.get(format!("{}/stripe//v1/charges", rig.url)).bearer_auth(&key.token)).await;
    read(rig.http.get(format!("{}/stripe/v1/charges?limit=3", rig.url)).bearer_auth(&key.token))
        .await;
    let rows = rig.calls(&format!("key_id={}", key.id)).await;
    let said: Vec<_> = rows
        .iter()
        .rev()
        .map(|row| row["code"].as_str().or(row["verdict"].as_str()).unwrap())
        .collect();
    assert_eq!(
        said,
        [
            "allowed",
            "replayed",
            "cap_exhausted",
            "endpoint_not_allowed",
            "path_not_canonical",
            "allowed"
        ]
    );
    let shown = serde_json::to_string(&rows).unwrap();
    assert!(!shown.contains(&key.token) && !shown.contains(keybrake_tests::SECRET));
    let stranger = read(
        rig.http.get(format!("{}/stripe/v1/charges", rig.url)).bearer_auth("vault_key_stranger"),
    )
    .await;
    assert_eq!((stranger.status, stranger.code()), (401, "invalid_key"));
    assert_eq!(rig.calls("").await.len(), rows.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn law_11_contention_waits_and_only_spending_is_a_cap_hit() {
    let wait =
        ("KEYBRAKE_CONFIG", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/short-wait.toml"));
    let rig = Arc::new(Rig::start_with(Settings::default(), &[wait]).await);
    let key = rig.issue(json!({"total_usd_cap": "1"})).await;
    rig.sandbox.hold(true);
    let first = tokio::spawn({
        let (rig, key) = (Arc::clone(&rig), key.clone());
        async move { rig.pay(&key, "first", 100).await }
    });
    eventually("the vendor holds the first call", || async {
        (rig.sandbox.held() == 1).then_some(())
    })
    .await;
    let contended = rig.pay(&key, "second", 100).await;
    assert_eq!((contended.status, contended.code()), (429, "cap_contended"));
    assert_eq!(contended.header("x-keybrake-cap-hit"), None);
    assert_eq!(contended.header("retry-after"), Some("1"));

    let mut waiting = tokio::spawn({
        let (rig, key) = (Arc::clone(&rig), key.clone());
        async move { rig.pay(&key, "third", 100).await }
    });
    let early = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
    assert!(early.is_err(), "it waits while the hold lasts: {early:?}");
    rig.sandbox.hold(false);
    assert_eq!(first.await.unwrap().status, 200);
    let capped = waiting.await.unwrap();
    assert_eq!((capped.status, capped.code()), (429, "cap_exhausted"));
    assert_eq!(capped.header("x-keybrake-cap-hit"), Some("true"));
    assert_eq!(capped.header("stripe-should-retry"), Some("false"));
}

#[tokio::test(flavor = "multi_thread")]
async fn law_11_a_daily_cap_says_when_it_resets_and_does() {
    let rig = Rig::start(Settings::default()).await;
    let key =
        rig.issue(json!({"total_usd_cap": null, "daily_usd_cap": 1, "expires_in": "3d"})).await;
    assert_eq!(rig.pay(&key, "a", 100).await.status, 200);
    no_hold_left(&rig, &key).await;
    let capped = rig.pay(&key, "b", 100).await;
    assert_eq!(capped.code(), "cap_exhausted");
    assert!(!capped.text("/keybrake/resets_at").is_empty());
    rig.clock.advance(hours(24));
    assert_eq!(rig.pay(&key, "c", 100).await.status, 200);
}
