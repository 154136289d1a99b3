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
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the wall clock"
        )]
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
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
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks for randomness"
    )]
    let filled = getrandom::fill(&mut bytes);
    #[expect(clippy::expect_used, reason = "without randomness no key may be made")]
    filled.expect("the operating system gives random bytes");
    bytes
}
