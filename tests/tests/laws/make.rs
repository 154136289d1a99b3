//! Commands, made short: the same for histories and scenarios.

use std::{sync::Arc, time::Duration};

use keybrake_core::{
    access::Actor,
    budget::Caps,
    call::Evidence,
    ids::{BudgetId, CallId, KeyId},
    ledger::{
        Begin, Command, Conclude, Contention, Finding, Finish, Issue, Quote, Refresh, Revoke,
        rows::{Asked, IssueBinding, Request, VaultKey, VendorAnswer},
    },
    money::MicroUsd,
    policy::{Method, Policy, RunLabel},
    refusal::Refusal,
    time::Timestamp,
    token::TokenHash,
};

use crate::vendor::{DEDUPLICATES, Sent};

/// One minute in microseconds, as all times of the simulation are.
pub(crate) const MINUTE: i64 = 60 * 1_000_000;
/// One hour.
pub(crate) const HOUR: i64 = 60 * MINUTE;
/// One day.
pub(crate) const DAY: i64 = 24 * HOUR;
/// How long a call in doubt may be sent again: the vendor's memory less one hour.
pub(crate) const RESEND_WITHIN: i64 = 23 * HOUR;
/// From when on absence is evidence: longer than the slowest request and the slowest index.
pub(crate) const ABSENT_AFTER: i64 = 2 * MINUTE;

/// That much money.
pub(crate) fn micros(amount: u64) -> MicroUsd {
    MicroUsd::from_micros(amount).unwrap()
}

/// That much time.
pub(crate) fn span(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap())
}

/// That instant.
pub(crate) const fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// What a caller asks for, again and again if need be.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) vendor: &'static str,
    pub(crate) amount: u64,
    pub(crate) is_read: bool,
    pub(crate) idempotency: Option<String>,
}

impl Ask {
    /// A charge under an idempotency key.
    pub(crate) fn charge(amount: u64, key: &str) -> Self {
        Self { vendor: DEDUPLICATES, amount, is_read: false, idempotency: Some(key.to_owned()) }
    }

    /// The request that this becomes as the call with this id.
    fn request(&self, call: CallId) -> Request {
        let mut fingerprint = [u8::from(self.is_read); 32];
        fingerprint[..8].copy_from_slice(&self.amount.to_be_bytes());
        let own_key = || format!("kb-{call}");
        let given = self.idempotency.clone();
        Request {
            vendor: self.vendor.to_owned(),
            method: if self.is_read { Method::Get } else { Method::Post },
            path: "/v1/charges".to_owned(),
            context: None,
            idempotency_key: (!self.is_read).then(|| given.unwrap_or_else(own_key)),
            fingerprint,
            customer: None,
            account: None,
            likeness: None,
        }
    }

    /// Begins it with this key.
    pub(crate) fn begin(&self, call: CallId, key: &Arc<VaultKey>) -> Begin {
        let amount = if self.is_read { 0 } else { self.amount };
        let resend_within = (self.vendor == DEDUPLICATES).then(|| span(RESEND_WITHIN));
        Begin {
            call,
            key: Arc::clone(key),
            request: self.request(call),
            permit: Ok(()),
            quote: Ok(Quote { hold: micros(amount), object: None, asked: Some(asked(amount)) }),
            resend_within,
            tagged: self.amount.is_multiple_of(2),
            contention: Contention::Refuse,
        }
    }
}

/// A price in the vendor's own terms.
pub(crate) fn asked(amount: u64) -> Asked {
    Asked { amount, currency: "usd".to_owned(), rate: None }
}

/// The vendor's view of a begun call.
pub(crate) fn sent(call: CallId, request: &Request, hold: u64) -> Sent {
    Sent {
        call,
        vendor: request.vendor.clone(),
        key: request.idempotency_key.clone(),
        fingerprint: request.fingerprint,
        hold,
        is_read: request.method.is_read(),
    }
}

/// What an issue request asks for.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) once: Option<String>,
    pub(crate) daily: Option<u64>,
    pub(crate) total: Option<u64>,
    pub(crate) per_call: Option<u64>,
    pub(crate) parent: Option<KeyId>,
    pub(crate) lives: i64,
    pub(crate) max_calls: Option<u32>,
    /// The run; one of its own by default.
    pub(crate) label: Option<&'static str>,
}

