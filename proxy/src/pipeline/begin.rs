//! Is the money there? Has the ledger decide on the call and hold its money durably.

use std::{sync::Arc, time::Instant};

use axum::body::Body;
use http::Response;
use keybrake_core::{
    ids::CallId,
    ledger::{
        Begin, Begun, Command, Contention, HeldCall, Reply,
        rows::{Request, VaultKey},
    },
    refusal::Refusal,
};
use std::time::Duration;

use super::{
    answer::{self, Ours},
    permit::Target,
    quote::Quoted,
};
use crate::{
    app::App,
    gate::{Gate, Ticket},
};

/// How long before the vendor forgets an idempotency key a re-send is no longer tried.
const FORGETS_EARLY: Duration = Duration::from_hours(1);

/// A call that was decided.
pub(super) enum Decision {
    /// Send it.
    Held(Box<Held>),
    /// It has its answer.
    Answered(Response<Body>),
}

/// A call whose money is held, durably.
#[must_use]
pub(super) struct Held {
    pub(super) call: HeldCall,
    pub(super) target: Target,
    pub(super) request: Request,
    pub(super) key: Arc<VaultKey>,
    pub(super) gate: Arc<Gate>,
}

/// Has the ledger decide. Where only holds stand in the way, waits for them, within bounds.
pub(super) async fn begin(app: &App, quoted: Quoted, call: CallId, ticket: &Ticket) -> Decision {
    let Quoted { key, request, target, quote } = quoted;
    let idempotency =
        target.as_ref().ok().and_then(|target| target.vendor.definition.idempotency.as_ref());
    let command = Begin {
        call,
        request: request.clone(),
        permit: target.as_ref().map(|_| ()).map_err(Clone::clone),
        quote,
        resend_within: idempotency
            .map(|idempotency| idempotency.window.saturating_sub(FORGETS_EARLY)),
        tagged: target.as_ref().is_ok_and(Target::is_tagged),
        contention: Contention::Wait,
        key: Arc::clone(&key),
    };
    let (begun, before_commit) = match decide(app, command).await {
        Ok(decided) => decided,
        Err(refusal) => return Decision::Answered(answer::refuse(&refusal, Some(call))),
    };
    let expires_at = key.expires_at;
    let ours = |call, remaining| Ours { call, remaining, expires_at };
    match (begun, target) {
        (Begun::Held(held), Ok(target)) => {
            let gate = Arc::new(Gate::new(before_commit, app.clock.clone()));
            ticket.sends(held.chain.clone(), Arc::clone(&gate));
            Decision::Held(Box::new(Held { call: held, target, request, gate, key }))
        }
        (Begun::Replay { call, of, object_id, remaining }, Ok(target)) => Decision::Answered(
            answer::replay(app, &target.vendor, of, object_id, &ours(call, remaining)).await,
        ),
        (Begun::Denied { call, refusal, remaining }, _) => {
            tracing::info!(%call, key = %key.id, code = refusal.code(), "denied");
            Decision::Answered(answer::refuse_ours(&refusal, &ours(call, remaining)))
        }
        // A call that is not permitted is always denied, and one that waits is asked again.
        (Begun::Held(_) | Begun::Replay { .. } | Begun::Contended { .. }, _) => {
            Decision::Answered(answer::refuse(&Refusal::LedgerUnavailable, Some(call)))
        }
    }
}

/// Asks the ledger, and while only holds stand in the way asks again whenever one ends.
async fn decide(app: &App, mut command: Begin) -> Result<(Begun, Instant), Refusal> {
    let deadline = tokio::time::Instant::now() + app.contention_wait;
    let mut place = None;
    loop {
        let asked = Instant::now();
        let decided = app.decide(Command::Begin(Box::new(command.clone()))).await?;
        app.metrics.begun(asked.elapsed());
        let Reply::Begun(begun) = decided.reply else {
            return Err(Refusal::LedgerUnavailable);
        };
        let Begun::Contended { budget } = *begun else {
            return Ok((*begun, decided.before_commit));
        };
        // The place is taken before the question is put again, so that no end of a hold is missed.
        let Some(waiting) = place.take() else {
            place = Some(app.waiters.enter(budget));
            continue;
        };
        let woken = tokio::time::timeout_at(deadline, waiting.woken()).await;
        if woken.is_err() {
            command.contention = Contention::Refuse;
        }
        place = Some(waiting);
    }
}
