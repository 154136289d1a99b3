//! A key that nears its end is followed by one on the same budget, once.

use super::bench::{Bench, HOUR, LIFE, at, capped, charge, usd};
use crate::{
    ids::KeyId,
    ledger::{Issued, rows::VaultKey},
    refusal::Refusal,
    token::TokenHash,
};

#[test]
fn a_successor_is_the_same_key_with_a_life_of_its_own() {
    let (mut bench, parent) = Bench::with_cap(10);
    let key = bench.child(&parent, capped(9));
    bench.hold(&charge(&key, 6, "a"));
    bench.now = HOUR;
    let issued = bench.refresh(key.id, Some(2 * HOUR));
    let expected = Issued {
        key: VaultKey {
            id: issued.key.id,
            token_hash: TokenHash::from_bytes([4; 32]),
            issued_at: at(HOUR),
            expires_at: at(3 * HOUR),
            successor: None,
            ..key.as_ref().clone()
        },
        budget: bench.budget(&key).clone(),
        replayed: false,
    };
    assert_eq!(issued, expected);
    assert_ne!(issued.key.id, key.id);
    assert_eq!(bench.ledger.rows().keys[&issued.key.id], issued.key);
}

#[test]
fn the_old_key_keeps_its_own_life_and_knows_its_successor() {
    let (mut bench, key) = Bench::with_cap(10);
    bench.now = HOUR;
    let successor = Some(bench.refresh(key.id, None).key.id);
    let expected = VaultKey { successor, ..key.as_ref().clone() };
    assert_eq!(bench.ledger.rows().keys[&key.id], expected);
    bench.now = LIFE - 1;
    bench.hold(&charge(&key, 6, "a"));
}

#[test]
fn a_successor_lives_as_long_as_the_old_key_did() {
    let (mut bench, key) = Bench::with_cap(10);
    bench.now = 2 * LIFE;
    assert_eq!(bench.refresh(key.id, None).key.expires_at, at(3 * LIFE));
}

#[test]
fn while_the_last_successor_lives_it_is_found_again() {
    let (mut bench, key) = Bench::with_cap(10);
    let first = bench.refresh(key.id, Some(HOUR)).key.id;
    bench.now = HOUR - 1;
    let found = bench.refresh(key.id, Some(HOUR));
    assert_eq!((found.key.id, found.replayed), (first, true));
    bench.now = HOUR;
    let second = bench.refresh(key.id, Some(HOUR)).key.id;
    assert_ne!(second, first);
    let found = bench.refresh(key.id, Some(HOUR));
    assert_eq!((found.key.id, found.replayed), (second, true));
    bench.now = 3 * HOUR;
    let third = bench.refresh(key.id, Some(HOUR));
    assert!(!third.replayed);
    assert_eq!(bench.ledger.rows().keys[&second].successor, Some(third.key.id));
}

#[test]
fn a_living_key_without_a_successor_gets_one() {
    let (mut bench, key) = Bench::with_cap(10);
    let first = bench.refresh(key.id, None).key.id;
    let second = bench.refresh(first, None);
    assert!(second.key.id != first && !second.replayed);
}

#[test]
fn old_and_new_key_spend_from_one_budget() {
    let (mut bench, key) = Bench::with_cap(10);
    let new = bench.refresh(key.id, None).key.into();
    bench.settle(&charge(&key, 6, "a"));
    let refused = bench.refused(&charge(&new, 5, "b"));
    assert!(matches!(refused, Refusal::CapExhausted { spent, .. } if spent == usd(6)));
}

#[test]
fn a_stranger_and_a_stopped_run_are_not_refreshed() {
    let (mut bench, key) = Bench::with_cap(10);
    let stranger = KeyId::from_number(999);
    let what = format!("vault key {stranger}");
    assert_eq!(bench.try_refresh(stranger, None), Err(Refusal::NotFound { what }));
    bench.revoke(&key);
    let (at, prior) = (at(0), None);
    assert_eq!(bench.try_refresh(key.id, None), Err(Refusal::KeyRevoked { at, prior }));
}
