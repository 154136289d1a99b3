//! The configuration: `keybrake.toml`, overridden by `KEYBRAKE_*`.
//!
//! Keys that are not given are made once in the data directory, readable by its owner alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use base64::Engine;
use keybrake_core::{
    currency::Currency,
    money::MicroUsd,
    rates::{Margin, Rate, Rates},
    time::{Timestamp, parse_span},
    vendor::{self, definition::Definition},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{
    api,
    limits::{FileLimits, Limits},
    outside,
    seal::SealKey,
};

/// What can stand in `keybrake.toml`. Keys and secrets can't: they come from the environment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    admin_listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    public_url: Option<String>,
    vendor_timeout_seconds: Option<u64>,
    contention_wait_milliseconds: Option<u64>,
    answers_kept_days: Option<u64>,
    #[serde(default)]
    limits: FileLimits,
    /// Vendors of the operator's own, in files beside this one.
    #[serde(default)]
    vendor_files: Vec<PathBuf>,
    #[serde(default)]
    vendor: BTreeMap<String, FileVendor>,
    rates: Option<FileRates>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileVendor {
    base_url: Option<String>,
    tags: Option<bool>,
    account: Option<String>,
    /// Prices that replace those of a rate card, by its name and how a number begins.
    #[serde(default)]
    cards: BTreeMap<String, BTreeMap<String, MicroUsd>>,
}

/// What foreign money is in dollars.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRates {
    /// The day of the rates, `YYYY-MM-DD`, or an instant.
    as_of: String,
    largest_age: Option<String>,
    margin_percent: Option<String>,
    usd_per_unit: BTreeMap<String, String>,
}

/// A vendor: its definition, where it is reached, and whether its objects are tagged.
#[derive(Clone, Debug)]
pub struct VendorConfig {
    /// The definition.
    pub definition: Definition,
    /// Where all of it is reached, without a final slash, where the operator says so. It may be
    /// plain and private.
    pub own_address: Option<String>,
    /// The account that the secret is for, where the vendor's paths name it.
    pub account: Option<String>,
    /// Whether its objects carry our run and call.
    pub tags: bool,
    /// Its secret, where the environment gives one.
    pub secret: Option<SecretString>,
}

impl VendorConfig {
    /// Where it is reached.
    #[must_use]
    pub fn base_url(&self) -> &str {
        self.own_address.as_deref().unwrap_or_else(|| self.definition.base_url.get_ref())
    }

    /// Whether the operator has said anything about it: then it is meant to be used.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.own_address.is_some() || self.account.is_some() || self.secret.is_some()
    }
}

/// The configuration, whole and checked.
#[derive(Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where the admin API listens, if not there too.
    pub admin_listen: Option<SocketAddr>,
    /// Where the database and made keys are.
    pub data_dir: PathBuf,
    /// How callers reach this proxy, for `base_url` in answers.
    pub public_url: Option<String>,
    /// How long a vendor may take to answer, from the first byte sent.
    pub vendor_timeout: Duration,
    /// How long a call waits for money that others hold.
    pub contention_wait: Duration,
    /// How long answers are kept for replays.
    pub answers_kept: Duration,
    /// What the server puts up with.
    pub limits: Limits,
    /// The vendors by name.
    pub vendors: BTreeMap<String, VendorConfig>,
    /// What foreign money is in dollars.
    pub rates: Rates,
    /// The admin's API key.
    pub api_key: SecretString,
    /// Wraps all other keys.
    pub master_key: SealKey,
}

const DEFAULT_LISTEN: &str = "127.0.0.1:8787";
const DEFAULT_DATA_DIR: &str = "keybrake-data";

/// The variables of the environment, or of a test.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's own environment.
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Config {
    /// Reads the configuration. Makes the keys that are not given.
    pub fn load(variable: Variables<'_>) -> anyhow::Result<Self> {
        let (file, beside) = read_file(variable)?;
        let listen = match address(variable, "KEYBRAKE_LISTEN")?.or(file.listen) {
            Some(listen) => listen,
            None => DEFAULT_LISTEN.parse()?,
        };
        let admin_listen = address(variable, "KEYBRAKE_ADMIN_LISTEN")?.or(file.admin_listen);
        let public_url = variable("KEYBRAKE_PUBLIC_URL").or(file.public_url);
        let data_dir = data_dir(variable, file.data_dir)?;
        create_private_directory(&data_dir)?;
        let master_key = master_key(variable, &data_dir)?;
        Ok(Self {
            public_url: public_url_beside(public_url, listen, admin_listen)?,
            listen,
            admin_listen,
            vendor_timeout: Duration::from_secs(
                file.vendor_timeout_seconds.unwrap_or(60).clamp(1, 600),
            ),
            contention_wait: Duration::from_millis(
                file.contention_wait_milliseconds.unwrap_or(5_000).min(60_000),
            ),
            answers_kept: Duration::from_secs(file.answers_kept_days.unwrap_or(30).max(1) * 86_400),
            limits: Limits::load(variable, file.limits)?,
            vendors: vendors(variable, &file.vendor, definitions(&file.vendor_files, &beside)?)?,
            rates: rates(file.rates)?,
            api_key: api_key(variable, &data_dir)?,
            master_key,
            data_dir,
        })
    }
}

