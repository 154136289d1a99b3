//! How the fake Resend behaves.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sandbox::millis;

/// How the fake Resend behaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResendSettings {
    /// The one API key.
    pub api_key: String,
    /// The one domain whose addresses may send.
    pub domain: String,
    /// How long a mail is on its way.
    #[serde(rename = "status_step_ms", with = "millis")]
    pub status_step: Duration,
    /// How long after its creation a mail is listed. It is found by its id at once.
    #[serde(rename = "list_delay_ms", with = "millis")]
    pub list_delay: Duration,
}

impl Default for ResendSettings {
    fn default() -> Self {
        Self {
            api_key: "re_sandbox_key".to_owned(),
            domain: "example.com".to_owned(),
            status_step: Duration::from_secs(1),
            list_delay: Duration::ZERO,
        }
    }
}
