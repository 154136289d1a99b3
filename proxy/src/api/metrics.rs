//! What Prometheus reads.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, header::CONTENT_TYPE},
    response::IntoResponse,
};
use keybrake_core::{access::Action, refusal::Refusal};

use super::{Answer, allowed, openapi::Refused};
use crate::{app::App, metrics::Doubts, store::reader::Readers};

/// The type of OpenMetrics' text format.
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What Prometheus reads
///
/// Amounts say what a business spends, so it takes an API key on every listener.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics",
    tag = "operation",
    responses(
        (status = 200, description = "OpenMetrics text", content_type = TEXT, body = String),
        Refused,
    ),
)]
pub(super) async fn show(State(app): State<Arc<App>>, headers: HeaderMap) -> Answer {
    allowed(&app, &headers, Action::ReadMetrics).await?.permit_everything()?;
    let (calls, oldest) = app.read(Readers::doubts).await?;
    let oldest = oldest.map_or(Duration::ZERO, |begun| app.clock.now().since(begun));
    let text =
        app.metrics.text(Doubts { calls, oldest }).map_err(|_| Refusal::LedgerUnavailable)?;
    Ok(([(CONTENT_TYPE, TEXT)], text).into_response())
}
