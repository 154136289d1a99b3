//! The admin API and what a vault key may ask about itself. Everything else is proxied.
//!
//! [`router`] is the one place that says which path is served on which listener.

mod api_keys;
mod audit;
mod calls;
mod described;
mod export;
mod guard;
mod health;
mod issue;
mod keys;
mod metrics;
mod openapi;
mod records;
mod reports;
mod runs;

use std::{convert::Infallible, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, FromRequestParts, Path, Query, State},
    http::{HeaderMap, Request, Response, request::Parts},
    middleware::{Next, from_fn, from_fn_with_state},
    response::IntoResponse,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use keybrake_core::{
    access::{Action, Grant},
    money::MicroUsd,
    refusal::Refusal,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, pipeline};

pub use keys::KeyView;

/// The largest body of an admin request, in bytes.
const MAX_BODY: usize = 256 * 1024;
/// The most rows of one page.
const MOST: usize = 1_000;

/// First path segments that are Keybrake's own on every listener: never proxied, and never a
/// vendor's name or own prefix.
pub const RESERVED: [&str; 9] =
    ["admin", "audit", "healthz", "metrics", "openapi.json", "readyz", "reports", "runs", "vault"];

const ADMIN_ELSEWHERE: &str =
    "admin API on this address; it is on the one that KEYBRAKE_ADMIN_LISTEN names";

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Everything: there is one listener.
    Both,
    /// What is proxied, and what the bearer of a vault key may ask.
    Callers,
    /// The admin API.
    Admin,
}

/// All routes, by whom they are for, each with its description.
struct Routes {
    everybody: OpenApiRouter<Arc<App>>,
    /// A vault key of the scope `audit` reads audit rows and reports wherever vault keys are used.
    auditors: OpenApiRouter<Arc<App>>,
    callers: OpenApiRouter<Arc<App>>,
    admins: OpenApiRouter<Arc<App>>,
}

impl Routes {
    fn new() -> Self {
        let none = OpenApiRouter::new;
        Self {
            everybody: none()
                .routes(routes!(health::live))
                .routes(routes!(health::ready))
                .routes(routes!(openapi::show)),
            auditors: none()
                .routes(routes!(audit::list))
                .routes(routes!(audit::show))
                .routes(routes!(export::export))
                .routes(routes!(reports::runs))
                .routes(routes!(reports::agents))
                .routes(routes!(reports::vendors))
                .routes(routes!(reports::anomalies)),
            callers: none().routes(routes!(keys::show_self)),
            admins: none()
                .routes(routes!(issue::issue, keys::list))
                .routes(routes!(issue::issue_alike))
                .routes(routes!(keys::show, keys::revoke))
                .routes(routes!(issue::refresh))
                .routes(routes!(runs::revoke))
                .routes(routes!(runs::list))
                .routes(routes!(runs::lift))
                .routes(routes!(api_keys::create, api_keys::list))
                .routes(routes!(api_keys::revoke))
                .routes(routes!(audit::resolve))
                .routes(routes!(records::list))
                .routes(routes!(metrics::show)),
        }
    }
}

/// The description of all routes of all listeners.
fn description() -> utoipa::openapi::OpenApi {
    let Routes { everybody, auditors, callers, admins } = Routes::new();
    OpenApiRouter::with_openapi(openapi::Description::openapi())
        .merge(admins)
        .merge(callers)
        .merge(auditors)
        .merge(everybody)
        .into_openapi()
}

/// The routes of one listener.
pub fn router(app: Arc<App>, side: Side) -> Router {
    let Routes { everybody, auditors, callers, admins } = Routes::new();
    let routes = match side {
        Side::Both => everybody.merge(callers).merge(auditors).merge(admins),
        Side::Callers => {
            everybody.merge(callers).merge(auditors.route_layer(from_fn(with_vault_key)))
        }
        Side::Admin => everybody.merge(auditors).merge(admins),
    };
    let routes = Router::from(routes);
    let other = move |app, request| elsewhere(side, app, request);
    routes
        .layer(from_fn_with_state(Arc::clone(&app), whole_body))
        .layer(DefaultBodyLimit::disable())
        .fallback(other)
        .method_not_allowed_fallback(other)
        .layer(from_fn_with_state(Arc::clone(&app), guard::guard))
        .with_state(app)
}

/// Lets pass a request that carries a vault key: API keys work on the admin's address alone.
async fn with_vault_key(request: Request<Body>, next: Next) -> Result<Response<Body>, Refused> {
    match pipeline::vault_token(request.headers()) {
        Some(_) => Ok(next.run(request).await),
        None => Err(Refusal::NotFound { what: ADMIN_ELSEWHERE.to_owned() }.into()),
    }
}

