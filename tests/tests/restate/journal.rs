//! What others can read: the engine's journal and state, errors, and requests that nobody signed.

use keybrake_tests::API_KEY;
use serde_json::{Value, json};

use crate::{Bench, charges, report};

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_holds_neither_token_nor_api_key() {
    let bench = Bench::start().await;
    let customers = charges(&bench.rig, 3).await;
    let input = json!({"plan_id": "pro", "budget_usd": 2, "customers": customers});
    bench.engine.call("Billing/chargeCustomers", &input).await;
    let period = json!({"period": "2026-11", "amount": 100});
    let object = format!("CustomerBilling/{}/charge", customers[0]["customer"].as_str().unwrap());
    bench.engine.call(&object, &period).await;

    let mut found = Vec::new();
    for sql in [
        "select encode(raw, 'hex') as hex from sys_journal",
        "select encode(value, 'hex') as hex from state",
    ] {
        found.extend(bench.engine.query(sql).await);
    }
    let hex = |text: &str| hex::encode(text);
    let holds = |text: &str| {
        found.iter().any(|row| row["hex"].as_str().is_some_and(|row| row.contains(&hex(text))))
    };
    assert!(holds("vk_"), "the keys' names are there, so that the search can find something");
    assert!(holds("pi_"));
    for secret in ["vault_key_", API_KEY, "Bearer"] {
        assert!(!holds(secret), "{secret}");
    }
    let events = bench.engine.query("select * from sys_journal_events").await;
    let events = Value::from(events).to_string();
    assert!(!events.contains("vault_key_") && !events.contains(API_KEY));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_arguments_end_at_once_with_the_field_named() {
    let bench = Bench::start().await;
    let key = json!({"key_id": "vk_0000000000001"});
    for (handler, input, field) in [
        ("VaultKeys/issue", json!({"vendor": "stripe", "budget": 1}), "budget: unknown field"),
        (
            "VaultKeys/issue",
            json!({"vendor": "stripe", "max_calls": "vault_key_x"}),
            "max_calls: is not u32",
        ),
        ("VaultKeys/status", json!({"key_id": "key"}), "key_id: "),
        (
            "ChargeOne/charge",
            json!({"key": key, "charge": {"customer": "cus_1"}}),
            "charge: missing field `amount`",
        ),
        (
            "ChargeOne/charge",
            json!({"key": key, "charge": {"customer": "cus_1", "amount": -1}}),
            "charge.amount: is not u64",
        ),
        (
            "ChargeOne/charge",
            json!({"key": key, "charge": {"customer": "cus_1", "amount": 0}}),
            "amount: is 0",
        ),
        (
            "ChargeOne/charge",
            json!({"key": {}, "charge": {"customer": "cus_1", "amount": 1}}),
            "key: missing field `key_id`",
        ),
        (
            "ChargeOne/call",
            json!({"key": key, "call": {"vendor": "../x", "method": "GET", "path": "/"}}),
            "vendor: ",
        ),
        ("CustomerBilling/cus_1/charge", json!({"period": "a/b", "amount": 1}), "period: "),
        ("Billing/chargeCustomers", json!({"plan_id": "pro"}), "input: missing field `budget_usd`"),
    ] {
        let ended = bench.engine.call(handler, &input).await;
        let said = report(&ended.body["message"]);
        let message = said["message"].as_str().unwrap();
        assert_eq!(
            (ended.status, &said["error"]),
            (400, &json!("InvalidInput")),
            "{handler} {said}"
        );
        assert!(
            message.starts_with(field) && !message.contains("vault_key_"),
            "{handler}: {message}"
        );
    }
    assert_eq!(bench.rig.vendor_requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_vendors_api_is_called_by_name_and_its_answer_is_the_vendors() {
    let bench = Bench::start().await;
    let request = json!({
        "vendor": "resend", "total_usd_cap": 1, "allowed_endpoints": ["POST /emails"], "expires_in": "1h",
    });
    let key = bench.engine.call("VaultKeys/issue", &request).await;
    assert_eq!(key.status, 200, "{:?}", key.body);
    let mail =
        json!({"from": "a@example.com", "to": "b@example.com", "subject": "hello", "text": "hi"});
    let call = json!({"vendor": "resend", "method": "POST", "path": "/emails", "params": mail});
    let input = json!({"key": key.body, "call": call, "idempotency_key": "mail-1"});

    let sent = bench.engine.call("ChargeOne/call", &input).await;
    let again = bench.engine.call("ChargeOne/call", &input).await;

    assert_eq!(sent.status, 200, "{:?}", sent.body);
    assert_eq!(
        (&again.body["body"]["id"], &again.body["replayed"]),
        (&sent.body["body"]["id"], &json!(true))
    );
    let status =
        bench.engine.call("VaultKeys/status", &json!({"key_id": key.body["key_id"]})).await;
    assert_eq!((&status.body["state"], &status.body["calls"]), (&json!("live"), &json!(1)));
    let refreshed =
        bench.engine.call("VaultKeys/refresh", &json!({"key_id": key.body["key_id"]})).await;
    assert_eq!(refreshed.body["budget_id"], key.body["budget_id"], "{:?}", refreshed.body);
    let stopped =
        bench.engine.call("VaultKeys/revoke", &json!({"key_id": key.body["key_id"]})).await;
    assert_eq!(stopped.body["in_flight"], json!([]), "{:?}", stopped.body);
    let late = bench
        .engine
        .call(
            "ChargeOne/call",
            &json!({"key": refreshed.body, "call": input["call"], "idempotency_key": "mail-2"}),
        )
        .await;
    assert_eq!((late.status, &report(&late.body["message"])["code"]), (401, &json!("key_revoked")));
}
