//! Where the proxy is, and with which API keys it is asked.

use std::{fmt, time::Duration};

use secrecy::SecretString;

/// Longer than the proxy waits for a vendor by default (60 s) and for money that others hold (5 s),
/// so that the proxy's own answer comes first.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(90);
const DEFAULT_URL: &str = "http://127.0.0.1:8787";

/// How a worker reaches the proxy.
#[derive(Clone)]
pub struct Settings {
    /// The proxy's address, without a final slash.
    pub url: String,
    /// Where the admin API is, if not there.
    pub admin_url: String,
    /// The API key that issues, refreshes and revokes: role `issuer`.
    pub issuer: SecretString,
    /// The API key that spends as a named vault key: role `caller`.
    pub caller: SecretString,
    /// How long one request may take in all.
    pub timeout: Duration,
}

/// A setting that is missing or can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{variable} {problem}")]
pub struct InvalidSetting {
    /// The environment variable.
    pub variable: &'static str,
    /// What is wrong with it, without its value.
    pub problem: String,
}

impl Settings {
    /// From `KEYBRAKE_URL` (`http://127.0.0.1:8787` by default), `KEYBRAKE_ADMIN_URL` (the same by
    /// default), `KEYBRAKE_API_KEY` (required), `KEYBRAKE_CALLER_API_KEY` (the same by default) and
    /// `KEYBRAKE_TIMEOUT_SECONDS` (90 by default).
    pub fn load(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, InvalidSetting> {
        let given = |name| variable(name).filter(|value| !value.trim().is_empty());
        let issuer = given("KEYBRAKE_API_KEY").ok_or_else(|| InvalidSetting {
            variable: "KEYBRAKE_API_KEY",
            problem: "is not set; give it an API key of the role issuer".to_owned(),
        })?;
        let caller = given("KEYBRAKE_CALLER_API_KEY").unwrap_or_else(|| issuer.clone());
        let url = address("KEYBRAKE_URL", given("KEYBRAKE_URL").as_deref().unwrap_or(DEFAULT_URL))?;
        let admin_url = match given("KEYBRAKE_ADMIN_URL") {
            Some(given) => address("KEYBRAKE_ADMIN_URL", &given)?,
            None => url.clone(),
        };
        Ok(Self {
            url,
            admin_url,
            issuer: SecretString::from(issuer.trim().to_owned()),
            caller: SecretString::from(caller.trim().to_owned()),
            timeout: timeout(given("KEYBRAKE_TIMEOUT_SECONDS"))?,
        })
    }

    /// [`Settings::load`] from this process's environment.
    pub fn from_env() -> Result<Self, InvalidSetting> {
        Self::load(&|name| std::env::var(name).ok())
    }
}

fn address(variable: &'static str, given: &str) -> Result<String, InvalidSetting> {
    let invalid = |problem: &str| InvalidSetting { variable, problem: problem.to_owned() };
    let url = reqwest::Url::parse(given.trim()).map_err(|_| invalid("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("does not begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(invalid("has a credential or a query in it, which would end up in logs"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn timeout(given: Option<String>) -> Result<Duration, InvalidSetting> {
    let Some(text) = given else {
        return Ok(DEFAULT_TIMEOUT);
    };
    match text.trim().parse() {
        Ok(seconds @ 1..=3_600) => Ok(Duration::from_secs(seconds)),
        Ok(_) | Err(_) => Err(InvalidSetting {
            variable: "KEYBRAKE_TIMEOUT_SECONDS",
            problem: "is not a whole number of seconds from 1 to 3600".to_owned(),
        }),
    }
}

/// Without the API keys.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("url", &self.url)
            .field("admin_url", &self.admin_url)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(given: &[(&str, &str)]) -> Result<Settings, String> {
        let variable = |name: &str| {
            given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::load(&variable).map_err(|error| error.to_string())
    }

    #[test]
    fn an_api_key_is_all_that_is_needed() {
        let settings = load(&[("KEYBRAKE_API_KEY", "kb_api_1")]).unwrap();
        assert_eq!((settings.url.as_str(), settings.timeout), (DEFAULT_URL, DEFAULT_TIMEOUT));
        assert_eq!(settings.admin_url, settings.url);
        assert!(!format!("{settings:?}").contains("kb_api_1"));
    }

    #[test]
    fn what_is_wrong_is_named_without_its_value() {
        let key = ("KEYBRAKE_API_KEY", "kb_api_1");
        for (given, told) in [
            (vec![], "KEYBRAKE_API_KEY is not set"),
            (vec![key, ("KEYBRAKE_URL", "proxy:8787")], "KEYBRAKE_URL does not begin with http"),
            (
                vec![key, ("KEYBRAKE_URL", "http://me:secret@proxy")],
                "KEYBRAKE_URL has a credential",
            ),
            (vec![key, ("KEYBRAKE_TIMEOUT_SECONDS", "0")], "KEYBRAKE_TIMEOUT_SECONDS is not"),
        ] {
            let error = load(&given).unwrap_err();
            assert!(error.contains(told) && !error.contains("secret"), "{error}");
        }
    }
}
