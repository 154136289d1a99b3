//! Small scenarios of the laws, each on the reference and on `SQLite` together.

use std::sync::Arc;

use keybrake_core::{
    call::Evidence,
    ids::{BudgetId, CallId, KeyId},
    ledger::{
        Begun, Command, Ended, HeldCall, Issued, Reply,
        rows::{Rows, VaultKey},
    },
    refusal::{CapKind, Refusal},
};

use crate::{
    make::{
        ABSENT_AFTER, Ask, DAY, HOUR, MINUTE, Order, absent, at, conclude, finish, micros, refresh,
        revoke,
    },
    stores::Pair,
    subject::Subject,
};

/// Both stores and the time.
#[derive(Default)]
struct Bench {
    pair: Pair,
    now: i64,
    next: i64,
}

impl Bench {
    fn fresh(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    fn apply(&mut self, command: Command) -> Reply {
        let mut replies = self.pair.apply(&[command], at(self.now)).unwrap();
        replies.remove(0).unwrap()
    }

    fn try_issue(&mut self, order: &Order) -> Result<Issued, Refusal> {
        let (key, budget) = (self.fresh(), self.fresh());
        let (key, budget) = (KeyId::from_number(key), BudgetId::from_number(budget));
        let Reply::Issued(issued) = self.apply(order.issue(key, budget)) else {
            panic!("not a reply to an issue");
        };
        issued
    }

    fn issue(&mut self, order: &Order) -> Arc<VaultKey> {
        Arc::new(self.try_issue(order).unwrap().key)
    }

    fn child(&mut self, parent: &VaultKey, order: Order) -> Arc<VaultKey> {
        self.issue(&Order { parent: Some(parent.id), ..order })
    }

    fn begin(&mut self, ask: &Ask, key: &Arc<VaultKey>) -> Begun {
        let call = CallId::from_number(self.fresh());
        let command = Command::Begin(Box::new(ask.begin(call, key)));
        let Reply::Begun(begun) = self.apply(command) else {
            panic!("not a reply to a begin");
        };
        *begun
    }

    fn hold(&mut self, ask: &Ask, key: &Arc<VaultKey>) -> HeldCall {
        let begun = self.begin(ask, key);
        let Begun::Held(held) = begun else {
            panic!("{begun:?}");
        };
        held
    }

    fn refused(&mut self, ask: &Ask, key: &Arc<VaultKey>) -> Refusal {
        let begun = self.begin(ask, key);
        let Begun::Denied { refusal, .. } = begun else {
            panic!("{begun:?}");
        };
        refusal
    }

    /// The state that the call is in by this evidence.
    fn finish(&mut self, held: &HeldCall, evidence: Evidence) -> &'static str {
        let command = finish(held.call, held.attempt, evidence, Some(self.now));
        self.ended(command)
    }

    /// The state that the call is in when a look-up of it found nothing.
    fn look_up(&mut self, held: &HeldCall) -> &'static str {
        let found = conclude(held.call, absent(held.attempt, self.now));
        self.ended(found)
    }

    fn ended(&mut self, command: Command) -> &'static str {
        let Reply::Ended(ended) = self.apply(command) else {
            panic!("not a reply to evidence");
        };
        match ended {
            Ended::Recorded { state, .. } => state,
            Ended::Ignored => "ignored",
        }
    }

    fn revoke(&mut self, key: &VaultKey) {
        let reply = self.apply(revoke(key.id));
        assert!(matches!(reply, Reply::Revoked(Ok(_))), "{reply:?}");
    }

    fn doubt(&mut self, ask: &Ask, key: &Arc<VaultKey>) -> HeldCall {
        let held = self.hold(ask, key);
        assert_eq!(self.finish(&held, Evidence::Unknown), "in_doubt");
        held
    }

    fn rows(&mut self) -> Rows {
        self.pair.snapshot().unwrap()
    }
}

const UNKNOWN: Refusal = Refusal::OutcomeUnknown { retry_helps: true };

#[test]
fn law_1_a_re_send_that_no_longer_fits_its_new_window_is_not_sent() {
    let mut bench = Bench::default();
    let key = bench.issue(&Order::capped(Some(10), None));
    bench.now = 23 * HOUR;
    let first = Ask::charge(6, "first");
    bench.doubt(&first, &key);
    bench.now = DAY + MINUTE;
    let second = bench.hold(&Ask::charge(5, "second"), &key);
    assert_eq!(bench.refused(&first, &key), UNKNOWN);
    bench.finish(&second, Evidence::NotExecuted);
    assert_eq!(bench.hold(&first, &key).attempt, 2);
}

