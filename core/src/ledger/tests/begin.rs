//! A call is decided on in one order of checks, and its money is held or it is refused.

use super::bench::{
    Bench, HOUR, LIFE, answered, asked, at, capped, charge, daily, read, span, state, usd,
};
use crate::{
    call::{Evidence, Life, State},
    ledger::{
        Begin, Begun, Contention, HeldCall, Issue,
        rows::{Call, VendorAnswer, Verdict},
    },
    policy::Policy,
    refusal::{CapKind, Prior, Refusal},
};

fn not_permitted() -> Refusal {
    Refusal::EndpointNotAllowed { attempted: "POST /v1/payouts".to_owned(), allowed: Vec::new() }
}

fn not_priced() -> Refusal {
    Refusal::CurrencyNotPriced { currency: "xof".to_owned(), why: "there is none".to_owned() }
}

#[test]
fn a_price_is_needed_only_for_a_new_call_of_a_key_that_works() {
    let (mut bench, key) = Bench::with_cap(10);
    let revoked = bench.issue(capped(10));
    bench.revoke(&revoked);
    bench.hold(&charge(&key, 5, "known"));
    for (now, ask, needs) in [
        (LIFE - 1, charge(&key, 5, "new"), true),
        (LIFE - 1, read(&key), true),
        (LIFE - 1, charge(&key, 5, "known"), false),
        (LIFE - 1, charge(&revoked, 5, "new"), false),
        (LIFE, charge(&key, 5, "new"), false),
        (LIFE + 1, charge(&key, 5, "new"), false),
    ] {
        bench.now = now;
        assert_eq!(bench.peek(&ask), needs, "{now} {ask:?}");
    }
}

#[test]
fn a_call_that_fits_is_held_in_every_budget_of_its_chain() {
    let (mut bench, parent) = Bench::with_cap(20);
    let child = bench.child(&parent, capped(10));
    bench.now = HOUR;
    let held = bench.hold(&charge(&child, 6, "a"));
    let expected = HeldCall {
        call: held.call,
        attempt: 1,
        hold: usd(6),
        at_most: usd(6),
        object: None,
        asked: Some(asked(6)),
        chain: vec![child.chain[0], parent.chain[0]],
        tag: Some(child.label.clone()),
        remaining: usd(4),
    };
    assert_eq!(held, expected);
    assert_eq!(bench.money(&child), [0, 6, 0]);
    assert_eq!(bench.money(&parent), [0, 6, 0]);
}

#[test]
fn a_held_calls_row_says_what_was_asked_and_when() {
    let (mut bench, key) = Bench::with_cap(20);
    bench.settle(&charge(&key, 3, "before"));
    bench.now = HOUR;
    let ask = charge(&key, 6, "a");
    let held = bench.hold(&ask);
    let expected = Call {
        id: held.call,
        at: at(HOUR),
        key: key.id,
        budget: key.chain[0],
        label: key.label.clone(),
        request: ask.request,
        verdict: Verdict::Allowed(Life::held(usd(6), false)),
        asked: Some(asked(6)),
        object: None,
        awaits_bill: false,
        tagged: true,
        attempt: 1,
        begun_at: at(HOUR),
        sent_at: None,
        finished_at: None,
        answer: VendorAnswer::default(),
        cap_usage_after: usd(9),
        note: None,
    };
    assert_eq!(bench.call(held.call), &expected);
}

#[test]
fn a_call_without_tags_is_held_without() {
    let (mut bench, key) = Bench::with_cap(10);
    let ask = Begin { tagged: false, ..charge(&key, 5, "a") };
    let held = bench.hold(&ask);
    assert_eq!((held.tag, bench.last().tagged), (None, false));
}

#[test]
fn a_read_is_held_as_one() {
    let (mut bench, key) = Bench::with_cap(10);
    let held = bench.hold(&read(&key));
    assert!(bench.call(held.call).life().unwrap().is_read);
}

#[test]
fn what_is_left_is_of_the_tightest_cap_of_the_chain() {
    let (mut bench, parent) = Bench::with_cap(9);
    let child = bench.child(&parent, capped(100));
    assert_eq!(bench.hold(&charge(&child, 5, "a")).remaining, usd(4));
}

