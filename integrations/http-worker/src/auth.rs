//! Who may have an activity done: whoever can, can charge.
//!
//! By a bearer token, or by a signature over the body, which an HTTP call that anybody can read in an
//! engine's history does not give away: `X-Keybrake-Signature: t={unix seconds},v1={hex}`, the
//! HMAC-SHA256 of `{t}.{body}`. It holds for five minutes and for one request.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::http::{
    HeaderMap,
    header::{AUTHORIZATION, ORIGIN},
};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// How far the time of a signature may be from ours.
pub const WINDOW: Duration = Duration::from_mins(5);
/// Signatures that are remembered, so that none holds twice. More than that come in a window only
/// from a caller who has the secret.
const REMEMBERED: usize = 100_000;
const SIGNATURE: &str = "x-keybrake-signature";

/// The seconds since the Unix epoch, as a source that tests can stop.
pub type Now = fn() -> u64;

/// The wall clock.
#[must_use]
pub fn wall_clock() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "signatures are told from old ones by it")]
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.unwrap_or(Duration::ZERO).as_secs()
}

/// Who may ask.
#[derive(Clone)]
pub struct Callers {
    token: Option<SecretString>,
    secret: Option<SecretString>,
    seen: Arc<Mutex<Seen>>,
    now: Now,
}

#[derive(Default)]
struct Seen {
    known: HashSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

/// Why a request is not served. Nothing of the credential is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unauthorized {
    /// No credential at all.
    #[error("there is neither a bearer token nor an X-Keybrake-Signature; nothing was sent")]
    Missing,
    /// One that is not right.
    #[error("the credential is not valid; nothing was sent")]
    Invalid,
    /// A page in a browser on this machine.
    #[error("this comes from a web page; nothing was sent; a page has no business here")]
    Browser,
    /// A signature of another time.
    #[error(
        "the signature is not of the last five minutes; nothing was sent; sign each request anew"
    )]
    Old,
    /// A signature that was used.
    #[error(
        "the signature was used before, so that the first request may have been served; nothing was sent now; ask again freshly signed, with the same run and item"
    )]
    Replayed,
}

impl Callers {
    /// Those who have the token, or sign with the secret. Without either: everybody, which is for
    /// loopback alone.
    #[must_use]
    pub fn new(token: Option<SecretString>, secret: Option<SecretString>, now: Now) -> Self {
        Self { token, secret, seen: Arc::default(), now }
    }

    /// Whether everybody may ask.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.token.is_none() && self.secret.is_none()
    }

    /// Whether this request is one of theirs.
    pub fn check(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Unauthorized> {
        if self.is_open() {
            return not_a_page(headers);
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let (Some(secret), Some(signature)) = (&self.secret, text(SIGNATURE)) {
            return self.check_signature(secret, signature, body);
        }
        let given = text(AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
        match (&self.token, given) {
            (Some(token), Some(given))
                if same(token.expose_secret().as_bytes(), given.as_bytes()) =>
            {
                Ok(())
            }
            (Some(_) | None, Some(_)) => Err(Unauthorized::Invalid),
            (Some(_) | None, None) => Err(Unauthorized::Missing),
        }
    }

    fn check_signature(
        &self,
        secret: &SecretString,
        signature: &str,
        body: &[u8],
    ) -> Result<(), Unauthorized> {
        let (time, digits) = signature
            .strip_prefix("t=")
            .and_then(|rest| rest.split_once(",v1="))
            .ok_or(Unauthorized::Invalid)?;
        let at: u64 = time.parse().map_err(|_| Unauthorized::Invalid)?;
        let signed = [time.as_bytes(), b".", body];
        let right = signature_of(secret.expose_secret().as_bytes(), &signed);
        let given = hex::decode(digits).map_err(|_| Unauthorized::Invalid)?;
        if !same(&right, &given) {
            return Err(Unauthorized::Invalid);
        }
        if at.abs_diff((self.now)()) > WINDOW.as_secs() {
            return Err(Unauthorized::Old);
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_first(right) { Ok(()) } else { Err(Unauthorized::Replayed) }
    }
}

/// Loopback is open to every program of this machine, which is meant, and to every page that a
/// browser shows on it, which is not. A browser names a page's origin when the page posts.
pub(crate) fn not_a_page(headers: &HeaderMap) -> Result<(), Unauthorized> {
    if headers.contains_key(ORIGIN) { Err(Unauthorized::Browser) } else { Ok(()) }
}

impl Seen {
    fn is_first(&mut self, signature: [u8; 32]) -> bool {
        if !self.known.insert(signature) {
            return false;
        }
        self.order.push_back(signature);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// The HMAC-SHA256 of these pieces one after the other.
///
/// # Panics
/// Never: an HMAC takes a key of any length.
#[must_use]
pub fn signature_of(key: &[u8], pieces: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "an HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
    for piece in pieces {
        mac.update(piece);
    }
    mac.finalize().into_bytes().into()
}

/// Whether both are the same, in constant time.
#[must_use]
pub fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// Without the credentials.
impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callers").field("is_open", &self.is_open()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const NOW: u64 = 1_795_000_000;

    fn callers() -> Callers {
        Callers::new(Some("token".into()), Some("secret".into()), || NOW)
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_str(value).unwrap())])
    }

    fn signed(at: u64, body: &[u8]) -> HeaderMap {
        let signature = signature_of(b"secret", &[at.to_string().as_bytes(), b".", body]);
        headers(SIGNATURE, &format!("t={at},v1={}", hex::encode(signature)))
    }

    #[test]
    fn a_signature_holds_for_its_body_its_time_and_once() {
        let callers = callers();
        assert_eq!(callers.check(&signed(NOW, b"{}"), b"{}"), Ok(()));
        assert_eq!(callers.check(&signed(NOW, b"{}"), b"{}"), Err(Unauthorized::Replayed));
        assert_eq!(callers.check(&signed(NOW, b"{}"), b"{1}"), Err(Unauthorized::Invalid));
        assert_eq!(callers.check(&signed(NOW - 301, b"{}"), b"{}"), Err(Unauthorized::Old));
        assert_eq!(callers.check(&signed(NOW + 301, b"{}"), b"{}"), Err(Unauthorized::Old));
        assert_eq!(callers.check(&headers(SIGNATURE, "t=1"), b"{}"), Err(Unauthorized::Invalid));
    }

    #[test]
    fn a_bearer_token_is_the_right_one_or_none() {
        let bearer = |token: &str| headers("authorization", &format!("Bearer {token}"));
        assert_eq!(callers().check(&bearer("token"), b""), Ok(()));
        assert_eq!(callers().check(&bearer("tokem"), b""), Err(Unauthorized::Invalid));
        assert_eq!(callers().check(&HeaderMap::new(), b""), Err(Unauthorized::Missing));
        assert!(!format!("{:?}", callers()).contains("secret"));
    }

    #[test]
    fn a_page_in_a_browser_is_not_served_where_everybody_else_is() {
        let open = Callers::new(None, None, || NOW);
        assert_eq!(open.check(&HeaderMap::new(), b""), Ok(()));
        let page = headers("origin", "https://example.com");
        assert_eq!(open.check(&page, b""), Err(Unauthorized::Browser));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut seen = Seen::default();
        for number in 0..=REMEMBERED {
            let mut signature = [0; 32];
            signature[..8].copy_from_slice(&u64::try_from(number).unwrap().to_le_bytes());
            assert!(seen.is_first(signature));
        }
        assert_eq!((seen.known.len(), seen.order.len()), (REMEMBERED, REMEMBERED));
    }
}
