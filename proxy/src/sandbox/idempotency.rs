//! Idempotency keys, as the vendors that have them keep them.
//!
//! A key is taken when a call begins, and either keeps the call's answer or is given back. Which
//! answers are kept is the vendor's: Stripe keeps all of calls that had begun to execute, since a
//! replayed decline or 500 is how a caller learns that trying again under the same key is useless.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use keybrake_core::time::Timestamp;

/// What a request says about itself when it presents its key.
pub(super) struct Claim<'a> {
    pub(super) key: &'a str,
    pub(super) path: &'a str,
    pub(super) fingerprint: [u8; 32],
    pub(super) now: Timestamp,
}

/// What a key stands for.
pub(super) enum Taken<A> {
    /// Nothing until now: the caller may execute.
    Free,
    /// The first call still runs.
    Running,
    /// A call to this other path.
    OtherPath(String),
    /// A call with another content.
    OtherRequest,
    /// The same call, with this answer.
    Answered(A),
}

struct Entry<A> {
    path: String,
    fingerprint: [u8; 32],
    since: Timestamp,
    answer: Option<A>,
}

pub(super) struct Keys<A> {
    window: Duration,
    entries: HashMap<String, Entry<A>>,
    /// Keys in the order they were taken, to forget them without a scan.
    by_age: VecDeque<(Timestamp, String)>,
}

impl<A: Clone> Keys<A> {
    pub(super) fn new(window: Duration) -> Self {
        Self { window, entries: HashMap::new(), by_age: VecDeque::new() }
    }

    /// Takes the key, or says what it stands for.
    pub(super) fn take(&mut self, claim: &Claim<'_>) -> Taken<A> {
        self.forget_old(claim.now);
        let Some(entry) = self.entries.get(claim.key) else {
            self.by_age.push_back((claim.now, claim.key.to_owned()));
            self.entries.insert(
                claim.key.to_owned(),
                Entry {
                    path: claim.path.to_owned(),
                    fingerprint: claim.fingerprint,
                    since: claim.now,
                    answer: None,
                },
            );
            return Taken::Free;
        };
        let Some(answer) = &entry.answer else {
            return Taken::Running;
        };
        if entry.path != claim.path {
            return Taken::OtherPath(entry.path.clone());
        }
        if entry.fingerprint != claim.fingerprint {
            return Taken::OtherRequest;
        }
        Taken::Answered(answer.clone())
    }

    /// Keeps the answer of the call that took the key.
    pub(super) fn save(&mut self, key: &str, answer: A) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.answer = Some(answer);
        }
    }

    /// Gives the key back: nothing was executed under it.
    pub(super) fn release(&mut self, key: &str) {
        self.entries.remove(key);
    }

    fn forget_old(&mut self, now: Timestamp) {
        let mut unfinished = Vec::new();
        while let Some((since, _)) = self.by_age.front()
            && since.after(self.window) <= now
        {
            let Some((since, key)) = self.by_age.pop_front() else {
                break;
            };
            match self.entries.get(&key) {
                // A call that still runs keeps its key, however long it takes.
                Some(entry) if entry.since == since && entry.answer.is_none() => {
                    unfinished.push((since, key));
                }
                Some(entry) if entry.since == since => {
                    self.entries.remove(&key);
                }
                // Released, and perhaps taken anew since.
                Some(_) | None => {}
            }
        }
        for entry in unfinished.into_iter().rev() {
            self.by_age.push_front(entry);
        }
    }
}
