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
        let mut dates = Vec::new();
        for (name, vendor) in &config.vendors {
            checks.push(Check {
                what: format!("secret of {name}"),
                found: secret(&config, name, vendor),
            });
            let answered = reach(vendor).await;
            dates.extend(answered.as_ref().ok().and_then(|(_, date)| *date));
            let found =
                answered.map(|(status, _)| format!("{} answers ({status})", vendor.base_url()));
            checks.push(Check { what: format!("way to {name}"), found });
        }
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

fn secret(config: &Config, name: &str, vendor: &VendorConfig) -> anyhow::Result<String> {
    if vendor.secret.is_some() {
        return Ok("from the environment".to_owned());
    }
    let Some(key) = data_key(config)? else {
        bail!("missing: set it with `keybrake vendor set {name}`");
    };
    let stored = Readers::open(&config.data_dir)?.vendor_secret(name)?;
    let Some(sealed) = stored else {
        bail!("missing: set it with `keybrake vendor set {name}`");
    };
    key.open(crate::app::VENDOR_SECRETS, name, &sealed).with_context(|| {
        format!("can't be opened: set it again with `keybrake vendor set {name}`")
    })?;
    Ok("stored, and can be opened".to_owned())
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
