//! Requests that the real server sent to a function in TypeScript, sent to the same function in Rust:
//! the answers must be of the same kind. Signed requests are signed as they were.

use std::{fs, path::Path, time::Duration};

use futures_util::future::join_all;
use keybrake_client::{Failure, Reason, Told};
use keybrake_http_worker::inngest::{App, Function, FunctionError, Run, Settings, routes};
use keybrake_tests::inngest::Executor;
use serde_json::{Value, json};

const KEY: &str = "signkey-prod-abcdef0123456789abcdef0123456789";

fn failure(code: &str, terminal: bool, after: Option<u64>) -> Failure {
    let told =
        Box::new(Told { code: code.to_owned(), message: code.to_owned(), ..Told::default() });
    if terminal {
        return Failure::Terminal { reason: Reason::CapExhausted, told };
    }
    Failure::Retryable { after: after.map(Duration::from_secs), told }
}

async fn billing_agent(run: Run) -> Result<Value, FunctionError> {
    let key: Value =
        run.step.run("issue-vault-key", || async { Ok(json!({"vaultKey": "vk"})) }).await?;
    assert!(key["vaultKey"].is_string());
    let attempt = run.attempt;
    let charges = (0..20).map(|item| {
        run.step.run(&format!("charge-{item}"), move || async move {
            match item {
                13 => Err(failure("cap_exhausted", true, None)),
                7 if attempt == 0 => Err(failure("upstream 503", false, None)),
                5 if attempt == 0 => Err(failure("vendor 429", false, Some(2))),
                _ => Ok(json!({"id": format!("pi_{item}")})),
            }
        })
    });
    let ended = join_all(charges).await;
    let paid = ended.iter().filter(|ended| ended.is_ok()).count();
    Ok(json!({"charged": paid}))
}

async fn ops(run: Run) -> Result<Value, FunctionError> {
    let step = &run.step;
    step.sleep("nap", Duration::from_secs(1)).await?;
    let inv = step.invoke("call-child", "keybrake-demo-child", &json!({"a": 1})).await?;
    let sent: Value = step.run("emit", || async { Ok(json!({"ids": ["1"]})) }).await?;
    let waits = step.wait_for_event("wait-approval", "demo/approval", Duration::from_secs(2), None);
    let event = waits.await?;
    let mut found: Vec<Value> = Vec::new();
    for number in 0..3 {
        found.push(step.run("dup", move || async move { Ok(json!(number)) }).await?);
    }
    Ok(json!({"inv": inv, "sent": sent, "ev": event, "loop": found}))
}

async fn fatal(_: Run) -> Result<Value, FunctionError> {
    Err(FunctionError::fatal("NonRetriableError", "no way"))
}

async fn fatal_step(run: Run) -> Result<Value, FunctionError> {
    Ok(run.step.run("boom", || async { Err(failure("cap_exhausted", true, None)) }).await?)
}

async fn retry_fn(_: Run) -> Result<Value, FunctionError> {
    Err(failure("plain error", false, None).into())
}

async fn child(run: Run) -> Result<Value, FunctionError> {
    Ok(json!(run.event))
}

