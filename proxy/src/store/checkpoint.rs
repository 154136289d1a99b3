//! Copying the log back into the database, beside the writer.
//!
//! SQLite does so inside a commit unless told otherwise, and every caller of that batch waits for
//! it. Here a thread of its own does it while the writer goes on; a log that still grows too long
//! is finished by the writer, who has little left to copy then.

use std::{
    sync::mpsc::{SyncSender, sync_channel},
    thread::JoinHandle,
};

use rusqlite::Connection;

/// After how many commands the log is copied.
const EVERY: usize = 500;

/// The thread that copies. It stops when this is dropped.
#[derive(Debug)]
pub(super) struct Checkpoints {
    /// Commands since the thread was last woken.
    commands: usize,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// Starts the thread, on a connection of its own.
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let thread =
            std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
                while woken.recv().is_ok() {
                    // It returns what was copied. Whatever was not is copied the next time.
                    let copied =
                        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
                    if let Err(error) = copied {
                        tracing::warn!(%error, "the database's log could not be copied back");
                    }
                }
            })?;
        Ok(Self { commands: 0, wake: Some(wake), thread: Some(thread) })
    }

    /// Counts what was committed, and has the log copied now and then.
    pub(super) fn committed(&mut self, commands: usize) {
        self.commands += commands;
        if self.commands >= EVERY {
            self.commands = 0;
            // A full channel: it is woken already.
            self.wake.as_ref().map(|wake| wake.try_send(()).ok());
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
