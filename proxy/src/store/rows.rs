//! The ledger's rows as columns.

use keybrake_core::{
    access::{ApiKey, Role},
    budget::{Budget, Caps},
    call::{Life, State},
    ids::{ApiKeyId, BudgetId, CallId, KeyId},
    ledger::rows::{Asked, Binding, Call, Request, VaultKey, VendorAnswer, Verdict},
    money::MicroUsd,
    policy::{Method, RunLabel, Runs},
    rates::Rate,
    report::Figures,
    time::Timestamp,
    token::TokenHash,
};
use rusqlite::Row;
use sha2::{Digest, Sha256};

use super::StoreError;

/// The columns of a budget, in the order that [`budget`] reads.
pub(super) const BUDGET: &str = "id, parent, daily_cap, total_cap, anchor, window, window_spent, \
     total_spent, in_doubt, held, max_calls, calls, revoked_at";

/// The columns of a vault key, in the order that [`vault_key`] reads.
pub(super) const VAULT_KEY: &str =
    "k.id, k.token_hash, k.budget, k.policy, k.label, k.issued_at, k.expires_at, k.successor";

/// The columns of a call, in the order that [`call`] reads.
pub(super) const CALL: &str = "c.id, c.at, c.vault_key, c.budget, k.label, c.vendor, c.method, c.path, \
     c.context, c.idempotency_key, c.fingerprint, c.customer, c.account, c.likeness, c.verdict, c.state, c.hold, c.settled, \
     c.doubted, c.code, c.reason, c.replay_of, c.amount, c.currency, c.rate, c.object, c.awaits_bill, c.tagged, c.attempt, c.begun_at, \
     c.sent_at, c.finished_at, c.vendor_status, c.request_id, c.object_id, c.cap_usage_after, c.note";

/// Reads columns one after the other.
pub(super) struct Columns<'a> {
    row: &'a Row<'a>,
    next: usize,
}

impl Columns<'_> {
    pub(super) fn get<T: rusqlite::types::FromSql>(&mut self) -> Result<T, StoreError> {
        let at = self.next;
        self.next += 1;
        Ok(self.row.get(at)?)
    }

    pub(super) fn count(&mut self) -> Result<u64, StoreError> {
        u64::try_from(self.get::<i64>()?).map_err(|_| StoreError::Unreadable("a count is negative"))
    }

    fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.get().map(Timestamp::from_micros)
    }

    fn maybe_time(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.get::<Option<i64>>()?.map(Timestamp::from_micros))
    }

    fn money(&mut self) -> Result<MicroUsd, StoreError> {
        self.maybe_money()?.ok_or(StoreError::Unreadable("an amount is missing"))
    }

    fn maybe_money(&mut self) -> Result<Option<MicroUsd>, StoreError> {
        let micros: Option<i64> = self.get()?;
        let amount = |micros| u64::try_from(micros).ok().and_then(MicroUsd::from_micros);
        micros
            .map(|micros| amount(micros).ok_or(StoreError::Unreadable("an amount is negative")))
            .transpose()
    }

    fn hash(&mut self) -> Result<[u8; 32], StoreError> {
        let bytes: Vec<u8> = self.get()?;
        bytes.try_into().map_err(|_| StoreError::Unreadable("a hash does not have 32 bytes"))
    }
}

/// An amount as a column.
pub(super) fn micros(amount: MicroUsd) -> i64 {
    i64::try_from(amount.as_micros()).unwrap_or(i64::MAX)
}

/// The first 64 bits of a hash of an idempotency key within its vendor: what is indexed.
pub(super) fn binding_hash(binding: &Binding) -> i64 {
    let hash =
        Sha256::new().chain_update(&binding.vendor).chain_update([0]).chain_update(&binding.key);
    let bytes = hash.finalize();
    bytes.first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
}

