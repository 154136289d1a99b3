//! Sealing at rest: vendor secrets and stored answers.
//!
//! The master key only wraps two random keys, the one that seals rows and the one that derives
//! tokens, so that it can be rotated. Each sealed value is bound to its table and row: a value
//! copied to another row does not open there.

use std::fmt;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};
use secrecy::{ExposeSecret, SecretBox};

use crate::outside;

const NONCE: usize = 24;

/// A sealed value that does not open: another master key, another row, or damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value does not open: is the master key the one that it was sealed under?")]
pub struct SealBroken;

/// A key that seals. `Debug` is redacted.
pub struct SealKey(SecretBox<[u8; 32]>);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(…)")
    }
}

impl SealKey {
    /// The key with these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(SecretBox::new(Box::new(bytes)))
    }

    /// Seals a value for one row of one table.
    #[must_use]
    pub fn seal(&self, table: &str, row: &str, value: &[u8]) -> Vec<u8> {
        let nonce = outside::random::<NONCE>();
        let bound = format!("{table}\n{row}");
        let payload = Payload { msg: value, aad: bound.as_bytes() };
        // Fails only above 256 GiB: what would then be kept does not open.
        let sealed = self.cipher().encrypt(&nonce.into(), payload).unwrap_or_default();
        [&nonce[..], &sealed].concat()
    }

    /// Opens what was sealed for this row.
    pub fn open(&self, table: &str, row: &str, sealed: &[u8]) -> Result<Vec<u8>, SealBroken> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(SealBroken)?;
        let bound = format!("{table}\n{row}");
        let payload = Payload { msg: sealed, aad: bound.as_bytes() };
        self.cipher().decrypt(&(*nonce).into(), payload).map_err(|_| SealBroken)
    }

    /// Unwraps a random key that this key sealed.
    pub fn unwrap_key(&self, name: &str, sealed: &[u8]) -> Result<[u8; 32], SealBroken> {
        self.open("wrapped_keys", name, sealed)?.try_into().map_err(|_| SealBroken)
    }

    /// A new random key, sealed by this one.
    #[must_use]
    pub fn wrap_new_key(&self, name: &str) -> Vec<u8> {
        self.seal("wrapped_keys", name, &outside::random::<32>())
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.0.expose_secret().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_under_its_own_key_and_row_only() {
        let key = SealKey::new([1; 32]);
        let sealed = key.seal("answers", "call_1", b"paid");
        assert_eq!(key.open("answers", "call_1", &sealed).unwrap(), b"paid");
        assert_eq!(key.open("answers", "call_2", &sealed), Err(SealBroken));
        assert_eq!(key.open("vendor_secrets", "call_1", &sealed), Err(SealBroken));
        assert_eq!(SealKey::new([2; 32]).open("answers", "call_1", &sealed), Err(SealBroken));
        for length in 0..sealed.len() {
            assert_eq!(key.open("answers", "call_1", &sealed[..length]), Err(SealBroken));
        }
    }

    #[test]
    fn sealing_twice_shows_nothing_of_the_value() {
        let key = SealKey::new([1; 32]);
        let (a, b) = (key.seal("t", "r", b"sk_live_1"), key.seal("t", "r", b"sk_live_1"));
        assert_ne!(a, b);
        assert!(!a.windows(4).any(|bytes| bytes == b"sk_l"));
    }

    #[test]
    fn wrapped_keys_are_random_and_open_under_their_name() {
        let master = SealKey::new([1; 32]);
        let wrapped = master.wrap_new_key("data");
        let key = master.unwrap_key("data", &wrapped).unwrap();
        assert_ne!(key, master.unwrap_key("data", &master.wrap_new_key("data")).unwrap());
        assert_eq!(master.unwrap_key("token", &wrapped), Err(SealBroken));
        assert!(!format!("{master:?}").contains('1'));
    }
}
