//! A vendor, as an independent model: what it did, not what the ledger believes.
//!
//! It remembers an idempotency key for 24 hours and would charge again afterwards. It can lose a
//! request or its answer, be slow, fail after it charged and repeat that failure, decline, and
//! refuse before processing. It lives in true time, which no one's clock can move.

use std::collections::BTreeMap;

use keybrake_core::{call::Evidence, ids::CallId};

use crate::make::{DAY, MINUTE, micros};

/// Deduplicates by idempotency key, as Stripe does.
pub(crate) const DEDUPLICATES: &str = "stripe";
/// Takes no idempotency key and so processes whatever it gets, as Twilio does.
pub(crate) const FORGETFUL: &str = "twilio";
/// How long after processing a look-up may still not see it.
const VISIBLE_AFTER: i64 = MINUTE;

/// A request on its way to the vendor.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) call: CallId,
    pub(crate) vendor: String,
    pub(crate) key: Option<String>,
    pub(crate) fingerprint: [u8; 32],
    pub(crate) hold: u64,
    pub(crate) is_read: bool,
}

/// What happens to a request, if the vendor has no saved answer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// No connection: nothing arrives, and the sender knows.
    Unreachable,
    /// 401, 429 or 400: refused before processing.
    Rejected,
    /// Nothing arrives, and the sender does not know.
    RequestLost,
    /// Processed and billed.
    Billed(u64),
    /// Processed and declined.
    Declined,
    /// Processed and billed, and the answer is lost.
    AnswerLost(u64),
    /// Processed and billed, and answered with a 500 now and for every repetition.
    FailedAfter(u64),
    /// Answered with a 500 now and for every repetition, and not processed.
    FailedBefore,
    /// Processed and billed after the sender has given up.
    Slow(u64, i64),
}

/// Something that the vendor processed.
#[derive(Clone, Debug)]
pub(crate) struct Processed {
    pub(crate) call: CallId,
    pub(crate) vendor: String,
    pub(crate) key: Option<String>,
    pub(crate) amount: u64,
    pub(crate) at: i64,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Done(u64),
    Error,
}

#[derive(Clone, Debug)]
struct Saved {
    answer: Answer,
    fingerprint: [u8; 32],
    since: i64,
}

#[derive(Clone, Debug)]
struct Pending {
    sent: Sent,
    amount: u64,
    due: i64,
}

/// All vendors of the simulation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vendor {
    saved: BTreeMap<String, Saved>,
    pending: Vec<Pending>,
    processed: Vec<Processed>,
}

impl Vendor {
    /// What the sender learns of a request.
    pub(crate) fn receive(&mut self, sent: &Sent, fate: Fate, now: i64) -> Evidence {
        self.advance(now);
        match fate {
            Fate::Unreachable | Fate::Rejected => Evidence::NotExecuted,
            Fate::RequestLost => Evidence::Unknown,
            Fate::Billed(_)
            | Fate::Declined
            | Fate::AnswerLost(_)
            | Fate::FailedAfter(_)
            | Fate::FailedBefore
            | Fate::Slow(..) => self.arrive(sent, fate, now),
        }
    }

    fn arrive(&mut self, sent: &Sent, fate: Fate, now: i64) -> Evidence {
        if self.is_pending(&sent.vendor, sent.key.as_ref()) {
            return Evidence::Unknown; // 409: the first one is being processed
        }
        if let Some(saved) = self.remembered(sent, now) {
            let lost = matches!(fate, Fate::AnswerLost(_) | Fate::Slow(..));
            return match saved.answer {
                _ if saved.fingerprint != sent.fingerprint => Evidence::NotExecuted,
                Answer::Done(amount) if !lost => Evidence::moved(micros(amount)),
                Answer::Done(_) | Answer::Error => Evidence::Unknown,
            };
        }
        match fate {
            Fate::Billed(amount) => self.process(sent, amount, Answer::Done(amount), now),
            Fate::Declined => self.process(sent, 0, Answer::Done(0), now),
            Fate::AnswerLost(amount) => {
                self.process(sent, amount, Answer::Done(amount), now);
                Evidence::Unknown
            }
            Fate::FailedAfter(amount) => self.process(sent, amount, Answer::Error, now),
            Fate::FailedBefore => {
                self.save(sent, Answer::Error, now);
                Evidence::Unknown
            }
            Fate::Slow(amount, delay) => {
                self.pending.push(Pending { sent: sent.clone(), amount, due: now + delay });
                Evidence::Unknown
            }
            Fate::Unreachable | Fate::Rejected | Fate::RequestLost => unreachable!(),
        }
    }

    fn process(&mut self, sent: &Sent, amount: u64, answer: Answer, now: i64) -> Evidence {
        self.processed.push(Processed {
            call: sent.call,
            vendor: sent.vendor.clone(),
            key: sent.key.clone(),
            amount,
            at: now,
        });
        self.save(sent, answer, now);
        match answer {
            Answer::Done(amount) => Evidence::moved(micros(amount)),
            Answer::Error => Evidence::Unknown,
        }
    }

    fn save(&mut self, sent: &Sent, answer: Answer, now: i64) {
        if let Some(key) = sent.key.clone().filter(|_| sent.vendor == DEDUPLICATES) {
            let saved = Saved { answer, fingerprint: sent.fingerprint, since: now };
            self.saved.insert(key, saved);
        }
    }

    fn remembered(&self, sent: &Sent, now: i64) -> Option<Saved> {
        let key = sent.key.as_ref().filter(|_| sent.vendor == DEDUPLICATES)?;
        let saved = self.saved.get(key)?;
        (now < saved.since + DAY).then(|| saved.clone())
    }

    /// Time passes: what was slow is processed.
    pub(crate) fn advance(&mut self, now: i64) {
        let (due, pending): (Vec<_>, Vec<_>) =
            self.pending.drain(..).partition(|slow| slow.due <= now);
        self.pending = pending;
        for slow in due {
            self.process(&slow.sent, slow.amount, Answer::Done(slow.amount), slow.due);
        }
    }

    fn is_pending(&self, vendor: &str, key: Option<&String>) -> bool {
        let same = |slow: &Pending| slow.sent.vendor == vendor && slow.sent.key.as_ref() == key;
        key.is_some() && self.pending.iter().any(same)
    }

    /// What a look-up sees: what was billed under this key, once that is visible.
    pub(crate) fn look_up(&self, vendor: &str, key: Option<&String>, now: i64) -> Option<u64> {
        self.under(vendor, key).find(|done| done.at + VISIBLE_AFTER <= now).map(|done| done.amount)
    }

    /// All that was processed under an idempotency key.
    pub(crate) fn under(
        &self,
        vendor: &str,
        key: Option<&String>,
    ) -> impl Iterator<Item = &Processed> {
        self.processed
            .iter()
            .filter(move |done| done.vendor == vendor && key.is_some() && done.key.as_ref() == key)
    }

    /// All that was processed.
    pub(crate) fn processed(&self) -> &[Processed] {
        &self.processed
    }

    /// Whether the vendor processed a request of this call, or still will.
    pub(crate) fn has_processed(&self, call: CallId) -> bool {
        self.processed.iter().any(|done| done.call == call)
            || self.pending.iter().any(|slow| slow.sent.call == call)
    }
}
