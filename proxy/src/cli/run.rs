//! `keybrake run`

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::{
    client::{Common, query},
    confirm::Confirm,
    page, print, table,
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Stop runs: revoke all their keys, and let them issue nothing more.
    Revoke {
        #[command(flatten)]
        runs: Runs,
        /// With an empty prefix: yes, every run.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        confirm: Confirm,
        #[command(flatten)]
        common: Common,
    },
    /// Let revoked runs issue again. Their old keys stay revoked.
    Lift {
        #[command(flatten)]
        runs: Runs,
        #[command(flatten)]
        common: Common,
    },
    /// List the runs that issue nothing.
    Revoked {
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Runs {
    /// The run with this label.
    #[arg(long)]
    label: Option<String>,
    /// All runs whose label begins so.
    #[arg(long, value_name = "PREFIX")]
    label_prefix: Option<String>,
}

pub(super) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Revoke { runs, all, confirm, common } => {
            let which = match (&runs.label, &runs.label_prefix) {
                (Some(label), _) => format!("the run {label:?}"),
                (None, prefix) => {
                    format!(
                        "every run that begins with {:?}",
                        prefix.as_deref().unwrap_or_default()
                    )
                }
            };
            confirm.ask(&format!("This stops {which} for good."))?;
            let given = [
                ("label", runs.label),
                ("label_prefix", runs.label_prefix),
                ("all", all.then(|| "true".to_owned())),
            ];
            let path = format!("/runs?{}", query(&given));
            let revoked = common.server.client()?.ask(Method::DELETE, &path, None).await?;
            print(&table::show_one(&revoked, common.json));
        }
        Command::Lift { runs, common } => {
            let body = json!({ "label": runs.label, "label_prefix": runs.label_prefix });
            let client = common.server.client()?;
            let lifted = client.ask(Method::POST, "/runs/lift", Some(&body)).await?;
            print(&table::show_one(&lifted, common.json));
        }
        Command::Revoked { common } => {
            let listed = common.server.client()?.ask(Method::GET, "/runs/revoked", None).await?;
            page::show(&listed, &["label", "label_prefix", "revoked_at"], common.json);
        }
    }
    Ok(())
}
