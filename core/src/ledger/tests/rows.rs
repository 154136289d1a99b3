//! What a row says of itself, and how rows are found.

use super::bench::{Bench, HOUR, answered, at, capped, charge, concluded, read, usd};
use crate::{
    call::Evidence,
    ids::BudgetId,
    ledger::{
        Begun, Finding,
        rows::{Binding, Call, Rows},
    },
};

fn binding(key: &str) -> Binding {
    Binding { vendor: "stripe".to_owned(), key: key.to_owned() }
}

/// One call in each state: what it is, whether it is open, whether it binds its idempotency key.
fn calls(bench: &mut Bench) -> Vec<(Call, bool, bool)> {
    let key = bench.issue(capped(100));
    let held = bench.hold(&charge(&key, 1, "held")).call;
    let settled = bench.settle(&charge(&key, 1, "settled")).call;
    let in_doubt = bench.doubt(&charge(&key, 1, "in doubt")).call;
    let released = bench.hold(&charge(&key, 1, "released"));
    bench.finish(answered(&released, Evidence::NotExecuted));
    let absent = bench.doubt(&charge(&key, 1, "absent"));
    bench.conclude(concluded(&absent, Finding::ResolvedReleased));
    let Begun::Denied { call: denied, .. } = bench.begin(&charge(&key, 200, "denied")) else {
        panic!("200 fits a cap of 100");
    };
    let Begun::Replay { call: replayed, .. } = bench.begin(&charge(&key, 1, "settled")) else {
        panic!("a settled call was not replayed");
    };
    let read = bench.hold(&read(&key)).call;
    [
        (held, true, true),
        (settled, false, true),
        (in_doubt, true, true),
        (released.call, false, false),
        (absent.call, false, false),
        (denied, false, false),
        (replayed, false, false),
        (read, true, false),
    ]
    .map(|(id, open, binds)| (bench.call(id).clone(), open, binds))
    .into()
}

#[test]
fn a_call_is_open_in_flight_and_in_doubt_and_held_in_flight_alone() {
    let mut held = Vec::new();
    for (call, open, _) in calls(&mut Bench::default()) {
        assert_eq!(call.is_open(), open, "{call:?}");
        if call.is_held() {
            held.push(call.request.idempotency_key);
        }
    }
    assert_eq!(held, [Some("held".to_owned()), None], "a payment and a read");
}

#[test]
fn a_call_binds_its_idempotency_key_while_it_may_have_been_executed() {
    let mut bench = Bench::default();
    for (call, _, binds) in calls(&mut bench) {
        let own = call.request.idempotency_key.as_deref().map(binding);
        assert_eq!(call.binding(), own.clone().filter(|_| binds), "{call:?}");
        let bound = bench.ledger.rows().bound(own.as_ref());
        assert_eq!(bound.is_some_and(|bound| bound.id == call.id), binds);
    }
    assert_eq!(bench.ledger.rows().bindings.len(), 3);
    assert_eq!(bench.ledger.rows().bound(None), None);
    assert_eq!(bench.ledger.rows().bound(Some(&binding("none"))), None);
}

#[test]
fn a_loaded_call_is_found_by_its_id_and_what_it_binds() {
    for (call, _, binds) in calls(&mut Bench::default()) {
        let mut rows = Rows::new(at(0));
        rows.load_call(call.clone());
        assert_eq!(rows.calls[&call.id], call);
        assert_eq!(rows.bindings.len(), usize::from(binds));
        assert_eq!(rows.bound(call.binding().as_ref()).is_some(), binds);
    }
}

#[test]
fn a_chain_with_a_missing_link_is_none() {
    let (mut bench, root) = Bench::with_cap(10);
    let key = bench.child(&root, capped(10));
    let mut rows = bench.ledger.rows().clone();
    assert_eq!(rows.chain(key.chain[0]), Some(key.chain.clone()));
    assert_eq!(rows.chain(root.chain[0]), Some(root.chain.clone()));
    rows.budgets.remove(&root.chain[0]);
    assert_eq!(rows.chain(key.chain[0]), None);
    assert_eq!(rows.chain(BudgetId::from_number(999)), None);
}

#[test]
fn a_chain_was_revoked_when_the_first_of_its_budgets_was() {
    let (mut bench, root) = Bench::with_cap(10);
    let key = bench.child(&root, capped(10));
    assert_eq!(bench.ledger.rows().revoked_at(&key.chain), None);
    bench.now = HOUR;
    bench.revoke(&key);
    bench.now = 2 * HOUR;
    bench.revoke(&root);
    let rows = bench.ledger.rows();
    assert_eq!(rows.revoked_at(&key.chain), Some(at(HOUR)));
    assert_eq!(rows.revoked_at(&root.chain), Some(at(2 * HOUR)));
}

#[test]
fn what_a_budget_was_used_for_is_what_is_spent_and_held() {
    let (mut bench, key) = Bench::with_cap(10);
    bench.settle(&charge(&key, 3, "a"));
    bench.hold(&charge(&key, 4, "b"));
    assert_eq!(bench.last().cap_usage_after, usd(7));
}
