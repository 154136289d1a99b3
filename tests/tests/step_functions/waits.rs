//! A long wait in the middle of a run.

use keybrake_tests::{engine::example, lambda::Code, rig::eventually, step_functions::Cloud};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the interpreter of state machines: run make test"]
async fn after_a_wait_a_new_key_goes_on_with_the_first_ones_budget() {
    let cloud = Cloud::start().await;
    cloud.lambda.add(
        "ask-for-approval",
        Code::Local(std::sync::Arc::new(|_: &Value| json!({}))),
        &[],
    );
    let engine = cloud.engine();
    let machine = engine.create("approval", &example("billing-after-approval")).await;
    let input = json!({
        "budget_usd": 5, "question": "May it be charged?",
        "deposit": cloud.customer(200), "rest": cloud.customer(400)
    });
    let execution = engine.begin(&machine, "run-1", &input).await;
    let token = eventually("a person is asked", || async {
        let asked = cloud.lambda.history("ask-for-approval").inputs.pop()?;
        asked["task_token"].as_str().map(str::to_owned)
    })
    .await;
    assert_eq!(cloud.charged().await, 1, "the deposit");
    engine.ask("SendTaskSuccess", &json!({"taskToken": token, "output": "{}"})).await;

    let ended = engine.end(&execution).await;

    // $2 of $5 are spent, so that $4 more do not fit: the wait has not opened the cap again.
    assert_eq!(
        (ended.status.as_str(), &ended.failure["error"]),
        ("FAILED", &json!("CapExhausted"))
    );
    assert_eq!(cloud.lambda.history("charge-one").inputs.len(), 2);
    assert_eq!(cloud.charged().await, 1);
    let keys = cloud.keys(&execution).await;
    assert!(keys.iter().all(|key| key["budget_id"] == keys[0]["budget_id"]), "{keys:?}");
    assert!(keys.iter().all(|key| key["state"] == "revoked"), "{keys:?}");
    assert_eq!(cloud.spent(&execution).await, "2.00");
}
