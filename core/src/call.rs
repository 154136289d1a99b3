//! The life of one call's money, as a pure function.
//!
//! Once bytes may have reached a vendor, only evidence ends a hold, never a timer: a hold that
//! expired although it was charged is money we promised not to spend. And once a call was in
//! doubt, a refusal of a *retry* says nothing about the first attempt, so it ends nothing.

use crate::{
    budget::{Budget, Corrupt},
    money::MicroUsd,
    time::Timestamp,
};

/// Where a call's money stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Set aside; the call is in flight.
    Held,
    /// The vendor executed it, for this much.
    Settled(MicroUsd),
    /// The vendor did not execute it.
    Released,
    /// The vendor may have executed it. Counts as spent.
    InDoubt,
}

impl State {
    /// The state's name in audit rows and answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Settled(_) => "settled",
            Self::Released => "released",
            Self::InDoubt => "in_doubt",
        }
    }
}

/// A call's money: what was set aside, where it stands, and what was ever unknown about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// What the call was quoted.
    pub hold: MicroUsd,
    /// Where that money stands.
    pub state: State,
    /// Whether the call was ever in doubt.
    pub doubted: bool,
    /// Whether the call only reads: then nothing about it can be in doubt.
    pub is_read: bool,
}

/// What a call did at the vendor.
///
/// Some calls move money once. Others change what an object commits, such as a payment intent that
/// is created, confirmed, captured in part and cancelled: of these the vendor says what the object
/// stands for *now*, and the ledger works out whose money moved by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It moved this much.
    Moved(MicroUsd),
    /// The object that it made or is about has moved or commits this much in all.
    Stands(MicroUsd),
    /// It only gave back: the object stands for no more than this any longer.
    Leaves(MicroUsd),
}

/// What came back for an attempt, as evidence about the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The vendor's answer says that it executed the call, to this effect.
    Executed(Effect),
    /// The vendor was not reached, or refused before processing.
    NotExecuted,
    /// Neither is known.
    Unknown,
}

impl Evidence {
    /// The vendor executed the call, which moved this much.
    #[must_use]
    pub const fn moved(amount: MicroUsd) -> Self {
        Self::Executed(Effect::Moved(amount))
    }
}

/// What happened to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The vendor's answer says that it executed the call, which counts for this much.
    Executed(MicroUsd),
    /// The vendor was not reached, or refused before processing.
    NotExecuted,
    /// Neither is known.
    Unknown,
    /// The process that had sent it is gone.
    Lost,
    /// It is sent again, on a caller's retry.
    Resent,
    /// A look-up found that it was executed, for this much.
    Found(MicroUsd),
    /// A look-up found that it was not executed.
    Absent,
    /// An operator says that it was executed, for this much.
    ResolvedSettled(MicroUsd),
    /// An operator says that it was not executed.
    ResolvedReleased,
    /// It counts for this much from now on: a later call gave back some of what it committed, or
    /// the vendor has said its final price.
    Restated(MicroUsd),
}

/// What an event does to the call's budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoneyMove {
    /// The hold goes back.
    HoldReleased,
    /// The hold ends and this much is spent.
    HoldSpent(MicroUsd),
    /// The hold becomes spending in doubt.
    HoldDoubted,
    /// Spending in doubt becomes a hold again.
    DoubtHeld,
    /// Spending in doubt becomes spending of this much.
    DoubtSpent(MicroUsd),
    /// Spending in doubt goes back.
    DoubtReleased,
    /// Spending of one amount becomes spending of another.
    Respent {
        /// What was booked.
        from: MicroUsd,
        /// What is booked now.
        to: MicroUsd,
    },
}

/// An event that can't happen to a call in this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} can't happen to a call that is {}", state.name())]
pub struct OutOfOrder {
    /// Where the call's money stood.
    pub state: State,
    /// What was said to have happened.
    pub event: Event,
}

impl Life {
    /// A call whose money was just set aside.
    #[must_use]
    pub const fn held(hold: MicroUsd, is_read: bool) -> Self {
        Self { hold, state: State::Held, doubted: false, is_read }
    }

