//! `keybrake doctor`

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, header::DATE};
use http_body_util::Full;
use serde_json::{Value, json};

use super::{client, print, table};
use crate::{
    config::{Config, VendorConfig, environment},
    outside::Clock,
    seal::SealKey,
    store::reader::Readers,
};

/// How far this machine's clock may be from a vendor's.
const CLOCK_WITHIN: Duration = Duration::from_secs(30);

/// One thing that was looked at.
struct Check {
    what: String,
    found: anyhow::Result<String>,
}

pub(super) async fn run(as_json: bool) -> anyhow::Result<()> {
    let config = Config::load(&environment);
    let mut checks = Vec::new();
    let config = match config {
        Ok(config) => {
            let found =
                format!("listens on {}, data in {}", config.listen, config.data_dir.display());
            checks.push(Check { what: "configuration".to_owned(), found: Ok(found) });
            Some(config)
        }
        Err(error) => {
            checks.push(Check { what: "configuration".to_owned(), found: Err(error) });
            None
        }
    };
    if let Some(config) = config {
        checks.push(Check { what: "database".to_owned(), found: database(&config) });
        checks.push(Check { what: "master key".to_owned(), found: master_key(&config) });
        let (mut dates, mut unused) = (Vec::new(), Vec::new());
        for (name, vendor) in &config.vendors {
            let found = secret(&config, name, vendor);
            if matches!(found, Ok(None)) && !vendor.is_configured() {
                unused.push(name.as_str());
                continue;
            }
            checks.push(Check { what: format!("secret of {name}"), found: needed(name, found) });
            let answered = reach(vendor).await;
            dates.extend(answered.as_ref().ok().and_then(|(_, date)| *date));
            let found =
                answered.map(|(status, _)| format!("{} answers ({status})", vendor.base_url()));
            checks.push(Check { what: format!("way to {name}"), found });
        }
        checks.push(Check { what: "vendors".to_owned(), found: in_use(&config, &unused) });
        checks.push(Check { what: "clock".to_owned(), found: clock(&dates) });
    }
    let rows: Vec<Value> = checks.iter().map(Check::row).collect();
    print(&table::show(&rows, &["check", "result", "found"], as_json));
    match checks.iter().filter(|check| check.found.is_err()).count() {
        0 => Ok(()),
        wrong => bail!("{wrong} of {} checks found something wrong", checks.len()),
    }
}

impl Check {
    fn row(&self) -> Value {
        match &self.found {
            Ok(found) => json!({ "check": self.what, "result": "ok", "found": found }),
            Err(error) => {
                json!({ "check": self.what, "result": "WRONG", "found": format!("{error:#}") })
            }
        }
    }
}

fn database(config: &Config) -> anyhow::Result<String> {
    if !config.data_dir.join("keybrake.sqlite3").exists() {
        return Ok("none yet: the first start makes it".to_owned());
    }
    let readers = Readers::open(&config.data_dir)?;
    readers.check().context("restore a backup into the data directory")?;
    Ok("readable, of this version, whole".to_owned())
}

fn master_key(config: &Config) -> anyhow::Result<String> {
    match data_key(config)? {
        Some(_) => Ok("opens this database's keys".to_owned()),
        None => Ok("no database yet to open with it".to_owned()),
    }
}

fn data_key(config: &Config) -> anyhow::Result<Option<SealKey>> {
    if !config.data_dir.join("keybrake.sqlite3").exists() {
        return Ok(None);
    }
    let wrapped = Readers::open(&config.data_dir)?.wrapped_key("data")?;
    let key = wrapped.map(|wrapped| config.master_key.unwrap_key("data", &wrapped));
    let key = key.transpose().context(
        "the master key is not the one that this database was made with: give that one as KEYBRAKE_MASTER_KEY",
    )?;
    Ok(key.map(SealKey::new))
}

/// Where the secret of a vendor is, if it has one.
fn secret(
    config: &Config,
    name: &str,
    vendor: &VendorConfig,
) -> anyhow::Result<Option<&'static str>> {
    if vendor.secret.is_some() {
        return Ok(Some("from the environment"));
    }
    let Some(key) = data_key(config)? else {
        return Ok(None);
    };
    let Some(sealed) = Readers::open(&config.data_dir)?.vendor_secret(name)? else {
        return Ok(None);
    };
    key.open(crate::app::VENDOR_SECRETS, name, &sealed).with_context(|| {
        format!("can't be opened: set it again with `keybrake vendor set {name}`")
    })?;
    Ok(Some("stored, and can be opened"))
}

fn needed(name: &str, found: anyhow::Result<Option<&'static str>>) -> anyhow::Result<String> {
    match found? {
        Some(place) => Ok(place.to_owned()),
        None => bail!("missing: set it with `keybrake vendor set {name}`"),
    }
}

fn in_use(config: &Config, unused: &[&str]) -> anyhow::Result<String> {
    let used = config.vendors.keys().filter(|name| !unused.contains(&name.as_str()));
    let used: Vec<_> = used.map(String::as_str).collect();
    if used.is_empty() {
        bail!("none has a secret, so nothing can be called: set one with `keybrake vendor set`");
    }
    let rest = match unused {
        [] => String::new(),
        _ => format!("; not in use, having no secret: {}", unused.join(", ")),
    };
    Ok(format!("in use: {}{rest}", used.join(", ")))
}

/// The vendor's status and time, asked without the secret.
async fn reach(vendor: &VendorConfig) -> anyhow::Result<(u16, Option<jiff::Timestamp>)> {
    let request =
        Request::builder().uri(format!("{}/", vendor.base_url())).body(Full::new(Bytes::new()))?;
    let (parts, _) =
        client::exchange(request, Duration::from_secs(10)).await.with_context(|| {
            format!("{} does not answer: check network, proxy and TLS", vendor.base_url())
        })?;
    let date = parts.headers.get(DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    Ok((parts.status.as_u16(), date.map(|date| date.timestamp())))
}

fn clock(vendors: &[jiff::Timestamp]) -> anyhow::Result<String> {
    let now = jiff::Timestamp::from_microsecond(Clock::default().now().as_micros())?;
    let Some(vendor) = vendors.first() else {
        return Ok("no vendor said what time it is".to_owned());
    };
    let apart = now.duration_since(*vendor).unsigned_abs();
    if apart > CLOCK_WITHIN {
        bail!(
            "{} s from a vendor's: keys expire and windows end by it; set it right",
            apart.as_secs()
        );
    }
    Ok(format!("{now}, within {} s of a vendor's", CLOCK_WITHIN.as_secs()))
}
