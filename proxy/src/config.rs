//! The configuration: `keybrake.toml`, overridden by `KEYBRAKE_*`.
//!
//! Keys that are not given are made once in the data directory, readable by its owner alone.

use std::{
    collections::BTreeMap,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use base64::Engine;
use keybrake_core::vendor::{self, definition::Definition};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{outside, seal::SealKey};

/// What can stand in `keybrake.toml`. Keys and secrets can't: they come from the environment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    public_url: Option<String>,
    vendor_timeout_seconds: Option<u64>,
    contention_wait_milliseconds: Option<u64>,
    answers_kept_days: Option<u64>,
    #[serde(default)]
    vendor: BTreeMap<String, FileVendor>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileVendor {
    base_url: Option<String>,
    tags: Option<bool>,
}

/// A vendor: its definition, where it is reached, and whether its objects are tagged.
#[derive(Clone, Debug)]
pub struct VendorConfig {
    /// The definition.
    pub definition: Definition,
    /// Where it is reached, without a final slash. The operator's own may be plain and private.
    pub base_url: String,
    /// Whether its objects carry our run and call.
    pub tags: bool,
    /// Its secret, where the environment gives one.
    pub secret: Option<SecretString>,
}

/// The configuration, whole and checked.
#[derive(Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
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
    /// The vendors by name.
    pub vendors: BTreeMap<String, VendorConfig>,
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
        let file = read_file(variable)?;
        let listen = variable("KEYBRAKE_LISTEN").map(|text| text.parse());
        let listen = listen
            .transpose()
            .context("KEYBRAKE_LISTEN is not an address such as 127.0.0.1:8787")?;
        let data_dir = data_dir(variable, file.data_dir)?;
        create_private_directory(&data_dir)?;
        let master_key = master_key(variable, &data_dir)?;
        Ok(Self {
            listen: match listen.or(file.listen) {
                Some(listen) => listen,
                None => DEFAULT_LISTEN.parse()?,
            },
            public_url: variable("KEYBRAKE_PUBLIC_URL").or(file.public_url),
            vendor_timeout: Duration::from_secs(
                file.vendor_timeout_seconds.unwrap_or(60).clamp(1, 600),
            ),
            contention_wait: Duration::from_millis(
                file.contention_wait_milliseconds.unwrap_or(5_000).min(60_000),
            ),
            answers_kept: Duration::from_secs(file.answers_kept_days.unwrap_or(30).max(1) * 86_400),
            vendors: vendors(variable, &file.vendor)?,
            api_key: api_key(variable, &data_dir)?,
            master_key,
            data_dir,
        })
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

fn read_file(variable: Variables<'_>) -> anyhow::Result<File> {
    let given = variable("KEYBRAKE_CONFIG").map(PathBuf::from);
    let path = given.clone().unwrap_or_else(|| PathBuf::from("keybrake.toml"));
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            toml::from_str(&text).with_context(|| format!("{} is not valid", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && given.is_none() => {
            Ok(File::default())
        }
        Err(error) => Err(error).with_context(|| format!("{} can't be read", path.display())),
    }
}

fn vendors(
    variable: Variables<'_>,
    files: &BTreeMap<String, FileVendor>,
) -> anyhow::Result<BTreeMap<String, VendorConfig>> {
    let mut vendors = BTreeMap::new();
    for definition in vendor::built_in()? {
        let file = files.get(&definition.name).cloned().unwrap_or_default();
        let prefix = format!("KEYBRAKE_VENDOR_{}", definition.name.to_ascii_uppercase());
        let own = variable(&format!("{prefix}_BASE_URL")).or(file.base_url);
        let base_url =
            own.unwrap_or_else(|| definition.base_url.clone()).trim_end_matches('/').to_owned();
        let parsed: http::Uri = base_url
            .parse()
            .with_context(|| format!("the base_url of {} is not an address", definition.name))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.path() != "/" {
            bail!("the base_url of {} is not http(s)://host[:port]", definition.name);
        }
        let secret = variable(&format!("{prefix}_SECRET")).map(SecretString::from);
        let tags = file.tags.unwrap_or(true);
        vendors
            .insert(definition.name.clone(), VendorConfig { definition, base_url, tags, secret });
    }
    match files.keys().find(|name| !vendors.contains_key(*name)) {
        Some(unknown) => {
            bail!("the configuration names the vendor {unknown:?}, which has no definition")
        }
        None => Ok(vendors),
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
        assert_eq!(config.vendors["stripe"].base_url, "https://api.stripe.com");
        assert!(config.api_key.expose_secret().starts_with("kb_api_"));
    }

    #[test]
    fn an_operators_own_address_may_be_plain_and_private() {
        let config = load(&[("KEYBRAKE_VENDOR_STRIPE_BASE_URL", "http://127.0.0.1:9/")]).unwrap();
        assert_eq!(config.vendors["stripe"].base_url, "http://127.0.0.1:9");
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (name, value, says) in [
            ("KEYBRAKE_LISTEN", "8787", "KEYBRAKE_LISTEN"),
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
