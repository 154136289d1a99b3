//! Instants and durations of the ledger, in whole microseconds.
//!
//! Core reads no clock: `now` is always an argument, so that a test can move time and every store
//! decides alike. The proxy makes a [`Timestamp`] from the wall clock in one file.

use std::{fmt, time::Duration};

/// Microseconds since 1970-01-01T00:00:00Z; leap seconds are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant that many microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The instant that an RFC 3339 text names; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parsed: jiff::Timestamp = text.parse().ok()?;
        Some(Self(parsed.as_microsecond()))
    }

    /// The instant that a vendor's text names, by RFC 3339 or RFC 2822; `None` for any other text.
    #[must_use]
    pub fn parse_any(text: &str) -> Option<Self> {
        let by_mail = || jiff::fmt::rfc2822::parse(text).ok();
        Self::parse(text).or_else(|| Some(Self(by_mail()?.timestamp().as_microsecond())))
    }

    /// This instant, later by `span`; the last representable one where it would overflow.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }

    /// This instant, earlier by `span`.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(micros(span)))
    }

    /// The time from `earlier` to this instant; zero where `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC, with as many fractional digits as are needed.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => write!(f, "{at}"),
            Err(_) => write!(f, "{} µs after 1970", self.0),
        }
    }
}

/// A span of time as people write it: a whole number and one unit, `s`, `m`, `h` or `d`.
///
/// # Errors
/// [`InvalidSpan`] for anything else, also for a span that overflows.
pub fn parse_span(text: &str) -> Result<Duration, InvalidSpan> {
    let invalid = || InvalidSpan(text.chars().take(40).collect());
    let unit = text.chars().last().ok_or_else(invalid)?;
    let seconds_per_unit = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(invalid()),
    };
    let digits = text.strip_suffix(unit).ok_or_else(invalid)?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid());
    }
    let count: u64 = digits.parse().map_err(|_| invalid())?;
    count.checked_mul(seconds_per_unit).map(Duration::from_secs).ok_or_else(invalid)
}

/// A text that is not a span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a span of time: write a whole number and a unit, such as 30m, 2h or 7d")]
pub struct InvalidSpan(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        for (text, seconds) in [("30s", 30), ("30m", 1_800), ("2h", 7_200), ("7d", 604_800)] {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "2", "-2h", "2.5h", "2 h", "2hh", "2H", "99999999999999999999d", "½h"]
        {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn vendors_write_instants_in_two_ways() {
        let at = Some(Timestamp::from_micros(1_700_000_000_000_000));
        for text in ["2023-11-14T22:13:20Z", "Tue, 14 Nov 2023 22:13:20 +0000"] {
            assert_eq!(Timestamp::parse_any(text), at, "{text}");
        }
        assert_eq!(Timestamp::parse_any("1700000000"), None);
    }

    #[test]
    fn a_timestamp_prints_as_rfc_3339() {
        assert_eq!(
            Timestamp::from_micros(1_700_000_000_000_000).to_string(),
            "2023-11-14T22:13:20Z"
        );
    }
}
