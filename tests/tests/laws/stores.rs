//! `SQLite` as a subject, with crashes that leave its files as a dead process would, and the pair
//! of it and the reference, which must agree.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use keybrake::store::{
    reader::Readers,
    sqlite::{Durability, SqliteStore},
};
use keybrake_core::{
    ids::CallId,
    ledger::{Command, memory::MemoryLedger, rows::Rows},
    time::Timestamp,
};
use tempfile::TempDir;

use crate::subject::{Kept, Replies, Subject};

/// The files of a database by their names, without its lock and its shared memory, which do not
/// survive a machine.
type Image = BTreeMap<String, Vec<u8>>;

/// A database in a directory of its own.
#[derive(Debug)]
pub(crate) struct Sqlite {
    directory: TempDir,
    /// `None` only while the process is dead.
    store: Option<SqliteStore>,
}

impl Default for Sqlite {
    fn default() -> Self {
        let directory = TempDir::new().unwrap();
        let store = Some(open(directory.path()));
        Self { directory, store }
    }
}

fn open(directory: &Path) -> SqliteStore {
    SqliteStore::open(directory, Durability::Relaxed).unwrap()
}

impl Sqlite {
    fn store(&mut self) -> &mut SqliteStore {
        self.store.as_mut().unwrap()
    }

    fn image(&self) -> Image {
        let files = fs::read_dir(self.directory.path()).unwrap();
        files
            .map(|file| file.unwrap())
            .map(|file| (file.file_name().into_string().unwrap(), file.path()))
            .filter(|(name, _)| !name.ends_with("-shm") && name != "keybrake.lock")
            .map(|(name, path)| (name, fs::read(path).unwrap()))
            .collect()
    }

    /// The process dies, and a new one finds these files.
    fn die(&mut self, left: &Image) {
        // Closing tidies up, which a process that dies does not: so its files are put back.
        drop(self.store.take());
        for file in fs::read_dir(self.directory.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        for (name, bytes) in left {
            fs::write(self.directory.path().join(name), bytes).unwrap();
        }
        self.store = Some(open(self.directory.path()));
    }
}

/// The files of a process that died while it wrote its last transaction to the log: without the
/// last part of it, or as they were before where the log began anew.
fn torn(before: Image, after: Image) -> Image {
    let grown = after.iter().all(|(name, bytes)| {
        let old = before.get(name).map_or(&[][..], Vec::as_slice);
        bytes == old || name.ends_with("-wal") && bytes.starts_with(old)
    });
    if !grown {
        return before;
    }
    let cut = |(name, mut bytes): (String, Vec<u8>)| {
        let kept = before.get(&name).map_or(0, Vec::len);
        let half = kept + (bytes.len() - kept) * 2 / 3;
        bytes.truncate(if name.ends_with("-wal") { half } else { bytes.len() });
        (name, bytes)
    };
    after.into_iter().map(cut).collect()
}

impl Subject for Sqlite {
    type Error = String;

    fn apply(&mut self, batch: &[Command], now: Timestamp) -> Result<Replies, String> {
        self.store().apply(batch, now).map_err(|error| format!("{error:?}"))
    }

    fn crash_before_commit(&mut self, batch: &[Command], now: Timestamp) -> Result<(), String> {
        let before = self.image();
        self.apply(batch, now)?;
        let left = torn(before, self.image());
        self.die(&left);
        Ok(())
    }

    fn crash_after_commit(&mut self, batch: &[Command], now: Timestamp) -> Result<Replies, String> {
        let replies = self.apply(batch, now)?;
        let left = self.image();
        self.die(&left);
        Ok(replies)
    }

    fn snapshot(&mut self) -> Result<Rows, String> {
        self.store().rows().map_err(|error| format!("{error:?}"))
    }

    fn answer(&mut self, call: CallId) -> Result<Option<Vec<u8>>, String> {
        let answer = Readers::open(self.directory.path()).and_then(|readers| readers.answer(call));
        answer.map_err(|error| format!("{error:?}"))
    }

    fn records(&mut self) -> Result<Vec<Kept>, String> {
        let all = |readers: Readers| readers.records(i64::MAX, usize::MAX);
        let newest_first = Readers::open(self.directory.path()).and_then(all);
        let newest_first = newest_first.map_err(|error| format!("{error:?}"))?;
        let kept = newest_first.into_iter().rev().map(|record| Kept {
            at: record.at.as_micros(),
            who: record.who,
            deed: record.deed,
            target: record.target,
        });
        Ok(kept.collect())
    }
}

/// The reference and `SQLite`, given the same.
#[derive(Debug, Default)]
pub(crate) struct Pair {
    reference: MemoryLedger,
    sqlite: Sqlite,
}

fn agreed<T: PartialEq + fmt::Debug>(
    reference: Result<T, std::convert::Infallible>,
    sqlite: Result<T, String>,
) -> Result<T, String> {
    let Ok(reference) = reference;
    let sqlite = sqlite?;
    if reference == sqlite {
        Ok(reference)
    } else {
        Err(format!("in memory: {reference:?}\nin SQLite: {sqlite:?}"))
    }
}

impl Subject for Pair {
    type Error = String;

    fn apply(&mut self, batch: &[Command], now: Timestamp) -> Result<Replies, String> {
        let reference = Subject::apply(&mut self.reference, batch, now);
        agreed(reference, self.sqlite.apply(batch, now))
    }

    fn crash_before_commit(&mut self, batch: &[Command], now: Timestamp) -> Result<(), String> {
        let reference = self.reference.crash_before_commit(batch, now);
        agreed(reference, self.sqlite.crash_before_commit(batch, now))
    }

    fn crash_after_commit(&mut self, batch: &[Command], now: Timestamp) -> Result<Replies, String> {
        let reference = self.reference.crash_after_commit(batch, now);
        agreed(reference, self.sqlite.crash_after_commit(batch, now))
    }

    fn snapshot(&mut self) -> Result<Rows, String> {
        agreed(self.reference.snapshot(), self.sqlite.snapshot())
    }

    fn answer(&mut self, call: CallId) -> Result<Option<Vec<u8>>, String> {
        let reference = Subject::answer(&mut self.reference, call);
        agreed(reference, self.sqlite.answer(call))
    }

    fn records(&mut self) -> Result<Vec<Kept>, String> {
        let reference = Subject::records(&mut self.reference);
        agreed(reference, self.sqlite.records())
    }
}
