//! The admin API on an address of its own.

use keybrake_tests::{process::free_port, rig::read};

use super::Served;

/// Whatever is or will be the admin API's.
const ADMIN: [(&str, &str); 15] = [
    ("POST", "/vault/keys"),
    ("GET", "/vault/keys"),
    ("POST", "/admin/vault_keys"),
    ("GET", "/admin"),
    ("GET", "/vault/keys/vk_0000000000001"),
    ("DELETE", "/vault/keys/vk_0000000000001"),
    ("POST", "/vault/keys/vk_0000000000001/refresh"),
    ("DELETE", "/vault/keys/self"),
    ("GET", "/audit/calls"),
    ("GET", "/audit/calls/call_0000000000001"),
    ("POST", "/audit/calls/call_0000000000001/resolve"),
    ("GET", "/audit/export?format=jsonl"),
    ("DELETE", "/runs?label=x"),
    ("GET", "/reports/runs"),
    ("GET", "/metrics"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_is_on_its_own_address_alone() {
    let admin = format!("127.0.0.1:{}", free_port());
    let served = Served::start(&[("KEYBRAKE_ADMIN_LISTEN", &admin)]).await;
    let admin = format!("http://{admin}");
    let issued = served.issue_at(&admin).await;
    let (token, main) = (issued.text("/vault_key"), &served.proxy.url);
    assert_eq!(issued.text("/base_url"), format!("{main}/stripe"));

    for (method, path) in ADMIN {
        for credential in [keybrake_tests::API_KEY, token] {
            let request = served.http.request(method.parse().unwrap(), format!("{main}{path}"));
            let answer = read(request.bearer_auth(credential)).await;
            // A vault key of the scope `audit` may read here; this one has another.
            let is_read = path.starts_with("/audit/") || path.starts_with("/reports/");
            let reads = method == "GET" && is_read && credential == token;
            let expected = if reads { (403, "not_permitted") } else { (404, "not_found") };
            assert_eq!((answer.status, answer.code()), expected, "{method} {path}");
            assert!(reads || answer.text("/message").contains("KEYBRAKE_ADMIN_LISTEN"));
        }
    }
    assert_eq!(served.charge(token, "k", 100).await.status, 200);
    let own = served.http.get(format!("{main}/vault/keys/self")).bearer_auth(token);
    assert_eq!(read(own).await.text("/key_id"), issued.text("/key_id"));

    for path in ["/stripe/v1/charges", "/v1/charges", "/", "/anything"] {
        let proxied = served.http.post(format!("{admin}{path}")).bearer_auth(token).body("");
        let answer = read(proxied).await;
        assert_eq!((answer.status, answer.code()), (404, "not_found"), "{path}");
    }
    for url in [main, &admin] {
        for path in ["/healthz", "/readyz", "/openapi.json"] {
            assert_eq!(read(served.http.get(format!("{url}{path}"))).await.status, 200);
        }
    }
    let rows = read(served.admin("GET", &format!("{admin}/audit/calls"))).await;
    assert_eq!(rows.body["data"].as_array().unwrap().len(), 1, "{:?}", rows.body);
    assert_eq!(served.sandbox.requests().received, 1);
    assert!(served.proxy.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_listener_serves_all_where_no_other_is_named() {
    let served = Served::start(&[]).await;
    let url = served.proxy.url.clone();
    let issued = served.issue_at(&url).await;
    assert_eq!(served.charge(issued.text("/vault_key"), "k", 100).await.status, 200);
    assert_eq!(read(served.admin("GET", &format!("{url}/audit/calls"))).await.status, 200);
    for (method, path) in [("PUT", "/vault/keys"), ("GET", "/vault"), ("GET", "/audit/x")] {
        let answer = read(served.admin(method, &format!("{url}{path}"))).await;
        assert_eq!((answer.status, answer.code()), (404, "not_found"), "{method} {path}");
    }
}