impl Order {
    /// A key that lives for a week, under these caps.
    pub(crate) const fn capped(daily: Option<u64>, total: Option<u64>) -> Self {
        Self {
            once: None,
            daily,
            total,
            per_call: None,
            parent: None,
            lives: 7 * DAY,
            max_calls: None,
            label: None,
        }
    }

    /// The request's SHA-256, as far as equality goes.
    fn fingerprint(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let numbers = [self.daily, self.total, self.per_call, Some(0)];
        for (chunk, number) in bytes.chunks_mut(8).zip(numbers) {
            chunk.copy_from_slice(&number.unwrap_or(u64::MAX).to_be_bytes());
        }
        bytes
    }

    /// Issues it under these ids.
    pub(crate) fn issue(&self, key: KeyId, budget: BudgetId) -> Command {
        Command::Issue(Box::new(Issue {
            once: self.once.clone().map(|key| IssueBinding { issuer: "ak_1".to_owned(), key }),
            fingerprint: self.fingerprint(),
            key,
            budget,
            token_hash: token_hash(key),
            policy: Policy {
                per_call_usd_cap: self.per_call.map(micros),
                ..Policy::allowing(
                    DEDUPLICATES.to_owned(),
                    vec!["POST /v1/charges".parse().unwrap()],
                )
            },
            label: label(self.label.map_or_else(|| format!("run-{}", budget.number()), Into::into)),
            caps: Caps::new(self.daily.map(micros), self.total.map(micros))
                .unwrap()
                .with_max_calls(self.max_calls),
            parent: self.parent,
            lives: span(self.lives),
            by: Actor::admin(),
        }))
    }
}

/// The name of a run.
pub(crate) fn label(text: impl Into<String>) -> RunLabel {
    RunLabel::try_from(text.into()).unwrap()
}

fn token_hash(key: KeyId) -> TokenHash {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&key.number().to_be_bytes());
    TokenHash::from_bytes(bytes)
}

/// Refreshes a key under this id.
pub(crate) fn refresh(key: KeyId, successor: KeyId, lives: Option<i64>) -> Command {
    Command::Refresh(Refresh {
        key,
        successor,
        token_hash: token_hash(successor),
        lives: lives.map(span),
        by: Actor::admin(),
    })
}

/// Revokes a key.
pub(crate) fn revoke(key: KeyId) -> Command {
    Command::Revoke(Revoke { key, by: Actor::admin() })
}

/// Reports what became of an attempt.
pub(crate) fn finish(
    call: CallId,
    attempt: u32,
    evidence: Evidence,
    sent_at: Option<i64>,
) -> Command {
    let executed = matches!(evidence, Evidence::Executed(_));
    Command::Finish(Box::new(Finish {
        call,
        attempt,
        evidence,
        awaits_bill: false,
        sent_at: sent_at.map(at),
        answer: VendorAnswer {
            status: executed.then_some(200),
            request_id: sent_at.map(|_| format!("req_{attempt}")),
            object_id: executed.then(|| object_id(call)),
        },
        sealed: executed.then(|| sealed(call)),
    }))
}

/// A look-up of this attempt, begun at this time, found nothing.
pub(crate) fn absent(attempt: u32, looked_at: i64) -> Finding {
    Finding::Absent {
        attempt,
        looked_at: at(looked_at),
        absent_after: span(ABSENT_AFTER),
        stands: None,
    }
}

/// Reports what a look-up found, or an operator.
pub(crate) fn conclude(call: CallId, finding: Finding) -> Command {
    let found = matches!(finding, Finding::Found(_));
    Command::Conclude(Box::new(Conclude {
        call,
        finding,
        object_id: found.then(|| object_id(call)),
        status: found.then_some(200),
        by: Actor::look_up(),
        note: format!("{finding:?}"),
        awaits_bill: false,
        sealed: found.then(|| sealed(call)),
    }))
}

/// The vendor's id of what a call made.
fn object_id(call: CallId) -> String {
    format!("ch_{call}")
}

/// A call's sealed answer.
pub(crate) fn sealed(call: CallId) -> Vec<u8> {
    call.number().to_be_bytes().to_vec()
}

/// A refusal by the key's policy.
pub(crate) fn not_permitted() -> Refusal {
    Refusal::EndpointNotAllowed {
        attempted: "POST /v1/payouts".to_owned(),
        allowed: vec!["POST /v1/charges".to_owned()],
    }
}

/// A refusal for want of a price.
pub(crate) fn not_priced() -> Refusal {
    Refusal::CurrencyNotPriced { currency: "xof".to_owned(), why: "there is none".to_owned() }
}
