//! What a state machine's retries meet: killed functions, lost answers, throttling.

use keybrake_tests::{engine::example, lambda::Faults, step_functions::Cloud};
use serde_json::{Value, json};

/// A machine whose retriers wait short times, so that a test does. Their order stays.
fn impatient(mut machine: Value) -> Value {
    fn shorten(value: &mut Value) {
        match value {
            Value::Object(members) => {
                if members.contains_key("IntervalSeconds") {
                    members.insert("IntervalSeconds".to_owned(), json!(1));
                    members.insert("MaxDelaySeconds".to_owned(), json!(2));
                }
                members.values_mut().for_each(shorten);
            }
            Value::Array(items) => items.iter_mut().for_each(shorten),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    shorten(&mut machine);
    machine
}

fn input() -> Value {
    json!({"plan_id": "plan_1", "budget_usd": 50})
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the interpreter of state machines: run make test"]
async fn a_function_that_is_killed_after_the_vendors_answer_charges_once() {
    let cloud = Cloud::start().await;
    cloud.has_customers(3);
    cloud.lambda.fail("charge-one", Faults { killed: 2, ..Faults::default() });

    let (ended, history) =
        cloud.run(&cloud.engine(), &impatient(example("billing")), &input()).await;

    assert_eq!(ended.status, "SUCCEEDED", "{:?}", ended.failure);
    assert!(history.contains("Runtime.ExitError"));
    assert_eq!(cloud.lambda.history("charge-one").inputs.len(), 5, "two are tried again");
    assert_eq!(cloud.charged().await, 3);
    assert_eq!(cloud.keybrake.calls("verdict=replayed").await.len(), 2);
    assert_eq!(cloud.spent(&ended.arn).await, "3.00");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the interpreter of state machines: run make test"]
async fn an_issue_that_times_out_after_the_key_was_made_leaves_one_key() {
    let cloud = Cloud::start().await;
    cloud.has_customers(1);
    cloud.lambda.fail("issue-vault-key", Faults { timed_out: 1, killed: 1, throttled: 0 });

    let (ended, history) =
        cloud.run(&cloud.engine(), &impatient(example("billing")), &input()).await;

    assert_eq!(ended.status, "SUCCEEDED", "{:?}", ended.failure);
    assert!(history.contains("Sandbox.Timedout"));
    assert_eq!(cloud.lambda.history("issue-vault-key").inputs.len(), 3);
    assert_eq!(cloud.keys(&ended.arn).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the interpreter of state machines: run make test"]
async fn throttled_functions_are_tried_again_later_and_end_well() {
    let cloud = Cloud::start().await;
    cloud.has_customers(12);
    cloud.lambda.limit("charge-one", 4);
    cloud.lambda.fail("charge-one", Faults { throttled: 3, ..Faults::default() });

    let (ended, history) =
        cloud.run(&cloud.engine(), &impatient(example("billing")), &input()).await;

    assert_eq!(ended.status, "SUCCEEDED", "{:?}", ended.failure);
    assert!(history.contains("Lambda.TooManyRequestsException"));
    assert!(cloud.lambda.history("charge-one").throttled >= 3);
    assert_eq!((cloud.charged().await, cloud.spent(&ended.arn).await.as_str()), (12, "12.00"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the interpreter of state machines: run make test"]
async fn an_answer_that_the_vendor_lost_is_learned_by_the_machines_retry() {
    let cloud = Cloud::start().await;
    cloud.has_customers(2);
    let engine = cloud.engine();
    let machine = impatient(example("billing"));
    let input = input();
    let running = cloud.run(&engine, &machine, &input);
    let ended = std::sync::Mutex::new(None);
    cloud
        .keybrake
        .strike_once("answer_lost", async {
            let (execution, _) = running.await;
            *ended.lock().unwrap() = Some(execution);
        })
        .await;

    let ended = ended.into_inner().unwrap().unwrap();
    assert_eq!(ended.status, "SUCCEEDED", "{:?}", ended.failure);
    assert_eq!((cloud.charged().await, cloud.spent(&ended.arn).await.as_str()), (2, "2.00"));
}
