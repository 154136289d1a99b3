//! Recording what became of calls that were sent: by their answer, by a look-up, by an operator,
//! or by the death of the process that had sent them.

use std::collections::BTreeMap;

use crate::{
    budget::Corrupt,
    call::{Event, Life, State},
    ids::{BudgetId, CallId},
    ledger::{
        Conclude, Ended, Finding, Finish, Recovered, begin, change_all,
        rows::{Call, Deed, Rows, Verdict},
    },
    time::Timestamp,
};

/// Records the answer of the attempt that is in flight.
pub(super) fn finish(rows: &mut Rows, finish: &Finish, now: Timestamp) -> Result<Ended, Corrupt> {
    let current = rows.calls.get(&finish.call).filter(|call| call.attempt == finish.attempt);
    let Some(life) = current.and_then(Call::life) else {
        return Ok(Ended::Ignored);
    };
    let Some((life, chain)) = transition(rows, finish.call, life, finish.evidence.into(), now)?
    else {
        return Ok(Ended::Ignored);
    };
    let budget = chain.first().map(|own| begin::usage(rows, *own));
    if let Some(call) = rows.calls.get_mut(&finish.call) {
        call.sent_at = finish.sent_at.or(call.sent_at);
        call.finished_at = Some(now);
        call.answer = finish.answer.clone();
        call.cap_usage_after = budget.unwrap_or(call.cap_usage_after);
    }
    Ok(Ended::Recorded { state: life.state.name(), chain })
}

/// Ends a doubt. An object that was found is evidence whichever attempt made it, and however often
/// its caller retries meanwhile; absence counts only where no attempt came after the look-up began.
pub(super) fn conclude(
    rows: &mut Rows,
    found: &Conclude,
    now: Timestamp,
) -> Result<Ended, Corrupt> {
    let Some(call) = rows.calls.get(&found.call) else {
        return Ok(Ended::Ignored);
    };
    let proves = match found.finding {
        Finding::Found(_) | Finding::ResolvedSettled(_) | Finding::ResolvedReleased => true,
        Finding::Absent { attempt, looked_at, absent_after } => {
            attempt == call.attempt && looked_at.since(call.begun_at) > absent_after
        }
    };
    let Some(life) = call.life().filter(|_| proves) else {
        return Ok(Ended::Ignored);
    };
    let Some((life, chain)) = transition(rows, found.call, life, found.finding.into(), now)? else {
        return Ok(Ended::Ignored);
    };
    let usage = chain.first().map(|own| begin::usage(rows, *own));
    if let Some(call) = rows.calls.get_mut(&found.call) {
        call.finished_at = Some(now);
        call.answer.status = found.status.or(call.answer.status);
        call.answer.object_id = found.object_id.clone().or(call.answer.object_id.take());
        call.note = Some(found.note.clone());
        call.cap_usage_after = usage.unwrap_or(call.cap_usage_after);
    }
    if matches!(found.finding, Finding::ResolvedSettled(_) | Finding::ResolvedReleased) {
        rows.record(&found.by, Deed::Resolved, found.call.to_string(), now);
    }
    Ok(Ended::Recorded { state: life.state.name(), chain })
}

/// Puts every held call in doubt. A budget whose amounts do not add up keeps its own calls from
/// that, and no other's.
pub(super) fn recover(rows: &mut Rows, now: Timestamp) -> Recovered {
    let held = |life: &Life| life.state == State::Held;
    let lost: BTreeMap<_, _> =
        rows.calls.values().filter_map(|call| Some((call.id, call.life().filter(held)?))).collect();
    let mut recovered = Recovered { in_doubt: 0, stay_held: BTreeMap::new() };
    for (call, life) in lost {
        match transition(rows, call, life, Event::Lost, now) {
            Ok(after) => {
                let doubted = after.is_some_and(|(life, _)| life.state == State::InDoubt);
                recovered.in_doubt += usize::from(doubted);
            }
            Err(corrupt) => {
                recovered.stay_held.insert(call, corrupt);
            }
        }
    }
    recovered
}

/// Moves a call to its next state, and its money along its whole chain. `None` where the event
/// can't happen to it: a late or repeated report changes nothing.
fn transition(
    rows: &mut Rows,
    id: CallId,
    life: Life,
    event: Event,
    now: Timestamp,
) -> Result<Option<(Life, Vec<BudgetId>)>, Corrupt> {
    let Some((call, (life, money))) = rows.calls.get(&id).zip(life.step(event).ok()) else {
        return Ok(None);
    };
    let (begun_at, own, binding) = (call.begun_at, call.budget, call.binding());
    let chain = rows.chain(own).ok_or(Corrupt(own))?;
    change_all(rows, &chain, |budget| {
        budget.roll(now);
        money.apply(budget, life.hold, begun_at)
    })?;
    if let Some(binding) = binding.filter(|_| life.state == State::Released) {
        rows.bindings.remove(&binding);
    }
    if let Some(call) = rows.calls.get_mut(&id) {
        call.verdict = Verdict::Allowed(life);
    }
    rows.changes.calls.insert(id);
    Ok(Some((life, chain)))
}
