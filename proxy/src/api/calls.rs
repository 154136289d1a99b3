//! A call as an audit row.

use keybrake_core::{
    call::State,
    ledger::rows::{Call, Verdict},
};
use serde_json::{Value, json};

/// The audit row of a call. It holds no secret and no token.
pub(super) fn row(call: &Call) -> Value {
    let life = call.life();
    let settled = life.and_then(|life| match life.state {
        State::Settled(amount) => Some(amount.to_string()),
        State::Held | State::Released | State::InDoubt => None,
    });
    let (verdict, code, reason, replay_of) = match &call.verdict {
        Verdict::Allowed(_) => ("allowed", None, None, None),
        Verdict::Denied { code, reason } => {
            ("denied", Some(code.as_str()), Some(reason.as_str()), None)
        }
        Verdict::Replayed { of } => ("replayed", None, None, Some(of.to_string())),
    };
    json!({
        "call_id": call.id.to_string(),
        "at": call.at.to_string(),
        "key_id": call.key.to_string(),
        "budget_id": call.budget.to_string(),
        "agent_run_label": call.label.as_str(),
        "vendor": call.request.vendor,
        "method": call.request.method.as_str(),
        "path": call.request.path,
        "context": call.request.context,
        "idempotency_key": call.request.idempotency_key,
        "verdict": verdict,
        "code": code,
        "reason": reason,
        "state": life.map(|life| life.state.name()),
        "held_usd": life.map(|life| life.hold.to_string()),
        "settled_usd": settled,
        "overrun": life.is_some_and(keybrake_core::call::Life::is_overrun),
        "amount": call.asked.as_ref().map(|asked| asked.amount),
        "currency": call.asked.as_ref().map(|asked| asked.currency.as_str()),
        "cap_usage_after_usd": call.cap_usage_after.to_string(),
        "customer_scope": call.request.customer,
        "attempts": call.attempt,
        "vendor_status": call.answer.status,
        "vendor_request_id": call.answer.request_id,
        "vendor_object_id": call.answer.object_id,
        "replay_of": replay_of,
        "sent_at": call.sent_at.map(|at| at.to_string()),
        "finished_at": call.finished_at.map(|at| at.to_string()),
        "note": call.note,
    })
}