    /// The call's next state, and what to do about its money.
    pub fn step(self, event: Event) -> Result<(Self, MoneyMove), OutOfOrder> {
        let (state, money) = match (self.state, event) {
            (State::Held, Event::Executed(amount)) => {
                (State::Settled(amount), MoneyMove::HoldSpent(amount))
            }
            (State::Held, Event::NotExecuted) if !self.doubted => {
                (State::Released, MoneyMove::HoldReleased)
            }
            (State::Held, Event::Unknown | Event::Lost) if self.is_read => {
                (State::Released, MoneyMove::HoldReleased)
            }
            (State::Held, Event::NotExecuted | Event::Unknown | Event::Lost) => {
                (State::InDoubt, MoneyMove::HoldDoubted)
            }
            (State::InDoubt, Event::Resent) => (State::Held, MoneyMove::DoubtHeld),
            (State::InDoubt, Event::Found(amount) | Event::ResolvedSettled(amount)) => {
                (State::Settled(amount), MoneyMove::DoubtSpent(amount))
            }
            (State::InDoubt, Event::Absent | Event::ResolvedReleased) => {
                (State::Released, MoneyMove::DoubtReleased)
            }
            (State::Settled(from), Event::Restated(to)) => {
                (State::Settled(to), MoneyMove::Respent { from, to })
            }
            (
                State::Held,
                Event::Resent
                | Event::Restated(_)
                | Event::Found(_)
                | Event::Absent
                | Event::ResolvedSettled(_)
                | Event::ResolvedReleased,
            )
            | (
                State::InDoubt,
                Event::Executed(_)
                | Event::NotExecuted
                | Event::Unknown
                | Event::Lost
                | Event::Restated(_),
            )
            | (State::Settled(_) | State::Released, _) => {
                return Err(OutOfOrder { state: self.state, event });
            }
        };
        let doubted = self.doubted || state == State::InDoubt;
        Ok((Self { state, doubted, ..self }, money))
    }

    /// What the call counts for: what it settled at, or what is set aside or booked for it.
    #[must_use]
    pub const fn amount(self) -> MicroUsd {
        match self.state {
            State::Settled(amount) => amount,
            State::Held | State::InDoubt => self.hold,
            State::Released => MicroUsd::ZERO,
        }
    }

    /// Whether the vendor billed more than the call was quoted.
    #[must_use]
    pub fn is_overrun(self) -> bool {
        matches!(self.state, State::Settled(amount) if amount > self.hold)
    }
}

impl Effect {
    /// What the call itself counts for, and how much of what others' calls count for goes back,
    /// where those count for `others` in all.
    #[must_use]
    pub fn shares(self, others: MicroUsd) -> (MicroUsd, MicroUsd) {
        match self {
            Self::Moved(amount) => (amount, MicroUsd::ZERO),
            Self::Stands(all) => (all.less(others), others.less(all)),
            Self::Leaves(all) => (MicroUsd::ZERO, others.less(all)),
        }
    }
}

