//! Stopping whole runs by their label, and letting them issue again.

use std::{sync::Arc, time::Instant};

use axum::{body::Bytes, extract::State, http::HeaderMap};
use keybrake_core::{
    access::Action,
    budget::Budget,
    ledger::{Command, Lift, Reply, RevokeRuns, Revoked},
    money::MicroUsd,
    policy::{RunLabel, Runs},
    refusal::Refusal,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer, InQuery, Page, allowed, answer,
    described::{Label, Usd},
    invalid,
    openapi::Refused,
    read_json, shown,
};
use crate::app::App;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeQuery {
    /// The run with this label. Either this or `label_prefix`.
    #[param(value_type = Option<Label>)]
    label: Option<RunLabel>,
    /// All runs whose label begins so.
    label_prefix: Option<String>,
    /// Says that an empty `label_prefix` is meant: every run.
    all: Option<bool>,
}

/// Which runs: either member, in the words of the revocation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LiftRequest {
    #[schema(value_type = Option<Label>)]
    label: Option<RunLabel>,
    label_prefix: Option<String>,
}

/// A revocation that was lifted.
#[derive(Serialize, ToSchema)]
struct LiftedRuns {
    /// The label or its beginning.
    lifted: String,
    #[schema(format = DateTime)]
    lifted_at: String,
}

fn runs(label: Option<RunLabel>, label_prefix: Option<String>) -> Result<Runs, Refusal> {
    match (label, label_prefix) {
        (Some(label), None) => Ok(Runs::Labelled(label)),
        (None, Some(prefix)) => Ok(Runs::Prefixed(prefix)),
        (Some(_), Some(_)) | (None, None) => {
            Err(invalid("either label or label_prefix says which runs"))
        }
    }
}

/// What a revocation of runs stopped.
#[derive(Serialize, ToSchema)]
struct RevokedRuns {
    #[serde(flatten)]
    runs: ShownRuns,
    /// How many budgets were stopped.
    budgets: usize,
    #[schema(value_type = Usd)]
    spent_usd: MicroUsd,
    #[schema(value_type = Usd)]
    held_usd: MicroUsd,
    #[schema(value_type = Usd)]
    in_doubt_usd: MicroUsd,
    /// Calls that were sent and are not answered.
    in_flight: Vec<String>,
    /// Calls of which it is not known whether they happened.
    in_doubt: Vec<String>,
}

/// Runs that issue nothing.
#[derive(Serialize, ToSchema)]
struct ShownRuns {
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label_prefix: Option<String>,
    #[schema(format = DateTime)]
    revoked_at: String,
}

impl ShownRuns {
    fn new(runs: &Runs, revoked_at: String) -> Self {
        let text = runs.text().to_owned();
        match runs {
            Runs::Labelled(_) => Self { label: Some(text), label_prefix: None, revoked_at },
            Runs::Prefixed(_) => Self { label: None, label_prefix: Some(text), revoked_at },
        }
    }
}

/// Revokes runs
///
/// All keys of a label or of a prefix, which then issue nothing. Answers when nothing more will be
/// sent for them.
#[utoipa::path(
    delete, path = "/runs", operation_id = "revoke_runs",
    tag = "runs", params(RevokeQuery),
    responses((status = 200, description = "What was stopped", body = RevokedRuns), Refused),
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: InQuery<RevokeQuery>,
) -> Answer {
    let grant = allowed(&app, &headers, Action::Revoke).await?;
    let query = query.read()?;
    let runs = runs(query.label, query.label_prefix)?;
    if runs.text().is_empty() {
        grant.permit(Action::LiftRun)?;
        if query.all != Some(true) {
            return Err(
                invalid("an empty label_prefix stops every run: say so with all=true").into()
            );
        }
    }
    grant.permit_runs(&runs)?;
    let command = RevokeRuns { runs: runs.clone(), by: grant.actor().clone() };
    let reply = app.decide(Command::RevokeRuns(Box::new(command))).await?.reply;
    let Reply::Revoked(revoked) = reply else {
        return Err(Refusal::LedgerUnavailable.into());
    };
    let Revoked { at, budgets, in_flight, in_doubt } = revoked?;
    let ids: Vec<_> = budgets.iter().map(|budget| budget.id).collect();
    app.in_flight.wait_sent(&ids, Instant::now()).await;
    tracing::info!(budgets = ids.len(), in_flight = in_flight.len(), "runs revoked");
    let sum = |amount: fn(&Budget) -> MicroUsd| {
        let amounts = budgets.iter().map(amount);
        amounts.fold(MicroUsd::ZERO, |sum, amount| sum.checked_add(amount).unwrap_or(sum))
    };
    Ok(answer(
        200,
        RevokedRuns {
            runs: ShownRuns::new(&runs, at.to_string()),
            budgets: budgets.len(),
            spent_usd: sum(|budget| budget.total_spent),
            held_usd: sum(|budget| budget.held),
            in_doubt_usd: sum(|budget| budget.in_doubt),
            in_flight: shown(&in_flight),
            in_doubt: shown(&in_doubt),
        },
    ))
}

/// Lists the runs that issue nothing
#[utoipa::path(
    get, path = "/runs/revoked", operation_id = "list_revoked_runs",
    tag = "runs",
    responses((status = 200, description = "All of them", body = Page<ShownRuns>), Refused),
)]
pub(super) async fn list(State(app): State<Arc<App>>, headers: HeaderMap) -> Answer {
    let grant = allowed(&app, &headers, Action::ReadKeys).await?;
    let found = app.read(crate::store::reader::Readers::revoked_runs).await?;
    let within = found.iter().filter(|(runs, _)| grant.permit_runs(runs).is_ok());
    let data = within.map(|(runs, at)| ShownRuns::new(runs, at.to_string())).collect();
    Ok(answer(200, Page { data, next_cursor: None }))
}

/// Lets revoked runs issue again
///
/// Their old keys stay revoked.
#[utoipa::path(
    post, path = "/runs/lift", operation_id = "lift_runs",
    tag = "runs", request_body = LiftRequest,
    responses((status = 200, description = "It is lifted", body = LiftedRuns), Refused),
)]
pub(super) async fn lift(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Answer {
    let grant = allowed(&app, &headers, Action::LiftRun).await?;
    let request: LiftRequest = read_json(&body)?;
    let runs = runs(request.label, request.label_prefix)?;
    let command = Lift { runs: runs.clone(), by: grant.actor().clone() };
    let Reply::Lifted(was_revoked) = app.decide(Command::Lift(Box::new(command))).await?.reply
    else {
        return Err(Refusal::LedgerUnavailable.into());
    };
    if !was_revoked {
        let what =
            format!("revocation of {:?}: it is lifted in the words it was made in", runs.text());
        return Err(Refusal::NotFound { what }.into());
    }
    let lifted_at = app.clock.now().to_string();
    Ok(answer(200, LiftedRuns { lifted: runs.text().to_owned(), lifted_at }))
}
