//! What the ledger ought to reply, worked out from the auditor's books.

use std::collections::BTreeMap;

use keybrake_core::{
    access::ApiKey,
    call::{Event, Evidence},
    ids::{BudgetId, CallId},
    ledger::{
        Begin, Begun, Command, Conclude, Contention, Ended, Finding, Finish, HeldCall, Issue,
        Recovered, Refresh, Reply, RevokeApiKey,
    },
    money::MicroUsd,
    refusal::{CapKind, Prior, Refusal},
};

use crate::{
    books::{Books, Entry, Stands},
    make::{DAY, asked, at, micros},
};

/// What a begin ought to become.
#[derive(Clone, Debug)]
pub(crate) enum Decision {
    Hold,
    Resend(CallId),
    Replay(CallId),
    Contended(BudgetId),
    Deny(Refusal),
}

/// Why a call in doubt is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotResent {
    VendorDoesNotDeduplicate,
    WindowPassed,
    KeyExpired,
    BudgetRevoked,
    NoRoom,
}

impl Books {
    /// What a begin ought to become, in the order of the checks.
    pub(crate) fn decide(&self, begin: &Begin) -> Decision {
        let asking = self.key_chain(begin.key.id);
        let request = &begin.request;
        let prior = self.bound(&request.vendor, request.idempotency_key.as_ref());
        if let Some(revoked) = self.revoked(&asking) {
            return Decision::Deny(Refusal::KeyRevoked {
                at: at(revoked),
                prior: prior
                    .filter(|(_, entry)| self.is_same_call(begin, entry))
                    .map(|(id, entry)| Box::new(report(id, entry))),
            });
        }
        if let Err(refusal) = &begin.permit {
            return Decision::Deny(refusal.clone());
        }
        match prior {
            Some((id, entry)) => self.decide_again(begin, id, entry),
            None => self.decide_first(begin),
        }
    }

    /// Whether an earlier call is this one, made by the same budget.
    pub(crate) fn is_same_call(&self, begin: &Begin, prior: &Entry) -> bool {
        let own = self.keys[&begin.key.id].budget;
        prior.chain.first() == Some(&own) && prior.fingerprint == begin.request.fingerprint
    }

    fn decide_again(&self, begin: &Begin, id: CallId, prior: &Entry) -> Decision {
        if prior.fingerprint != begin.request.fingerprint {
            return Decision::Deny(Refusal::IdempotencyKeyReused);
        }
        match prior.stands {
            Stands::Settled(_) => Decision::Replay(id),
            Stands::Held | Stands::Released => Decision::Deny(Refusal::CallInProgress),
            Stands::InDoubt if self.why_not_resent(begin, id, prior).is_none() => {
                Decision::Resend(id)
            }
            Stands::InDoubt => Decision::Deny(Refusal::OutcomeUnknown {
                retry_helps: begin.resend_within.is_some(),
            }),
        }
    }

    /// Why a call in doubt may not be sent again.
    pub(crate) fn why_not_resent(
        &self,
        begin: &Begin,
        id: CallId,
        prior: &Entry,
    ) -> Option<NotResent> {
        let Some(window) = begin.resend_within else {
            return Some(NotResent::VendorDoesNotDeduplicate);
        };
        if self.now >= prior.at + i64::try_from(window.as_micros()).unwrap() {
            return Some(NotResent::WindowPassed);
        }
        if self.now >= self.keys[&begin.key.id].expires_at {
            return Some(NotResent::KeyExpired);
        }
        if self.revoked(&prior.chain).is_some() {
            return Some(NotResent::BudgetRevoked);
        }
        let fits = |budget: &BudgetId| {
            let held = self.sums(*budget, Some(id)).held;
            self.limits(*budget, Some(id))
                .iter()
                .all(|(_, cap, spent)| spent + held + prior.hold <= *cap)
        };
        let free = prior.hold == 0 || prior.chain.iter().all(fits);
        (!free).then_some(NotResent::NoRoom)
    }

    fn decide_first(&self, begin: &Begin) -> Decision {
        let key = &self.keys[&begin.key.id];
        if self.now >= key.expires_at {
            let expired_at = at(key.expires_at);
            return Decision::Deny(Refusal::KeyExpired { at: expired_at });
        }
        let asked = match &begin.quote {
            Ok(quote) => quote.hold.as_micros(),
            Err(refusal) => return Decision::Deny(refusal.clone()),
        };
        if let Some(cap) = key.per_call.filter(|cap| asked > *cap) {
            return Decision::Deny(Refusal::PerCallCapExceeded {
                cap: micros(cap),
                asked: micros(asked),
            });
        }
        let chain = self.key_chain(begin.key.id);
        let refused = |id: &BudgetId| {
            self.calls_exhausted(*id).or_else(|| self.exhausted(*id, asked).filter(|_| asked > 0))
        };
        if let Some(refusal) = chain.iter().find_map(refused) {
            return Decision::Deny(refusal);
        }
        if asked == 0 {
            return Decision::Hold;
        }
        match chain.into_iter().find(|id| self.is_contended(*id, asked)) {
            Some(budget) if begin.contention == Contention::Wait => Decision::Contended(budget),
            Some(budget) => Decision::Deny(Refusal::CapContended { budget }),
            None => Decision::Hold,
        }
    }

