use serde_json::json;

use super::*;

#[tokio::test]
async fn held_answers_are_executed_and_come_with_the_release() {
    let vendor = start().await;
    vendor.post("/sandbox/hold", r#"{"answers":true}"#).await;
    let header = format!("Authorization: Bearer sk_test_sandbox\r\n{FORM}");
    let mut waiting = vendor.open("POST", INTENTS, &header, PAY).await;
    let dying = vendor.open("POST", INTENTS, &header, PAY).await;
    until("both are held", || vendor.sandbox.held() == 2).await;
    assert_eq!(vendor.get("/sandbox/held").await.json(), json!({"held": 2}));
    assert_eq!(vendor.total(), 2198);

    drop(dying);
    until("one hung up", || vendor.sandbox.held() == 1).await;
    vendor.post("/sandbox/hold", r#"{"answers":false}"#).await;
    let mut bytes = Vec::new();
    waiting.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(parse(&bytes).status, 200);
    assert_eq!(vendor.sandbox.held(), 0);
}

#[tokio::test]
async fn executed_lists_each_execution_with_its_money() {
    let vendor = start().await;
    let intent = vendor.post_as("k", INTENTS, &format!("{PAY}&metadata[a]=1")).await;
    let answer = vendor.get("/sandbox/executed").await.json();
    assert_eq!(
        answer,
        json!({
            "data": [{
                "endpoint": "POST /v1/payment_intents", "object_id": intent.json()["id"],
                "idempotency_key": "k", "amount": 1099, "currency": "usd", "status": "succeeded",
                "metadata": {"a": "1"}, "times_executed": 1, "at": intent.json()["created"],
            }],
            "total_minor": {"usd": 1099}, "high_water_minor": {"usd": 1099},
            "duplicate_keys": [],
            "twilio": {
                "data": [], "messages": 0, "segments": 0, "calls": 0, "verifications": 0,
                "lookups": 0, "price_micro_usd": 0,
            },
            "resend": {"data": [], "mails": 0, "recipients": 0},
        })
    );
}

#[tokio::test]
async fn requests_show_what_arrived_without_the_credential() {
    let vendor = start().await;
    vendor.post_as("k", INTENTS, PAY).await;
    let answer = vendor.get("/sandbox/requests").await.json();
    assert_eq!(answer["received"], 1);
    assert_eq!(answer["by_endpoint"], json!({"POST /v1/payment_intents": 1}));
    let last = &answer["last"][0];
    assert_eq!(last["body"], PAY);
    assert_eq!(last["headers"]["authorization"], "[redacted]");
    assert_eq!(last["headers"]["idempotency-key"], "k");
    for _ in 0..60 {
        vendor.get("/v1/balance").await;
    }
    assert_eq!(vendor.sandbox.requests().last.len(), 50);
}

#[tokio::test]
async fn unknown_fields_in_orders_are_refused() {
    let vendor = start().await;
    for (path, body) in [
        ("faults", r#"{"request_lots":1}"#),
        ("faults", r#"{"request_lost":600000,"answer_lost":600000}"#),
        ("advance", r#"{"seconds":1,"ms":1}"#),
        ("advance", "{}"),
        ("latency", r#"{"ms":-1}"#),
        ("secret", r#"{"key":"x"}"#),
        ("hold", "true"),
        ("twilio", r#"{"segment_prize":1}"#),
        ("twilio", r#"{"price_delay_ms":-1}"#),
    ] {
        let answer = vendor.post(&format!("/sandbox/{path}"), body).await;
        assert_eq!(answer.status, 400, "{path} {body}");
    }
}

#[tokio::test]
async fn orders_take_effect() {
    let vendor = start().await;
    let order = async |name: &str, body: &str| {
        assert_eq!(vendor.post(&format!("/sandbox/{name}"), body).await.status, 200, "{name}");
    };
    let before = vendor.sandbox.now();
    order("advance", r#"{"seconds":3600}"#).await;
    assert!(vendor.sandbox.now().since(before) >= Duration::from_hours(1));
    order("faults", r#"{"rate_limited":1000000}"#).await;
    assert_eq!(vendor.post(INTENTS, PAY).await.status, 429);
    order("faults", "{}").await;
    order("latency", r#"{"ms":1}"#).await;
    assert_eq!(vendor.post(INTENTS, PAY).await.status, 200);
    order("secret", r#"{"secret":"sk_test_new"}"#).await;
    assert_eq!(vendor.post(INTENTS, PAY).await.status, 401);
    order("reset", "").await;
    assert_eq!(vendor.sandbox.requests().received, 0);
    assert_eq!(vendor.post(INTENTS, PAY).await.status, 200);
    assert_eq!(vendor.total(), 1099);
}

#[tokio::test]
async fn many_connections_are_served_at_once() {
    let vendor = start().await;
    vendor.sandbox.hold(true);
    let header = format!("Authorization: Bearer sk_test_sandbox\r\n{FORM}");
    let mut open = Vec::new();
    for _ in 0..400 {
        open.push(vendor.open("POST", INTENTS, &header, PAY).await);
    }
    until("all are held", || vendor.sandbox.held() == 400).await;
    vendor.sandbox.hold(false);
    for mut stream in open {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(parse(&bytes).status, 200);
    }
    assert_eq!(vendor.total(), 400 * 1099);
}
