use super::*;

#[tokio::test]
async fn wrong_parameters_are_refused_by_code() {
    let vendor = start().await;
    let keys: Vec<String> = (0..51).map(|n| format!("&metadata[k{n}]=v")).collect();
    let key51 = keys.concat();
    let cases = [
        ("amount=100&currency=usd&idempotency_key=k", "parameter_unknown", "idempotency_key"),
        ("currency=usd", "parameter_missing", "amount"),
        ("amount=100", "parameter_missing", "currency"),
        ("amount=&currency=usd", "parameter_invalid_empty", "amount"),
        ("amount=1.5&currency=usd", "parameter_invalid_integer", "amount"),
        ("amount=-100&currency=usd", "parameter_invalid_integer", "amount"),
        ("amount=%2B100&currency=usd", "parameter_invalid_integer", "amount"),
        ("amount=49&currency=usd", "amount_too_small", "amount"),
        ("amount=100000000&currency=usd", "amount_too_large", "amount"),
        ("amount=100&currency=xxx", "", "currency"),
        ("amount=100&amount=100&currency=usd", "", "amount"),
        ("amount[a]=100&currency=usd", "", "amount"),
        ("amount=100&currency=usd&confirm=yes", "", "confirm"),
        ("amount=100&currency=usd&customer=cus_x", "resource_missing", "customer"),
        ("amount=100&currency=usd&payment_method=pm_x", "resource_missing", "payment_method"),
        ("amount=100&currency=usd&expand[]=nonsense", "", "expand"),
        ("amount=100&currency=usd&metadata=text", "", "metadata"),
        (&format!("amount=100&currency=usd{key51}"), "", "metadata"),
        (&format!("amount=100&currency=usd&metadata[{}]=v", "k".repeat(41)), "", "metadata"),
        (&format!("amount=100&currency=usd&metadata[k]={}", "v".repeat(501)), "", "metadata"),
    ];
    for (body, code, param) in cases {
        let answer = vendor.post(INTENTS, body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.error("type"), "invalid_request_error", "{body}");
        assert_eq!(answer.error("code").as_str().unwrap_or(""), code, "{body}");
        assert_eq!(answer.error("param"), param, "{body}");
    }
    assert_eq!(vendor.sandbox.executed().data, []);
}

#[tokio::test]
async fn parameters_in_the_query_count_as_well() {
    let vendor = start().await;
    let twice = vendor.post(&format!("{INTENTS}?amount=200"), "amount=100&currency=usd").await;
    let once = vendor.post(&format!("{INTENTS}?amount=200"), "currency=usd").await;
    assert_eq!(twice.status, 400);
    assert_eq!(once.json()["amount"], 200);
}

#[tokio::test]
async fn a_json_body_is_refused() {
    let vendor = start().await;
    let headers = "Authorization: Bearer sk_test_sandbox\r\nContent-Type: application/json\r\n";
    let body = r#"{"amount":100,"currency":"usd"}"#;
    let answer = vendor.send_raw("POST", INTENTS, headers, body).await.unwrap();
    assert_eq!(answer.status, 400);
    assert_eq!(answer.error("type"), "invalid_request_error");
    let message = answer.error("message");
    assert!(message.as_str().unwrap().contains("application/x-www-form-urlencoded"));
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_not_echoed() {
    let vendor = start().await;
    for header in ["", "Authorization: Bearer sk_live_wrong\r\n", "Authorization: Basic !!\r\n"] {
        let answer = vendor.send_raw("GET", "/v1/balance", header, "").await.unwrap();
        assert_eq!(answer.status, 401, "{header}");
        assert!(!String::from_utf8_lossy(&answer.bytes).contains("wrong"));
    }
}

#[tokio::test]
async fn a_key_may_come_as_basic_user_name() {
    let header = "Authorization: Basic c2tfdGVzdF9zYW5kYm94Og==\r\n";
    let answer = start().await.send_raw("GET", "/v1/balance", header, "").await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn other_accounts_are_out_of_reach() {
    let vendor = start().await;
    let answer = vendor.send("GET", "/v1/balance", "Stripe-Account: acct_1\r\n", "").await.unwrap();
    assert_eq!((answer.status, answer.error("code")), (403, "account_invalid".into()));
}

#[tokio::test]
async fn unknown_paths_and_ids_are_404() {
    let vendor = start().await;
    for path in ["/v1/payouts", "/v1//charges", "/v1/charges/", "/v2/charges", "/"] {
        let answer = vendor.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        let message = answer.error("message");
        assert!(message.as_str().unwrap().starts_with("Unrecognized request URL"));
    }
    for kind in ["payment_intents", "charges", "refunds", "customers", "events"] {
        let answer = vendor.get(&format!("/v1/{kind}/x_1")).await;
        assert_eq!((answer.status, answer.error("code")), (404, "resource_missing".into()));
    }
    assert_eq!(vendor.send("DELETE", "/v1/charges/ch_1", "", "").await.unwrap().status, 404);
}
