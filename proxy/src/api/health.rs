//! Is it alive, and can it do its work?

use std::sync::Arc;

use axum::{body::Body, extract::State, http::Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Answer, answer, described::RefusalBody, openapi::RefusedBody};
use crate::app::App;

/// The process answers.
#[derive(Serialize, ToSchema)]
struct Alive {
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether calls can be made.
#[derive(Serialize, ToSchema)]
struct Readiness {
    #[schema(example = "ok")]
    status: &'static str,
    vendors: Vec<String>,
    vendors_without_secret: Vec<String>,
}

/// No vendor has a secret, or no ledger answers.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is described, never made")]
enum NotReady {
    NoSecret(Readiness),
    NoLedger(RefusalBody),
}

/// The process answers
#[utoipa::path(
    get, path = "/healthz", operation_id = "alive",
    tag = "operation", security(()),
    responses((status = 200, description = "It does", body = Alive), RefusedBody),
)]
pub(super) async fn live() -> Response<Body> {
    answer(200, Alive { status: "ok" })
}

/// The ledger answers and at least one vendor has its secret
#[utoipa::path(
    get, path = "/readyz", operation_id = "ready",
    tag = "operation", security(()),
    responses(
        (status = 200, description = "Calls can be made", body = Readiness),
        (status = 503, description = "No call can be made", body = NotReady),
        RefusedBody,
    ),
)]
pub(super) async fn ready(State(app): State<Arc<App>>) -> Answer {
    app.read(crate::store::reader::Readers::ping).await?;
    let (with, without): (Vec<_>, Vec<_>) =
        app.vendors.iter().partition(|(_, vendor)| vendor.secret().is_some());
    let names = |vendors: Vec<(&String, &Arc<crate::app::Vendor>)>| {
        vendors.into_iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let status = if with.is_empty() { 503 } else { 200 };
    Ok(answer(
        status,
        Readiness {
            status: if with.is_empty() { "no vendor has a secret" } else { "ok" },
            vendors: names(with),
            vendors_without_secret: names(without),
        },
    ))
}
