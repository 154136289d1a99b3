//! Bad input: each kind with its own refusal, and never a byte to the vendor.

use std::time::Duration;

use keybrake::sandbox::Settings;
use keybrake_tests::rig::{Key, Rig, read};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const FORM: &str = "application/x-www-form-urlencoded";

async fn rig() -> (Rig, Key) {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({"allowed_endpoints": ["POST /*", "GET /*", "DELETE /*"]})).await;
    (rig, key)
}

#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what can't be sent fails the test"
)]
/// Sends raw bytes and reads what comes back within a second of silence.
async fn raw(rig: &Rig, request: &str) -> String {
    let mut socket = TcpStream::connect(rig.url.trim_start_matches("http://")).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 16_384];
    let length = tokio::time::timeout(Duration::from_secs(5), socket.read(&mut answer))
        .await
        .map_or(0, Result::unwrap);
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

fn nothing_was_sent(rig: &Rig) {
    let seen = rig.sandbox.requests();
    assert_eq!(seen.received, 0, "{:?}", seen.last);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_with_two_readings() {
    let (rig, key) = rig().await;
    for path in [
        "/stripe/v1/../v1/charges",
        "/stripe/v1/%2e%2e/charges",
        "/stripe/v1%2Fcharges",
        "/stripe/v1/charges%2f",
        "/stripe//v1/charges",
        "/stripe/v1//charges",
        "/stripe/v1/charges/",
        "/stripe/v1/charges;a=1",
        "/stripe/v1/%63harges",
        "/stripe/v1/charges%00",
        "/stripe/v1/charges%5c",
        "/stripe/./v1/charges",
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 0\r\n\r\n",
            key.token
        );
        let answer = raw(&rig, &head).await;
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains("path_not_canonical"),
            "{path}: {answer}"
        );
    }
    nothing_was_sent(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn law_8_default_deny_of_amounts_that_are_no_plain_amounts() {
    let (rig, key) = rig().await;
    for (form, code) in [
        ("amount=-5&currency=usd", "invalid_amount"),
        ("amount=0x10&currency=usd", "invalid_amount"),
        ("amount=1e3&currency=usd", "invalid_amount"),
        ("amount=1.5&currency=usd", "invalid_amount"),
        ("amount=%2B5&currency=usd", "invalid_amount"),
        ("amount=99999999999999999999&currency=usd", "invalid_amount"),
        ("amount=9223372036854775807&currency=usd", "invalid_amount"),
        ("currency=usd", "invalid_amount"),
        ("amount[]=100&currency=usd", "invalid_amount"),
        ("amount[value]=100&currency=usd", "invalid_amount"),
        ("Amount=100&currency=usd", "invalid_amount"),
        ("amount=100&AMOUNT=1&currency=usd", "invalid_amount"),
        ("amount=100&amount=1&currency=usd", "duplicate_parameter"),
        ("amount=100&%61mount=1&currency=usd", "duplicate_parameter"),
        ("amount=100&amount[]=1&currency=usd", "duplicate_parameter"),
        ("amount=100;amount=1&currency=usd", "invalid_request"),
        ("amount=100&currency=eur", "currency_not_priced"),
        ("amount=100&currency=xyz", "currency_not_priced"),
        ("amount=100", "currency_not_priced"),
        ("amount=100&currency=usd&metadata[keybrake_call]=x", "parameter_not_allowed"),
        ("amount=%ff&currency=usd", "invalid_request"),
        ("amount=%zz&currency=usd", "invalid_request"),
        ("a[b=1&amount=100&currency=usd", "invalid_request"),
    ] {
        let answer = read(rig.post(&key, "/v1/charges", "k", form)).await;
        assert_eq!(answer.code(), code, "{form}: {:?}", answer.body);
    }
    for (body, code) in [
        (r#"{"amount":100,"amount":1,"currency":"usd"}"#, "duplicate_parameter"),
        (r#"{"amount":1e2,"currency":"usd"}"#, "invalid_amount"),
        (r#"{"amount":100.0,"currency":"usd"}"#, "invalid_amount"),
        (r#"{"amount":{"value":100},"currency":"usd"}"#, "invalid_amount"),
        (r#"{"amount":null,"currency":"usd"}"#, "invalid_amount"),
        (r#"{"amount":true,"currency":"usd"}"#, "invalid_amount"),
        (r#"{"amount":100,"currency":"usd""#, "invalid_request"),
        ("[]", "invalid_request"),
    ] {
        let request =
            rig.http.post(format!("{}/stripe/v1/charges", rig.url)).bearer_auth(&key.token);
        let answer = read(request.header("content-type", "application/json").body(body)).await;
        assert_eq!(answer.code(), code, "{body}: {:?}", answer.body);
    }
    nothing_was_sent(&rig);
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
async fn law_8_default_deny_of_requests_outside_what_is_proxied() {
    let (rig, key) = rig().await;
    let post = |path: &str| {
        rig.http
            .post(format!("{}{path}", rig.url))
            .bearer_auth(&key.token)
            .header("content-type", FORM)
    };
    let usual = "amount=100&currency=usd";
    let cases = [
        (post("/stripe/v1/charges?amount=1").body(usual), 400, "invalid_request"),
        (
            post("/stripe/v1/charges").header("stripe-account", "acct_1").body(usual),
            403,
            "parameter_not_allowed",
        ),
        (
            post("/stripe/v1/charges").header("stripe-context", "acct_1").body(usual),
            403,
            "parameter_not_allowed",
        ),
        (
            post("/stripe/v1/charges").header("x-http-method-override", "GET").body(usual),
            400,
            "invalid_request",
        ),
        (
            post("/stripe/v1/charges").header("content-encoding", "gzip").body(usual),
            415,
            "invalid_request",
        ),
        (
            post("/stripe/v1/charges").header("idempotency-key", "x".repeat(256)).body(usual),
            400,
            "invalid_request",
        ),
        (post("/stripe/v1/charges").body("a".repeat(1024 * 1024 + 1)), 413, "body_too_large"),
        (post("/unknown/v1/charges").body(usual), 400, "invalid_request"),
        (post("/stripe/v1/not_known_yet").body(usual), 403, "unpriced_endpoint"),
        (post("/stripe/v1/ephemeral_keys").body(""), 403, "endpoint_not_allowed"),
        (
            rig.http
                .delete(format!("{}/stripe/v1/not_known_yet/x_1", rig.url))
                .bearer_auth(&key.token),
            403,
            "unpriced_endpoint",
        ),
        (rig.http.head(format!("{}/stripe/v1/charges", rig.url)).bearer_auth(&key.token), 403, ""),
        (
            rig.http
                .get(format!("{}/stripe/v1/charges", rig.url))
                .bearer_auth(&key.token)
                .body("x"),
            400,
            "invalid_request",
        ),
        (
            rig.http
                .post(format!("{}/stripe/v1/charges", rig.url))
                .bearer_auth(&key.token)
                .header("content-type", "text/xml")
                .body("<a/>"),
            415,
            "invalid_request",
        ),
        (rig.http.post(format!("{}/stripe/v1/charges", rig.url)).body(usual), 401, "invalid_key"),
        (
            rig.http
                .post(format!("{}/stripe/v1/charges", rig.url))
                .bearer_auth(keybrake_tests::API_KEY)
                .body(usual),
            401,
            "invalid_key",
        ),
    ];
    for (request, status, code) in cases {
        let shown = format!("{request:?}");
        let answer = read(request).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{shown}");
    }
    nothing_was_sent(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn smuggling_and_broken_framing() {
    let (rig, key) = rig().await;
    let head = |more: &str| {
        format!(
            "POST /stripe/v1/charges HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{more}",
            key.token
        )
    };
    let body = "amount=100&currency=usd";
    let cases = [
        head(&format!(
            "content-length: {}\r\ntransfer-encoding: chunked\r\n\r\n17\r\n{body}\r\n0\r\n\r\n",
            body.len()
        )),
        head(&format!(
            "transfer-encoding: chunked\r\ncontent-length: {}\r\n\r\n17\r\n{body}\r\n0\r\n\r\n",
            body.len()
        )),
        head(&format!("content-length: {}\r\ncontent-length: 5\r\n\r\n{body}", body.len())),
        head(&format!("content-length: +{}\r\n\r\n{body}", body.len())),
        head(&format!("transfer-encoding: identity, chunked, x\r\n\r\n{body}")),
        head(&format!("x-folded: a\r\n b\r\ncontent-length: {}\r\n\r\n{body}", body.len())),
        head(&format!("host: y\r\ncontent-length: {}\r\n\r\n{body}", body.len())),
        head(&format!(
            "upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )),
        format!(
            "POST http://other/stripe/v1/charges HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
            key.token,
            body.len()
        ),
        format!(
            "CONNECT api.stripe.com:443 HTTP/1.1\r\nhost: api.stripe.com:443\r\nauthorization: Bearer {}\r\n\r\n",
            key.token
        ),
    ];
    for request in cases {
        let answer = raw(&rig, &request).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{request}\n{answer}");
    }
    nothing_was_sent(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_never_sent_on() {
    let (rig, key) = rig().await;
    let mut socket = TcpStream::connect(rig.url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /stripe/v1/charges HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: {FORM}\r\ncontent-length: 100\r\n\r\namount=100&currency=usd",
        key.token
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.ok();
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    // A slow one is waited for within bounds, beside others.
    let mut slow = TcpStream::connect(rig.url.trim_start_matches("http://")).await.unwrap();
    slow.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read(rig.http.get(format!("{}/healthz", rig.url))).await.status, 200);
    nothing_was_sent(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn issue_requests_that_are_not_understood_say_what_is_wrong() {
    let (rig, _) = rig().await;
    for (more, says) in [
        (json!({"daily_usd_cpa": 5}), "daily_usd_cpa"),
        (json!({"vendor": "acme"}), "vendor is not one of: resend, stripe, twilio"),
        (json!({"total_usd_cap": 0}), "neither may be zero"),
        (json!({"total_usd_cap": -5}), "total_usd_cap is not an amount"),
        (json!({"total_usd_cap": "1e3"}), "total_usd_cap is not an amount"),
        (json!({"total_usd_cap": "1.0000001"}), "at most six decimals"),
        (json!({"total_usd_cap": null}), "total_usd_cap is needed"),
        (json!({"expires_in": "2 hours"}), "expires_in"),
        (json!({"expires_in": "0s"}), "1 second to 31 days"),
        (json!({"expires_in": "32d"}), "1 second to 31 days"),
        (json!({"expires_in_seconds": 60}), "exclude one another"),
        (json!({"expires_in": null}), "expires_in is missing"),
        (json!({"allowed_endpoints": []}), "1 to 100 endpoints"),
        (json!({"allowed_endpoints": ["POST v1/charges"]}), "is not an endpoint"),
        (json!({"agent_run_label": "x".repeat(513)}), "512 characters"),
        (json!({"agent_run_label": "a\u{0}b"}), "no control characters"),
        (json!({"agent_run_label": null}), "agent_run_label is missing"),
        (json!({"parent_key_id": "vk_1"}), "parent_key_id"),
    ] {
        let answer = rig.try_issue(more.clone()).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{more}");
        assert!(answer.text("/message").contains(says), "{more}: {}", answer.text("/message"));
    }
    let unknown_parent = rig.try_issue(json!({"parent_key_id": "vk_0000000000001"})).await;
    assert_eq!((unknown_parent.status, unknown_parent.code()), (404, "not_found"));
    let stranger = read(
        rig.http
            .post(format!("{}/vault/keys", rig.url))
            .bearer_auth("kb_api_wrong")
            .json(&json!({})),
    )
    .await;
    assert_eq!((stranger.status, stranger.code()), (401, "invalid_key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_contains_our_secret_is_withheld() {
    let (rig, key) = rig().await;
    // The sandbox echoes metadata: a caller who could learn the secret elsewhere can't launder it here.
    let form = format!("amount=100&currency=usd&metadata[note]={}", keybrake_tests::SECRET);
    let withheld = read(rig.post(&key, "/v1/payment_intents", "k", &form)).await;
    assert_eq!((withheld.status, withheld.code()), (502, "answer_withheld"));
    let listed = rig
        .http
        .get(format!("{}/stripe/v1/payment_intents", rig.url))
        .bearer_auth(&key.token)
        .send()
        .await;
    let body = match listed {
        Ok(answer) => answer
            .bytes()
            .await
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default(),
        Err(_) => String::new(),
    };
    assert!(!body.contains(keybrake_tests::SECRET), "{body}");
    let rows: Vec<Value> = rig.calls("").await;
    assert!(!serde_json::to_string(&rows).unwrap().contains(keybrake_tests::SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_date_or_is_no_text_is_refused_like_all_else() {
    let rig = Rig::start(Settings::default()).await;
    let body = json!({"name": "x", "role": "auditor", "expires_in": "99999999999999d"});
    let request = rig.admin("POST", "/admin/api_keys").json(&body);
    let paths = ["/vault/keys/%FF", "/audit/calls/%FF", "/audit/export?format=%FF"];
    let requests = paths.iter().map(|path| rig.admin("GET", path));
    for request in requests.chain([request]) {
        let answer = read(request).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{:?}", answer.body);
    }
}