pub(super) fn budget(row: &Row<'_>) -> Result<Budget, StoreError> {
    let mut columns = Columns { row, next: 0 };
    let id = BudgetId::from_number(columns.get()?);
    let parent: Option<i64> = columns.get()?;
    let (daily, total) = (columns.maybe_money()?, columns.maybe_money()?);
    let (anchor, window) = (columns.time()?, columns.get()?);
    let (window_spent, total_spent) = (columns.money()?, columns.money()?);
    let (in_doubt, held) = (columns.money()?, columns.money()?);
    let max_calls = columns.get()?;
    let caps = match Caps::new(daily, total) {
        Some(caps) => caps.with_max_calls(max_calls),
        None if total == Some(MicroUsd::ZERO) => Caps::nothing(),
        None => return Err(StoreError::Unreadable("a budget has no cap")),
    };
    Ok(Budget {
        id,
        parent: parent.map(BudgetId::from_number),
        caps,
        anchor,
        window,
        window_spent,
        total_spent,
        in_doubt,
        held,
        calls: columns.get()?,
        revoked_at: columns.maybe_time()?,
    })
}

/// A vault key whose chain has its own budget only: the ancestors are the caller's to add.
pub(super) fn vault_key(row: &Row<'_>) -> Result<VaultKey, StoreError> {
    let mut columns = Columns { row, next: 0 };
    Ok(VaultKey {
        id: KeyId::from_number(columns.get()?),
        token_hash: TokenHash::from_bytes(columns.hash()?),
        chain: vec![BudgetId::from_number(columns.get()?)],
        policy: serde_json::from_str(&columns.get::<String>()?)
            .map_err(|_| StoreError::Unreadable("a policy is not what was written"))?,
        label: label(columns.get()?)?,
        issued_at: columns.time()?,
        expires_at: columns.time()?,
        successor: columns.get::<Option<i64>>()?.map(KeyId::from_number),
    })
}

/// The columns of an API key, in the order that [`api_key`] reads.
pub(super) const API_KEY: &str =
    "id, token_hash, name, role, bounds, created_at, expires_at, revoked_at";

pub(super) fn api_key(row: &Row<'_>) -> Result<ApiKey, StoreError> {
    let mut columns = Columns { row, next: 0 };
    let id = ApiKeyId::from_number(columns.get()?);
    let token_hash = TokenHash::from_bytes(columns.hash()?);
    let name = columns.get()?;
    let role: String = columns.get()?;
    let role = Role::ALL.into_iter().find(|known| known.name() == role);
    Ok(ApiKey {
        id,
        token_hash,
        name,
        role: role.ok_or(StoreError::Unreadable("a role is not one"))?,
        bounds: serde_json::from_str(&columns.get::<String>()?)
            .map_err(|_| StoreError::Unreadable("an API key's bounds are not what was written"))?,
        created_at: columns.time()?,
        expires_at: columns.maybe_time()?,
        revoked_at: columns.maybe_time()?,
    })
}

/// What calls come to, in the order that [`figures`] reads, before whatever they are grouped by. The
/// first parameter is the refusal of what a cap has no room for, the second a JSON array of those of
/// what is not allowed.
pub(super) const FIGURES: &str = "count(*) FILTER (WHERE c.verdict = 'allowed'), \
     count(*) FILTER (WHERE c.verdict = 'replayed'), \
     count(*) FILTER (WHERE c.verdict = 'denied'), \
     count(*) FILTER (WHERE c.code = ?1), \
     count(*) FILTER (WHERE c.code IN (SELECT value FROM json_each(?2))), \
     count(*) FILTER (WHERE c.state = 'in_doubt'), \
     sum(CASE c.state WHEN 'settled' THEN c.settled WHEN 'in_doubt' THEN c.hold ELSE 0 END) AS spent, \
     sum(CASE c.state WHEN 'in_doubt' THEN c.hold ELSE 0 END), \
     sum(CASE c.state WHEN 'held' THEN c.hold ELSE 0 END), \
     min(c.at), max(c.at)";

