//! What is tested: anything that applies batches of commands and can crash.

use std::fmt;

use keybrake_core::{
    budget::Corrupt,
    ids::CallId,
    ledger::{
        Command, Reply,
        memory::MemoryLedger,
        rows::{Record, Rows},
    },
    time::Timestamp,
};

/// The replies to a batch.
pub(crate) type Replies = Vec<Result<Reply, Corrupt>>;

/// What was done through the admin API, as it is kept: when, by whom, what and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) at: i64,
    pub(crate) who: String,
    pub(crate) deed: String,
    pub(crate) target: String,
}

impl From<&Record> for Kept {
    fn from(record: &Record) -> Self {
        Self {
            at: record.at.as_micros(),
            who: record.who.to_string(),
            deed: record.deed.name().to_owned(),
            target: record.target.clone(),
        }
    }
}

/// A ledger under test.
pub(crate) trait Subject {
    /// Why a batch was not applied.
    type Error: fmt::Debug;

    /// Applies a batch in one transaction.
    fn apply(&mut self, batch: &[Command], now: Timestamp) -> Result<Replies, Self::Error>;

    /// The process dies while it applies a batch: nothing of it is kept.
    fn crash_before_commit(&mut self, batch: &[Command], now: Timestamp)
    -> Result<(), Self::Error>;

    /// The process dies when it has applied a batch. The replies reach no caller: they are for the
    /// auditor only.
    fn crash_after_commit(
        &mut self,
        batch: &[Command],
        now: Timestamp,
    ) -> Result<Replies, Self::Error>;

    /// A new process takes over.
    fn restart(&mut self, now: Timestamp) -> Result<Replies, Self::Error> {
        self.apply(&[Command::Recover], now)
    }

    /// All rows that are committed.
    fn snapshot(&mut self) -> Result<Rows, Self::Error>;

    /// The stored answer of a call.
    fn answer(&mut self, call: CallId) -> Result<Option<Vec<u8>>, Self::Error>;

    /// What was done through the admin API, the oldest first.
    fn records(&mut self) -> Result<Vec<Kept>, Self::Error>;
}

impl Subject for MemoryLedger {
    type Error = std::convert::Infallible;

    fn apply(&mut self, batch: &[Command], now: Timestamp) -> Result<Replies, Self::Error> {
        Ok(Self::apply(self, batch, now))
    }

    fn crash_before_commit(
        &mut self,
        batch: &[Command],
        now: Timestamp,
    ) -> Result<(), Self::Error> {
        Self::apply(&mut self.clone(), batch, now);
        Ok(())
    }

    fn crash_after_commit(
        &mut self,
        batch: &[Command],
        now: Timestamp,
    ) -> Result<Replies, Self::Error> {
        Ok(Self::apply(self, batch, now))
    }

    fn snapshot(&mut self) -> Result<Rows, Self::Error> {
        Ok(self.rows().clone())
    }

    fn answer(&mut self, call: CallId) -> Result<Option<Vec<u8>>, Self::Error> {
        Ok(Self::answer(self, call).map(<[u8]>::to_vec))
    }

    fn records(&mut self) -> Result<Vec<Kept>, Self::Error> {
        Ok(Self::records(self).iter().map(Kept::from).collect())
    }
}
