//! The embedded store: opens the database, and applies a batch of commands in one transaction.
//!
//! Rows in, one pure decision, changed rows out, commit: nothing is decided here. With
//! `synchronous=FULL` in WAL mode a commit is on the disk when it returns, so a hold is durable
//! before its call is answered with "held".

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    path::Path,
    sync::Arc,
};

use keybrake_core::{
    access::Actor,
    budget::Corrupt,
    ids::{ApiKeyId, BudgetId, CallId, KeyId},
    ledger::{
        Command, Reply, decide,
        rows::{Call, Deed, IssueBinding, Record, Rows},
    },
    time::Timestamp,
};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::{StoreError, checkpoint::Checkpoints, load, reports, rows, save};
use crate::metrics::{Metrics, Money};

/// The version of the schema, in `PRAGMA user_version`.
pub(super) const VERSION: i64 = 3;
/// The database's file in the data directory.
const FILE: &str = "keybrake.sqlite3";
/// The file whose lock keeps a second writer out.
const LOCK: &str = "keybrake.lock";
/// The longest log in pages, after which the writer itself copies what is left of it.
const LONGEST_LOG: i64 = 16_000;

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it is on the disk. What the laws ask for.
    Full,
    /// When it is handed to the operating system: a power cut can undo it. For tests only.
    Relaxed,
}

/// A database that this process alone writes.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    /// The calls in flight and in doubt: what ends most calls needs no look into the database.
    /// Nobody else writes, so what stands here is what stands there.
    open_calls: BTreeMap<CallId, Call>,
    checkpoints: Checkpoints,
    metrics: Option<Arc<Metrics>>,
    _lock: File,
}

