//! API keys from Secrets Manager, through AWS's extension.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use keybrake_tests::{API_KEY, lambda::Code, process, step_functions::Cloud};
use serde_json::{Value, json};

type Asked = Arc<Mutex<Vec<String>>>;

async fn give(
    State(asked): State<Asked>,
    Query(query): Query<std::collections::HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    asked.lock().unwrap().push(query["secretId"].clone());
    if headers.get("x-aws-parameters-secrets-token").is_none_or(|token| token != "session") {
        return StatusCode::BAD_REQUEST.into_response();
    }
    match query["secretId"].as_str() {
        "keybrake/api-key" => Json(json!({"SecretString": API_KEY})).into_response(),
        _ => (StatusCode::BAD_REQUEST, "Operation returned status code 400").into_response(),
    }
}

async fn extension(asked: Asked) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let router = Router::new().route("/secretsmanager/get", get(give)).with_state(asked);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_asked_for_by_the_first_invocation_alone_and_a_missing_one_is_named() {
    let cloud = Cloud::start().await;
    let asked = Asked::default();
    let port = extension(Arc::clone(&asked)).await;
    let add = |secret: &str| {
        let variables = [
            ("KEYBRAKE_URL", cloud.keybrake.proxy.url.as_str()),
            ("KEYBRAKE_API_KEY_SECRET_ID", secret),
            ("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", port.as_str()),
            ("AWS_SESSION_TOKEN", "session"),
        ];
        let code = Code::Program(process::program("issue-vault-key"));
        cloud.lambda.add("issue-vault-key", code, &variables);
    };
    let issue = |state: u32| {
        json!({
            "vendor": "stripe", "daily_usd_cap": 5, "allowed_endpoints": ["POST /v1/payment_intents"],
            "expires_in": "2h", "agent_run_label": "run", "state": state.to_string()
        })
        .to_string()
    };
    add("keybrake/api-key");
    for state in 0..3 {
        cloud.lambda.invoke("issue-vault-key", issue(state)).await.unwrap();
    }
    assert_eq!(*asked.lock().unwrap(), ["keybrake/api-key"]);

    add("keybrake/none");
    let error: Value = cloud.lambda.invoke("issue-vault-key", issue(4)).await.unwrap_err();
    assert_eq!(error["errorType"], "Retryable");
    let message = error["errorMessage"].as_str().unwrap();
    assert!(message.contains("keybrake/none") && message.contains("nothing was sent"), "{message}");
}
