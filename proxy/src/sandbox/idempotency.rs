//! Idempotency keys as Stripe keeps them.
//!
//! A key is taken when a call begins and keeps the call's answer once the endpoint had begun to
//! execute, whatever the answer was: a replayed decline or 500 is how a caller learns that trying
//! again under the same key is useless. Where validation failed, the key is given back.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use axum::body::Bytes;
use keybrake_core::time::Timestamp;

use super::errors::{self, ApiError};

pub(super) const MAX_KEY_CHARS: usize = 255;

/// An answer to send, or to send again.
#[derive(Clone, Debug)]
pub(super) struct Saved {
    pub(super) status: axum::http::StatusCode,
    pub(super) body: Bytes,
    /// The request that was executed.
    pub(super) request_id: String,
}

/// What a request says about itself when it presents its key.
pub(super) struct Claim<'a> {
    pub(super) key: &'a str,
    pub(super) path: &'a str,
    pub(super) fingerprint: [u8; 32],
    pub(super) now: Timestamp,
}

struct Entry {
    path: String,
    fingerprint: [u8; 32],
    since: Timestamp,
    answer: Option<Saved>,
}

pub(super) struct Keys {
    window: Duration,
    entries: HashMap<String, Entry>,
    /// Keys in the order they were taken, to forget them without a scan.
    by_age: VecDeque<(Timestamp, String)>,
}

impl Keys {
    pub(super) fn new(window: Duration) -> Self {
        Self { window, entries: HashMap::new(), by_age: VecDeque::new() }
    }

    /// Takes the key, or says what it stands for: `None` means that the caller may execute.
    pub(super) fn take(&mut self, claim: &Claim<'_>) -> Result<Option<Saved>, ApiError> {
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
            return Ok(None);
        };
        let Some(answer) = &entry.answer else {
            return Err(errors::key_in_use());
        };
        if entry.path != claim.path {
            return Err(errors::key_of_other_endpoint(claim.key, &entry.path, claim.path));
        }
        if entry.fingerprint != claim.fingerprint {
            return Err(errors::key_of_other_parameters(claim.key));
        }
        Ok(Some(answer.clone()))
    }

    /// Keeps the answer of the call that took the key.
    pub(super) fn save(&mut self, key: &str, answer: Saved) {
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
