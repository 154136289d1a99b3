//! Lists: newest first, in pages, with filters by address and by time.

use keybrake_core::time::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    errors::{self, ApiError},
    form::Form,
};
use crate::sandbox::table::Keyed;

const DEFAULT_SIZE: u64 = 50;
const MAX_SIZE: u64 = 1_000;

/// The fields that say which page is wanted.
pub(super) const PAGING: [&str; 3] = ["Page", "PageSize", "PageToken"];

/// A span of whole seconds that a filter leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    from: Option<i64>,
    before: Option<i64>,
}

impl Span {
    /// Reads `Name`, `Name<` and `Name>`. A day means all of it; both bounds are part of the span.
    pub(super) fn read(form: &Form, name: &str) -> Result<Self, ApiError> {
        let at = |suffix: &str| match form.text(&format!("{name}{suffix}")) {
            Some(text) => moment(text).map(Some),
            None => Ok(None),
        };
        let (on, until, since) = (at("")?, at("<")?, at(">")?);
        Ok(Self {
            from: on.or(since).map(|(begin, _)| begin),
            before: on.or(until).map(|(_, end)| end),
        })
    }

    /// Whether the time lies in it. What has not happened yet lies only in the whole of time.
    pub(super) fn holds(self, at: Option<Timestamp>) -> bool {
        let Some(second) = at.map(Timestamp::as_seconds) else {
            return self.from.is_none() && self.before.is_none();
        };
        self.from.is_none_or(|from| second >= from)
            && self.before.is_none_or(|before| second < before)
    }
}

/// The first second of a day or moment, and the first one after it.
fn moment(text: &str) -> Result<(i64, i64), ApiError> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok((at.as_second(), at.as_second().saturating_add(1)));
    }
    let day = format!("{text}T00:00:00Z").parse::<jiff::Timestamp>();
    let day = day.map_err(|_| errors::invalid(format!("{text} is not a date")))?;
    Ok((day.as_second(), day.as_second().saturating_add(86_400)))
}

/// A list as the caller asked for it.
pub(super) struct List<'a, T> {
    /// Newest first, after the filters.
    pub(super) rows: Vec<&'a T>,
    /// What the list is called in the answer.
    pub(super) name: &'static str,
    pub(super) path: String,
    /// The fields that filter.
    pub(super) filters: &'static [&'static str],
}

impl<T: Keyed> List<'_, T> {
    /// The page that the form asks for.
    pub(super) fn page(&self, form: &Form, row: impl Fn(&T) -> Value) -> Result<Value, ApiError> {
        let size = form.integer("PageSize", 1..=MAX_SIZE)?.unwrap_or(DEFAULT_SIZE);
        let page = form.integer("Page", 0..=u64::from(u32::MAX))?.unwrap_or(0);
        let begin = self.begin(form, page, size)?;
        let rest = self.rows.get(begin..).unwrap_or_default();
        let shown = rest.get(..index(size)).unwrap_or(rest);
        let next = shown.last().filter(|_| rest.len() > shown.len()).map(|last| {
            self.uri(form, size, page.saturating_add(1), Some(&format!("PA{}", last.id())))
        });
        let mut answer = Map::new();
        let rows: Vec<Value> = shown.iter().map(|shown| row(shown)).collect();
        let end = begin.saturating_add(rows.len()).saturating_sub(1);
        answer.extend([
            (self.name.to_owned(), json!(rows)),
            ("first_page_uri".to_owned(), json!(self.uri(form, size, 0, None))),
            ("next_page_uri".to_owned(), json!(next)),
            ("previous_page_uri".to_owned(), Value::Null),
            ("page".to_owned(), json!(page)),
            ("page_size".to_owned(), json!(size)),
            ("start".to_owned(), json!(begin)),
            ("end".to_owned(), json!(end)),
            ("uri".to_owned(), json!(self.uri(form, size, page, form.text("PageToken")))),
        ]);
        Ok(Value::Object(answer))
    }

    /// A token names the last row of the page before, so that new rows do not shift the pages.
    fn begin(&self, form: &Form, page: u64, size: u64) -> Result<usize, ApiError> {
        let Some(token) = form.text("PageToken") else {
            return Ok(index(page.saturating_mul(size)));
        };
        let last = token.strip_prefix("PA").unwrap_or_default();
        let position = self.rows.iter().position(|row| row.id() == last);
        position
            .map(|position| position.saturating_add(1))
            .ok_or_else(|| errors::invalid("Invalid PageToken"))
    }

    fn uri(&self, form: &Form, size: u64, page: u64, token: Option<&str>) -> String {
        let mut query = form.encode(self.filters);
        query.append_pair("PageSize", &size.to_string()).append_pair("Page", &page.to_string());
        if let Some(token) = token {
            query.append_pair("PageToken", token);
        }
        format!("{}?{}", self.path, query.finish())
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
