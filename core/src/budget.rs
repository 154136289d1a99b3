//! A budget: a cap over a window, what is spent against it and what is held.
//!
//! `spent + held ≤ cap` for every cap at every moment, except where a vendor billed more than it
//! quoted. *Spent* is settled or in doubt. A daily window is 24 hours from the moment of issue, so
//! that a short run never gets its cap twice by crossing midnight. Holds count in whatever window
//! is current; spending is booked in the window of its call's last send.

use std::time::Duration;

use crate::{ids::BudgetId, money::MicroUsd, refusal::CapKind, time::Timestamp};

/// The length of a daily window.
pub const WINDOW: Duration = Duration::from_hours(24);

/// At least one cap in dollars, and how many calls may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    daily: Option<MicroUsd>,
    total: Option<MicroUsd>,
    max_calls: Option<u32>,
}

impl Caps {
    /// These caps; `None` where there is none at all, or one of nothing.
    #[must_use]
    pub fn new(daily: Option<MicroUsd>, total: Option<MicroUsd>) -> Option<Self> {
        let is_zero = |cap: Option<MicroUsd>| cap == Some(MicroUsd::ZERO);
        let none = daily.is_none() && total.is_none();
        let caps = Self { daily, total, max_calls: None };
        (!none && !is_zero(daily) && !is_zero(total)).then_some(caps)
    }

    /// The caps of what must never spend: nothing, and no call.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { daily: None, total: Some(MicroUsd::ZERO), max_calls: Some(0) }
    }

    /// The same caps with at most so many calls.
    #[must_use]
    pub const fn with_max_calls(self, max_calls: Option<u32>) -> Self {
        Self { max_calls, ..self }
    }

    /// The same caps, with this total where there is none.
    #[must_use]
    pub fn with_total_up_to(self, largest: MicroUsd) -> Self {
        Self { total: self.total.or(Some(largest)), ..self }
    }

    /// The cap per 24 hours from issue.
    #[must_use]
    pub const fn daily(self) -> Option<MicroUsd> {
        self.daily
    }

    /// The cap for the life of the budget.
    #[must_use]
    pub const fn total(self) -> Option<MicroUsd> {
        self.total
    }

    /// How many calls may be made, whatever became of them.
    #[must_use]
    pub const fn max_calls(self) -> Option<u32> {
        self.max_calls
    }
}

/// Amounts that no longer add up: the ledger's own fault, never a caller's. Nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the amounts of budget {0} do not add up")]
pub struct Corrupt(pub BudgetId);

/// Whether an amount fits a budget now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It fits.
    Fits,
    /// It would fit if calls in flight gave back what they hold.
    Contended,
    /// What is spent leaves no room for it.
    Exhausted {
        /// The cap that is in the way.
        kind: CapKind,
        /// That cap.
        cap: MicroUsd,
        /// What is spent against it.
        spent: MicroUsd,
    },
}

