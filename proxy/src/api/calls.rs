//! A call as an audit row.

use keybrake_core::{
    call::State,
    ledger::rows::{Call, Verdict},
    money::MicroUsd,
    report,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::described::{self, CallState, Usd};

/// The audit row of a call. It holds no secret and no token.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(super) struct CallRow {
    pub(super) call_id: String,
    #[schema(format = DateTime)]
    at: String,
    key_id: String,
    budget_id: String,
    agent_run_label: String,
    /// What the caller's context names as `agent`.
    agent: Option<String>,
    vendor: String,
    method: &'static str,
    path: String,
    context: Option<String>,
    idempotency_key: Option<String>,
    #[schema(value_type = described::Verdict)]
    verdict: &'static str,
    /// The code of its refusal.
    code: Option<String>,
    reason: Option<String>,
    /// Where its money stands; null where it moved none.
    #[schema(value_type = Option<CallState>)]
    state: Option<&'static str>,
    /// What was set aside for it.
    #[schema(value_type = Option<Usd>)]
    held_usd: Option<MicroUsd>,
    #[schema(value_type = Option<Usd>)]
    settled_usd: Option<MicroUsd>,
    /// Whether the vendor billed more than it quoted.
    overrun: bool,
    /// What was asked for, in the currency's smallest unit.
    amount: Option<u64>,
    currency: Option<String>,
    /// Dollars for one of the currency's own unit, with the margin, as it was counted; null for
    /// dollars.
    rate: Option<String>,
    /// What of the budget was spent or held after it.
    #[schema(value_type = Usd)]
    cap_usage_after_usd: MicroUsd,
    customer_scope: Option<String>,
    attempts: u32,
    vendor_status: Option<u16>,
    vendor_request_id: Option<String>,
    vendor_object_id: Option<String>,
    /// The call whose stored answer was given.
    replay_of: Option<String>,
    #[schema(format = DateTime)]
    sent_at: Option<String>,
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    note: Option<String>,
}

/// What is told of a call to somebody who knows its idempotency key and no more.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct KnownCall {
    #[schema(value_type = Option<CallState>, required)]
    state: Option<&'static str>,
    #[schema(value_type = Option<Usd>, required)]
    amount_usd: Option<MicroUsd>,
    vendor_object_id: Option<String>,
}

impl From<&Call> for KnownCall {
    fn from(call: &Call) -> Self {
        let life = call.life();
        Self {
            state: life.map(|life| life.state.name()),
            amount_usd: life.map(keybrake_core::call::Life::amount),
            vendor_object_id: call.answer.object_id.clone(),
        }
    }
}

impl From<&Call> for CallRow {
    fn from(call: &Call) -> Self {
        let life = call.life();
        let settled_usd = life.and_then(|life| match life.state {
            State::Settled(amount) => Some(amount),
            State::Held | State::Released | State::InDoubt => None,
        });
        let (verdict, code, reason, replay_of) = match &call.verdict {
            Verdict::Allowed(_) => ("allowed", None, None, None),
            Verdict::Denied { code, reason } => {
                ("denied", Some(code.clone()), Some(reason.clone()), None)
            }
            Verdict::Replayed { of } => ("replayed", None, None, Some(of.to_string())),
        };
        let request = &call.request;
        Self {
            call_id: call.id.to_string(),
            at: call.at.to_string(),
            key_id: call.key.to_string(),
            budget_id: call.budget.to_string(),
            agent_run_label: call.label.as_str().to_owned(),
            agent: request.context.as_deref().and_then(report::agent).map(str::to_owned),
            vendor: request.vendor.clone(),
            method: request.method.as_str(),
            path: request.path.clone(),
            context: request.context.clone(),
            idempotency_key: request.idempotency_key.clone(),
            verdict,
            code,
            reason,
            state: life.map(|life| life.state.name()),
            held_usd: life.map(|life| life.hold),
            settled_usd,
            overrun: life.is_some_and(keybrake_core::call::Life::is_overrun),
            amount: call.asked.as_ref().map(|asked| asked.amount),
            currency: call.asked.as_ref().map(|asked| asked.currency.clone()),
            rate: call.asked.as_ref().and_then(|asked| asked.rate).map(|rate| rate.to_string()),
            cap_usage_after_usd: call.cap_usage_after,
            customer_scope: request.customer.clone(),
            attempts: call.attempt,
            vendor_status: call.answer.status,
            vendor_request_id: call.answer.request_id.clone(),
            vendor_object_id: call.answer.object_id.clone(),
            replay_of,
            sent_at: call.sent_at.map(|at| at.to_string()),
            finished_at: call.finished_at.map(|at| at.to_string()),
            note: call.note.clone(),
        }
    }
}