/// Sums of calls, and then the columns that they are grouped by.
pub(super) fn figures<T>(
    row: &Row<'_>,
    group: impl FnOnce(&mut Columns<'_>) -> Result<T, StoreError>,
) -> Result<(Figures, T), StoreError> {
    let mut columns = Columns { row, next: 0 };
    let figures = Figures {
        allowed: columns.count()?,
        replayed: columns.count()?,
        denied: columns.count()?,
        capped: columns.count()?,
        forbidden: columns.count()?,
        in_doubt_calls: columns.count()?,
        spent: columns.money()?,
        in_doubt: columns.money()?,
        held: columns.money()?,
        first_at: columns.time()?,
        last_at: columns.time()?,
    };
    Ok((figures, group(&mut columns)?))
}

/// Runs by their label, or by how it begins.
pub(super) fn runs(name: String, is_prefix: bool) -> Result<Runs, StoreError> {
    if is_prefix { Ok(Runs::Prefixed(name)) } else { label(name).map(Runs::Labelled) }
}

fn label(text: String) -> Result<RunLabel, StoreError> {
    RunLabel::try_from(text).map_err(|_| StoreError::Unreadable("a run label is not one"))
}

pub(super) fn call(row: &Row<'_>) -> Result<Call, StoreError> {
    let mut columns = Columns { row, next: 0 };
    let id = CallId::from_number(columns.get()?);
    let at = columns.time()?;
    let key = KeyId::from_number(columns.get()?);
    let budget = BudgetId::from_number(columns.get()?);
    let label = label(columns.get()?)?;
    let vendor = columns.get()?;
    let method = Method::parse(&columns.get::<String>()?);
    let request = Request {
        vendor,
        method: method.ok_or(StoreError::Unreadable("a method is not one"))?,
        path: columns.get()?,
        context: columns.get()?,
        idempotency_key: columns.get()?,
        fingerprint: columns.hash()?,
        customer: columns.get()?,
        account: columns.get()?,
        likeness: columns.get()?,
    };
    let verdict = verdict(&mut columns, request.method.is_read())?;
    let asked = asked(&mut columns)?;
    Ok(Call {
        id,
        at,
        key,
        budget,
        label,
        request,
        verdict,
        asked,
        object: columns.get()?,
        awaits_bill: columns.get()?,
        tagged: columns.get()?,
        attempt: columns.get()?,
        begun_at: columns.time()?,
        sent_at: columns.maybe_time()?,
        finished_at: columns.maybe_time()?,
        answer: VendorAnswer {
            status: columns.get()?,
            request_id: columns.get()?,
            object_id: columns.get()?,
        },
        cap_usage_after: columns.money()?,
        note: columns.get()?,
    })
}

fn asked(columns: &mut Columns<'_>) -> Result<Option<Asked>, StoreError> {
    let (amount, currency): (Option<i64>, Option<String>) = (columns.get()?, columns.get()?);
    let rate: Option<String> = columns.get()?;
    let rate = rate.map(|text| Rate::parse(&text)).transpose();
    let rate = rate.map_err(|_| StoreError::Unreadable("a rate is not one"))?;
    let amount = amount.and_then(|amount| u64::try_from(amount).ok());
    Ok(amount.zip(currency).map(|(amount, currency)| Asked { amount, currency, rate }))
}

fn verdict(columns: &mut Columns<'_>, is_read: bool) -> Result<Verdict, StoreError> {
    let verdict: String = columns.get()?;
    let state: Option<String> = columns.get()?;
    let (hold, settled) = (columns.maybe_money()?, columns.maybe_money()?);
    let doubted = columns.get()?;
    let (code, reason): (Option<String>, Option<String>) = (columns.get()?, columns.get()?);
    let replay_of: Option<i64> = columns.get()?;
    let state = match (state.as_deref(), settled) {
        (Some("held"), None) => Some(State::Held),
        (Some("in_doubt"), None) => Some(State::InDoubt),
        (Some("released"), None) => Some(State::Released),
        (Some("settled"), Some(amount)) => Some(State::Settled(amount)),
        _ => None,
    };
    let read = match verdict.as_str() {
        "allowed" => hold.zip(state).map(|(hold, state)| {
            let is_read = is_read && hold == MicroUsd::ZERO;
            Verdict::Allowed(Life { hold, state, doubted, is_read })
        }),
        "denied" => code.zip(reason).map(|(code, reason)| Verdict::Denied { code, reason }),
        "replayed" => replay_of.map(|of| Verdict::Replayed { of: CallId::from_number(of) }),
        _ => None,
    };
    read.ok_or(StoreError::Unreadable("a call's verdict does not fit its state"))
}
