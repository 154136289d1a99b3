//! The only file that asks the outside world for the time and for randomness.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use keybrake_core::time::Timestamp;

/// The wall clock, and a shift that only tests and the sandbox move.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    shift_micros: Arc<AtomicI64>,
}

impl Clock {
    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let micros = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(micros.saturating_add(self.shift_micros.load(Ordering::Relaxed)))
    }

    /// Moves this clock and all its clones forward.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.shift_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

/// `N` bytes from the operating system's generator.
///
/// # Panics
/// When the operating system has no randomness to give: nothing that Keybrake does is safe then.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::disallowed_methods, reason = "the one place that asks for randomness")]
    let filled = getrandom::fill(&mut bytes);
    #[expect(clippy::expect_used, reason = "without randomness no key may be made")]
    filled.expect("the operating system gives random bytes");
    bytes
}

/// Makes numbers for ids: time first, so that they grow, then a few random bits.
#[derive(Debug, Default)]
pub struct Ids {
    last: AtomicI64,
}

impl Ids {
    /// 2025-01-01T00:00:00Z: 51 bits of microseconds from here last until 2096.
    const EPOCH_MICROS: i64 = 1_735_689_600_000_000;
    const RANDOM_BITS: u32 = 12;

    /// A number that is larger than all that were made before in this process.
    #[must_use]
    pub fn next(&self, clock: &Clock) -> i64 {
        let micros = clock.now().as_micros().saturating_sub(Self::EPOCH_MICROS).max(0);
        let noise = i64::from(u16::from_be_bytes(random::<2>()) >> (16 - Self::RANDOM_BITS));
        let wanted = (micros << Self::RANDOM_BITS) | noise;
        let larger = |last: i64| Some(wanted.max(last.saturating_add(1)));
        let before = self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, larger);
        before.map_or(wanted, |last| wanted.max(last.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_even_when_the_clock_stands_still() {
        let (ids, clock) = (Ids::default(), Clock::default());
        let made: Vec<_> = (0..1_000).map(|_| ids.next(&clock)).collect();
        assert!(made.is_sorted_by(|a, b| a < b));
    }
}
