//! A process that died leaves its calls in doubt, and nothing else changes.

use super::bench::{Bench, answered, at, capped, charge, read, usd};
use crate::{
    budget::Corrupt,
    call::{Evidence, State},
    ledger::{Command, Recovered, Reply, decide},
};

#[test]
fn every_write_in_flight_is_put_in_doubt_and_every_read_is_over() {
    let (mut bench, parent) = Bench::with_cap(100);
    let child = bench.child(&parent, capped(100));
    bench.hold(&charge(&child, 6, "a"));
    bench.hold(&charge(&parent, 7, "b"));
    let read = bench.hold(&read(&parent));
    assert_eq!(bench.recover(), 2);
    assert_eq!(bench.money(&child), [6, 0, 6]);
    assert_eq!(bench.money(&parent), [13, 0, 13]);
    let life = bench.call(read.call).life().unwrap();
    assert_eq!(life.state, State::Released);
}

#[test]
fn calls_that_are_not_in_flight_stay_as_they_are() {
    let (mut bench, key) = Bench::with_cap(100);
    bench.settle(&charge(&key, 1, "settled"));
    bench.doubt(&charge(&key, 2, "in doubt"));
    let held = bench.hold(&charge(&key, 3, "released"));
    bench.finish(answered(&held, Evidence::NotExecuted));
    bench.refused(&charge(&key, 200, "refused"));
    let before = bench.ledger.rows().clone();
    assert_eq!(bench.recover(), 0);
    assert_eq!(bench.ledger.rows(), &before);
}

#[test]
fn a_budget_that_does_not_add_up_keeps_its_own_calls_held_and_no_others() {
    let (mut bench, root) = Bench::with_cap(100);
    let child = bench.child(&root, capped(100));
    let other = bench.issue(capped(100));
    let below = bench.hold(&charge(&child, 6, "below"));
    let beside = bench.hold(&charge(&other, 7, "beside"));
    let mut rows = bench.ledger.rows().clone();
    let corrupt = root.chain[0];
    rows.budgets.get_mut(&corrupt).unwrap().held = usd(5);
    let before = rows.clone();
    let replies = decide(&mut rows, &[Command::Recover], at(0));
    let stay_held = [(below.call, Corrupt(corrupt))].into();
    assert_eq!(replies, [Ok(Reply::Recovered(Recovered { in_doubt: 1, stay_held }))]);
    for id in &child.chain {
        assert_eq!(rows.budgets[id], before.budgets[id]);
    }
    assert_eq!(rows.calls[&below.call], before.calls[&below.call]);
    assert_eq!(rows.budgets[&other.chain[0]].in_doubt, usd(7));
    assert_eq!(rows.changes.calls, [beside.call].into());
    assert_eq!(rows.changes.budgets, [other.chain[0]].into());
}

#[test]
fn a_recovered_call_is_sent_again_as_any_call_in_doubt() {
    let (mut bench, key) = Bench::with_cap(10);
    let ask = charge(&key, 6, "a");
    let held = bench.hold(&ask);
    bench.recover();
    let again = bench.hold(&ask);
    assert_eq!((again.call, again.attempt), (held.call, 2));
}

#[test]
fn an_answer_that_was_late_for_the_recovery_is_ignored() {
    let (mut bench, key) = Bench::with_cap(10);
    let held = bench.hold(&charge(&key, 6, "a"));
    bench.recover();
    bench.finish(answered(&held, Evidence::moved(usd(6))));
    assert_eq!(bench.money(&key), [6, 0, 6]);
}
