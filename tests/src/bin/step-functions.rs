//! Step Functions on this machine, without AWS: `example` runs one from deployment to summary, and
//! `bench` measures the functions.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use keybrake_tests::{
    API_KEY,
    engine::{Engine, arn, example, root},
    lambda::Code,
    process,
    stage::say,
    step_functions::{Cloud, FUNCTIONS},
};
use serde_json::{Value, json};
use tokio::process::Command;

/// A role that nobody checks here.
const ROLE: &str = "arn:aws:iam::123456789012:role/keybrake";
const CUSTOMERS: usize = 200;
const BUDGET_DOLLARS: usize = 50;
/// How many environments are started, and how often a warm one is invoked.
const STARTS: usize = 20;
const INVOCATIONS: usize = 300;

type Done = Result<(), Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let done = match std::env::args().nth(1).as_deref() {
        Some("example") => show().await,
        Some("bench") => bench().await,
        _ => Err("say example or bench".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Deploys the example, runs it, and says what each side has seen.
async fn show() -> Done {
    say("Starting the proxy with a sandbox for Stripe, Lambda and Step Functions on loopback.\n");
    let cloud = Cloud::start().await;
    cloud.has_customers(CUSTOMERS);
    let engine = cloud.engine();
    let folder = tempfile::tempdir()?;
    let input = folder.path().join("input.json");
    let given = json!({"plan_id": "plan_1", "budget_usd": BUDGET_DOLLARS});
    std::fs::write(&input, given.to_string())?;

    let definition = "examples/step-functions/billing.asl.json";
    let fetch = format!("FetchCustomers={}", arn("fetch-customers"));
    let programs = process::program("").display().to_string();
    let deploy = [
        "deploy",
        definition,
        "--name",
        "billing",
        "--functions",
        &programs,
        "--architecture",
        "x86_64",
        "--function-role",
        ROLE,
        "--machine-role",
        ROLE,
        "--env",
        "KEYBRAKE_URL",
        "--env",
        "KEYBRAKE_API_KEY",
        "--set",
        &fetch,
    ];
    let machine = command(&cloud, &engine, &deploy).await?;
    let input = input.display().to_string();
    command(&cloud, &engine, &["run", &machine, "--input", &input]).await?;

    let executed = cloud.keybrake.executed().await;
    let cents: u64 = executed.iter().map(|(_, cents, _)| cents).sum();
    say(&format!(
        "The vendor: {} payments executed, ${}.{:02}",
        cloud.charged().await,
        cents / 100,
        cents % 100
    ));
    let invoked = cloud.lambda.history("keybrake-charge-one").inputs.len();
    say(&format!("Lambda: charge-one was invoked {invoked} times for {CUSTOMERS} customers"));
    Ok(())
}

/// Runs `keybrake-sfn`, shows what it says, and gives what it printed.
async fn command(
    cloud: &Cloud,
    engine: &Engine,
    arguments: &[&str],
) -> Result<String, Box<dyn std::error::Error>> {
    say(&format!("$ keybrake-sfn {}", arguments.join(" ")));
    let output = Command::new(process::program("keybrake-sfn"))
        .args(arguments)
        .current_dir(root())
        .env("AWS_ENDPOINT_URL_LAMBDA", &cloud.lambda.url)
        .env("AWS_ENDPOINT_URL_SFN", engine.url())
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .env("KEYBRAKE_URL", &cloud.keybrake.proxy.url)
        .env("KEYBRAKE_API_KEY", API_KEY)
        .output()
        .await?;
    say(String::from_utf8_lossy(&output.stderr).trim_end());
    let said = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    say(&format!("{said}\n"));
    if output.status.success() { Ok(said) } else { Err("the command failed".into()) }
}

/// Sizes, starts, warm invocations and a fan-out, with the functions as they are deployed.
async fn bench() -> Done {
    let functions = root().join("target/function");
    let program = |name: &str| -> PathBuf { functions.join(name) };
    for function in FUNCTIONS {
        let bytes = std::fs::metadata(program(function))?.len();
        say(&format!("{function}: {}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000));
    }
    let cloud = Cloud::start_with(program).await;
    starts(&cloud, program("charge-one")).await;
    warm(&cloud).await?;
    let engine = cloud.engine();
    cloud.has_customers(CUSTOMERS);
    for (name, language) in [("billing", "JSONPath"), ("billing-jsonata", "JSONata")] {
        let since = Instant::now();
        let input = json!({"plan_id": "plan_1", "budget_usd": BUDGET_DOLLARS});
        let ended = engine.run(name, &example(name), &input).await;
        let took = since.elapsed();
        say(&format!("Map over {CUSTOMERS} in {language}: {} in {took:.2?}", ended.status));
    }
    Ok(())
}

/// How long an environment takes from its start to its first question.
async fn starts(cloud: &Cloud, program: PathBuf) {
    let variables =
        [("KEYBRAKE_URL", cloud.keybrake.proxy.url.as_str()), ("KEYBRAKE_API_KEY", API_KEY)];
    let mut inits = Vec::new();
    for _ in 0..STARTS {
        cloud.lambda.add("started", Code::Program(program.clone()), &variables);
        cloud.lambda.invoke("started", "{}").await.ok();
        inits.extend(cloud.lambda.history("started").inits);
    }
    say(&format!("init: {}", spread(inits)));
}

/// What a warm invocation takes, beside the same call straight to the proxy.
async fn warm(cloud: &Cloud) -> Done {
    let issue = json!({
        "vendor": "stripe", "daily_usd_cap": 100_000, "expires_in": "2h", "agent_run_label": "bench",
        "allowed_endpoints": ["POST /v1/payment_intents"],
    });
    let issued = cloud.lambda.invoke("issue-vault-key", issue.to_string()).await;
    let key = issued.map_err(|error| error.to_string())?;
    let key_id = key.get("key_id").and_then(Value::as_str).unwrap_or_default();
    let http = keybrake_tests::http_builder().no_proxy().build()?;
    let url = format!("{}/stripe/v1/payment_intents", cloud.keybrake.proxy.url);
    let mut direct = Vec::new();
    // In turn, so that both meet the machine in the same mood.
    for item in 0..INVOCATIONS {
        let charge = json!({
            "customer": cloud.customer(100), "item_index": item, "execution_id": "bench",
            "key_id": key_id, "expires_at": key.get("expires_at"),
        });
        let done = cloud.lambda.invoke("charge-one", charge.to_string()).await;
        done.map_err(|error| error.to_string())?;
        let since = Instant::now();
        let asked = http.post(&url).bearer_auth(API_KEY).header("x-keybrake-key-id", key_id);
        let asked = asked.header("idempotency-key", format!("direct-{item}")).json(&json!({
            "amount": 100, "currency": "usd", "customer": cloud.customer, "confirm": true,
            "off_session": true, "payment_method": "pm_card_visa",
        }));
        asked.send().await?.error_for_status()?.bytes().await?;
        direct.push(since.elapsed());
    }
    let invoked = cloud.lambda.history("charge-one").durations;
    say(&format!("warm invocation: {}", spread(invoked)));
    say(&format!("the same call straight to the proxy: {}", spread(direct)));
    Ok(())
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    format!("p50 {:.2?}, p90 {:.2?} of {}", at(50), at(90), times.len())
}
