//! `keybrake report`

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{
    client::{Common, query},
    page::{self, Page},
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// What each run cost: those that spent most first.
    Runs(Options),
    /// What each agent cost: those that spent most first.
    Agents(Options),
    /// What each vendor cost on each day: the last day first.
    Vendors(Options),
    /// Which runs stand out, and why; of the last seven days where --since is not given.
    Anomalies(Options),
}

#[derive(Args)]
pub(super) struct Options {
    /// Only of this run.
    #[arg(long)]
    label: Option<String>,
    /// Only of runs whose label begins so.
    #[arg(long, value_name = "PREFIX")]
    label_prefix: Option<String>,
    /// Only to this vendor.
    #[arg(long)]
    vendor: Option<String>,
    /// Only calls begun at or after this instant, such as 2026-01-31T12:00:00Z.
    #[arg(long)]
    since: Option<String>,
    /// Only calls begun before this instant.
    #[arg(long)]
    until: Option<String>,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(command: Command) -> anyhow::Result<()> {
    let (name, columns, options): (_, &[_], _) = match command {
        Command::Runs(options) => {
            let columns = &[
                "agent_run_label",
                "agent",
                "spent_usd",
                "held_usd",
                "allowed",
                "replayed",
                "denied",
            ];
            ("runs", columns, options)
        }
        Command::Agents(options) => {
            ("agents", &["agent", "runs", "spent_usd", "held_usd", "allowed", "denied"], options)
        }
        Command::Vendors(options) => {
            ("vendors", &["day", "vendor", "spent_usd", "held_usd", "allowed", "denied"], options)
        }
        Command::Anomalies(options) => {
            ("anomalies", &["agent_run_label", "spent_usd", "why"], options)
        }
    };
    let filters = [
        ("agent_run_label", options.label),
        ("label_prefix", options.label_prefix),
        ("vendor", options.vendor),
        ("since", options.since),
        ("until", options.until),
    ];
    let given: Vec<_> = filters.into_iter().chain(options.page.asked()).collect();
    let path = format!("/reports/{name}?{}", query(&given));
    let mut listed = options.common.server.client()?.ask(Method::GET, &path, None).await?;
    if !options.common.json {
        tell_why(&mut listed);
    }
    page::show(&listed, columns, options.common.json);
    Ok(())
}

/// Puts all reasons of a run into one cell.
fn tell_why(listed: &mut Value) {
    for row in listed.get_mut("data").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(reasons) = row.get("reasons").and_then(Value::as_array) else {
            continue;
        };
        let why = reasons.iter().filter_map(|reason| reason.get("why")?.as_str());
        let why = why.collect::<Vec<_>>().join("; ");
        if let Some(members) = row.as_object_mut() {
            members.insert("why".to_owned(), json!(why));
        }
    }
}
