//! The admin API and what a vault key may ask about itself. Everything else is proxied.

mod audit;
mod calls;
mod health;
mod issue;
mod keys;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::{Body, Bytes},
    http::{HeaderMap, Response, header::AUTHORIZATION},
    response::IntoResponse,
    routing::{get, post},
};
use keybrake_core::refusal::Refusal;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{app::App, pipeline};

pub use keys::KeyView;

/// The largest body of an admin request, in bytes.
const MAX_BODY: usize = 256 * 1024;

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/vault/keys", post(issue::issue).get(keys::list))
        .route("/admin/vault_keys", post(issue::issue))
        .route("/vault/keys/self", get(keys::show_self))
        .route("/vault/keys/{key_id}", get(keys::show).delete(keys::revoke))
        .route("/vault/keys/{key_id}/refresh", post(issue::refresh))
        .route("/audit/calls", get(audit::list))
        .route("/audit/calls/{call_id}", get(audit::show))
        .route("/audit/calls/{call_id}/resolve", post(audit::resolve))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .fallback(pipeline::proxy)
        .method_not_allowed_fallback(pipeline::proxy)
        .with_state(app)
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

/// Lets only the admin's API key pass.
fn require_admin(app: &App, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else {
        return Err(Refusal::InvalidKey);
    };
    let (scheme, key) =
        value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Refusal::InvalidKey)?;
    if scheme.eq_ignore_ascii_case("bearer") && app.is_api_key(key) {
        Ok(())
    } else {
        Err(Refusal::InvalidKey)
    }
}

/// Reads a JSON body. Unknown members are refused by name.
fn read_json<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| invalid(format!("the body is not what is asked for: {error}")))
}

fn invalid(why: impl Into<String>) -> Refusal {
    Refusal::InvalidRequest { why: why.into() }
}

fn answer(status: u16, body: Value) -> Response<Body> {
    let status = axum::http::StatusCode::from_u16(status).unwrap_or_default();
    (status, Json(body)).into_response()
}