/// A budget and its money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Its id.
    pub id: BudgetId,
    /// The budget that this one also spends from.
    pub parent: Option<BudgetId>,
    /// Its caps.
    pub caps: Caps,
    /// When its windows began.
    pub anchor: Timestamp,
    /// Which window `window_spent` counts; the first is 0.
    pub window: i64,
    /// Settled or in doubt, in that window.
    pub window_spent: MicroUsd,
    /// Settled or in doubt, ever.
    pub total_spent: MicroUsd,
    /// The part of `total_spent` that is in doubt.
    pub in_doubt: MicroUsd,
    /// Set aside for calls in flight.
    pub held: MicroUsd,
    /// How many calls were made, whatever became of them.
    pub calls: u32,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl Budget {
    /// A budget of which nothing is spent.
    #[must_use]
    pub const fn new(id: BudgetId, parent: Option<BudgetId>, caps: Caps, now: Timestamp) -> Self {
        let zero = MicroUsd::ZERO;
        Self {
            id,
            parent,
            caps,
            anchor: now,
            window: 0,
            window_spent: zero,
            total_spent: zero,
            in_doubt: zero,
            held: zero,
            calls: 0,
            revoked_at: None,
        }
    }

    /// The window that an instant lies in.
    fn window_at(&self, at: Timestamp) -> i64 {
        let length = i64::try_from(WINDOW.as_micros()).unwrap_or(i64::MAX);
        at.as_micros().saturating_sub(self.anchor.as_micros()).div_euclid(length)
    }

    /// When the current window ends.
    #[must_use]
    pub fn resets_at(&self) -> Timestamp {
        let windows = u32::try_from(self.window.saturating_add(1)).unwrap_or(u32::MAX);
        self.anchor.after(WINDOW.saturating_mul(windows))
    }

    /// Begins a new window where the last one is over. Windows never run back.
    pub fn roll(&mut self, now: Timestamp) {
        let window = self.window_at(now);
        if window > self.window {
            self.window = window;
            self.window_spent = MicroUsd::ZERO;
        }
    }

    /// Each cap with what is spent against it.
    fn limits(&self) -> impl Iterator<Item = (CapKind, MicroUsd, MicroUsd)> {
        let daily = CapKind::Daily { resets_at: self.resets_at() };
        let daily = self.caps.daily.map(|cap| (daily, cap, self.window_spent));
        let total = self.caps.total.map(|cap| (CapKind::Total, cap, self.total_spent));
        // The total first: it never reopens, so it is the more useful thing to be told.
        total.into_iter().chain(daily)
    }

    /// Whether `asked` fits now. Nothing always fits.
    #[must_use]
    pub fn room(&self, asked: MicroUsd) -> Room {
        if asked == MicroUsd::ZERO {
            return Room::Fits;
        }
        let passes = |base: Option<MicroUsd>, cap| {
            base.and_then(|base| base.checked_add(asked)).is_none_or(|sum| sum > cap)
        };
        if let Some((kind, cap, spent)) =
            self.limits().find(|(_, cap, spent)| passes(Some(*spent), *cap))
        {
            return Room::Exhausted { kind, cap, spent };
        }
        let contended =
            self.limits().any(|(_, cap, spent)| passes(spent.checked_add(self.held), cap));
        if contended { Room::Contended } else { Room::Fits }
    }

    /// Whether as many calls were made as may be.
    #[must_use]
    pub fn calls_exhausted(&self) -> Option<u32> {
        self.caps.max_calls.filter(|max| self.calls >= *max)
    }

    /// Counts a call.
    pub const fn count_call(&mut self) {
        self.calls = self.calls.saturating_add(1);
    }

    /// What is left of the tighter cap, with holds taken off.
    #[must_use]
    pub fn remaining(&self) -> MicroUsd {
        let left = |(_, cap, spent): (CapKind, MicroUsd, MicroUsd)| cap.less(spent).less(self.held);
        self.limits().map(left).min().unwrap_or(MicroUsd::ZERO)
    }

    /// Sets money aside. The caller has made sure of the room.
    pub fn hold(&mut self, amount: MicroUsd) -> Result<(), Corrupt> {
        self.held = self.held.checked_add(amount).ok_or(Corrupt(self.id))?;
        Ok(())
    }

    /// Ends a hold.
    pub fn unhold(&mut self, amount: MicroUsd) -> Result<(), Corrupt> {
        self.held = self.held.checked_sub(amount).ok_or(Corrupt(self.id))?;
        Ok(())
    }

    /// Books spending in the window of `sent`, whatever the caps say: it happened.
    pub fn spend(&mut self, amount: MicroUsd, sent: Timestamp) -> Result<(), Corrupt> {
        self.total_spent = self.total_spent.checked_add(amount).ok_or(Corrupt(self.id))?;
        if self.window_at(sent) == self.window {
            self.window_spent = self.window_spent.checked_add(amount).ok_or(Corrupt(self.id))?;
        }
        Ok(())
    }

    /// Takes back what was booked for the window of `sent`.
    pub fn unspend(&mut self, amount: MicroUsd, sent: Timestamp) -> Result<(), Corrupt> {
        self.total_spent = self.total_spent.checked_sub(amount).ok_or(Corrupt(self.id))?;
        if self.window_at(sent) == self.window {
            self.window_spent = self.window_spent.checked_sub(amount).ok_or(Corrupt(self.id))?;
        }
        Ok(())
    }

    /// Counts spending as in doubt.
    pub fn doubt(&mut self, amount: MicroUsd) -> Result<(), Corrupt> {
        self.in_doubt = self.in_doubt.checked_add(amount).ok_or(Corrupt(self.id))?;
        Ok(())
    }

    /// Counts spending as no longer in doubt.
    pub fn undoubt(&mut self, amount: MicroUsd) -> Result<(), Corrupt> {
        self.in_doubt = self.in_doubt.checked_sub(amount).ok_or(Corrupt(self.id))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(dollars: u64) -> MicroUsd {
        MicroUsd::from_micros(dollars * 1_000_000).unwrap()
    }

    fn at(hours: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000).after(Duration::from_secs(hours * 3_600))
    }

    fn budget(daily: Option<u64>, total: Option<u64>) -> Budget {
        let caps = Caps::new(daily.map(usd), total.map(usd)).unwrap();
        Budget::new(BudgetId::from_number(1), None, caps, at(0))
    }

    #[test]
    fn a_budget_has_at_least_one_cap_and_none_of_nothing() {
        assert_eq!(Caps::new(None, None), None);
        assert_eq!(Caps::new(Some(MicroUsd::ZERO), Some(usd(1))), None);
        assert_eq!(Caps::new(Some(usd(1)), Some(MicroUsd::ZERO)), None);
        let caps = Caps::new(Some(usd(1)), Some(usd(2))).unwrap();
        assert_eq!((caps.daily(), caps.total()), (Some(usd(1)), Some(usd(2))));
    }

    #[test]
    fn more_limits_leave_the_other_caps_as_they_were() {
        let caps = Caps::new(Some(usd(1)), None).unwrap();
        assert_eq!(caps.max_calls(), None);
        let counted = caps.with_max_calls(Some(3));
        assert_eq!((counted.max_calls(), counted.daily()), (Some(3), Some(usd(1))));
        assert_eq!(counted.with_total_up_to(usd(5)).total(), Some(usd(5)));
        assert_eq!(counted.with_total_up_to(usd(5)).max_calls(), Some(3));
        let smaller = Caps::new(None, Some(usd(2))).unwrap();
        assert_eq!(smaller.with_total_up_to(usd(5)), smaller);
        let nothing = Caps::nothing();
        assert_eq!(
            (nothing.daily(), nothing.total(), nothing.max_calls()),
            (None, Some(MicroUsd::ZERO), Some(0))
        );
    }

    #[test]
    fn calls_are_exhausted_when_as_many_were_made_and_never_without_a_limit() {
        let mut budget = budget(None, Some(5));
        budget.count_call();
        assert_eq!((budget.calls, budget.calls_exhausted()), (1, None));
        for (max, exhausted) in [(2, None), (1, Some(1)), (0, Some(0))] {
            budget.caps = budget.caps.with_max_calls(Some(max));
            assert_eq!(budget.calls_exhausted(), exhausted);
        }
        budget.calls = u32::MAX;
        budget.count_call();
        assert_eq!(budget.calls, u32::MAX);
    }

    #[test]
    fn an_amount_fits_up_to_the_cap_and_not_beyond() {
        let mut budget = budget(Some(10), None);
        budget.spend(usd(4), at(0)).unwrap();
        budget.hold(usd(3)).unwrap();
        assert_eq!(budget.room(usd(3)), Room::Fits);
        assert_eq!(budget.room(usd(4)), Room::Contended);
        assert_eq!(budget.room(usd(6)), Room::Contended);
        let kind = CapKind::Daily { resets_at: at(24) };
        assert_eq!(budget.room(usd(7)), Room::Exhausted { kind, cap: usd(10), spent: usd(4) });
        assert_eq!(budget.remaining(), usd(3));
    }

    #[test]
    fn nothing_fits_even_when_the_cap_is_overrun() {
        let mut budget = budget(None, Some(1));
        budget.spend(usd(5), at(0)).unwrap();
        assert_eq!(budget.room(MicroUsd::ZERO), Room::Fits);
        assert_eq!(budget.remaining(), MicroUsd::ZERO);
        let one = MicroUsd::from_micros(1).unwrap();
        assert_eq!(
            budget.room(one),
            Room::Exhausted { kind: CapKind::Total, cap: usd(1), spent: usd(5) }
        );
    }

    #[test]
    fn both_caps_count_and_the_total_is_told_first() {
        let mut budget = budget(Some(5), Some(8));
        budget.spend(usd(5), at(0)).unwrap();
        assert!(matches!(budget.room(usd(1)), Room::Exhausted { kind: CapKind::Daily { .. }, .. }));
        assert!(matches!(budget.room(usd(4)), Room::Exhausted { kind: CapKind::Total, .. }));
        budget.roll(at(24));
        assert_eq!(budget.room(usd(3)), Room::Fits);
        assert_eq!(budget.remaining(), usd(3));
        assert!(matches!(budget.room(usd(4)), Room::Exhausted { kind: CapKind::Total, .. }));
    }

    #[test]
    fn a_window_lasts_24_hours_from_issue_and_never_comes_back() {
        let mut budget = budget(Some(5), None);
        assert_eq!(budget.resets_at(), at(24));
        budget.spend(usd(5), at(0)).unwrap();
        budget.roll(at(23));
        assert_eq!((budget.window, budget.window_spent), (0, usd(5)));
        budget.roll(at(24));
        assert_eq!((budget.window, budget.window_spent), (1, MicroUsd::ZERO));
        assert_eq!(budget.resets_at(), at(48));
        budget.spend(usd(2), at(30)).unwrap();
        budget.roll(at(10));
        assert_eq!((budget.window, budget.window_spent), (1, usd(2)));
    }

    #[test]
    fn a_hold_counts_in_every_window_and_its_spending_in_that_of_its_send() {
        let mut budget = budget(Some(5), Some(20));
        budget.hold(usd(5)).unwrap();
        budget.roll(at(24));
        assert_eq!(budget.room(usd(1)), Room::Contended);
        budget.unhold(usd(5)).unwrap();
        budget.spend(usd(5), at(23)).unwrap();
        assert_eq!((budget.window_spent, budget.total_spent), (MicroUsd::ZERO, usd(5)));
        budget.unspend(usd(5), at(23)).unwrap();
        budget.spend(usd(3), at(24)).unwrap();
        assert_eq!((budget.window_spent, budget.total_spent), (usd(3), usd(3)));
        budget.unspend(usd(1), at(24)).unwrap();
        assert_eq!((budget.window_spent, budget.total_spent), (usd(2), usd(2)));
    }

    #[test]
    fn amounts_that_do_not_add_up_are_reported_not_clamped() {
        let mut budget = budget(None, Some(5));
        let corrupt = Err(Corrupt(budget.id));
        assert_eq!(budget.unhold(usd(1)), corrupt);
        assert_eq!(budget.unspend(usd(1), at(0)), corrupt);
        assert_eq!(budget.undoubt(usd(1)), corrupt);
        let most = MicroUsd::from_micros(i64::MAX.unsigned_abs()).unwrap();
        budget.hold(most).unwrap();
        budget.spend(most, at(0)).unwrap();
        budget.doubt(most).unwrap();
        assert_eq!(budget.hold(usd(1)), corrupt);
        assert_eq!(budget.spend(usd(1), at(0)), corrupt);
        assert_eq!(budget.doubt(usd(1)), corrupt);
        budget.undoubt(most).unwrap();
        assert_eq!(budget.in_doubt, MicroUsd::ZERO);
        assert_eq!(
            budget.room(usd(1)),
            Room::Exhausted { kind: CapKind::Total, cap: usd(5), spent: most }
        );
    }
}
