//! Showing and revoking vault keys. A token is never shown here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use axum::{extract::State, http::HeaderMap};
use keybrake_core::{
    access::{Action, Grant},
    budget::Budget,
    ids::KeyId,
    ledger::{
        Command, Reply, Revoke, Revoked,
        rows::{Rows, VaultKey},
    },
    money::MicroUsd,
    policy::{EndpointPattern, FixedHolds, IdempotencyFrom, OnDecline, Scope},
    refusal::Refusal,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer, InPath, InQuery, Page, allowed, answer,
    described::{self, Endpoint, KeyState, OfKey, Usd},
    openapi::Refused,
    page_size, shown,
};
use crate::{app::App, pipeline};

/// A vault key as its owner sees it: everything but the token.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KeyView {
    key_id: String,
    /// Shared with the keys that this one was refreshed from and to.
    budget_id: String,
    /// The budget that is spent from as well.
    parent_budget_id: Option<String>,
    #[schema(value_type = KeyState)]
    state: &'static str,
    #[schema(value_type = described::Scope)]
    scope: Scope,
    agent_run_label: String,
    /// Null where the key only audits.
    vendor: Option<String>,
    #[schema(value_type = Vec<Endpoint>)]
    allowed_endpoints: Vec<EndpointPattern>,
    /// For a parameter, the values that it may have. It must then be given.
    allowed_params: BTreeMap<String, BTreeSet<String>>,
    /// The vendor's accounts that a header may name.
    allowed_accounts: BTreeSet<String>,
    #[schema(value_type = described::OnDecline)]
    on_decline: OnDecline,
    /// By endpoint, what a call counts for whose price can't be known.
    #[schema(value_type = BTreeMap<String, Usd>)]
    fixed_holds: FixedHolds,
    #[schema(value_type = described::IdempotencyFrom)]
    idempotency: IdempotencyFrom,
    require_idempotency_key: bool,
    #[schema(value_type = Option<Usd>)]
    per_call_usd_cap: Option<MicroUsd>,
    /// Per 24 hours from the moment of issue.
    #[schema(value_type = Option<Usd>)]
    daily_usd_cap: Option<MicroUsd>,
    #[schema(value_type = Option<Usd>)]
    total_usd_cap: Option<MicroUsd>,
    max_calls: Option<u32>,
    /// How many calls counted so far.
    calls: u32,
    /// Spent in the current 24 hours.
    #[schema(value_type = Usd)]
    window_spent_usd: MicroUsd,
    /// Settled or in doubt.
    #[schema(value_type = Usd)]
    spent_usd: MicroUsd,
    #[schema(value_type = Usd)]
    in_doubt_usd: MicroUsd,
    /// Set aside for calls that are on their way.
    #[schema(value_type = Usd)]
    held_usd: MicroUsd,
    /// What another call may cost now, by this budget's own caps.
    #[schema(value_type = Usd)]
    remaining_usd: MicroUsd,
    /// When the current 24 hours end, for a daily cap.
    #[schema(format = DateTime)]
    resets_at: Option<String>,
    #[schema(format = DateTime)]
    issued_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
    /// The key that this one was refreshed to.
    successor_key_id: Option<String>,
}

impl KeyView {
    /// A view at this time. The budget's revocation counts its ancestors'.
    #[must_use]
    pub fn new(key: &VaultKey, budget: &Budget, now: Timestamp) -> Self {
        let mut budget = budget.clone();
        budget.roll(now);
        let policy = &key.policy;
        let state = if budget.revoked_at.is_some() {
            "revoked"
        } else if now >= key.expires_at {
            "expired"
        } else {
            "live"
        };
        Self {
            key_id: key.id.to_string(),
            budget_id: budget.id.to_string(),
            parent_budget_id: budget.parent.map(|id| id.to_string()),
            state,
            scope: policy.scope,
            agent_run_label: key.label.as_str().to_owned(),
            vendor: Some(policy.vendor.clone()).filter(|vendor| !vendor.is_empty()),
            allowed_endpoints: policy.allowed_endpoints.clone(),
            allowed_params: policy.allowed_params.clone(),
            allowed_accounts: policy.allowed_accounts.clone(),
            on_decline: policy.on_decline,
            fixed_holds: policy.fixed_holds.clone(),
            idempotency: policy.idempotency,
            require_idempotency_key: policy.require_idempotency_key,
            per_call_usd_cap: policy.per_call_usd_cap,
            daily_usd_cap: budget.caps.daily(),
            total_usd_cap: budget.caps.total(),
            max_calls: budget.caps.max_calls(),
            calls: budget.calls,
            window_spent_usd: budget.window_spent,
            spent_usd: budget.total_spent,
            in_doubt_usd: budget.in_doubt,
            held_usd: budget.held,
            remaining_usd: budget.remaining(),
            resets_at: budget.caps.daily().map(|_| budget.resets_at().to_string()),
            issued_at: key.issued_at.to_string(),
            expires_at: key.expires_at.to_string(),
            revoked_at: budget.revoked_at.map(|at| at.to_string()),
            successor_key_id: key.successor.map(|id| id.to_string()),
        }
    }
}

pub(super) fn key_id(text: &str) -> Result<KeyId, Refusal> {
    text.parse().map_err(|_| Refusal::NotFound {
        what: format!("vault key {}", text.chars().take(40).collect::<String>()),
    })
}

