//! What the histories reached: a property that was never put to the test holds for nothing.

use std::{collections::BTreeMap, fmt};

use keybrake_core::{
    call::Event,
    ledger::{Begin, Begun, Command, Ended, Finding, Reply, Revoke},
    policy::Runs,
    refusal::{CapKind, Refusal},
};

use crate::{
    books::{Books, Stands},
    expect::{answered, concluded},
};

/// Each of these must be reached often in the default number of histories.
pub(crate) const REQUIRED: &[&str] = &[
    "call: begun, held",
    "call: begun, a write that moves nothing",
    "call: held, executed for its hold",
    "call: held, executed for less",
    "call: held, executed for more",
    "call: held, declined",
    "call: held, not executed",
    "call: held, unknown",
    "call: held, lost",
    "call: read, unknown",
    "call: read, lost",
    "call: resent, executed",
    "call: resent, not executed",
    "call: resent, unknown",
    "call: resent, lost",
    "call: in doubt, resent",
    "call: in doubt, resent in a later window",
    "call: in doubt, resent by a sibling on another budget",
    "call: in doubt, found",
    "call: in doubt, absent",
    "call: in doubt, resolved as settled",
    "call: in doubt, resolved as released",
    "call: settled, replayed",
    "call: settled, replayed to an expired key",
    "ignored: finish",
    "ignored: look-up",
    "ignored: absent too early",
    "refused: key_revoked",
    "refused: key_revoked with prior",
    "refused: key_expired",
    "refused: idempotency_key_reused",
    "refused: call_in_progress",
    "refused: call_in_progress within one batch",
    "refused: outcome_unknown",
    "refused: per_call_cap_exceeded",
    "refused: cap_exhausted daily",
    "refused: cap_exhausted total",
    "refused: cap_exhausted by an ancestor",
    "refused: calls exhausted",
    "refused: calls exhausted by an ancestor",
    "refused: cap_contended",
    "refused: cap_contended by an ancestor",
    "refused: endpoint_not_allowed",
    "refused: currency_not_priced",
    "contended: wait",
    "not resent: VendorDoesNotDeduplicate",
    "not resent: WindowPassed",
    "not resent: KeyExpired",
    "not resent: BudgetRevoked",
    "not resent: NoRoom",
    "key: issued",
    "key: issued under a parent",
    "key: issue replayed",
    "key: issue refused, another request",
    "key: issue refused, parent revoked",
    "key: refreshed",
    "key: refresh replayed",
    "key: refresh refused, revoked",
    "key: revoked",
    "key: revoked again",
    "key: revoked with calls in flight",
    "runs: revoked by label",
    "runs: revoked by prefix",
    "runs: revoked before they had a key",
    "runs: revoked with several budgets",
    "runs: revoked with calls in flight",
    "runs: revoked again",
    "runs: issue refused",
    "runs: issue replayed although revoked",
    "runs: lifted",
    "runs: nothing to lift",
    "runs: issued after a lift",
    "api key: created",
    "api key: revoked",
    "api key: revoked again",
    "api key: unknown",
    "peek: needs a price",
    "peek: needs none",
    "freed: a released idempotency key is used again",
    "ledger: batch committed",
    "ledger: batch lost without a crash",
    "ledger: crash before commit",
    "ledger: crash after commit",
    "ledger: restarted",
    "time: a daily window rolled over",
    "time: clock behind the ledger's",
    "time: unsent for too long, given up",
];

