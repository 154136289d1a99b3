//! One history's world: a ledger, a proxy in front of it, its callers, the vendor and the clock.

use std::{collections::BTreeMap, sync::Arc};

use keybrake_core::{
    call::Evidence,
    ids::{ApiKeyId, BudgetId, CallId, KeyId},
    ledger::{
        Begun, Command, Reply,
        rows::{Rows, VaultKey},
    },
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    audit::{self, Misreported},
    books::Books,
    claims::{Breach, Breaches, Law, claim, judge},
    coverage::Coverage,
    describe,
    make::{Ask, HOUR, Order, at},
    subject::{Replies, Subject},
    vendor::{Sent, Vendor},
};

/// A week after an arbitrary instant.
const START: i64 = 1_700_000_000_000_000;

/// An attempt that the proxy has begun and not reported yet.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) sent: Sent,
    pub(crate) attempt: u32,
    /// True time.
    pub(crate) begun: i64,
    /// What was learned, and when the first byte went out.
    pub(crate) answer: Option<(Evidence, Option<i64>)>,
}

/// How a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Commit,
    /// The transaction fails and the process lives.
    Lost,
    CrashBeforeCommit,
    CrashAfterCommit,
}

/// Everything in one history.
#[derive(Debug)]
pub(crate) struct World<S> {
    pub(crate) rng: ChaCha8Rng,
    pub(crate) subject: S,
    pub(crate) books: Books,
    pub(crate) vendor: Vendor,
    pub(crate) coverage: Coverage,
    pub(crate) breaches: Breaches,
    /// The rows after the last step.
    pub(crate) rows: Rows,
    /// True time, which the vendor lives in.
    pub(crate) time: i64,
    /// How far the proxy's clock is behind.
    pub(crate) skew: i64,
    /// Whether the vendor of this history bills more than its quote now and then.
    pub(crate) overruns: bool,
    /// Whether several keys of this history are for one run.
    pub(crate) shared_labels: bool,
    pub(crate) keys: Vec<Arc<VaultKey>>,
    pub(crate) flights: Vec<Flight>,
    pub(crate) asks: Vec<Ask>,
    pub(crate) retries: Vec<(Ask, Arc<VaultKey>)>,
    pub(crate) orders: Vec<Order>,
    pub(crate) misreported: Misreported,
    /// The steps so far, where they are wanted.
    pub(crate) log: Option<Vec<String>>,
    /// When the last attempt of each call was begun, in true time.
    pub(crate) begun: BTreeMap<CallId, i64>,
    next_id: i64,
}

