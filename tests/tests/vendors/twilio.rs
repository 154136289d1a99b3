//! Twilio: held by segments and minutes, billed later, never sent twice.

use std::time::Duration;

use keybrake::sandbox::{Faults, Settings, TwilioSettings};
use keybrake_tests::rig::{Answer, Key, Rig, eventually, read};
use serde_json::{Value, json};

use crate::spent;

const FROM: &str = "%2B15550001111";
const PLACEHOLDER: &str = "AC00000000000000000000000000000000";

fn slow_bills() -> Settings {
    let twilio =
        TwilioSettings { price_delay: Duration::from_mins(10), ..TwilioSettings::default() };
    Settings { twilio, ..Settings::default() }
}

async fn key(rig: &Rig, more: Value) -> Key {
    let mut body = json!({
        "vendor": "twilio",
        "allowed_endpoints": [
            "POST /2010-04-01/Accounts/{account}/Messages.json",
            "POST /2010-04-01/Accounts/{account}/Calls.json",
            "POST /v2/*",
            "GET /*",
        ],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rig.issue(body).await
}

async fn post(rig: &Rig, key: &Key, path: &str, form: &str) -> Answer {
    let request = rig
        .http
        .post(format!("{}/twilio{path}", rig.url))
        .basic_auth(PLACEHOLDER, Some(&key.token))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.to_owned());
    read(request).await
}

async fn send(rig: &Rig, key: &Key, to: &str, body: &str) -> Answer {
    let path = format!("/2010-04-01/Accounts/{PLACEHOLDER}/Messages.json");
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let form = format!("To={}&From={FROM}&Body={}", encode(to), encode(body));
    post(rig, key, &path, &form).await
}

async fn row(rig: &Rig, key: &Key) -> Value {
    spent(rig, key).await;
    rig.calls(&format!("key_id={}", key.id)).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_held_by_its_segments_and_settles_at_its_bill() {
    let rig = Rig::start(slow_bills()).await;
    let key = key(&rig, json!({})).await;
    let long = "é".repeat(200); // two segments
    let sent = send(&rig, &key, "+15552223333", &long).await;
    assert_eq!((sent.status, sent.text("/num_segments")), (201, "2"), "{:?}", sent.body);
    let held = row(&rig, &key).await;
    // Two segments at the card's price, and what carriers take.
    assert_eq!([&held["held_usd"], &held["settled_usd"]], ["0.0266", "0.0266"], "{held}");
    assert_eq!(held["vendor_object_id"], sent.body["sid"]);
    assert_eq!(held["customer_scope"], json!("+15552223333"));

    rig.clock.advance(Duration::from_hours(1));
    let billed = eventually("the bill is in", || async {
        let row = rig.calls(&format!("key_id={}", key.id)).await.remove(0);
        (row["settled_usd"] != json!("0.0266")).then_some(row)
    })
    .await;
    let price = rig.sandbox.executed().twilio.data[0].price_micro_usd;
    assert_eq!(billed["settled_usd"], json!(format!("0.{price:06}").trim_end_matches('0')));
    assert_eq!(spent(&rig, &key).await, billed["settled_usd"].as_str().unwrap());
    assert!(billed["note"].as_str().unwrap().starts_with("billed at"), "{billed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bills_survive_a_restart() {
    let mut rig = Rig::start(slow_bills()).await;
    let key = key(&rig, json!({})).await;
    send(&rig, &key, "+15552223333", "hello").await;
    spent(&rig, &key).await;
    rig.stop_proxy().await;
    rig.clock.advance(Duration::from_hours(1));
    rig.start_proxy().await;
    eventually("the bill is in", || async {
        let row = rig.calls(&format!("key_id={}", key.id)).await.remove(0);
        row["note"].as_str().is_some_and(|note| note.starts_with("billed")).then_some(())
    })
    .await;
    assert_eq!(spent(&rig, &key).await, "0.0083");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cap_holds_before_the_bill_is_known() {
    let rig = Rig::start(slow_bills()).await;
    let key = key(&rig, json!({ "total_usd_cap": "0.03" })).await;
    assert_eq!(send(&rig, &key, "+15552223333", "one").await.status, 201);
    assert_eq!(send(&rig, &key, "+15552223333", "two").await.status, 201);
    spent(&rig, &key).await;
    let refused = send(&rig, &key, "+15552223333", "three").await;
    assert_eq!((refused.status, refused.code()), (429, "cap_exhausted"));
    assert_eq!(refused.header("x-keybrake-cap-hit"), Some("true"));
    assert_eq!(rig.sandbox.executed().twilio.messages, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_in_doubt_is_never_sent_again_and_is_found_by_recipient_and_text() {
    let rig = Rig::start(Settings::default()).await;
    let key = key(&rig, json!({})).await;
    rig.sandbox.set_faults(Faults { answer_lost: 1_000_000, ..Faults::default() }).unwrap();
    let lost = send(&rig, &key, "+15552223333", "once only").await;
    assert_eq!((lost.status, lost.code()), (504, "outcome_unknown"));
    rig.sandbox.set_faults(Faults::default()).unwrap();
    let found = eventually("it is found", || async {
        rig.clock.advance(Duration::from_secs(5));
        let row = rig.calls(&format!("key_id={}", key.id)).await.remove(0);
        (row["state"] == json!("settled")).then_some(row)
    })
    .await;
    assert_eq!(found["vendor_object_id"], json!(rig.sandbox.executed().twilio.data[0].sid));
    assert_eq!(rig.sandbox.executed().twilio.messages, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_never_landed_is_released_and_one_of_twins_stays_in_doubt() {
    let rig = Rig::start(Settings::default()).await;
    let never = key(&rig, json!({})).await;
    rig.sandbox.set_faults(Faults { request_lost: 1_000_000, ..Faults::default() }).unwrap();
    assert_eq!(send(&rig, &never, "+15552223333", "gone").await.code(), "outcome_unknown");
    rig.sandbox.set_faults(Faults { answer_lost: 1_000_000, ..Faults::default() }).unwrap();
    let twins = key(&rig, json!({ "agent_run_label": "twins" })).await;
    for _ in 0..2 {
        assert_eq!(send(&rig, &twins, "+15554445555", "twin").await.code(), "outcome_unknown");
    }
    rig.sandbox.set_faults(Faults::default()).unwrap();
    eventually("what never landed is released", || async {
        rig.clock.advance(Duration::from_secs(20));
        let row = rig.calls(&format!("key_id={}", never.id)).await.remove(0);
        (row["state"] == json!("released")).then_some(())
    })
    .await;
    rig.clock.advance(Duration::from_hours(25));
    let rows = eventually("an operator is asked", || async {
        rig.clock.advance(Duration::from_mins(10));
        let rows = rig.calls("agent_run_label=twins").await;
        rows.iter().all(|row| row["note"] != json!(null)).then_some(rows)
    })
    .await;
    for row in rows {
        assert_eq!(row["state"], json!("in_doubt"), "two are alike: {row}");
        assert!(row["note"].as_str().unwrap().contains("resolve it"), "{row}");
    }
}

/// What a call that never landed comes to, where `before` was sent to the same recipient.
async fn lost_after(rig: &Rig, before: &[&str]) -> Value {
    let others = key(rig, json!({ "agent_run_label": "others" })).await;
    for text in before {
        assert_eq!(send(rig, &others, "+15556667777", text).await.status, 201);
    }
    let never = key(rig, json!({})).await;
    rig.sandbox.set_faults(Faults { request_lost: 1_000_000, ..Faults::default() }).unwrap();
    assert_eq!(send(rig, &never, "+15556667777", "same").await.code(), "outcome_unknown");
    rig.sandbox.set_faults(Faults::default()).unwrap();
    eventually("it is released, or an operator is asked", || async {
        rig.clock.advance(Duration::from_mins(1));
        let row = rig.calls(&format!("key_id={}", never.id)).await.remove(0);
        (row["note"] != json!(null)).then_some(row)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_never_landed_is_not_taken_for_another_that_is_alike() {
    let rig = Rig::start(Settings::default()).await;
    let row = lost_after(&rig, &["same", "other", "same"]).await;
    assert_eq!(row["state"], json!("released"), "all that was found is known: {row}");
    assert_eq!(rig.sandbox.executed().twilio.messages, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_nobody_accounts_for_may_be_the_one_in_doubt() {
    let rig = Rig::start(Settings::default()).await;
    // The vendor may show a text in another form than it was sent in.
    let own = TwilioSettings::default();
    let url = format!("{}/2010-04-01/Accounts/{}/Messages.json", rig.vendor_url, own.account_sid);
    let past = rig
        .http
        .post(url)
        .basic_auth(&own.account_sid, Some(&own.auth_token))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("To=%2B15556667777&From={FROM}&Body=Trial+-+same"));
    assert_eq!(read(past).await.status, 201);
    let row = lost_after(&rig, &[]).await;
    assert_eq!(row["state"], json!("in_doubt"), "{row}");
    assert!(row["note"].as_str().unwrap().contains("resolve it"), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_read_whose_answer_was_lost_counts() {
    let rig = Rig::start(Settings::default()).await;
    let key = key(&rig, json!({})).await;
    rig.sandbox.set_faults(Faults { answer_lost: 1_000_000, ..Faults::default() }).unwrap();
    let url =
        format!("{}/twilio/v2/PhoneNumbers/+15552223333?Fields=line_type_intelligence", rig.url);
    let lost = read(rig.http.get(url).basic_auth(PLACEHOLDER, Some(&key.token))).await;
    assert_eq!((lost.status, lost.code()), (504, "outcome_unknown"));
    assert_eq!(spent(&rig, &key).await, "0.008");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_verifications_and_look_ups_have_their_prices() {
    let rig = Rig::start(Settings::default()).await;
    let key = key(&rig, json!({ "total_usd_cap": "100" })).await;
    let calls = format!("/2010-04-01/Accounts/{PLACEHOLDER}/Calls.json");
    let dial = |more: &str| format!("To=%2B15552223333&From={FROM}&Twiml=%3CResponse%2F%3E{more}");
    for (path, form, held) in [
        // 61 seconds are two minutes.
        (calls.as_str(), dial("&TimeLimit=61"), "0.06"),
        // Four hours are Twilio's own limit.
        (calls.as_str(), dial(""), "7.20"),
        (
            "/v2/Services/VA00000000000000000000000000000001/Verifications",
            "To=%2B15552223333&Channel=sms".to_owned(),
            "0.0633",
        ),
    ] {
        let answer = post(&rig, &key, path, &form).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        assert_eq!(row(&rig, &key).await["held_usd"], json!(held), "{path} {form}");
    }
    for (query, settled) in [("", "0.00"), ("?Fields=line_type_intelligence", "0.008")] {
        let url = format!("{}/twilio/v2/PhoneNumbers/%2B15552223333{query}", rig.url);
        let url = url.replace("%2B", "+");
        let looked = read(rig.http.get(url).basic_auth(PLACEHOLDER, Some(&key.token))).await;
        assert_eq!(looked.status, 200, "{:?}", looked.body);
        assert_eq!(row(&rig, &key).await["settled_usd"], json!(settled), "{query}");
    }
    let hostile = dial("&TimeLimit=1e9");
    assert_eq!(post(&rig, &key, &calls, &hostile).await.code(), "invalid_amount");
    assert_eq!(send(&rig, &key, "+18765550100", "x").await.status, 201);
    assert_eq!(row(&rig, &key).await["held_usd"], json!("0.305"), "Jamaica is not the US");
    let nowhere = send(&rig, &key, "+8835100000000", "x").await;
    assert_eq!(nowhere.code(), "unpriced_endpoint", "no card has a price for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_configured_account_is_spoken_for_and_its_token_is_never_read() {
    let rig = Rig::start(Settings::default()).await;
    let key = key(&rig, json!({})).await;
    let before = rig.vendor_requests();
    let other = "/2010-04-01/Accounts/ACffffffffffffffffffffffffffffffff/Messages.json";
    let refused = post(&rig, &key, other, "To=%2B15552223333&From=%2B1555&Body=x").await;
    assert_eq!(refused.code(), "endpoint_not_allowed");
    let own = TwilioSettings::default().account_sid;
    let own_account = format!("/2010-04-01/Accounts/{own}.json");
    for path in [
        "/2010-04-01/Accounts.json",
        "/2010-04-01/Accounts",
        "/2010-04-01/Accounts.csv",
        "/2008-08-01/Accounts",
        &own_account,
    ] {
        let url = format!("{}/twilio{path}", rig.url);
        let shown = read(rig.http.get(url).basic_auth(&own, Some(&key.token))).await;
        assert_eq!(shown.code(), "endpoint_not_allowed", "{path}");
    }
    assert_eq!(rig.vendor_requests(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_prices_replace_a_card() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keybrake.toml");
    std::fs::write(&path, "[vendor.twilio.cards.sms]\n\"+1\" = \"0.1\"\n").unwrap();
    let variables = [("KEYBRAKE_CONFIG", path.to_str().unwrap())];
    let rig = Rig::start_with(Settings::default(), &variables).await;
    let key = key(&rig, json!({})).await;
    assert_eq!(send(&rig, &key, "+15552223333", "x").await.status, 201);
    assert_eq!(row(&rig, &key).await["held_usd"], json!("0.105"));
    assert_eq!(send(&rig, &key, "+447700900000", "x").await.code(), "unpriced_endpoint");
}