    /// A budget's caps with what is spent against each, the total first.
    pub(crate) fn limits(
        &self,
        budget: BudgetId,
        without: Option<CallId>,
    ) -> Vec<(CapKind, u64, u64)> {
        let account = &self.accounts[&budget];
        let window = account.window(self.now);
        let resets_at = at(account.anchor + (window + 1) * DAY);
        let spent = self.sums(budget, without).spent;
        let today = self.spent_in(budget, window, without);
        let total = account.total.map(|cap| (CapKind::Total, cap, spent));
        let daily = account.daily.map(|cap| (CapKind::Daily { resets_at }, cap, today));
        total.into_iter().chain(daily).collect()
    }

    fn calls_exhausted(&self, budget: BudgetId) -> Option<Refusal> {
        let max_calls = self.accounts[&budget].max_calls?;
        let made = self.calls(budget);
        (made >= usize::try_from(max_calls).unwrap())
            .then_some(Refusal::CallsExhausted { budget, max_calls })
    }

    fn exhausted(&self, budget: BudgetId, asked: u64) -> Option<Refusal> {
        let limits = self.limits(budget, None);
        let (kind, cap, spent) = limits.into_iter().find(|(_, cap, spent)| spent + asked > *cap)?;
        Some(Refusal::CapExhausted {
            budget,
            kind,
            cap: micros(cap),
            spent: micros(spent),
            asked: micros(asked),
        })
    }

    fn is_contended(&self, budget: BudgetId, asked: u64) -> bool {
        let held = self.sums(budget, None).held;
        self.limits(budget, None).iter().any(|(_, cap, spent)| spent + held + asked > *cap)
    }

    /// What is left along a chain.
    fn remaining(&self, chain: &[BudgetId]) -> MicroUsd {
        let left = |id: &BudgetId| {
            let held = self.sums(*id, None).held;
            let limits = self.limits(*id, None).into_iter();
            limits.map(move |(_, cap, spent)| cap.saturating_sub(spent + held))
        };
        micros(chain.iter().flat_map(left).min().unwrap())
    }

    /// The whole reply to a begin, once its decision is booked.
    pub(crate) fn begun(&self, begin: &Begin, decision: Decision) -> Begun {
        let asking = self.key_chain(begin.key.id);
        let call = begin.call;
        match decision {
            Decision::Hold => self.held(call, &asking),
            Decision::Resend(prior) => self.held(prior, &asking),
            Decision::Replay(of) => Begun::Replay {
                call,
                of,
                object_id: self.entries[&of].object_id.clone(),
                remaining: self.remaining(&asking),
            },
            Decision::Contended(budget) => Begun::Contended { budget },
            Decision::Deny(refusal) => {
                Begun::Denied { call, refusal, remaining: self.remaining(&asking) }
            }
        }
    }

    fn held(&self, call: CallId, asking: &[BudgetId]) -> Begun {
        let Some(entry) = self.entries.get(&call) else {
            // The ledger said otherwise, and so do the books now: there is nothing to compare.
            return Begun::Contended { budget: asking[0] };
        };
        Begun::Held(HeldCall {
            call,
            attempt: entry.attempt,
            hold: micros(entry.hold),
            at_most: micros(entry.hold),
            object: None,
            asked: Some(asked(entry.hold)),
            chain: entry.chain.clone(),
            tag: entry.tag.clone(),
            remaining: self.remaining(asking),
        })
    }

    /// The reply to a command that is neither a begin nor about keys, from the books before it.
    pub(crate) fn expect(&self, command: &Command) -> Option<Reply> {
        match command {
            Command::Peek(peek) => {
                let chain = self.key_chain(peek.key.id);
                let bound = peek
                    .binding
                    .as_ref()
                    .and_then(|binding| self.bound(&binding.vendor, Some(&binding.key)));
                let alive = self.now < self.keys[&peek.key.id].expires_at;
                let open = self.revoked(&chain).is_none() && bound.is_none() && alive;
                Some(Reply::Peeked(open))
            }
            Command::Finish(finish) => Some(Reply::Ended(self.expect_finish(finish))),
            Command::Conclude(found) => Some(Reply::Ended(self.expect_conclude(found))),
            Command::Recover => {
                let doubts = |entry: &&Entry| entry.next(Event::Lost) == Some(Stands::InDoubt);
                let in_doubt = self.entries.values().filter(doubts).count();
                Some(Reply::Recovered(Recovered { in_doubt, stay_held: BTreeMap::new() }))
            }
            Command::Lift(lift) => Some(Reply::Lifted(self.revoked_runs.contains_key(&lift.runs))),
            Command::CreateApiKey(create) => Some(Reply::ApiKey(Ok(self.made(create)))),
            Command::RevokeApiKey(revoke) => Some(Reply::ApiKey(self.expect_stopped(revoke))),
            Command::Issue(_)
            | Command::Refresh(_)
            | Command::Revoke(_)
            | Command::RevokeRuns(_)
            | Command::Begin(_) => None,
        }
    }

