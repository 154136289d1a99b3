//! Reading the rows that a command touches, each once.

use keybrake_core::{
    ids::{ApiKeyId, BudgetId, CallId, KeyId},
    ledger::{
        Command,
        rows::{Binding, IssueBinding, IssuedOnce, Rows, VaultKey},
    },
    policy::Runs,
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{StoreError, rows};

pub(super) fn read_clock(connection: &Connection) -> Result<Timestamp, StoreError> {
    let clock = connection
        .prepare_cached("SELECT value FROM meta WHERE name = 'clock'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(Timestamp::from_micros(clock.unwrap_or(0)))
}

/// Loads the rows that a command touches.
pub(super) fn load(
    connection: &Connection,
    rows: &mut Rows,
    command: &Command,
) -> Result<(), StoreError> {
    match command {
        Command::Issue(issue) => {
            if let Some(once) = &issue.once {
                load_issued(connection, rows, once)?;
            }
            load_revoked_runs(connection, rows)?;
            issue.parent.map_or(Ok(()), |parent| load_key(connection, rows, parent))
        }
        Command::Refresh(refresh) => load_key(connection, rows, refresh.key),
        Command::Revoke(revoke) => {
            load_key(connection, rows, revoke.key)?;
            load_open_calls(connection, rows)
        }
        Command::RevokeRuns(revoke) => {
            load_revoked_runs(connection, rows)?;
            load_keys_of(connection, rows, &revoke.runs)?;
            load_open_calls(connection, rows)
        }
        Command::Lift(_) => load_revoked_runs(connection, rows),
        Command::CreateApiKey(create) => load_api_key(connection, rows, create.id),
        Command::RevokeApiKey(revoke) => load_api_key(connection, rows, revoke.key),
        Command::Peek(peek) => {
            load_chains(connection, rows, &peek.key.chain)?;
            peek.binding.as_ref().map_or(Ok(()), |binding| load_bound(connection, rows, binding))
        }
        Command::Begin(begin) => {
            load_chains(connection, rows, &begin.key.chain)?;
            if let Some(key) = begin.request.idempotency_key.clone() {
                let vendor = begin.request.vendor.clone();
                load_bound(connection, rows, &Binding { vendor, key })?;
            }
            let about = begin.quote.as_ref().ok().and_then(|quote| quote.object.as_deref());
            about.map_or(Ok(()), |object| {
                load_parts(connection, rows, &begin.request.vendor, object)
            })
        }
        Command::Finish(finish) => {
            load_ended(connection, rows, finish.call, finish.answer.object_id.as_deref())
        }
        Command::Conclude(conclude) => {
            load_ended(connection, rows, conclude.call, conclude.object_id.as_deref())
        }
        Command::Recover => load_open_calls(connection, rows),
    }
}

fn load_chains(
    connection: &Connection,
    rows: &mut Rows,
    chain: &[BudgetId],
) -> Result<(), StoreError> {
    chain.iter().try_for_each(|budget| load_chain(connection, rows, *budget))
}

/// Loads a budget and its ancestors.
pub(super) fn load_chain(
    connection: &Connection,
    rows: &mut Rows,
    budget: BudgetId,
) -> Result<(), StoreError> {
    let mut next = Some(budget);
    while let Some(id) = next.filter(|id| !rows.budgets.contains_key(id)) {
        let sql = ["SELECT ", rows::BUDGET, " FROM budgets WHERE id = ?1"].concat();
        let mut statement = connection.prepare_cached(&sql)?;
        let mut found = statement.query([id.number()])?;
        let Some(row) = found.next()? else {
            return Ok(());
        };
        let budget = rows::budget(row)?;
        next = budget.parent;
        rows.budgets.insert(id, budget);
    }
    Ok(())
}

/// Loads a vault key with its budgets, and the keys that refreshes made of it.
pub(super) fn load_key(
    connection: &Connection,
    rows: &mut Rows,
    key: KeyId,
) -> Result<(), StoreError> {
    let mut next = Some(key);
    while let Some(id) = next.filter(|id| !rows.keys.contains_key(id)) {
        let sql = ["SELECT ", rows::VAULT_KEY, " FROM vault_keys k WHERE k.id = ?1"].concat();
        let Some(key) = read_key(connection, rows, &sql, [id.number()])? else {
            return Ok(());
        };
        next = key.successor;
        rows.keys.insert(id, key);
    }
    Ok(())
}

fn read_key(
    connection: &Connection,
    rows: &mut Rows,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Option<VaultKey>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(params)?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    let mut key = rows::vault_key(row)?;
    let own = key.budget().ok_or(StoreError::Unreadable("a key has no budget"))?;
    load_chain(connection, rows, own)?;
    key.chain = rows.chain(own).ok_or(StoreError::Unreadable("a budget is missing"))?;
    Ok(Some(key))
}

/// The vault key with this token, read beside the writer.
pub(super) fn key_by_token(
    connection: &Connection,
    hash: &[u8; 32],
) -> Result<Option<VaultKey>, StoreError> {
    let mut rows = Rows::new(Timestamp::from_micros(0));
    let sql = ["SELECT ", rows::VAULT_KEY, " FROM vault_keys k WHERE k.token_hash = ?1"].concat();
    read_key(connection, &mut rows, &sql, [&hash[..]])
}

/// A vault key with its budget, read beside the writer.
pub(super) fn key_by_id(
    connection: &Connection,
    id: KeyId,
) -> Result<Option<(VaultKey, Rows)>, StoreError> {
    let mut rows = Rows::new(read_clock(connection)?);
    load_key(connection, &mut rows, id)?;
    Ok(rows.keys.get(&id).cloned().map(|key| (key, rows)))
}

pub(super) fn load_call(
    connection: &Connection,
    rows: &mut Rows,
    id: CallId,
) -> Result<(), StoreError> {
    if rows.calls.contains_key(&id) {
        return Ok(());
    }
    let sql = [
        "SELECT ",
        rows::CALL,
        " FROM calls c JOIN vault_keys k ON k.id = c.vault_key WHERE c.id = ?1",
    ]
    .concat();
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query([id.number()])?;
    let Some(row) = found.next()? else {
        return Ok(());
    };
    let call = rows::call(row)?;
    load_chain(connection, rows, call.budget)?;
    rows.load_call(call);
    Ok(())
}

/// Loads the call that an idempotency key is bound to, unless the batch has it already.
fn load_bound(
    connection: &Connection,
    rows: &mut Rows,
    binding: &Binding,
) -> Result<(), StoreError> {
    let id = connection
        .prepare_cached(
            "SELECT id FROM calls WHERE binding = ?1 AND vendor = ?2 AND idempotency_key = ?3",
        )?
        .query_row(params![rows::binding_hash(binding), binding.vendor, binding.key], |row| {
            row.get(0)
        })
        .optional()?;
    id.map_or(Ok(()), |id| load_call(connection, rows, CallId::from_number(id)))
}

/// Loads a call that has ended, with those that have a part in the same object.
fn load_ended(
    connection: &Connection,
    rows: &mut Rows,
    id: CallId,
    made: Option<&str>,
) -> Result<(), StoreError> {
    load_call(connection, rows, id)?;
    let Some(call) = rows.calls.get(&id) else {
        return Ok(());
    };
    let vendor = call.request.vendor.clone();
    let object = call.object.clone().or_else(|| made.map(str::to_owned));
    object.map_or(Ok(()), |object| load_parts(connection, rows, &vendor, &object))
}

/// Loads the calls that have a part in what an object commits.
fn load_parts(
    connection: &Connection,
    rows: &mut Rows,
    vendor: &str,
    object: &str,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM calls WHERE object = ?1 AND vendor = ?2 \
         AND (settled > 0 OR state IN ('held', 'in_doubt'))",
    )?;
    let ids = statement.query_map([object, vendor], |row| row.get(0))?;
    let ids: Vec<i64> = ids.collect::<Result<_, _>>()?;
    ids.into_iter().try_for_each(|id| load_call(connection, rows, CallId::from_number(id)))
}

/// Loads every call that is in flight or in doubt, with its budgets.
pub(super) fn load_open_calls(connection: &Connection, rows: &mut Rows) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM calls WHERE state = 'in_doubt' UNION ALL \
         SELECT id FROM calls WHERE state = 'held' \
         AND id >= (SELECT value FROM meta WHERE name = 'oldest_held')",
    )?;
    let ids: Vec<i64> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    ids.into_iter().try_for_each(|id| load_call(connection, rows, CallId::from_number(id)))
}

