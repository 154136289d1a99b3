//! `keybrake-sfn`: deploy, run and brake, as a person would.

use std::process::Stdio;

use keybrake_tests::{
    API_KEY,
    engine::{Engine, arn, root},
    process,
    rig::eventually,
    step_functions::Cloud,
};
use serde_json::{Value, json};
use tokio::process::Command;

const ROLE: &str = "arn:aws:iam::123456789012:role/keybrake";

fn command(cloud: &Cloud, engine: &Engine, arguments: &[&str]) -> Command {
    let mut command = Command::new(process::program("keybrake-sfn"));
    command
        .args(arguments)
        .env("AWS_ENDPOINT_URL_LAMBDA", &cloud.lambda.url)
        .env("AWS_ENDPOINT_URL_SFN", engine.url())
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("KEYBRAKE_URL", &cloud.keybrake.proxy.url)
        .env("KEYBRAKE_API_KEY", API_KEY)
        .env("NO_PROXY", "*")
        .kill_on_drop(true);
    command
}

/// What a command that ends well prints.
async fn run(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let (said, talked) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{said}{talked}");
    assert!(!said.contains(API_KEY) && !talked.contains(API_KEY), "{said}{talked}");
    said.trim().to_owned()
}

async fn deploy(cloud: &Cloud, engine: &Engine) -> String {
    let example = root().join("examples/step-functions/billing.asl.json");
    let programs = process::program("");
    let fetch = format!("FetchCustomers={}", arn("fetch-customers"));
    let arguments = [
        "deploy",
        example.to_str().unwrap(),
        "--name",
        "billing",
        "--functions",
        programs.to_str().unwrap(),
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
    run(command(cloud, engine, &arguments)).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the interpreter of state machines: run make test"]
async fn a_machine_is_deployed_twice_and_run_and_summed_up_from_both_sides() {
    let cloud = Cloud::start().await;
    cloud.has_customers(5);
    let engine = cloud.engine();
    let machine = deploy(&cloud, &engine).await;
    assert_eq!(machine, "arn:aws:states:us-east-1:123456789012:stateMachine:billing");
    assert_eq!(deploy(&cloud, &engine).await, machine, "a second time it is an update");
    let settings = cloud.lambda.settings("keybrake-charge-one");
    assert_eq!(settings["Environment"]["Variables"]["KEYBRAKE_API_KEY"], API_KEY);

    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input.json");
    std::fs::write(&input, r#"{"plan_id": "plan_1", "budget_usd": 3}"#).unwrap();
    let input = input.to_str().unwrap();
    let said = run(command(&cloud, &engine, &["run", &machine, "--input", input])).await;

    for told in ["SUCCEEDED", "5 items, 3 charged", "$3.00 settled", "3 settled", "2 cap_exhausted"]
    {
        assert!(said.contains(told), "{told}: {said}");
    }
    assert_eq!(cloud.lambda.history("keybrake-charge-one").inputs.len(), 5);
    assert_eq!(cloud.charged().await, 3);

    let said = run(command(
        &cloud,
        &engine,
        &["run", &machine, "--input", input, "--name", "second", "--json"],
    ))
    .await;
    let summary: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&summary["status"], &summary["settled_usd"]),
        (&json!("SUCCEEDED"), &json!("3.00"))
    );
    assert_eq!(summary["calls"], json!({"cap_exhausted": 2, "settled": 3}));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the interpreter of state machines: run make test"]
async fn the_brake_stops_a_running_executions_spending_and_the_execution() {
    let cloud = Cloud::start().await;
    cloud.has_customers(1);
    let engine = cloud.engine();
    let mut machine = keybrake_tests::engine::example("billing");
    machine["States"]["IssueVaultKey"]["Next"] = json!("Wait");
    machine["States"]["Wait"] = json!({"Type": "Wait", "Seconds": 3600, "Next": "FetchCustomers"});
    let machine = engine.create("billing", &machine).await;
    let input = json!({"plan_id": "plan_1", "budget_usd": 3});
    let execution = engine.begin(&machine, "run-1", &input).await;
    eventually("the key is issued", || async { cloud.keys(&execution).await.pop() }).await;

    let said = run(command(&cloud, &engine, &["brake", &execution, "--stop"])).await;

    assert!(said.contains("revoked at") && said.contains("$0.00 spent"), "{said}");
    assert_eq!(cloud.keys(&execution).await[0]["state"], "revoked");
    assert_eq!(engine.end(&execution).await.status, "ABORTED");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the interpreter of state machines: run make test"]
async fn what_is_missing_is_said_before_anything_is_changed() {
    let cloud = Cloud::start().await;
    let engine = cloud.engine();
    let example = root().join("examples/step-functions/billing.asl.json");
    let deploy = [
        "deploy",
        example.to_str().unwrap(),
        "--name",
        "billing",
        "--function-role",
        ROLE,
        "--machine-role",
        ROLE,
    ];
    let programs = process::program("");
    for (more, told) in [
        (vec!["--functions", programs.to_str().unwrap()], "--set FetchCustomers="),
        (vec!["--functions", "/nowhere", "--set", "FetchCustomers=x"], "cargo lambda build"),
        (
            vec![
                "--functions",
                programs.to_str().unwrap(),
                "--set",
                "FetchCustomers=x",
                "--env",
                "NO_SUCH_VARIABLE",
            ],
            "NO_SUCH_VARIABLE",
        ),
    ] {
        let arguments = [&deploy[..], &more].concat();
        let output = command(&cloud, &engine, &arguments).output().await.unwrap();
        let talked = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && talked.contains(told), "{told}: {talked}");
    }
    let machines = engine.ask("ListStateMachines", &json!({})).await;
    assert_eq!(machines["stateMachines"], json!([]));
}
