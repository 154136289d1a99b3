//! Creating, listing and revoking API keys.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{body::Bytes, extract::State, http::HeaderMap};
use keybrake_core::{
    access::{Action, ApiKey, Bounds, Grant, Parent, Role},
    ids::ApiKeyId,
    ledger::{Command, CreateApiKey, Reply, RevokeApiKey},
    refusal::Refusal,
    time::{Timestamp, parse_span},
    token::ApiToken,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    Answer, InPath, Page, allowed, amount, answer,
    described::{self, Dollars, KeyState, OfApiKey, Span, Usd},
    invalid, keys,
    openapi::Refused,
    read_json,
};
use crate::{app::App, outside, store::reader::ListedApiKey};

/// The longest name, in characters.
const MAX_NAME: usize = 100;
/// The longest life of an API key that expires. Instants far beyond it have no date.
const LONGEST_LIFE: Duration = Duration::from_hours(100 * 365 * 24);

/// What the new API key is called, for whom and how long. A bound that means nothing for its role
/// is refused.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateRequest {
    /// For people. No control characters.
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")]
    name: String,
    #[schema(value_type = described::Role)]
    role: Role,
    /// Only for runs whose label begins so. Not for the role `admin`.
    label_prefix: Option<String>,
    /// Only for these vendors. Not for the role `admin`.
    vendors: Option<BTreeSet<String>>,
    /// The largest cap that it may give. For the role `issuer`.
    #[schema(value_type = Option<Dollars>)]
    largest_usd_cap: Option<Box<RawValue>>,
    /// The longest life that it may give. For the role `issuer`.
    #[schema(value_type = Option<Span>)]
    longest_expiry: Option<String>,
    /// The vault key under whose budget it issues, or spends. For the roles `issuer` and `caller`.
    #[schema(pattern = "^vk_[0-7][0-9a-hjkmnp-tv-z]{12}$")]
    parent_key_id: Option<String>,
    /// 100 years at most. It lives until it is revoked, unless something is said.
    #[schema(value_type = Option<Span>)]
    expires_in: Option<String>,
}

/// An API key as it is shown: everything but the token.
#[derive(Serialize, ToSchema)]
struct ApiKeyView {
    api_key_id: String,
    name: String,
    #[schema(value_type = described::Role)]
    role: Role,
    #[schema(value_type = KeyState)]
    state: &'static str,
    #[serde(flatten)]
    bounds: ShownBounds,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
    /// To within a minute or so.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
}

/// What an API key is confined to. What is null is not bounded.
#[derive(Serialize, ToSchema)]
struct ShownBounds {
    label_prefix: Option<String>,
    vendors: Option<BTreeSet<String>>,
    #[schema(value_type = Option<Usd>)]
    largest_usd_cap: Option<keybrake_core::money::MicroUsd>,
    longest_expiry_seconds: Option<u64>,
    parent_key_id: Option<String>,
}

/// An API key that was created.
#[derive(Serialize, ToSchema)]
struct CreatedApiKey {
    /// The token. It is shown here alone.
    api_key: String,
    #[serde(flatten)]
    view: ApiKeyView,
}

impl ApiKeyView {
    fn new(key: &ApiKey, last_used_at: Option<Timestamp>, now: Timestamp) -> Self {
        let bounds = key.bounds.clone();
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            api_key_id: key.id.to_string(),
            name: key.name.clone(),
            role: key.role,
            state: match Grant::of(key, now) {
                Ok(_) => "live",
                Err(_) if key.revoked_at.is_some() => "revoked",
                Err(_) => "expired",
            },
            bounds: ShownBounds {
                label_prefix: bounds.label_prefix,
                vendors: bounds.vendors,
                largest_usd_cap: bounds.largest_usd_cap,
                longest_expiry_seconds: bounds.longest_expiry_seconds,
                parent_key_id: bounds.parent.map(|parent| parent.key.to_string()),
            },
            created_at: key.created_at.to_string(),
            expires_at: text(key.expires_at),
            revoked_at: text(key.revoked_at),
            last_used_at: text(last_used_at),
        }
    }
}

