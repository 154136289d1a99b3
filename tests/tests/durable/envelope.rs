//! Azure's custom handler, byte by byte.

use keybrake::sandbox::{Faults, Settings};
use keybrake_http_worker::activities::Activity;
use keybrake_tests::{
    durable,
    process::Process,
    rig::{Rig, read},
};
use serde_json::{Value, json};

use crate::{charged, issued};

struct Host {
    rig: Rig,
    handler: Process,
}

impl Host {
    async fn start() -> Self {
        let rig = Rig::start(Settings::default()).await;
        let handler = durable::custom_handler(&rig.url);
        Self { rig, handler }
    }

    /// What is answered to the host's own bytes: the status, the content type and the bytes.
    async fn invoke(&self, function: &str, body: String) -> (u16, String, String) {
        let answer = self
            .rig
            .http
            .post(format!("{}/{function}", self.handler.url))
            .header("content-type", "application/json; charset=utf-8")
            .header("x-azure-functions-invocationid", "5b5dd4a1-0d1f-4f6c-8a35-5a9d0a7c9f42")
            .header("x-azure-functions-hostversion", "4.1036.3.23284")
            .body(body)
            .send()
            .await
            .unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), kind, answer.text().await.unwrap())
    }

    /// The value that the orchestrator is given.
    async fn value(&self, function: &str, input: &Value, wrapped: usize) -> Value {
        let (status, _, text) = self.invoke(function, envelope(input, wrapped)).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()["ReturnValue"].clone()
    }

    async fn page_key(&self, return_token: bool) -> Value {
        let input = json!({
            "vendor": "stripe",
            "daily_usd_cap": 3,
            "allowed_endpoints": ["POST /v1/payment_intents"],
            "expires_in": "2h",
            "agent_run_label": "azure-durable/run-7",
            "return_token": return_token,
        });
        self.value("IssueVaultKey", &input, 2).await
    }

    async fn customer(&self) -> Value {
        durable::customers(&self.rig.vendor_url, 1).await.remove(0)
    }
}

/// The host's envelope around an input that was serialized so often.
fn envelope(input: &Value, wrapped: usize) -> String {
    let mut input = input.clone();
    for _ in 0..wrapped {
        input = Value::String(input.to_string());
    }
    let sys =
        json!({"MethodName": "ChargeCustomer", "UtcNow": "2026-11-26T06:00:00Z", "RandGuid": "1"});
    json!({"Data": {"input": input}, "Metadata": {"instanceId": "\"run-7\"", "sys": sys}})
        .to_string()
}

