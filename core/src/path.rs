//! The path of a request, in the one form that is compared and sent.
//!
//! An allowlist is only worth something if the vendor reads a path as we do. So a path with two
//! spellings is refused rather than tidied: no empty or dot segments, no parameters behind `;`, no
//! encoded separator, no encoding of a character that needs none.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What is percent-encoded when a path is sent: all but RFC 3986's unreserved characters and the
/// few others that API paths use as they are.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'+')
    .remove(b':')
    .remove(b'@')
    .remove(b',');

/// A path with exactly one reading: decoded once, segment by segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalPath {
    segments: Vec<String>,
}

/// A path that has more than one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path is not in canonical form")]
pub struct NotCanonical;

impl CanonicalPath {
    /// Reads the path of a request target, without its query.
    ///
    /// # Errors
    /// [`NotCanonical`] where another reader could understand another path.
    pub fn parse(raw: &str) -> Result<Self, NotCanonical> {
        let rest = raw.strip_prefix('/').ok_or(NotCanonical)?;
        let segments = rest.split('/').map(segment).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { segments })
    }

    /// The decoded segments: at least one, none empty.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The path with another segment behind this one, wherever this one stands.
    #[must_use]
    pub fn with_segment_after(mut self, before: &str, segment: &str) -> Self {
        let at = self.segments.iter().position(|own| own == before);
        if let Some(given) = at.and_then(|at| self.segments.get_mut(at + 1)) {
            segment.clone_into(given);
        }
        self
    }

    /// The segment behind this one.
    #[must_use]
    pub fn segment_after(&self, before: &str) -> Option<&str> {
        let at = self.segments.iter().position(|own| own == before)?;
        self.segments.get(at + 1).map(String::as_str)
    }

    /// The path behind its first segment; `None` where there is no more.
    #[must_use]
    pub fn split_first(&self) -> Option<(&str, Self)> {
        let (first, rest) = self.segments.split_first()?;
        (!rest.is_empty()).then(|| (first.as_str(), Self { segments: rest.to_vec() }))
    }
}

/// The path as it is sent: encoded in one way.
impl fmt::Display for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| write!(f, "/{}", encoded(segment)))
    }
}

/// A decoded segment as it is sent.
pub(crate) fn encoded(segment: &str) -> impl fmt::Display {
    utf8_percent_encode(segment, ENCODED)
}

fn segment(raw: &str) -> Result<String, NotCanonical> {
    let malformed_or_needless = |encoded: &str| {
        let byte = encoded.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        byte.is_none_or(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
    };
    let unprintable = raw.bytes().any(|b| !b.is_ascii_graphic());
    if unprintable || raw.split('%').skip(1).any(malformed_or_needless) {
        return Err(NotCanonical);
    }
    let decoded = percent_decode_str(raw).decode_utf8().map_err(|_| NotCanonical)?;
    let ambiguous = |c: char| c.is_control() || "/\\;%?#".contains(c);
    if decoded.is_empty() || decoded == "." || decoded == ".." || decoded.chars().any(ambiguous) {
        return Err(NotCanonical);
    }
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canonical_path_is_sent_as_it_was_read() {
        for path in
            ["/v1", "/v1/payment_intents/pi_1-2.3~x", "/v2/PhoneNumbers/+15551234567", "/a:b/@c"]
        {
            assert_eq!(CanonicalPath::parse(path).unwrap().to_string(), path);
        }
        assert_eq!(CanonicalPath::parse("/a/%2B1%20x").unwrap().to_string(), "/a/+1%20x");
        assert_eq!(CanonicalPath::parse("/a/%C3%A9").unwrap().segments(), ["a", "é"]);
    }

    #[test]
    fn a_path_with_two_readings_is_refused() {
        for path in [
            "",
            "v1",
            "/",
            "//v1",
            "/v1//charges",
            "/v1/charges/",
            "/v1/./charges",
            "/v1/../charges",
            "/v1/%2e%2e/charges",
            "/v1%2Fcharges",
            "/v1%2fcharges",
            "/v1/%5Ccharges",
            "/v1/charges;a=1",
            "/v1/charges%3Ba=1",
            "/v1/%63harges",
            "/v1/charges%252F",
            "/v1/charges%00",
            "/v1/charges%",
            "/v1/charges%4",
            "/v1/charges%zz",
            "/v1\\charges",
            "/v1/%ff",
            "/v1/é",
            "/v1/char ges",
            "/v1/charges%3Fx",
            "/v1/charges%23x",
            "/v1/%C2%85",
        ] {
            assert_eq!(CanonicalPath::parse(path), Err(NotCanonical), "{path}");
        }
    }

    #[test]
    fn the_first_segment_splits_off_only_when_something_is_behind_it() {
        let path = CanonicalPath::parse("/stripe/v1/charges").unwrap();
        let (vendor, rest) = path.split_first().unwrap();
        assert_eq!((vendor, rest.to_string().as_str()), ("stripe", "/v1/charges"));
        assert!(CanonicalPath::parse("/stripe").unwrap().split_first().is_none());
    }
}
