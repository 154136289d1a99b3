//! Issuing and refreshing vault keys.

use crate::{
    budget::Budget,
    ids::{BudgetId, KeyId},
    ledger::{
        Issue, Issued, Refresh,
        rows::{Deed, IssuedOnce, Rows, VaultKey},
    },
    refusal::Refusal,
    time::Timestamp,
};

/// Makes a key and its budget; of a repeated request, finds what it made the first time.
pub(super) fn issue(rows: &mut Rows, issue: &Issue, now: Timestamp) -> Result<Issued, Refusal> {
    if let Some(before) = issue.once.as_ref().and_then(|once| rows.issued.get(once)) {
        if before.fingerprint != issue.fingerprint {
            return Err(Refusal::IdempotencyKeyReused);
        }
        return issued(rows, before.key, true);
    }
    if let Some(at) = rows.run_revoked_at(&issue.label) {
        return Err(Refusal::RunRevoked { at });
    }
    let mut chain = vec![issue.budget];
    if let Some(parent) = issue.parent {
        let parent = rows.keys.get(&parent).ok_or_else(|| Refusal::unknown_key(parent))?;
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
    rows.record(&issue.by, Deed::Issued, issue.key.to_string(), now);
    issued(rows, issue.key, false)
}

/// Makes a successor on the same budget and policy, or finds the one that lives.
pub(super) fn refresh(
    rows: &mut Rows,
    refresh: &Refresh,
    now: Timestamp,
) -> Result<Issued, Refusal> {
    let mut last = rows.keys.get(&refresh.key).ok_or_else(|| Refusal::unknown_key(refresh.key))?;
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
    rows.record(&refresh.by, Deed::Refreshed, refresh.key.to_string(), now);
    issued(rows, refresh.successor, false)
}

fn refuse_revoked(rows: &Rows, chain: &[BudgetId]) -> Result<(), Refusal> {
    rows.revoked_at(chain).map_or(Ok(()), |at| Err(Refusal::KeyRevoked { at, prior: None }))
}

fn insert_key(rows: &mut Rows, key: VaultKey) {
    rows.changes.keys.insert(key.id);
    rows.keys.insert(key.id, key);
}

fn issued(rows: &Rows, id: KeyId, replayed: bool) -> Result<Issued, Refusal> {
    let key = rows.keys.get(&id).ok_or_else(|| Refusal::unknown_key(id))?;
    let budget = key
        .budget()
        .and_then(|own| rows.budgets.get(&own))
        .ok_or_else(|| Refusal::unknown_key(id))?;
    Ok(Issued { key: key.clone(), budget: budget.clone(), replayed })
}