/// Creates an API key
///
/// The token is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/admin/api_keys", operation_id = "create_api_key",
    tag = "API keys", request_body = CreateRequest,
    responses((status = 201, description = "A new API key", body = CreatedApiKey), Refused),
)]
pub(super) async fn create(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Answer {
    let grant = allowed(&app, &headers, Action::ManageApiKeys).await?;
    let request: CreateRequest = read_json(&body)?;
    let length = request.name.chars().count();
    if length == 0 || length > MAX_NAME || request.name.chars().any(char::is_control) {
        return Err(invalid(format!(
            "name has 1 to {MAX_NAME} characters, none of them a control"
        ))
        .into());
    }
    let lives = request.expires_in.as_deref().map(parse_span).transpose();
    let lives = lives.map_err(|error| invalid(format!("expires_in: {error}")))?;
    if lives.is_some_and(|lives| lives > LONGEST_LIFE) {
        return Err(invalid("an API key that expires lives 100 years at most").into());
    }
    let token = ApiToken::from_random(&outside::random());
    let create = CreateApiKey {
        id: ApiKeyId::from_number(app.new_id()),
        token_hash: token.hash(),
        name: request.name.clone(),
        role: request.role,
        bounds: bounds(&app, &grant, request).await?,
        lives,
        by: grant.actor().clone(),
    };
    let key = decide(&app, Command::CreateApiKey(Box::new(create))).await?;
    tracing::info!(api_key = %key.id, role = %key.role, "API key created");
    let view = ApiKeyView::new(&key, None, app.clock.now());
    Ok(answer(201, CreatedApiKey { api_key: token.expose().to_owned(), view }))
}

async fn bounds(app: &App, grant: &Grant, request: CreateRequest) -> Result<Bounds, Refusal> {
    if let Some(unknown) =
        request.vendors.iter().flatten().find(|name| !app.vendors.contains_key(*name))
    {
        return Err(invalid(format!("there is no vendor {unknown:?}")));
    }
    let longest = request.longest_expiry.as_deref().map(parse_span).transpose();
    let longest = longest.map_err(|error| invalid(format!("longest_expiry: {error}")))?;
    let parent = match request.parent_key_id {
        Some(id) => {
            let (key, _) = keys::read_key(app, grant, keys::key_id(&id)?).await?;
            key.budget().map(|budget| Parent { key: key.id, budget })
        }
        None => None,
    };
    let bounds = Bounds {
        label_prefix: request.label_prefix,
        vendors: request.vendors,
        largest_usd_cap: amount("largest_usd_cap", request.largest_usd_cap.as_deref())?,
        longest_expiry_seconds: longest.map(|longest| longest.as_secs()),
        parent,
    };
    match bounds.pointless_for(request.role) {
        Some(name) => Err(invalid(format!("{name} means nothing for the role {}", request.role))),
        None => Ok(bounds),
    }
}

/// Lists the API keys
#[utoipa::path(
    get, path = "/admin/api_keys", operation_id = "list_api_keys",
    tag = "API keys",
    responses((status = 200, description = "All of them", body = Page<ApiKeyView>), Refused),
)]
pub(super) async fn list(State(app): State<Arc<App>>, headers: HeaderMap) -> Answer {
    allowed(&app, &headers, Action::ManageApiKeys).await?;
    let found = app.read(crate::store::reader::Readers::api_keys).await?;
    let now = app.clock.now();
    let view = |found: &ListedApiKey| ApiKeyView::new(&found.key, found.last_used_at, now);
    Ok(answer(200, Page { data: found.iter().map(view).collect(), next_cursor: None }))
}

/// Revokes an API key
///
/// It stops to work within one second.
#[utoipa::path(
    delete, path = "/admin/api_keys/{api_key_id}", operation_id = "revoke_api_key",
    tag = "API keys", params(OfApiKey),
    responses((status = 200, description = "The revoked key", body = ApiKeyView), Refused),
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    InPath(OfApiKey { api_key_id: key }): InPath<OfApiKey>,
    headers: HeaderMap,
) -> Answer {
    let grant = allowed(&app, &headers, Action::ManageApiKeys).await?;
    let id = key.parse().map_err(|_| Refusal::NotFound {
        what: format!("API key {}", key.chars().take(40).collect::<String>()),
    })?;
    let revoke = RevokeApiKey { key: id, by: grant.actor().clone() };
    let key = decide(&app, Command::RevokeApiKey(revoke)).await?;
    tracing::info!(api_key = %key.id, "API key revoked");
    Ok(answer(200, ApiKeyView::new(&key, None, app.clock.now())))
}

async fn decide(app: &App, command: Command) -> Result<ApiKey, Refusal> {
    let Reply::ApiKey(key) = app.decide(command).await?.reply else {
        return Err(Refusal::LedgerUnavailable);
    };
    key
}
