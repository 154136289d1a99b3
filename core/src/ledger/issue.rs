//! Issuing, refreshing and revoking vault keys.

use crate::{
    budget::Budget,
    call::State,
    ids::{BudgetId, KeyId},
    ledger::{
        Issue, Issued, Refresh, Revoked,
        rows::{Call, IssuedOnce, Rows, VaultKey},
    },
    refusal::Refusal,
    time::Timestamp,
};

fn unknown(key: KeyId) -> Refusal {
    Refusal::NotFound { what: format!("vault key {key}") }
}

/// Makes a key and its budget; of a repeated request, finds what it made the first time.
pub(super) fn issue(rows: &mut Rows, issue: &Issue, now: Timestamp) -> Result<Issued, Refusal> {
    if let Some(before) = issue.once.as_ref().and_then(|once| rows.issued.get(once)) {
        if before.fingerprint != issue.fingerprint {
            return Err(Refusal::IdempotencyKeyReused);
        }
        return issued(rows, before.key, true);
    }
    let mut chain = vec![issue.budget];
    if let Some(parent) = issue.parent {
        let parent = rows.keys.get(&parent).ok_or_else(|| unknown(parent))?;
        refuse_revoked(rows, &parent.chain)?;
        chain.extend(&parent.chain);
    }
    let parent = chain.get(1).copied();
    rows.budgets.insert(issue.budget, Budget::new(issue.budget, parent, issue.caps, now));
    rows.changes.budgets.insert(issue.budget);
    insert_key(
        rows,
        VaultKey {
            id: issue.key,
            token_hash: issue.token_hash,
            chain,
            policy: issue.policy.clone(),
            label: issue.label.clone(),
            issued_at: now,
            expires_at: now.after(issue.lives),
            successor: None,
        },
    );
    if let Some(once) = &issue.once {
        let made = IssuedOnce { fingerprint: issue.fingerprint, key: issue.key };
        rows.issued.insert(once.clone(), made);
        rows.changes.issued.insert(once.clone());
    }
    issued(rows, issue.key, false)
}

/// Makes a successor on the same budget and policy, or finds the one that lives.
pub(super) fn refresh(
    rows: &mut Rows,
    refresh: &Refresh,
    now: Timestamp,
) -> Result<Issued, Refusal> {
    let mut last = rows.keys.get(&refresh.key).ok_or_else(|| unknown(refresh.key))?;
    refuse_revoked(rows, &last.chain)?;
    while let Some(next) = last.successor.and_then(|id| rows.keys.get(&id)) {
        last = next;
    }
    if last.id != refresh.key && now < last.expires_at {
        return issued(rows, last.id, true);
    }
    let lives = refresh.lives.unwrap_or_else(|| last.expires_at.since(last.issued_at));
    let predecessor = VaultKey { successor: Some(refresh.successor), ..last.clone() };
    insert_key(
        rows,
        VaultKey {
            id: refresh.successor,
            token_hash: refresh.token_hash,
            issued_at: now,
            expires_at: now.after(lives),
            successor: None,
            ..predecessor.clone()
        },
    );
    insert_key(rows, predecessor);
    issued(rows, refresh.successor, false)
}

/// Stops the key's budget, and so every key on it and every descendant. A second time changes nothing.
pub(super) fn revoke(rows: &mut Rows, key: KeyId, now: Timestamp) -> Result<Revoked, Refusal> {
    let own = rows.keys.get(&key).and_then(VaultKey::budget);
    let budget = own.and_then(|own| rows.budgets.get_mut(&own)).ok_or_else(|| unknown(key))?;
    if budget.revoked_at.is_none() {
        budget.revoked_at = Some(now);
        rows.changes.budgets.insert(budget.id);
    }
    let budget = budget.clone();
    let spends_from =
        |call: &&Call| rows.chain(call.budget).is_some_and(|chain| chain.contains(&budget.id));
    let in_state = |state: State| {
        let calls =
            rows.calls.values().filter(|call| call.life().is_some_and(|life| life.state == state));
        let mut ids: Vec<_> = calls.filter(spends_from).map(|call| call.id).collect();
        ids.sort();
        ids
    };
    let (in_flight, in_doubt) = (in_state(State::Held), in_state(State::InDoubt));
    Ok(Revoked { budget, in_flight, in_doubt })
}

fn refuse_revoked(rows: &Rows, chain: &[BudgetId]) -> Result<(), Refusal> {
    rows.revoked_at(chain).map_or(Ok(()), |at| Err(Refusal::KeyRevoked { at, prior: None }))
}

fn insert_key(rows: &mut Rows, key: VaultKey) {
    rows.changes.keys.insert(key.id);
    rows.keys.insert(key.id, key);
}

fn issued(rows: &Rows, id: KeyId, replayed: bool) -> Result<Issued, Refusal> {
    let key = rows.keys.get(&id).ok_or_else(|| unknown(id))?;
    let budget = key.budget().and_then(|own| rows.budgets.get(&own)).ok_or_else(|| unknown(id))?;
    Ok(Issued { key: key.clone(), budget: budget.clone(), replayed })
}
