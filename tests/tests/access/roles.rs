//! The table of SECURITY.md, cell by cell.

use std::collections::BTreeMap;

use keybrake::sandbox::Settings;
use keybrake_tests::rig::{Rig, eventually, read};
use serde_json::json;

use super::{api_key, audit_key, order, with};

/// Who asks, in the order of the table's columns.
const COLUMNS: [&str; 7] =
    ["admin", "issuer", "caller", "auditor", "vault key", "audit key", "nobody"];

/// The rows of the table: a route, and for each column whether it may.
fn table() -> Vec<(String, Vec<bool>)> {
    let text = include_str!("../../../SECURITY.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let may = |cell: &&str| match *cell {
            "yes" => true,
            "no" => false,
            other => panic!("{other:?} in {line}"),
        };
        (cells[0].trim_matches('`').to_owned(), cells[1..].iter().map(may).collect())
    })
    .collect()
}

struct Cast {
    rig: Rig,
    credentials: BTreeMap<&'static str, String>,
    call: String,
    vault_key: String,
}

async fn cast() -> Cast {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({"agent_run_label": "cast/1"})).await;
    assert_eq!(rig.pay(&key, "paid", 100).await.status, 200);
    let call = eventually("the call is recorded", || async {
        Some(rig.calls("state=settled").await.first()?["call_id"].as_str()?.to_owned())
    })
    .await;
    let mut credentials = BTreeMap::new();
    for role in ["admin", "issuer", "caller", "auditor"] {
        credentials.insert(role, api_key(&rig, role, json!({})).await);
    }
    credentials.insert("vault key", key.token.clone());
    credentials.insert("audit key", audit_key(&rig, "cast/").await.token);
    credentials.insert("nobody", "kb_api_nobody".to_owned());
    Cast { rig, credentials, call, vault_key: key.id }
}

impl Cast {
    /// Whether this one is let through on this route.
    async fn may(&self, route: &str, who: &str) -> bool {
        let Self { rig, credentials, call, vault_key } = self;
        let fresh = rig.issue(json!({"agent_run_label": "cast/2"})).await;
        let (method, template) = route.split_once(' ').unwrap();
        let path = template
            .replace("{key_id}", &fresh.id)
            .replace("{call_id}", call)
            .replace("{vendor}/{path}", "stripe/v1/charges");
        let names_key = ["/vault/keys/self", "/{vendor}/{path}"].contains(&template);
        let is_api_key = !["vault key", "audit key"].contains(&who);
        let path = match template {
            "/runs" => "/runs?label=nothing".to_owned(),
            "/audit/export" => "/audit/export?format=jsonl".to_owned(),
            "/admin/api_keys/{api_key_id}" => {
                let body = json!({"name": "to be revoked", "role": "auditor"});
                let made = read(rig.admin("POST", "/admin/api_keys").json(&body)).await;
                format!("/admin/api_keys/{}", made.text("/api_key_id"))
            }
            _ => path,
        };
        let mut request = with(rig, &credentials[who], method, &path);
        if names_key && is_api_key {
            request = request.header("x-keybrake-key-id", vault_key);
        }
        request = match route {
            "POST /vault/keys" | "POST /admin/vault_keys" => {
                request.json(&order(&json!({"agent_run_label": "cast/3"})))
            }
            "POST /runs/lift" => request.json(&json!({"label": "never revoked"})),
            "POST /admin/api_keys" => request.json(&json!({"name": "new", "role": "auditor"})),
            "POST /audit/calls/{call_id}/resolve" => {
                request.json(&json!({"executed": true, "who": "me", "why": "seen"}))
            }
            "POST /{vendor}/{path}" => request
                .header("content-type", "application/x-www-form-urlencoded")
                .body("amount=100&currency=usd&source=tok_visa"),
            _ => request,
        };
        let answer = read(request).await;
        match (answer.status, answer.code()) {
            (401, "invalid_key") | (403, "not_permitted" | "endpoint_not_allowed") => false,
            (200 | 201, _)
            // There is nothing to lift, and no doubt to resolve: but it was let through.
            | (404, "not_found")
            | (400, "invalid_request") => true,
            other => panic!("{route} by {who}: {other:?} {:?}", answer.body),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cell_of_the_table_holds() {
    let cast = cast().await;
    let table = table();
    assert!(table.len() >= 21, "{} rows", table.len());
    let mut wrong = Vec::new();
    for (route, cells) in &table {
        assert_eq!(cells.len(), COLUMNS.len(), "{route}");
        for (who, expected) in COLUMNS.iter().zip(cells) {
            if cast.may(route, who).await != *expected {
                wrong.push(format!("{route} by {who}: the table says {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_is_listed_with_its_last_use_and_stops_when_it_is_revoked_or_expires() {
    let rig = Rig::start(Settings::default()).await;
    let token = api_key(&rig, "auditor", json!({"expires_in": "1h"})).await;
    assert_eq!(read(with(&rig, &token, "GET", "/audit/calls")).await.status, 200);
    let listed = eventually("the last use is noted", || async {
        let listed = read(rig.admin("GET", "/admin/api_keys")).await;
        let row = listed.body["data"][0].clone();
        row["last_used_at"].is_string().then_some(row)
    })
    .await;
    assert_eq!((&listed["state"], &listed["role"]), (&json!("live"), &json!("auditor")));
    assert!(!listed.to_string().contains(&token));
    let path = format!("/admin/api_keys/{}", listed["api_key_id"].as_str().unwrap());
    let revoked = read(rig.admin("DELETE", &path)).await;
    assert_eq!((revoked.status, revoked.text("/state")), (200, "revoked"));
    eventually("the key stops", || async {
        let answer = read(with(&rig, &token, "GET", "/audit/calls")).await;
        (answer.status == 401).then_some(())
    })
    .await;
    let other = api_key(&rig, "auditor", json!({"expires_in": "1h"})).await;
    assert_eq!(read(with(&rig, &other, "GET", "/audit/calls")).await.status, 200);
    rig.clock.advance(std::time::Duration::from_hours(1));
    assert_eq!(read(with(&rig, &other, "GET", "/audit/calls")).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_recorded_with_who_did_it() {
    let rig = Rig::start(Settings::default()).await;
    let token = api_key(&rig, "issuer", json!({})).await;
    let answer = super::issue_with(&rig, &token, json!({})).await;
    let key_id = answer.text("/key_id");
    let path = |action: &str| format!("/vault/keys/{key_id}{action}");
    read(with(&rig, &token, "POST", &path("/refresh"))).await;
    read(with(&rig, &token, "DELETE", &path(""))).await;
    read(with(&rig, &token, "DELETE", &path(""))).await;
    read(rig.admin("DELETE", "/runs?label=a/1")).await;
    read(rig.admin("POST", "/runs/lift").json(&json!({"label": "a/1"}))).await;
    let actions = read(rig.admin("GET", "/audit/actions")).await;
    let keys = read(rig.admin("GET", "/admin/api_keys")).await;
    let issuer = keys.text("/data/0/api_key_id");
    let row = |row: &serde_json::Value| {
        ["who", "action", "target"].map(|name| row[name].as_str().unwrap().to_owned())
    };
    let seen: Vec<_> = actions.body["data"].as_array().unwrap().iter().rev().map(row).collect();
    let expected = [
        ["admin", "api_key_created", issuer],
        [issuer, "key_issued", key_id],
        [issuer, "key_refreshed", key_id],
        [issuer, "key_revoked", key_id],
        ["admin", "runs_revoked", "a/1"],
        ["admin", "runs_lifted", "a/1"],
    ];
    assert_eq!(seen, expected);
}