#[test]
fn law_1_a_parents_cap_blocks_its_child() {
    let mut bench = Bench::default();
    let parent = bench.issue(&Order::capped(None, Some(10)));
    let child = bench.child(&parent, Order::capped(None, Some(100)));
    let held = bench.hold(&Ask::charge(6, "a"), &child);
    let budget = parent.chain[0];
    let contended = bench.refused(&Ask::charge(5, "b"), &child);
    assert_eq!(contended, Refusal::CapContended { budget });
    bench.finish(&held, Evidence::moved(micros(6)));
    let exhausted = Refusal::CapExhausted {
        budget,
        kind: CapKind::Total,
        cap: micros(10),
        spent: micros(6),
        asked: micros(5),
    };
    assert_eq!(bench.refused(&Ask::charge(5, "b"), &child), exhausted);
    assert_eq!(bench.refused(&Ask::charge(5, "b"), &parent), exhausted);
    bench.hold(&Ask::charge(4, "c"), &child);
}

#[test]
fn law_1_after_an_overrun_nothing_new_is_admitted_on_any_ancestor() {
    let mut bench = Bench::default();
    let parent = bench.issue(&Order::capped(None, Some(10)));
    let child = bench.child(&parent, Order::capped(None, Some(100)));
    let held = bench.hold(&Ask::charge(6, "a"), &child);
    bench.finish(&held, Evidence::moved(micros(60)));
    let refused = bench.refused(&Ask::charge(1, "b"), &parent);
    assert!(matches!(refused, Refusal::CapExhausted { spent, .. } if spent == micros(60)));
    let refused = bench.refused(&Ask::charge(1, "c"), &child);
    assert!(matches!(refused, Refusal::CapExhausted { budget, .. } if budget == parent.chain[0]));
}

#[test]
fn law_2_a_hold_is_there_after_a_crash_and_in_doubt() {
    let mut bench = Bench::default();
    let key = bench.issue(&Order::capped(None, Some(10)));
    let call = CallId::from_number(bench.fresh());
    let ask = Ask::charge(6, "a");
    let begin = Command::Begin(Box::new(ask.begin(call, &key)));
    bench.pair.crash_after_commit(&[begin], at(bench.now)).unwrap();
    bench.pair.restart(at(bench.now)).unwrap();
    let budget = bench.rows().budgets[&key.chain[0]].clone();
    assert_eq!((budget.held, budget.in_doubt), (micros(0), micros(6)));
    assert_eq!(bench.hold(&ask, &key).call, call);
}

#[test]
fn law_3_a_refusal_of_a_retry_leaves_the_call_in_doubt() {
    let mut bench = Bench::default();
    let key = bench.issue(&Order::capped(None, Some(10)));
    let ask = Ask::charge(6, "a");
    bench.doubt(&ask, &key);
    let again = bench.hold(&ask, &key);
    assert_eq!(bench.finish(&again, Evidence::NotExecuted), "in_doubt");
}

#[test]
fn law_3_absence_is_evidence_only_when_there_was_time_to_appear() {
    let mut bench = Bench::default();
    let key = bench.issue(&Order::capped(None, Some(10)));
    let ask = Ask::charge(6, "a");
    let held = bench.doubt(&ask, &key);
    bench.now = ABSENT_AFTER;
    assert_eq!(bench.look_up(&held), "ignored");
    let again = bench.doubt(&ask, &key);
    bench.now += ABSENT_AFTER + 1;
    assert_eq!(bench.look_up(&held), "ignored");
    assert_eq!(bench.look_up(&again), "released");
}

#[test]
fn law_4_a_call_in_doubt_is_not_sent_again_when_the_vendor_may_have_forgotten_it() {
    let mut bench = Bench::default();
    let key = bench.issue(&Order::capped(None, Some(10)));
    let ask = Ask::charge(6, "a");
    bench.doubt(&ask, &key);
    for (hours, refused) in [(22, false), (23, true), (25, true)] {
        bench.now = hours * HOUR;
        match bench.begin(&ask, &key) {
            Begun::Held(held) => {
                assert!(!refused, "sent again after {hours} hours");
                // The window counts from the first send, not from this one.
                bench.finish(&held, Evidence::Unknown);
            }
            Begun::Denied { refusal, .. } => assert_eq!((refusal, refused), (UNKNOWN, true)),
            begun @ (Begun::Replay { .. } | Begun::Contended { .. }) => panic!("{begun:?}"),
        }
    }
}

