//! Deciding on a call, in the one order of checks: revoked, endpoint and parameters, idempotency,
//! expired, price, per-call cap, budgets from the key's own to the root.

use crate::{
    budget::{Corrupt, Room},
    call::{Event, Life, State},
    ids::{BudgetId, CallId},
    ledger::{
        Begin, Begun, Contention, HeldCall, Peek, Quote,
        budgets::change_all,
        rows::{Asked, Binding, Call, Object, Rows, VaultKey, VendorAnswer, Verdict},
    },
    money::MicroUsd,
    refusal::{Prior, Refusal},
    time::Timestamp,
};

/// Whether a call would come as far as its price.
pub(super) fn needs_quote(rows: &Rows, peek: &Peek, now: Timestamp) -> bool {
    let revoked = rows.revoked_at(&peek.key.chain).is_some();
    !revoked && rows.bound(peek.binding.as_ref()).is_none() && now < peek.key.expires_at
}

/// Decides on a call.
pub(super) fn begin(rows: &mut Rows, begin: &Begin, now: Timestamp) -> Result<Begun, Corrupt> {
    change_all(rows, &begin.key.chain, |budget| {
        budget.roll(now);
        Ok(())
    })?;
    let binding = binding(begin);
    let prior = rows.bound(binding.as_ref()).cloned();
    match check(rows, begin, prior.as_ref(), now) {
        Ok(Passed::Resend(prior)) => resend(rows, begin, prior, now),
        Ok(Passed::Replay(prior)) => Ok(replay(rows, begin, &prior, now)),
        Ok(Passed::New(quote)) => match room(rows, &begin.key, &quote)? {
            Ok(()) => hold(rows, begin, quote, now),
            Err(Refusal::CapContended { budget }) if begin.contention == Contention::Wait => {
                Ok(Begun::Contended { budget })
            }
            Err(refusal) => Ok(deny(rows, begin, refusal, now)),
        },
        Ok(Passed::TakesTurns { budget }) if begin.contention == Contention::Wait => {
            Ok(Begun::Contended { budget })
        }
        Ok(Passed::TakesTurns { .. }) => Ok(deny(rows, begin, Refusal::CallInProgress, now)),
        Err(refusal) => Ok(deny(rows, begin, refusal, now)),
    }
}

fn binding(begin: &Begin) -> Option<Binding> {
    let key = begin.request.idempotency_key.clone()?;
    Some(Binding { vendor: begin.request.vendor.clone(), key })
}

/// What a call is that passed all checks before the budgets'.
enum Passed {
    New(Quote),
    /// It is new, but another call about the same object has not ended. What that one does to the
    /// object decides what this one may do.
    TakesTurns {
        budget: BudgetId,
    },
    Replay(Call),
    Resend(Call),
}

fn check(
    rows: &Rows,
    begin: &Begin,
    prior: Option<&Call>,
    now: Timestamp,
) -> Result<Passed, Refusal> {
    let key = &begin.key;
    if let Some(at) = rows.revoked_at(&key.chain) {
        let same = |prior: &&Call| {
            Some(prior.budget) == key.budget()
                && prior.request.fingerprint == begin.request.fingerprint
        };
        return Err(Refusal::KeyRevoked {
            at,
            prior: prior.filter(same).and_then(report).map(Box::new),
        });
    }
    begin.permit.clone()?;
    if let Some(prior) = prior {
        return check_prior(rows, begin, prior, now);
    }
    if now >= key.expires_at {
        return Err(Refusal::KeyExpired { at: key.expires_at });
    }
    let mut quote = begin.quote.clone()?;
    if let Some(object) = quote.object.clone() {
        let object = Object { vendor: begin.request.vendor.clone(), id: object };
        if let Some(open) = rows.parts(&object, begin.call).find(|part| part.is_open()) {
            return Ok(Passed::TakesTurns { budget: open.budget });
        }
        quote.hold = quote.hold.less(rows.stands_for(&object, begin.call));
    }
    match key.policy.per_call_usd_cap {
        Some(cap) if quote.hold > cap => {
            Err(Refusal::PerCallCapExceeded { cap, asked: quote.hold })
        }
        Some(_) | None => Ok(Passed::New(quote)),
    }
}

