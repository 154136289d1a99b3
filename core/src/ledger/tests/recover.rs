//! A process that died leaves its calls in doubt, and nothing else changes.

use super::bench::{Bench, answered, capped, charge, read, usd};
use crate::call::{Event, State};

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
    bench.finish(answered(&held, Event::NotExecuted));
    bench.refused(&charge(&key, 200, "refused"));
    let before = bench.ledger.rows().clone();
    assert_eq!(bench.recover(), 0);
    assert_eq!(bench.ledger.rows(), &before);
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
    bench.finish(answered(&held, Event::Executed(usd(6))));
    assert_eq!(bench.money(&key), [6, 0, 6]);
}