/// The worker, with its clock at the time of the recorded requests.
async fn served(signed: bool, api: &str, now: fn() -> u64) -> String {
    let variable = |name: &str| match name {
        "INNGEST_DEV" if !signed => Some(api.to_owned()),
        "INNGEST_API_BASE_URL" => Some(api.to_owned()),
        "INNGEST_SIGNING_KEY" if signed => Some(KEY.replace("abcdef", "fedcba")),
        // The one that is being rotated out still holds.
        "INNGEST_SIGNING_KEY_FALLBACK" if signed => Some(KEY.to_owned()),
        "INNGEST_SERVE_ORIGIN" if signed => Some("http://localhost:3001".to_owned()),
        "KEYBRAKE_INNGEST_APP_ID" => Some("keybrake-demo".to_owned()),
        _ => None,
    };
    let settings = Settings::load(&variable, now).unwrap();
    let functions = vec![
        Function::new("billing-agent", "billing/subscription.process", billing_agent),
        Function::new("child", "demo/child", child),
        Function::new("ops", "demo/ops", ops).retries(1),
        Function::new("fatal", "demo/fatal", fatal),
        Function::new("fatal-step", "demo/fatal-step", fatal_step),
        Function::new("retry-fn", "demo/retry-fn", retry_fn).retries(1),
    ];
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = routes(App::new(settings, functions).unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

fn recorded(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inngest/fixtures");
    serde_json::from_str(&fs::read_to_string(path.join(name)).unwrap()).unwrap()
}

async fn replayed(url: &str, recorded: &Value) -> (u16, reqwest::header::HeaderMap, Value) {
    let request = &recorded["request"];
    let method = request["method"].as_str().unwrap().parse().unwrap();
    let path = request["path"].as_str().unwrap();
    let mut asked = keybrake_tests::http().request(method, format!("{url}{path}"));
    for (name, value) in request["headers"].as_object().unwrap() {
        if name.starts_with("x-") {
            asked = asked.header(name, value.as_str().unwrap());
        }
    }
    // Bytes for bytes what was signed: compact, in the order of its members.
    let body = &request["body"];
    let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    let answer = asked.body(body).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.json().await.unwrap_or_default())
}

/// What must be the same whatever the function returns.
fn kind(ops: &Value) -> Value {
    let members = ["id", "op", "name", "displayName", "userland", "opts"];
    let of = |op: &Value| -> Value { members.iter().map(|member| op[*member].clone()).collect() };
    ops.as_array().map_or(Value::Null, |ops| ops.iter().map(of).collect())
}

fn assert_same_kind(
    name: &str,
    recorded: &Value,
    answered: &(u16, reqwest::header::HeaderMap, Value),
) {
    let (status, headers, body) = answered;
    let response = &recorded["response"];
    assert_eq!(json!(status), response["status"], "{name}: {body}");
    for header in [
        "x-inngest-no-retry",
        "retry-after",
        "x-inngest-req-version",
        "x-inngest-expected-server-kind",
        "x-inngest-sync-kind",
    ] {
        let was = response["headers"][header].as_str();
        let is = headers.get(header).map(|value| value.to_str().unwrap());
        assert_eq!(is, was, "{name}: {header}");
    }
    let is_signed = |headers: &Value| headers["x-inngest-signature"].is_string();
    assert_eq!(
        headers.contains_key("x-inngest-signature"),
        is_signed(&response["headers"]),
        "{name}"
    );
    if *status == 206 {
        assert_eq!(kind(body), kind(&response["body"]), "{name}");
        for (op, was) in body.as_array().unwrap().iter().zip(response["body"].as_array().unwrap()) {
            assert_eq!(op["error"].is_object(), was["error"].is_object(), "{name}: {op}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_calls_are_answered_as_they_were() {
    let executor = Executor::start().await;
    let url = served(false, &executor.url, || 0).await;
    for name in [
        "01-put-sync.json",
        "03-call-first-step.json",
        "04-call-plan-20.json",
        "05-call-planned-step-ok.json",
        "06-step-error-retriable.json",
        "07-step-failed-nonretriable.json",
        "08-step-error-retry-after.json",
        "09-retry-attempt1.json",
        "10-fan-in-complete.json",
        "11-sleep.json",
        "12-fn-nonretriable-400.json",
        "13-fn-retriable-500.json",
        "14-fn-last-attempt-400.json",
        "15-invoke.json",
        "17-wait-for-event.json",
        "18-dup-id-0.json",
        "19-dup-id-1.json",
        "20-ops-complete.json",
    ] {
        let recorded = recorded(name);
        assert_same_kind(name, &recorded, &replayed(&url, &recorded).await);
    }
    let ended = replayed(&url, &recorded("10-fan-in-complete.json")).await;
    assert_eq!(ended.2, json!({"charged": 19}));
    let ended = replayed(&url, &recorded("20-ops-complete.json")).await;
    assert_eq!((&ended.2["loop"], &ended.2["ev"]), (&json!([0, 1, 2]), &Value::Null));
    // The functions are told as the other SDK told them.
    let (told, was) = (executor.registered(), recorded("02-fn-register.json"));
    for function in &told {
        let was = was["request"]["body"]["functions"].as_array().unwrap();
        let was = was.iter().find(|was| was["id"] == function["id"]).unwrap();
        let (steps, steps_were) = (&function["steps"]["step"], &was["steps"]["step"]);
        assert_eq!((&function["triggers"], &function["name"]), (&was["triggers"], &was["name"]));
        assert_eq!(
            (&steps["runtime"]["type"], &steps["id"]),
            (&steps_were["runtime"]["type"], &steps_were["id"])
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_signatures_hold_for_their_time_and_for_nothing_else() {
    let executor = Executor::start().await;
    // 80 seconds from the one, 5 from the others.
    let url = served(true, &executor.url, || 1_795_325_165).await;
    for name in [
        "21-signed-put.json",
        "22-signed-call.json",
        "24-get-signed.json",
        "23-get-unsigned-401.json",
        "25-post-unsigned-401.json",
        "26-post-badsig-401.json",
    ] {
        let recorded = recorded(name);
        assert_same_kind(name, &recorded, &replayed(&url, &recorded).await);
    }
    let introspected = replayed(&url, &recorded("24-get-signed.json")).await.2;
    for (member, value) in [
        ("mode", json!("cloud")),
        ("function_count", json!(6)),
        ("authentication_succeeded", json!(true)),
    ] {
        assert_eq!(introspected[member], value);
    }

    let mut changed = recorded("22-signed-call.json");
    changed["request"]["body"]["event"]["data"]["more"] = json!(1);
    assert_eq!(replayed(&url, &changed).await.0, 401, "another body under the same signature");
    let late = served(true, &executor.url, || 1_795_325_167 + 301).await;
    assert_eq!(
        replayed(&late, &recorded("22-signed-call.json")).await.0,
        401,
        "five minutes later"
    );
}
