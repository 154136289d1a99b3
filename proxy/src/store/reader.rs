//! Questions beside the writer: on connections of their own, off the async workers.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use keybrake_core::{
    access::ApiKey,
    budget::Budget,
    ids::{CallId, KeyId},
    ledger::rows::{Call, Rows, VaultKey},
    policy::Runs,
    time::Timestamp,
    token::TokenHash,
};
use rusqlite::{Connection, OptionalExtension, params_from_iter, types::Value};

use super::{
    StoreError, load, rows,
    sqlite::{self, SqliteStore},
};

/// Connections that only read.
#[derive(Debug)]
pub struct Readers {
    directory: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// Which calls somebody may see at all.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Only of runs whose label begins so.
    pub label_prefix: Option<String>,
    /// Only to these vendors.
    pub vendors: Option<BTreeSet<String>>,
}

impl Reach {
    /// Whether it has this call.
    #[must_use]
    pub fn has(&self, call: &Call) -> bool {
        let prefix = self.label_prefix.as_deref().unwrap_or_default();
        let vendors = self.vendors.as_ref();
        call.label.as_str().starts_with(prefix)
            && vendors.is_none_or(|vendors| vendors.contains(&call.request.vendor))
    }
}

/// Which calls to list, and how many.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    /// Those that the asker may see.
    pub reach: Reach,
    /// Of this run.
    pub label: Option<String>,
    /// Of runs whose label begins so.
    pub label_prefix: Option<String>,
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
    /// Newer than this call, and the oldest first.
    pub after: Option<CallId>,
    /// At most so many.
    pub limit: usize,
}

/// An API key with when it was last used, to the minute.
#[derive(Clone, Debug)]
pub struct ListedApiKey {
    /// The key.
    pub key: ApiKey,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
}

/// What was done through the admin API, as it was kept.
#[derive(Clone, Debug)]
pub struct ListedRecord {
    /// Its place in the log.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub who: String,
    /// What.
    pub deed: String,
    /// To what.
    pub target: String,
}

fn api_keys_where(condition: &str) -> String {
    ["SELECT ", rows::API_KEY, ", last_used_at FROM api_keys WHERE ", condition].concat()
}

fn listed_api_key(row: &rusqlite::Row<'_>) -> Result<ListedApiKey, StoreError> {
    let last_used_at: Option<i64> = row.get("last_used_at")?;
    let last_used_at = last_used_at.map(Timestamp::from_micros);
    Ok(ListedApiKey { key: rows::api_key(row)?, last_used_at })
}

fn rows_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

