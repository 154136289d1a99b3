//! Idempotency keys: one for each thing that must happen once, whoever asks and however often.
//!
//! The key must outlive whatever the engine changes on a retry. Where a run's id stays the same,
//! [`IdempotencyKey::of_item`] names the run and the item; where it does not (Ray, a resubmitted
//! batch), [`IdempotencyKey::of_parameters`] names the business operation itself.

use std::{collections::BTreeMap, fmt};

use sha2::{Digest, Sha256};

use crate::failure::Failure;

/// What Stripe and the proxy take, in bytes. Resend takes one more.
const LONGEST: usize = 255;
/// 128 bits.
const HASH_DIGITS: usize = 32;

/// 1 to 255 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// A key in the caller's own words.
    pub fn new(text: impl Into<String>) -> Result<Self, Failure> {
        let text = text.into();
        let problem = if text.is_empty() {
            "is empty, so that every call would be the same one".to_owned()
        } else if text.len() > LONGEST {
            format!("has {} characters and may have {LONGEST}; name less, or hash it", text.len())
        } else if !text.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
            "has a character that is not printable ASCII; hash it".to_owned()
        } else {
            return Ok(Self(text));
        };
        Err(Failure::invalid_input("idempotency_key", problem))
    }

    /// `{run}-{item}`: for engines whose run keeps its id over retries.
    pub fn of_item(run: &str, item: impl fmt::Display) -> Result<Self, Failure> {
        Self::new(format!("{run}-{item}"))
    }

    /// A hash of what the operation is in business terms, such as customer, amount and period.
    ///
    /// The order in which they are named does not matter. The same parameters give the same key in
    /// every process, and in the Python package.
    pub fn of_parameters(parameters: &BTreeMap<&str, &str>) -> Result<Self, Failure> {
        if parameters.is_empty() {
            return Self::new("");
        }
        let mut hash = Sha256::new();
        for text in parameters.iter().flat_map(|(name, value)| [name, value]) {
            // With its length, so that no two lists of texts are the same bytes.
            hash.update(format!("{}:{text},", text.len()));
        }
        let mut digits = hex::encode(hash.finalize());
        digits.truncate(HASH_DIGITS);
        Self::new(digits)
    }

    /// The key as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_no_vendor_takes_is_refused_with_what_is_wrong() {
        let longest = "k".repeat(LONGEST);
        assert_eq!(IdempotencyKey::new(longest.clone()).unwrap().as_str(), longest);
        for (text, told) in [
            ("", "is empty"),
            (&*format!("{longest}k"), "256 characters"),
            ("ü", "printable"),
            ("a b", "printable"),
        ] {
            let failure = IdempotencyKey::new(text).unwrap_err();
            assert_eq!(failure.name(), "InvalidInput");
            assert!(failure.told().message.contains(told), "{failure}");
        }
    }

    #[test]
    fn an_item_of_a_run_has_one_key() {
        assert_eq!(IdempotencyKey::of_item("inv_1", 7).unwrap().as_str(), "inv_1-7");
    }

    #[test]
    fn parameters_are_told_apart_wherever_their_texts_are_cut() {
        let key = |parameters: &[(&'static str, &'static str)]| {
            IdempotencyKey::of_parameters(&parameters.iter().copied().collect()).unwrap()
        };
        assert_eq!(key(&[("a", "1"), ("b", "2")]), key(&[("b", "2"), ("a", "1")]));
        assert_ne!(key(&[("a", "1,1:b,1:2")]), key(&[("a", "1"), ("b", "2")]));
        assert_ne!(key(&[("ab", "c")]), key(&[("a", "bc")]));
        assert_eq!(key(&[("a", "1")]).as_str().len(), HASH_DIGITS);
        // The Python package's tests have the same one written down.
        assert_eq!(key(&[("a", "1"), ("b", "2")]).as_str(), "e21b93e6836ea9c08b193ded1be75b80");
        assert!(IdempotencyKey::of_parameters(&BTreeMap::new()).is_err());
    }
}
