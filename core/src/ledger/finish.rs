//! Recording what became of calls that were sent: by their answer, by a look-up, by an operator,
//! or by the death of the process that had sent them.

use std::collections::BTreeMap;

use crate::{
    budget::Corrupt,
    call::{Effect, Event, Evidence, Life, MoneyMove, State},
    ids::{BudgetId, CallId},
    ledger::{
        Conclude, Ended, Finding, Finish, Recovered, begin,
        budgets::Changed,
        rows::{Call, Deed, Object, Rows, Verdict},
    },
    money::MicroUsd,
    time::Timestamp,
};

/// What is known to have happened to a call.
#[derive(Clone, Copy)]
enum Known {
    /// It was executed, to this effect.
    Executed(Effect),
    /// No trace of it was found, while the object that it is about stands for this much.
    NoTrace { stands: MicroUsd },
    /// This, and it concerns no other call.
    Only(Event),
}

/// Records the answer of the attempt that is in flight.
pub(super) fn finish(rows: &mut Rows, finish: &Finish, now: Timestamp) -> Result<Ended, Corrupt> {
    let in_flight = |call: &&Call| call.attempt == finish.attempt && is(call, State::Held);
    let Some(call) = rows.calls.get(&finish.call).filter(in_flight) else {
        return Ok(Ended::Ignored);
    };
    let known = match finish.evidence {
        Evidence::Executed(effect) => Known::Executed(effect),
        Evidence::NotExecuted => Known::Only(Event::NotExecuted),
        Evidence::Unknown => Known::Only(Event::Unknown),
    };
    let object = object_of(call, known, finish.answer.object_id.as_deref());
    let ended = end(rows, finish.call, object, known, now)?;
    if let Some(call) = rows.calls.get_mut(&finish.call) {
        call.sent_at = finish.sent_at.or(call.sent_at);
        call.answer = finish.answer.clone();
        call.awaits_bill = finish.awaits_bill && matches!(known, Known::Executed(_));
    }
    Ok(ended)
}

/// Ends a doubt or corrects a price. An object that was found is evidence whichever attempt made
/// it, and however often its caller retries meanwhile; absence counts only where no attempt came
/// after the look-up began.
pub(super) fn conclude(
    rows: &mut Rows,
    found: &Conclude,
    now: Timestamp,
) -> Result<Ended, Corrupt> {
    let found_call = rows.calls.get(&found.call);
    let Some((call, life)) = found_call.and_then(|call| Some((call, call.life()?))) else {
        return Ok(Ended::Ignored);
    };
    let in_doubt = is(call, State::InDoubt);
    let (known, proves) = match found.finding {
        Finding::Found(effect) => (Some(Known::Executed(effect)), in_doubt),
        Finding::Absent { attempt, looked_at, absent_after, stands } => {
            let last = attempt == call.attempt && looked_at.since(call.begun_at) > absent_after;
            let absent = Known::Only(Event::Absent);
            (Some(stands.map_or(absent, |stands| Known::NoTrace { stands })), in_doubt && last)
        }
        Finding::NotFoundOut => (None, in_doubt),
        Finding::Billed(amount) => (Some(Known::Only(Event::Restated(amount))), call.awaits_bill),
        Finding::NotBilled => (None, call.awaits_bill),
        Finding::ResolvedSettled(amount) => {
            (Some(Known::Only(Event::ResolvedSettled(amount))), in_doubt)
        }
        Finding::ResolvedReleased => (Some(Known::Only(Event::ResolvedReleased)), in_doubt),
    };
    if !proves {
        return Ok(Ended::Ignored);
    }
    let object = known.and_then(|known| object_of(call, known, found.object_id.as_deref()));
    if object.as_ref().is_some_and(|object| rows.has_open_part(object, call.id)) {
        // What the object stands for now may be that call's doing: first it has to end.
        return Ok(Ended::Ignored);
    }
    let ended = match known {
        Some(known) => end(rows, found.call, object, known, now)?,
        None => Ended::Recorded { state: life.state.name(), chain: Vec::new() },
    };
    if let Some(call) = rows.calls.get_mut(&found.call) {
        call.answer.status = found.status.or(call.answer.status);
        call.answer.object_id = found.object_id.clone().or(call.answer.object_id.take());
        call.note = Some(found.note.clone());
        call.awaits_bill = found.awaits_bill;
    }
    if !rows.changes.calls.contains(&found.call) {
        rows.changes.amended.insert(found.call);
    }
    if matches!(found.finding, Finding::ResolvedSettled(_) | Finding::ResolvedReleased) {
        rows.record(&found.by, Deed::Resolved, found.call.to_string(), now);
    }
    Ok(ended)
}

/// Puts every held call in doubt. A budget whose amounts do not add up keeps its own calls from
/// that, and no other's.
pub(super) fn recover(rows: &mut Rows, now: Timestamp) -> Recovered {
    let held = rows.calls.values().filter(|call| is(call, State::Held));
    let lost: Vec<CallId> = held.map(|call| call.id).collect();
    let mut recovered = Recovered { in_doubt: 0, stay_held: BTreeMap::new() };
    for call in lost {
        match end(rows, call, None, Known::Only(Event::Lost), now) {
            Ok(_) => {
                let doubted = rows.calls.get(&call).is_some_and(|call| is(call, State::InDoubt));
                recovered.in_doubt += usize::from(doubted);
            }
            Err(corrupt) => {
                recovered.stay_held.insert(call, corrupt);
            }
        }
    }
    recovered
}

