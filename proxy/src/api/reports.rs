//! What runs, agents and vendors cost, and which runs stand out.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::HeaderMap};
use keybrake_core::{
    money::MicroUsd,
    refusal::Refusal,
    report::{self, Agents, Figures, Reason, RunFigures},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer, InQuery, Page, answer,
    audit::{auditor, instant},
    described::{ReasonCode, Usd},
    invalid,
    openapi::Refused,
    page_size,
};
use crate::{
    app::App,
    store::{
        StoreError,
        reader::{CallFilter, Readers},
        reports::{AgentFigures, Part, VendorFigures},
    },
};

/// Over which time runs are compared, where the query does not say.
const COMPARED: Duration = Duration::from_hours(7 * 24);
/// The most runs that are compared with one another.
const MOST_RUNS: u32 = 100_000;

/// Which calls are added up: of those that the asker may see.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportQuery {
    /// Only of this run.
    agent_run_label: Option<String>,
    /// Only of runs whose label begins so.
    label_prefix: Option<String>,
    /// Only to this vendor.
    vendor: Option<String>,
    /// Only first begun at or after this instant.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Only first begun before this instant.
    #[param(format = DateTime)]
    until: Option<String>,
    /// How many rows: 100 by default, 1000 at most.
    limit: Option<usize>,
    /// The last page's `next_cursor`. Rows can move between two pages while calls are made.
    #[param(pattern = "^[0-9]{1,9}$")]
    cursor: Option<String>,
}

/// What is asked: the filter, and which page of the rows.
struct Asked {
    filter: CallFilter,
    offset: u32,
    wanted: u32,
}

impl Asked {
    /// The rows of the page and one more, by which it is known whether there are others.
    fn part(&self) -> Part {
        Part { offset: self.offset, limit: self.wanted + 1 }
    }

