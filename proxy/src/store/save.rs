//! Writing what a batch changed.

use keybrake_core::{
    access::ApiKey,
    budget::Budget,
    call::State,
    ids::{BudgetId, CallId, KeyId},
    ledger::rows::{Call, Record, Rows, VaultKey, Verdict},
    policy::Runs,
    time::Timestamp,
};
use rusqlite::{Connection, params};

use super::{StoreError, rows};

/// Writes what a batch changed. No call that is older than `oldest_held` is held after it.
pub(super) fn save(
    connection: &Connection,
    rows: &Rows,
    oldest_held: Option<CallId>,
) -> Result<(), StoreError> {
    let changes = &rows.changes;
    for budget in changes.budgets.iter().filter_map(|id| rows.budgets.get(id)) {
        save_budget(connection, budget)?;
    }
    for key in changes.keys.iter().filter_map(|id| rows.keys.get(id)) {
        save_key(connection, key)?;
    }
    for (once, issued) in changes.issued.iter().filter_map(|once| rows.issued.get_key_value(once)) {
        connection
            .prepare_cached(
                "INSERT INTO issued (issuer, key, fingerprint, vault_key) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![once.issuer, once.key, issued.fingerprint, issued.key.number()])?;
    }
    for call in changes.new_calls.iter().filter_map(|id| rows.calls.get(id)) {
        insert_call(connection, call)?;
    }
    for runs in &changes.revoked_runs {
        save_revoked_runs(connection, runs, rows.revoked_runs.get(runs).copied())?;
    }
    for key in changes.api_keys.iter().filter_map(|id| rows.api_keys.get(id)) {
        save_api_key(connection, key)?;
    }
    for record in &changes.records {
        save_record(connection, record)?;
    }
    let updated =
        changes.calls.union(&changes.amended).filter(|id| !changes.new_calls.contains(id));
    for call in updated.filter_map(|id| rows.calls.get(id)) {
        update_call(connection, call)?;
    }
    let oldest_held = oldest_held.map_or(i64::MAX, CallId::number);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO meta (name, value) VALUES ('clock', ?1), ('oldest_held', ?2)",
        )?
        .execute([rows.clock.as_micros(), oldest_held])?;
    Ok(())
}

pub(super) fn save_record(connection: &Connection, record: &Record) -> Result<(), StoreError> {
    let Record { at, who, deed, target } = record;
    connection
        .prepare_cached("INSERT INTO records (at, who, deed, target) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![at.as_micros(), who.as_str(), deed.name(), target])?;
    Ok(())
}

fn save_revoked_runs(
    connection: &Connection,
    runs: &Runs,
    revoked_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    let is_prefix = matches!(runs, Runs::Prefixed(_));
    match revoked_at {
        Some(at) => connection
            .prepare_cached(
                "INSERT OR REPLACE INTO revoked_runs (name, is_prefix, revoked_at) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![runs.text(), is_prefix, at.as_micros()])?,
        None => connection
            .prepare_cached("DELETE FROM revoked_runs WHERE name = ?1 AND is_prefix = ?2")?
            .execute(params![runs.text(), is_prefix])?,
    };
    Ok(())
}

fn save_api_key(connection: &Connection, key: &ApiKey) -> Result<(), StoreError> {
    let bounds = serde_json::to_string(&key.bounds)
        .map_err(|_| StoreError::Unreadable("an API key's bounds can't be written"))?;
    connection
        .prepare_cached(
            "INSERT INTO api_keys (id, token_hash, name, role, bounds, created_at, expires_at, revoked_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
             ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at",
        )?
        .execute(params![
            key.id.number(),
            &key.token_hash.as_bytes()[..],
            key.name,
            key.role.name(),
            bounds,
            key.created_at.as_micros(),
            key.expires_at.map(Timestamp::as_micros),
            key.revoked_at.map(Timestamp::as_micros),
        ])?;
    Ok(())
}

fn save_budget(connection: &Connection, budget: &Budget) -> Result<(), StoreError> {
    let changed = connection
        .prepare_cached(
            "UPDATE budgets SET window = ?2, window_spent = ?3, total_spent = ?4, in_doubt = ?5, held = ?6, \
             calls = ?7, revoked_at = ?8 WHERE id = ?1",
        )?
        .execute(params![
            budget.id.number(),
            budget.window,
            rows::micros(budget.window_spent),
            rows::micros(budget.total_spent),
            rows::micros(budget.in_doubt),
            rows::micros(budget.held),
            budget.calls,
            budget.revoked_at.map(Timestamp::as_micros),
        ])?;
    if changed == 1 {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO budgets (id, parent, daily_cap, total_cap, anchor, window, window_spent, total_spent, \
             in_doubt, held, max_calls, calls, revoked_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            budget.id.number(),
            budget.parent.map(BudgetId::number),
            budget.caps.daily().map(rows::micros),
            budget.caps.total().map(rows::micros),
            budget.anchor.as_micros(),
            budget.window,
            rows::micros(budget.window_spent),
            rows::micros(budget.total_spent),
            rows::micros(budget.in_doubt),
            rows::micros(budget.held),
            budget.caps.max_calls(),
            budget.calls,
            budget.revoked_at.map(Timestamp::as_micros),
        ])?;
    Ok(())
}

fn save_key(connection: &Connection, key: &VaultKey) -> Result<(), StoreError> {
    let policy = serde_json::to_string(&key.policy)
        .map_err(|_| StoreError::Unreadable("a policy can't be written"))?;
    connection
        .prepare_cached(
            "INSERT INTO vault_keys (id, token_hash, budget, policy, label, issued_at, expires_at, successor) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
             ON CONFLICT (id) DO UPDATE SET successor = excluded.successor",
        )?
        .execute(params![
            key.id.number(),
            key.token_hash.as_bytes(),
            key.budget().map(BudgetId::number),
            policy,
            key.label.as_str(),
            key.issued_at.as_micros(),
            key.expires_at.as_micros(),
            key.successor.map(KeyId::number),
        ])?;
    Ok(())
}

/// The columns that a verdict and its money stand in.
struct VerdictColumns<'a> {
    verdict: &'static str,
    state: Option<&'static str>,
    hold: Option<i64>,
    settled: Option<i64>,
    doubted: bool,
    code: Option<&'a str>,
    reason: Option<&'a str>,
    replay_of: Option<i64>,
}

impl<'a> From<&'a Verdict> for VerdictColumns<'a> {
    fn from(verdict: &'a Verdict) -> Self {
        let none = Self {
            verdict: "allowed",
            state: None,
            hold: None,
            settled: None,
            doubted: false,
            code: None,
            reason: None,
            replay_of: None,
        };
        match verdict {
            Verdict::Allowed(life) => Self {
                state: Some(life.state.name()),
                hold: Some(rows::micros(life.hold)),
                settled: match life.state {
                    State::Settled(amount) => Some(rows::micros(amount)),
                    State::Held | State::Released | State::InDoubt => None,
                },
                doubted: life.doubted,
                ..none
            },
            Verdict::Denied { code, reason } => {
                Self { verdict: "denied", code: Some(code), reason: Some(reason), ..none }
            }
            Verdict::Replayed { of } => {
                Self { verdict: "replayed", replay_of: Some(of.number()), ..none }
            }
        }
    }
}

