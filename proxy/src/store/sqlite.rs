//! The embedded store: opens the database, and applies a batch of commands in one transaction.
//!
//! Rows in, one pure decision, changed rows out, commit: nothing is decided here. With
//! `synchronous=FULL` in WAL mode a commit is on the disk when it returns, so a hold is durable
//! before its call is answered with "held".

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    path::Path,
};

use keybrake_core::{
    budget::Corrupt,
    call::State,
    ids::{BudgetId, CallId, KeyId},
    ledger::{
        Command, Reply, decide,
        rows::{Binding, Call, IssueBinding, IssuedOnce, Rows, VaultKey, Verdict},
    },
    time::Timestamp,
};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::{StoreError, rows};

/// The version of the schema, in `PRAGMA user_version`.
const VERSION: i64 = 1;
/// The database's file in the data directory.
const FILE: &str = "keybrake.sqlite3";
/// The file whose lock keeps a second writer out.
const LOCK: &str = "keybrake.lock";

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
    /// The calls in flight and in doubt that this process wrote: what ends most calls needs no
    /// look into the database. Nobody else writes, so what stands here is what stands there.
    open_calls: HashMap<CallId, Call>,
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
        Ok(Self { connection, open_calls: HashMap::new(), _lock: lock })
    }

    /// A second connection that only reads.
    pub fn reader(directory: &Path) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(directory.join(FILE), flags)?;
        connection.set_prepared_statement_cache_capacity(32);
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
        let mut rows = Rows::new(read_clock(&transaction)?);
        for command in commands {
            let open = command.call().and_then(|call| self.open_calls.get(&call));
            if let Some(call) = open {
                load_chain(&transaction, &mut rows, call.budget)?;
                rows.load_call(call.clone());
            }
            load(&transaction, &mut rows, command)?;
        }
        let replies = decide(&mut rows, commands, clock);
        save(&transaction, &rows)?;
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
        for id in rows.changes.new_calls.union(&rows.changes.calls) {
            match rows.calls.remove(id).filter(Call::is_open) {
                Some(call) => self.open_calls.insert(*id, call),
                None => self.open_calls.remove(id),
            };
        }
        Ok(replies)
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

    /// Keeps a vendor's sealed secret.
    pub fn set_vendor_secret(
        &mut self,
        vendor: &str,
        sealed: &[u8],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.connection.execute(
            "INSERT OR REPLACE INTO vendor_secrets (vendor, sealed, set_at) VALUES (?1, ?2, ?3)",
            params![vendor, sealed, at.as_micros()],
        )?;
        Ok(())
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

    /// Every row there is, to compare stores with one another.
    pub fn rows(&self) -> Result<Rows, StoreError> {
        let mut all = Rows::new(read_clock(&self.connection)?);
        let ids = |table: &str| -> Result<Vec<i64>, StoreError> {
            let mut statement = self.connection.prepare(&format!("SELECT id FROM {table}"))?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        };
        for id in ids("budgets")? {
            load_chain(&self.connection, &mut all, BudgetId::from_number(id))?;
        }
        for id in ids("vault_keys")? {
            load_key(&self.connection, &mut all, KeyId::from_number(id))?;
        }
        for id in ids("calls")? {
            load_call(&self.connection, &mut all, CallId::from_number(id))?;
        }
        let mut statement = self.connection.prepare("SELECT issuer, key FROM issued")?;
        let issued = statement
            .query_map([], |row| Ok(IssueBinding { issuer: row.get(0)?, key: row.get(1)? }))?;
        for once in issued.collect::<Result<Vec<_>, _>>()? {
            load_issued(&self.connection, &mut all, &once)?;
        }
        Ok(all)
    }
}

fn read_clock(connection: &Connection) -> Result<Timestamp, StoreError> {
    let clock = connection
        .prepare_cached("SELECT value FROM meta WHERE name = 'clock'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(Timestamp::from_micros(clock.unwrap_or(0)))
}

/// Loads the rows that a command touches.
fn load(connection: &Connection, rows: &mut Rows, command: &Command) -> Result<(), StoreError> {
    match command {
        Command::Issue(issue) => {
            if let Some(once) = &issue.once {
                load_issued(connection, rows, once)?;
            }
            issue.parent.map_or(Ok(()), |parent| load_key(connection, rows, parent))
        }
        Command::Refresh(refresh) => load_key(connection, rows, refresh.key),
        Command::Revoke(key) => {
            load_key(connection, rows, *key)?;
            load_open_calls(connection, rows)
        }
        Command::Peek(peek) => {
            load_chains(connection, rows, &peek.key.chain)?;
            peek.binding.as_ref().map_or(Ok(()), |binding| load_bound(connection, rows, binding))
        }
        Command::Begin(begin) => {
            load_chains(connection, rows, &begin.key.chain)?;
            let Some(key) = begin.request.idempotency_key.clone() else {
                return Ok(());
            };
            load_bound(connection, rows, &Binding { vendor: begin.request.vendor.clone(), key })
        }
        Command::Finish(finish) => load_call(connection, rows, finish.call),
        Command::Conclude(conclude) => load_call(connection, rows, conclude.call),
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
fn load_chain(
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
fn load_key(connection: &Connection, rows: &mut Rows, key: KeyId) -> Result<(), StoreError> {
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

fn load_call(connection: &Connection, rows: &mut Rows, id: CallId) -> Result<(), StoreError> {
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

/// Loads every call that is in flight or in doubt, with its budgets.
fn load_open_calls(connection: &Connection, rows: &mut Rows) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM calls WHERE state IN ('held', 'in_doubt')")?;
    let ids: Vec<i64> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    ids.into_iter().try_for_each(|id| load_call(connection, rows, CallId::from_number(id)))
}

fn load_issued(
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

/// Writes what a batch changed.
fn save(connection: &Connection, rows: &Rows) -> Result<(), StoreError> {
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
    let updated = changes.calls.difference(&changes.new_calls);
    for call in updated.filter_map(|id| rows.calls.get(id)) {
        update_call(connection, call)?;
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES ('clock', ?1)")?
        .execute([rows.clock.as_micros()])?;
    Ok(())
}

fn save_budget(
    connection: &Connection,
    budget: &keybrake_core::budget::Budget,
) -> Result<(), StoreError> {
    let changed = connection
        .prepare_cached(
            "UPDATE budgets SET window = ?2, window_spent = ?3, total_spent = ?4, in_doubt = ?5, held = ?6, \
             revoked_at = ?7 WHERE id = ?1",
        )?
        .execute(params![
            budget.id.number(),
            budget.window,
            rows::micros(budget.window_spent),
            rows::micros(budget.total_spent),
            rows::micros(budget.in_doubt),
            rows::micros(budget.held),
            budget.revoked_at.map(Timestamp::as_micros),
        ])?;
    if changed == 1 {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO budgets (id, parent, daily_cap, total_cap, anchor, window, window_spent, total_spent, \
             in_doubt, held, revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
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
             fingerprint, customer, verdict, state, hold, settled, doubted, code, reason, replay_of, amount, \
             currency, tagged, attempt, begun_at, sent_at, finished_at, vendor_status, request_id, object_id, \
             cap_usage_after, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, \
             ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32)",
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
             note = ?13 WHERE id = ?1",
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
