//! A batch of SQS messages.

use keybrake_tests::{lambda::Faults, step_functions::Cloud};
use serde_json::{Value, json};

async fn issue(cloud: &Cloud, dollars: u32) -> Value {
    let asked = json!({
        "vendor": "stripe", "daily_usd_cap": dollars, "allowed_endpoints": ["POST /v1/payment_intents"],
        "expires_in": "2h", "agent_run_label": format!("queue/{dollars}")
    });
    cloud.lambda.invoke("issue-vault-key", asked.to_string()).await.unwrap()
}

fn message(id: &str, queue: &str, body: &Value) -> Value {
    let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    json!({
        "messageId": id, "receiptHandle": "h", "body": body, "attributes": {}, "messageAttributes": {},
        "md5OfBody": "", "eventSource": "aws:sqs", "awsRegion": "us-east-1",
        "eventSourceARN": format!("arn:aws:sqs:us-east-1:123456789012:{queue}")
    })
}

/// The ids that return to the queue, sorted.
async fn returned(cloud: &Cloud, messages: &[Value]) -> Vec<String> {
    let event = json!({ "Records": messages }).to_string();
    let answer = cloud.lambda.invoke("charge-from-queue", event).await.unwrap();
    let failures = answer["batchItemFailures"].as_array().unwrap();
    let mut ids: Vec<_> =
        failures.iter().map(|one| one["itemIdentifier"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

fn charge(cloud: &Cloud, key: &Value) -> Value {
    json!({"customer": cloud.customer(100), "key_id": key["key_id"], "expires_at": key["expires_at"]})
}

#[tokio::test(flavor = "multi_thread")]
async fn cap_hits_and_what_no_retry_helps_do_not_return_to_the_queue() {
    let cloud = Cloud::start().await;
    let key = issue(&cloud, 3).await;
    let mut messages: Vec<_> =
        (0..5).map(|id| message(&format!("m{id}"), "charges", &charge(&cloud, &key))).collect();
    messages.push(message("unreadable", "charges", &json!("vault_key_secret {")));
    messages.push(message("incomplete", "charges", &json!({"customer": {"id": "cus_1"}})));

    assert_eq!(returned(&cloud, &messages).await, Vec::<String>::new());

    assert_eq!(cloud.charged().await, 3);
    assert_eq!(cloud.spent("queue/3").await, "3.00");
    let log = cloud.lambda.history("charge-from-queue").log;
    assert_eq!(log.matches("CapExhausted").count(), 2, "{log}");
    assert!(log.contains("\"message_id\":\"unreadable\"") && !log.contains("secret"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_worth_trying_again_returns_and_a_redelivery_charges_once() {
    let cloud = Cloud::start().await;
    let key = issue(&cloud, 50).await;
    let messages: Vec<_> =
        (0..6).map(|id| message(&format!("m{id}"), "charges", &charge(&cloud, &key))).collect();
    // The vendor loses each answer while the second half of the batch is at work.
    assert_eq!(returned(&cloud, &messages[..3]).await, Vec::<String>::new());
    cloud
        .keybrake
        .strike_once("answer_lost", async {
            let again = returned(&cloud, &messages).await;
            assert!(!again.is_empty() && again.iter().all(|id| id.as_str() >= "m3"), "{again:?}");
        })
        .await;

    // The whole batch comes again, as after a time-out of the function.
    assert_eq!(returned(&cloud, &messages).await, Vec::<String>::new());
    assert_eq!(cloud.charged().await, 6);
    assert_eq!(cloud.spent("queue/50").await, "6.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_function_is_killed_is_charged_once_when_it_comes_again() {
    let cloud = Cloud::start().await;
    let key = issue(&cloud, 50).await;
    let messages: Vec<_> =
        (0..4).map(|id| message(&format!("m{id}"), "charges", &charge(&cloud, &key))).collect();
    cloud.lambda.fail("charge-from-queue", Faults { killed: 1, ..Faults::default() });
    let event = json!({ "Records": messages }).to_string();
    let killed = cloud.lambda.invoke("charge-from-queue", event).await.unwrap_err();
    assert_eq!(killed["errorType"], "Runtime.ExitError");

    assert_eq!(returned(&cloud, &messages).await, Vec::<String>::new());
    assert_eq!((cloud.charged().await, cloud.spent("queue/50").await.as_str()), (4, "4.00"));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_fifo_queue_all_behind_a_message_that_returns_does_too() {
    let cloud = Cloud::start().await;
    let key = issue(&cloud, 50).await;
    let messages: Vec<_> = (0..4)
        .map(|id| message(&format!("m{id}"), "charges.fifo", &charge(&cloud, &key)))
        .collect();
    assert_eq!(returned(&cloud, &messages[..1]).await, Vec::<String>::new());
    cloud
        .keybrake
        .strike_once("answer_lost", async {
            assert_eq!(returned(&cloud, &messages).await, ["m1", "m2", "m3"]);
        })
        .await;
    assert_eq!(cloud.charged().await, 2, "what is behind was not begun");
    assert_eq!(returned(&cloud, &messages).await, Vec::<String>::new());
    assert_eq!(cloud.charged().await, 4);
}
