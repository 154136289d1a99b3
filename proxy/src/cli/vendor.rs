//! `keybrake vendor`: the vendors' secrets, sealed in the data directory, and their definitions.

use std::{
    io::{IsTerminal, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{print, table, talk};
use crate::{
    app::VENDOR_SECRETS,
    config::{self, Config, environment},
    outside::Clock,
    seal::SealKey,
    store::sqlite::{Durability, SqliteStore},
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Keep a vendor's secret, read from standard input or, with a variable's name, from the
    /// environment. The server must be stopped.
    Set {
        /// The vendor's name, such as stripe.
        vendor: String,
        /// The variable of the environment that has the secret.
        #[arg(long)]
        from_env: Option<String>,
    },
    /// Check the definition of a vendor of your own, and say what it prices.
    Check {
        /// The file.
        file: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the vendors and whether they have a secret. The server must be stopped.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    if let Command::Check { file, json } = &command {
        return check(file, *json);
    }
    let config = Config::load(&environment)?;
    let mut store = SqliteStore::open(&config.data_dir, Durability::Full)?;
    match command {
        Command::Set { vendor, from_env } => {
            if !config.vendors.contains_key(&vendor) {
                bail!("there is no vendor {vendor:?}: `keybrake vendor list` shows them");
            }
            let secret = read_secret(&vendor, from_env.as_deref())?;
            let data_key = store.wrapped_key("data", || config.master_key.wrap_new_key("data"))?;
            let seal = SealKey::new(config.master_key.unwrap_key("data", &data_key)?);
            let sealed = seal.seal(VENDOR_SECRETS, &vendor, secret.expose_secret().as_bytes());
            store.set_vendor_secret(&vendor, &sealed, Clock::default().now())?;
            talk(&format!("the secret of {vendor} is set; start the server to use it"));
            Ok(())
        }
        Command::List { json } => list(&config, &store, json),
        Command::Check { .. } => Ok(()),
    }
}

/// Reads a definition as the server would, and lists what it says about writes.
fn check(file: &Path, as_json: bool) -> anyhow::Result<()> {
    let definition = config::definition(file)?;
    let row = |endpoint: String, what: &str| json!({ "endpoint": endpoint, "is": what });
    let never = definition.never.iter().map(|it| row(it.to_string(), "never allowed"));
    let free = definition.free.iter().map(|it| row(it.to_string(), "free"));
    let guarded = definition.guarded.iter().map(|it| {
        let without = it.without.join(", ");
        row(it.endpoint.to_string(), &format!("free without {without}"))
    });
    let priced =
        definition.priced.iter().map(|it| row(it.endpoint.get_ref().to_string(), "priced"));
    let unpriced = definition
        .unpriced
        .iter()
        .map(|it| row(it.endpoint.to_string(), "refused without a fixed hold"));
    let rows: Vec<_> = priced.chain(unpriced).chain(guarded).chain(free).chain(never).collect();
    print(&table::show(&rows, &["endpoint", "is"], as_json));
    talk(&format!(
        "{} is valid: {} at {}; writes that are not listed are refused",
        file.display(),
        definition.name(),
        definition.base_url.get_ref()
    ));
    Ok(())
}

/// A secret is never an argument: those are seen by everybody on the machine.
fn read_secret(vendor: &str, from_env: Option<&str>) -> anyhow::Result<SecretString> {
    let mut text = String::new();
    if let Some(name) = from_env {
        text = environment(name)
            .with_context(|| format!("the environment has no {name}; nothing was changed"))?;
    } else {
        if std::io::stdin().is_terminal() {
            talk(&format!("Type the secret of {vendor}, then Enter and Ctrl-D:"));
        }
        std::io::stdin()
            .read_to_string(&mut text)
            .context("the secret can't be read from standard input")?;
    }
    let secret = text.trim();
    if secret.len() < 8 || !secret.bytes().all(|b| b.is_ascii_graphic()) {
        bail!("a secret has at least 8 printable characters and no spaces; nothing was changed");
    }
    Ok(SecretString::from(secret))
}

fn list(config: &Config, store: &SqliteStore, as_json: bool) -> anyhow::Result<()> {
    let stored = store.vendor_secrets()?;
    let rows = config.vendors.iter().map(|(name, vendor)| {
        let stored = stored.iter().find(|(known, ..)| known == name);
        let (secret, set_at) = match (&vendor.secret, stored) {
            (Some(_), _) => ("environment", None),
            (None, Some((.., at))) => ("stored", Some(at.to_string())),
            (None, None) => ("missing", None),
        };
        json!({ "vendor": name, "base_url": vendor.base_url(), "secret": secret, "set_at": set_at })
    });
    let rows: Vec<_> = rows.collect();
    print(&table::show(&rows, &["vendor", "base_url", "secret", "set_at"], as_json));
    Ok(())
}
