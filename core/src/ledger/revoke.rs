//! Stopping runs: a key's budget, or the budgets of all keys of some runs.

use std::collections::BTreeSet;

use crate::{
    budget::Budget,
    call::State,
    ids::{BudgetId, CallId},
    ledger::{
        Lift, Revoke, RevokeRuns, Revoked,
        rows::{Call, Deed, Rows, VaultKey},
    },
    policy::Runs,
    refusal::Refusal,
    time::Timestamp,
};

/// Stops the key's budget, and so every key on it and every descendant. A second time changes nothing.
pub(super) fn revoke(rows: &mut Rows, revoke: &Revoke, now: Timestamp) -> Result<Revoked, Refusal> {
    let own = rows.keys.get(&revoke.key).and_then(VaultKey::budget);
    let own = own.ok_or_else(|| Refusal::unknown_key(revoke.key))?;
    if rows.budgets.get(&own).is_some_and(|budget| budget.revoked_at.is_none()) {
        rows.record(&revoke.by, Deed::Revoked, revoke.key.to_string(), now);
    }
    Ok(stop(rows, &BTreeSet::from([own]), now))
}

/// Stops the budgets of all keys of these runs, and lets them issue nothing more.
pub(super) fn revoke_runs(rows: &mut Rows, revoke: &RevokeRuns, now: Timestamp) -> Revoked {
    let runs = &revoke.runs;
    let of_runs = rows.keys.values().filter(|key| runs.contain(&key.label));
    let budgets = of_runs.filter_map(VaultKey::budget).collect();
    let first = rows.revoked_runs.get(runs).copied();
    if first.is_none() {
        rows.revoked_runs.insert(runs.clone(), now);
        rows.changes.revoked_runs.insert(runs.clone());
        rows.record(&revoke.by, Deed::RunsRevoked, show(runs), now);
    }
    Revoked { at: first.unwrap_or(now), ..stop(rows, &budgets, now) }
}

/// Lets revoked runs issue again.
pub(super) fn lift(rows: &mut Rows, lift: &Lift, now: Timestamp) -> bool {
    let was_revoked = rows.revoked_runs.remove(&lift.runs).is_some();
    if was_revoked {
        rows.changes.revoked_runs.insert(lift.runs.clone());
        rows.record(&lift.by, Deed::RunsLifted, show(&lift.runs), now);
    }
    was_revoked
}

fn show(runs: &Runs) -> String {
    match runs {
        Runs::Labelled(label) => label.as_str().to_owned(),
        Runs::Prefixed(prefix) => format!("{prefix}*"),
    }
}

fn stop(rows: &mut Rows, ids: &BTreeSet<BudgetId>, now: Timestamp) -> Revoked {
    for id in ids {
        if let Some(budget) = rows.budgets.get_mut(id).filter(|budget| budget.revoked_at.is_none())
        {
            budget.revoked_at = Some(now);
            rows.changes.budgets.insert(*id);
        }
    }
    let budgets: Vec<Budget> = ids.iter().filter_map(|id| rows.budgets.get(id)).cloned().collect();
    let spends_from = |call: &&Call| {
        rows.chain(call.budget).is_some_and(|chain| chain.iter().any(|id| ids.contains(id)))
    };
    let in_state = |state: State| -> Vec<CallId> {
        let calls =
            rows.calls.values().filter(|call| call.life().is_some_and(|life| life.state == state));
        let mut ids: Vec<_> = calls.filter(spends_from).map(|call| call.id).collect();
        ids.sort();
        ids
    };
    let (in_flight, in_doubt) = (in_state(State::Held), in_state(State::InDoubt));
    let at = budgets.iter().filter_map(|budget| budget.revoked_at).min().unwrap_or(now);
    Revoked { at, budgets, in_flight, in_doubt }
}
