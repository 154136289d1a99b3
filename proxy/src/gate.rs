//! The send deadline: a call that was begun goes out within one second, or not at all.
//!
//! So a revocation can answer with certainty. Its gate stands in front of a request's first byte:
//! it opens once, and never after its deadline. The deadline counts from a moment before the
//! begin's commit, so whatever began before a revocation is past it one second after.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use keybrake_core::{
    ids::{BudgetId, CallId},
    time::Timestamp,
};

use crate::outside::Clock;

/// How long a connection to a vendor may take to be made.
pub const CONNECT_WITHIN: Duration = Duration::from_millis(800);
/// How long after its begin a call may put its first byte on the wire.
pub const SEND_WITHIN: Duration = Duration::from_secs(1);

const SHUT: u8 = 0;
const OPENED: u8 = 1;
const GIVEN_UP: u8 = 2;
const OPENED_EARLY: u8 = 3;

/// What stands in front of one request's first byte.
#[derive(Debug)]
pub struct Gate {
    state: AtomicU8,
    send_by: Instant,
    sent_at: AtomicI64,
    clock: Clock,
}

impl Gate {
    /// A gate that opens until one second after `begun`.
    #[must_use]
    pub fn new(begun: Instant, clock: Clock) -> Self {
        Self {
            state: AtomicU8::new(SHUT),
            send_by: begun + SEND_WITHIN,
            sent_at: AtomicI64::new(0),
            clock,
        }
    }

    /// Lets the first byte pass, unless it is too late or was given up.
    pub fn open(&self) -> bool {
        if Instant::now() >= self.send_by {
            return !self.give_up();
        }
        let opened = self.state.compare_exchange(SHUT, OPENED, Ordering::AcqRel, Ordering::Acquire);
        if opened.is_ok() {
            self.sent_at.store(self.clock.now().as_micros(), Ordering::Release);
        }
        opened.unwrap_or_else(|state| state) != GIVEN_UP
    }

    /// Lets a request pass that has no body whose first byte could ask: while a connection can
    /// still be made in time. Until the deadline its first byte may go out at any moment.
    pub fn open_early(&self) -> bool {
        if Instant::now() + CONNECT_WITHIN >= self.send_by {
            return !self.give_up();
        }
        let opened =
            self.state.compare_exchange(SHUT, OPENED_EARLY, Ordering::AcqRel, Ordering::Acquire);
        if opened.is_ok() {
            self.sent_at.store(self.clock.now().as_micros(), Ordering::Release);
        }
        opened.is_ok()
    }

    /// Shuts the gate for good. Says whether it never opened.
    pub fn give_up(&self) -> bool {
        let shut = self.state.compare_exchange(SHUT, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire);
        !matches!(shut.unwrap_or_else(|state| state), OPENED | OPENED_EARLY)
    }

    /// Whether the first byte may still go out, but did not yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), SHUT | OPENED_EARLY)
            && Instant::now() < self.send_by
    }

    /// When the gate shuts by itself.
    #[must_use]
    pub const fn send_by(&self) -> Instant {
        self.send_by
    }

    /// When the first byte went out.
    #[must_use]
    pub fn sent_at(&self) -> Option<Timestamp> {
        let at = self.sent_at.load(Ordering::Acquire);
        (at != 0).then(|| Timestamp::from_micros(at))
    }
}

/// A request that may send something.
#[derive(Debug, Default)]
struct Pending {
    /// For which budgets, and behind which gate. `None` while that is being decided: it may be any.
    current: Mutex<Option<(Vec<BudgetId>, Arc<Gate>)>>,
}

impl Pending {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Vec<BudgetId>, Arc<Gate>)>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The requests that may send something.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    requests: Arc<Mutex<HashMap<CallId, Arc<Pending>>>>,
}

/// A request's entry among those that may send something, for as long as it lives.
#[derive(Debug)]
pub struct Ticket {
    request: CallId,
    pending: Arc<Pending>,
    all: InFlight,
}

impl InFlight {
    /// Enters a request, before anything is decided for it.
    #[must_use]
    pub fn enter(&self, request: CallId) -> Ticket {
        let pending = Arc::new(Pending::default());
        self.lock().insert(request, Arc::clone(&pending));
        Ticket { request, pending, all: self.clone() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<CallId, Arc<Pending>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when nothing that was begun before can send for these budgets any more.
    pub async fn wait_sent(&self, budgets: &[BudgetId], revoked: Instant) {
        let mut waiting: Vec<_> = self.lock().values().cloned().collect();
        loop {
            waiting.retain(|pending| match &*pending.lock() {
                Some((chain, gate)) => {
                    gate.is_pending() && chain.iter().any(|budget| budgets.contains(budget))
                }
                None => Arc::strong_count(pending) > 1,
            });
            if waiting.is_empty() || Instant::now() >= revoked + SEND_WITHIN {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Ticket {
    /// Notes for which budgets the request sends something now, and behind which gate.
    pub fn sends(&self, chain: Vec<BudgetId>, gate: Arc<Gate>) {
        *self.pending.lock() = Some((chain, gate));
    }

    /// Notes that what the request sends next is being decided.
    pub fn undecided(&self) {
        *self.pending.lock() = None;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.all.lock().remove(&self.request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(age: Duration) -> Arc<Gate> {
        let begun = Instant::now().checked_sub(age).unwrap();
        Arc::new(Gate::new(begun, Clock::default()))
    }

    #[test]
    fn a_gate_opens_in_time_and_never_after() {
        let open = gate(Duration::ZERO);
        assert!(open.is_pending() && open.open() && open.open());
        assert!(open.sent_at().is_some() && !open.is_pending() && !open.give_up());
        let late = gate(SEND_WITHIN);
        assert!(!late.open() && late.give_up() && late.sent_at().is_none());
        let given_up = gate(Duration::ZERO);
        assert!(given_up.give_up() && !given_up.open() && !given_up.open_early());
    }

    #[test]
    fn a_gate_that_opened_early_is_pending_until_its_deadline() {
        let early = gate(Duration::ZERO);
        assert!(early.open_early() && early.is_pending() && !early.give_up());
        assert!(early.sent_at().is_some());
        assert!(!gate(SEND_WITHIN.checked_sub(CONNECT_WITHIN).unwrap()).open_early());
    }

    #[tokio::test]
    async fn a_revocation_waits_for_what_may_still_send_for_its_budget_and_no_longer() {
        let all = InFlight::default();
        let (ours, other) = (BudgetId::from_number(1), BudgetId::from_number(2));
        let elsewhere = all.enter(CallId::from_number(1));
        elsewhere.sends(vec![other], gate(Duration::ZERO));
        let sent = all.enter(CallId::from_number(2));
        let sent_gate = gate(Duration::ZERO);
        sent_gate.open();
        sent.sends(vec![ours], sent_gate);
        all.wait_sent(&[ours], Instant::now()).await;

        let undecided = all.enter(CallId::from_number(3));
        let late = all.enter(CallId::from_number(4));
        let late_gate = gate(Duration::ZERO);
        late.sends(vec![other, ours], Arc::clone(&late_gate));
        let waiting = tokio::spawn({
            let all = all.clone();
            async move { all.wait_sent(&[ours], Instant::now()).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        drop(undecided);
        late_gate.open();
        waiting.await.unwrap();
    }
}
