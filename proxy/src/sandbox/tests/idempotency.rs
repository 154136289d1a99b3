use super::*;

#[tokio::test]
async fn a_key_replays_the_first_answer_and_executes_once() {
    let vendor = start().await;
    let first = vendor.post_as("k", INTENTS, PAY).await;
    let reordered = "confirm=true&currency=usd&payment_method=pm%5Fcard_visa&amount=1099";
    let second = vendor.post_as("k", INTENTS, reordered).await;

    assert_eq!(first.bytes, second.bytes);
    assert_eq!(first.header("original-request"), first.header("request-id"));
    assert_eq!(second.header("original-request"), first.header("request-id"));
    assert_ne!(second.header("request-id"), first.header("request-id"));
    assert_eq!(first.header("idempotent-replayed"), "");
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(second.header("idempotency-key"), "k");
    assert_eq!(vendor.total(), 1099);
    assert_eq!(vendor.sandbox.requests().replayed, 1);
}

#[tokio::test]
async fn a_success_carries_stripes_headers() {
    let answer = start().await.post_as("k", INTENTS, PAY).await;
    assert!(answer.header("request-id").starts_with("req_"));
    assert_eq!(answer.header("idempotency-key"), "k");
    assert_eq!(answer.header("stripe-version"), "2026-10-28.endive");
    assert_eq!(answer.header("stripe-should-retry"), "false");
}

#[tokio::test]
async fn a_key_refuses_other_parameters_and_other_endpoints() {
    let vendor = start().await;
    vendor.post_as("k", INTENTS, PAY).await;
    let parameters = vendor.post_as("k", INTENTS, "amount=1100&currency=usd").await;
    let endpoint = vendor.post_as("k", "/v1/charges", PAY).await;

    for (answer, words) in [(parameters, "same parameters"), (endpoint, "same endpoint")] {
        assert_eq!(answer.status, 400);
        assert_eq!(answer.error("type"), "idempotency_error");
        assert!(answer.error("message").as_str().unwrap().contains(words));
    }
    assert_eq!(vendor.total(), 1099);
}

#[tokio::test]
async fn a_key_in_use_conflicts_until_its_call_ends() {
    let vendor =
        start_with(Settings { latency: Duration::from_hours(1), ..Settings::default() }).await;
    let header = format!("Authorization: Bearer sk_test_sandbox\r\n{FORM}Idempotency-Key: k\r\n");
    let mut running = vendor.open("POST", INTENTS, &header, PAY).await;
    until("the call arrives", || vendor.sandbox.requests().received == 1).await;
    let conflict = vendor.post_as("k", INTENTS, PAY).await;
    vendor.sandbox.set_latency(Duration::ZERO);
    let mut bytes = Vec::new();
    running.read_to_end(&mut bytes).await.unwrap();

    assert_eq!(conflict.status, 409);
    assert_eq!(conflict.error("code"), "idempotency_key_in_use");
    assert_eq!(parse(&bytes).status, 200);
    assert_eq!(vendor.post_as("k", INTENTS, PAY).await.header("idempotent-replayed"), "true");
}

#[tokio::test]
async fn a_call_ends_although_its_client_hung_up() {
    let vendor =
        start_with(Settings { latency: Duration::from_hours(1), ..Settings::default() }).await;
    let header = format!("Authorization: Bearer sk_test_sandbox\r\n{FORM}");
    let stream = vendor.open("POST", INTENTS, &header, PAY).await;
    until("the call arrives", || vendor.sandbox.requests().received == 1).await;
    drop(stream);
    // A later request over a later connection: the first one's end has been seen by then.
    vendor.send_raw("POST", INTENTS, "", "").await.unwrap();
    assert_eq!(vendor.total(), 0);
    vendor.sandbox.set_latency(Duration::ZERO);

    until("the call is executed", || vendor.total() == 1099).await;
}

#[tokio::test]
async fn a_key_executes_again_after_its_window() {
    let vendor = start().await;
    vendor.post_as("k", INTENTS, PAY).await;
    vendor.sandbox.advance(Duration::from_mins(24 * 60 - 1));
    vendor.post_as("k", INTENTS, PAY).await;
    assert_eq!(vendor.total(), 1099);

    vendor.sandbox.advance(Duration::from_mins(1));
    vendor.post_as("k", INTENTS, PAY).await;

    let executed = vendor.sandbox.executed();
    assert_eq!(vendor.total(), 2198);
    assert_eq!(executed.duplicate_keys, ["k"]);
    assert_eq!(executed.data[0].times_executed, 2);
}

#[tokio::test]
async fn a_key_is_free_again_after_a_validation_failure() {
    let vendor = start().await;
    let wrong = vendor.post_as("k", INTENTS, "amount=x&currency=usd").await;
    let right = vendor.post_as("k", INTENTS, PAY).await;
    assert_eq!((wrong.status, right.status), (400, 200));
    assert_eq!(right.header("idempotent-replayed"), "");
}

#[tokio::test]
async fn a_decline_is_replayed() {
    let vendor = start().await;
    let body = "amount=500&currency=usd&source=tok_chargeDeclined";
    let first = vendor.post_as("k", "/v1/charges", body).await;
    let second = vendor.post_as("k", "/v1/charges", body).await;
    assert_eq!(first.status, 402);
    assert_eq!(first.bytes, second.bytes);
    assert_eq!(second.header("idempotent-replayed"), "true");
}

#[tokio::test]
async fn a_key_has_at_most_255_characters() {
    let vendor = start().await;
    let longest = "k".repeat(255);
    assert_eq!(vendor.post_as(&longest, INTENTS, PAY).await.status, 200);
    assert_eq!(vendor.post_as(&format!("{longest}k"), INTENTS, PAY).await.status, 400);
}

#[tokio::test]
async fn a_refused_credential_takes_no_key() {
    let vendor = start().await;
    vendor.sandbox.set_secret("sk_test_other".to_owned());
    assert_eq!(vendor.post_as("k", INTENTS, PAY).await.status, 401);
    vendor.sandbox.set_secret("sk_test_sandbox".to_owned());
    assert_eq!(vendor.post_as("k", INTENTS, PAY).await.status, 200);
}
