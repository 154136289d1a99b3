//! `keybrake-sfn run`: one execution, and what Step Functions and the ledger each say of it.

use std::{collections::BTreeMap, fs, io::Read, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use aws_sdk_sfn::{
    Client as StepFunctions,
    operation::describe_execution::DescribeExecutionOutput,
    types::{ExecutionStatus, HistoryEvent},
};
use clap::Args;
use keybrake_client::{Keybrake, audit::CallFilter};
use keybrake_core::money::MicroUsd;
use serde_json::{Value, json};

use crate::{
    aws::{self, failed},
    brake::keybrake,
    print, talk,
};

/// How often the execution is looked at.
const EVERY: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(crate) struct Options {
    /// The state machine's ARN.
    machine: String,
    /// The input as JSON in a file; `-` for standard input.
    #[arg(long)]
    input: Option<PathBuf>,
    /// The execution's name, by which a repeated start is the same execution.
    #[arg(long)]
    name: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let input = input(options.input.as_deref())?;
    let keybrake = keybrake()?;
    let sfn = StepFunctions::new(&aws::config().await);
    let started = sfn
        .start_execution()
        .state_machine_arn(&options.machine)
        .set_name(options.name)
        .input(input)
        .send()
        .await
        .map_err(|error| failed("can't start the execution", error))?;
    let execution = started.execution_arn();
    talk(&format!("started {execution}"));
    talk(&format!("to stop its spending: keybrake-sfn brake {execution}"));
    let ended = follow(&sfn, execution).await?;
    let summary = summary(&keybrake, execution, &ended).await?;
    if options.json {
        print(&summary.to_string());
    } else {
        show(&summary);
    }
    let well = ended.status() == &ExecutionStatus::Succeeded;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn input(file: Option<&std::path::Path>) -> anyhow::Result<String> {
    let text = match file {
        None => "{}".to_owned(),
        Some(path) if path.as_os_str() == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text
        }
        Some(path) => {
            fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?
        }
    };
    serde_json::from_str::<Value>(&text).context("the input is not JSON")?;
    Ok(text)
}

/// Waits for the end, and says what has happened meanwhile whenever that has changed.
async fn follow(sfn: &StepFunctions, execution: &str) -> anyhow::Result<DescribeExecutionOutput> {
    let mut told = 0;
    loop {
        let shown = sfn.describe_execution().execution_arn(execution).send().await;
        let shown = shown.map_err(|error| failed("can't look at the execution", error))?;
        if let Some(event) = last_event(sfn, execution).await
            && event.id() != told
        {
            told = event.id();
            talk(&format!("{told} events, the last one {}", event.r#type().as_str()));
        }
        if shown.status() != &ExecutionStatus::Running {
            return Ok(shown);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Progress is told where it can be had; the execution does not depend on it.
async fn last_event(sfn: &StepFunctions, execution: &str) -> Option<HistoryEvent> {
    let asked = sfn
        .get_execution_history()
        .execution_arn(execution)
        .reverse_order(true)
        .include_execution_data(false)
        .max_results(1);
    asked.send().await.ok()?.events().first().cloned()
}

/// What the execution and the audit log each say.
async fn summary(
    keybrake: &Keybrake,
    execution: &str,
    ended: &DescribeExecutionOutput,
) -> anyhow::Result<Value> {
    let mut calls: BTreeMap<String, u64> = BTreeMap::new();
    let mut spent = MicroUsd::ZERO;
    let mut filter = CallFilter {
        agent_run_label: Some(execution.to_owned()),
        limit: Some(1_000),
        ..CallFilter::default()
    };
    loop {
        let page = keybrake.calls(&filter).await.context("can't read the audit log")?;
        for row in page.data {
            let what = row.code.or(row.state).unwrap_or(row.verdict);
            *calls.entry(what).or_default() += 1;
            if let Some(settled) = row.settled_usd {
                let settled = MicroUsd::parse(&settled).context("an amount that is none")?;
                spent = spent.checked_add(settled).context("more money than there is")?;
            }
        }
        filter.cursor = page.next_cursor;
        if filter.cursor.is_none() {
            break;
        }
    }
    let output = ended.output().and_then(|text| serde_json::from_str(text).ok());
    Ok(json!({
        "execution": execution, "status": ended.status().as_str(), "error": ended.error(),
        "cause": ended.cause(), "output": output.unwrap_or(Value::Null), "calls": calls,
        "settled_usd": spent.to_string(),
    }))
}

fn show(summary: &Value) {
    let text = |name: &str| summary.get(name).and_then(Value::as_str).unwrap_or_default();
    print(&format!("Step Functions: {}", text("status")));
    if !text("error").is_empty() {
        print(&format!("  {}: {}", text("error"), text("cause")));
    }
    let outcomes = summary.pointer("/output/outcomes").and_then(Value::as_array);
    if let Some(outcomes) = outcomes {
        let charged = outcomes.iter().filter(|one| one.get("charged").is_some()).count();
        print(&format!("  {} items, {charged} charged", outcomes.len()));
    }
    print(&format!("The ledger: ${} settled", text("settled_usd")));
    for (what, count) in summary.get("calls").and_then(Value::as_object).into_iter().flatten() {
        print(&format!("  {count} {what}"));
    }
}