    fn expect_stopped(&self, revoke: &RevokeApiKey) -> Result<ApiKey, Refusal> {
        let unknown = || Refusal::NotFound { what: format!("API key {}", revoke.key) };
        let mut key = self.api_keys.get(&revoke.key).cloned().ok_or_else(unknown)?;
        key.revoked_at.get_or_insert(at(self.now));
        Ok(key)
    }

    fn expect_finish(&self, finish: &Finish) -> Ended {
        self.entries
            .get(&finish.call)
            .filter(|entry| entry.stands == Stands::Held && entry.attempt == finish.attempt)
            .and_then(|entry| recorded(entry, answered(finish.evidence)))
            .unwrap_or(Ended::Ignored)
    }

    fn expect_conclude(&self, found: &Conclude) -> Ended {
        let proves = |entry: &Entry| match found.finding {
            Finding::Absent { attempt, looked_at, absent_after, .. } => {
                let waited = looked_at.as_micros() - entry.begun_at;
                attempt == entry.attempt
                    && waited > i64::try_from(absent_after.as_micros()).unwrap()
            }
            Finding::Found(_) | Finding::ResolvedSettled(_) | Finding::ResolvedReleased => true,
            Finding::NotFoundOut | Finding::Billed(_) | Finding::NotBilled => false,
        };
        self.entries
            .get(&found.call)
            .filter(|entry| entry.stands == Stands::InDoubt && proves(entry))
            .and_then(|entry| recorded(entry, concluded(found.finding)?))
            .unwrap_or(Ended::Ignored)
    }

    /// The key that an issue ought to find or make; `None` where it ought to be refused.
    pub(crate) fn expect_issue(&self, issue: &Issue) -> Option<(keybrake_core::ids::KeyId, bool)> {
        let once = issue.once.as_ref();
        if let Some((fingerprint, key)) = once.and_then(|once| self.issued.get(&once.key)) {
            return (*fingerprint == issue.fingerprint).then_some((*key, true));
        }
        let parent = issue.parent.map(|parent| self.key_chain(parent));
        let refused = parent.is_some_and(|chain| self.revoked(&chain).is_some())
            || self.run_revoked(&issue.label).is_some();
        (!refused).then_some((issue.key, false))
    }

    /// The same of a refresh.
    pub(crate) fn expect_refresh(
        &self,
        refresh: &Refresh,
    ) -> Option<(keybrake_core::ids::KeyId, bool)> {
        if self.revoked(&self.key_chain(refresh.key)).is_some() {
            return None;
        }
        let last = self.newest(refresh.key);
        let lives = last != refresh.key && self.now < self.keys[&last].expires_at;
        Some(if lives { (last, true) } else { (refresh.successor, false) })
    }
}

/// What an answer does to a call here, where no call is about an object.
pub(crate) fn answered(evidence: Evidence) -> Event {
    match evidence {
        Evidence::Executed(effect) => Event::Executed(effect.shares(MicroUsd::ZERO).0),
        Evidence::NotExecuted => Event::NotExecuted,
        Evidence::Unknown => Event::Unknown,
    }
}

/// What a finding does to a call here, where no call is about an object and none awaits its bill.
pub(crate) fn concluded(finding: Finding) -> Option<Event> {
    Some(match finding {
        Finding::Found(effect) => Event::Found(effect.shares(MicroUsd::ZERO).0),
        Finding::Absent { .. } => Event::Absent,
        Finding::ResolvedSettled(amount) => Event::ResolvedSettled(amount),
        Finding::ResolvedReleased => Event::ResolvedReleased,
        Finding::NotFoundOut | Finding::Billed(_) | Finding::NotBilled => return None,
    })
}

fn recorded(entry: &Entry, event: Event) -> Option<Ended> {
    let state = entry.next(event)?.name();
    let chain = entry.chain.clone();
    Some(Ended::Recorded { state, chain })
}

fn report(id: CallId, entry: &Entry) -> Prior {
    Prior {
        call_id: id,
        state: entry.stands.name(),
        amount: micros(entry.amount()),
        vendor_object_id: entry.object_id.clone(),
    }
}
