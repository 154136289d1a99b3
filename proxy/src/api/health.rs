//! Is it alive, and can it do its work?

use std::sync::Arc;

use axum::{body::Body, extract::State, http::Response};
use serde_json::json;

use super::{Answer, answer};
use crate::app::App;

/// `GET /healthz`: the process answers.
pub(super) async fn live() -> Response<Body> {
    answer(200, json!({ "status": "ok" }))
}

/// `GET /readyz`: the ledger answers and at least one vendor has its secret.
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
        json!({
            "status": if with.is_empty() { "no vendor has a secret" } else { "ok" },
            "vendors": names(with),
            "vendors_without_secret": names(without),
        }),
    ))
}
