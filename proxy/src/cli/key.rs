//! `keybrake key`

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{client::Common, print, table};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Issue a vault key. Its token is shown once.
    Issue(IssueOptions),
    /// List vault keys, the newest first.
    List {
        /// Only of this run.
        #[arg(long)]
        label: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Show one vault key: what it may do, what is spent, held and left.
    Show(One),
    /// Make a new token on the same budget and policy.
    Refresh {
        #[command(flatten)]
        key: One,
        /// How long the new one lives; as long as the old one by default.
        #[arg(long)]
        expires_in: Option<String>,
    },
    /// Stop a run: revoke the key's budget and everything on it, for good.
    Revoke(One),
}

#[derive(Args)]
pub(super) struct One {
    /// The vault key's id: `vk_…`.
    key_id: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(super) struct IssueOptions {
    /// The vendor.
    #[arg(long, default_value = "stripe")]
    vendor: String,
    /// What the run may spend in all, in dollars.
    #[arg(long)]
    total_usd_cap: Option<String>,
    /// What it may spend per 24 hours from now, in dollars.
    #[arg(long)]
    daily_usd_cap: Option<String>,
    /// What one call may cost, in dollars.
    #[arg(long)]
    per_call_usd_cap: Option<String>,
    /// An endpoint that it may call, such as `POST /v1/charges`. Repeat it for more.
    #[arg(long = "allow", required = true)]
    allowed_endpoints: Vec<String>,
    /// How long it lives, such as 30m, 2h or 7d.
    #[arg(long, default_value = "1h")]
    expires_in: String,
    /// The run that it is for.
    #[arg(long)]
    label: String,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Issue(options) => {
            let body = issue_body(&options);
            let Common { json, server } = options.common;
            let issued = server.client()?.ask(Method::POST, "/vault/keys", Some(&body)).await?;
            print(&table::show_one(&issued, json));
        }
        Command::List { label, common } => {
            let query = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(label.iter().map(|label| ("agent_run_label", label)))
                .finish();
            let listed = common
                .server
                .client()?
                .ask(Method::GET, &format!("/vault/keys?{query}"), None)
                .await?;
            let rows = listed.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
            let columns = [
                "key_id",
                "agent_run_label",
                "state",
                "spent_usd",
                "held_usd",
                "remaining_usd",
                "expires_at",
            ];
            print(&table::show(&rows, &columns, common.json));
        }
        Command::Show(key) => one(key, Method::GET, "", None).await?,
        Command::Refresh { key, expires_in } => {
            let body = expires_in.map_or_else(|| json!({}), |span| json!({ "expires_in": span }));
            one(key, Method::POST, "/refresh", Some(&body)).await?;
        }
        Command::Revoke(key) => one(key, Method::DELETE, "", None).await?,
    }
    Ok(())
}

async fn one(key: One, method: Method, action: &str, body: Option<&Value>) -> anyhow::Result<()> {
    let One { key_id, common } = key;
    let path = format!("/vault/keys/{}{action}", super::path_segment(&key_id));
    let answer = common.server.client()?.ask(method, &path, body).await?;
    print(&table::show_one(&answer, common.json));
    Ok(())
}

fn issue_body(options: &IssueOptions) -> Value {
    json!({
        "vendor": options.vendor,
        "total_usd_cap": options.total_usd_cap,
        "daily_usd_cap": options.daily_usd_cap,
        "per_call_usd_cap": options.per_call_usd_cap,
        "allowed_endpoints": options.allowed_endpoints,
        "expires_in": options.expires_in,
        "agent_run_label": options.label,
    })
}
