//! What a bound API key does beyond its bounds: nothing.

use keybrake::sandbox::Settings;
use keybrake_tests::rig::{Rig, read};
use serde_json::{Value, json};

use super::{api_key, charge_as, issue_with, try_api_key, with};

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_issues_within_its_label_prefix_vendors_cap_and_expiry() {
    let rig = Rig::start(Settings::default()).await;
    let bounds = json!({"label_prefix": "a/", "vendors": ["stripe"], "largest_usd_cap": "10", "longest_expiry": "2h"});
    let issuer = api_key(&rig, "issuer", bounds).await;
    for (more, permitted) in [
        (json!({}), true),
        (json!({"agent_run_label": "b/1"}), false),
        (json!({"agent_run_label": "a"}), false),
        (json!({"total_usd_cap": "10"}), true),
        (json!({"total_usd_cap": "10.000001"}), false),
        (json!({"total_usd_cap": null, "daily_usd_cap": "10.01"}), false),
        (json!({"expires_in": "2h"}), true),
        (json!({"expires_in": null, "expires_in_seconds": 7_201}), false),
    ] {
        let answer = issue_with(&rig, &issuer, more.clone()).await;
        let expected = if permitted { (201, "") } else { (403, "not_permitted") };
        assert_eq!((answer.status, answer.code()), expected, "{more}");
    }
    let daily = json!({"total_usd_cap": null, "daily_usd_cap": "4"});
    let daily = issue_with(&rig, &issuer, daily).await;
    assert_eq!(daily.text("/total_usd_cap"), "10.00", "a daily cap alone would pass the largest");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_sees_refreshes_and_revokes_no_key_outside_its_label_prefix() {
    let rig = Rig::start(Settings::default()).await;
    let issuer =
        api_key(&rig, "issuer", json!({"label_prefix": "a/", "longest_expiry": "1h"})).await;
    let own = rig.issue(json!({"agent_run_label": "a/1", "expires_in": "1h"})).await;
    let long = rig.issue(json!({"agent_run_label": "a/2", "expires_in": "2h"})).await;
    let other = rig.issue(json!({"agent_run_label": "b/1"})).await;
    let ask = async |method: &str, path: &str| read(with(&rig, &issuer, method, path)).await;
    let path = |id: &str| format!("/vault/keys/{id}");
    for (method, action) in [("GET", ""), ("POST", "/refresh"), ("DELETE", "")] {
        let answer = ask(method, &format!("{}{action}", path(&other.id))).await;
        assert_eq!((answer.status, answer.code()), (404, "not_found"), "{method} {action}");
    }
    assert_eq!(ask("POST", &format!("{}/refresh", path(&long.id))).await.code(), "not_permitted");
    assert_eq!(ask("GET", &path(&own.id)).await.status, 200);
    let listed = ask("GET", "/vault/keys").await;
    let labels: Vec<_> =
        listed.body["data"].as_array().unwrap().iter().map(|key| &key["agent_run_label"]).collect();
    assert_eq!(labels, ["a/2", "a/1"]);
    for runs in ["label=b/1", "label_prefix=b/", "label_prefix=", "label_prefix=&all=true"] {
        let answer = ask("DELETE", &format!("/runs?{runs}")).await;
        assert_eq!((answer.status, answer.code()), (403, "not_permitted"), "{runs}");
    }
    assert_eq!(rig.show(&other).await["state"], "live");
    assert_eq!(ask("DELETE", "/runs?label_prefix=a/").await.status, 200);
    assert_eq!(rig.show(&own).await["state"], "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_bound_to_a_parent_issues_under_it_and_nowhere_else() {
    let rig = Rig::start(Settings::default()).await;
    let parent = rig.issue(json!({"total_usd_cap": "3", "agent_run_label": "team"})).await;
    let sibling = rig.issue(json!({"agent_run_label": "other team"})).await;
    let issuer = api_key(&rig, "issuer", json!({"parent_key_id": parent.id})).await;
    let child = issue_with(&rig, &issuer, json!({})).await;
    assert_eq!(child.text("/parent_budget_id"), parent.body["budget_id"].as_str().unwrap());
    let child_id = child.text("/key_id").to_owned();
    let grandchild = issue_with(&rig, &issuer, json!({"parent_key_id": child_id})).await;
    assert_eq!(grandchild.status, 201);
    let under = issue_with(&rig, &issuer, json!({"parent_key_id": sibling.id})).await;
    assert_eq!((under.status, under.code()), (404, "not_found"));
    // It is bound below the parent: the parent itself is not its own.
    let path = format!("/vault/keys/{}", parent.id);
    assert_eq!(read(with(&rig, &issuer, "DELETE", &path)).await.status, 404);
    assert_eq!(read(with(&rig, &issuer, "DELETE", "/runs?label=team")).await.status, 403);
    let path = format!("/vault/keys/{child_id}");
    assert_eq!(read(with(&rig, &issuer, "DELETE", &path)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_spends_as_the_keys_within_its_bounds_alone() {
    let rig = Rig::start(Settings::default()).await;
    let caller = api_key(&rig, "caller", json!({"label_prefix": "a/"})).await;
    let own = rig.issue(json!({"agent_run_label": "a/1"})).await;
    let other = rig.issue(json!({"agent_run_label": "b/1"})).await;
    assert_eq!(charge_as(&rig, &caller, &own.id, "k1").await.status, 200);
    let refused = charge_as(&rig, &caller, &other.id, "k2").await;
    assert_eq!((refused.status, refused.code()), (404, "not_found"));
    assert_eq!(rig.vendor_total(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_reads_the_rows_within_its_bounds_alone() {
    let rig = Rig::start(Settings::default()).await;
    for label in ["a/1", "b/1"] {
        let key = rig.issue(json!({"agent_run_label": label})).await;
        assert_eq!(rig.pay(&key, label, 100).await.status, 200);
    }
    let auditor = api_key(&rig, "auditor", json!({"label_prefix": "a/"})).await;
    let listed = read(with(&rig, &auditor, "GET", "/audit/calls")).await;
    let labels = |body: &Value| {
        let rows = body["data"].as_array().unwrap().iter();
        rows.map(|row| row["agent_run_label"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(labels(&listed.body), ["a/1"]);
    let all = rig.calls("").await;
    let foreign = all.iter().find(|row| row["agent_run_label"] == "b/1").unwrap();
    let path = format!("/audit/calls/{}", foreign["call_id"].as_str().unwrap());
    assert_eq!(read(with(&rig, &auditor, "GET", &path)).await.status, 404);
    let by_label = read(with(&rig, &auditor, "GET", "/audit/calls?agent_run_label=b/1")).await;
    assert_eq!(labels(&by_label.body), Vec::<String>::new());
    let actions = read(with(&rig, &auditor, "GET", "/audit/actions")).await;
    assert_eq!((actions.status, actions.code()), (403, "not_permitted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_that_means_nothing_to_a_role_is_refused() {
    let rig = Rig::start(Settings::default()).await;
    for (role, bounds) in [
        ("admin", json!({"label_prefix": "a/"})),
        ("auditor", json!({"largest_usd_cap": "5"})),
        ("caller", json!({"longest_expiry": "1h"})),
        ("issuer", json!({"vendors": ["nobody"]})),
        ("issuer", json!({"largest_usd_cap": "five"})),
        ("owner", json!({})),
        ("issuer", json!({"label": "a/"})),
    ] {
        let answer = try_api_key(&rig, role, bounds.clone()).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{role} {bounds}");
    }
}
