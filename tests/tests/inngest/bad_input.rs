//! What is not a request of Inngest's, or of a caller of the plain activities: a clear error, and
//! nothing is sent.

use keybrake_http_worker::auth::signature_of;
use keybrake_tests::rig::read;
use serde_json::json;

use crate::{AGENT, Bench, customers_of, worker_on};

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_none_are_refused_clearly() {
    let bench = Bench::start().await;
    let served = bench.served();
    let http = &bench.rig.http;
    let call = json!({"ctx": {"run_id": "01A"}, "event": {"data": {"budget_usd": 1}}, "steps": {}});
    for (query, body, status, told) in [
        ("fnId=keybrake-nobody&stepId=step", call.to_string(), 404, "no such function"),
        (&*format!("fnId={AGENT}"), "not json".to_owned(), 400, "not a call's"),
        (&*format!("fnId={AGENT}"), json!({"ctx": {"run_id": 7}}).to_string(), 400, "not a call's"),
        (&*format!("fnId={AGENT}&stepId=00"), call.to_string(), 500, "no such step"),
        (
            &*format!("fnId={AGENT}"),
            json!({"ctx": {"run_id": "01A"}, "event": {}}).to_string(),
            400,
            "budget_usd",
        ),
        (&*format!("fnId={AGENT}"), "x".repeat(7 * 1024 * 1024), 413, "over 6291456 bytes"),
    ] {
        let answer = read(http.post(format!("{served}?{query}")).body(body)).await;
        assert_eq!(answer.status, status, "{query} {:?}", answer.body);
        assert!(answer.body.to_string().contains(told), "{query} {:?}", answer.body);
    }
    assert!(bench.rig.calls("").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_more_steps_than_inngest_takes_ends_before_any_charge() {
    let bench = Bench::start().await;
    let customers: Vec<_> =
        (0..1_000).map(|n| json!({"id": format!("cus_{n}"), "amount_cents": 1})).collect();
    let event = json!({"name": "billing/subscription.process", "data": {"budget_usd": 1, "customers": customers}});
    let ended = bench.executor.run(&bench.served(), AGENT, event).await;
    let error = ended.result.unwrap_err();
    assert_eq!(error["name"], "InvalidInput");
    assert!(error["message"].as_str().unwrap().starts_with("customers: are 1000"), "{error}");
    assert!(bench.rig.calls("").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_activities_are_for_those_who_may_and_each_happens_once() {
    let bench = Bench::start().await;
    let port = keybrake_tests::process::free_port();
    let dev = ("INNGEST_DEV", bench.executor.url.as_str());
    let secrets =
        [("KEYBRAKE_WORKER_TOKEN", "a token"), ("KEYBRAKE_WORKER_SIGNING_SECRET", "a secret"), dev];
    let _worker = worker_on(port, &bench.rig.url, &secrets);
    let at = |name: &str| format!("http://127.0.0.1:{port}/activities/{name}");
    let http = &bench.rig.http;
    let customer = customers_of(&bench.rig, 1).await[0].clone();
    let ask = |name: &str, body: String| http.post(at(name)).bearer_auth("a token").body(body);

    let stranger = read(http.post(at("charge-one")).body("{}")).await;
    assert_eq!((stranger.status, stranger.text("/code")), (401, "unauthorized"));

    let request = json!({
        "vendor": "stripe", "daily_usd_cap": 1, "allowed_endpoints": ["POST /v1/payment_intents"], "expires_in": "1h",
        "run_id": "cron-2026-11-26",
    });
    let key = read(ask("issue-vault-key", request.to_string())).await;
    assert_eq!((key.status, &key.body["ok"]), (200, &json!(true)), "{:?}", key.body);
    let again = read(ask("issue-vault-key", request.to_string())).await;
    assert_eq!(again.body["key_id"], key.body["key_id"]);
    assert_eq!(key.text("/agent_run_label"), "worker/cron-2026-11-26");

    let charge = json!({"customer": customer, "key_id": key.body["key_id"], "run_id": "cron-2026-11-26", "item_index": 0});
    let (body, time) = (charge.to_string(), keybrake_http_worker::auth::wall_clock().to_string());
    let signature =
        hex::encode(signature_of(b"a secret", &[time.as_bytes(), b".", body.as_bytes()]));
    let signed = || {
        http.post(at("charge-one"))
            .header("x-keybrake-signature", format!("t={time},v1={signature}"))
    };
    let paid = read(signed().body(body.clone())).await;
    assert_eq!((paid.status, paid.text("/status")), (200, "succeeded"), "{:?}", paid.body);
    let replayed = read(signed().body(body)).await;
    assert_eq!(
        (replayed.status, replayed.text("/message").contains("used before")),
        (401, true),
        "{:?}",
        replayed.body
    );

    let mut second = charge.clone();
    second["item_index"] = json!(1);
    let capped = read(ask("charge-one", second.to_string())).await;
    assert_eq!(
        (capped.status, capped.text("/code"), &capped.body["ok"]),
        (200, "cap_exhausted", &json!(false))
    );
    let capped = read(ask("charge-one?failures=status", second.to_string())).await;
    assert_eq!((capped.status, capped.text("/error")), (429, "CapExhausted"));

    assert_eq!(bench.charged(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_activitys_input_is_said_by_its_field() {
    let bench = Bench::start().await;
    let activities = format!("http://127.0.0.1:{}/activities", bench.port);
    let (http, key) = (&bench.rig.http, "vk_0000000000001");
    let customer = json!({"id": "cus_1", "amount_cents": 100});
    for (name, input, told) in [
        (
            "charge-one",
            json!({"customer": customer, "key_id": key, "run_id": "r"}),
            "item_index: is missing",
        ),
        (
            "charge-one",
            json!({"customer": customer, "key_id": key, "item_index": 1}),
            "run_id: is missing",
        ),
        (
            "charge-one",
            json!({"customer": {"id": "cus_1"}, "key_id": "x", "run_id": "r"}),
            "customer: missing field `amount_cents`",
        ),
        ("issue-vault-key", json!({"vendor": "stripe"}), "run_id: is missing"),
        (
            "issue-vault-key",
            json!({"vendor": "stripe", "run_id": "r", "cap": 1}),
            "cap: unknown field",
        ),
        ("revoke-vault-key", json!([]), "input: is not an object"),
    ] {
        let refused = read(http.post(format!("{activities}/{name}")).body(input.to_string())).await;
        assert_eq!((refused.status, refused.text("/code")), (200, "invalid_input"), "{input}");
        assert!(refused.text("/message").starts_with(told), "{:?}", refused.body);
    }
    assert_eq!(read(http.post(format!("{activities}/charge-all")).body("{}")).await.status, 404);
    assert_eq!(read(http.post(format!("{activities}/charge-one")).body("{")).await.status, 400);
    assert!(bench.rig.calls("").await.is_empty());
}
