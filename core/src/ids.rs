//! Public names of keys, budgets and calls.
//!
//! An id is a positive 63-bit number that grows with time, so that rows made together lie together
//! on disk, shown as a prefix and 13 base-32 digits. Ids are names, not credentials. They are made
//! in the shell, from the clock and a few random bits.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Crockford's base 32: no letter that reads like a digit.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 13;

/// A text that is not an id of the kind asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a well-formed id")]
pub struct InvalidId;

fn show(prefix: &str, number: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [b'0'; LENGTH];
    let mut rest = number.unsigned_abs();
    for place in text.iter_mut().rev() {
        let digit = usize::try_from(rest % 32).unwrap_or(0);
        *place = DIGITS.get(digit).copied().unwrap_or(b'0');
        rest /= 32;
    }
    f.write_str(prefix)?;
    f.write_str(std::str::from_utf8(&text).unwrap_or_default())
}

fn read(prefix: &str, text: &str) -> Result<i64, InvalidId> {
    let digits = text.strip_prefix(prefix).filter(|d| d.len() == LENGTH).ok_or(InvalidId)?;
    digits.bytes().try_fold(0_i64, |number, byte| {
        let digit = DIGITS.iter().position(|d| *d == byte).ok_or(InvalidId)?;
        let digit = i64::try_from(digit).map_err(|_| InvalidId)?;
        number.checked_mul(32).and_then(|n| n.checked_add(digit)).ok_or(InvalidId)
    })
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// The id with this number; its sign is dropped.
            #[must_use]
            pub const fn from_number(number: i64) -> Self {
                Self(number & i64::MAX)
            }

            /// The number behind the id: never negative, growing with time.
            #[must_use]
            pub const fn number(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show($prefix, self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                read($prefix, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// A vault key: `vk_…`.
    KeyId,
    "vk_"
);
id!(
    /// A budget: `bud_…`.
    BudgetId,
    "bud_"
);
id!(
    /// A call: `call_…`. Also what the proxy's own idempotency keys are made of.
    CallId,
    "call_"
);

id!(
    /// An API key: `ak_…`.
    ApiKeyId,
    "ak_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_shown() {
        for number in [0, 1, 31, 32, 1_234_567_890_123, i64::MAX] {
            let id = CallId::from_number(number);
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.number(), number);
        }
        assert_eq!(KeyId::from_number(33).to_string(), "vk_0000000000011");
    }

    #[test]
    fn ids_sort_as_they_were_made() {
        let (a, b) = (CallId::from_number(31), CallId::from_number(32));
        assert!(a < b && a.to_string() < b.to_string());
    }

    #[test]
    fn a_text_of_another_kind_or_shape_is_no_id() {
        for text in ["", "vk_", "vk_0", "bud_0000000000011", "vk_00000000000i1", "vk_zzzzzzzzzzzzz"]
        {
            assert_eq!(text.parse::<KeyId>(), Err(InvalidId), "{text}");
        }
    }
}