/// What an earlier call under the same idempotency key means for this one.
fn check_prior(
    rows: &Rows,
    begin: &Begin,
    prior: &Call,
    now: Timestamp,
) -> Result<Passed, Refusal> {
    if prior.request.fingerprint != begin.request.fingerprint {
        return Err(Refusal::IdempotencyKeyReused);
    }
    match prior.life().map(|life| life.state) {
        Some(State::Settled(_)) => Ok(Passed::Replay(prior.clone())),
        Some(State::InDoubt) if may_resend(rows, begin, prior, now) => {
            Ok(Passed::Resend(prior.clone()))
        }
        Some(State::InDoubt) => {
            Err(Refusal::OutcomeUnknown { retry_helps: begin.resend_within.is_some() })
        }
        Some(State::Held | State::Released) | None => Err(Refusal::CallInProgress),
    }
}

/// Whether a call in doubt may be sent again: by an unexpired key, while the vendor surely still
/// knows the idempotency key, for a budget that is not revoked, and within what its caps allow now.
fn may_resend(rows: &Rows, begin: &Begin, prior: &Call, now: Timestamp) -> bool {
    let known = begin.resend_within.is_some_and(|window| now < prior.at.after(window));
    let Some((chain, life)) = rows.chain(prior.budget).zip(prior.life()) else {
        return false;
    };
    let fits = |id: &BudgetId| {
        let mut budget = rows.budgets.get(id).cloned()?;
        budget.roll(now);
        budget.unspend(life.hold, prior.begun_at).ok()?;
        (budget.room(life.hold) == Room::Fits).then_some(())
    };
    known
        && now < begin.key.expires_at
        && rows.revoked_at(&chain).is_none()
        && chain.iter().all(|id| fits(id).is_some())
}

/// Whether the price fits every budget. What is spent anywhere in the chain counts before what is
/// only held somewhere.
fn room(rows: &Rows, key: &VaultKey, quote: &Quote) -> Result<Result<(), Refusal>, Corrupt> {
    let mut contended = None;
    for id in &key.chain {
        let budget = rows.budgets.get(id).ok_or(Corrupt(*id))?;
        if let Some(max_calls) = budget.calls_exhausted() {
            return Ok(Err(Refusal::CallsExhausted { budget: *id, max_calls }));
        }
        match budget.room(quote.hold) {
            Room::Fits => {}
            Room::Contended => contended = contended.or(Some(*id)),
            Room::Exhausted { kind, cap, spent } => {
                let asked = quote.hold;
                return Ok(Err(Refusal::CapExhausted { budget: *id, kind, cap, spent, asked }));
            }
        }
    }
    Ok(contended.map_or(Ok(()), |budget| Err(Refusal::CapContended { budget })))
}

fn hold(rows: &mut Rows, begin: &Begin, quote: Quote, now: Timestamp) -> Result<Begun, Corrupt> {
    change_all(rows, &begin.key.chain, |budget| {
        budget.count_call();
        budget.hold(quote.hold)
    })?;
    // A read that costs nothing can be in no doubt.
    let is_read = begin.request.method.is_read() && quote.hold == MicroUsd::ZERO;
    let life = Life::held(quote.hold, is_read);
    let Quote { hold, object, asked } = quote;
    record(rows, begin, Verdict::Allowed(life), asked.clone(), object.clone(), now);
    Ok(Begun::Held(HeldCall {
        call: begin.call,
        attempt: 1,
        hold,
        at_most: at_most(rows, &begin.request.vendor, object.as_deref(), begin.call, hold),
        object,
        asked,
        chain: begin.key.chain.clone(),
        tag: begin.tagged.then(|| begin.key.label.clone()),
        remaining: remaining(rows, &begin.key.chain),
    }))
}

