//! Tokens: of a vault key, which a run holds instead of the vendor's secret, and of an API key.
//!
//! A prefix, 256 bits in base 62, and a checksum, so that a leaked token is recognised by a
//! scanner and a mistyped one without a look-up. A vault key's bits are an HMAC of the key's id: a repeated
//! issue derives the same token again, and the ledger stores its SHA-256 only.

use std::{fmt, marker::PhantomData};

use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::ids::KeyId;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Base-62 digits that hold 256 bits.
const SECRET_DIGITS: usize = 43;
/// Base-62 digits that hold a CRC-32.
const CHECK_DIGITS: usize = 6;

/// A secret text that stands for a key. Shown once, never logged; `Debug` is redacted.
#[derive(Clone, Debug)]
pub struct Token<K> {
    text: SecretString,
    kind: PhantomData<K>,
}

/// What a token stands for.
pub trait Kind {
    /// What its tokens begin with.
    const PREFIX: &'static str;
}

/// A vault key.
#[derive(Clone, Copy, Debug)]
pub enum Vault {}

/// An API key.
#[derive(Clone, Copy, Debug)]
pub enum Api {}

impl Kind for Vault {
    const PREFIX: &'static str = "vault_key_";
}

impl Kind for Api {
    const PREFIX: &'static str = "kb_api_";
}

/// A vault key's token.
pub type VaultToken = Token<Vault>;
/// An API key's token.
pub type ApiToken = Token<Api>;

impl VaultToken {
    /// The token of this key. The same key and deriving key give the same token.
    #[must_use]
    pub fn derive(deriving_key: &[u8; 32], key: KeyId) -> Self {
        // HMAC takes a key of any length: this branch is never empty.
        let bits: [u8; 32] = Hmac::<Sha256>::new_from_slice(deriving_key)
            .map(|mac| mac.chain_update(key.to_string()).finalize().into_bytes().into())
            .unwrap_or_default();
        Self::of_bits(&bits)
    }
}

impl ApiToken {
    /// The token with these random bits.
    #[must_use]
    pub fn from_random(bits: &[u8; 32]) -> Self {
        Self::of_bits(bits)
    }
}

impl<K: Kind> Token<K> {
    fn of_bits(bits: &[u8; 32]) -> Self {
        let secret = base62(bits, SECRET_DIGITS);
        let check = checksum(&secret);
        let text = SecretString::from(format!("{}{secret}{check}", K::PREFIX));
        Self { text, kind: PhantomData }
    }

    /// The token in this text, if it has the shape of one and its checksum holds.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(K::PREFIX)?;
        let (secret, check) = rest.split_at_checked(SECRET_DIGITS)?;
        let is_whole = checksum(secret) == check;
        is_whole.then(|| Self { text: SecretString::from(text), kind: PhantomData })
    }

    /// What is stored of the token.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.expose()).into())
    }

    /// The token itself, for the one answer that shows it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

/// The SHA-256 of a token. Equality takes the same time wherever the two differ.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash with these bytes, as read from the store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl std::hash::Hash for TokenHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

fn checksum(secret: &str) -> String {
    base62(&crc32fast::hash(secret.as_bytes()).to_be_bytes(), CHECK_DIGITS)
}

/// A big-endian number in base 62, padded with zeros to `length` digits.
fn base62(number: &[u8], length: usize) -> String {
    let mut rest = number.to_vec();
    let mut digits = Vec::with_capacity(length);
    for _ in 0..length {
        let mut remainder = 0_u32;
        for byte in &mut rest {
            let value = remainder * 256 + u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(0);
            remainder = value % 62;
        }
        let digit = usize::try_from(remainder).unwrap_or(0);
        digits.push(char::from(ALPHABET.get(digit).copied().unwrap_or(b'0')));
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> VaultToken {
        VaultToken::derive(&[7; 32], KeyId::from_number(42))
    }

    #[test]
    fn base_62_is_positional() {
        assert_eq!(base62(&[0], 2), "00");
        assert_eq!(base62(&[61], 2), "0z");
        assert_eq!(base62(&[62], 2), "10");
        assert_eq!(base62(&[1, 0], 3), "048");
        assert_eq!(base62(&[255; 32], SECRET_DIGITS).len(), SECRET_DIGITS);
    }

    #[test]
    fn a_token_derives_again_for_the_same_key_only() {
        assert_eq!(token().expose(), token().expose());
        let other = VaultToken::derive(&[7; 32], KeyId::from_number(43));
        assert_ne!(token().expose(), other.expose());
        assert_ne!(token().hash(), other.hash());
        let other = VaultToken::derive(&[8; 32], KeyId::from_number(42));
        assert_ne!(token().expose(), other.expose());
    }

    #[test]
    fn a_token_is_recognised_by_prefix_length_and_checksum() {
        let text = token().expose().to_owned();
        assert_eq!(text.len(), Vault::PREFIX.len() + SECRET_DIGITS + CHECK_DIGITS);
        assert_eq!(VaultToken::parse(&text).unwrap().hash(), token().hash());
        let mistyped = text.replace(text.chars().nth(20).unwrap(), "é");
        let longer = format!("{text}0");
        for wrong in ["", "vault_key_", &text[1..], &text[..58], &longer, &mistyped, "sk_test_1"] {
            assert!(VaultToken::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn an_api_keys_token_is_no_vault_keys_and_the_other_way_round() {
        let api = ApiToken::from_random(&[7; 32]);
        assert_eq!(ApiToken::parse(api.expose()).unwrap().hash(), api.hash());
        assert!(VaultToken::parse(api.expose()).is_none());
        assert!(ApiToken::parse(token().expose()).is_none());
        assert!(!format!("{api:?}").contains(&api.expose()[10..]));
    }

    #[test]
    fn debug_shows_no_token() {
        let shown = format!("{:?} {:?}", token(), token().hash());
        assert!(!shown.contains(&token().expose()[10..]), "{shown}");
        assert_eq!(shown.matches("7,").count(), 0);
    }
}
