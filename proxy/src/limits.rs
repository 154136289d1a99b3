//! How much the server puts up with: limits against slow, many and guessing clients.

use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::config::Variables;

/// The table `limits` of `keybrake.toml`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileLimits {
    open_connections: Option<u32>,
    head_seconds: Option<u32>,
    body_seconds: Option<u32>,
    idle_seconds: Option<u32>,
    http2_streams: Option<u32>,
    failures_per_minute: Option<u32>,
}

/// Limits of the server, each above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most open connections of one listener. Those beyond wait to be accepted.
    pub open_connections: u32,
    /// How long the head of a request may take to arrive.
    pub head: Duration,
    /// How long the body of a request may take to arrive.
    pub body: Duration,
    /// How long a connection may be open between two requests.
    pub idle: Duration,
    /// The most requests at a time on one HTTP/2 connection.
    pub http2_streams: u32,
    /// The most failures a minute to authenticate, of one address and with one credential.
    pub failures_per_minute: u32,
}

impl Limits {
    /// `KEYBRAKE_LIMITS_*`, else the file, else the defaults.
    pub(crate) fn load(variable: Variables<'_>, file: FileLimits) -> anyhow::Result<Self> {
        let limit = |name, in_file, default| limit(variable, name, in_file, default);
        let seconds = |name, in_file, default| {
            limit(name, in_file, default).map(|seconds| Duration::from_secs(seconds.into()))
        };
        Ok(Self {
            open_connections: limit("OPEN_CONNECTIONS", file.open_connections, 10_000)?,
            head: seconds("HEAD_SECONDS", file.head_seconds, 10)?,
            body: seconds("BODY_SECONDS", file.body_seconds, 30)?,
            idle: seconds("IDLE_SECONDS", file.idle_seconds, 75)?,
            http2_streams: limit("HTTP2_STREAMS", file.http2_streams, 200)?,
            failures_per_minute: limit("FAILURES_PER_MINUTE", file.failures_per_minute, 60)?,
        })
    }
}

fn limit(
    variable: Variables<'_>,
    name: &str,
    in_file: Option<u32>,
    default: u32,
) -> anyhow::Result<u32> {
    let name = format!("KEYBRAKE_LIMITS_{name}");
    let given = variable(&name).map(|text| text.parse()).transpose();
    let given = given.with_context(|| format!("{name} is not a whole number"))?;
    match given.or(in_file).unwrap_or(default) {
        0 => bail!("the limit {} is 0, which lets nothing through", name.to_ascii_lowercase()),
        limit => Ok(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_comes_before_the_file_and_the_file_before_the_default() {
        let file: FileLimits = toml::from_str("idle_seconds = 7\nhead_seconds = 8").unwrap();
        let given = |name: &str| (name == "KEYBRAKE_LIMITS_HEAD_SECONDS").then(|| "9".to_owned());
        let limits = Limits::load(&given, file).unwrap();
        let seconds = [limits.head, limits.idle, limits.body].map(|limit| limit.as_secs());
        assert_eq!(seconds, [9, 7, 30]);
    }

    #[test]
    fn a_limit_that_is_no_number_or_nothing_is_refused_by_name() {
        for value in ["0", "-1", "1.5", "many", "99999999999"] {
            let given = |name: &str| (name == "KEYBRAKE_LIMITS_BODY_SECONDS").then(|| value.into());
            let error = Limits::load(&given, FileLimits::default()).unwrap_err().to_string();
            assert!(error.to_ascii_uppercase().contains("BODY_SECONDS"), "{error}");
        }
    }
}
