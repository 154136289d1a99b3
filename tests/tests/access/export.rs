//! The audit log as a file, and as somebody with an audit key sees it.

use keybrake::sandbox::Settings;
use keybrake_tests::rig::{Rig, eventually, read};
use serde_json::{Value, json};

use super::{audit_key, with};

async fn text(rig: &Rig, path: &str) -> String {
    rig.admin("GET", path).send().await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_every_row_in_both_formats_and_no_formula() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({"agent_run_label": "=HYPERLINK(\"http://evil\")"})).await;
    for index in 0..5 {
        let context = format!("agent=billing,step=+{index}");
        let form = "amount=100&currency=usd&source=tok_visa";
        let request = rig.post(&key, "/v1/charges", &format!("-{index}"), form);
        assert_eq!(read(request.header("x-keybrake-context", context)).await.status, 200);
    }
    eventually("all calls are recorded", || async {
        (rig.calls("state=settled").await.len() == 5).then_some(())
    })
    .await;
    let lines = text(&rig, "/audit/export?format=jsonl").await;
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 5);
    assert_eq!(rows[0]["idempotency_key"], "-0", "the oldest first");
    assert_eq!(rows[0]["agent"], "billing");
    let table = text(&rig, "/audit/export?format=csv").await;
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let header = reader.headers().unwrap().clone();
    let records: Vec<_> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(records.len(), 5);
    for record in &records {
        for (name, cell) in header.iter().zip(record) {
            assert!(!cell.starts_with(['=', '+', '-', '@']), "{name}: {cell}");
        }
    }
    let column = |name: &str| header.iter().position(|known| known == name).unwrap();
    assert_eq!(&records[0][column("agent_run_label")], "'=HYPERLINK(\"http://evil\")");
    assert_eq!(&records[0][column("idempotency_key")], "'-0");
    assert_eq!(&records[0][column("settled_usd")], "1.00");
    let filtered = text(&rig, "/audit/export?format=jsonl&idempotency_key=-3").await;
    assert_eq!(filtered.lines().count(), 1);
    for query in ["", "format=xml", "format=csv&limit=5", "format=csv&colour=red"] {
        let answer = read(rig.admin("GET", &format!("/audit/export?{query}"))).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_key_reads_its_own_runs_and_of_others_only_what_a_known_key_did() {
    let rig = Rig::start(Settings::default()).await;
    for label in ["ray/1", "other/1"] {
        let key = rig.issue(json!({"agent_run_label": label})).await;
        assert_eq!(rig.pay(&key, label, 100).await.status, 200);
        assert_eq!(rig.pay(&key, &format!("{label} denied"), 1_000_000).await.status, 429);
    }
    let auditor = audit_key(&rig, "ray/").await;
    let ask = async |path: &str| read(with(&rig, &auditor.token, "GET", path)).await;
    let listed = ask("/audit/calls").await;
    let rows = listed.body["data"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["agent_run_label"] == "ray/1"));
    eventually("the other's call is settled", || async {
        let known = ask("/audit/calls?idempotency_key=other/1").await.body["data"].clone();
        (known[0]["state"] == "settled").then_some(known)
    })
    .await;
    let known = ask("/audit/calls?idempotency_key=other/1").await;
    let expected = ["amount_usd", "state", "vendor_object_id"];
    let mut members: Vec<_> = known.body["data"][0].as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, expected);
    let denied = ask("/audit/calls?idempotency_key=other/1%20denied").await;
    assert_eq!(denied.body["data"], json!([]), "a denial binds no key");
    let all = rig.calls("agent_run_label=other/1").await;
    let path = format!("/audit/calls/{}", all[0]["call_id"].as_str().unwrap());
    assert_eq!(ask(&path).await.status, 404);
    let export = with(&rig, &auditor.token, "GET", "/audit/export?format=jsonl");
    let export = export.send().await.unwrap().text().await.unwrap();
    assert_eq!(export.lines().count(), 2);
    assert!(!export.contains("other/1"));
    let charge = rig.pay(&auditor, "k", 100).await;
    assert_eq!((charge.status, charge.code()), (403, "endpoint_not_allowed"));
    rig.clock.advance(std::time::Duration::from_mins(61));
    assert_eq!(ask("/audit/calls").await.code(), "key_expired");
}
