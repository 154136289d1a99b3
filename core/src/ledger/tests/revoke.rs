//! Revoking a key stops its budget, and with it every key on it and below.

use super::bench::{Bench, HOUR, answered, at, capped, charge, state, usd};
use crate::{call::Evidence, ids::KeyId, refusal::Refusal};

const STOPPED: Refusal = Refusal::KeyRevoked { at: at(HOUR), prior: None };

#[test]
fn every_key_on_the_budget_and_below_is_stopped_and_no_other() {
    let (mut bench, root) = Bench::with_cap(100);
    let key = bench.child(&root, capped(100));
    let child = bench.child(&key, capped(100));
    let sibling = bench.child(&root, capped(100));
    let successor = bench.refresh(key.id, None).key.into();
    bench.now = HOUR;
    bench.revoke(&key);
    for stopped in [&key, &child, &successor] {
        assert_eq!(bench.refused(&charge(stopped, 1, "a")), STOPPED);
    }
    bench.hold(&charge(&root, 1, "b"));
    bench.hold(&charge(&sibling, 1, "c"));
}

#[test]
fn a_second_revocation_changes_nothing() {
    let (mut bench, key) = Bench::with_cap(10);
    bench.now = HOUR;
    let first = bench.revoke(&key);
    bench.now = 2 * HOUR;
    assert_eq!(bench.revoke(&key), first);
    assert_eq!(bench.budget(&key).revoked_at, Some(at(HOUR)));
}

#[test]
fn the_first_of_two_revocations_in_a_chain_is_told() {
    let (mut bench, parent) = Bench::with_cap(10);
    let child = bench.child(&parent, capped(10));
    bench.now = HOUR;
    bench.revoke(&parent);
    bench.now = 2 * HOUR;
    bench.revoke(&child);
    assert_eq!(bench.refused(&charge(&child, 1, "a")), STOPPED);
}

#[test]
fn a_revocation_lists_the_open_calls_of_all_descendants_and_no_others() {
    let (mut bench, root) = Bench::with_cap(100);
    let key = bench.child(&root, capped(100));
    let child = bench.child(&key, capped(100));
    bench.hold(&charge(&root, 1, "of the parent"));
    bench.doubt(&charge(&root, 1, "of the parent, in doubt"));
    bench.settle(&charge(&key, 1, "settled"));
    bench.refused(&charge(&key, 200, "refused"));
    let mut in_flight = vec![];
    let mut in_doubt = vec![];
    for (name, key) in [("x", &child), ("y", &key), ("z", &child)] {
        in_doubt.push(bench.doubt(&charge(key, 2, &format!("doubt {name}"))).call);
        in_flight.push(bench.hold(&charge(key, 3, &format!("flight {name}"))).call);
    }
    let revoked = bench.revoke(&key);
    assert_eq!(revoked.in_flight, in_flight);
    assert_eq!(revoked.in_doubt, in_doubt);
    assert_eq!(revoked.budgets, [bench.budget(&key).clone()]);
}

#[test]
fn the_answer_of_a_call_in_flight_counts_after_a_revocation() {
    let (mut bench, key) = Bench::with_cap(10);
    let held = bench.hold(&charge(&key, 6, "a"));
    bench.revoke(&key);
    let ended = bench.finish(answered(&held, Evidence::moved(usd(6))));
    assert_eq!(state(&ended), "settled");
    assert_eq!(bench.money(&key), [6, 0, 0]);
}

#[test]
fn a_stranger_is_not_revoked() {
    let (mut bench, key) = Bench::with_cap(10);
    let stranger = KeyId::from_number(999);
    let what = format!("vault key {stranger}");
    assert_eq!(bench.try_revoke(stranger), Err(Refusal::NotFound { what }));
    bench.hold(&charge(&key, 1, "a"));
}
