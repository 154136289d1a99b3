//! What the callers and the proxy in front of the ledger do with its replies.

use std::sync::Arc;

use keybrake_core::{
    call::{Evidence, State},
    ids::BudgetId,
    ledger::{Begin, Begun, Command, Reply, rows::VaultKey},
};
use rand::Rng;

use crate::{
    claims::{Law, claim},
    fates,
    make::{Ask, sealed, sent},
    subject::{Replies, Subject},
    vendor::Fate,
    world::{Flight, World},
};

/// A begun call must be on the wire within this time, or not at all.
const SEND_WITHIN: i64 = 1_000_000;

impl<S: Subject> World<S> {
    /// What the callers and the proxy do with the replies.
    pub(crate) fn learn(
        &mut self,
        batch: &[Command],
        replies: &Replies,
        begins: Vec<(Ask, Arc<VaultKey>)>,
    ) {
        let mut begins = begins.into_iter();
        for (command, reply) in batch.iter().zip(replies) {
            match (command, reply) {
                (_, Ok(Reply::Issued(Ok(issued))))
                    if self.keys.iter().all(|key| key.id != issued.key.id) =>
                {
                    self.keys.push(Arc::new(issued.key.clone()));
                }
                (Command::Begin(begin), Ok(Reply::Begun(said))) => {
                    let asked = begins.next();
                    self.learn_begun(begin, said, asked);
                }
                (Command::Revoke(_) | Command::RevokeRuns(_), Ok(Reply::Revoked(Ok(revoked)))) => {
                    revoked.budgets.iter().for_each(|budget| self.stop_flights(budget.id));
                }
                _ => {}
            }
        }
    }

    fn learn_begun(&mut self, begin: &Begin, said: &Begun, asked: Option<(Ask, Arc<VaultKey>)>) {
        match said {
            Begun::Held(held) => self.flights.push(Flight {
                sent: sent(held.call, &begin.request, held.hold.as_micros()),
                attempt: held.attempt,
                begun: self.time,
                answer: None,
            }),
            Begun::Contended { .. } => self.retries.extend(asked),
            Begun::Replay { of, .. } => {
                let told = self.books.entries.get(of).is_some_and(|entry| !entry.by_operator);
                let answer = self.subject.answer(*of);
                let answer = self.unless_failed(answer).flatten();
                let stored = !told || answer == Some(sealed(*of));
                claim(&mut self.breaches, Law::OncePerKey, stored, || {
                    format!("{of} has no stored answer")
                });
            }
            Begun::Denied { .. } => {}
        }
    }

    /// A revocation answers only when each begun call of its budget was sent or given up.
    fn stop_flights(&mut self, budget: BudgetId) {
        for index in 0..self.flights.len() {
            let call = self.flights[index].sent.call;
            let stopped =
                self.books.entries.get(&call).is_some_and(|entry| entry.chain.contains(&budget));
            if stopped && self.flights[index].answer.is_none() {
                if self.rng.random_bool(0.5) {
                    self.deliver(index);
                } else {
                    self.flights[index].answer = Some((Evidence::NotExecuted, None));
                }
            }
        }
    }

    /// Sends a begun call, if it is not too late for that.
    pub(crate) fn deliver(&mut self, index: usize) {
        let flight = self.flights[index].clone();
        if self.time - flight.begun > SEND_WITHIN {
            self.coverage.count("time: unsent for too long, given up");
            self.flights[index].answer = Some((Evidence::NotExecuted, None));
            return;
        }
        let held = self
            .rows
            .calls
            .get(&flight.sent.call)
            .and_then(|call| Some((call.attempt, call.life()?)));
        let holds = held.is_some_and(|(attempt, life)| {
            attempt == flight.attempt
                && life.state == State::Held
                && life.hold.as_micros() == flight.sent.hold
        });
        claim(&mut self.breaches, Law::HoldFirst, holds, || {
            format!("{flight:?} is sent and the committed row is {held:?}")
        });
        let fate = fates::random(&mut self.rng, &flight.sent, self.overruns);
        let evidence = self.vendor.receive(&flight.sent, fate, self.time);
        self.coverage.count(format!("vendor: {}", fates::name(fate)));
        self.say(|| {
            format!("{} attempt {}: {fate:?}, so {evidence:?}", flight.sent.call, flight.attempt)
        });
        let sent_at = (fate != Fate::Unreachable).then_some(self.time);
        self.flights[index].answer = Some((evidence, sent_at));
    }

    pub(crate) fn count_twins(&mut self, batch: &[Command], replies: &Replies) {
        let held_here = |key: &Option<String>| {
            batch.iter().zip(replies).any(|(command, reply)| match (command, reply) {
                (Command::Begin(begin), Ok(Reply::Begun(said))) => {
                    begin.request.idempotency_key == *key && matches!(**said, Begun::Held(_))
                }
                _ => false,
            })
        };
        for (command, reply) in batch.iter().zip(replies) {
            let (Command::Begin(begin), Ok(Reply::Begun(said))) = (command, reply) else {
                continue;
            };
            let key = &begin.request.idempotency_key;
            let refused = matches!(&**said, Begun::Denied { refusal, .. } if refusal.code() == "call_in_progress");
            if refused && held_here(key) {
                self.coverage.count("refused: call_in_progress within one batch");
            }
        }
    }
}