impl Readers {
    /// Readers of the database in this directory.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let first = SqliteStore::reader(directory)?;
        Ok(Self { directory: directory.to_owned(), idle: Mutex::new(vec![first]) })
    }

    /// Runs a question on an idle connection, or a new one.
    pub(super) fn ask<T>(
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

    /// Vault keys with their own budgets, the newest first, that lie within somebody's bounds.
    pub fn keys(
        &self,
        label: Option<&str>,
        label_prefix: Option<&str>,
        before: Option<KeyId>,
        limit: usize,
        within: impl Fn(&VaultKey) -> bool,
    ) -> Result<Vec<(VaultKey, Budget)>, StoreError> {
        self.ask(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id FROM vault_keys WHERE (?1 IS NULL OR label = ?1) \
                 AND (?2 IS NULL OR instr(label, ?2) = 1) AND id < ?3 ORDER BY id DESC",
            )?;
            let before = before.map_or(i64::MAX, KeyId::number);
            let mut ids = statement.query((label, label_prefix, before))?;
            let mut keys = Vec::new();
            while keys.len() < limit
                && let Some(row) = ids.next()?
            {
                let found = load::key_by_id(connection, KeyId::from_number(row.get(0)?))?;
                let found = found.filter(|(key, _)| within(key));
                keys.extend(found.and_then(|(key, rows)| {
                    let budget = rows.budgets.get(&key.budget()?)?.clone();
                    Some((key, budget))
                }));
            }
            Ok(keys)
        })
    }

    /// The API key with this token.
    pub fn api_key_by_token(&self, hash: &TokenHash) -> Result<Option<ListedApiKey>, StoreError> {
        self.ask(|connection| {
            let sql = api_keys_where("token_hash = ?1");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut found = statement.query([&hash.as_bytes()[..]])?;
            found.next()?.map(listed_api_key).transpose()
        })
    }

    /// Every API key, the newest first.
    pub fn api_keys(&self) -> Result<Vec<ListedApiKey>, StoreError> {
        self.ask(|connection| {
            let sql = api_keys_where("TRUE ORDER BY id DESC");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut found = statement.query([])?;
            let mut keys = Vec::new();
            while let Some(row) = found.next()? {
                keys.push(listed_api_key(row)?);
            }
            Ok(keys)
        })
    }

    /// What was done through the admin API, the newest first, with the number of each: older than
    /// this number.
    pub fn records(&self, before: i64, limit: usize) -> Result<Vec<ListedRecord>, StoreError> {
        self.ask(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, at, who, deed, target FROM records WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
            )?;
            let found = statement.query_map((before, rows_limit(limit)), |row| {
                Ok(ListedRecord {
                    number: row.get(0)?,
                    at: Timestamp::from_micros(row.get(1)?),
                    who: row.get(2)?,
                    deed: row.get(3)?,
                    target: row.get(4)?,
                })
            })?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }

    /// The runs that issue nothing, with when they were revoked.
    pub fn revoked_runs(&self) -> Result<Vec<(Runs, Timestamp)>, StoreError> {
        self.ask(|connection| {
            let mut rows = Rows::new(Timestamp::from_micros(0));
            load::load_revoked_runs(connection, &mut rows)?;
            Ok(rows.revoked_runs.into_iter().collect())
        })
    }

    /// Calls that fit the filter, the newest first.
    pub fn calls(&self, filter: &CallFilter) -> Result<Vec<Call>, StoreError> {
        let (conditions, values) = conditions(filter);
        let sql = format!(
            "SELECT {} FROM calls c JOIN vault_keys k ON k.id = c.vault_key {conditions} ORDER BY c.id {} LIMIT {}",
            rows::CALL,
            if filter.after.is_some() { "ASC" } else { "DESC" },
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

    /// Every call in doubt, and every one that awaits its bill.
    pub fn to_look_up(&self) -> Result<Vec<Call>, StoreError> {
        self.ask(|connection| {
            let sql = format!(
                "SELECT {} FROM calls c JOIN vault_keys k ON k.id = c.vault_key \
                 WHERE c.id IN (SELECT id FROM calls WHERE state = 'in_doubt' \
                 UNION SELECT id FROM calls WHERE awaits_bill = 1) ORDER BY c.id",
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

    /// The other calls that were sent to the same recipient, or made one of these objects, at a
    /// vendor that keeps no tag of ours.
    pub fn siblings(&self, call: &Call, objects: &[String]) -> Result<Vec<Call>, StoreError> {
        self.ask(|connection| {
            let sql = format!(
                "SELECT {} FROM calls c JOIN vault_keys k ON k.id = c.vault_key \
                 WHERE c.vendor = ?1 AND c.likeness IS NOT NULL AND c.verdict = 'allowed' AND c.id != ?4 \
                 AND (c.customer IS ?2 OR c.object_id IN (SELECT value FROM json_each(?3)))",
                rows::CALL
            );
            let request = &call.request;
            let objects = serde_json::to_string(objects).unwrap_or_default();
            let values = (&request.vendor, &request.customer, objects, call.id.number());
            let mut statement = connection.prepare_cached(&sql)?;
            let mut found = statement.query(values)?;
            let mut calls = Vec::new();
            while let Some(row) = found.next()? {
                calls.push(rows::call(row)?);
            }
            Ok(calls)
        })
    }

    /// How many calls are in doubt, and when the oldest of them was first begun.
    pub fn doubts(&self) -> Result<(i64, Option<Timestamp>), StoreError> {
        self.ask(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT count(*), min(at) FROM calls \
                 WHERE state = 'in_doubt'",
            )?;
            let found = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?));
            let (calls, oldest) = statement.query_row([], found)?;
            Ok((calls, oldest.map(Timestamp::from_micros)))
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

    /// Whether the database is whole, and of this version.
    pub fn check(&self) -> Result<(), StoreError> {
        self.ask(|connection| {
            let found: i64 =
                connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            if found != sqlite::VERSION {
                return Err(StoreError::Version { found, known: sqlite::VERSION });
            }
            let said: String =
                connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
            if said == "ok" {
                Ok(())
            } else {
                Err(StoreError::Unreadable("SQLite's quick_check found damage"))
            }
        })
    }

    /// The sealed key of this name.
    pub fn wrapped_key(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(|connection| {
            let mut statement =
                connection.prepare("SELECT sealed FROM wrapped_keys WHERE name = ?1")?;
            Ok(statement.query_row([name], |row| row.get(0)).optional()?)
        })
    }

    /// The sealed secret of this vendor.
    pub fn vendor_secret(&self, vendor: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(|connection| {
            let mut statement =
                connection.prepare("SELECT sealed FROM vendor_secrets WHERE vendor = ?1")?;
            Ok(statement.query_row([vendor], |row| row.get(0)).optional()?)
        })
    }

    /// Whether the database answers.
    pub fn ping(&self) -> Result<(), StoreError> {
        self.ask(|connection| Ok(connection.query_row("SELECT 1", [], |_| Ok(()))?))
    }
}

/// The filter as SQL. Only fixed text is joined; what a caller gave is bound.
pub(super) fn conditions(filter: &CallFilter) -> (String, Vec<Value>) {
    let text = |text: &Option<String>| text.clone().map(Value::Text);
    let time = |at: Option<Timestamp>| at.map(|at| Value::Integer(at.as_micros()));
    let reach = &filter.reach;
    let vendors = reach
        .vendors
        .as_ref()
        .map(|names| Value::Text(serde_json::to_string(names).unwrap_or_default()));
    // In these words few rows are read: the index has those in doubt alone.
    let of_state = match filter.state.as_deref() {
        Some("held") => {
            "c.id >= (SELECT value FROM meta WHERE name = 'oldest_held') AND c.state = ?"
        }
        Some("in_doubt") => "c.state = 'in_doubt' AND c.state = ?",
        Some(_) | None => "c.state = ?",
    };
    let all = [
        ("instr(k.label, ?) = 1", text(&reach.label_prefix)),
        ("c.vendor IN (SELECT value FROM json_each(?))", vendors),
        ("k.label = ?", text(&filter.label)),
        ("instr(k.label, ?) = 1", text(&filter.label_prefix)),
        ("c.vault_key = ?", filter.key.map(|key| Value::Integer(key.number()))),
        ("c.vendor = ?", text(&filter.vendor)),
        ("c.idempotency_key = ?", text(&filter.idempotency_key)),
        ("c.object_id = ?", text(&filter.object_id)),
        (of_state, text(&filter.state)),
        ("c.verdict = ?", text(&filter.verdict)),
        ("c.at >= ?", time(filter.since)),
        ("c.at < ?", time(filter.until)),
        ("c.id > ?", filter.after.map(|call| Value::Integer(call.number()))),
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
