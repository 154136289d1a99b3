//! Under which name each failure comes out of the real binaries, and that no secret comes with it.

use keybrake_tests::{API_KEY, lambda::Code, process, step_functions::Cloud};
use serde_json::{Value, json};

const RUN: &str = "arn:aws:states:us-east-1:123456789012:execution:billing:run-1";

async fn issue(cloud: &Cloud, run: &str, more: Value) -> Value {
    let mut asked = json!({
        "vendor": "stripe", "daily_usd_cap": 5, "allowed_endpoints": ["POST /v1/payment_intents"],
        "expires_in": "2h", "agent_run_label": run, "return_token": true
    });
    asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    asked.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    cloud.lambda.invoke("issue-vault-key", asked.to_string()).await.unwrap()
}

fn charge(cloud: &Cloud, key: &Value, item: &str, cents: u64) -> Value {
    json!({
        "customer": cloud.customer(cents), "item_index": item, "execution_id": RUN,
        "vault_key": key["vault_key"]
    })
}

async fn error(cloud: &Cloud, function: &str, input: &str) -> (String, String) {
    let error = cloud.lambda.invoke(function, input.to_owned()).await.unwrap_err();
    let text = |name: &str| error[name].as_str().unwrap().to_owned();
    (text("errorType"), text("errorMessage"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_has_its_name_says_what_happened_and_holds_no_secret() {
    let cloud = Cloud::start().await;
    let key = issue(&cloud, RUN, json!({})).await;
    let short = issue(&cloud, "short", json!({"expires_in": null, "expires_in_seconds": 1})).await;
    let other = issue(&cloud, "other", json!({"allowed_endpoints": ["GET /v1/balance"]})).await;
    let revoked = issue(&cloud, "revoked", json!({})).await;
    let stop = json!({"key_id": revoked["key_id"]}).to_string();
    cloud.lambda.invoke("revoke-vault-key", stop).await.unwrap();
    keybrake_tests::rig::eventually("the short key expires", || async {
        (cloud.keys("short").await[0]["state"] == "expired").then_some(())
    })
    .await;
    let mut declined = charge(&cloud, &key, "declined", 100);
    declined["customer"]["payment_method"] = json!("pm_card_chargeDeclined");

    for (input, name, told) in [
        (charge(&cloud, &key, "large", 600), "CapExhausted", "cap_exhausted"),
        (charge(&cloud, &short, "late", 100), "KeyExpired", "key_expired"),
        (charge(&cloud, &revoked, "stopped", 100), "KeyRevoked", "key_revoked"),
        (charge(&cloud, &other, "other", 100), "CallRefused", "endpoint_not_allowed"),
        (declined, "VendorDeclined", "generic_decline"),
    ] {
        let (said, message) = error(&cloud, "charge-one", &input.to_string()).await;
        assert_eq!(said, name, "{message}");
        assert!(message.contains(told) && message.contains("audit row call_"), "{message}");
        assert!(!message.contains("vault_key_"), "{message}");
    }
    assert_eq!(cloud.charged().await, 1, "the decline alone reached the vendor");
    let log = cloud.lambda.history("charge-one").log;
    assert!(log.contains("\"error\":\"CapExhausted\"") && log.contains("call_"), "{log}");
    assert!(!log.contains("vault_key_") && !log.contains(API_KEY), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_cant_be_read_is_named_so_by_every_function() {
    let cloud = Cloud::start().await;
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let huge = r#"{"key_id": 1e999, "vault_key": "vault_key_secret"}"#;
    let wrong = r#"{"key_id": "vault_key_secret", "customer": "vault_key_secret", "daily_usd_cap": {}, "Records": "vault_key_secret", "detail": "vault_key_secret"}"#;
    for function in keybrake_tests::step_functions::FUNCTIONS {
        for input in ["{}", "[]", "null", "7", "\"vault_key_secret\"", &deep, huge, wrong] {
            // A queue's event without a message is an empty batch, and no request has a field alone.
            let (name, message) = error(&cloud, function, input).await;
            assert_eq!(name, "InvalidInput", "{function} {input}: {message}");
            assert!(message.contains("nothing was sent"), "{message}");
            assert!(!message.contains("secret"), "{function}: {message}");
        }
        assert!(!cloud.lambda.history(function).log.contains("secret"));
    }
    let pointed = r#"{"customer": {"id": "cus_1", "amount_cents": -5}, "item_index": 0, "execution_id": "e", "key_id": "vk_0000000000001"}"#;
    let (_, message) = error(&cloud, "charge-one", pointed).await;
    assert!(message.contains("customer.amount_cents"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_not_known_what_happened_the_name_says_so() {
    let cloud = Cloud::start().await;
    let key = issue(&cloud, RUN, json!({})).await;
    let input = charge(&cloud, &key, "lost", 100).to_string();
    cloud
        .keybrake
        .strike_once("answer_lost", async {
            let (name, message) = error(&cloud, "charge-one", &input).await;
            assert_eq!(name, "OutcomeUnknown", "{message}");
        })
        .await;
    // The same again learns what became of it.
    let again = cloud.lambda.invoke("charge-one", input).await.unwrap();
    assert_eq!(again["status"], "succeeded");
    assert_eq!(cloud.charged().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_proxy_nothing_is_sent_and_a_retry_may_help() {
    let cloud = Cloud::start().await;
    let nowhere = format!("http://127.0.0.1:{}", process::free_port());
    for (variables, name, told) in [
        (
            vec![("KEYBRAKE_URL", nowhere.as_str()), ("KEYBRAKE_API_KEY", API_KEY)],
            "Retryable",
            "nothing was sent",
        ),
        (vec![("KEYBRAKE_URL", nowhere.as_str())], "CallRefused", "KEYBRAKE_API_KEY is not set"),
        (
            vec![("KEYBRAKE_URL", "ftp://x"), ("KEYBRAKE_API_KEY", API_KEY)],
            "CallRefused",
            "KEYBRAKE_URL",
        ),
    ] {
        let code = Code::Program(process::program("charge-one"));
        cloud.lambda.add("charge-one", code, &variables);
        let key = json!({"vault_key": "vault_key_secret"});
        let (said, message) =
            error(&cloud, "charge-one", &charge(&cloud, &key, "0", 100).to_string()).await;
        assert_eq!(said, name, "{message}");
        assert!(message.contains(told) && !message.contains("secret"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_an_unknown_outcome_tells_nothing_of_the_input_and_the_function_serves_on() {
    let cloud = Cloud::start().await;
    let variables = [("KEYBRAKE_API_KEY", API_KEY)];
    cloud.lambda.add("panics", Code::Program(process::program("panicking-lambda")), &variables);

    let (name, message) = error(&cloud, "panics", r#"{"vault_key": "vault_key_secret"}"#).await;

    assert_eq!(name, "OutcomeUnknown", "{message}");
    let history = cloud.lambda.history("panics");
    assert!(history.log.contains("panicking-lambda.rs"), "{}", history.log);
    assert!(!format!("{message}{}", history.log).contains("secret"), "{message} {}", history.log);
    assert_eq!(cloud.lambda.invoke("panics", r#"{"vault_key": 7}"#).await.unwrap(), 7);
    assert_eq!(cloud.lambda.history("panics").inits.len(), 1, "in the same environment");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_is_one_for_each_execution_and_state() {
    let cloud = Cloud::start().await;
    let first = issue(&cloud, RUN, json!({"state": "Issue Ä"})).await;
    let again = issue(&cloud, RUN, json!({"state": "Issue Ä"})).await;
    let other = issue(&cloud, RUN, json!({"state": "Issue B"})).await;
    assert_eq!(first["key_id"], again["key_id"]);
    assert_ne!(first["budget_id"], other["budget_id"]);
    let refreshed = json!({"key_id": first["key_id"], "expires_in": "3h", "state": "After"});
    let refreshed = cloud.lambda.invoke("issue-vault-key", refreshed.to_string()).await.unwrap();
    assert_eq!(refreshed["budget_id"], first["budget_id"]);
    assert_ne!(refreshed["key_id"], first["key_id"]);
    assert!(refreshed.get("vault_key").is_none(), "no token unless it is asked for");
    let nameless = r#"{"vendor": "stripe", "daily_usd_cap": 5}"#;
    let (name, message) = error(&cloud, "issue-vault-key", nameless).await;
    assert_eq!(name, "InvalidInput");
    assert!(message.contains("$$.Execution.Id"), "{message}");
}