fn resend(
    rows: &mut Rows,
    begin: &Begin,
    mut prior: Call,
    now: Timestamp,
) -> Result<Begun, Corrupt> {
    let (chain, life) = rows.chain(prior.budget).zip(prior.life()).ok_or(Corrupt(prior.budget))?;
    let (life, money) = life.step(Event::Resent).map_err(|_| Corrupt(prior.budget))?;
    change_all(rows, &chain, |budget| {
        budget.roll(now);
        money.apply(budget, life.hold, prior.begun_at)
    })?;
    prior.verdict = Verdict::Allowed(life);
    prior.attempt = prior.attempt.saturating_add(1);
    prior.begun_at = now;
    let held = HeldCall {
        call: prior.id,
        attempt: prior.attempt,
        hold: life.hold,
        at_most: at_most(rows, &prior.request.vendor, prior.object.as_deref(), prior.id, life.hold),
        object: prior.object.clone(),
        asked: prior.asked.clone(),
        tag: prior.tagged.then(|| prior.label.clone()),
        remaining: remaining(rows, &begin.key.chain),
        chain,
    };
    rows.changes.calls.insert(prior.id);
    rows.load_call(prior);
    Ok(Begun::Held(held))
}

/// What a call holds, together with what earlier calls about the same object count for.
fn at_most(
    rows: &Rows,
    vendor: &str,
    object: Option<&str>,
    call: CallId,
    hold: MicroUsd,
) -> MicroUsd {
    let Some(id) = object else { return hold };
    let object = Object { vendor: vendor.to_owned(), id: id.to_owned() };
    rows.stands_for(&object, call).saturating_add(hold)
}

fn replay(rows: &mut Rows, begin: &Begin, prior: &Call, now: Timestamp) -> Begun {
    let asked = prior.asked.clone();
    record(rows, begin, Verdict::Replayed { of: prior.id }, asked, None, now);
    Begun::Replay {
        call: begin.call,
        of: prior.id,
        object_id: prior.answer.object_id.clone(),
        remaining: remaining(rows, &begin.key.chain),
    }
}

fn deny(rows: &mut Rows, begin: &Begin, refusal: Refusal, now: Timestamp) -> Begun {
    let verdict = Verdict::Denied { code: refusal.code().to_owned(), reason: refusal.to_string() };
    let asked = begin.quote.as_ref().ok().and_then(|quote| quote.asked.clone());
    record(rows, begin, verdict, asked, None, now);
    Begun::Denied { call: begin.call, refusal, remaining: remaining(rows, &begin.key.chain) }
}

/// Writes the call's row. Only money held binds its idempotency key.
fn record(
    rows: &mut Rows,
    begin: &Begin,
    verdict: Verdict,
    asked: Option<Asked>,
    object: Option<String>,
    now: Timestamp,
) {
    let Some(budget) = begin.key.budget() else {
        return;
    };
    let allowed = matches!(verdict, Verdict::Allowed(_));
    rows.changes.new_calls.insert(begin.call);
    rows.load_call(Call {
        id: begin.call,
        at: now,
        key: begin.key.id,
        budget,
        label: begin.key.label.clone(),
        request: begin.request.clone(),
        verdict,
        asked,
        object,
        awaits_bill: false,
        tagged: allowed && begin.tagged,
        attempt: u32::from(allowed),
        begun_at: now,
        sent_at: None,
        finished_at: (!allowed).then_some(now),
        answer: VendorAnswer::default(),
        cap_usage_after: usage(rows, budget),
        note: None,
    });
}

/// What an earlier call did, for those who may know that but not its answer.
fn report(prior: &Call) -> Option<Prior> {
    let life = prior.life()?;
    Some(Prior {
        call_id: prior.id,
        state: life.state.name(),
        amount: life.amount(),
        vendor_object_id: prior.answer.object_id.clone(),
    })
}

/// What is left along a chain: of its tightest cap.
fn remaining(rows: &Rows, chain: &[BudgetId]) -> MicroUsd {
    let left = |id: &BudgetId| rows.budgets.get(id).map(crate::budget::Budget::remaining);
    chain.iter().filter_map(left).min().unwrap_or(MicroUsd::ZERO)
}

/// What is spent and held of a budget.
pub(super) fn usage(rows: &Rows, budget: BudgetId) -> MicroUsd {
    let budget = rows.budgets.get(&budget);
    budget.and_then(|b| b.total_spent.checked_add(b.held)).unwrap_or(MicroUsd::ZERO)
}