fn address(variable: Variables<'_>, name: &str) -> anyhow::Result<Option<SocketAddr>> {
    let address = variable(name).map(|text| text.parse()).transpose();
    address.with_context(|| format!("{name} is not an address such as 127.0.0.1:8787"))
}

/// How callers reach this proxy. Where keys are issued on another address than they are used at,
/// the host of an issue request does not tell.
fn public_url_beside(
    given: Option<String>,
    listen: SocketAddr,
    admin: Option<SocketAddr>,
) -> anyhow::Result<Option<String>> {
    match (given, admin) {
        (_, Some(admin)) if admin == listen => {
            bail!("KEYBRAKE_ADMIN_LISTEN is the address of KEYBRAKE_LISTEN: leave it out")
        }
        (None, Some(_)) if listen.ip().is_unspecified() => bail!(
            "KEYBRAKE_ADMIN_LISTEN is set and KEYBRAKE_LISTEN names no one address: set KEYBRAKE_PUBLIC_URL to how callers reach the proxy"
        ),
        (None, Some(_)) => Ok(Some(format!("http://{listen}"))),
        (given, _) => Ok(given),
    }
}

/// The data directory, for commands that need no more of the configuration.
pub fn data_dir(variable: Variables<'_>, from_file: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let directory = variable("KEYBRAKE_DATA_DIR").map(PathBuf::from).or(from_file);
    let directory = directory.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR));
    match variable("KEYBRAKE_DATABASE_URL") {
        Some(url) if !url.starts_with("sqlite:") => {
            bail!(
                "KEYBRAKE_DATABASE_URL names another database than SQLite, which this version does not speak"
            )
        }
        Some(url) => {
            let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
            Ok(PathBuf::from(path))
        }
        None => Ok(directory),
    }
}

/// The admin's API key: the given one, or the one that the server made in the data directory.
pub fn api_key(variable: Variables<'_>, data_dir: &Path) -> anyhow::Result<SecretString> {
    if let Some(given) = variable("KEYBRAKE_API_KEY") {
        if given.len() < 16 {
            bail!("KEYBRAKE_API_KEY is shorter than 16 characters: use a random one");
        }
        return Ok(SecretString::from(given));
    }
    let path = data_dir.join("api-key");
    let make = || format!("kb_api_{}", hex::encode(outside::random::<24>()));
    read_or_make(&path, make)
        .with_context(|| format!("no KEYBRAKE_API_KEY, and none in {}", path.display()))
}

/// The master key: the given one, or the one that was made in the data directory.
pub fn master_key(variable: Variables<'_>, data_dir: &Path) -> anyhow::Result<SealKey> {
    let text = match variable("KEYBRAKE_MASTER_KEY") {
        Some(given) => SecretString::from(given),
        None => {
            read_or_make(&data_dir.join("master-key"), || hex::encode(outside::random::<32>()))?
        }
    };
    let text = text.expose_secret().trim();
    let bytes = hex::decode(text)
        .ok()
        .or_else(|| base64::engine::general_purpose::STANDARD.decode(text).ok());
    match bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
        Some(bytes) => Ok(SealKey::new(bytes)),
        None => bail!("the master key is not 32 bytes as 64 hexadecimal digits or base64"),
    }
}

/// The configuration's file, and the directory that it is in.
fn read_file(variable: Variables<'_>) -> anyhow::Result<(File, PathBuf)> {
    let given = variable("KEYBRAKE_CONFIG").map(PathBuf::from);
    let path = given.clone().unwrap_or_else(|| PathBuf::from("keybrake.toml"));
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let file = toml::from_str(&text);
            let file = file.with_context(|| format!("{} is not valid", path.display()))?;
            Ok((file, path.parent().map(Path::to_owned).unwrap_or_default()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && given.is_none() => {
            Ok((File::default(), PathBuf::new()))
        }
        Err(error) => Err(error).with_context(|| format!("{} can't be read", path.display())),
    }
}

/// The definitions that are built in, and the operator's own.
fn definitions(files: &[PathBuf], beside: &Path) -> anyhow::Result<Vec<Definition>> {
    let own = files.iter().map(|file| definition(&beside.join(file)));
    let definitions = vendor::built_in()?.into_iter().map(Ok).chain(own);
    let definitions: Vec<Definition> = definitions.collect::<anyhow::Result<_>>()?;
    let mut names = BTreeSet::new();
    match definitions.iter().find(|definition| !names.insert(definition.name().to_owned())) {
        Some(twice) => bail!("the vendor {:?} is defined twice", twice.name()),
        None => Ok(definitions),
    }
}

/// Reads the definition of a vendor.
pub fn definition(path: &Path) -> anyhow::Result<Definition> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} can't be read", path.display()))?;
    let definition = Definition::parse(&text).with_context(|| path.display().to_string())?;
    check_paths(&definition)?;
    Ok(definition)
}

