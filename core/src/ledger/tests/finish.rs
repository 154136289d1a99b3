//! The answer of the attempt in flight moves its money, once.

use super::bench::{Bench, HOUR, answered, at, capped, charge, daily, read, span, state, usd};
use crate::{
    call::{Evidence, State},
    ids::CallId,
    ledger::{Begun, Ended, Finish, Issue, rows::VendorAnswer},
};

#[test]
fn each_answer_moves_the_money_of_the_whole_chain() {
    for (evidence, name, money) in [
        (Evidence::moved(usd(6)), "settled", [6, 0, 0]),
        (Evidence::moved(usd(7)), "settled", [7, 0, 0]),
        (Evidence::NotExecuted, "released", [0, 0, 0]),
        (Evidence::Unknown, "in_doubt", [6, 0, 6]),
    ] {
        let (mut bench, parent) = Bench::with_cap(10);
        let child = bench.child(&parent, capped(10));
        let held = bench.hold(&charge(&child, 6, "a"));
        let recorded =
            Ended::Recorded { state: name, chain: vec![child.chain[0], parent.chain[0]] };
        assert_eq!(bench.finish(answered(&held, evidence)), recorded);
        assert_eq!(bench.call(held.call).life().unwrap().state.name(), name);
        for key in [&child, &parent] {
            assert_eq!(bench.money(key), money, "{evidence:?}");
        }
    }
}

#[test]
fn a_read_without_an_answer_is_not_in_doubt() {
    let (mut bench, key) = Bench::with_cap(10);
    let held = bench.hold(&read(&key));
    let ended = bench.finish(answered(&held, Evidence::Unknown));
    assert_eq!(state(&ended), "released");
}

#[test]
fn a_finished_calls_row_says_what_the_vendor_said_and_when() {
    let (mut bench, key) = Bench::with_cap(10);
    bench.hold(&charge(&key, 3, "other"));
    let held = bench.hold(&charge(&key, 6, "a"));
    bench.now = HOUR;
    let answer = VendorAnswer {
        status: Some(200),
        request_id: Some("req_1".to_owned()),
        object_id: Some("ch_1".to_owned()),
    };
    bench.finish(Finish {
        sent_at: Some(at(1)),
        answer: answer.clone(),
        ..answered(&held, Evidence::moved(usd(4)))
    });
    let row = bench.call(held.call);
    assert_eq!((row.sent_at, row.finished_at), (Some(at(1)), Some(at(HOUR))));
    assert_eq!((&row.answer, row.cap_usage_after), (&answer, usd(7)));
}

#[test]
fn an_attempt_that_sent_nothing_keeps_when_an_earlier_one_did() {
    let (mut bench, key) = Bench::with_cap(10);
    let ask = charge(&key, 6, "a");
    let held = bench.hold(&ask);
    bench.finish(Finish { sent_at: Some(at(1)), ..answered(&held, Evidence::Unknown) });
    let again = bench.hold(&ask);
    bench.finish(answered(&again, Evidence::NotExecuted));
    assert_eq!(bench.call(held.call).sent_at, Some(at(1)));
}

#[test]
fn the_answer_of_another_attempt_or_call_changes_nothing() {
    let (mut bench, key) = Bench::with_cap(10);
    let ask = charge(&key, 6, "a");
    let first = bench.doubt(&ask);
    let again = bench.hold(&ask);
    let before = bench.ledger.rows().clone();
    let executed = answered(&again, Evidence::moved(usd(6)));
    let Begun::Denied { call: denied, .. } = bench.begin(&charge(&key, 20, "b")) else {
        panic!("20 fits a cap of 10");
    };
    for (call, attempt) in [
        (again.call, first.attempt),
        (again.call, again.attempt + 1),
        (denied, 0),
        (CallId::from_number(999), 1),
    ] {
        let other = Finish { call, attempt, ..executed.clone() };
        assert_eq!(bench.finish(other), Ended::Ignored);
    }
    assert_eq!(bench.ledger.rows().budgets, before.budgets);
    assert_eq!(bench.call(again.call), &before.calls[&again.call]);
    assert_eq!(state(&bench.finish(executed)), "settled");
}

#[test]
fn an_answer_counts_once() {
    let (mut bench, key) = Bench::with_cap(10);
    let held = bench.settle(&charge(&key, 6, "a"));
    for evidence in [Evidence::moved(usd(5)), Evidence::NotExecuted, Evidence::Unknown] {
        assert_eq!(bench.finish(answered(&held, evidence)), Ended::Ignored);
    }
    assert_eq!(bench.money(&key), [6, 0, 0]);
    let life = bench.call(held.call).life().unwrap();
    assert_eq!(life.state, State::Settled(usd(6)));
}

#[test]
fn a_released_call_gives_its_idempotency_key_back() {
    let (mut bench, key) = Bench::with_cap(10);
    let held = bench.hold(&charge(&key, 6, "a"));
    bench.finish(answered(&held, Evidence::NotExecuted));
    let other = bench.hold(&charge(&key, 5, "a"));
    assert_eq!((other.attempt, other.call != held.call), (1, true));
}

#[test]
fn only_a_recorded_answer_is_stored() {
    let (mut bench, key) = Bench::with_cap(10);
    let held = bench.hold(&charge(&key, 6, "a"));
    assert_eq!(bench.ledger.answer(held.call), None);
    let sealed = |text: &str| Finish {
        sealed: Some(text.as_bytes().to_vec()),
        ..answered(&held, Evidence::moved(usd(6)))
    };
    bench.finish(sealed("first"));
    assert_eq!(bench.ledger.answer(held.call), Some(&b"first"[..]));
    bench.finish(sealed("second"));
    assert_eq!(bench.ledger.answer(held.call), Some(&b"first"[..]));
}

#[test]
fn an_answer_without_a_body_to_keep_stores_none() {
    let (mut bench, key) = Bench::with_cap(10);
    let held = bench.settle(&charge(&key, 6, "a"));
    assert_eq!(bench.ledger.answer(held.call), None);
}

#[test]
fn spending_is_booked_in_the_window_of_its_send() {
    let mut bench = Bench::default();
    let key = bench.issue(Issue { lives: span(48 * HOUR), ..daily(10) });
    bench.now = 23 * HOUR;
    let held = bench.hold(&charge(&key, 6, "a"));
    bench.now = 25 * HOUR;
    bench.finish(answered(&held, Evidence::moved(usd(6))));
    let budget = bench.budget(&key);
    let booked = (budget.window, budget.window_spent, budget.total_spent);
    assert_eq!(booked, (1, usd(0), usd(6)));
}