/// Reads the body of an admin request, within bounds: no handler waits for one.
async fn whole_body(
    State(app): State<Arc<App>>,
    request: Request<Body>,
    next: Next,
) -> Result<Response<Body>, Refused> {
    let (head, body) = request.into_parts();
    let reading = Limited::new(body, MAX_BODY).collect();
    let body = match tokio::time::timeout(app.limits.body, reading).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(Refusal::BodyTooLarge { limit: MAX_BODY }.into());
        }
        Ok(Err(_)) => return Err(invalid("the body broke off before its end").into()),
        Err(_) => return Err(invalid("the body did not arrive in time").into()),
    };
    Ok(next.run(Request::from_parts(head, Body::from(body))).await)
}

/// What is no route of this listener: a call to a vendor, or nothing.
async fn elsewhere(side: Side, app: State<Arc<App>>, request: Request<Body>) -> Response<Body> {
    let first = request.uri().path().split('/').nth(1).unwrap_or_default();
    let what = match side {
        Side::Both | Side::Admin if RESERVED.contains(&first) => {
            "such path in the admin API, or not with this method"
        }
        Side::Callers if RESERVED.contains(&first) => ADMIN_ELSEWHERE,
        Side::Admin => "proxy on this address; it is on the one that KEYBRAKE_LISTEN names",
        Side::Both | Side::Callers => return pipeline::proxy(app, request).await,
    };
    pipeline::refuse(&Refusal::NotFound { what: what.to_owned() }, None)
}

/// An answer of the admin API.
type Answer = Result<Response<Body>, Refused>;

/// A refusal as an answer.
struct Refused(Refusal);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response<Body> {
        pipeline::refuse(&self.0, None)
    }
}

/// Lets pass an API key whose role has this action.
async fn allowed(app: &App, headers: &HeaderMap, action: Action) -> Result<Grant, Refusal> {
    let grant = pipeline::grant(app, headers).await?;
    grant.permit(action)?;
    Ok(grant)
}

/// Reads a JSON body. Unknown members are refused by name.
fn read_json<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| invalid(format!("the body is not what is asked for: {error}")))
}

/// What stands in a path. What can't be read is refused like all else.
struct InPath<T>(T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let found = Path::from_request_parts(parts, state).await;
        found.map(|Path(found)| Self(found)).map_err(|error| invalid(error.body_text()).into())
    }
}

/// What stands in a query, to be read once it is known who asks.
struct InQuery<T>(Result<T, Refusal>);

impl<T> InQuery<T> {
    /// The query. Unknown parameters are refused by name.
    fn read(self) -> Result<T, Refusal> {
        self.0
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InQuery<T> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let found = Query::from_request_parts(parts, state).await;
        let found = found.map(|Query(found)| found);
        Ok(Self(found.map_err(|error| invalid(error.body_text()))))
    }
}

/// Dollars as a JSON number or string, exactly as it is written.
fn amount(name: &str, raw: Option<&RawValue>) -> Result<Option<MicroUsd>, Refusal> {
    let Some(raw) = raw.map(RawValue::get).filter(|raw| *raw != "null") else {
        return Ok(None);
    };
    let text = raw.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(raw);
    let why = || {
        invalid(format!(
            "{name} is not an amount of dollars, such as 50 or \"49.99\" with at most six decimals"
        ))
    };
    MicroUsd::parse(text).map(Some).map_err(|_| why())
}

fn invalid(why: impl Into<String>) -> Refusal {
    Refusal::InvalidRequest { why: why.into() }
}

fn answer(status: u16, body: impl Serialize) -> Response<Body> {
    let status = axum::http::StatusCode::from_u16(status).unwrap_or_default();
    (status, Json(body)).into_response()
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
struct Page<T> {
    /// The rows.
    data: Vec<T>,
    /// What asks for the next page; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of at most `wanted` of these rows, of which one more was asked for.
    fn new(mut found: Vec<T>, wanted: usize, cursor: impl Fn(&T) -> String) -> Self {
        let more = found.len() > wanted;
        found.truncate(wanted);
        let next_cursor = found.last().filter(|_| more).map(cursor);
        Self { data: found, next_cursor }
    }
}

/// How many rows a page has.
fn page_size(limit: Option<usize>) -> usize {
    limit.unwrap_or(100).clamp(1, MOST)
}

/// Identifiers as they are shown.
fn shown<T: ToString>(ids: &[T]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}