    fn page<T>(&self, found: Vec<T>) -> Page<T> {
        let next = self.offset + self.wanted;
        Page::new(found, size(self.wanted), |_| next.to_string())
    }
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

async fn asked(
    app: &App,
    headers: &HeaderMap,
    query: InQuery<ReportQuery>,
) -> Result<Asked, Refusal> {
    let reach = auditor(app, headers).await?.into_reach();
    let query = query.read()?;
    let filter = CallFilter {
        reach,
        label: query.agent_run_label,
        label_prefix: query.label_prefix,
        vendor: query.vendor,
        since: query.since.as_deref().map(instant).transpose()?,
        until: query.until.as_deref().map(instant).transpose()?,
        ..CallFilter::default()
    };
    let offset = query.cursor.as_deref().map_or(Some(0), offset);
    let offset = offset.ok_or_else(|| invalid("the cursor is not one that was given"))?;
    let wanted = u32::try_from(page_size(query.limit)).unwrap_or(u32::MAX);
    Ok(Asked { filter, offset, wanted })
}

/// How many rows come before a page, by its cursor.
fn offset(cursor: &str) -> Option<u32> {
    let is_given = (1..10).contains(&cursor.len()) && cursor.bytes().all(|c| c.is_ascii_digit());
    cursor.parse().ok().filter(|_| is_given)
}

/// What some calls came to.
#[derive(Serialize, ToSchema)]
struct ShownFigures {
    /// Calls that were allowed, reads included.
    allowed: u64,
    /// Times that a stored answer was given.
    replayed: u64,
    /// Refusals of all kinds.
    denied: u64,
    /// Refusals by a cap.
    capped: u64,
    /// Refusals of what the policy does not allow, or what has no price to hold.
    forbidden: u64,
    /// Calls that are in doubt.
    in_doubt_calls: u64,
    /// Settled or in doubt.
    #[schema(value_type = Usd)]
    spent_usd: MicroUsd,
    #[schema(value_type = Usd)]
    in_doubt_usd: MicroUsd,
    /// Set aside for calls that are on their way.
    #[schema(value_type = Usd)]
    held_usd: MicroUsd,
    /// When the first call was begun, refused ones included.
    #[schema(format = DateTime)]
    first_call_at: String,
    /// When the last one was.
    #[schema(format = DateTime)]
    last_call_at: String,
}

impl From<Figures> for ShownFigures {
    fn from(figures: Figures) -> Self {
        Self {
            allowed: figures.allowed,
            replayed: figures.replayed,
            denied: figures.denied,
            capped: figures.capped,
            forbidden: figures.forbidden,
            in_doubt_calls: figures.in_doubt_calls,
            spent_usd: figures.spent,
            in_doubt_usd: figures.in_doubt,
            held_usd: figures.held,
            first_call_at: figures.first_at.to_string(),
            last_call_at: figures.last_at.to_string(),
        }
    }
}

/// What a run came to: the calls of its own keys. What other runs spent from its budget is theirs.
#[derive(Serialize, ToSchema)]
struct RunReport {
    agent_run_label: String,
    /// The agent that its calls name; null where they name none, or several.
    agent: Option<String>,
    #[serde(flatten)]
    figures: ShownFigures,
}

impl From<RunFigures> for RunReport {
    fn from(run: RunFigures) -> Self {
        let agent = match run.agents {
            Agents::One(agent) => Some(agent),
            Agents::None | Agents::Several => None,
        };
        Self { agent_run_label: run.label, agent, figures: run.figures.into() }
    }
}

/// What an agent's calls came to.
#[derive(Serialize, ToSchema)]
struct AgentReport {
    /// What the calls' context names as `agent`; null for those that name none.
    agent: Option<String>,
    /// In how many runs' calls it is named.
    runs: u64,
    #[serde(flatten)]
    figures: ShownFigures,
}

impl From<AgentFigures> for AgentReport {
    fn from(found: AgentFigures) -> Self {
        Self { agent: found.agent, runs: found.runs, figures: found.figures.into() }
    }
}

/// What the calls to a vendor came to on one day.
#[derive(Serialize, ToSchema)]
struct VendorReport {
    /// The day in UTC on which the calls were first begun.
    #[schema(format = Date)]
    day: String,
    vendor: String,
    #[serde(flatten)]
    figures: ShownFigures,
}

impl From<VendorFigures> for VendorReport {
    fn from(found: VendorFigures) -> Self {
        Self { day: found.day, vendor: found.vendor, figures: found.figures.into() }
    }
}

/// A run that stands out.
#[derive(Serialize, ToSchema)]
struct AnomalyReport {
    #[serde(flatten)]
    run: RunReport,
    reasons: Vec<ShownReason>,
}

impl From<(RunFigures, Vec<Reason>)> for AnomalyReport {
    fn from((run, reasons): (RunFigures, Vec<Reason>)) -> Self {
        Self { run: run.into(), reasons: reasons.into_iter().map(ShownReason::from).collect() }
    }
}

/// Why a run stands out.
#[derive(Serialize, ToSchema)]
struct ShownReason {
    #[schema(value_type = ReasonCode)]
    code: &'static str,
    /// The same for a person, with the figures.
    #[schema(example = "its cap refused 150 calls")]
    why: String,
}

impl From<Reason> for ShownReason {
    fn from(reason: Reason) -> Self {
        Self { code: reason.code(), why: reason.to_string() }
    }
}

/// A page of sums as they are shown.
async fn page_of<F: Send + 'static, T: From<F> + Serialize>(
    app: &App,
    headers: &HeaderMap,
    query: InQuery<ReportQuery>,
    sums: fn(&Readers, &CallFilter, Part) -> Result<Vec<F>, StoreError>,
) -> Answer {
    let asked = asked(app, headers, query).await?;
    let (filter, part) = (asked.filter.clone(), asked.part());
    let found = app.read(move |readers| sums(readers, &filter, part)).await?;
    Ok(answer(200, asked.page(found.into_iter().map(T::from).collect())))
}

