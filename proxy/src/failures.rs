//! Failed authentication is not free: who fails too often is told so instead.
//!
//! Failures are counted per peer address, and per presented credential and route: a vault key is no
//! API key, and is none the worse for having been tried as one. Behind a load balancer all
//! callers come from one address, so a valid credential is always accepted, however often others
//! fail beside it: only an answer that would be "not a valid key" becomes "too many failures". A
//! credential that itself failed too often is no longer looked up, but for once in a while, so
//! that a run that goes on with a wrong key costs the ledger nothing.

use std::{
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderMap, header::AUTHORIZATION};

/// The most addresses and credentials that are remembered.
const REMEMBERED: usize = 20_000;
/// What the limit counts in.
const WINDOW: Duration = Duration::from_mins(1);

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Who or what failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    /// An IPv4 address, or the 64 bits of an IPv6 address that are a site's.
    Peer(IpAddr),
    /// A hash of what stood in `Authorization` and of the route, with a key of this process.
    Credential(u64),
}

/// A credential as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Presented(Source);

/// The failures of the last minute.
///
/// Each source has an instant up to which its failures are paid for, in microseconds after
/// `since`; each failure moves it on by a share of the minute, never further than a minute ahead.
/// (This is the generic cell rate algorithm. The crates that have it count when they are asked,
/// and here a valid credential must be asked about without being counted.)
#[derive(Debug)]
pub struct Failures {
    share: u64,
    since: Instant,
    hasher: RandomState,
    paid_until: quick_cache::sync::Cache<Source, Arc<AtomicU64>>,
}

impl Failures {
    /// At most so many failures a minute, from now on.
    #[must_use]
    pub fn new(per_minute: u32, now: Instant) -> Self {
        Self {
            share: micros(WINDOW) / u64::from(per_minute.max(1)),
            since: now,
            hasher: RandomState::new(),
            paid_until: quick_cache::sync::Cache::new(REMEMBERED),
        }
    }

    /// What these headers present to this route, if anything.
    #[must_use]
    pub fn presented(&self, headers: &HeaderMap, route: &str) -> Option<Presented> {
        let given: Vec<_> = headers.get_all(AUTHORIZATION).iter().map(AsRef::as_ref).collect();
        let hash = || self.hasher.hash_one((route, &given));
        (!given.is_empty()).then(|| Presented(Source::Credential(hash())))
    }

    /// Whether this credential failed so often that it need not be looked up. Counts nothing.
    #[must_use]
    pub fn is_spent(&self, credential: Presented, now: Instant) -> bool {
        let paid_until = self.paid_until.get(&credential.0);
        paid_until
            .is_some_and(|paid| self.next(paid.load(Ordering::Relaxed), self.at(now)).is_none())
    }

    /// Counts a failure, and says whether it was one too many.
    #[must_use]
    pub fn count(&self, peer: Option<Peer>, credential: Option<Presented>, now: Instant) -> bool {
        let now = self.at(now);
        // Each is counted, also where the other is over already.
        let peer =
            peer.is_some_and(|Peer(address)| self.count_one(Source::Peer(site(address)), now));
        let credential = credential.is_some_and(|Presented(source)| self.count_one(source, now));
        peer || credential
    }

    fn count_one(&self, source: Source, now: u64) -> bool {
        let paid_until = self.paid_until.get(&source).unwrap_or_else(|| {
            let new = Arc::new(AtomicU64::new(0));
            self.paid_until.insert(source, Arc::clone(&new));
            new
        });
        let pay = |paid| self.next(paid, now);
        paid_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_err()
    }

    /// Up to when another failure is paid for; `None` where it is one too many.
    fn next(&self, paid_until: u64, now: u64) -> Option<u64> {
        let next = paid_until.max(now).saturating_add(self.share);
        (next <= now.saturating_add(micros(WINDOW))).then_some(next)
    }

    fn at(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.since))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Whoever has one IPv6 address has all that share its first 64 bits.
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn peer(address: &str) -> Peer {
        Peer(address.parse().unwrap())
    }

    fn presented(failures: &Failures, text: &'static str) -> Presented {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(text))]);
        failures.presented(&headers, "/vault/keys").unwrap()
    }

    #[test]
    fn the_limit_holds_for_a_minute_and_comes_back_bit_by_bit() {
        let now = Instant::now();
        let failures = Failures::new(6, now);
        let fails = |seconds| {
            failures.count(Some(peer("192.0.2.1")), None, now + Duration::from_secs(seconds))
        };
        assert_eq!([0; 7].map(fails), [false, false, false, false, false, false, true]);
        assert!(fails(9));
        assert!(!fails(10) && fails(10));
        assert_eq!([100; 7].map(fails), [false, false, false, false, false, false, true]);
    }

    #[test]
    fn each_address_and_each_credential_has_its_own_count() {
        let now = Instant::now();
        let failures = Failures::new(1, now);
        let (wrong, other) = (presented(&failures, "Bearer a"), presented(&failures, "Bearer b"));
        assert!(!failures.count(Some(peer("192.0.2.1")), Some(wrong), now));
        assert!(failures.is_spent(wrong, now) && !failures.is_spent(other, now));
        assert!(failures.count(Some(peer("192.0.2.1")), Some(other), now), "the same address");
        assert!(failures.count(Some(peer("192.0.2.2")), Some(wrong), now), "the same credential");
        assert!(!failures.count(
            Some(peer("192.0.2.3")),
            Some(presented(&failures, "Bearer c")),
            now
        ));
        assert!(!failures.is_spent(wrong, now + WINDOW));
    }

    #[test]
    fn an_ipv6_site_is_one_peer() {
        let now = Instant::now();
        let failures = Failures::new(1, now);
        assert!(!failures.count(Some(peer("2001:db8:0:1::1")), None, now));
        assert!(failures.count(Some(peer("2001:db8:0:1:ffff::2")), None, now));
        assert!(!failures.count(Some(peer("2001:db8:0:2::1")), None, now));
        assert!(!failures.count(Some(peer("192.0.2.1")), None, now));
        assert!(failures.count(Some(peer("::ffff:192.0.2.1")), None, now));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let now = Instant::now();
        let failures = Failures::new(1, now);
        for number in 0..100_000_u32 {
            let address = IpAddr::from(number.to_be_bytes());
            assert!(!failures.count(Some(Peer(address)), None, now));
        }
        assert!(failures.paid_until.len() <= REMEMBERED, "{}", failures.paid_until.len());
    }
}