impl SqliteStore {
    /// Opens the database in this directory, or makes it.
    pub fn open(directory: &Path, durability: Durability) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join(LOCK))?;
        lock.try_lock().map_err(|_| StoreError::Locked)?;
        let connection = Connection::open(directory.join(FILE))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let synchronous = match durability {
            Durability::Full => "FULL",
            Durability::Relaxed => "NORMAL",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.pragma_update(None, "wal_autocheckpoint", LONGEST_LOG)?;
        connection.set_prepared_statement_cache_capacity(64);
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found == 0 {
            let schema = include_str!("schema.sql");
            connection.execute_batch(&format!(
                "BEGIN; {schema} PRAGMA user_version = {VERSION}; COMMIT;"
            ))?;
        } else if found != VERSION {
            return Err(StoreError::Version { found, known: VERSION });
        }
        let checkpoints = Checkpoints::start(Connection::open(directory.join(FILE))?)?;
        let mut rows = Rows::new(load::read_clock(&connection)?);
        load::load_open_calls(&connection, &mut rows)?;
        let open_calls = rows.calls.into_iter().collect();
        Ok(Self { connection, open_calls, checkpoints, metrics: None, _lock: lock })
    }

    /// A second connection that only reads.
    pub fn reader(directory: &Path) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(directory.join(FILE), flags)?;
        connection.set_prepared_statement_cache_capacity(32);
        reports::add_functions(&connection)?;
        Ok(connection)
    }

    /// Decides a batch and commits what it changed.
    pub fn apply(
        &mut self,
        commands: &[Command],
        clock: Timestamp,
    ) -> Result<Vec<Result<Reply, Corrupt>>, StoreError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut rows = Rows::new(load::read_clock(&transaction)?);
        for command in commands {
            let open = command.call().and_then(|call| self.open_calls.get(&call));
            if let Some(call) = open {
                load::load_chain(&transaction, &mut rows, call.budget)?;
                rows.load_call(call.clone());
            }
            load::load(&transaction, &mut rows, command)?;
        }
        let before = Money::of(&rows);
        let replies = decide(&mut rows, commands, clock);
        save::save(&transaction, &rows, oldest_held(&self.open_calls, &rows))?;
        for (command, reply) in commands.iter().zip(&replies) {
            if let Some((call, sealed)) = command.answer_to_store(reply) {
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO answers (call, at, sealed) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(params![call.number(), rows.clock.as_micros(), sealed])?;
            }
        }
        transaction.commit()?;
        self.checkpoints.committed(commands.len());
        if let Some(metrics) = &self.metrics {
            metrics.committed(commands.len(), before, Money::of(&rows));
            let changed = rows.changes.new_calls.union(&rows.changes.calls);
            changed.filter_map(|id| rows.calls.get(id)).for_each(|call| metrics.call(call));
        }
        for (id, call) in rows.calls.drain() {
            if call.is_open() {
                self.open_calls.insert(id, call);
            } else {
                self.open_calls.remove(&id);
            }
        }
        Ok(replies)
    }

    /// From now on, measures what is committed, beginning with the amounts that stand here now.
    pub fn measure(&mut self, metrics: Arc<Metrics>) -> Result<(), StoreError> {
        let sql = ["SELECT ", rows::BUDGET, " FROM budgets WHERE parent IS NULL"].concat();
        let mut statement = self.connection.prepare(&sql)?;
        let mut roots = statement.query([])?;
        let mut now = Money::default();
        while let Some(root) = roots.next()? {
            now = now.with(&rows::budget(root)?);
        }
        metrics.move_money(Money::default(), now);
        self.metrics = Some(metrics);
        Ok(())
    }

    /// Forgets the answers that were stored before this instant. The calls stay bound.
    pub fn prune_answers(&mut self, before: Timestamp) -> Result<usize, StoreError> {
        Ok(self.connection.execute("DELETE FROM answers WHERE at < ?1", [before.as_micros()])?)
    }

    /// The sealed key of this name; on the first use, what `make` seals.
    pub fn wrapped_key(
        &mut self,
        name: &str,
        make: impl FnOnce() -> Vec<u8>,
    ) -> Result<Vec<u8>, StoreError> {
        let found = self
            .connection
            .query_row("SELECT sealed FROM wrapped_keys WHERE name = ?1", [name], |row| row.get(0))
            .optional()?;
        if let Some(sealed) = found {
            return Ok(sealed);
        }
        let sealed = make();
        self.connection.execute(
            "INSERT INTO wrapped_keys (name, sealed) VALUES (?1, ?2)",
            params![name, sealed],
        )?;
        Ok(sealed)
    }

    /// Keeps a vendor's sealed secret, and that it was set.
    pub fn set_vendor_secret(
        &mut self,
        vendor: &str,
        sealed: &[u8],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "INSERT OR REPLACE INTO vendor_secrets (vendor, sealed, set_at) VALUES (?1, ?2, ?3)",
            params![vendor, sealed, at.as_micros()],
        )?;
        let (who, deed) = (Actor::command_line(), Deed::VendorSecretSet);
        save::save_record(&transaction, &Record { at, who, deed, target: vendor.to_owned() })?;
        Ok(transaction.commit()?)
    }

    /// The vendors that have a secret here: name, sealed secret, and when it was set.
    pub fn vendor_secrets(&self) -> Result<Vec<(String, Vec<u8>, Timestamp)>, StoreError> {
        let mut statement = self
            .connection
            .prepare("SELECT vendor, sealed, set_at FROM vendor_secrets ORDER BY vendor")?;
        let secrets = statement.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, Timestamp::from_micros(row.get(2)?)))
        })?;
        Ok(secrets.collect::<Result<_, _>>()?)
    }

    /// Notes when an API key was last used.
    pub fn touch_api_key(&mut self, key: ApiKeyId, at: Timestamp) -> Result<(), StoreError> {
        self.connection.execute(
            "UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1",
            params![key.number(), at.as_micros()],
        )?;
        Ok(())
    }

    /// Every row there is, to compare stores with one another.
    pub fn rows(&self) -> Result<Rows, StoreError> {
        let mut all = Rows::new(load::read_clock(&self.connection)?);
        let ids = |table: &str| -> Result<Vec<i64>, StoreError> {
            let mut statement = self.connection.prepare(&format!("SELECT id FROM {table}"))?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        };
        for id in ids("budgets")? {
            load::load_chain(&self.connection, &mut all, BudgetId::from_number(id))?;
        }
        for id in ids("vault_keys")? {
            load::load_key(&self.connection, &mut all, KeyId::from_number(id))?;
        }
        for id in ids("calls")? {
            load::load_call(&self.connection, &mut all, CallId::from_number(id))?;
        }
        for id in ids("api_keys")? {
            load::load_api_key(&self.connection, &mut all, ApiKeyId::from_number(id))?;
        }
        load::load_revoked_runs(&self.connection, &mut all)?;
        let mut statement = self.connection.prepare("SELECT issuer, key FROM issued")?;
        let issued = statement
            .query_map([], |row| Ok(IssueBinding { issuer: row.get(0)?, key: row.get(1)? }))?;
        for once in issued.collect::<Result<Vec<_>, _>>()? {
            load::load_issued(&self.connection, &mut all, &once)?;
        }
        Ok(all)
    }
}

/// A call that no held one is older than, once a batch with these rows is committed. One that the
/// batch ends may still count: then the next look reads a row more.
fn oldest_held(open: &BTreeMap<CallId, Call>, rows: &Rows) -> Option<CallId> {
    let known = open.values().chain(rows.calls.values());
    known.filter(|call| call.is_held()).map(|call| call.id).min()
}
