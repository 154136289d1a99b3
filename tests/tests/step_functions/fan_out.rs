//! A Map over many customers against a cap.

use std::collections::BTreeSet;

use keybrake_tests::{
    engine::{arn, example},
    step_functions::Cloud,
};
use serde_json::{Value, json};

const INPUT: &str = r#"{"plan_id": "plan_1", "budget_usd": 50}"#;

fn input() -> Value {
    serde_json::from_str(INPUT).unwrap()
}

fn outcomes(output: &Value) -> (usize, usize) {
    let outcomes = output["outcomes"].as_array().unwrap();
    let charged = outcomes.iter().filter(|one| one["charged"].is_string()).count();
    let capped = outcomes.iter().filter(|one| one["not_charged"] == "CapExhausted").count();
    assert_eq!(charged + capped, outcomes.len(), "{outcomes:?}");
    (charged, capped)
}

async fn fifty_are_charged_and_150_are_caught(machine: &str) {
    let cloud = Cloud::start().await;
    cloud.has_customers(200);
    let (ended, history) = cloud.run(&cloud.engine(), &example(machine), &input()).await;

    assert_eq!(ended.status, "SUCCEEDED", "{:?}", ended.failure);
    assert_eq!(outcomes(&ended.output), (50, 150));
    let invoked = cloud.lambda.history("charge-one").inputs;
    let items: BTreeSet<_> = invoked.iter().map(|input| input["item_index"].as_u64()).collect();
    assert_eq!((invoked.len(), items.len()), (200, 200), "each item is invoked once");
    assert_eq!(cloud.charged().await, 50);
    assert_eq!(cloud.spent(&ended.arn).await, "50.00");
    let denied = cloud.keybrake.calls("verdict=denied").await;
    assert_eq!(denied.len(), 150);
    assert!(denied.iter().all(|row| row["code"] == "cap_exhausted"), "{}", denied[0]);
    assert_eq!(ended.output["run"]["spent_usd"], "50.00");
    let keys = cloud.keys(&ended.arn).await;
    assert_eq!((keys.len(), &keys[0]["state"]), (1, &json!("revoked")), "it ends its own key");
    assert!(!history.contains("vault_key_"), "a token is in the history");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the interpreter of state machines: run make test"]
async fn at_the_cap_the_rest_of_a_map_is_caught_and_invoked_once() {
    fifty_are_charged_and_150_are_caught("billing").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the interpreter of state machines: run make test"]
async fn the_same_in_jsonata() {
    fifty_are_charged_and_150_are_caught("billing-jsonata").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the interpreter of state machines: run make test"]
async fn a_token_is_in_the_history_where_it_is_asked_for_and_not_in_the_output() {
    let cloud = Cloud::start().await;
    cloud.has_customers(3);
    let input = json!({"plan_id": "plan_1", "budget_usd": 2});
    let (ended, history) = cloud.run(&cloud.engine(), &example("billing-tokens"), &input).await;

    assert_eq!(ended.status, "SUCCEEDED", "{:?}", ended.failure);
    assert_eq!(outcomes(&ended.output), (2, 1));
    assert!(history.contains("vault_key_") && !ended.output.to_string().contains("vault_key_"));
}

/// The machine of the product's page as it is printed, with our functions behind its names.
fn of_the_page() -> Value {
    let mut machine = json!({
        "StartAt": "IssueVaultKey",
        "States": {
            "IssueVaultKey": {
                "Type": "Task", "Resource": arn("issue-vault-key"),
                "Parameters": {
                    "vendor": "stripe", "daily_usd_cap.$": "$.budget_usd",
                    "allowed_endpoints": ["POST /v1/payment_intents"],
                    "expires_in": "2h", "agent_run_label.$": "$$.Execution.Id"
                },
                "ResultPath": "$.vault", "Next": "FetchCustomers"
            },
            "FetchCustomers": {
                "Type": "Task", "Resource": arn("fetch-customers"),
                "Parameters": {"plan_id.$": "$.plan_id"},
                "ResultPath": "$.customers", "Next": "ChargeCustomers"
            },
            "ChargeCustomers": {
                "Type": "Map", "ItemsPath": "$.customers", "MaxConcurrency": 0,
                "ItemSelector": {
                    "customer.$": "$$.Map.Item.Value", "item_index.$": "$$.Map.Item.Index",
                    "vault_key.$": "$.vault.vault_key", "execution_id.$": "$$.Execution.Id"
                },
                "Iterator": {"StartAt": "ChargeOne", "States": {
                    "ChargeOne": {
                        "Type": "Task", "Resource": arn("charge-one"),
                        "Catch": [{"ErrorEquals": ["CapExhausted"], "Next": "CapHitEnd"}], "End": true
                    },
                    "CapHitEnd": {"Type": "Succeed"}
                }},
                "End": true
            }
        }
    });
    machine["Comment"] = json!("Agent billing workflow with vault key");
    machine
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the interpreter of state machines: run make test"]
async fn the_pages_machine_runs_unchanged_where_the_function_returns_tokens_by_default() {
    use keybrake_tests::{API_KEY, lambda::Code, process};
    let cloud = Cloud::start().await;
    cloud.has_customers(6);
    let variables = [
        ("KEYBRAKE_URL", cloud.keybrake.proxy.url.as_str()),
        ("KEYBRAKE_API_KEY", API_KEY),
        ("KEYBRAKE_RETURN_TOKEN", "true"),
    ];
    let issue = Code::Program(process::program("issue-vault-key"));
    cloud.lambda.add("issue-vault-key", issue, &variables);

    let input = json!({"plan_id": "plan_1", "budget_usd": 4});
    let (ended, _) = cloud.run(&cloud.engine(), &of_the_page(), &input).await;

    assert_eq!(ended.status, "SUCCEEDED", "{:?}", ended.failure);
    assert_eq!(cloud.charged().await, 4);
    assert_eq!(cloud.lambda.history("charge-one").inputs.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the interpreter of state machines: run make test"]
async fn a_distributed_map_charges_each_customer_of_a_file_once_under_this_executions_id() {
    let cloud = Cloud::start().await;
    let engine = cloud.engine();
    let customers = vec![cloud.customer(100); 40];
    for (path, body) in
        [("customers", String::new()), ("customers/plan_1.json", json!(customers).to_string())]
    {
        let put = cloud.keybrake.http.put(format!("{}/{path}", engine.url()));
        let credential = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=test";
        let put = put.header("authorization", credential).body(body).send().await.unwrap();
        assert!(put.status().is_success(), "{path}: {}", put.status());
    }
    let input = json!({"customers_key": "plan_1.json", "budget_usd": 50});
    let (ended, history) = cloud.run(&engine, &example("billing-distributed"), &input).await;

    assert_eq!(ended.status, "SUCCEEDED", "{:?}", ended.failure);
    assert_eq!((cloud.charged().await, cloud.spent(&ended.arn).await.as_str()), (40, "40.00"));
    let rows = cloud.keybrake.calls("verdict=allowed").await;
    assert!(
        rows.iter().all(|row| row["idempotency_key"].as_str().unwrap().starts_with(&ended.arn))
    );
    assert!(!history.contains("vault_key_"));
}
