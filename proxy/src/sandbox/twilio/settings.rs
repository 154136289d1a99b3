//! How the fake Twilio behaves, and what things cost there.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sandbox::millis;

/// How the fake Twilio behaves. Prices are in micro-dollars and belong to what is made from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwilioSettings {
    /// The one account: `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    /// Its password.
    pub auth_token: String,
    /// How long a message or call stays in each state on its way.
    #[serde(rename = "status_step_ms", with = "millis")]
    pub status_step: Duration,
    /// How long a message that was made, or a call that has ended, does not show its price.
    #[serde(rename = "price_delay_ms", with = "millis")]
    pub price_delay: Duration,
    /// How long after its creation a message or call is listed. It is found by its id at once.
    #[serde(rename = "list_delay_ms", with = "millis")]
    pub list_delay: Duration,
    /// Of an SMS, for each segment; of a `WhatsApp` message.
    pub segment_price: u64,
    /// Of an MMS.
    pub media_price: u64,
    /// How long a call lasts, unless its `TimeLimit` ends it before.
    #[serde(rename = "call_duration_ms", with = "millis")]
    pub call_duration: Duration,
    /// Of each begun minute of a call.
    pub call_minute_price: u64,
    /// Of each begun minute of a call that is recorded, in addition.
    pub recording_minute_price: u64,
    /// Of a call that asks for the detection of machines, in addition.
    pub machine_detection_price: u64,
    /// The code that every verification sends.
    pub verification_code: String,
    /// Of each code that is sent.
    pub verification_channel_price: u64,
    /// Of each verification that succeeds.
    pub verification_price: u64,
    /// Of each field of a look-up; without fields it is free.
    pub lookup_field_price: u64,
}

impl Default for TwilioSettings {
    fn default() -> Self {
        Self {
            account_sid: "AC5a4d8b0c000000000000000000000000".to_owned(),
            auth_token: "twilio_sandbox_token".to_owned(),
            status_step: Duration::from_secs(1),
            price_delay: Duration::from_mins(1),
            list_delay: Duration::ZERO,
            segment_price: 8_300,
            media_price: 22_000,
            call_duration: Duration::from_secs(30),
            call_minute_price: 14_000,
            recording_minute_price: 2_500,
            machine_detection_price: 7_500,
            verification_code: "123456".to_owned(),
            verification_channel_price: 8_300,
            verification_price: 50_000,
            lookup_field_price: 10_000,
        }
    }
}
