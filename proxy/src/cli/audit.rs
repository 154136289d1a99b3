//! `keybrake audit`

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{client::Common, print, table, talk};

#[derive(Subcommand)]
pub(super) enum Command {
    /// List calls, the newest first.
    List(ListOptions),
    /// Show one call.
    Show {
        /// The call's id: `call_…`.
        call_id: String,
        #[command(flatten)]
        common: Common,
    },
    /// End a call's doubt by your word, after looking at the vendor.
    Resolve(ResolveOptions),
}

#[derive(Args)]
pub(super) struct ListOptions {
    /// Only of this run.
    #[arg(long)]
    label: Option<String>,
    /// Only of this vault key.
    #[arg(long)]
    key_id: Option<String>,
    /// Only with this idempotency key.
    #[arg(long)]
    idempotency_key: Option<String>,
    /// Only in this state: held, settled, released or `in_doubt`.
    #[arg(long)]
    state: Option<String>,
    /// Only with this verdict: allowed, denied or replayed.
    #[arg(long)]
    verdict: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// The page after the one that ended with this cursor.
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(super) struct ResolveOptions {
    /// The call's id: `call_…`.
    call_id: String,
    /// The vendor executed it.
    #[arg(long, conflicts_with = "released", required_unless_present = "released")]
    settled: bool,
    /// The vendor did not execute it.
    #[arg(long)]
    released: bool,
    /// For how much, in dollars; what was held by default.
    #[arg(long, conflicts_with = "released")]
    amount_usd: Option<String>,
    /// Who says so.
    #[arg(long)]
    who: String,
    /// How you know.
    #[arg(long)]
    why: String,
    #[command(flatten)]
    common: Common,
}

/// The columns of a list: what fits a terminal and is asked for most.
pub(super) const COLUMNS: [&str; 6] =
    ["at", "call_id", "verdict", "state", "settled_usd", "idempotency_key"];

pub(super) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(options) => list(options).await,
        Command::Show { call_id, common } => {
            let path = format!("/audit/calls/{}", super::path_segment(&call_id));
            let call = common.server.client()?.ask(Method::GET, &path, None).await?;
            print(&table::show_one(&call, common.json));
            Ok(())
        }
        Command::Resolve(options) => {
            let path = format!("/audit/calls/{}/resolve", super::path_segment(&options.call_id));
            let mut body =
                json!({ "executed": options.settled, "who": options.who, "why": options.why });
            if let (Some(amount), Some(body)) = (options.amount_usd, body.as_object_mut()) {
                body.insert("amount_usd".to_owned(), json!(amount));
            }
            let call =
                options.common.server.client()?.ask(Method::POST, &path, Some(&body)).await?;
            print(&table::show_one(&call, options.common.json));
            Ok(())
        }
    }
}

async fn list(options: ListOptions) -> anyhow::Result<()> {
    let limit = options.limit.to_string();
    let filters = [
        ("agent_run_label", options.label),
        ("key_id", options.key_id),
        ("idempotency_key", options.idempotency_key),
        ("state", options.state),
        ("verdict", options.verdict),
        ("cursor", options.cursor),
        ("limit", Some(limit)),
    ];
    let given = filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    let listed = options
        .common
        .server
        .client()?
        .ask(Method::GET, &format!("/audit/calls?{query}"), None)
        .await?;
    let rows = listed.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    print(&table::show(&rows, &COLUMNS, options.common.json));
    if let Some(cursor) = listed.get("next_cursor").and_then(Value::as_str) {
        talk(&format!("more: --cursor {cursor}"));
    }
    Ok(())
}