/// What each run cost
///
/// Those that spent most first.
#[utoipa::path(
    get, path = "/reports/runs", operation_id = "report_runs",
    tag = "reports", params(ReportQuery),
    security(("api_key" = []), ("vault_key" = [])),
    responses((status = 200, description = "A page of runs", body = Page<RunReport>), Refused),
)]
pub(super) async fn runs(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: InQuery<ReportQuery>,
) -> Answer {
    page_of::<_, RunReport>(&app, &headers, query, Readers::runs).await
}

/// What each agent cost
///
/// Those that spent most first. An agent is what `X-Keybrake-Context` names as `agent`.
#[utoipa::path(
    get, path = "/reports/agents", operation_id = "report_agents",
    tag = "reports", params(ReportQuery),
    security(("api_key" = []), ("vault_key" = [])),
    responses((status = 200, description = "A page of agents", body = Page<AgentReport>), Refused),
)]
pub(super) async fn agents(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: InQuery<ReportQuery>,
) -> Answer {
    page_of::<_, AgentReport>(&app, &headers, query, Readers::agents).await
}

/// What each vendor cost on each day
///
/// The last day first.
#[utoipa::path(
    get, path = "/reports/vendors", operation_id = "report_vendors",
    tag = "reports", params(ReportQuery),
    security(("api_key" = []), ("vault_key" = [])),
    responses(
        (status = 200, description = "A page of days and vendors", body = Page<VendorReport>),
        Refused,
    ),
)]
pub(super) async fn vendors(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: InQuery<ReportQuery>,
) -> Answer {
    page_of::<_, VendorReport>(&app, &headers, query, Readers::vendors).await
}

/// Which runs stand out
///
/// Those that spent more than three times what the median run of their agent spent, of at least five
/// that spent anything; that were refused by a cap, or as not allowed or without a price; that asked
/// for stored answers at least ten times, and more often than they made calls; or that have calls in
/// doubt. Those that spent most first. Without `since`: of the seven days before `until`, or before
/// now. All runs are compared, also where `agent_run_label` or `label_prefix` asks for few.
#[utoipa::path(
    get, path = "/reports/anomalies", operation_id = "report_anomalies",
    tag = "reports", params(ReportQuery),
    security(("api_key" = []), ("vault_key" = [])),
    responses((status = 200, description = "A page of runs", body = Page<AnomalyReport>), Refused),
)]
pub(super) async fn anomalies(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: InQuery<ReportQuery>,
) -> Answer {
    let mut asked = asked(&app, &headers, query).await?;
    let filter = &mut asked.filter;
    let until = filter.until.unwrap_or_else(|| app.clock.now());
    filter.since.get_or_insert_with(|| until.before(COMPARED));
    let (label, prefix) = (filter.label.take(), filter.label_prefix.take().unwrap_or_default());
    let filter = filter.clone();
    let (offset, wanted) = (size(asked.offset), size(asked.wanted));
    let found = app
        .read(move |readers| {
            let runs = readers.runs(&filter, Part { offset: 0, limit: MOST_RUNS + 1 })?;
            if runs.len() > size(MOST_RUNS) {
                return Ok(None);
            }
            let is_asked_for = |(run, _): &(RunFigures, _)| {
                run.label.starts_with(&prefix)
                    && label.as_ref().is_none_or(|label| run.label == *label)
            };
            let found = report::standing_out(runs).into_iter().filter(is_asked_for);
            Ok(Some(found.skip(offset).take(wanted + 1).map(AnomalyReport::from).collect()))
        })
        .await?;
    let found: Vec<AnomalyReport> = found.ok_or_else(|| {
        invalid(format!(
            "there are more than {MOST_RUNS} runs to compare: ask for fewer by since, until or vendor"
        ))
    })?;
    Ok(answer(200, asked.page(found)))
}