/// A vault key within the asker's bounds.
pub(super) async fn read_key(
    app: &App,
    grant: &Grant,
    id: KeyId,
) -> Result<(VaultKey, Rows), Refusal> {
    let found = app.read(move |readers| readers.key_by_id(id)).await?;
    let (key, rows) = found.ok_or_else(|| Refusal::unknown_key(id))?;
    grant.permit_key(&key)?;
    Ok((key, rows))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Only keys of the run with this label.
    agent_run_label: Option<String>,
    /// How many rows: 100 by default, 1000 at most.
    limit: Option<usize>,
    /// The last page's `next_cursor`.
    #[param(pattern = "^vk_[0-7][0-9a-hjkmnp-tv-z]{12}$")]
    cursor: Option<String>,
}

/// Lists vault keys
///
/// Those within the asker's bounds, the newest first.
#[utoipa::path(
    get, path = "/vault/keys", operation_id = "list_vault_keys",
    tag = "vault keys", params(ListQuery),
    responses((status = 200, description = "A page of vault keys", body = Page<KeyView>), Refused),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: InQuery<ListQuery>,
) -> Answer {
    let grant = allowed(&app, &headers, Action::ReadKeys).await?;
    let query = query.read()?;
    let wanted = page_size(query.limit);
    let before = query.cursor.as_deref().map(key_id).transpose()?;
    let found = app
        .read(move |readers| {
            let prefix = grant.bounds().label_prefix.as_deref();
            let within = |key: &VaultKey| grant.permit_key(key).is_ok();
            readers.keys(query.agent_run_label.as_deref(), prefix, before, wanted + 1, within)
        })
        .await?;
    let now = app.clock.now();
    let views = found.iter().map(|(key, budget)| KeyView::new(key, budget, now)).collect();
    Ok(answer(200, Page::new(views, wanted, |view: &KeyView| view.key_id.clone())))
}

/// Shows a vault key
///
/// Never its token.
#[utoipa::path(
    get, path = "/vault/keys/{key_id}", operation_id = "show_vault_key",
    tag = "vault keys", params(OfKey),
    responses((status = 200, description = "The vault key", body = KeyView), Refused),
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    InPath(OfKey { key_id: key }): InPath<OfKey>,
    headers: HeaderMap,
) -> Answer {
    let grant = allowed(&app, &headers, Action::ReadKeys).await?;
    let (key, rows) = read_key(&app, &grant, key_id(&key)?).await?;
    show_key(&app, &key, &rows)
}

/// Shows a run its own vault key
///
/// By the vault key's token, or by an API key of the role `caller` and the vault key's id.
#[utoipa::path(
    get, path = "/vault/keys/self", operation_id = "show_own_vault_key",
    tag = "vault keys",
    security(("vault_key" = []), ("api_key" = [], "handle" = [])),
    responses((status = 200, description = "The vault key", body = KeyView), Refused),
)]
pub(super) async fn show_self(State(app): State<Arc<App>>, headers: HeaderMap) -> Answer {
    let id = pipeline::vault_key_of(&app, &headers).await?.id;
    let found = app.read(move |readers| readers.key_by_id(id)).await?;
    let (key, rows) = found.ok_or_else(|| Refusal::unknown_key(id))?;
    show_key(&app, &key, &rows)
}

fn show_key(app: &App, key: &VaultKey, rows: &Rows) -> Answer {
    let own = key.budget().and_then(|own| rows.budgets.get(&own));
    let mut budget = own.cloned().ok_or_else(|| Refusal::unknown_key(key.id))?;
    budget.revoked_at = rows.revoked_at(&key.chain);
    Ok(answer(200, KeyView::new(key, &budget, app.clock.now())))
}

/// What a revocation stopped.
#[derive(Serialize, ToSchema)]
struct RevokedKey {
    key_id: String,
    #[schema(format = DateTime)]
    revoked_at: String,
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

/// Revokes a vault key
///
/// With its budget, its successors and all keys issued under it. Answers when nothing more will be
/// sent for them. Again, it answers with the same `revoked_at`.
#[utoipa::path(
    delete, path = "/vault/keys/{key_id}", operation_id = "revoke_vault_key",
    tag = "vault keys", params(OfKey),
    responses((status = 200, description = "What was stopped", body = RevokedKey), Refused),
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    InPath(OfKey { key_id: key }): InPath<OfKey>,
    headers: HeaderMap,
) -> Answer {
    let grant = allowed(&app, &headers, Action::Revoke).await?;
    let (key, _) = read_key(&app, &grant, key_id(&key)?).await?;
    let id = key.id;
    let command = Command::Revoke(Revoke { key: id, by: grant.actor().clone() });
    let Reply::Revoked(revoked) = app.decide(command).await?.reply else {
        return Err(Refusal::LedgerUnavailable.into());
    };
    let Revoked { at, budgets, in_flight, in_doubt } = revoked?;
    let budget = budgets.first().ok_or_else(|| Refusal::unknown_key(id))?;
    app.in_flight.wait_sent(&[budget.id], Instant::now()).await;
    tracing::info!(key = %id, budget = %budget.id, in_flight = in_flight.len(), in_doubt = in_doubt.len(), "revoked");
    Ok(answer(
        200,
        RevokedKey {
            key_id: id.to_string(),
            revoked_at: at.to_string(),
            spent_usd: budget.total_spent,
            held_usd: budget.held,
            in_doubt_usd: budget.in_doubt,
            in_flight: shown(&in_flight),
            in_doubt: shown(&in_doubt),
        },
    ))
}
