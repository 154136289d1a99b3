//! A key is made with its budget, once for each request.

use super::bench::{Bench, HOUR, LIFE, at, capped, charge};
use crate::{
    budget::Budget,
    ids::KeyId,
    ledger::{
        Issue, Issued,
        rows::{IssueBinding, VaultKey},
    },
    refusal::Refusal,
};

fn once(key: &str, issue: Issue) -> Issue {
    Issue { once: Some(IssueBinding { issuer: "ak_1".to_owned(), key: key.to_owned() }), ..issue }
}

#[test]
fn a_key_is_what_was_asked_for_on_a_budget_of_its_own() {
    let mut bench = Bench::default();
    bench.now = HOUR;
    let order = capped(10);
    let issued = bench.try_issue(order.clone()).unwrap();
    let (key, budget) = (issued.key.id, issued.budget.id);
    let expected = Issued {
        key: VaultKey {
            id: key,
            token_hash: order.token_hash,
            chain: vec![budget],
            policy: order.policy,
            label: order.label,
            issued_at: at(HOUR),
            expires_at: at(HOUR + LIFE),
            successor: None,
        },
        budget: Budget::new(budget, None, order.caps, at(HOUR)),
        replayed: false,
    };
    assert_eq!(issued, expected);
    assert_eq!(bench.ledger.rows().keys[&key], issued.key);
    assert_eq!(bench.ledger.rows().budgets[&budget], issued.budget);
}

#[test]
fn a_childs_chain_is_its_own_budget_and_then_its_parents() {
    let (mut bench, root) = Bench::with_cap(10);
    let child = bench.child(&root, capped(10));
    let grandchild = bench.child(&child, capped(10));
    let own = grandchild.chain[0];
    assert_eq!(grandchild.chain, [own, child.chain[0], root.chain[0]]);
    assert_eq!(bench.budget(&grandchild).parent, Some(child.chain[0]));
    assert_eq!(bench.ledger.rows().chain(own), Some(grandchild.chain.clone()));
}

#[test]
fn a_child_of_nobody_or_of_a_stopped_run_is_refused() {
    let (mut bench, parent) = Bench::with_cap(10);
    let stranger = KeyId::from_number(999);
    let under = |parent| Issue { parent: Some(parent), ..capped(10) };
    let what = format!("vault key {stranger}");
    assert_eq!(bench.try_issue(under(stranger)), Err(Refusal::NotFound { what }));
    bench.revoke(&parent);
    let (at, prior) = (at(0), None);
    assert_eq!(bench.try_issue(under(parent.id)), Err(Refusal::KeyRevoked { at, prior }));
    assert_eq!(bench.ledger.rows().keys.len(), 1);
}

#[test]
fn a_repeated_request_finds_what_it_made_and_its_money() {
    let mut bench = Bench::default();
    let first = bench.issue(once("a", capped(10)));
    bench.hold(&charge(&first, 6, "a"));
    bench.now = HOUR;
    let again = bench.try_issue(once("a", capped(10))).unwrap();
    let expected = Issued {
        key: first.as_ref().clone(),
        budget: bench.budget(&first).clone(),
        replayed: true,
    };
    assert_eq!(again, expected);
    assert_eq!(bench.ledger.rows().budgets.len(), 1);
}

#[test]
fn another_request_under_the_same_idempotency_key_is_refused() {
    let mut bench = Bench::default();
    bench.issue(once("a", capped(10)));
    let other = Issue { fingerprint: [9; 32], ..once("a", capped(11)) };
    assert_eq!(bench.try_issue(other), Err(Refusal::IdempotencyKeyReused));
}

#[test]
fn requests_without_or_with_other_idempotency_keys_are_requests_of_their_own() {
    let mut bench = Bench::default();
    let mut other_issuer = once("a", capped(10));
    other_issuer.once.as_mut().unwrap().issuer = "ak_2".to_owned();
    for order in
        [capped(10), capped(10), once("a", capped(10)), once("b", capped(10)), other_issuer]
    {
        assert!(!bench.try_issue(order).unwrap().replayed);
    }
    assert_eq!(bench.ledger.rows().budgets.len(), 5);
}
