//! Questions beside the writer: on connections of their own, off the async workers.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use keybrake_core::{
    budget::Budget,
    ids::{CallId, KeyId},
    ledger::rows::{Call, Rows, VaultKey},
    time::Timestamp,
    token::TokenHash,
};
use rusqlite::{Connection, OptionalExtension, params_from_iter, types::Value};

use super::{StoreError, load, rows, sqlite::SqliteStore};

/// Connections that only read.
#[derive(Debug)]
pub struct Readers {
    directory: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// Which calls to list, and how many.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    /// Of this run.
    pub label: Option<String>,
    /// Of this vault key.
    pub key: Option<KeyId>,
    /// To this vendor.
    pub vendor: Option<String>,
    /// With this idempotency key.
    pub idempotency_key: Option<String>,
    /// That made this object.
    pub object_id: Option<String>,
    /// In this state.
    pub state: Option<String>,
    /// With this verdict.
    pub verdict: Option<String>,
    /// Begun at or after this instant.
    pub since: Option<Timestamp>,
    /// Begun before this instant.
    pub until: Option<Timestamp>,
    /// Older than this call: the page before it ended there.
    pub before: Option<CallId>,
    /// At most so many.
    pub limit: usize,
}

impl Readers {
    /// Readers of the database in this directory.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let first = SqliteStore::reader(directory)?;
        Ok(Self { directory: directory.to_owned(), idle: Mutex::new(vec![first]) })
    }

    /// Runs a question on an idle connection, or a new one.
    fn ask<T>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = idle.map_or_else(|| SqliteStore::reader(&self.directory), Ok)?;
        let answer = question(&connection);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        answer
    }

    /// The vault key with this token.
    pub fn key_by_token(&self, hash: &TokenHash) -> Result<Option<VaultKey>, StoreError> {
        self.ask(|connection| load::key_by_token(connection, hash.as_bytes()))
    }

    /// A vault key, with its budgets among the rows.
    pub fn key_by_id(&self, id: KeyId) -> Result<Option<(VaultKey, Rows)>, StoreError> {
        self.ask(|connection| load::key_by_id(connection, id))
    }

    /// Vault keys with their own budgets, the newest first.
    pub fn keys(
        &self,
        label: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(VaultKey, Budget)>, StoreError> {
        self.ask(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id FROM vault_keys WHERE ?1 IS NULL OR label = ?1 ORDER BY id DESC LIMIT ?2",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let ids = statement.query_map((label, limit), |row| row.get(0))?;
            let mut keys = Vec::new();
            for id in ids.collect::<Result<Vec<i64>, _>>()? {
                let found = load::key_by_id(connection, KeyId::from_number(id))?;
                keys.extend(found.and_then(|(key, rows)| {
                    let budget = rows.budgets.get(&key.budget()?)?.clone();
                    Some((key, budget))
                }));
            }
            Ok(keys)
        })
    }

    /// Calls that fit the filter, the newest first.
    pub fn calls(&self, filter: &CallFilter) -> Result<Vec<Call>, StoreError> {
        let (conditions, values) = conditions(filter);
        let sql = format!(
            "SELECT {} FROM calls c JOIN vault_keys k ON k.id = c.vault_key {conditions} ORDER BY c.id DESC LIMIT {}",
            rows::CALL,
            filter.limit
        );
        self.ask(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut found = statement.query(params_from_iter(values))?;
            let mut calls = Vec::new();
            while let Some(row) = found.next()? {
                calls.push(rows::call(row)?);
            }
            Ok(calls)
        })
    }

    /// One call.
    pub fn call(&self, id: CallId) -> Result<Option<Call>, StoreError> {
        let before = CallId::from_number(id.number().saturating_add(1));
        let newest =
            self.calls(&CallFilter { before: Some(before), limit: 1, ..CallFilter::default() })?;
        Ok(newest.into_iter().find(|call| call.id == id))
    }

    /// Every call in doubt.
    pub fn in_doubt(&self) -> Result<Vec<Call>, StoreError> {
        self.ask(|connection| {
            let sql = format!(
                "SELECT {} FROM calls c JOIN vault_keys k ON k.id = c.vault_key \
                 WHERE c.state IN ('held', 'in_doubt') AND c.state = 'in_doubt' ORDER BY c.id",
                rows::CALL
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut found = statement.query([])?;
            let mut calls = Vec::new();
            while let Some(row) = found.next()? {
                calls.push(rows::call(row)?);
            }
            Ok(calls)
        })
    }

    /// The sealed answer of a call, while it is kept.
    pub fn answer(&self, call: CallId) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT sealed FROM answers WHERE call = ?1")?;
            Ok(statement.query_row([call.number()], |row| row.get(0)).optional()?)
        })
    }

    /// Whether the database answers.
    pub fn ping(&self) -> Result<(), StoreError> {
        self.ask(|connection| Ok(connection.query_row("SELECT 1", [], |_| Ok(()))?))
    }
}

/// The filter as SQL. Only fixed text is joined; what a caller gave is bound.
fn conditions(filter: &CallFilter) -> (String, Vec<Value>) {
    let text = |text: &Option<String>| text.clone().map(Value::Text);
    let time = |at: Option<Timestamp>| at.map(|at| Value::Integer(at.as_micros()));
    let all = [
        ("k.label = ?", text(&filter.label)),
        ("c.vault_key = ?", filter.key.map(|key| Value::Integer(key.number()))),
        ("c.vendor = ?", text(&filter.vendor)),
        ("c.idempotency_key = ?", text(&filter.idempotency_key)),
        ("c.object_id = ?", text(&filter.object_id)),
        ("c.state = ?", text(&filter.state)),
        ("c.verdict = ?", text(&filter.verdict)),
        ("c.at >= ?", time(filter.since)),
        ("c.at < ?", time(filter.until)),
        ("c.id < ?", filter.before.map(|call| Value::Integer(call.number()))),
    ];
    let given = all.into_iter().filter_map(|(condition, value)| Some((condition, value?)));
    let (conditions, values): (Vec<_>, Vec<_>) = given.unzip();
    let whole = if conditions.is_empty() {
        String::new()
    } else {
        format!("WHERE {}", conditions.join(" AND "))
    };
    (whole, values)
}