fn rates(file: Option<FileRates>) -> anyhow::Result<Rates> {
    let Some(file) = file else {
        return Ok(Rates::none());
    };
    let midnight = format!("{}T00:00:00Z", file.as_of);
    let as_of = Timestamp::parse(&file.as_of).or_else(|| Timestamp::parse(&midnight));
    let as_of = as_of.context("rates.as_of is not a day such as 2026-11-20")?;
    let largest_age = file.largest_age.as_deref().map(parse_span).transpose();
    let largest_age = largest_age.context("rates.largest_age is not a span of time such as 7d")?;
    let margin = Margin::parse(file.margin_percent.as_deref().unwrap_or("2"));
    let rate = |(code, rate): (&String, &String)| {
        let known = Currency::parse(code);
        let known = known.with_context(|| format!("rates: {code:?} is not a currency"))?;
        let rate = Rate::parse(rate).with_context(|| format!("rates: {code}"))?;
        anyhow::Ok((known, rate))
    };
    let published: Vec<_> = file.usd_per_unit.iter().map(rate).collect::<Result<_, _>>()?;
    let rates = Rates::new(
        as_of,
        largest_age.unwrap_or(Rates::USUAL_LARGEST_AGE),
        margin.context("rates.margin_percent")?,
        published,
    );
    rates.context("rates")
}

fn vendors(
    variable: Variables<'_>,
    files: &BTreeMap<String, FileVendor>,
    definitions: Vec<Definition>,
) -> anyhow::Result<BTreeMap<String, VendorConfig>> {
    let mut vendors = BTreeMap::new();
    for mut definition in definitions {
        check_paths(&definition)?;
        let name = definition.name().to_owned();
        let file = files.get(&name).cloned().unwrap_or_default();
        let prefix = format!("KEYBRAKE_VENDOR_{}", name.to_ascii_uppercase());
        let own_address = variable(&format!("{prefix}_BASE_URL")).or(file.base_url);
        let own_address = own_address.map(|own| own.trim_end_matches('/').to_owned());
        if let Some(address) = &own_address {
            check_address(&name, address)?;
        }
        for (card, prices) in file.cards {
            let known = definition.cards.iter_mut().find(|known| known.name == card);
            let known = known.with_context(|| format!("{name} has no rate card {card:?}"))?;
            known.prices = prices;
        }
        let account = variable(&format!("{prefix}_ACCOUNT")).or(file.account);
        let account = account.filter(|_| definition.account.is_some());
        let secret = variable(&format!("{prefix}_SECRET")).map(SecretString::from);
        let tags = file.tags.unwrap_or(true);
        vendors.insert(name, VendorConfig { definition, own_address, account, tags, secret });
    }
    match files.keys().find(|name| !vendors.contains_key(*name)) {
        Some(unknown) => {
            bail!("the configuration names the vendor {unknown:?}, which has no definition")
        }
        None => Ok(vendors),
    }
}

fn check_address(vendor: &str, address: &str) -> anyhow::Result<()> {
    let parsed: http::Uri =
        address.parse().with_context(|| format!("the base_url of {vendor} is not an address"))?;
    if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.path() != "/" {
        bail!("the base_url of {vendor} is not http(s)://host[:port]");
    }
    Ok(())
}

/// A vendor whose paths begin like the admin API's would never be reached.
fn check_paths(definition: &Definition) -> anyhow::Result<()> {
    let own = definition.own_prefixes.iter().map(String::as_str);
    let mut firsts = std::iter::once(definition.name()).chain(own);
    match firsts.find(|first| api::RESERVED.contains(first)) {
        Some(first) => bail!(
            "the vendor {:?} has paths under /{first}, which are Keybrake's own",
            definition.name()
        ),
        None => Ok(()),
    }
}

fn create_private_directory(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("the data directory {} can't be made", path.display()))
}

