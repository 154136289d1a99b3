//! What was executed, and how much money it committed: the truth that tests compare with.

use std::collections::{BTreeMap, HashMap};

use super::world::{Call, Metadata};
use crate::sandbox::executed::{Executed, Execution};

#[derive(Default)]
pub(super) struct Ledger {
    rows: Vec<Execution>,
    by_key: HashMap<String, u64>,
    committed: HashMap<String, u64>,
    total: BTreeMap<String, u64>,
    high_water: BTreeMap<String, u64>,
}

/// What a row says about its object.
pub(super) struct Effect<'a> {
    pub(super) object_id: &'a str,
    pub(super) amount: u64,
    pub(super) currency: &'a str,
    pub(super) status: &'a str,
    pub(super) metadata: &'a Metadata,
}

/// Notes that the call was executed.
pub(super) fn record(call: &mut Call<'_>, effect: &Effect<'_>) {
    let key = call.origin.key.clone();
    let ledger = &mut call.world.ledger;
    if let Some(key) = &key {
        *ledger.by_key.entry(key.clone()).or_default() += 1;
    }
    ledger.rows.push(Execution {
        endpoint: call.op.endpoint().to_owned(),
        object_id: effect.object_id.to_owned(),
        idempotency_key: key,
        amount: effect.amount,
        currency: effect.currency.to_owned(),
        status: effect.status.to_owned(),
        metadata: effect.metadata.clone(),
        times_executed: 1,
        at: call.now.as_seconds(),
    });
}

impl Ledger {
    /// Sets the money that an object commits from now on, in place of what it did before.
    pub(super) fn commit(&mut self, object_id: &str, currency: &str, minor: u64) {
        let before = self.committed.insert(object_id.to_owned(), minor).unwrap_or(0);
        let total = self.total.entry(currency.to_owned()).or_default();
        *total = total.saturating_sub(before).saturating_add(minor);
        let most = self.high_water.entry(currency.to_owned()).or_default();
        *most = (*most).max(*total);
    }

    pub(super) fn executed(&self) -> Executed {
        let times = |key: &Option<String>| match key {
            Some(key) => self.by_key.get(key).copied().unwrap_or(1),
            None => 1,
        };
        let mut duplicate_keys: Vec<String> = self
            .by_key
            .iter()
            .filter(|(_, times)| **times > 1)
            .map(|(key, _)| key.clone())
            .collect();
        duplicate_keys.sort_unstable();
        let data = self
            .rows
            .iter()
            .map(|row| Execution { times_executed: times(&row.idempotency_key), ..row.clone() });
        Executed {
            data: data.collect(),
            total_minor: self.total.clone(),
            high_water_minor: self.high_water.clone(),
            duplicate_keys,
            ..Executed::default()
        }
    }
}