fn insert_call(connection: &Connection, call: &Call) -> Result<(), StoreError> {
    let (request, verdict) = (&call.request, VerdictColumns::from(&call.verdict));
    connection
        .prepare_cached(
            "INSERT INTO calls (id, at, vault_key, budget, vendor, method, path, context, idempotency_key, binding, \
             fingerprint, customer, account, likeness, verdict, state, hold, settled, doubted, code, reason, \
             replay_of, amount, currency, rate, object, awaits_bill, tagged, attempt, begun_at, sent_at, \
             finished_at, vendor_status, request_id, object_id, cap_usage_after, note) VALUES (?1, ?2, ?3, ?4, \
             ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, \
             ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37)",
        )?
        .execute(params![
            call.id.number(),
            call.at.as_micros(),
            call.key.number(),
            call.budget.number(),
            request.vendor,
            request.method.as_str(),
            request.path,
            request.context,
            request.idempotency_key,
            call.binding().as_ref().map(rows::binding_hash),
            request.fingerprint,
            request.customer,
            request.account,
            request.likeness,
            verdict.verdict,
            verdict.state,
            verdict.hold,
            verdict.settled,
            verdict.doubted,
            verdict.code,
            verdict.reason,
            verdict.replay_of,
            call.asked.as_ref().and_then(|asked| i64::try_from(asked.amount).ok()),
            call.asked.as_ref().map(|asked| &asked.currency),
            call.asked.as_ref().and_then(|asked| asked.rate).map(|rate| rate.to_string()),
            call.object,
            call.awaits_bill,
            call.tagged,
            call.attempt,
            call.begun_at.as_micros(),
            call.sent_at.map(Timestamp::as_micros),
            call.finished_at.map(Timestamp::as_micros),
            call.answer.status,
            call.answer.request_id,
            call.answer.object_id,
            rows::micros(call.cap_usage_after),
            call.note,
        ])?;
    Ok(())
}

/// Writes what changes in a call's life. Its idempotency key is freed where it was released.
fn update_call(connection: &Connection, call: &Call) -> Result<(), StoreError> {
    let verdict = VerdictColumns::from(&call.verdict);
    connection
        .prepare_cached(
            "UPDATE calls SET state = ?2, settled = ?3, doubted = ?4, attempt = ?5, begun_at = ?6, sent_at = ?7, \
             finished_at = ?8, vendor_status = ?9, request_id = ?10, object_id = ?11, cap_usage_after = ?12, \
             note = ?13, object = ?14, awaits_bill = ?15 WHERE id = ?1",
        )?
        .execute(params![
            call.id.number(),
            verdict.state,
            verdict.settled,
            verdict.doubted,
            call.attempt,
            call.begun_at.as_micros(),
            call.sent_at.map(Timestamp::as_micros),
            call.finished_at.map(Timestamp::as_micros),
            call.answer.status,
            call.answer.request_id,
            call.answer.object_id,
            rows::micros(call.cap_usage_after),
            call.note,
            call.object,
            call.awaits_bill,
        ])?;
    if call.binding().is_none() {
        connection
            .prepare_cached(
                "UPDATE calls SET binding = NULL WHERE id = ?1 AND binding IS NOT NULL",
            )?
            .execute([call.id.number()])?;
    }
    Ok(())
}
