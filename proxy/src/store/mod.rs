//! Where the ledger's rows are kept: one SQLite database, written by one thread.
//!
//! [`sqlite`] opens it and applies batches: `load` reads their rows, `save` writes what changed,
//! `rows` maps rows to columns. [`writer`] gathers the commands that arrive while a batch commits,
//! and [`reader`] answers questions beside it, those of `reports` among them.

mod checkpoint;
mod load;
pub mod reader;
pub mod reports;
mod rows;
mod save;
pub mod sqlite;
pub mod writer;

/// Why the store can't do what it was asked. Nothing was decided.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] rusqlite::Error),
    /// The file system failed.
    #[error("the data directory can't be used")]
    Io(#[from] std::io::Error),
    /// Another process has the database.
    #[error(
        "another keybrake has this data directory open: stop it first, or use another directory"
    )]
    Locked,
    /// A value that this version can't have written.
    #[error("the database holds a value that can't be read: {0}")]
    Unreadable(&'static str),
    /// A database of another version.
    #[error("the database has version {found}, this keybrake reads version {known}")]
    Version {
        /// The version found.
        found: i64,
        /// The version that is read.
        known: i64,
    },
    /// The writer is gone.
    #[error("the store has stopped")]
    Stopped,
}
