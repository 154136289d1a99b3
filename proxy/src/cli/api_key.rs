//! `keybrake api-key`

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::json;

use super::{client::Common, confirm::Confirm, page, print, table};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create an API key. Its token is shown once.
    Create(CreateOptions),
    /// List API keys, the newest first, with their last use.
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Stop an API key, within a second.
    Revoke {
        /// The API key's id: `ak_…`.
        api_key_id: String,
        #[command(flatten)]
        confirm: Confirm,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Role {
    /// Everything.
    Admin,
    /// Issues, refreshes and revokes vault keys.
    Issuer,
    /// Spends as a vault key that it names.
    Caller,
    /// Reads.
    Auditor,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Issuer => "issuer",
            Self::Caller => "caller",
            Self::Auditor => "auditor",
        }
    }
}

#[derive(Args)]
pub(super) struct CreateOptions {
    /// What you call it, such as where it is used.
    #[arg(long)]
    name: String,
    /// What it is for.
    #[arg(long, value_enum)]
    role: Role,
    /// Only for runs whose label begins so.
    #[arg(long)]
    label_prefix: Option<String>,
    /// Only for this vendor. Repeat it for more.
    #[arg(long = "vendor")]
    vendors: Option<Vec<String>>,
    /// The largest cap that it gives, in dollars.
    #[arg(long)]
    largest_usd_cap: Option<String>,
    /// The longest life of a vault key that it gives, such as 2h.
    #[arg(long)]
    longest_expiry: Option<String>,
    /// Only under this vault key's budget: `vk_…`.
    #[arg(long)]
    parent_key_id: Option<String>,
    /// How long it lives itself, such as 90d; for good by default.
    #[arg(long)]
    expires_in: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create(options) => {
            let body = json!({
                "name": options.name,
                "role": options.role.name(),
                "label_prefix": options.label_prefix,
                "vendors": options.vendors,
                "largest_usd_cap": options.largest_usd_cap,
                "longest_expiry": options.longest_expiry,
                "parent_key_id": options.parent_key_id,
                "expires_in": options.expires_in,
            });
            let Common { json, server } = options.common;
            let created =
                server.client()?.ask(Method::POST, "/admin/api_keys", Some(&body)).await?;
            print(&table::show_one(&created, json));
        }
        Command::List { common } => {
            let listed = common.server.client()?.ask(Method::GET, "/admin/api_keys", None).await?;
            let columns = ["api_key_id", "name", "role", "state", "last_used_at"];
            page::show(&listed, &columns, common.json);
        }
        Command::Revoke { api_key_id, confirm, common } => {
            confirm.ask(&format!("This stops the API key {api_key_id} for good."))?;
            let path = format!("/admin/api_keys/{}", super::path_segment(&api_key_id));
            let revoked = common.server.client()?.ask(Method::DELETE, &path, None).await?;
            print(&table::show_one(&revoked, common.json));
        }
    }
    Ok(())
}