fn is(call: &Call, state: State) -> bool {
    call.life().is_some_and(|life| life.state == state)
}

/// The object in which a call has a part: that it is about, or that it is now known to have made.
fn object_of(call: &Call, known: Known, made: Option<&str>) -> Option<Object> {
    let made = match known {
        Known::Executed(Effect::Stands(_)) => made,
        Known::Executed(Effect::Moved(_) | Effect::Leaves(_))
        | Known::NoTrace { .. }
        | Known::Only(_) => None,
    };
    let id = call.object.as_deref().or(made)?;
    Some(Object { vendor: call.request.vendor.clone(), id: id.to_owned() })
}

/// What happens to one call's money.
struct Step {
    call: CallId,
    budget: BudgetId,
    begun_at: Timestamp,
    life: Life,
    money: MoneyMove,
}

impl Step {
    fn of(call: &Call, event: Event) -> Option<Self> {
        let (life, money) = call.life()?.step(event).ok()?;
        Some(Self { call: call.id, budget: call.budget, begun_at: call.begun_at, life, money })
    }
}

/// Moves a call to its next state and its money along its whole chain, and gives back what other
/// calls committed and the object no longer stands for: all of that, or nothing. A late or
/// repeated report changes nothing.
fn end(
    rows: &mut Rows,
    id: CallId,
    object: Option<Object>,
    known: Known,
    now: Timestamp,
) -> Result<Ended, Corrupt> {
    let Some(call) = rows.calls.get(&id) else {
        return Ok(Ended::Ignored);
    };
    let others = object.as_ref().map_or(MicroUsd::ZERO, |object| rows.stands_for(object, id));
    let (event, gives_back) = event(call, known, others);
    // What says that a call *made* an object may be older than what later calls did to it.
    let gives_back = if call.object.is_some() { gives_back } else { MicroUsd::ZERO };
    let Some(step) = Step::of(call, event) else {
        return Ok(Ended::Ignored);
    };
    let state = step.life.state.name();
    let mut steps = vec![step];
    if let Some(object) = &object {
        steps.extend(give_back(rows, object, id, gives_back));
    }
    let mut changed = Changed::default();
    for step in &steps {
        let chain = rows.chain(step.budget).ok_or(Corrupt(step.budget))?;
        changed.along(rows, &chain, |budget| {
            budget.roll(now);
            step.money.apply(budget, step.life.hold, step.begun_at)
        })?;
    }
    let chain = changed.commit(rows);
    for step in &steps {
        take(rows, step, id);
    }
    let usage = rows.calls.get(&id).map(|call| begin::usage(rows, call.budget));
    if let Some(mut call) = rows.calls.remove(&id) {
        if !matches!(event, Event::Restated(_)) {
            call.finished_at = Some(now);
        }
        call.cap_usage_after = usage.unwrap_or(call.cap_usage_after);
        call.object = object.map(|object| object.id).or(call.object);
        rows.load_call(call);
    }
    Ok(Ended::Recorded { state, chain })
}

/// What happens to a call itself, and how much of what others count for goes back by it.
fn event(call: &Call, known: Known, others: MicroUsd) -> (Event, MicroUsd) {
    let executed =
        |own| if is(call, State::InDoubt) { Event::Found(own) } else { Event::Executed(own) };
    match known {
        Known::Executed(effect) => {
            let (own, gives_back) = effect.shares(others);
            (executed(own), gives_back)
        }
        Known::NoTrace { stands } => {
            let (own, gives_back) = Effect::Stands(stands).shares(others);
            // What is more than it can have done was done by somebody else.
            let own = call.life().map_or(own, |life| own.min(life.hold));
            let event = if own > MicroUsd::ZERO { Event::Found(own) } else { Event::Absent };
            (event, gives_back)
        }
        Known::Only(event) => (event, MicroUsd::ZERO),
    }
}

/// Gives back an amount of what other calls count for in an object, from the newest on: each to
/// the budget that it came from.
fn give_back(rows: &Rows, object: &Object, but: CallId, amount: MicroUsd) -> Vec<Step> {
    let mut left = amount;
    let mut steps = Vec::new();
    for part in rows.parts(object, but).rev() {
        let settled = part.settled();
        let goes = settled.min(left);
        if goes > MicroUsd::ZERO {
            left = left.less(goes);
            steps.extend(Step::of(part, Event::Restated(settled.less(goes))));
        }
    }
    steps
}

/// Writes a step into its call's row.
fn take(rows: &mut Rows, step: &Step, by: CallId) {
    let Some(call) = rows.calls.get_mut(&step.call) else {
        return;
    };
    let binding = call.binding();
    call.verdict = Verdict::Allowed(step.life);
    if let MoneyMove::Respent { from, to } = step.money {
        if step.call != by {
            call.note = Some(format!("{} of {from} USD went back by {by}", from.less(to)));
        }
        rows.changes.amended.insert(step.call);
    } else {
        rows.changes.calls.insert(step.call);
    }
    if let Some(binding) = binding.filter(|_| step.life.state == State::Released) {
        rows.bindings.remove(&binding);
    }
}
