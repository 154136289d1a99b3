//! The audit log as CSV or JSON lines, streamed: a page of it in memory at a time.

use std::{borrow::Cow, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{
        HeaderMap, HeaderName, HeaderValue, Response,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    },
};
use futures_util::stream;
use keybrake_core::{ids::CallId, refusal::Refusal};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        Required,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

use super::{
    Answer, InQuery,
    audit::{ListQuery, auditor, filter},
    calls::CallRow,
    invalid,
    openapi::Refused,
};
use crate::{app::App, store::reader::CallFilter};

/// How many rows are read at a time.
const PAGE: usize = 1_000;
/// What a list has and an export has not.
const NO_FILTERS: [&str; 2] = ["limit", "cursor"];

#[derive(Deserialize)]
pub(super) struct ExportQuery {
    format: Format,
    #[serde(flatten)]
    filter: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    Csv,
    Jsonl,
}

/// The filters of the list, and how to write what fits them.
impl IntoParams for ExportQuery {
    fn into_params(parameter_in: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let format = ParameterBuilder::new()
            .name("format")
            .parameter_in(ParameterIn::Query)
            .required(Required::True)
            .schema(Some(Format::schema()))
            .build();
        let filters = ListQuery::into_params(parameter_in).into_iter();
        let filters = filters.filter(|filter| !NO_FILTERS.contains(&filter.name.as_str()));
        [format].into_iter().chain(filters).collect()
    }
}

/// Exports calls
///
/// All that fit, the oldest first, streamed: an export that breaks off is cut off.
#[utoipa::path(
    get, path = "/audit/export", operation_id = "export_calls",
    tag = "audit", params(ExportQuery),
    security(("api_key" = []), ("vault_key" = [])),
    responses(
        (status = 200, description = "The rows", content(
            (String = "text/csv; charset=utf-8"),
            (String = "application/x-ndjson"),
        )),
        Refused,
    ),
)]
pub(super) async fn export(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: InQuery<ExportQuery>,
) -> Answer {
    let auditor = auditor(&app, &headers).await?;
    let ExportQuery { format, filter: rest } = query.read()?;
    if let Some(name) = NO_FILTERS.into_iter().find(|name| rest.contains_key(*name)) {
        return Err(invalid(format!("an export has no {name}: it has all rows")).into());
    }
    let list: ListQuery = serde_json::from_value(Value::Object(rest))
        .map_err(|error| invalid(format!("the query is not what is asked for: {error}")))?;
    let filter = CallFilter { limit: PAGE, ..filter(list, auditor.into_reach())? };
    let (kind, name) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"keybrake-calls.csv\""),
        Format::Jsonl => ("application/x-ndjson", "attachment; filename=\"keybrake-calls.jsonl\""),
    };
    let from = Progress { filter, after: CallId::from_number(0), is_first: true };
    let pages = stream::try_unfold(Some(from), move |progress| {
        let app = Arc::clone(&app);
        async move { next_page(&app, format, progress).await }
    });
    let mut response = Response::new(Body::from_stream(pages));
    let fixed: [(HeaderName, &'static str); 3] =
        [(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, name), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// How far an export has come.
struct Progress {
    filter: CallFilter,
    after: CallId,
    is_first: bool,
}

/// The rows could not be read. What was sent is cut off, so that it is not taken for all there is.
#[derive(Debug, thiserror::Error)]
#[error("the export broke off")]
struct BrokeOff;

async fn next_page(
    app: &App,
    format: Format,
    progress: Option<Progress>,
) -> Result<Option<(Bytes, Option<Progress>)>, BrokeOff> {
    let Some(Progress { filter, after, is_first }) = progress else {
        return Ok(None);
    };
    let filter = CallFilter { after: Some(after), ..filter };
    let asked = filter.clone();
    let calls =
        app.read(move |readers| readers.calls(&asked)).await.map_err(|_: Refusal| BrokeOff)?;
    let rows: Vec<CallRow> = calls.iter().map(CallRow::from).collect();
    let bytes = match format {
        Format::Csv => csv_lines(&rows, is_first).ok_or(BrokeOff)?,
        Format::Jsonl => json_lines(&rows).ok_or(BrokeOff)?,
    };
    let last = calls.last().filter(|_| calls.len() == PAGE);
    let next = last.map(|call| Progress { filter, after: call.id, is_first: false });
    Ok(Some((Bytes::from(bytes), next)))
}

fn json_lines(rows: &[CallRow]) -> Option<Vec<u8>> {
    let mut lines = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut lines, row).ok()?;
        lines.push(b'\n');
    }
    Some(lines)
}

fn csv_lines(rows: &[CallRow], with_header: bool) -> Option<Vec<u8>> {
    // Written once as they are, header and all, then once more with what must not be a formula.
    let mut plain = csv::Writer::from_writer(Vec::new());
    plain.serialize(CallRow::default()).ok()?;
    rows.iter().try_for_each(|row| plain.serialize(row)).ok()?;
    let plain = plain.into_inner().ok()?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(plain.as_slice());
    let mut lines = csv::Writer::from_writer(Vec::new());
    for (number, record) in reader.records().enumerate() {
        let is_wanted = number > 1 || (number == 0 && with_header);
        if is_wanted {
            lines.write_record(record.ok()?.iter().map(|text| cell(text).into_owned())).ok()?;
        }
    }
    lines.into_inner().ok()
}

/// A cell of a table. One that a spreadsheet would take for a formula is marked as text.
fn cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_starts_a_formula_is_text() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(cell(formula), format!("'{formula}"));
        }
        assert_eq!(cell("run=1"), "run=1");
        assert_eq!(cell(""), "");
    }

    #[test]
    fn the_first_page_alone_has_a_header_even_without_rows() {
        let first = String::from_utf8(csv_lines(&[], true).unwrap()).unwrap();
        assert!(first.starts_with("call_id,at,key_id,") && first.lines().count() == 1, "{first}");
        assert_eq!(csv_lines(&[], false).unwrap(), b"");
    }
}
