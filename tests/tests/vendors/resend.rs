//! Resend: a price for each recipient, and one mail for each idempotency key.

use std::time::Duration;

use keybrake::sandbox::{Faults, ResendSettings, Settings};
use keybrake_tests::rig::{Answer, Key, Rig, eventually, read};
use serde_json::{Value, json};

use crate::spent;

const EVERY: u32 = 1_000_000;

async fn key(rig: &Rig, more: Value) -> Key {
    let mut body = json!({
        "vendor": "resend",
        "total_usd_cap": "1",
        "allowed_endpoints": ["POST /*", "PATCH /*", "DELETE /*", "GET /*"],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rig.issue(body).await
}

fn mail(to: &Value) -> Value {
    json!({ "from": "billing@example.com", "to": to, "subject": "Due", "text": "It is due." })
}

async fn ask(
    rig: &Rig,
    key: &Key,
    method: &str,
    path: &str,
    idempotency_key: Option<&str>,
    body: &Value,
) -> Answer {
    let method = method.parse().unwrap();
    let mut request = rig
        .http
        .request(method, format!("{}/resend{path}", rig.url))
        .bearer_auth(&key.token)
        .json(body);
    if let Some(idempotency_key) = idempotency_key {
        request = request.header("idempotency-key", idempotency_key);
    }
    read(request).await
}

async fn send(rig: &Rig, key: &Key, idempotency_key: &str, body: &Value) -> Answer {
    ask(rig, key, "POST", "/emails", Some(idempotency_key), body).await
}

async fn row(rig: &Rig, key: &Key) -> Value {
    spent(rig, key).await;
    rig.calls(&format!("key_id={}", key.id)).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_recipient_is_paid_for_wherever_it_stands() {
    let rig = Rig::start(Settings::default()).await;
    let key = key(&rig, json!({})).await;
    let single = |to: Value| mail(&to);
    let with = |more: Value| {
        let mut mail = mail(&json!(["ann@example.org"]));
        mail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        mail
    };
    let full: Vec<Value> = (0..100).map(|n| mail(&json!(format!("{n}@example.org")))).collect();
    for (path, body, recipients, price) in [
        ("/emails", single(json!("ann@example.org")), 1, "0.0009"),
        ("/emails", single(json!(["ann@example.org", "bob@example.org"])), 2, "0.0018"),
        // Whoever writes two into one text pays for two.
        ("/emails", single(json!("ann@example.org, Bob <bob@example.org>")), 2, "0.0018"),
        (
            "/emails",
            with(json!({"cc": "cy@example.org", "bcc": ["d@example.org", "e@example.org"]})),
            4,
            "0.0036",
        ),
        ("/emails", with(json!({"reply_to": ["r@example.com", "s@example.com"]})), 1, "0.0009"),
        (
            "/emails/batch",
            json!([mail(&json!("a@example.org")), with(json!({"cc": ["c@example.org"]}))]),
            3,
            "0.0027",
        ),
        ("/emails/batch", json!(full), 100, "0.09"),
    ] {
        let before = rig.sandbox.executed().resend.recipients;
        let sent = ask(&rig, &key, "POST", path, None, &body).await;
        assert_eq!(sent.status, 200, "{:?}", sent.body);
        assert_eq!(rig.sandbox.executed().resend.recipients - before, recipients);
        let row = row(&rig, &key).await;
        assert!(row["customer_scope"].is_string() == (path == "/emails"), "{row}");
        assert_eq!([&row["held_usd"], &row["settled_usd"]], [price, price], "{row}");
        let first = rig.sandbox.executed().resend.data.len()
            - sent.body["data"].as_array().map_or(1, Vec::len);
        assert_eq!(row["vendor_object_id"], json!(rig.sandbox.executed().resend.data[first].id));
    }
    // In micro-dollars: what was billed is what was booked.
    let all = rig.sandbox.executed().resend.recipients * 900;
    assert_eq!(spent(&rig, &key).await, format!("0.{all:06}").trim_end_matches('0'));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cap_ends_a_run_of_mails_before_the_first_that_does_not_fit() {
    let rig = Rig::start(Settings::default()).await;
    let key = key(&rig, json!({ "total_usd_cap": "0.003" })).await;
    let three = json!(["a@example.org", "b@example.org", "c@example.org"]);
    assert_eq!(send(&rig, &key, "first", &mail(&three)).await.status, 200);
    spent(&rig, &key).await;
    let before = rig.vendor_requests();
    let refused = send(&rig, &key, "second", &mail(&json!("d@example.org"))).await;
    assert_eq!((refused.status, refused.code()), (429, "cap_exhausted"));
    assert_eq!(
        (refused.text("/name"), &refused.body["statusCode"]),
        ("cap_exhausted", &json!(429))
    );
    assert_eq!(refused.header("x-keybrake-cap-hit"), Some("true"));
    // What is there already can still be read, and told again.
    assert_eq!(send(&rig, &key, "first", &mail(&three)).await.status, 200);
    assert_eq!(rig.vendor_requests(), before);
    assert_eq!(ask(&rig, &key, "GET", "/emails", None, &json!({})).await.status, 200);
    assert_eq!(rig.sandbox.executed().resend.mails, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_idempotency_key_is_one_mail_and_its_stored_answer() {
    let rig = Rig::start(Settings::default()).await;
    let key = key(&rig, json!({})).await;
    let body = mail(&json!("ann@example.org"));
    let first = send(&rig, &key, "order-1", &body).await;
    let again = send(&rig, &key, "order-1", &body).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(again.header("x-keybrake-replayed"), Some("true"));
    let before = rig.vendor_requests();
    let other = send(&rig, &key, "order-1", &mail(&json!("bob@example.org"))).await;
    assert_eq!((other.status, other.code()), (400, "idempotency_key_reused"));
    let batch = ask(&rig, &key, "POST", "/emails/batch", Some("order-1"), &json!([body])).await;
    assert_eq!((batch.status, batch.code()), (400, "idempotency_key_reused"));
    assert_eq!((rig.vendor_requests(), rig.sandbox.executed().resend.mails), (before, 1));
    assert_eq!(spent(&rig, &key).await, "0.0009");
    let keys: Vec<_> =
        rig.sandbox.executed().resend.data.into_iter().map(|one| one.idempotency_key).collect();
    assert_eq!(keys, [Some("order-1".to_owned())], "the vendor sees the caller's key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_over_a_lost_answer_is_one_mail_and_settles() {
    // No look-up is faster than the retry.
    let resend = ResendSettings { list_delay: Duration::from_hours(1), ..Default::default() };
    let rig = Rig::start(Settings { resend, ..Settings::default() }).await;
    for (path, body, price) in [
        ("/emails", mail(&json!("ann@example.org")), "0.0009"),
        (
            "/emails/batch",
            json!([mail(&json!("a@example.org")), mail(&json!("b@example.org"))]),
            "0.0018",
        ),
    ] {
        for fault in ["answer_lost", "request_lost", "error_after_charge", "server_error_before"] {
            let key = key(&rig, json!({ "agent_run_label": format!("{path}/{fault}") })).await;
            let name = format!("{path} {fault}");
            let made = rig.sandbox.executed().resend.mails;
            rig.sandbox
                .set_faults(serde_json::from_value(json!({ fault: EVERY })).unwrap())
                .unwrap();
            let lost = ask(&rig, &key, "POST", path, Some(&name), &body).await;
            assert!(lost.status >= 500, "{name}: {:?}", lost.body);
            rig.sandbox.set_faults(Faults::default()).unwrap();
            assert_eq!(row(&rig, &key).await["state"], json!("in_doubt"), "{name}");
            assert_eq!(spent(&rig, &key).await, price, "what is in doubt counts as spent");
            let retried = ask(&rig, &key, "POST", path, Some(&name), &body).await;
            assert_eq!(retried.status, 200, "{name}: {:?}", retried.body);
            assert_eq!(spent(&rig, &key).await, price);
            let count = if path == "/emails" { 1 } else { 2 };
            assert_eq!(rig.sandbox.executed().resend.mails - made, count, "{name}");
            let settled = rig.calls(&format!("key_id={}&state=settled", key.id)).await;
            assert_eq!(settled.len(), 1, "{name}: {settled:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vendors_conflict_leaves_a_mail_in_doubt() {
    let rig = Rig::start(Settings::default()).await;
    let key = key(&rig, json!({})).await;
    // Somebody else's mail has the key at the vendor already.
    let foreign = rig
        .http
        .post(format!("{}/emails", rig.vendor_url))
        .bearer_auth(ResendSettings::default().api_key)
        .header("idempotency-key", "taken")
        .json(&mail(&json!("bob@example.org")));
    assert_eq!(read(foreign).await.status, 200);
    let refused = send(&rig, &key, "taken", &mail(&json!("ann@example.org"))).await;
    assert_eq!((refused.status, refused.code()), (504, "outcome_unknown"));
    let row = row(&rig, &key).await;
    assert_eq!((&row["state"], &row["vendor_status"]), (&json!("in_doubt"), &json!(409)), "{row}");
    assert_eq!(spent(&rig, &key).await, "0.0009");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_mails_cost_nothing() {
    let rig = Rig::start(Settings::default()).await;
    let key = key(&rig, json!({})).await;
    let unverified =
        json!({ "from": "a@other.example", "to": "b@example.org", "subject": "x", "text": "y" });
    let limited = Faults { rate_limited: EVERY, ..Faults::default() };
    for (faults, body, status, name) in [
        (Faults::default(), mail(&json!([])), 422, "missing_required_field"),
        (Faults::default(), mail(&json!("nobody")), 400, "validation_error"),
        (limited, mail(&json!("ann@example.org")), 429, "rate_limit_exceeded"),
    ] {
        rig.sandbox.set_faults(faults).unwrap();
        let refused = send(&rig, &key, name, &body).await;
        assert_eq!((refused.status, refused.text("/name")), (status, name), "{:?}", refused.body);
        assert_eq!(refused.header("x-keybrake-cap-hit"), None);
        assert_eq!(row(&rig, &key).await["state"], json!("released"), "{name}");
    }
    rig.sandbox.set_faults(Faults::default()).unwrap();
    let forbidden = send(&rig, &key, "unverified", &unverified).await;
    assert_eq!((forbidden.status, forbidden.text("/name")), (403, "validation_error"));
    rig.sandbox
        .set_resend(ResendSettings { api_key: "re_rolled".to_owned(), ..rig.sandbox.resend() });
    let rolled = send(&rig, &key, "rolled", &mail(&json!("ann@example.org"))).await;
    assert_eq!((rolled.status, rolled.code()), (502, "vendor_refused_secret"));
    assert_eq!(spent(&rig, &key).await, "0.00");
    assert_eq!(rig.sandbox.executed().resend.mails, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_in_doubt_that_nobody_retries_is_found_by_whom_it_goes_to_and_what_it_says() {
    let rig = Rig::start(Settings::default()).await;
    let key = key(&rig, json!({})).await;
    // Each is in doubt for itself, however its recipient is written.
    for (name, to) in
        [("text", json!("ann@example.org")), ("list", json!(["bob@example.org", "cy@example.org"]))]
    {
        rig.sandbox.set_faults(Faults { answer_lost: EVERY, ..Faults::default() }).unwrap();
        let lost = send(&rig, &key, name, &mail(&to)).await;
        assert_eq!((lost.status, lost.code()), (504, "outcome_unknown"));
        rig.sandbox.set_faults(Faults::default()).unwrap();
        let found = eventually("it is found", || async {
            rig.clock.advance(Duration::from_secs(5));
            let row = row(&rig, &key).await;
            (row["state"] == json!("settled")).then_some(row)
        })
        .await;
        let made = rig.sandbox.executed().resend.data.pop().unwrap().id;
        assert_eq!(found["vendor_object_id"], json!(made));
        let told = send(&rig, &key, name, &mail(&to)).await;
        assert_eq!((told.status, told.text("/id")), (200, made.as_str()), "{:?}", told.body);
    }
    assert_eq!(rig.sandbox.requests().by_endpoint["POST /emails"], 2);
    assert_eq!(spent(&rig, &key).await, "0.0027");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_not_listed_after_a_day_is_released() {
    let rig = Rig::start(Settings::default()).await;
    let key = key(&rig, json!({})).await;
    rig.sandbox.set_faults(Faults { request_lost: EVERY, ..Faults::default() }).unwrap();
    send(&rig, &key, "gone", &mail(&json!("ann@example.org"))).await;
    rig.sandbox.set_faults(Faults::default()).unwrap();
    let looked = || rig.sandbox.requests().by_endpoint.get("GET /emails").copied().unwrap_or(0);
    rig.clock.advance(Duration::from_hours(20));
    // What the first look-up says is recorded before the second one.
    let seen = looked();
    eventually("it is looked up twice", || async {
        rig.clock.advance(Duration::from_secs(5));
        (looked() >= seen + 2).then_some(())
    })
    .await;
    assert_eq!(row(&rig, &key).await["state"], json!("in_doubt"));
    rig.clock.advance(Duration::from_hours(5));
    eventually("it is released", || async {
        (row(&rig, &key).await["state"] == json!("released")).then_some(())
    })
    .await;
    assert_eq!(spent(&rig, &key).await, "0.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_in_doubt_that_are_alike_wait_for_an_operator() {
    let rig = Rig::start(Settings::default()).await;
    let (early, late) = (key(&rig, json!({})).await, key(&rig, json!({})).await);
    rig.sandbox.set_faults(Faults { answer_lost: EVERY, ..Faults::default() }).unwrap();
    for (key, to) in [(&early, "ann@example.org"), (&late, "bob@example.org")] {
        for n in 0..2 {
            let name = format!("{to} {n}");
            assert_eq!(send(&rig, key, &name, &mail(&json!(to))).await.code(), "outcome_unknown");
        }
        rig.clock.advance(Duration::from_mins(90));
    }
    rig.sandbox.set_faults(Faults::default()).unwrap();
    rig.clock.advance(Duration::from_mins(22 * 60 + 30));
    let noted = eventually("an operator is asked", || async {
        let row = row(&rig, &early).await;
        row["note"].is_string().then_some(row)
    })
    .await;
    assert_eq!(noted["state"], json!("in_doubt"), "time alone is no evidence");
    assert!(noted["note"].as_str().unwrap().contains("resolve it"), "{noted}");
    assert_eq!(row(&rig, &late).await["note"], Value::Null, "its time is not over");
    assert_eq!(spent(&rig, &early).await, "0.0018");
    assert_eq!(rig.sandbox.requests().by_endpoint["POST /emails"], 4);

    let path = format!("/audit/calls/{}/resolve", noted["call_id"].as_str().unwrap());
    let made = rig.sandbox.executed().resend.data[1].id.clone();
    let said = json!({ "executed": true, "vendor_object_id": made, "who": "me", "why": "it is in the dashboard" });
    let resolved = read(rig.admin("POST", &path).json(&said)).await;
    assert_eq!(resolved.status, 200, "{:?}", resolved.body);
    assert_eq!(row(&rig, &early).await["state"], json!("settled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_domains_and_broadcasts_are_out_of_reach() {
    let rig = Rig::start(Settings::default()).await;
    let key = key(&rig, json!({})).await;
    for (method, path, code) in [
        ("POST", "/api-keys", "endpoint_not_allowed"),
        ("GET", "/api-keys", "endpoint_not_allowed"),
        ("DELETE", "/api-keys/1", "endpoint_not_allowed"),
        ("POST", "/domains", "endpoint_not_allowed"),
        ("PATCH", "/domains/1", "endpoint_not_allowed"),
        ("POST", "/webhooks", "endpoint_not_allowed"),
        ("GET", "/webhooks/1", "endpoint_not_allowed"),
        ("POST", "/broadcasts/1/send", "unpriced_endpoint"),
        ("POST", "/nothing/known", "unpriced_endpoint"),
    ] {
        let body = if method == "GET" { json!({}) } else { json!({ "name": "x" }) };
        let refused = ask(&rig, &key, method, path, None, &body).await;
        assert_eq!((refused.status, refused.code()), (403, code), "{method} {path}");
        assert_eq!(refused.text("/name"), code);
    }
    assert_eq!(rig.vendor_requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_mail_is_paid_once_and_moved_or_called_off_for_nothing() {
    let rig = Rig::start(Settings::default()).await;
    let key = key(&rig, json!({})).await;
    let now = rig.clock.now();
    let at = |hours| now.after(Duration::from_hours(hours)).to_string();
    let mut body = mail(&json!("ann@example.org"));
    body["scheduled_at"] = json!(at(1));
    let made = send(&rig, &key, "later", &body).await;
    let path = format!("/emails/{}", made.text("/id"));
    let moved = ask(&rig, &key, "PATCH", &path, None, &json!({ "scheduled_at": at(2) })).await;
    assert_eq!(moved.status, 200, "{:?}", moved.body);
    let cancelled = ask(&rig, &key, "POST", &format!("{path}/cancel"), None, &json!({})).await;
    assert_eq!(cancelled.status, 200, "{:?}", cancelled.body);
    let shown = ask(&rig, &key, "GET", &path, None, &json!({})).await;
    assert_eq!(shown.text("/last_event"), "canceled");
    assert_eq!(spent(&rig, &key).await, "0.0009");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_may_carry_an_empty_object_and_nothing_else() {
    let rig = Rig::start(Settings::default()).await;
    let key = key(&rig, json!({})).await;
    for (body, status, code) in [
        (Value::Null, 400, "invalid_request"),
        (json!({ "limit": 1 }), 400, "invalid_request"),
        (json!({}), 200, ""),
    ] {
        let read = ask(&rig, &key, "GET", "/emails?limit=1", None, &body).await;
        assert_eq!((read.status, read.code()), (status, code), "{body}");
    }
    let seen = rig.sandbox.requests().last;
    assert_eq!((seen.len(), seen[0].body.as_str()), (1, ""), "it is not passed on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permissive_batch_counts_for_all_that_it_asked_for() {
    let rig = Rig::start(Settings::default()).await;
    let key = key(&rig, json!({})).await;
    let batch = json!([mail(&json!("ann@example.org")), mail(&json!("nobody"))]);
    let request = rig
        .http
        .post(format!("{}/resend/emails/batch", rig.url))
        .bearer_auth(&key.token)
        .header("x-batch-validation", "permissive")
        .json(&batch);
    let made = read(request).await;
    assert_eq!(
        (made.status, &made.body["errors"][0]["index"]),
        (200, &json!(1)),
        "{:?}",
        made.body
    );
    assert_eq!(
        (rig.sandbox.executed().resend.mails, spent(&rig, &key).await.as_str()),
        (1, "0.0018")
    );
}
