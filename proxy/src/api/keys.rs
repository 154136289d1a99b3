//! Showing and revoking vault keys. A token is never shown here.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{Path, Query, State},
    http::HeaderMap,
};
use keybrake_core::{
    budget::Budget,
    ids::KeyId,
    ledger::{Command, Reply, Revoked, rows::VaultKey},
    refusal::Refusal,
    time::Timestamp,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, answer, require_admin};
use crate::{app::App, pipeline};

/// The most keys of one list.
const MOST: usize = 1_000;

/// A vault key as its owner sees it.
pub struct KeyView<'a> {
    key: &'a VaultKey,
    budget: Budget,
    now: Timestamp,
}

impl<'a> KeyView<'a> {
    /// A view at this time.
    #[must_use]
    pub fn new(key: &'a VaultKey, budget: &Budget, now: Timestamp) -> Self {
        let mut budget = budget.clone();
        budget.roll(now);
        Self { key, budget, now }
    }

    fn state(&self) -> &'static str {
        if self.budget.revoked_at.is_some() {
            "revoked"
        } else if self.now >= self.key.expires_at {
            "expired"
        } else {
            "live"
        }
    }

    /// Everything but the token.
    #[must_use]
    pub fn body(&self) -> Value {
        let (key, budget, policy) = (self.key, &self.budget, &self.key.policy);
        let text = |id: keybrake_core::money::MicroUsd| id.to_string();
        json!({
            "key_id": key.id.to_string(),
            "budget_id": budget.id.to_string(),
            "parent_budget_id": budget.parent.map(|id| id.to_string()),
            "state": self.state(),
            "agent_run_label": key.label.as_str(),
            "vendor": policy.vendor,
            "allowed_endpoints": policy.allowed_endpoints,
            "allowed_params": policy.allowed_params,
            "per_call_usd_cap": policy.per_call_usd_cap.map(text),
            "daily_usd_cap": budget.caps.daily().map(text),
            "total_usd_cap": budget.caps.total().map(text),
            "window_spent_usd": text(budget.window_spent),
            "spent_usd": text(budget.total_spent),
            "in_doubt_usd": text(budget.in_doubt),
            "held_usd": text(budget.held),
            "remaining_usd": text(budget.remaining()),
            "resets_at": budget.caps.daily().map(|_| budget.resets_at().to_string()),
            "issued_at": key.issued_at.to_string(),
            "expires_at": key.expires_at.to_string(),
            "revoked_at": budget.revoked_at.map(|at| at.to_string()),
            "successor_key_id": key.successor.map(|id| id.to_string()),
        })
    }
}

pub(super) fn key_id(text: &str) -> Result<KeyId, Refusal> {
    text.parse().map_err(|_| Refusal::NotFound {
        what: format!("vault key {}", text.chars().take(40).collect::<String>()),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    agent_run_label: Option<String>,
    limit: Option<usize>,
}

/// `GET /vault/keys`.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    require_admin(&app, &headers)?;
    let Query(query) = query.map_err(|error| super::invalid(error.body_text()))?;
    let limit = query.limit.unwrap_or(100).clamp(1, MOST);
    let keys =
        app.read(move |readers| readers.keys(query.agent_run_label.as_deref(), limit)).await?;
    let now = app.clock.now();
    let data: Vec<_> =
        keys.iter().map(|(key, budget)| KeyView::new(key, budget, now).body()).collect();
    Ok(answer(200, json!({ "data": data })))
}

/// `GET /vault/keys/{key_id}`.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Answer {
    require_admin(&app, &headers)?;
    show_key(&app, key_id(&key)?).await
}

/// `GET /vault/keys/self`.
pub(super) async fn show_self(State(app): State<Arc<App>>, headers: HeaderMap) -> Answer {
    let token = pipeline::vault_token(&headers).ok_or(Refusal::InvalidKey)?;
    let key = app.key_of(&token).await?;
    show_key(&app, key.id).await
}

async fn show_key(app: &App, id: KeyId) -> Answer {
    let unknown = || Refusal::NotFound { what: format!("vault key {id}") };
    let (key, rows) = app.read(move |readers| readers.key_by_id(id)).await?.ok_or_else(unknown)?;
    let mut budget =
        key.budget().and_then(|own| rows.budgets.get(&own)).cloned().ok_or_else(unknown)?;
    budget.revoked_at = rows.revoked_at(&key.chain);
    Ok(answer(200, KeyView::new(&key, &budget, app.clock.now()).body()))
}

/// `DELETE /vault/keys/{key_id}`. Answers when no proxy sends anything more for the budget.
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Answer {
    require_admin(&app, &headers)?;
    let id = key_id(&key)?;
    let Reply::Revoked(revoked) = app.decide(Command::Revoke(id)).await?.reply else {
        return Err(Refusal::LedgerUnavailable.into());
    };
    let Revoked { budget, in_flight, in_doubt } = revoked?;
    app.in_flight.wait_sent(budget.id, Instant::now()).await;
    tracing::info!(key = %id, budget = %budget.id, in_flight = in_flight.len(), in_doubt = in_doubt.len(), "revoked");
    let names = |calls: Vec<keybrake_core::ids::CallId>| {
        calls.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    Ok(answer(
        200,
        json!({
            "key_id": id.to_string(),
            "revoked_at": budget.revoked_at.map(|at| at.to_string()),
            "spent_usd": budget.total_spent.to_string(),
            "held_usd": budget.held.to_string(),
            "in_doubt_usd": budget.in_doubt.to_string(),
            "in_flight": names(in_flight),
            "in_doubt": names(in_doubt),
        }),
    ))
}