/// Loads the runs that issue nothing, unless the batch has them already.
pub(super) fn load_revoked_runs(
    connection: &Connection,
    rows: &mut Rows,
) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT name, is_prefix, revoked_at FROM revoked_runs")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let (name, is_prefix) = (row.get(0)?, row.get(1)?);
        let runs = rows::runs(name, is_prefix)?;
        // What the batch has changed is newer than what is stored.
        if !rows.changes.revoked_runs.contains(&runs) {
            rows.revoked_runs.insert(runs, Timestamp::from_micros(row.get(2)?));
        }
    }
    Ok(())
}

/// Loads all keys of these runs.
fn load_keys_of(connection: &Connection, rows: &mut Rows, runs: &Runs) -> Result<(), StoreError> {
    let mut ids: Vec<i64> = Vec::new();
    match runs {
        Runs::Labelled(label) => {
            let mut statement =
                connection.prepare_cached("SELECT id FROM vault_keys WHERE label = ?1")?;
            let found = statement.query_map([label.as_str()], |row| row.get(0))?;
            ids.extend(found.collect::<Result<Vec<i64>, _>>()?);
        }
        Runs::Prefixed(prefix) => {
            let mut statement = connection.prepare_cached(
                "SELECT id FROM vault_keys WHERE label >= ?1 AND substr(label, 1, length(?1)) = ?1",
            )?;
            let found = statement.query_map([prefix], |row| row.get(0))?;
            ids.extend(found.collect::<Result<Vec<i64>, _>>()?);
        }
    }
    ids.into_iter().try_for_each(|id| load_key(connection, rows, KeyId::from_number(id)))
}

pub(super) fn load_api_key(
    connection: &Connection,
    rows: &mut Rows,
    id: ApiKeyId,
) -> Result<(), StoreError> {
    if rows.api_keys.contains_key(&id) {
        return Ok(());
    }
    let sql = ["SELECT ", rows::API_KEY, " FROM api_keys WHERE id = ?1"].concat();
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query([id.number()])?;
    if let Some(row) = found.next()? {
        rows.api_keys.insert(id, rows::api_key(row)?);
    }
    Ok(())
}

pub(super) fn load_issued(
    connection: &Connection,
    rows: &mut Rows,
    once: &IssueBinding,
) -> Result<(), StoreError> {
    let found: Option<(Vec<u8>, i64)> = connection
        .prepare_cached("SELECT fingerprint, vault_key FROM issued WHERE issuer = ?1 AND key = ?2")?
        .query_row(params![once.issuer, once.key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((fingerprint, key)) = found else {
        return Ok(());
    };
    let fingerprint =
        fingerprint.try_into().map_err(|_| StoreError::Unreadable("a fingerprint is not one"))?;
    let key = KeyId::from_number(key);
    rows.issued.insert(once.clone(), IssuedOnce { fingerprint, key });
    load_key(connection, rows, key)
}
