//! An API key is made as it was asked for, and stopped once.

use super::bench::{Bench, HOUR, at, span};
use crate::{
    access::{Actor, ApiKey, Bounds, Role},
    ids::ApiKeyId,
    ledger::{Command, CreateApiKey, Reply, RevokeApiKey},
    refusal::Refusal,
    token::TokenHash,
};

fn create(id: i64, lives: Option<i64>) -> CreateApiKey {
    CreateApiKey {
        id: ApiKeyId::from_number(id),
        token_hash: TokenHash::from_bytes([5; 32]),
        name: "the worker's".to_owned(),
        role: Role::Issuer,
        bounds: Bounds { longest_expiry_seconds: Some(60), ..Bounds::default() },
        lives: lives.map(span),
        by: Actor::admin(),
    }
}

fn api_key(bench: &mut Bench, command: Command) -> Result<ApiKey, Refusal> {
    let Reply::ApiKey(key) = bench.apply(command) else {
        panic!("not a reply about an API key");
    };
    key
}

fn make(bench: &mut Bench, create: CreateApiKey) -> ApiKey {
    api_key(bench, Command::CreateApiKey(Box::new(create))).unwrap()
}

fn stop(bench: &mut Bench, id: i64) -> Result<ApiKey, Refusal> {
    let key = ApiKeyId::from_number(id);
    api_key(bench, Command::RevokeApiKey(RevokeApiKey { key, by: Actor::admin() }))
}

#[test]
fn an_api_key_is_what_was_asked_for() {
    let mut bench = Bench::default();
    bench.now = HOUR;
    for (id, lives, expires_at) in [(1, None, None), (2, Some(HOUR), Some(at(2 * HOUR)))] {
        let asked = create(id, lives);
        let made = make(&mut bench, asked.clone());
        let expected = ApiKey {
            id: asked.id,
            token_hash: asked.token_hash,
            name: asked.name,
            role: asked.role,
            bounds: asked.bounds,
            created_at: at(HOUR),
            expires_at,
            revoked_at: None,
        };
        assert_eq!(made, expected);
        assert_eq!(bench.ledger.rows().api_keys[&made.id], expected);
    }
}

#[test]
fn an_api_key_is_stopped_once_and_no_other_is() {
    let mut bench = Bench::default();
    let (one, two) = (make(&mut bench, create(1, None)), make(&mut bench, create(2, None)));
    bench.now = HOUR;
    let stopped = ApiKey { revoked_at: Some(at(HOUR)), ..one.clone() };
    assert_eq!(stop(&mut bench, 1), Ok(stopped.clone()));
    bench.now = 2 * HOUR;
    assert_eq!(stop(&mut bench, 1), Ok(stopped.clone()));
    let rows = bench.ledger.rows();
    assert_eq!((&rows.api_keys[&one.id], &rows.api_keys[&two.id]), (&stopped, &two));
}

#[test]
fn a_stranger_is_not_stopped() {
    let mut bench = Bench::default();
    let what = format!("API key {}", ApiKeyId::from_number(9));
    assert_eq!(stop(&mut bench, 9), Err(Refusal::NotFound { what }));
    assert_eq!(bench.deeds(), []);
}

#[test]
fn what_was_done_to_api_keys_is_recorded_once() {
    let mut bench = Bench::default();
    make(&mut bench, create(1, None));
    stop(&mut bench, 1).unwrap();
    stop(&mut bench, 1).unwrap();
    let id = ApiKeyId::from_number(1).to_string();
    assert_eq!(bench.deeds(), [("api_key_created", id.clone()), ("api_key_revoked", id)]);
}
