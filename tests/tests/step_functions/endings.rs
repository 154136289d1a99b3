//! How a run ends: on its failure path, aborted from outside, and begun again with an expired key.

use keybrake_tests::{engine::example, lambda::Code, rig::eventually, step_functions::Cloud};
use serde_json::{Value, json};

/// EventBridge's word about an execution.
fn event(execution: &str, status: &str) -> String {
    json!({
        "version": "0", "source": "aws.states", "detail-type": "Step Functions Execution Status Change",
        "detail": {"executionArn": execution, "status": status, "name": "run-1"}
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the interpreter of state machines: run make test"]
async fn a_run_that_fails_revokes_its_key() {
    let cloud = Cloud::start().await;
    let broken = |_: &Value| json!({"errorType": "PlanNotFound", "errorMessage": "no such plan"});
    cloud.lambda.add("fetch-customers", Code::Local(std::sync::Arc::new(broken)), &[]);
    for machine in ["billing", "billing-jsonata"] {
        // It is no error that a retry helps: tried again by nobody here.
        let mut machine = example(machine);
        machine["States"]["FetchCustomers"]["Retry"] = json!([]);
        let engine = cloud.engine();
        let input = json!({"plan_id": "plan_1", "budget_usd": 5});
        let (ended, _) = cloud.run(&engine, &machine, &input).await;
        assert_eq!(
            (ended.status.as_str(), &ended.failure["error"]),
            ("FAILED", &json!("PlanNotFound"))
        );
        assert_eq!(cloud.keys(&ended.arn).await[0]["state"], "revoked");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the interpreter of state machines: run make test"]
async fn an_aborted_executions_keys_are_revoked_and_it_issues_no_more() {
    let cloud = Cloud::start().await;
    let engine = cloud.engine();
    // It stops between two states, as a person who sees something wrong would stop it.
    let mut machine = example("billing");
    machine["States"]["IssueVaultKey"]["Next"] = json!("Wait");
    machine["States"]["Wait"] = json!({"Type": "Wait", "Seconds": 3600, "Next": "FetchCustomers"});
    let machine = engine.create("billing", &machine).await;
    let input = json!({"plan_id": "plan_1", "budget_usd": 5});
    let execution = engine.begin(&machine, "run-1", &input).await;
    let key =
        eventually("the key is issued", || async { cloud.keys(&execution).await.pop() }).await;
    engine.ask("StopExecution", &json!({"executionArn": execution})).await;
    assert_eq!(engine.end(&execution).await.status, "ABORTED");
    assert_eq!(cloud.keys(&execution).await[0]["state"], "live", "nothing of the machine ran on");

    let stopped =
        cloud.lambda.invoke("revoke-ended-run", event(&execution, "ABORTED")).await.unwrap();

    assert_eq!((&stopped["spent_usd"], &stopped["in_flight"]), (&json!("0.00"), &json!(0)));
    assert_eq!(cloud.keys(&execution).await[0]["state"], "revoked");
    let late = json!({
        "customer": cloud.customer(100), "item_index": 0, "execution_id": execution, "key_id": key["key_id"]
    });
    let late = cloud.lambda.invoke("charge-one", late.to_string()).await.unwrap_err();
    assert_eq!(late["errorType"], "KeyRevoked");
    let issue = &cloud.lambda.history("issue-vault-key").inputs[0];
    let mut another = issue.clone();
    another["state"] = json!("AnotherState");
    let late = cloud.lambda.invoke("issue-vault-key", another.to_string()).await.unwrap_err();
    assert_eq!(late["errorType"], "KeyRevoked");
    assert_eq!(cloud.charged().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_aborted_or_timed_out_is_revoked_and_twice_is_once() {
    let cloud = Cloud::start().await;
    let run = "arn:aws:states:us-east-1:123456789012:execution:billing:run-1";
    let issue = json!({
        "vendor": "stripe", "daily_usd_cap": 5, "allowed_endpoints": ["POST /v1/payment_intents"],
        "expires_in": "2h", "agent_run_label": run
    });
    cloud.lambda.invoke("issue-vault-key", issue.to_string()).await.unwrap();
    for status in ["SUCCEEDED", "FAILED", "RUNNING"] {
        cloud.lambda.invoke("revoke-ended-run", event(run, status)).await.unwrap();
        assert_eq!(cloud.keys(run).await[0]["state"], "live", "{status}");
    }
    let first = cloud.lambda.invoke("revoke-ended-run", event(run, "TIMED_OUT")).await.unwrap();
    assert_eq!(cloud.keys(run).await[0]["state"], "revoked");
    // EventBridge delivers at least once, and also for executions that issued nothing.
    let again = cloud.lambda.invoke("revoke-ended-run", event(run, "TIMED_OUT")).await.unwrap();
    assert_eq!(first["revoked_at"], again["revoked_at"]);
    cloud.lambda.invoke("revoke-ended-run", event("arn:of:no:run", "ABORTED")).await.unwrap();
}

/// A key that is expired, of this run.
async fn expired_key(cloud: &Cloud, run: &str) -> Value {
    let issue = json!({
        "vendor": "stripe", "daily_usd_cap": 50, "allowed_endpoints": ["POST /v1/payment_intents"],
        "expires_in_seconds": 1, "agent_run_label": run, "return_token": true
    });
    let issued = cloud.lambda.invoke("issue-vault-key", issue.to_string()).await.unwrap();
    eventually("the key expires", || async {
        (cloud.keys(run).await[0]["state"] == "expired").then_some(())
    })
    .await;
    issued
}

/// The part of a machine that a redrive runs again: all after the states that succeeded, in the same
/// execution, with the output that the first state had.
fn redriven(machine: &str, run: &str) -> Value {
    let text = example(machine).to_string();
    let text = text
        .replace(r#""execution_id.$":"$$.Execution.Id""#, &format!(r#""execution_id":"{run}""#));
    let mut machine: Value = serde_json::from_str(&text).unwrap();
    machine["StartAt"] = json!("FetchCustomers");
    machine
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the interpreter of state machines: run make test"]
async fn a_redriven_run_refreshes_its_expired_key_and_charges_nobody_twice() {
    for machine in ["billing", "billing-tokens"] {
        let cloud = Cloud::start().await;
        cloud.has_customers(5);
        let run = "arn:aws:states:us-east-1:123456789012:execution:billing:run-1";
        // Two charges were made before, with a key that lived.
        let before = json!({
            "vendor": "stripe", "daily_usd_cap": 50, "allowed_endpoints": ["POST /v1/payment_intents"],
            "expires_in": "1h", "agent_run_label": "before"
        });
        let before = cloud.lambda.invoke("issue-vault-key", before.to_string()).await.unwrap();
        for item in 0..2 {
            let charge = json!({
                "customer": cloud.customer(100), "item_index": item, "execution_id": run,
                "key_id": before["key_id"]
            });
            cloud.lambda.invoke("charge-one", charge.to_string()).await.unwrap();
        }
        let vault = expired_key(&cloud, run).await;

        let input = json!({"plan_id": "plan_1", "vault": vault});
        let (ended, _) = cloud.run(&cloud.engine(), &redriven(machine, run), &input).await;

        assert_eq!(ended.status, "SUCCEEDED", "{machine}: {:?}", ended.failure);
        assert_eq!(cloud.charged().await, 5, "{machine}");
        let keys = cloud.keys(run).await;
        let budgets: std::collections::BTreeSet<_> =
            keys.iter().map(|key| key["budget_id"].to_string()).collect();
        assert_eq!((keys.len(), budgets.len()), (2, 1), "one successor on the same budget");
        assert_eq!(cloud.spent(run).await, "3.00");
    }
}
