//! Lists: newest first, in pages that begin after or end before a row.

use serde_json::{Value, json};

use super::errors::{self, ApiError};

const DEFAULT_SIZE: usize = 20;
const MAX_SIZE: usize = 100;

/// A page as the caller asked for it.
#[derive(Debug, Default)]
pub(super) struct Page {
    limit: Option<usize>,
    after: Option<String>,
    before: Option<String>,
}

impl Page {
    /// Reads a query that has nothing but this.
    pub(super) fn read(query: &str) -> Result<Self, ApiError> {
        let mut page = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let given = match name.as_ref() {
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MAX_SIZE).contains(limit));
                    let wrong = || errors::invalid("`limit` must be from 1 to 100");
                    page.limit.replace(limit.ok_or_else(wrong)?).is_some()
                }
                "after" => page.after.replace(value.into_owned()).is_some(),
                "before" => page.before.replace(value.into_owned()).is_some(),
                _ => return Err(errors::invalid(format!("Unknown parameter `{name}`"))),
            };
            if given {
                return Err(errors::invalid(format!("`{name}` was given more than once")));
            }
        }
        if page.after.is_some() && page.before.is_some() {
            return Err(errors::invalid("Give one of `after` and `before`"));
        }
        Ok(page)
    }

    /// The rows of it, which come newest first.
    pub(super) fn of(&self, rows: &[(&str, Value)]) -> Result<Value, ApiError> {
        let place = |id: &String| {
            let place = rows.iter().position(|(known, _)| known == id);
            place.ok_or_else(|| errors::invalid_parameter("The cursor is not in the list"))
        };
        let limit = self.limit.unwrap_or(DEFAULT_SIZE);
        let (begin, end) = match (&self.after, &self.before) {
            (Some(after), _) => (place(after)?.saturating_add(1), rows.len()),
            (None, Some(before)) => (0, place(before)?),
            (None, None) => (0, rows.len()),
        };
        let left = rows.get(begin..end).unwrap_or_default();
        let skipped = left.len().saturating_sub(limit);
        let shown = match self.before {
            Some(_) => left.get(skipped..),
            None => left.get(..left.len().saturating_sub(skipped)),
        };
        let data: Vec<&Value> = shown.unwrap_or_default().iter().map(|(_, row)| row).collect();
        Ok(json!({ "object": "list", "has_more": skipped > 0, "data": data }))
    }
}
