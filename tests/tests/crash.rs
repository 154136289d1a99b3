//! The real process under load, killed again and again while calls are held, and sent but
//! unanswered, at a vendor that loses requests and answers. Its callers retry as an engine would.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what can't be started fails the test"
)]

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use keybrake::{
    outside::Clock,
    sandbox::{Faults, Sandbox, Settings},
};
use keybrake_tests::{API_KEY, SECRET, process, rig::eventually};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

const KILLS: usize = 12;
const CALLERS: usize = 12;
const CHARGES: usize = 900;
const CAP_DOLLARS: usize = 600;

/// How each charge ended for its caller: by the object's id, or by the refusal's code.
type Outcomes = Arc<Mutex<HashMap<String, Result<String, String>>>>;

fn start_proxy(data: &Path, vendor_url: &str, port: u16) -> process::Process {
    let command = process::proxy_command(
        &process::binary(),
        data,
        vendor_url,
        &[("KEYBRAKE_LOG", "off")],
        port,
    );
    process::started(command, port, "/healthz")
}

/// Makes one charge, and asks again under its key until the outcome is known.
async fn charge(http: &Client, url: &str, token: &str, key: &str) -> Result<String, String> {
    for _ in 0..10_000 {
        let call = http.post(format!("{url}/stripe/v1/payment_intents")).bearer_auth(token);
        let call = call
            .header("idempotency-key", key)
            .header("content-type", "application/x-www-form-urlencoded");
        let call = call.body("amount=100&currency=usd&confirm=true&payment_method=pm_card_visa");
        if let Ok(answer) = call.timeout(Duration::from_secs(20)).send().await {
            let status = answer.status().as_u16();
            let body: Value = answer.json().await.unwrap_or(Value::Null);
            let text = |pointer: &str| {
                body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            if status == 200 {
                return Ok(text("/id"));
            }
            if body.pointer("/keybrake/terminal") == Some(&Value::Bool(true)) {
                return Err(text("/code"));
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err("never ended".to_owned())
}

async fn ask(http: &Client, url: String) -> Option<Value> {
    http.get(url).bearer_auth(API_KEY).send().await.ok()?.json().await.ok()
}

/// Waits until calls are sent but unanswered at the vendor and held in the ledger, then kills.
async fn kill_in_flight(http: &Client, sandbox: &Sandbox, proxy: process::Process) {
    sandbox.hold(true);
    eventually("calls are held, and sent but unanswered", || async {
        let held = ask(http, format!("{}/audit/calls?state=held", proxy.url)).await?;
        let rows = held["data"].as_array()?.len();
        (rows > 0 && sandbox.held() > 0).then_some(())
    })
    .await;
    proxy.kill();
    sandbox.hold(false);
}

/// What the vendor has executed is spent or held.
async fn nothing_is_forgotten(http: &Client, sandbox: &Sandbox, key_url: &str) {
    // The vendor is asked first: what it executes from here on was held before.
    let executed = sandbox.executed().total_minor.get("usd").copied().unwrap_or(0);
    let shown = ask(http, key_url.to_owned()).await.unwrap();
    let cents = |name: &str| shown[name].as_str().unwrap().replace('.', "").parse::<u64>().unwrap();
    assert!(cents("spent_usd") + cents("held_usd") >= executed, "{executed} executed: {shown}");
}

/// A vendor that loses requests and answers, and fails behind some charges.
async fn start_vendor() -> (Sandbox, String) {
    let faults = Faults {
        answer_lost: 50_000,
        request_lost: 30_000,
        error_after_charge: 10_000,
        rate_limited: 30_000,
        ..Faults::default()
    };
    let settings = Settings {
        secret: SECRET.into(),
        latency: Duration::from_millis(5),
        faults,
        ..Settings::default()
    };
    let sandbox = Sandbox::new(settings, Clock::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let vendor_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));
    (sandbox, vendor_url)
}

async fn issue(http: &Client, url: &str) -> (String, String) {
    let body = json!({
        "vendor": "stripe", "total_usd_cap": CAP_DOLLARS, "expires_in": "1h", "agent_run_label": "crash",
        "allowed_endpoints": ["POST /v1/payment_intents"],
    });
    let issued = http
        .post(format!("{url}/vault/keys"))
        .bearer_auth(API_KEY)
        .json(&body)
        .send()
        .await
        .unwrap();
    let issued: Value = issued.json().await.unwrap();
    (
        issued["vault_key"].as_str().unwrap().to_owned(),
        issued["key_id"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_twelve_times_under_load_nothing_is_over_twice_or_forgotten() {
    let data = tempfile::tempdir().unwrap();
    let (sandbox, vendor_url) = start_vendor().await;
    let port = process::free_port();
    let mut proxy = start_proxy(data.path(), &vendor_url, port);
    let url = proxy.url.clone();
    let http = keybrake_tests::http();
    let (token, id) = issue(&http, &url).await;

    let outcomes = Outcomes::default();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (http, url, token, outcomes) =
            (http.clone(), url.clone(), token.clone(), Arc::clone(&outcomes));
        callers.spawn(async move {
            for index in (caller..CHARGES).step_by(CALLERS) {
                let key = format!("crash-{index}");
                let outcome = charge(&http, &url, &token, &key).await;
                outcomes.lock().unwrap().insert(key, outcome);
            }
        });
    }
    for kill in 1..=KILLS {
        kill_in_flight(&http, &sandbox, proxy).await;
        proxy = start_proxy(data.path(), &vendor_url, port);
        nothing_is_forgotten(&http, &sandbox, &format!("{url}/vault/keys/{id}")).await;
        // Some calls end between two kills, and some are left for the last.
        let enough = kill * 30;
        eventually("the load goes on", || async {
            (outcomes.lock().unwrap().len() >= enough).then_some(())
        })
        .await;
    }
    callers.join_all().await;

    let shown = eventually("nothing is held or in doubt", || async {
        let shown = ask(&http, format!("{url}/vault/keys/{id}")).await?;
        (shown["held_usd"] == "0.00" && shown["in_doubt_usd"] == "0.00").then_some(shown)
    })
    .await;
    audit(&sandbox, &shown, &outcomes.lock().unwrap());
    assert!(proxy.stop(), "it stops gracefully");
}

/// What the vendor executed, what the ledger says, and what the callers were told.
fn audit(sandbox: &Sandbox, shown: &Value, outcomes: &HashMap<String, Result<String, String>>) {
    let executed = sandbox.executed();
    assert_eq!(executed.duplicate_keys, Vec::<String>::new(), "no key is charged twice");
    let cap = u64::try_from(CAP_DOLLARS).unwrap() * 100;
    assert!(executed.high_water_minor["usd"] <= cap, "the vendor's total is never over the cap");
    assert_eq!(
        shown["spent_usd"],
        format!("{}.{:02}", executed.total_minor["usd"] / 100, executed.total_minor["usd"] % 100),
        "ledger = vendor"
    );
    let made: HashMap<_, _> = executed
        .data
        .iter()
        .filter_map(|row| Some((row.idempotency_key.clone()?, row.object_id.clone())))
        .collect();
    for (key, outcome) in outcomes {
        match outcome {
            Ok(object) => assert_eq!(
                Some(object),
                made.get(key),
                "nobody is told of a success that did not happen"
            ),
            Err(code) => {
                assert!(code == "cap_exhausted" && !made.contains_key(key), "{key}: {code}");
            }
        }
    }
    assert_eq!(
        outcomes.values().filter(|outcome| outcome.is_ok()).count(),
        CAP_DOLLARS,
        "every affordable charge is made"
    );
    assert_eq!(outcomes.len(), CHARGES);
}
