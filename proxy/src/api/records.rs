//! What was done through the admin API, when and by whom.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap};
use keybrake_core::access::Action;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, InQuery, Page, allowed, answer, invalid, openapi::Refused, page_size};
use crate::app::App;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// How many rows: 100 by default, 1000 at most.
    limit: Option<usize>,
    /// The last page's `next_cursor`.
    #[param(pattern = "^[0-9]{1,18}$")]
    cursor: Option<String>,
}

/// Something that was done through this API.
#[derive(Serialize, ToSchema)]
struct ShownRecord {
    #[serde(skip)]
    number: i64,
    #[schema(format = DateTime)]
    at: String,
    /// The API key's id, `admin` for the configured one, or `look-up` for the proxy itself.
    who: String,
    #[schema(example = "key_issued")]
    action: String,
    /// The id or label of what it was done to.
    target: String,
}

/// Lists what was done through this API
///
/// By whom and when, the newest first.
#[utoipa::path(
    get, path = "/audit/actions", operation_id = "list_actions",
    tag = "audit", params(ListQuery),
    responses((status = 200, description = "A page of actions", body = Page<ShownRecord>), Refused),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: InQuery<ListQuery>,
) -> Answer {
    let grant = allowed(&app, &headers, Action::ReadActions).await?;
    grant.permit_everything()?;
    let query = query.read()?;
    let wanted = page_size(query.limit);
    let before = query.cursor.map(|cursor| cursor.parse()).transpose();
    let before = before.map_err(|_| invalid("the cursor is not one that was given"))?;
    let found =
        app.read(move |readers| readers.records(before.unwrap_or(i64::MAX), wanted + 1)).await?;
    let rows = found.into_iter().map(|record| ShownRecord {
        number: record.number,
        at: record.at.to_string(),
        who: record.who,
        action: record.deed,
        target: record.target,
    });
    Ok(answer(200, Page::new(rows.collect(), wanted, |row: &ShownRecord| row.number.to_string())))
}
