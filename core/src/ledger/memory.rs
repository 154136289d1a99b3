//! The reference ledger: all rows in memory, decided one batch at a time.
//!
//! What every other store is compared with. It forgets everything when it is dropped.

use std::collections::HashMap;

use crate::{
    budget::Corrupt,
    ids::CallId,
    ledger::{
        Command, Reply, decide,
        rows::{Record, Rows},
    },
    time::Timestamp,
};

/// A ledger in memory.
#[derive(Clone, Debug)]
pub struct MemoryLedger {
    rows: Rows,
    answers: HashMap<CallId, Vec<u8>>,
    records: Vec<Record>,
}

impl Default for MemoryLedger {
    fn default() -> Self {
        let rows = Rows::new(Timestamp::from_micros(0));
        Self { rows, answers: HashMap::new(), records: Vec::new() }
    }
}

impl MemoryLedger {
    /// Decides a batch and keeps what it changed.
    pub fn apply(&mut self, commands: &[Command], clock: Timestamp) -> Vec<Result<Reply, Corrupt>> {
        let replies = decide(&mut self.rows, commands, clock);
        for (command, reply) in commands.iter().zip(&replies) {
            if let Some((call, answer)) = command.answer_to_store(reply) {
                self.answers.insert(call, answer.to_vec());
            }
        }
        self.records.extend(std::mem::take(&mut self.rows.changes).records);
        replies
    }

    /// All rows.
    #[must_use]
    pub const fn rows(&self) -> &Rows {
        &self.rows
    }

    /// What was done through the admin API, the oldest first.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The sealed answer of a call.
    #[must_use]
    pub fn answer(&self, call: CallId) -> Option<&[u8]> {
        self.answers.get(&call).map(Vec::as_slice)
    }
}
