//! What can't be done is said, by its type and its field, and nothing is sent for it.

use keybrake_tests::{durable, process, rig::Rig};
use serde_json::{Value, json};

use crate::{Bench, charged};

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_bad_input_fails_by_its_field_and_nothing_is_sent() {
    let bench = Bench::start().await;
    let key = bench.rig.issue(json!({})).await;
    let before = bench.rig.vendor_requests();
    let charge = |more: Value| {
        let mut input = json!({"customer": {"id": "cus_1", "amount_cents": 100}, "key_id": key.id, "item_index": 0});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    for (input, says) in [
        (json!("text"), "input"),
        (
            charge(json!({"customer": {"id": "cus_1", "amount_cents": "100"}})),
            "customer.amount_cents",
        ),
        (charge(json!({"customer": {"id": "cus_1", "amount_cents": -1}})), "customer.amount_cents"),
        (
            charge(json!({"customer": {"id": "cus_1", "amount_cents": 1.5}})),
            "customer.amount_cents",
        ),
        (charge(json!({"customer": null})), "customer"),
        (charge(json!({"item_index": null})), "item_index"),
        (charge(json!({"key_id": "vk_no"})), ""),
        (charge(json!({"failures": "both"})), "failures"),
    ] {
        let ended =
            bench.orchestrate("one", &json!({"activity": "ChargeCustomer", "input": input})).await;
        assert_eq!(ended["error_type"], "InvalidInput", "{ended}");
        let message = ended["message"]["message"].as_str().unwrap();
        assert!(message.starts_with(says) && message.contains("nothing was sent"), "{message}");
        assert!(message.len() < 600, "{message}");
    }
    assert_eq!((charged(&bench.rig), bench.rig.vendor_requests()), (0, before));
}

#[test]
fn an_address_that_is_none_is_refused_at_the_start() {
    for (arguments, says) in [
        (vec!["--durable-task", "https://hub.example.com"], "http://host:port"),
        (vec!["--durable-task", "localhost:4001"], "http://host:port"),
        (vec!["--durable-task", "http://localhost:4001", "--task-hub", "a\nb"], "task hub"),
        (vec!["--task-hub", "hub"], "--durable-task"),
    ] {
        let output = std::process::Command::new(process::program("keybrake-http-worker"))
            .args(["--listen", "127.0.0.1:0"])
            .args(&arguments)
            .env("KEYBRAKE_API_KEY", keybrake_tests::API_KEY)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(says), "{arguments:?}: {said}");
    }
}

/// Bodies that are not the host's, and what is answered: a status, and a text in it.
const WRONG: [(&str, &str, u16, &str); 9] = [
    ("ChargeCustomer", "", 200, "not the host's envelope"),
    ("ChargeCustomer", "[]", 200, "not the host's envelope"),
    ("ChargeCustomer", "{}", 200, "not the host's envelope"),
    ("ChargeCustomer", r#"{"Data":[]}"#, 200, "not the host's envelope"),
    ("ChargeCustomer", r#"{"Data":{"a":"{}","b":"{}"}}"#, 200, "not the host's envelope"),
    ("ChargeCustomer", r#"{"Data":{"input":"text"},"Metadata":{}}"#, 200, "invalid_input"),
    ("ChargeCustomer", r#"{"Data":{"input":"{}"},"Metadata":{"instanceId":7}}"#, 200, "customer"),
    (
        "IssueVaultKey",
        r#"{"Data":{"input":"{\"vendor\":7}"},"Metadata":{"instanceId":"\"i\""}}"#,
        200,
        "vendor",
    ),
    ("DropTables", r#"{"Data":{"input":"{}"}}"#, 404, "this worker has no function"),
];

#[tokio::test(flavor = "multi_thread")]
async fn azures_envelope_is_read_strictly_and_what_is_wrong_is_a_value() {
    let rig = Rig::start(keybrake::sandbox::Settings::default()).await;
    let handler = durable::custom_handler(&rig.url);
    let mut bodies: Vec<_> = WRONG
        .iter()
        .map(|(name, body, status, says)| (*name, (*body).to_owned(), *status, *says))
        .collect();
    let large = json!({"Data": {"input": "x".repeat(7_000_000)}}).to_string();
    bodies.push(("ChargeCustomer", large, 200, "is over"));
    for (name, body, status, says) in bodies {
        let request = rig.http.post(format!("{}/{name}", handler.url)).body(body.clone());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{name}");
        let text = answer.text().await.unwrap();
        let shown = body.get(..80).unwrap_or(&body);
        assert!(text.contains(says) && text.contains("nothing was sent"), "{name} {shown}: {text}");
        if status == 200 {
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["ReturnValue"]["ok"], false, "{text}");
            assert_eq!(value["ReturnValue"]["error"], "InvalidInput", "{text}");
        }
    }
    assert_eq!(rig.vendor_requests(), 0);
}
