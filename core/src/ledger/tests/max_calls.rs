//! A budget makes no more calls than it may, whatever they cost and whatever becomes of them.

use super::bench::{Bench, HOUR, absent, answered, capped, charge, concluded, daily, read, usd};
use crate::{
    budget::Caps,
    call::Evidence,
    ledger::{Begun, Contention, Issue},
    refusal::{CapKind, Refusal},
};

fn with_max_calls(max_calls: u32, issue: Issue) -> Issue {
    Issue { caps: issue.caps.with_max_calls(Some(max_calls)), ..issue }
}

#[test]
fn every_call_counts_whatever_became_of_it_and_a_read_too() {
    let mut bench = Bench::default();
    let key = bench.issue(with_max_calls(4, capped(100)));
    let released = bench.hold(&charge(&key, 1, "released"));
    bench.finish(answered(&released, Evidence::NotExecuted));
    bench.settle(&charge(&key, 1, "settled"));
    bench.hold(&charge(&key, 0, "nothing"));
    bench.hold(&read(&key));
    assert_eq!(bench.budget(&key).calls, 4);
    let budget = key.chain[0];
    let exhausted = Refusal::CallsExhausted { budget, max_calls: 4 };
    for ask in [charge(&key, 1, "one more"), read(&key)] {
        assert_eq!(bench.refused(&ask), exhausted);
    }
    assert_eq!(bench.budget(&key).calls, 4);
}

#[test]
fn refusals_replays_and_repetitions_do_not_count() {
    let mut bench = Bench::default();
    let key = bench.issue(with_max_calls(2, capped(10)));
    bench.settle(&charge(&key, 1, "settled"));
    let begun = bench.begin(&charge(&key, 1, "settled"));
    assert!(matches!(begun, Begun::Replay { .. }));
    bench.refused(&charge(&key, 100, "too much"));
    let first = bench.doubt(&charge(&key, 1, "in doubt"));
    let again = bench.hold(&charge(&key, 1, "in doubt"));
    assert_eq!((again.call, again.attempt), (first.call, 2));
    assert_eq!(bench.budget(&key).calls, 2);
}

#[test]
fn a_call_whose_absence_is_proved_still_counts() {
    let mut bench = Bench::default();
    let key = bench.issue(with_max_calls(1, capped(10)));
    let held = bench.doubt(&charge(&key, 1, "a"));
    bench.now = 3 * HOUR;
    bench.conclude(concluded(&held, absent(1, 3 * HOUR)));
    assert_eq!(bench.money(&key), [0, 0, 0]);
    let refused = bench.refused(&charge(&key, 1, "a"));
    assert!(matches!(refused, Refusal::CallsExhausted { .. }));
}

#[test]
fn a_call_counts_in_every_budget_of_its_chain() {
    let mut bench = Bench::default();
    let root = bench.issue(with_max_calls(3, capped(100)));
    let (one, two) = (bench.child(&root, capped(50)), bench.child(&root, capped(50)));
    for (key, name) in [(&one, "a"), (&two, "b"), (&root, "c")] {
        bench.hold(&charge(key, 1, name));
    }
    assert_eq!([&root, &one, &two].map(|key| bench.budget(key).calls), [3, 1, 1]);
    let exhausted = Refusal::CallsExhausted { budget: root.chain[0], max_calls: 3 };
    for key in [&one, &two, &root] {
        assert_eq!(bench.refused(&charge(key, 1, "d")), exhausted);
    }
}

#[test]
fn calls_do_not_come_back_with_a_new_window() {
    let mut bench = Bench::default();
    let order = Issue { lives: super::bench::span(100 * HOUR), ..daily(10) };
    let key = bench.issue(with_max_calls(1, order));
    bench.settle(&charge(&key, 1, "a"));
    bench.now = 49 * HOUR;
    assert_eq!(
        bench.refused(&charge(&key, 1, "b")),
        Refusal::CallsExhausted { budget: key.chain[0], max_calls: 1 }
    );
}

#[test]
fn exhausted_calls_are_told_before_money_and_never_waited_for() {
    let mut bench = Bench::default();
    let root = bench.issue(with_max_calls(1, capped(10)));
    let child = bench.child(&root, capped(5));
    bench.hold(&charge(&child, 5, "a"));
    let mut ask = charge(&child, 5, "b");
    ask.contention = Contention::Wait;
    let exhausted = Refusal::CallsExhausted { budget: root.chain[0], max_calls: 1 };
    assert_eq!(bench.refused(&ask), exhausted, "although its own budget is only contended");
    assert_eq!(bench.refused(&charge(&root, 20, "c")), exhausted);
    let refused = bench.refused(&charge(&child, 6, "d"));
    let own = matches!(refused, Refusal::CapExhausted { budget, kind: CapKind::Total, cap, .. }
        if budget == child.chain[0] && cap == usd(5));
    assert!(own, "its own budget comes before its parent's");
}

#[test]
fn what_must_never_spend_makes_no_call() {
    let mut bench = Bench::default();
    let key = bench.issue(Issue { caps: Caps::nothing(), ..capped(1) });
    let exhausted = Refusal::CallsExhausted { budget: key.chain[0], max_calls: 0 };
    for ask in [read(&key), charge(&key, 0, "a"), charge(&key, 1, "b")] {
        assert_eq!(bench.refused(&ask), exhausted);
    }
}