/// How often each thing was reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    /// Counts one.
    pub(crate) fn count(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_insert(0) += 1;
    }

    /// Adds another's counts.
    pub(crate) fn merge(&mut self, other: Self) {
        for (what, count) in other.0 {
            *self.0.entry(what).or_insert(0) += count;
        }
    }

    /// What was required and reached fewer times.
    pub(crate) fn below(&self, least: u64) -> Vec<&'static str> {
        let reached = |what: &str| self.0.get(what).copied().unwrap_or(0);
        let missing = REQUIRED.iter().filter(|what| reached(what) < least);
        missing.copied().collect()
    }

    /// Counts what a reply reached, given the books before it.
    pub(crate) fn reply(&mut self, books: &Books, command: &Command, reply: &Reply) {
        match (command, reply) {
            (Command::Begin(begin), Reply::Begun(said)) => self.begun(books, begin, said),
            (Command::Finish(finish), Reply::Ended(ended)) => {
                let entry = books.entries.get(&finish.call);
                let (Ended::Recorded { .. }, Some(entry)) = (ended, entry) else {
                    return self.count("ignored: finish");
                };
                let which = match entry {
                    entry if entry.is_read => "read",
                    entry if entry.doubted => "resent",
                    _ => "held",
                };
                self.count(format!(
                    "call: {which}, {}",
                    happened(answered(finish.evidence), entry.hold, which)
                ));
            }
            (Command::Conclude(found), Reply::Ended(Ended::Recorded { .. })) => {
                let event = concluded(found.finding).unwrap();
                self.count(format!("call: in doubt, {}", happened(event, 0, "in doubt")));
            }
            (Command::Conclude(found), Reply::Ended(Ended::Ignored)) => {
                self.count("ignored: look-up");
                let too_early = books.entries.get(&found.call).is_some_and(|entry| {
                    let current = |attempt| attempt == entry.attempt;
                    entry.stands == Stands::InDoubt
                        && matches!(found.finding, Finding::Absent { attempt, .. } if current(attempt))
                });
                if too_early {
                    self.count("ignored: absent too early");
                }
            }
            (Command::Peek(_), Reply::Peeked(needs)) => {
                self.count(if *needs { "peek: needs a price" } else { "peek: needs none" });
            }
            (Command::Recover, Reply::Recovered(_)) => self.recovered(books),
            _ => self.keys(books, command, reply),
        }
    }

    fn recovered(&mut self, books: &Books) {
        self.count("ledger: restarted");
        let held = books.entries.values().filter(|entry| entry.stands == Stands::Held);
        for entry in held {
            self.count(match entry {
                entry if entry.is_read => "call: read, lost",
                entry if entry.doubted => "call: resent, lost",
                _ => "call: held, lost",
            });
        }
    }

    fn begun(&mut self, books: &Books, begin: &Begin, said: &Begun) {
        let request = &begin.request;
        let key = request.idempotency_key.as_ref();
        let expired = books.now >= books.keys[&begin.key.id].expires_at;
        match said {
            Begun::Held(held) if held.call == begin.call => {
                self.count("call: begun, held");
                if held.hold.as_micros() == 0 && !request.method.is_read() {
                    self.count("call: begun, a write that moves nothing");
                }
                let freed = |entry: &&crate::books::Entry| {
                    entry.stands == Stands::Released && key.is_some() && entry.key.as_ref() == key
                };
                if books.entries.values().any(|entry| freed(&entry)) {
                    self.count("freed: a released idempotency key is used again");
                }
            }
            Begun::Held(held) => {
                self.count("call: in doubt, resent");
                let prior = &books.entries[&held.call];
                let own = books.key_chain(begin.key.id);
                if own.first() != prior.chain.first() {
                    self.count("call: in doubt, resent by a sibling on another budget");
                }
                let account = &books.accounts[&prior.chain[0]];
                if account.window(prior.begun_at) < account.window(books.now) {
                    self.count("call: in doubt, resent in a later window");
                }
            }
            Begun::Replay { .. } => {
                self.count("call: settled, replayed");
                if expired {
                    self.count("call: settled, replayed to an expired key");
                }
            }
            Begun::Contended { .. } => self.count("contended: wait"),
            Begun::Denied { refusal, .. } => self.refused(books, begin, refusal),
        }
    }

    fn refused(&mut self, books: &Books, begin: &Begin, refusal: &Refusal) {
        self.count(format!("refused: {}", refusal.code()));
        let own = books.keys[&begin.key.id].budget;
        let request = &begin.request;
        let prior = books.bound(&request.vendor, request.idempotency_key.as_ref());
        match (refusal, prior) {
            (Refusal::KeyRevoked { prior: Some(_), .. }, _) => {
                self.count("refused: key_revoked with prior");
            }
            (Refusal::CapExhausted { kind, budget, .. }, _) => {
                self.count(match kind {
                    CapKind::Daily { .. } => "refused: cap_exhausted daily",
                    CapKind::Total => "refused: cap_exhausted total",
                });
                if *budget != own {
                    self.count("refused: cap_exhausted by an ancestor");
                }
            }
            (Refusal::CallsExhausted { budget, .. }, _) => {
                self.count(if *budget == own {
                    "refused: calls exhausted"
                } else {
                    "refused: calls exhausted by an ancestor"
                });
            }
            (Refusal::CapContended { budget }, _) if *budget != own => {
                self.count("refused: cap_contended by an ancestor");
            }
            (Refusal::OutcomeUnknown { .. }, Some((id, prior))) => {
                if let Some(why) = books.why_not_resent(begin, id, prior) {
                    self.count(format!("not resent: {why:?}"));
                }
            }
            _ => {}
        }
    }

    fn keys(&mut self, books: &Books, command: &Command, reply: &Reply) {
        match (command, reply) {
            (Command::Issue(issue), Reply::Issued(Ok(issued))) => {
                self.count(if issued.replayed { "key: issue replayed" } else { "key: issued" });
                if issue.parent.is_some() && !issued.replayed {
                    self.count("key: issued under a parent");
                }
                if issued.replayed && books.run_revoked(&issued.key.label).is_some() {
                    self.count("runs: issue replayed although revoked");
                }
                if !issued.replayed && books.lifted.iter().any(|runs| runs.contain(&issue.label)) {
                    self.count("runs: issued after a lift");
                }
            }
            (Command::Issue(_), Reply::Issued(Err(Refusal::RunRevoked { .. }))) => {
                self.count("runs: issue refused");
            }
            (Command::Issue(_), Reply::Issued(Err(Refusal::KeyRevoked { .. }))) => {
                self.count("key: issue refused, parent revoked");
            }
            (Command::Issue(_), Reply::Issued(Err(_))) => {
                self.count("key: issue refused, another request");
            }
            (Command::Refresh(_), Reply::Issued(Ok(issued))) => {
                self.count(if issued.replayed {
                    "key: refresh replayed"
                } else {
                    "key: refreshed"
                });
            }
            (Command::Refresh(_), Reply::Issued(Err(_))) => {
                self.count("key: refresh refused, revoked");
            }
            (Command::Revoke(Revoke { key, .. }), Reply::Revoked(Ok(revoked))) => {
                let again = books.accounts[&books.keys[key].budget].revoked_at.is_some();
                self.count(if again { "key: revoked again" } else { "key: revoked" });
                if !revoked.in_flight.is_empty() {
                    self.count("key: revoked with calls in flight");
                }
            }
            _ => self.runs(books, command, reply),
        }
    }

    fn runs(&mut self, books: &Books, command: &Command, reply: &Reply) {
        match (command, reply) {
            (Command::RevokeRuns(revoke), Reply::Revoked(Ok(revoked))) => {
                self.count(match &revoke.runs {
                    _ if books.revoked_runs.contains_key(&revoke.runs) => "runs: revoked again",
                    Runs::Labelled(_) => "runs: revoked by label",
                    Runs::Prefixed(_) => "runs: revoked by prefix",
                });
                match revoked.budgets.len() {
                    0 => self.count("runs: revoked before they had a key"),
                    1 => {}
                    _ => self.count("runs: revoked with several budgets"),
                }
                if !revoked.in_flight.is_empty() {
                    self.count("runs: revoked with calls in flight");
                }
            }
            (Command::Lift(_), Reply::Lifted(lifted)) => {
                self.count(if *lifted { "runs: lifted" } else { "runs: nothing to lift" });
            }
            (Command::CreateApiKey(_), Reply::ApiKey(Ok(_))) => self.count("api key: created"),
            (Command::RevokeApiKey(revoke), Reply::ApiKey(made)) => {
                let before = books.api_keys.get(&revoke.key);
                self.count(match before.map(|key| key.revoked_at) {
                    Some(None) if made.is_ok() => "api key: revoked",
                    Some(_) => "api key: revoked again",
                    None => "api key: unknown",
                });
            }
            _ => {}
        }
    }
}

fn happened(event: Event, hold: u64, which: &str) -> &'static str {
    match event {
        Event::Executed(_) if which != "held" => "executed",
        Event::Executed(amount) if amount.as_micros() == 0 => "declined",
        Event::Executed(amount) if amount.as_micros() < hold => "executed for less",
        Event::Executed(amount) if amount.as_micros() > hold => "executed for more",
        Event::Executed(_) => "executed for its hold",
        Event::NotExecuted => "not executed",
        Event::Unknown => "unknown",
        Event::Lost => "lost",
        Event::Resent => "resent",
        Event::Found(_) => "found",
        Event::Absent => "absent",
        Event::ResolvedSettled(_) => "resolved as settled",
        Event::ResolvedReleased => "resolved as released",
        Event::Restated(_) => "restated",
    }
}

/// A table of counts, with what else was counted.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.0 {
            writeln!(f, "{count:>9}  {what}")?;
        }
        Ok(())
    }
}
