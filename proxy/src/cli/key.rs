//! `keybrake key`

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::{
    client::{Common, query},
    confirm::Confirm,
    page::{self, Page},
    print, table,
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Issue a vault key. Its token is shown once.
    Issue(Box<IssueOptions>),
    /// List vault keys, the newest first.
    List {
        /// Only of this run.
        #[arg(long)]
        label: Option<String>,
        #[command(flatten)]
        page: Page,
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
        /// Show no token: callers name the key, with an API key of the role `caller`.
        #[arg(long)]
        no_token: bool,
    },
    /// Stop a run: revoke the key's budget and everything on it, for good.
    Revoke {
        #[command(flatten)]
        key: One,
        #[command(flatten)]
        confirm: Confirm,
    },
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
    /// What it is for: to spend, or to read the audit rows of runs whose label begins with its own.
    #[arg(long, value_enum, default_value_t = Scope::Spend)]
    scope: Scope,
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
    #[arg(long = "allow", required_if_eq("scope", "spend"))]
    allowed_endpoints: Vec<String>,
    /// How many calls it may make in all.
    #[arg(long)]
    max_calls: Option<u32>,
    /// A parameter with a value that it may have, such as `customer=cus_1`. Repeat it for more.
    #[arg(long = "allow-param", value_name = "NAME=VALUE", value_parser = pair)]
    allowed_params: Vec<(String, String)>,
    /// A vendor's account that a header may name, such as `acct_1`. Repeat it for more.
    #[arg(long = "allow-account", value_name = "ACCOUNT")]
    allowed_accounts: Vec<String>,
    /// What to do about an object that a decline leaves committed.
    #[arg(long, default_value = "keep", value_parser = ["keep", "cancel"])]
    on_decline: String,
    /// What a call counts for whose price can't be known, such as `"POST /v1/subscriptions=20"`.
    #[arg(long = "fixed-hold", value_name = "ENDPOINT=DOLLARS", value_parser = pair)]
    fixed_holds: Vec<(String, String)>,
    /// Make the idempotency key of each write from its content, whatever the caller sends.
    #[arg(long)]
    idempotency_from_content: bool,
    /// Refuse writes without an idempotency key.
    #[arg(long)]
    require_idempotency_key: bool,
    /// Spend also from this vault key's budget: `vk_…`.
    #[arg(long)]
    parent_key_id: Option<String>,
    /// Show no token: callers name the key, with an API key of the role `caller`.
    #[arg(long)]
    no_token: bool,
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
        Command::List { label, page, common } => {
            let asked: Vec<_> =
                [("agent_run_label", label)].into_iter().chain(page.asked()).collect();
            let path = format!("/vault/keys?{}", query(&asked));
            let listed = common.server.client()?.ask(Method::GET, &path, None).await?;
            let columns =
                ["key_id", "agent_run_label", "state", "spent_usd", "held_usd", "remaining_usd"];
            page::show(&listed, &columns, common.json);
        }
        Command::Show(key) => one(key, Method::GET, "", None).await?,
        Command::Refresh { key, expires_in, no_token } => {
            let body = json!({ "expires_in": expires_in, "return_token": !no_token });
            one(key, Method::POST, "/refresh", Some(&body)).await?;
        }
        Command::Revoke { key, confirm } => {
            confirm.ask(&format!("This stops {} and all that spends from it.", key.key_id))?;
            one(key, Method::DELETE, "", None).await?;
        }
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

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scope {
    Spend,
    Audit,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.rsplit_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    pair.ok_or_else(|| "it has the form NAME=VALUE".to_owned())
}

fn issue_body(options: &IssueOptions) -> Value {
    if options.scope == Scope::Audit {
        return json!({
            "scope": "audit",
            "expires_in": options.expires_in,
            "agent_run_label": options.label,
            "return_token": !options.no_token,
        });
    }
    let mut allowed_params: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in &options.allowed_params {
        allowed_params.entry(name).or_default().insert(value);
    }
    let fixed_holds: BTreeMap<_, _> = options.fixed_holds.iter().cloned().collect();
    let idempotency = if options.idempotency_from_content { "content" } else { "caller" };
    json!({
        "vendor": options.vendor,
        "total_usd_cap": options.total_usd_cap,
        "daily_usd_cap": options.daily_usd_cap,
        "per_call_usd_cap": options.per_call_usd_cap,
        "max_calls": options.max_calls,
        "allowed_endpoints": options.allowed_endpoints,
        "allowed_params": allowed_params,
        "allowed_accounts": options.allowed_accounts,
        "on_decline": options.on_decline,
        "fixed_holds": fixed_holds,
        "idempotency": idempotency,
        "require_idempotency_key": options.require_idempotency_key,
        "parent_key_id": options.parent_key_id,
        "expires_in": options.expires_in,
        "agent_run_label": options.label,
        "return_token": !options.no_token,
    })
}