impl MoneyMove {
    /// Moves the money of a call that held `hold` and was last sent at `sent`, in one budget.
    pub fn apply(
        self,
        budget: &mut Budget,
        hold: MicroUsd,
        sent: Timestamp,
    ) -> Result<(), Corrupt> {
        match self {
            Self::HoldReleased => budget.unhold(hold),
            Self::HoldSpent(amount) => {
                budget.unhold(hold).and_then(|()| budget.spend(amount, sent))
            }
            Self::HoldDoubted => {
                budget.unhold(hold)?;
                budget.spend(hold, sent)?;
                budget.doubt(hold)
            }
            Self::DoubtHeld => {
                Self::DoubtReleased.apply(budget, hold, sent).and_then(|()| budget.hold(hold))
            }
            Self::DoubtSpent(amount) => {
                Self::DoubtReleased.apply(budget, hold, sent)?;
                budget.spend(amount, sent)
            }
            Self::DoubtReleased => budget.unspend(hold, sent).and_then(|()| budget.undoubt(hold)),
            Self::Respent { from, to } => {
                budget.unspend(from, sent).and_then(|()| budget.spend(to, sent))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{budget::Caps, ids::BudgetId};

    fn usd(dollars: u64) -> MicroUsd {
        MicroUsd::from_micros(dollars * 1_000_000).unwrap()
    }

    fn life(state: State, doubted: bool) -> Life {
        Life { hold: usd(5), state, doubted, is_read: false }
    }

    const ALL: [Event; 10] = [
        Event::Executed(MicroUsd::ZERO),
        Event::NotExecuted,
        Event::Unknown,
        Event::Lost,
        Event::Resent,
        Event::Found(MicroUsd::ZERO),
        Event::Absent,
        Event::ResolvedSettled(MicroUsd::ZERO),
        Event::ResolvedReleased,
        Event::Restated(MicroUsd::ZERO),
    ];

    fn legal(life: Life) -> Vec<(Event, State, MoneyMove)> {
        let step = |event| life.step(event).ok().map(|(next, money)| (event, next.state, money));
        ALL.into_iter().filter_map(step).collect()
    }

    #[test]
    fn a_first_attempt_ends_by_any_evidence_and_is_in_doubt_without() {
        let none = MicroUsd::ZERO;
        assert_eq!(
            legal(life(State::Held, false)),
            [
                (Event::Executed(none), State::Settled(none), MoneyMove::HoldSpent(none)),
                (Event::NotExecuted, State::Released, MoneyMove::HoldReleased),
                (Event::Unknown, State::InDoubt, MoneyMove::HoldDoubted),
                (Event::Lost, State::InDoubt, MoneyMove::HoldDoubted),
            ]
        );
    }

    #[test]
    fn a_retry_that_was_refused_leaves_the_call_in_doubt() {
        let none = MicroUsd::ZERO;
        assert_eq!(
            legal(life(State::Held, true)),
            [
                (Event::Executed(none), State::Settled(none), MoneyMove::HoldSpent(none)),
                (Event::NotExecuted, State::InDoubt, MoneyMove::HoldDoubted),
                (Event::Unknown, State::InDoubt, MoneyMove::HoldDoubted),
                (Event::Lost, State::InDoubt, MoneyMove::HoldDoubted),
            ]
        );
    }

    #[test]
    fn a_call_in_doubt_ends_by_look_up_operator_or_another_attempt() {
        let none = MicroUsd::ZERO;
        assert_eq!(
            legal(life(State::InDoubt, true)),
            [
                (Event::Resent, State::Held, MoneyMove::DoubtHeld),
                (Event::Found(none), State::Settled(none), MoneyMove::DoubtSpent(none)),
                (Event::Absent, State::Released, MoneyMove::DoubtReleased),
                (Event::ResolvedSettled(none), State::Settled(none), MoneyMove::DoubtSpent(none)),
                (Event::ResolvedReleased, State::Released, MoneyMove::DoubtReleased),
            ]
        );
    }

    #[test]
    fn an_ended_call_stays_ended_and_only_its_amount_may_be_restated() {
        let (from, to) = (usd(1), MicroUsd::ZERO);
        assert_eq!(
            legal(life(State::Settled(from), true)),
            [(Event::Restated(to), State::Settled(to), MoneyMove::Respent { from, to })]
        );
        assert_eq!(legal(life(State::Released, false)), []);
        let refused = life(State::Released, false).step(Event::Resent).unwrap_err();
        assert_eq!(refused.to_string(), "Resent can't happen to a call that is released");
    }

    #[test]
    fn doubt_is_remembered() {
        let (doubted, _) = life(State::Held, false).step(Event::Unknown).unwrap();
        let (resent, _) = doubted.step(Event::Resent).unwrap();
        assert!(doubted.doubted && resent.doubted);
        let (settled, _) = life(State::Held, false).step(Event::Executed(usd(5))).unwrap();
        assert!(!settled.doubted);
    }

    #[test]
    fn a_read_is_never_in_doubt() {
        let read = Life::held(MicroUsd::ZERO, true);
        for event in [Event::NotExecuted, Event::Unknown, Event::Lost] {
            assert_eq!(read.step(event).unwrap().0.state, State::Released);
        }
    }

    #[test]
    fn a_call_counts_for_what_it_may_have_moved() {
        let counts = |state| life(state, false).amount();
        assert_eq!(
            [State::Held, State::InDoubt, State::Released, State::Settled(usd(7))].map(counts),
            [usd(5), usd(5), MicroUsd::ZERO, usd(7)]
        );
        let overrun = |state| life(state, false).is_overrun();
        assert!(overrun(State::Settled(usd(6))));
        assert!(!overrun(State::Settled(usd(5))) && !overrun(State::Held));
    }

    #[test]
    fn money_moves_whole() {
        let caps = Caps::new(None, Some(usd(10))).unwrap();
        let now = Timestamp::from_micros(0);
        let start = || {
            let mut budget = Budget::new(BudgetId::from_number(1), None, caps, now);
            budget.hold(usd(5)).unwrap();
            budget
        };
        let after = |moves: &[MoneyMove]| {
            let mut budget = start();
            for money in moves {
                money.apply(&mut budget, usd(5), now).unwrap();
            }
            let amounts = [budget.held, budget.total_spent, budget.in_doubt];
            amounts.map(|amount| amount.as_micros() / 1_000_000)
        };
        let doubt = MoneyMove::HoldDoubted;
        assert_eq!(after(&[MoneyMove::HoldReleased]), [0, 0, 0]);
        assert_eq!(after(&[MoneyMove::HoldSpent(usd(3))]), [0, 3, 0]);
        assert_eq!(after(&[doubt]), [0, 5, 5]);
        assert_eq!(after(&[doubt, MoneyMove::DoubtHeld]), [5, 0, 0]);
        assert_eq!(after(&[doubt, MoneyMove::DoubtSpent(usd(7))]), [0, 7, 0]);
        assert_eq!(after(&[doubt, MoneyMove::DoubtReleased]), [0, 0, 0]);
        let respent = |from, to| MoneyMove::Respent { from: usd(from), to: usd(to) };
        let spent = MoneyMove::HoldSpent(usd(3));
        assert_eq!(after(&[spent, respent(3, 1)]), [0, 1, 0]);
        assert_eq!(after(&[spent, respent(3, 1), respent(1, 8)]), [0, 8, 0]);
    }
}
