//! `keybrake audit`

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::json;

use super::{
    client::{Common, Server, query},
    confirm::Confirm,
    page::{self, Page},
    print, table, talk,
};

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
    /// Write every call as CSV or JSON lines, the oldest first.
    Export(ExportOptions),
    /// List what was done through the admin API, and by whom.
    Actions {
        #[command(flatten)]
        page: Page,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args)]
pub(super) struct ExportOptions {
    /// As what.
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    #[command(flatten)]
    filters: Filters,
    /// Where to; standard output by default.
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For a spreadsheet. Cells that start a formula are marked as text.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

/// Which calls.
#[derive(Args)]
pub(super) struct Filters {
    /// Only of this run.
    #[arg(long)]
    label: Option<String>,
    /// Only of this vault key.
    #[arg(long)]
    key_id: Option<String>,
    /// Only to this vendor.
    #[arg(long)]
    vendor: Option<String>,
    /// Only with this idempotency key.
    #[arg(long)]
    idempotency_key: Option<String>,
    /// Only that made this object at the vendor.
    #[arg(long)]
    vendor_object_id: Option<String>,
    /// Only in this state: held, settled, released or `in_doubt`.
    #[arg(long)]
    state: Option<String>,
    /// Only with this verdict: allowed, denied or replayed.
    #[arg(long)]
    verdict: Option<String>,
    /// Only begun at or after this instant, such as 2026-01-31T12:00:00Z.
    #[arg(long)]
    since: Option<String>,
    /// Only begun before this instant.
    #[arg(long)]
    until: Option<String>,
}

impl Filters {
    /// The filters' own part of a query.
    fn asked(self) -> [(&'static str, Option<String>); 9] {
        [
            ("agent_run_label", self.label),
            ("key_id", self.key_id),
            ("vendor", self.vendor),
            ("idempotency_key", self.idempotency_key),
            ("vendor_object_id", self.vendor_object_id),
            ("state", self.state),
            ("verdict", self.verdict),
            ("since", self.since),
            ("until", self.until),
        ]
    }
}

#[derive(Args)]
pub(super) struct ListOptions {
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    page: Page,
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
    /// What it made at the vendor.
    #[arg(long, conflicts_with = "released")]
    vendor_object_id: Option<String>,
    /// Who says so.
    #[arg(long)]
    who: String,
    /// How you know.
    #[arg(long)]
    why: String,
    #[command(flatten)]
    confirm: Confirm,
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
        Command::Export(options) => export(options).await,
        Command::Actions { page, common } => {
            let path = format!("/audit/actions?{}", query(&page.asked()));
            let listed = common.server.client()?.ask(Method::GET, &path, None).await?;
            page::show(&listed, &["at", "who", "action", "target"], common.json);
            Ok(())
        }
        Command::Resolve(options) => {
            options.confirm.ask(&format!("This ends the doubt about {}.", options.call_id))?;
            let path = format!("/audit/calls/{}/resolve", super::path_segment(&options.call_id));
            let body = json!({
                "executed": options.settled,
                "amount_usd": options.amount_usd,
                "vendor_object_id": options.vendor_object_id,
                "who": options.who,
                "why": options.why,
            });
            let call =
                options.common.server.client()?.ask(Method::POST, &path, Some(&body)).await?;
            print(&table::show_one(&call, options.common.json));
            Ok(())
        }
    }
}

async fn list(options: ListOptions) -> anyhow::Result<()> {
    let asked: Vec<_> = options.filters.asked().into_iter().chain(options.page.asked()).collect();
    let path = format!("/audit/calls?{}", query(&asked));
    let listed = options.common.server.client()?.ask(Method::GET, &path, None).await?;
    page::show(&listed, &COLUMNS, options.common.json);
    Ok(())
}

async fn export(options: ExportOptions) -> anyhow::Result<()> {
    let format = match options.format {
        Format::Csv => "csv",
        Format::Jsonl => "jsonl",
    };
    let format = [("format", Some(format.to_owned()))];
    let asked: Vec<_> = format.into_iter().chain(options.filters.asked()).collect();
    let client = options.server.client()?;
    let path = format!("/audit/export?{}", query(&asked));
    let shows_progress = std::io::stderr().is_terminal();
    let progress = |bytes: u64| {
        if shows_progress {
            write!(std::io::stderr(), "\r{} KiB", bytes / 1024).ok();
        }
    };
    let written = match &options.out {
        Some(out) => {
            let mut file = std::fs::File::create(out)
                .with_context(|| format!("{} can't be written", out.display()))?;
            client.download(&path, &mut file, progress).await?
        }
        None => client.download(&path, &mut std::io::stdout(), progress).await?,
    };
    if let Some(out) = options.out {
        talk(&format!("\r{written} bytes written to {}", out.display()));
    }
    Ok(())
}
