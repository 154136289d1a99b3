//! Times, prices and ids as Twilio writes them.

use keybrake_core::time::Timestamp;
use serde_json::{Value, json};

/// RFC 2822, as in the API of 2010.
pub(super) fn rfc_2822(at: Timestamp) -> String {
    formatted(at, "%a, %d %b %Y %H:%M:%S +0000")
}

/// ISO 8601, as in the newer APIs.
pub(super) fn iso_8601(at: Timestamp) -> String {
    formatted(at, "%Y-%m-%dT%H:%M:%SZ")
}

fn formatted(at: Timestamp, format: &str) -> String {
    match jiff::Timestamp::from_microsecond(at.as_micros()) {
        Ok(at) => at.strftime(format).to_string(),
        Err(_) => at.to_string(),
    }
}

/// What is charged is negative, with five decimals, or six where the price needs them.
pub(super) fn price(micro_usd: u64) -> Value {
    let six = format!("-{}.{:06}", micro_usd / 1_000_000, micro_usd % 1_000_000);
    json!(six.strip_suffix('0').unwrap_or(&six))
}

/// Whether this is a `sid` of the kind that the two capitals stand for.
pub(super) fn is_sid(text: &str, prefix: &str) -> bool {
    let digits = text.strip_prefix(prefix).unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_negative_decimals() {
        for (micro_usd, text) in [
            (7_500, "-0.00750"),
            (7_505, "-0.007505"),
            (0, "-0.00000"),
            (1_000_000, "-1.00000"),
            (12_345_678, "-12.345678"),
        ] {
            assert_eq!(price(micro_usd), text);
        }
    }

    #[test]
    fn times_are_written_as_the_api_of_2010_does() {
        let at = Timestamp::from_micros(1_692_853_305_999_999);
        assert_eq!(rfc_2822(at), "Thu, 24 Aug 2023 05:01:45 +0000");
        assert_eq!(iso_8601(at), "2023-08-24T05:01:45Z");
    }
}