#[test]
fn law_4_twins_in_one_batch_are_one_hold() {
    let mut bench = Bench::default();
    let key = bench.issue(&Order::capped(None, Some(100)));
    let ask = Ask::charge(6, "a");
    let ids: Vec<_> = (0..5).map(|_| CallId::from_number(bench.fresh())).collect();
    let twin = |call: &CallId| Command::Begin(Box::new(ask.begin(*call, &key)));
    let batch: Vec<_> = ids.iter().map(twin).collect();
    let replies = bench.pair.apply(&batch, at(bench.now)).unwrap();
    let held = replies.iter().filter(
        |reply| matches!(reply, Ok(Reply::Begun(begun)) if matches!(**begun, Begun::Held(_))),
    );
    assert_eq!(held.count(), 1);
    assert_eq!(bench.rows().budgets[&key.chain[0]].held, micros(6));
}

#[test]
fn law_6_revoking_the_parent_stops_the_child() {
    let mut bench = Bench::default();
    let parent = bench.issue(&Order::capped(None, Some(10)));
    let child = bench.child(&parent, Order::capped(None, Some(10)));
    let grandchild = bench.child(&child, Order::capped(None, Some(10)));
    bench.revoke(&parent);
    let revoked = Refusal::KeyRevoked { at: at(0), prior: None };
    for key in [&parent, &child, &grandchild] {
        assert_eq!(bench.refused(&Ask::charge(1, "a"), key), revoked);
        let under = Order { parent: Some(key.id), ..Order::capped(None, Some(1)) };
        assert_eq!(bench.try_issue(&under), Err(revoked.clone()));
        let successor = KeyId::from_number(bench.fresh());
        let refreshed = bench.apply(refresh(key.id, successor, None));
        assert_eq!(refreshed, Reply::Issued(Err(revoked.clone())));
    }
}

#[test]
fn law_6_a_sibling_does_not_send_a_call_of_a_revoked_budget_again() {
    let mut bench = Bench::default();
    let stopped = bench.issue(&Order::capped(None, Some(10)));
    let sibling = bench.issue(&Order::capped(None, Some(10)));
    let ask = Ask::charge(6, "a");
    let held = bench.doubt(&ask, &stopped);
    bench.revoke(&stopped);
    assert_eq!(bench.refused(&ask, &sibling), UNKNOWN);
    let Refusal::KeyRevoked { prior, .. } = bench.refused(&ask, &stopped) else {
        panic!("a revoked key is told something else");
    };
    assert_eq!(prior.map(|prior| prior.call_id), Some(held.call));
}

#[test]
fn law_7_an_issue_whose_answer_was_lost_makes_no_second_budget() {
    let mut bench = Bench::default();
    let order = Order { once: Some("run/step".to_owned()), ..Order::capped(None, Some(10)) };
    let (key, budget) = (KeyId::from_number(bench.fresh()), BudgetId::from_number(bench.fresh()));
    let lost = [order.issue(key, budget)];
    bench.pair.crash_before_commit(&lost, at(0)).unwrap();
    assert!(bench.rows().keys.is_empty());
    bench.pair.crash_after_commit(&lost, at(0)).unwrap();
    let issued = bench.try_issue(&order).unwrap();
    assert_eq!((issued.key.id, issued.replayed), (key, true));
    let other = Order { total: Some(11), ..order };
    assert_eq!(bench.try_issue(&other), Err(Refusal::IdempotencyKeyReused));
    assert_eq!(bench.rows().budgets.len(), 1);
}

#[test]
fn law_7_a_key_is_refreshed_once_while_its_successor_lives() {
    let mut bench = Bench::default();
    let key = bench.issue(&Order::capped(None, Some(10)));
    let refreshed = |bench: &mut Bench| {
        let successor = KeyId::from_number(bench.fresh());
        let refreshed = bench.apply(refresh(key.id, successor, Some(HOUR)));
        let Reply::Issued(Ok(issued)) = refreshed else {
            panic!("{refreshed:?}");
        };
        (issued.key.id, issued.replayed)
    };
    let (first, made) = refreshed(&mut bench);
    assert!(!made);
    assert_eq!(refreshed(&mut bench), (first, true));
    bench.now = 2 * HOUR;
    let (second, made) = refreshed(&mut bench);
    assert!(second != first && !made);
}