#[test]
fn the_function_app_has_a_folder_for_each_activity_and_starts_the_worker() {
    let json = |path: &str| -> Value {
        let text = std::fs::read_to_string(durable::file("infra/azure").join(path)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let description = json!({"defaultExecutablePath": "keybrake-http-worker", "arguments": []});
    let id = "Microsoft.Azure.Functions.ExtensionBundle";
    assert_eq!(
        json("host.json"),
        json!({
            "version": "2.0",
            "customHandler": {"description": description},
            "extensionBundle": {"id": id, "version": "[4.*, 5.0.0)"},
        })
    );
    let binding = json!({"name": "input", "type": "activityTrigger", "direction": "in"});
    let mut folders: Vec<_> = Activity::ALL.iter().map(|(_, _, name)| *name).collect();
    for name in &folders {
        assert_eq!(json(&format!("{name}/function.json")), json!({"bindings": [binding]}));
    }
    folders.sort_unstable();
    let mut there: Vec<_> = std::fs::read_dir(durable::file("infra/azure"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    there.sort_unstable();
    assert_eq!(there, folders);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_the_hosts_envelope_to_the_byte_and_a_cap_hit_is_a_value() {
    let host = Host::start().await;
    assert_eq!(read(host.rig.http.get(format!("{}/", host.handler.url))).await.status, 200);
    let key = host.page_key(false).await;
    assert_eq!((&key["ok"], key.get("vault_key")), (&json!(true), None), "{key}");
    assert_eq!(key["agent_run_label"], "azure-durable/run-7");
    let charge = |customer: &Value, item: u32| json!({"customer": customer, "key_id": key["key_id"], "orchestration_id": "run-7", "item_index": item});

    for item in 0..3 {
        let input = charge(&host.customer().await, item);
        let (status, kind, text) = host.invoke("ChargeCustomer", envelope(&input, 2)).await;
        assert_eq!((status, kind.as_str()), (200, "application/json"));
        let id = serde_json::from_str::<Value>(&text).unwrap()["ReturnValue"]["id"].clone();
        let value = format!(
            r#"{{"amount":100,"id":{id},"ok":true,"replayed":false,"status":"succeeded"}}"#
        );
        assert_eq!(text, format!(r#"{{"Logs":[],"Outputs":{{}},"ReturnValue":{value}}}"#));
    }
    let capped = host.value("ChargeCustomer", &charge(&host.customer().await, 3), 2).await;
    let (ok, code, error) = (&capped["ok"], &capped["code"], &capped["error"]);
    assert_eq!((ok, code, error), (&json!(false), &json!("cap_exhausted"), &json!("CapExhausted")));
    assert_eq!(charged(&host.rig), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_is_unwrapped_up_to_three_times_and_is_the_same_charge_each_time() {
    let host = Host::start().await;
    let key = host.page_key(true).await;
    assert!(key["vault_key"].as_str().unwrap().starts_with("vault_key_"));
    let input = json!({
        "customer": host.customer().await,
        "vault_key": key["vault_key"],
        "orchestration_id": "run-7",
        "item_index": 0,
    });
    for (wrapped, replayed) in [(0, false), (1, true), (2, true), (3, true)] {
        let ended = host.value("ChargeCustomer", &input, wrapped).await;
        assert_eq!((&ended["ok"], &ended["replayed"]), (&json!(true), &json!(replayed)), "{ended}");
    }
    let too_often = host.value("ChargeCustomer", &input, 4).await;
    assert_eq!(too_often["error"], "InvalidInput");
    assert_eq!(charged(&host.rig), 1);
    let key = format!("idempotency_key={}", "run-7-0");
    assert_eq!(host.rig.calls(&key).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_instance_is_the_runs_id_where_the_input_has_none_also_if_it_reads_like_a_number() {
    let host = Host::start().await;
    let input = json!({"vendor": "stripe", "daily_usd_cap": 3, "allowed_endpoints": ["GET /*"], "expires_in": "2h"});
    for instance in ["\"42\"", "42", "\"\\\"42\\\"\""] {
        let body =
            json!({"Data": {"input": input.to_string()}, "Metadata": {"instanceId": instance}});
        let (_, _, text) = host.invoke("IssueVaultKey", body.to_string()).await;
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["ReturnValue"]["agent_run_label"], "azure-durable/42", "{text}");
    }
    assert_eq!(issued(&host.rig).await, 1, "the same run and step is the same key");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_retry_may_mend_is_an_http_error_and_the_retry_is_one_charge() {
    let host = Host::start().await;
    let key = host.page_key(false).await;
    let customer = host.customer().await;
    let input = json!({"customer": customer, "key_id": key["key_id"], "item_index": 0});
    let lost = Faults { error_after_charge: 1_000_000, ..Faults::default() };
    host.rig.sandbox.set_faults(lost).unwrap();
    let (status, _, text) = host.invoke("ChargeCustomer", envelope(&input, 1)).await;
    assert!((500..600).contains(&status) && text.contains("OutcomeUnknown"), "{status} {text}");
    assert!(!text.contains("vault_key_"));

    host.rig.sandbox.set_faults(Faults::default()).unwrap();
    let (status, _, text) = host.invoke("ChargeCustomer", envelope(&input, 1)).await;
    assert!(status == 200 || text.contains("OutcomeUnknown"), "{status} {text}");
    assert_eq!(charged(&host.rig), 1);
}