#[test]
fn a_refused_calls_row_says_why_and_holds_nothing() {
    let (mut bench, key) = Bench::with_cap(10);
    bench.settle(&charge(&key, 7, "before"));
    bench.now = HOUR;
    let begun = bench.begin(&charge(&key, 4, "a"));
    let refusal = Refusal::CapExhausted {
        budget: key.chain[0],
        kind: CapKind::Total,
        cap: usd(10),
        spent: usd(7),
        asked: usd(4),
    };
    let row = bench.last();
    let reason = refusal.to_string();
    let denied = Begun::Denied { call: row.id, refusal, remaining: usd(3) };
    assert_eq!(begun, denied);
    let code = "cap_exhausted".to_owned();
    assert_eq!(row.verdict, Verdict::Denied { code, reason });
    let times = (row.at, row.sent_at, row.finished_at);
    assert_eq!(times, (at(HOUR), None, Some(at(HOUR))));
    assert_eq!((row.attempt, row.tagged, &row.asked), (0, false, &Some(asked(4))));
    assert_eq!(row.cap_usage_after, usd(7));
    assert_eq!(bench.money(&key), [7, 0, 0]);
}

#[test]
fn a_refused_call_does_not_bind_its_idempotency_key() {
    let (mut bench, key) = Bench::with_cap(10);
    bench.refused(&charge(&key, 11, "a"));
    bench.hold(&charge(&key, 10, "a"));
}

#[test]
fn of_many_faults_the_first_in_the_order_of_checks_is_told() {
    let mut bench = Bench::default();
    let key = bench.issue(Issue {
        policy: Policy { per_call_usd_cap: Some(usd(5)), ..capped(1).policy },
        ..capped(1)
    });
    let all =
        Begin { permit: Err(not_permitted()), quote: Err(not_priced()), ..charge(&key, 6, "a") };
    let permitted = Begin { permit: Ok(()), ..all.clone() };
    let (cap, asked) = (usd(5), usd(6));
    let at_expiry = Refusal::KeyExpired { at: at(LIFE) };
    for (now, ask, refusal) in [
        (LIFE, &all, not_permitted()),
        (LIFE + 1, &permitted, at_expiry.clone()),
        (LIFE, &permitted, at_expiry),
        (LIFE - 1, &permitted, not_priced()),
        (LIFE - 1, &charge(&key, 6, "a"), Refusal::PerCallCapExceeded { cap, asked }),
    ] {
        let mut copy = bench.clone();
        copy.now = now;
        assert_eq!(copy.refused(ask), refusal);
    }
    bench.now = LIFE;
    bench.revoke(&key);
    let revoked = Refusal::KeyRevoked { at: at(LIFE), prior: None };
    assert_eq!(bench.refused(&all), revoked);
}

#[test]
fn one_call_may_cost_its_cap_and_no_more() {
    let mut bench = Bench::default();
    let key = bench.issue(Issue {
        policy: Policy { per_call_usd_cap: Some(usd(5)), ..capped(100).policy },
        ..capped(100)
    });
    bench.hold(&charge(&key, 4, "less"));
    bench.hold(&charge(&key, 5, "as much"));
    let (cap, asked) = (usd(5), usd(6));
    let refused = bench.refused(&charge(&key, 6, "more"));
    assert_eq!(refused, Refusal::PerCallCapExceeded { cap, asked });
}

#[test]
fn a_call_that_only_holds_stand_in_the_way_of_is_refused_or_waits() {
    let (mut bench, key) = Bench::with_cap(10);
    let other = bench.hold(&charge(&key, 6, "other"));
    let (refuse, budget) = (charge(&key, 5, "a"), key.chain[0]);
    let wait = Begin { contention: Contention::Wait, ..refuse.clone() };
    assert_eq!(bench.refused(&refuse), Refusal::CapContended { budget });
    let calls = bench.ledger.rows().calls.len();
    assert_eq!(bench.begin(&wait), Begun::Contended { budget });
    assert_eq!(bench.ledger.rows().calls.len(), calls);
    bench.finish(answered(&other, Evidence::NotExecuted));
    bench.hold(&wait);
}

#[test]
fn a_call_does_not_wait_for_money_that_is_spent() {
    let (mut bench, key) = Bench::with_cap(10);
    bench.settle(&charge(&key, 6, "other"));
    let wait = Begin { contention: Contention::Wait, ..charge(&key, 5, "a") };
    let refused = bench.refused(&wait);
    assert!(matches!(refused, Refusal::CapExhausted { .. }));
}