/// What the file says; where there is none, what is made and kept there for its owner alone.
fn read_or_make(path: &Path, make: impl FnOnce() -> String) -> anyhow::Result<SecretString> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let key = make();
            file.write_all(key.as_bytes()).and_then(|()| file.sync_all())?;
            tracing::warn!(path = %path.display(), "no key was given, so one was made; keep a copy of this file");
            Ok(SecretString::from(key))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("{} can't be read", path.display()))?;
            Ok(SecretString::from(text.trim().to_owned()))
        }
        Err(error) => Err(error).with_context(|| format!("{} can't be made", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> anyhow::Result<Config> {
        let directory = tempfile::tempdir().unwrap();
        let of = |name: &str| {
            let given = pairs
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned());
            given.or_else(|| {
                (name == "KEYBRAKE_DATA_DIR").then(|| directory.path().display().to_string())
            })
        };
        Config::load(&of)
    }

    #[test]
    fn nothing_given_is_a_working_configuration() {
        let config = load(&[]).unwrap();
        assert_eq!(config.listen.to_string(), DEFAULT_LISTEN);
        assert_eq!(config.vendors["stripe"].own_address, None);
        assert_eq!(config.vendors["stripe"].base_url(), "https://api.stripe.com");
        assert!(config.api_key.expose_secret().starts_with("kb_api_"));
    }

    #[test]
    fn an_operators_own_address_may_be_plain_and_private() {
        let config = load(&[("KEYBRAKE_VENDOR_STRIPE_BASE_URL", "http://127.0.0.1:9/")]).unwrap();
        assert_eq!(config.vendors["stripe"].base_url(), "http://127.0.0.1:9");
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (name, value, says) in [
            ("KEYBRAKE_LISTEN", "8787", "KEYBRAKE_LISTEN"),
            ("KEYBRAKE_ADMIN_LISTEN", "8788", "KEYBRAKE_ADMIN_LISTEN"),
            ("KEYBRAKE_ADMIN_LISTEN", DEFAULT_LISTEN, "leave it out"),
            ("KEYBRAKE_MASTER_KEY", "short", "master key"),
            ("KEYBRAKE_API_KEY", "short", "16 characters"),
            ("KEYBRAKE_DATABASE_URL", "postgres://x", "SQLite"),
            ("KEYBRAKE_VENDOR_STRIPE_BASE_URL", "ftp://x", "base_url of stripe"),
            ("KEYBRAKE_CONFIG", "/does/not/exist", "/does/not/exist"),
        ] {
            let error = format!("{:#}", load(&[(name, value)]).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn keys_issued_on_another_address_still_say_where_they_are_used() {
        let admin = ("KEYBRAKE_ADMIN_LISTEN", "127.0.0.1:9");
        let url = |pairs: &[(&str, &str)]| load(pairs).map(|config| config.public_url);
        assert_eq!(url(&[]).unwrap(), None);
        assert_eq!(url(&[admin]).unwrap().unwrap(), "http://127.0.0.1:8787");
        let given = ("KEYBRAKE_PUBLIC_URL", "https://keys.example");
        let anywhere = ("KEYBRAKE_LISTEN", "0.0.0.0:8787");
        assert_eq!(url(&[admin, anywhere, given]).unwrap().unwrap(), given.1);
        assert!(url(&[admin, anywhere]).unwrap_err().to_string().contains("KEYBRAKE_PUBLIC_URL"));
    }

    #[test]
    fn a_vendor_has_no_paths_that_are_keybrakes_own() {
        for definition in vendor::built_in().unwrap() {
            let check = |definition| vendors(&|_| None, &BTreeMap::new(), vec![definition]);
            assert!(check(definition.clone()).is_ok());
            for reserved in api::RESERVED {
                let mut named = definition.clone();
                *named.name.as_mut() = reserved.to_owned();
                assert!(check(named).unwrap_err().to_string().contains(reserved));
                let mut prefixed = definition.clone();
                prefixed.own_prefixes.push(reserved.to_owned());
                assert!(check(prefixed).unwrap_err().to_string().contains(reserved));
            }
        }
    }

    #[test]
    fn made_keys_are_kept_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("data");
        let of = |name: &str| (name == "KEYBRAKE_DATA_DIR").then(|| data_dir.display().to_string());
        let first = Config::load(&of).unwrap();
        let second = Config::load(&of).unwrap();
        assert_eq!(first.api_key.expose_secret(), second.api_key.expose_secret());
        for file in ["api-key", "master-key"] {
            let mode = std::fs::metadata(data_dir.join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn a_master_key_is_hex_or_base64() {
        let hex = "01".repeat(32);
        let base64 = base64::engine::general_purpose::STANDARD.encode([1; 32]);
        let seal = |text: &str| {
            load(&[("KEYBRAKE_MASTER_KEY", text)]).unwrap().master_key.seal("t", "r", b"x")
        };
        assert_eq!(SealKey::new([1; 32]).open("t", "r", &seal(&hex)).unwrap(), b"x");
        assert_eq!(SealKey::new([1; 32]).open("t", "r", &seal(&base64)).unwrap(), b"x");
    }
}
