//! Where Inngest is, and how both know each other.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::auth::{Now, WINDOW, same, signature_of};

const CLOUD_API: &str = "https://api.inngest.com";
/// In bytes.
const SHORTEST_KEY: usize = 8;
const DEV_API: &str = "http://127.0.0.1:8288";

/// Whether requests must be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The dev server: nothing is signed. For loopback.
    Dev,
    /// Everything is signed.
    Cloud,
}

/// How the app is served.
#[derive(Clone)]
pub struct Settings {
    /// The app's id, which the functions' ids begin with.
    pub app_id: String,
    /// Whether requests must be signed.
    pub mode: Mode,
    /// Inngest's API, without a final slash.
    pub api: String,
    /// How Inngest reaches this worker, such as `https://worker.example.com`; by the request where
    /// it is not said, which only the dev server may do.
    pub serve_origin: Option<String>,
    keys: Vec<SigningKey>,
    now: Now,
}

/// A `signkey-…`, the current or the last one.
#[derive(Clone)]
struct SigningKey {
    prefix: String,
    key: SecretString,
}

/// A setting that is missing or can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSettings(String);

impl Settings {
    /// From `INNGEST_DEV` (anything but `0`; a URL is the dev server's), `INNGEST_SIGNING_KEY`,
    /// `INNGEST_SIGNING_KEY_FALLBACK`, `INNGEST_API_BASE_URL` (or `INNGEST_BASE_URL`),
    /// `INNGEST_SERVE_ORIGIN` and `KEYBRAKE_INNGEST_APP_ID`.
    pub fn load(
        variable: &dyn Fn(&str) -> Option<String>,
        now: Now,
    ) -> Result<Self, InvalidSettings> {
        let given = |name| variable(name).filter(|value| !value.trim().is_empty());
        let dev = given("INNGEST_DEV").filter(|value| value != "0" && value != "false");
        let mode = if dev.is_some() { Mode::Dev } else { Mode::Cloud };
        let dev_url = dev.filter(|value| value.starts_with("http"));
        let api = given("INNGEST_API_BASE_URL").or_else(|| given("INNGEST_BASE_URL")).or(dev_url);
        let default = if mode == Mode::Dev { DEV_API } else { CLOUD_API };
        let mut keys = Vec::new();
        for name in ["INNGEST_SIGNING_KEY", "INNGEST_SIGNING_KEY_FALLBACK"] {
            keys.extend(given(name).map(|key| SigningKey::new(name, key.trim())).transpose()?);
        }
        if mode == Mode::Cloud && keys.is_empty() {
            let problem = "INNGEST_SIGNING_KEY is not set; without it anybody could charge; for the dev server set INNGEST_DEV=1";
            return Err(InvalidSettings(problem.to_owned()));
        }
        let serve_origin =
            given("INNGEST_SERVE_ORIGIN").map(|url| url.trim_end_matches('/').to_owned());
        if mode == Mode::Cloud && serve_origin.is_none() {
            let problem = "INNGEST_SERVE_ORIGIN is not set; it is how Inngest reaches this worker, such as https://worker.example.com";
            return Err(InvalidSettings(problem.to_owned()));
        }
        Ok(Self {
            app_id: given("KEYBRAKE_INNGEST_APP_ID").unwrap_or_else(|| "keybrake".to_owned()),
            mode,
            api: api.unwrap_or_else(|| default.to_owned()).trim_end_matches('/').to_owned(),
            serve_origin,
            keys,
            now,
        })
    }

    /// Whether a request with this body comes from Inngest.
    pub(super) fn is_signed(&self, signature: Option<&str>, body: &[u8]) -> bool {
        if self.mode == Mode::Dev {
            return true;
        }
        let read = signature.and_then(|text| text.strip_prefix("t=")?.split_once("&s="));
        let Some((time, digits)) = read else { return false };
        let in_time =
            time.parse().is_ok_and(|at: u64| at.abs_diff((self.now)()) <= WINDOW.as_secs());
        let Ok(given) = hex::decode(digits) else { return false };
        in_time && self.keys.iter().any(|key| same(&key.sign(time, body), &given))
    }

    /// The signature of an answer; none for the dev server.
    pub(super) fn sign(&self, body: &[u8]) -> Option<String> {
        let key = self.keys.first().filter(|_| self.mode == Mode::Cloud)?;
        let time = (self.now)().to_string();
        Some(format!("t={time}&s={}", hex::encode(key.sign(&time, body))))
    }

    /// What Inngest's API is asked with.
    pub(super) fn bearer(&self) -> Option<String> {
        self.keys.first().map(SigningKey::hashed)
    }

    /// The hashes of the signing keys as introspection tells them.
    pub(super) fn key_hashes(&self) -> [Option<String>; 2] {
        let short = |key: &SigningKey| key.digest().chars().take(12).collect();
        [self.keys.first().map(short), self.keys.get(1).map(short)]
    }
}

impl SigningKey {
    fn new(name: &str, text: &str) -> Result<Self, InvalidSettings> {
        let (prefix, key) =
            match text.strip_prefix("signkey-").and_then(|rest| rest.split_once('-')) {
                Some((environment, key)) => (format!("signkey-{environment}-"), key),
                None => (String::new(), text),
            };
        if !hex::decode(key).is_ok_and(|bytes| bytes.len() >= SHORTEST_KEY) {
            return Err(InvalidSettings(format!(
                "{name} is not of the form signkey-prod-… with 16 hex digits or more"
            )));
        }
        Ok(Self { prefix, key: key.to_owned().into() })
    }

    fn sign(&self, time: &str, body: &[u8]) -> [u8; 32] {
        signature_of(self.key.expose_secret().as_bytes(), &[body, time.as_bytes()])
    }

    fn digest(&self) -> String {
        hex::encode(Sha256::digest(hex::decode(self.key.expose_secret()).unwrap_or_default()))
    }

    fn hashed(&self) -> String {
        format!("{}{}", self.prefix, self.digest())
    }
}

/// Without the signing keys.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("app_id", &self.app_id)
            .field("mode", &self.mode)
            .field("api", &self.api)
            .field("serve_origin", &self.serve_origin)
            .finish_non_exhaustive()
    }
}
