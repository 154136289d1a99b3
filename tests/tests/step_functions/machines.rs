//! The state machines and the templates as texts: the order of the retriers, which no validator
//! checks, and all that the validators do check.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use keybrake_tests::{
    engine::{example, python, root},
    sdk::tool,
};
use serde_json::{Value, json};

const MACHINES: [&str; 5] = [
    "billing",
    "billing-jsonata",
    "billing-tokens",
    "billing-distributed",
    "billing-after-approval",
];
/// What no retry helps.
const FINAL: [&str; 6] =
    ["CapExhausted", "KeyExpired", "KeyRevoked", "CallRefused", "InvalidInput", "VendorDeclined"];
const OF_LAMBDA: [&str; 5] = [
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
];

/// All states of a machine that invoke a function and wait for its answer.
fn tasks<'a>(value: &'a Value, found: &mut Vec<(String, &'a Value)>) {
    for (name, state) in value["States"].as_object().into_iter().flatten() {
        if state["Resource"] == "arn:aws:states:::lambda:invoke" {
            found.push((name.clone(), state));
        }
        tasks(&state["ItemProcessor"], found);
    }
}

fn names(retrier: &Value) -> Vec<&str> {
    retrier["ErrorEquals"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What is wrong with a task's retriers. They are tried in order, and before any Catch.
fn wrong(task: &Value) -> Option<&'static str> {
    let retriers = task["Retry"].as_array().cloned().unwrap_or_default();
    let [never, lambda, again] = retriers.as_slice() else { return Some("there are not three") };
    if names(never)[..] != FINAL || never["MaxAttempts"] != 0 {
        return Some("what no retry helps is not first, or is retried");
    }
    if names(lambda)[..] != OF_LAMBDA || lambda["JitterStrategy"] != "FULL" {
        return Some("Lambda's own errors are not second, or come all at once");
    }
    let attempts = again["MaxAttempts"].as_u64().unwrap_or(0);
    let told = names(again);
    let covered = ["OutcomeUnknown", "Retryable", "States.Timeout", "States.TaskFailed"];
    if told != covered || attempts < 5 || again["JitterStrategy"] != "FULL" {
        return Some("what a retry helps is not last, or not retried for long enough");
    }
    None
}

#[test]
fn in_every_task_a_cap_hit_meets_the_retrier_that_never_retries_first() {
    for machine in MACHINES {
        let definition = example(machine);
        let mut found = Vec::new();
        tasks(&definition, &mut found);
        assert!(found.len() >= 4, "{machine}");
        for (name, task) in found {
            assert_eq!(wrong(task), None, "{machine}, {name}");
        }
    }
}

#[test]
fn the_guides_retriers_are_those_of_the_machines() {
    let guide = fs::read_to_string(root().join("docs/step-functions.md")).unwrap();
    let (_, block) = guide.split_once("```json\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let told: Value = serde_json::from_str(&format!("{{{block}}}")).unwrap();
    assert_eq!(wrong(&told), None);
    assert_eq!(told["Retry"], example("billing")["States"]["IssueVaultKey"]["Retry"]);
}

#[test]
fn another_order_of_the_retriers_is_noticed() {
    let task = example("billing")["States"]["IssueVaultKey"].clone();
    for change in [
        |retriers: &mut Vec<Value>| retriers.swap(0, 2),
        |retriers: &mut Vec<Value>| retriers.swap(1, 2),
        |retriers: &mut Vec<Value>| {
            retriers.remove(0);
        },
        |retriers: &mut Vec<Value>| retriers[0]["MaxAttempts"] = json!(1),
        |retriers: &mut Vec<Value>| retriers[1]["ErrorEquals"] = json!(["States.TaskFailed"]),
    ] {
        let mut changed = task.clone();
        change(changed["Retry"].as_array_mut().unwrap());
        assert!(wrong(&changed).is_some(), "{changed}");
    }
}

#[test]
fn in_every_map_a_cap_hit_is_caught_by_a_state_that_drops_the_key() {
    for machine in &MACHINES[..4] {
        let definition = example(machine);
        let states = &definition["States"]["ChargeCustomers"]["ItemProcessor"]["States"];
        for (_, task) in
            states.as_object().unwrap().iter().filter(|(name, _)| name.starts_with("Charge"))
        {
            let catchers = task["Catch"].as_array().unwrap();
            let catcher = catchers.iter().find(|one| names(one).contains(&"CapExhausted")).unwrap();
            let next = &states[catcher["Next"].as_str().unwrap()];
            assert_eq!((&next["Type"], &next["End"]), (&json!("Pass"), &json!(true)), "{machine}");
            let given =
                if next["Output"].is_null() { &next["Parameters"] } else { &next["Output"] };
            assert!(given.is_object() && !given.to_string().contains("key"), "{machine}: {given}");
        }
    }
}

/// Runs a validator and says what it complains of.
fn complaints(mut command: Command) -> Option<String> {
    let home = tempfile::tempdir().unwrap();
    command
        .env("HOME", home.path())
        .env("SAM_CLI_TELEMETRY", "0")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    (!output.status.success()).then(|| String::from_utf8_lossy(&told).into_owned())
}

fn checker(name: &str) -> Command {
    Command::new(python().with_file_name(name))
}

#[test]
#[ignore = "needs the validators: run make test"]
fn the_validators_of_the_language_accept_the_machines_and_refuse_a_broken_one() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, definition: &Value| {
        let path = folder.path().join(format!("{name}.json"));
        fs::write(&path, definition.to_string()).unwrap();
        path
    };
    let asl = |path: &PathBuf| {
        let mut command = Command::new("node");
        command.arg(tool("step-functions-node").join("node_modules/.bin/asl-validator"));
        command.arg("--json-path").arg(path);
        complaints(command)
    };
    let statelint = |path: &PathBuf| {
        let mut command = checker("statelint");
        command.arg(path);
        complaints(command)
    };
    for machine in MACHINES {
        let path = write(machine, &example(machine));
        assert_eq!(asl(&path), None, "{machine}");
        // It knows no ReaderConfig yet.
        if machine != "billing-distributed" {
            assert_eq!(statelint(&path), None, "{machine}");
        }
    }
    let mut broken = example("billing");
    broken["States"]["FetchCustomers"]["Next"] = json!("Nowhere");
    let broken = write("broken", &broken);
    assert!(asl(&broken).is_some() && statelint(&broken).is_some());
}

#[test]
#[ignore = "needs the validators: run make test"]
fn the_validators_of_the_templates_accept_them() {
    let infra = root().join("infra/aws");
    let template = infra.join("template.yaml");
    let mut lint = checker("cfn-lint");
    lint.arg(&template);
    assert_eq!(complaints(lint), None);
    let mut sam = checker("sam");
    sam.args(["validate", "--lint", "--template"]).arg(&template).current_dir(&infra);
    assert_eq!(complaints(sam), None);

    let script = "const {parse} = require(process.argv[1]); const fs = require('fs');\
        Promise.all(process.argv.slice(2).map(f => parse(f, fs.readFileSync(f, 'utf8'))))\
        .catch(e => { console.error(e); process.exit(1); });";
    let mut hcl = Command::new("node");
    hcl.args(["-e", script]).arg(tool("step-functions-node").join("node_modules/@cdktf/hcl2json"));
    for folder in ["terraform", "terraform/definition"] {
        for file in fs::read_dir(infra.join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|kind| kind == "tf") {
                hcl.arg(path);
            }
        }
    }
    assert_eq!(complaints(hcl), None);
}