#[test]
fn what_is_spent_of_a_parent_is_told_before_what_is_held_of_the_child() {
    let (mut bench, parent) = Bench::with_cap(10);
    let child = bench.child(&parent, capped(8));
    bench.settle(&charge(&parent, 6, "spent"));
    bench.hold(&charge(&child, 4, "held"));
    let refused = bench.refused(&charge(&child, 5, "a"));
    assert!(matches!(refused, Refusal::CapExhausted { budget, .. } if budget == parent.chain[0]));
}

#[test]
fn of_two_contended_budgets_the_keys_own_is_waited_for() {
    let (mut bench, parent) = Bench::with_cap(10);
    let child = bench.child(&parent, capped(10));
    bench.hold(&charge(&child, 6, "held"));
    let budget = child.chain[0];
    let refused = bench.refused(&charge(&child, 5, "a"));
    assert_eq!(refused, Refusal::CapContended { budget });
}

#[test]
fn a_new_window_begins_with_the_first_call_after_the_last_one() {
    let mut bench = Bench::default();
    let key = bench.issue(Issue { lives: span(48 * HOUR), ..daily(10) });
    bench.settle(&charge(&key, 10, "first day"));
    bench.now = 24 * HOUR - 1;
    bench.refused(&charge(&key, 10, "still the first"));
    bench.now = 24 * HOUR;
    bench.hold(&charge(&key, 10, "second day"));
}

#[test]
fn an_executed_call_is_answered_from_the_store() {
    let (mut bench, key) = Bench::with_cap(10);
    let ask = charge(&key, 6, "a");
    let held = bench.hold(&ask);
    let mut finish = answered(&held, Evidence::moved(usd(6)));
    finish.answer.object_id = Some("ch_1".to_owned());
    assert_eq!(state(&bench.finish(finish)), "settled");
    // A replay needs neither a price nor an unexpired key.
    bench.now = LIFE;
    let begun = bench.begin(&Begin { quote: Err(not_priced()), ..ask });
    let (row, of) = (bench.last(), held.call);
    let replay =
        Begun::Replay { call: row.id, of, object_id: Some("ch_1".to_owned()), remaining: usd(4) };
    assert_eq!(begun, replay);
    assert_eq!(row.verdict, Verdict::Replayed { of });
    assert_eq!((row.attempt, &row.asked), (0, &Some(asked(6))));
    assert_eq!(bench.money(&key), [6, 0, 0]);
}

#[test]
fn an_idempotency_key_is_for_one_request() {
    let (mut bench, key) = Bench::with_cap(20);
    for ended in [None, Some(Evidence::Unknown), Some(Evidence::moved(usd(6)))] {
        let idempotency = format!("{ended:?}");
        let held = bench.hold(&charge(&key, 6, &idempotency));
        if let Some(evidence) = ended {
            bench.finish(answered(&held, evidence));
        }
        let other = charge(&key, 1, &idempotency);
        assert_eq!(bench.refused(&other), Refusal::IdempotencyKeyReused);
    }
}

#[test]
fn an_idempotency_key_belongs_to_one_vendor() {
    let (mut bench, key) = Bench::with_cap(20);
    bench.hold(&charge(&key, 6, "a"));
    let mut elsewhere = charge(&key, 1, "a");
    elsewhere.request.vendor = "other".to_owned();
    bench.hold(&elsewhere);
}

#[test]
fn a_call_in_flight_is_not_sent_twice() {
    let (mut bench, key) = Bench::with_cap(20);
    bench.hold(&charge(&key, 6, "a"));
    let refused = bench.refused(&charge(&key, 6, "a"));
    assert_eq!(refused, Refusal::CallInProgress);
}

#[test]
fn a_revoked_key_is_told_what_its_own_same_call_did() {
    let (mut bench, key) = Bench::with_cap(20);
    let other = bench.issue(capped(20));
    let held = bench.hold(&charge(&key, 6, "a"));
    let mut finish = answered(&held, Evidence::moved(usd(5)));
    finish.answer.object_id = Some("ch_1".to_owned());
    bench.finish(finish);
    bench.revoke(&key);
    bench.revoke(&other);
    let prior = Prior {
        call_id: held.call,
        state: State::Settled(usd(5)).name(),
        amount: usd(5),
        vendor_object_id: Some("ch_1".to_owned()),
    };
    for (ask, prior) in [
        (charge(&key, 6, "a"), Some(Box::new(prior))),
        (charge(&key, 7, "a"), None),
        (charge(&key, 6, "b"), None),
        (charge(&other, 6, "a"), None),
    ] {
        let at = at(0);
        assert_eq!(bench.refused(&ask), Refusal::KeyRevoked { at, prior });
    }
}