impl<S: Subject> World<S> {
    pub(crate) fn new(subject: S, seed: u64, logs: bool) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            subject,
            books: Books::default(),
            vendor: Vendor::default(),
            coverage: Coverage::default(),
            breaches: Vec::new(),
            rows: Rows::new(at(0)),
            time: START,
            skew: 0,
            overruns: seed % 8 == 7,
            shared_labels: seed % 2 == 1,
            keys: Vec::new(),
            flights: Vec::new(),
            asks: Vec::new(),
            retries: Vec::new(),
            orders: Vec::new(),
            misreported: Misreported::new(),
            log: logs.then(Vec::new),
            begun: BTreeMap::new(),
            next_id: 0,
        }
    }

    fn fresh(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn fresh_call(&mut self) -> CallId {
        CallId::from_number(self.fresh())
    }

    pub(crate) fn fresh_key(&mut self) -> KeyId {
        KeyId::from_number(self.fresh())
    }

    pub(crate) fn fresh_api_key(&mut self) -> ApiKeyId {
        ApiKeyId::from_number(self.fresh())
    }

    pub(crate) fn fresh_budget(&mut self) -> BudgetId {
        BudgetId::from_number(self.fresh())
    }

    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        let time = self.time - START;
        if let Some(log) = &mut self.log {
            log.push(format!(
                "{:>12.3} s  {}",
                std::time::Duration::from_micros(time.unsigned_abs()).as_secs_f64(),
                what()
            ));
        }
    }

    fn clock(&self) -> i64 {
        self.time - self.skew
    }

    /// Unwraps what a store answered; a failure is a disagreement.
    pub(crate) fn unless_failed<T>(&mut self, result: Result<T, S::Error>) -> Option<T> {
        result
            .map_err(|error| {
                let what = format!("{error:?}");
                self.breaches.push(Breach { law: Law::Agreement, what });
            })
            .ok()
    }

    /// Applies a batch that ends this way, checks every reply, and then all rows.
    pub(crate) fn batch(
        &mut self,
        batch: &[Command],
        begins: Vec<(Ask, Arc<VaultKey>)>,
        ending: Ending,
    ) {
        self.say(|| format!("{ending:?} {}", describe::batch(batch)));
        self.coverage.count(match ending {
            Ending::Commit => "ledger: batch committed",
            Ending::Lost => "ledger: batch lost without a crash",
            Ending::CrashBeforeCommit => "ledger: crash before commit",
            Ending::CrashAfterCommit => "ledger: crash after commit",
        });
        let clock = at(self.clock());
        match ending {
            Ending::Commit => {
                let replies = self.subject.apply(batch, clock);
                if let Some(replies) = self.unless_failed(replies) {
                    self.judge(batch, &replies);
                    self.audit();
                    self.learn(batch, &replies, begins);
                }
            }
            Ending::Lost | Ending::CrashBeforeCommit => {
                let lost = self.subject.crash_before_commit(batch, clock);
                self.unless_failed(lost);
                self.retries.extend(begins);
                self.nothing_changed();
            }
            Ending::CrashAfterCommit => {
                let replies = self.subject.crash_after_commit(batch, clock);
                if let Some(replies) = self.unless_failed(replies) {
                    self.judge(batch, &replies);
                    self.audit();
                    self.retries.extend(begins);
                }
            }
        }
        self.check();
        if matches!(ending, Ending::CrashBeforeCommit | Ending::CrashAfterCommit) {
            self.restart();
        }
    }

    /// The process was dead for a while, and has forgotten what it had sent.
    pub(crate) fn restart(&mut self) {
        self.flights.clear();
        let down = self.rng.random_range(0..HOUR);
        self.pass(down);
        let replies = self.subject.restart(at(self.clock()));
        if let Some(replies) = self.unless_failed(replies) {
            self.judge(&[Command::Recover], &replies);
        }
        self.say(|| "restarted".to_owned());
        self.audit();
    }

    fn judge(&mut self, batch: &[Command], replies: &Replies) {
        if self.clock() < self.books.now {
            self.coverage.count("time: clock behind the ledger's");
        }
        let window = |books: &Books| -> i64 {
            books.accounts.values().map(|account| account.window(books.now)).sum()
        };
        let before = window(&self.books);
        self.books.now = self.books.now.max(self.clock());
        if window(&self.books) > before {
            self.coverage.count("time: a daily window rolled over");
        }
        claim(&mut self.breaches, Law::Books, batch.len() == replies.len(), || {
            "replies are missing".to_owned()
        });
        self.count_twins(batch, replies);
        for (command, reply) in batch.iter().zip(replies) {
            if let Ok(reply) = reply {
                self.coverage.reply(&self.books, command, reply);
            }
            if let Ok(Reply::Begun(begun)) = reply
                && let Begun::Held(held) = &**begun
            {
                self.begun.insert(held.call, self.time);
            }
            judge(&mut self.books, command, reply, &mut self.breaches);
        }
    }

    fn audit(&mut self) {
        let rows = self.subject.snapshot();
        if let Some(rows) = self.unless_failed(rows) {
            self.rows = rows;
            self.check();
        }
    }

    /// Checks the rows as they are: the vendor may have moved.
    pub(crate) fn check(&mut self) {
        audit::audit(&self.rows, &self.books, &self.vendor, &self.misreported, &mut self.breaches);
    }

    /// What was done through the admin API is kept, all of it and nothing else.
    pub(crate) fn check_records(&mut self) {
        let kept = self.subject.records();
        if let Some(kept) = self.unless_failed(kept) {
            claim(&mut self.breaches, Law::Books, kept == self.books.deeds, || {
                format!("the records {kept:?} are not {:?}", self.books.deeds)
            });
        }
    }

    fn nothing_changed(&mut self) {
        let rows = self.subject.snapshot();
        if let Some(rows) = self.unless_failed(rows) {
            let same = rows == self.rows;
            claim(&mut self.breaches, Law::Books, same, || "a lost batch left traces".to_owned());
        }
    }

    /// True time passes.
    pub(crate) fn pass(&mut self, micros: i64) {
        self.time += micros;
        self.vendor.advance(self.time);
    }

    /// An operator tells the ledger something untrue about a call.
    pub(crate) fn misreport(&mut self, call: CallId) {
        let entry = &self.books.entries[&call];
        self.misreported.insert((entry.vendor.clone(), entry.key.clone()));
    }
}
