//! Calls whose outcome is unknown: retried by their callers, looked up at the vendor, resolved by
//! an operator. Never guessed, never sent twice.

use std::{sync::Arc, time::Duration};

use keybrake::sandbox::{Faults, Settings};
use keybrake_tests::{
    process,
    rig::{Key, Rig, eventually, read},
};
use serde_json::{Value, json};

const CERTAIN: u32 = 1_000_000;

#[expect(clippy::unwrap_used, reason = "rates that are too high fail the test")]
fn faults(rig: &Rig, faults: Faults) {
    rig.sandbox.set_faults(faults).unwrap();
}

/// The one row of a key's calls once it is in this state.
async fn row_in(rig: &Rig, key: &Key, state: &str) -> Value {
    eventually(state, || async {
        let rows = rig.calls(&format!("key_id={}&verdict=allowed&state={state}", key.id)).await;
        rows.into_iter().next()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_over_a_lost_answer_is_one_charge_and_a_success() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({})).await;
    faults(&rig, Faults { answer_lost: CERTAIN, ..Faults::default() });
    let unknown = rig.pay(&key, "k", 100).await;
    assert_eq!((unknown.status, unknown.code()), (504, "outcome_unknown"));
    faults(&rig, Faults::default());
    let paid = rig.pay(&key, "k", 100).await;
    assert_eq!((paid.status, rig.vendor_total()), (200, 100));
    assert_eq!(row_in(&rig, &key, "settled").await["attempts"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_behind_a_saved_500_is_found_by_look_up_and_replayed_as_a_success() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({})).await;
    faults(&rig, Faults { error_after_charge: CERTAIN, ..Faults::default() });
    assert_eq!(rig.pay(&key, "k", 100).await.code(), "outcome_unknown");
    faults(&rig, Faults::default());
    let settled = row_in(&rig, &key, "settled").await;
    let executed = &rig.sandbox.executed().data[0];
    assert_eq!(settled["vendor_object_id"], json!(executed.object_id));
    assert!(settled["note"].as_str().unwrap().starts_with("looked up"), "{settled}");
    let paid = rig.pay(&key, "k", 100).await;
    assert_eq!((paid.status, paid.header("x-keybrake-replayed")), (200, Some("true")));
    assert_eq!(
        (paid.text("/id"), paid.text("/status")),
        (executed.object_id.as_str(), "succeeded")
    );
    assert_eq!(rig.vendor_total(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn charges_and_refunds_are_found_by_their_events() {
    let rig =
        Rig::start(Settings { search_delay: Duration::from_hours(24), ..Settings::default() })
            .await;
    let key = rig.issue(json!({})).await;
    let charge =
        read(rig.post(&key, "/v1/charges", "c", "amount=500&currency=usd&source=tok_visa")).await;
    assert_eq!(charge.status, 200, "{:?}", charge.body);
    faults(&rig, Faults { answer_lost: CERTAIN, ..Faults::default() });
    let refund = format!("charge={}&amount=200", charge.text("/id"));
    assert_eq!(read(rig.post(&key, "/v1/refunds", "r", &refund)).await.code(), "outcome_unknown");
    let declined = "amount=300&currency=usd&source=tok_chargeDeclined";
    assert_eq!(read(rig.post(&key, "/v1/charges", "d", declined)).await.code(), "outcome_unknown");
    let shown = eventually("both are settled", || async {
        let shown = rig.show(&key).await;
        (shown["in_doubt_usd"] == json!("0.00")).then_some(shown)
    })
    .await;
    assert_eq!(shown["spent_usd"], "7.00");
    faults(&rig, Faults::default());
    let refunded = read(rig.post(&key, "/v1/refunds", "r", &refund)).await;
    assert_eq!((refunded.status, refunded.text("/object")), (200, "refund"));
    let declined = read(rig.post(&key, "/v1/charges", "d", declined)).await;
    assert_eq!(
        (declined.status, declined.text("/error/type"), declined.text("/error/code")),
        (402, "card_error", "card_declined")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_never_landed_is_released_only_after_it_would_be_visible() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({})).await;
    faults(&rig, Faults { request_lost: CERTAIN, ..Faults::default() });
    assert_eq!(rig.pay(&key, "k", 100).await.code(), "outcome_unknown");
    faults(&rig, Faults::default());
    let looked_up = || async {
        (rig.sandbox.requests().by_endpoint.get("GET /v1/events").copied() > Some(0)).then_some(())
    };
    eventually("it was looked up", looked_up).await;
    assert_eq!(rig.show(&key).await["in_doubt_usd"], "1.00");
    rig.clock.advance(Duration::from_mins(10));
    row_in(&rig, &key, "released").await;
    assert_eq!(rig.show(&key).await["spent_usd"], "0.00");
    assert_eq!(rig.pay(&key, "k", 100).await.status, 200);
    assert_eq!(rig.vendor_total(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_25_hours_after_a_lost_answer_is_not_sent_again() {
    // The vendor has forgotten the key by then, and would charge again.
    let rig = Rig::start(Settings {
        events_delay: Duration::from_hours(100),
        search_delay: Duration::from_hours(100),
        ..Settings::default()
    })
    .await;
    let key = rig.issue(json!({"expires_in": "7d"})).await;
    faults(&rig, Faults { error_after_charge: CERTAIN, ..Faults::default() });
    assert_eq!(rig.pay(&key, "k", 100).await.code(), "outcome_unknown");
    faults(&rig, Faults::default());
    let posts = || rig.sandbox.requests().by_endpoint.get("POST /v1/payment_intents").copied();
    let before = posts();
    // A vendor that never answers look-ups, so that nothing is concluded meanwhile.
    rig.sandbox.set_secret("sk_test_rolled_meanwhile".into());
    rig.clock.advance(Duration::from_hours(25));
    assert_eq!(rig.pay(&key, "k", 100).await.code(), "outcome_unknown");
    assert_eq!((posts(), rig.vendor_total()), (before, 100));
    assert_eq!(rig.show(&key).await["in_doubt_usd"], "1.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_died_leaves_doubt_and_the_next_one_resolves_it() {
    let mut rig = Rig::start(Settings::default()).await;
    rig.stop_proxy().await;
    let proxy = process::proxy(rig.data.path(), &rig.vendor_url, &[]);
    rig.url = proxy.url.clone();
    let key = rig.issue(json!({})).await;
    rig.sandbox.hold(true);
    let form = "amount=100&currency=usd&confirm=true&payment_method=pm_card_visa";
    let lost = tokio::spawn(rig.post(&key, "/v1/payment_intents", "k", form).send());
    eventually("the vendor holds its answer", || async { (rig.sandbox.held() == 1).then_some(()) })
        .await;
    proxy.kill();
    rig.sandbox.hold(false);
    assert!(lost.await.unwrap().is_err());
    let proxy = process::proxy(rig.data.path(), &rig.vendor_url, &[]);
    rig.url = proxy.url.clone();
    row_in(&rig, &key, "settled").await;
    assert_eq!(rig.pay(&key, "k", 100).await.header("x-keybrake-replayed"), Some("true"));
    assert_eq!(rig.vendor_total(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_word_ends_a_doubt_with_who_and_why() {
    let rig =
        Rig::start(Settings { events_delay: Duration::from_hours(100), ..Settings::default() })
            .await;
    let key = rig.issue(json!({})).await;
    faults(&rig, Faults { request_lost: CERTAIN, ..Faults::default() });
    for name in ["a", "b"] {
        assert_eq!(rig.pay(&key, name, 100).await.code(), "outcome_unknown");
    }
    let rows = eventually("both are in doubt", || async {
        let rows = rig.calls("state=in_doubt").await;
        (rows.len() == 2).then_some(rows)
    })
    .await;
    let resolve = |row: &Value, body: Value| {
        read(
            rig.admin(
                "POST",
                &format!("/audit/calls/{}/resolve", row["call_id"].as_str().unwrap()),
            )
            .json(&body),
        )
    };
    let nobody = resolve(&rows[0], json!({"executed": true, "who": " ", "why": "x"})).await;
    assert_eq!(nobody.code(), "invalid_request");
    let settled = resolve(&rows[0], json!({"executed": true, "amount_usd": "0.40", "who": "ops", "why": "seen in the dashboard"})).await;
    assert_eq!((settled.text("/state"), settled.text("/settled_usd")), ("settled", "0.40"));
    assert_eq!(settled.text("/note"), "resolved by ops: seen in the dashboard");
    let released =
        resolve(&rows[1], json!({"executed": false, "who": "ops", "why": "not in the dashboard"}))
            .await;
    assert_eq!(released.text("/state"), "released");
    let again =
        resolve(&rows[1], json!({"executed": true, "who": "ops", "why": "second thoughts"})).await;
    assert_eq!(again.code(), "invalid_request");
    assert_eq!(rig.show(&key).await["spent_usd"], "0.40");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_cancels_nothing() {
    let rig = Arc::new(Rig::start(Settings::default()).await);
    let key = rig.issue(json!({})).await;
    rig.sandbox.hold(true);
    let hung_up = rig.post(
        &key,
        "/v1/payment_intents",
        "k",
        "amount=100&currency=usd&confirm=true&payment_method=pm_card_visa",
    );
    assert!(hung_up.timeout(Duration::from_millis(300)).send().await.is_err());
    eventually("the vendor holds it", || async { (rig.sandbox.held() == 1).then_some(()) }).await;
    rig.sandbox.hold(false);
    row_in(&rig, &key, "settled").await;
    assert_eq!(rig.pay(&key, "k", 100).await.header("x-keybrake-replayed"), Some("true"));
}

/// Charges $5, asks for a refund of it without an amount, and hangs up while the vendor is asked
/// how much that is. The vendor runs the question until its latency is changed.
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what does not come so far fails the test"
)]
async fn hang_up_over_a_question(rig: &Rig, key: &Key) -> String {
    let charge =
        read(rig.post(key, "/v1/charges", "c", "amount=500&currency=usd&source=tok_visa")).await;
    row_in(rig, key, "settled").await;
    rig.sandbox.set_latency(Duration::from_hours(1));
    let refund = format!("charge={}", charge.text("/id"));
    let waiting = tokio::spawn(rig.post(key, "/v1/refunds", "r", &refund).send());
    let asked = || rig.sandbox.requests().by_endpoint.contains_key("GET /v1/charges/{id}");
    eventually("the vendor is asked", || async { asked().then_some(()) }).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    let shown = rig.show(key).await;
    assert_eq!((&shown["held_usd"], &shown["spent_usd"]), (&json!("0.00"), &json!("5.00")));
    refund
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_while_the_vendor_is_asked_for_a_price_cancels_nothing() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({})).await;
    let refund = hang_up_over_a_question(&rig, &key).await;
    rig.sandbox.set_latency(Duration::ZERO);
    let refunded = eventually("the refund is settled", || async {
        let rows = rig.calls("state=settled&idempotency_key=r").await;
        rows.into_iter().next()
    })
    .await;
    assert_eq!(refunded["settled_usd"], "5.00");
    let again = read(rig.post(&key, "/v1/refunds", "r", &refund)).await;
    assert_eq!((again.status, again.header("x-keybrake-replayed")), (200, Some("true")));
    assert_eq!(rig.show(&key).await["held_usd"], "0.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_nobody_waits_for_and_the_vendor_does_not_tell_is_a_recorded_refusal() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({})).await;
    hang_up_over_a_question(&rig, &key).await;
    rig.sandbox.reset();
    let refused = eventually("the refusal is recorded", || async {
        let rows = rig.calls("verdict=denied&idempotency_key=r").await;
        rows.into_iter().next()
    })
    .await;
    assert_eq!(refused["code"], "vendor_unreachable");
    let shown = rig.show(&key).await;
    assert_eq!((&shown["held_usd"], &shown["spent_usd"]), (&json!("0.00"), &json!("5.00")));
    assert_eq!(rig.sandbox.requests().by_endpoint.get("POST /v1/refunds"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_hang_up_at_any_moment_leave_no_hold() {
    let rig = Arc::new(Rig::start(Settings::default()).await);
    let key = rig.issue(json!({"total_usd_cap": "1000"})).await;
    let form = "amount=100&currency=usd&confirm=true&payment_method=pm_card_visa";
    let hung_up = (0..300).map(|index| {
        let call = rig.post(&key, "/v1/payment_intents", &format!("k-{index}"), form);
        tokio::spawn(call.timeout(Duration::from_micros(200 * (index % 50))).send())
    });
    for call in hung_up.collect::<Vec<_>>() {
        call.await.unwrap().ok();
    }
    let shown = eventually("no hold is left", || async {
        let shown = rig.show(&key).await;
        (shown["held_usd"] == json!("0.00") && shown["in_doubt_usd"] == json!("0.00"))
            .then_some(shown)
    })
    .await;
    assert_eq!(shown["spent_usd"], format!("{}.00", rig.vendor_total() / 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vendors_refusal_of_our_secret_is_a_502_of_ours_and_costs_nothing() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({})).await;
    rig.sandbox.set_secret("sk_test_another".into());
    let refused = rig.pay(&key, "k", 100).await;
    assert_eq!((refused.status, refused.code()), (502, "vendor_refused_secret"));
    row_in(&rig, &key, "released").await;
    let read_refused =
        read(rig.http.get(format!("{}/stripe/v1/charges", rig.url)).bearer_auth(&key.token)).await;
    assert_eq!((read_refused.status, read_refused.code()), (502, "vendor_refused_secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_carry_our_tags_and_re_sends_are_the_same_request() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({})).await;
    let sibling = rig.issue(json!({"agent_run_label": "test/another-run"})).await;
    faults(&rig, Faults { request_lost: CERTAIN, ..Faults::default() });
    assert_eq!(rig.pay(&key, "k", 100).await.code(), "outcome_unknown");
    faults(&rig, Faults::default());
    assert_eq!(rig.pay(&sibling, "k", 100).await.status, 200);
    let sent: Vec<_> = rig
        .sandbox
        .requests()
        .last
        .iter()
        .filter(|seen| seen.method == "POST")
        .map(|seen| seen.body.clone())
        .collect();
    assert_eq!((sent.len(), &sent[0]), (2, &sent[1]));
    let executed = &rig.sandbox.executed().data[0];
    assert_eq!(executed.metadata.get("keybrake_run").map(String::as_str), Some("test/run-1"));
    assert!(executed.metadata["keybrake_call"].starts_with("call_"));
}