#[test]
fn both_templates_fill_what_the_machine_leaves_open_and_allow_no_more_than_it_needs() {
    let machine =
        fs::read_to_string(root().join("examples/step-functions/billing.asl.json")).unwrap();
    let open: BTreeSet<_> =
        machine.split("${").skip(1).map(|rest| rest.split_once('}').unwrap().0).collect();
    let sam = fs::read_to_string(root().join("infra/aws/template.yaml")).unwrap();
    let (_, filled) = sam.split_once("DefinitionSubstitutions:").unwrap();
    let (filled, _) = filled.split_once("Logging:").unwrap();
    let terraform =
        fs::read_to_string(root().join("infra/aws/terraform/definition/main.tf")).unwrap();
    for name in open {
        assert!(filled.contains(&format!(" {name}: ")), "{name}");
        assert!(
            terraform.lines().any(|line| line.trim_start().starts_with(&format!("{name} "))),
            "{name}"
        );
    }
    assert!(sam.contains("status: [ABORTED, TIMED_OUT]"));
    assert!(sam.contains("ReportBatchItemFailures") && sam.contains("IncludeExecutionData: false"));
    // The one wildcard is that of the log delivery.
    assert_eq!(sam.matches("\"*\"").count(), 1);
    for file in fs::read_dir(root().join("infra/aws/terraform")).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            assert!(!fs::read_to_string(path).unwrap().contains("\"*\""));
        }
    }
}
