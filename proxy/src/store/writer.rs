//! The writer's thread: takes every command that arrived while the last batch committed, and
//! applies them in one transaction.
//!
//! So one hot budget with thousands of children costs as little as many cold ones, and no async
//! worker ever waits for the disk. The channel is bounded: a full one holds its callers back.

use std::time::{Duration, Instant};

use keybrake_core::{
    budget::Corrupt,
    ids::ApiKeyId,
    ledger::{Command, Ended, Reply},
    time::Timestamp,
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use super::{StoreError, sqlite::SqliteStore};
use crate::{outside::Clock, waiters::Waiters};

/// The most commands of one transaction.
const MAX_BATCH: usize = 512;

/// A reply, and a moment at which it was not yet committed: what a send deadline counts from.
#[derive(Debug)]
pub struct Decided {
    /// The reply.
    pub reply: Reply,
    /// Before its commit.
    pub before_commit: Instant,
}

type Answer = oneshot::Sender<Result<Decided, StoreError>>;

enum Job {
    /// Somebody waits for this.
    Decide(Box<Command>, Answer),
    /// Nobody's next step depends on this: it may go along with what comes next.
    DecideSoon(Box<Command>, Answer),
    Prune(Timestamp),
    TouchApiKey(ApiKeyId, Timestamp),
}

/// How long a command that nobody waits for may wait for another to share its commit with.
const SOON: Duration = Duration::from_millis(2);

/// The way to the writer. When the last clone is dropped, the writer finishes and stops.
#[derive(Clone, Debug)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the thread. The receiver hears when it has stopped and the database is closed.
    pub fn start(
        store: SqliteStore,
        clock: Clock,
        waiters: Waiters,
    ) -> Result<(Self, oneshot::Receiver<()>), StoreError> {
        let (jobs, incoming) = mpsc::channel(4 * MAX_BATCH);
        let (stopped, has_stopped) = oneshot::channel();
        let runtime = Handle::current();
        std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            run(store, &clock, &waiters, &runtime, incoming);
            // Nobody may be waiting any more: then nobody needs to hear.
            stopped.send(()).ok();
        })?;
        Ok((Self { jobs }, has_stopped))
    }

    /// Has a command decided and committed.
    pub async fn decide(&self, command: Command) -> Result<Decided, StoreError> {
        let (answer, decided) = oneshot::channel();
        self.jobs
            .send(Job::Decide(Box::new(command), answer))
            .await
            .map_err(|_| StoreError::Stopped)?;
        decided.await.map_err(|_| StoreError::Stopped)?
    }

    /// Queues a command behind all that were sent before, to be committed soon, and gives a way to
    /// hear of that. For what nobody's next step depends on.
    pub async fn queue(
        &self,
        command: Command,
    ) -> Result<oneshot::Receiver<Result<Decided, StoreError>>, StoreError> {
        let (answer, decided) = oneshot::channel();
        self.jobs
            .send(Job::DecideSoon(Box::new(command), answer))
            .await
            .map_err(|_| StoreError::Stopped)?;
        Ok(decided)
    }

    /// Notes when an API key was last used.
    pub async fn touch_api_key(&self, key: ApiKeyId, at: Timestamp) -> Result<(), StoreError> {
        self.jobs.send(Job::TouchApiKey(key, at)).await.map_err(|_| StoreError::Stopped)
    }

    /// Forgets the answers stored before this instant.
    pub async fn prune_answers(&self, before: Timestamp) -> Result<(), StoreError> {
        self.jobs.send(Job::Prune(before)).await.map_err(|_| StoreError::Stopped)
    }
}

fn run(
    mut store: SqliteStore,
    clock: &Clock,
    waiters: &Waiters,
    runtime: &Handle,
    mut incoming: mpsc::Receiver<Job>,
) {
    while let Some(first) = incoming.blocking_recv() {
        let mut batch = Batch::default();
        batch.take(first, &mut store);
        batch.take_waiting(&mut incoming, &mut store);
        if !batch.is_urgent {
            // Whoever comes within that time shares the commit.
            let next =
                runtime.block_on(async { tokio::time::timeout(SOON, incoming.recv()).await });
            if let Ok(Some(job)) = next {
                batch.take(job, &mut store);
                batch.take_waiting(&mut incoming, &mut store);
            }
        }
        if !batch.commands.is_empty() {
            apply(&mut store, clock, waiters, &batch.commands, batch.answers);
        }
    }
}

/// The commands of one transaction, and who is to be told.
#[derive(Default)]
struct Batch {
    commands: Vec<Command>,
    answers: Vec<Answer>,
    is_urgent: bool,
}

impl Batch {
    fn take(&mut self, job: Job, store: &mut SqliteStore) {
        match job {
            Job::Decide(command, answer) => {
                self.is_urgent = true;
                self.commands.push(*command);
                self.answers.push(answer);
            }
            Job::DecideSoon(command, answer) => {
                self.commands.push(*command);
                self.answers.push(answer);
            }
            Job::Prune(before) => {
                if let Err(error) = store.prune_answers(before) {
                    tracing::error!(%error, "old answers could not be forgotten");
                }
            }
            Job::TouchApiKey(key, at) => {
                if let Err(error) = store.touch_api_key(key, at) {
                    tracing::warn!(%error, "the last use of an API key could not be noted");
                }
            }
        }
    }

    fn take_waiting(&mut self, incoming: &mut mpsc::Receiver<Job>, store: &mut SqliteStore) {
        while self.commands.len() < MAX_BATCH {
            let Ok(job) = incoming.try_recv() else { return };
            self.take(job, store);
        }
    }
}

fn apply(
    store: &mut SqliteStore,
    clock: &Clock,
    waiters: &Waiters,
    commands: &[Command],
    answers: Vec<Answer>,
) {
    let before_commit = Instant::now();
    match store.apply(commands, clock.now()) {
        Ok(replies) => {
            for (reply, answer) in replies.into_iter().zip(answers) {
                if let Ok(Reply::Ended(Ended::Recorded { chain, .. })) = &reply {
                    waiters.wake(chain);
                }
                let decided = reply.map(|reply| Decided { reply, before_commit });
                // Whoever asked may be gone: what was decided stands all the same.
                drop(answer.send(decided.map_err(|Corrupt(budget)| {
                    tracing::error!(%budget, "the amounts of a budget do not add up; nothing was changed");
                    StoreError::Unreadable("the amounts of a budget do not add up")
                })));
            }
        }
        Err(error) => {
            tracing::error!(%error, source = ?std::error::Error::source(&error), "a batch was not committed");
            for answer in answers {
                answer.send(Err(StoreError::Stopped)).ok();
            }
        }
    }
}
