//! What somebody with one credential tries, and does not get.

use keybrake::sandbox::Settings;
use keybrake_tests::{
    SECRET,
    rig::{Rig, eventually, read},
};
use serde_json::json;

use super::{api_key, charge_as, issue_with, with};

#[tokio::test(flavor = "multi_thread")]
async fn with_one_vault_key() {
    let rig = Rig::start(Settings::default()).await;
    let own = rig.issue(json!({"agent_run_label": "mine", "total_usd_cap": "1"})).await;
    let other = rig.issue(json!({"agent_run_label": "theirs"})).await;
    let secret_sale = rig.pay(&other, "their-key", 300).await;
    // Other runs' keys and rows.
    for (method, path) in [
        ("GET", "/vault/keys".to_owned()),
        ("GET", format!("/vault/keys/{}", other.id)),
        ("GET", "/audit/calls".to_owned()),
        ("GET", "/audit/export?format=csv".to_owned()),
        ("GET", "/audit/actions".to_owned()),
        ("POST", format!("/vault/keys/{}/refresh", own.id)),
        ("DELETE", format!("/vault/keys/{}", other.id)),
        ("DELETE", "/runs?label=theirs".to_owned()),
    ] {
        let answer = read(with(&rig, &own.token, method, &path)).await;
        assert!([401, 403].contains(&answer.status), "{method} {path}: {}", answer.status);
    }
    // Raising a cap, or issuing a key of one's own.
    assert_eq!(issue_with(&rig, &own.token, json!({"total_usd_cap": "1000"})).await.status, 401);
    // Spending under a sibling: the handle is not one's own to name.
    assert_eq!(charge_as(&rig, &own.token, &other.id, "x").await.status, 400);
    // The answer of another key's call, by its idempotency key: one's own policy does not allow it.
    let narrow = rig.issue(json!({"allowed_endpoints": ["GET /v1/charges"]})).await;
    let stolen = rig.pay(&narrow, "their-key", 300).await;
    assert_eq!((stolen.status, stolen.code()), (403, "endpoint_not_allowed"));
    assert!(!stolen.body.to_string().contains(secret_sale.text("/id")));
    // Forged tags.
    for name in ["metadata[keybrake_run]", "metadata[keybrake_call]", "metadata%5Bkeybrake_x%5D"] {
        let form = format!("amount=100&currency=usd&source=tok_visa&{name}=forged");
        let refused = read(rig.post(&own, "/v1/charges", name, &form)).await;
        assert_eq!((refused.status, refused.code()), (403, "parameter_not_allowed"), "{name}");
    }
    // Reviving a revoked run.
    read(rig.admin("DELETE", &format!("/vault/keys/{}", own.id))).await;
    assert_eq!(rig.pay(&own, "y", 100).await.code(), "key_revoked");
    assert_eq!(rig.vendor_total(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_handle_or_one_journal() {
    let rig = Rig::start(Settings::default()).await;
    let issuer = api_key(&rig, "issuer", json!({})).await;
    let journal = issue_with(&rig, &issuer, json!({"return_token": false})).await;
    // All that a journal holds: the answer without a token. It is no credential anywhere.
    for text in [journal.text("/key_id"), journal.text("/budget_id")] {
        for (method, path) in
            [("GET", "/vault/keys/self"), ("GET", "/audit/calls"), ("GET", "/stripe/v1/charges")]
        {
            let bearer = with(&rig, text, method, path);
            assert_eq!(read(bearer).await.status, 401);
            let request = rig.http.get(format!("{}{path}", rig.url));
            let named = request.header("x-keybrake-key-id", text);
            assert_eq!(read(named).await.status, 401);
        }
    }
    let guess = charge_as(&rig, "vault_key_guessed", journal.text("/key_id"), "k").await;
    assert_eq!(guess.status, 401);
    assert_eq!(rig.vendor_requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_api_key_of_a_lesser_role() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({"agent_run_label": "a/1"})).await;
    for role in ["issuer", "caller", "auditor"] {
        let token = api_key(&rig, role, json!({})).await;
        for (method, path, body) in [
            ("POST", "/admin/api_keys", json!({"name": "more", "role": "admin"})),
            ("POST", "/runs/lift", json!({"label": "a/1"})),
            ("POST", "/vault/keys", json!({"scope": "audit", "expires_in": "1h", "label": "a/"})),
        ] {
            let answer = read(with(&rig, &token, method, path).json(&body)).await;
            assert_eq!((answer.status, answer.code()), (403, "not_permitted"), "{role} {path}");
        }
        if role != "caller" {
            let spent = charge_as(&rig, &token, &key.id, role).await;
            assert_eq!((spent.status, spent.code()), (403, "not_permitted"), "{role}");
        }
    }
    assert_eq!(rig.vendor_requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_copy_of_the_database() {
    let mut rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({})).await;
    let token = api_key(&rig, "issuer", json!({})).await;
    let paid = rig.pay(&key, "k", 100).await;
    assert_eq!(paid.status, 200);
    eventually("the call is recorded", || async {
        (!rig.calls("state=settled").await.is_empty()).then_some(())
    })
    .await;
    rig.stop_proxy().await;
    let mut seen = 0;
    for entry in std::fs::read_dir(rig.data.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("keybrake.sqlite3") {
            let bytes = std::fs::read(&path).unwrap();
            seen += bytes.len();
            let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
            for secret in [SECRET, &key.token, &token, "\"payment_method_types\""] {
                assert!(!holds(secret), "{} holds a secret", path.display());
            }
            assert!(!holds("\"object\":\"payment_intent\""), "a stored answer is not sealed");
        }
    }
    assert!(seen > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_html_in_a_label_or_in_the_vendors_answer() {
    let rig = Rig::start(Settings::default()).await;
    let label = "<script>alert(1)</script>";
    let key = rig.issue(json!({"agent_run_label": label})).await;
    let listed = rig.admin("GET", "/vault/keys").send().await.unwrap();
    assert_eq!(listed.headers()["content-type"], "application/json");
    // The vendor's own page comes from our origin, and can do nothing there.
    let paid = rig.pay(&key, "k", 100).await;
    assert_eq!(paid.header("content-security-policy"), Some("sandbox; default-src 'none'"));
    assert_eq!(paid.header("x-content-type-options"), Some("nosniff"));
    for bad in ["a\nb", "a\u{7}b", ""] {
        let answer = rig.try_issue(json!({"agent_run_label": bad})).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{bad:?}");
    }
}
