//! Lists: newest first, in pages, with cursors and a filter by time of creation.

use serde_json::{Value, json};

use super::{
    errors::{self, ApiError},
    params::{Node, Params},
    world::{Record, Table},
};

const DEFAULT_LIMIT: usize = 10;
const MAX_LIMIT: usize = 100;

/// How a caller pages through a list.
#[derive(Debug)]
pub(super) struct Paging {
    limit: usize,
    after: Option<String>,
    before: Option<String>,
    /// Comparisons with the second of creation; all of them must hold.
    created: Vec<(Bound, i64)>,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    Exactly,
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl Bound {
    fn holds(self, created: i64, given: i64) -> bool {
        match self {
            Self::Exactly => created == given,
            Self::Above => created > given,
            Self::AtLeast => created >= given,
            Self::Below => created < given,
            Self::AtMost => created <= given,
        }
    }
}

impl Paging {
    pub(super) fn read(params: &Params) -> Result<Self, ApiError> {
        let after = params.text("starting_after")?.map(str::to_owned);
        let before = params.text("ending_before")?.map(str::to_owned);
        if after.is_some() && before.is_some() {
            return Err(ApiError::invalid("Give either starting_after or ending_before, not both"));
        }
        Ok(Self { limit: limit(params)?, after, before, created: created(params)? })
    }
}

/// A number of rows from 1 to 100.
pub(super) fn limit(params: &Params) -> Result<usize, ApiError> {
    let Some(limit) = params.integer("limit")? else {
        return Ok(DEFAULT_LIMIT);
    };
    match usize::try_from(limit) {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        Ok(_) | Err(_) => {
            Err(ApiError::invalid(format!("Invalid limit: must be from 1 to {MAX_LIMIT}"))
                .code("parameter_invalid_integer")
                .param("limit"))
        }
    }
}

fn created(params: &Params) -> Result<Vec<(Bound, i64)>, ApiError> {
    let wrong = || ApiError::invalid("Invalid timestamp: created").param("created");
    let second = |text: &str| text.parse::<i64>().map_err(|_| wrong());
    match params.node("created") {
        None => Ok(Vec::new()),
        Some(Node::Text(text)) => Ok(vec![(Bound::Exactly, second(text)?)]),
        Some(Node::List(_)) => Err(wrong()),
        Some(Node::Map(bounds)) => bounds
            .iter()
            .map(|(name, value)| {
                let Node::Text(text) = value else {
                    return Err(wrong());
                };
                let bound = match name.as_str() {
                    "gt" => Bound::Above,
                    "gte" => Bound::AtLeast,
                    "lt" => Bound::Below,
                    "lte" => Bound::AtMost,
                    _ => return Err(wrong()),
                };
                Ok((bound, second(text)?))
            })
            .collect(),
    }
}

/// Some rows, newest first, and whether there are more in the same direction.
pub(super) struct Page<'a, T> {
    pub(super) rows: Vec<&'a T>,
    pub(super) has_more: bool,
}

/// The page of the rows that `keep` keeps.
pub(super) fn page<'a, T: Record>(
    table: &'a Table<T>,
    paging: &Paging,
    keep: impl Fn(&T) -> bool,
) -> Result<Page<'a, T>, ApiError> {
    let position = |id: &str, param| {
        table.position(id).ok_or_else(|| errors::missing_reference(T::OBJECT, id, param))
    };
    let rows = table.rows();
    let keep = |row: &&T| {
        let created = row.created().as_seconds();
        keep(row) && paging.created.iter().all(|(bound, at)| bound.holds(created, *at))
    };
    let one_more = paging.limit.saturating_add(1);
    let mut found: Vec<&T> = match (&paging.after, &paging.before) {
        (_, Some(id)) => {
            let newer = position(id, "ending_before")?.saturating_add(1);
            rows.iter().skip(newer).filter(keep).take(one_more).collect()
        }
        (after, None) => {
            let older = match after {
                Some(id) => position(id, "starting_after")?,
                None => rows.len(),
            };
            let older = rows.get(..older).unwrap_or_default();
            older.iter().rev().filter(keep).take(one_more).collect()
        }
    };
    let has_more = found.len() > paging.limit;
    found.truncate(paging.limit);
    if paging.before.is_some() {
        found.reverse();
    }
    Ok(Page { rows: found, has_more })
}

pub(super) fn render<T: Record>(page: &Page<'_, T>, row: impl Fn(&T) -> Value) -> Value {
    let data: Vec<Value> = page.rows.iter().map(|r| row(r)).collect();
    json!({"object": "list", "url": T::URL, "has_more": page.has_more, "data": data})
}
