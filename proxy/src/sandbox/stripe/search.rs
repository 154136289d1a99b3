//! Search: clauses over metadata and a few fields, all of which must hold.
//!
//! Stripe's index lags behind its objects, so that a search right after a call finds nothing; a
//! caller that takes "not found" for "not executed" is wrong, and this sandbox shows it.

use std::time::Duration;

use keybrake_core::time::Timestamp;
use serde_json::{Value, json};

use super::{
    charges::Charge,
    errors::{self, ApiError},
    intents::PaymentIntent,
    lists,
    params::Params,
    world::{Metadata, Record, Table},
};

/// What clauses can ask of an object.
pub(super) trait Searchable: Record {
    fn metadata(&self) -> &Metadata;
    fn amount(&self) -> u64;
    /// `status`, `currency` or `customer`.
    fn text(&self, field: TextField) -> Option<&str>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextField {
    Status,
    Currency,
    Customer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NumberField {
    Amount,
    Created,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, PartialEq, Eq)]
enum Test {
    Metadata { key: String, value: String },
    Text { field: TextField, value: String },
    Number { field: NumberField, comparison: Comparison, value: i64 },
}

#[derive(Debug, PartialEq, Eq)]
struct Clause {
    negated: bool,
    test: Test,
}

impl Clause {
    fn holds(&self, row: &impl Searchable) -> bool {
        let found = match &self.test {
            Test::Metadata { key, value } => row.metadata().get(key) == Some(value),
            Test::Text { field, value } => row.text(*field) == Some(value),
            Test::Number { field, comparison, value } => {
                let number = match field {
                    NumberField::Amount => i64::try_from(row.amount()).unwrap_or(i64::MAX),
                    NumberField::Created => row.created().as_seconds(),
                };
                match comparison {
                    Comparison::Equal => number == *value,
                    Comparison::Less => number < *value,
                    Comparison::LessOrEqual => number <= *value,
                    Comparison::Greater => number > *value,
                    Comparison::GreaterOrEqual => number >= *value,
                }
            }
        };
        found != self.negated
    }
}

/// The newest objects that match the query and that the index has seen.
pub(super) fn run<T: Searchable>(
    table: &Table<T>,
    params: &Params,
    now: Timestamp,
    delay: Duration,
    render: impl Fn(&T) -> Value,
) -> Result<Value, ApiError> {
    let clauses = parse(params.required("query")?)?;
    let limit = lists::limit(params)?;
    let end = match params.text("page")? {
        Some(page) => {
            table.position(page).ok_or_else(|| errors::missing_reference("page", page, "page"))?
        }
        None => table.rows().len(),
    };
    let older = table.rows().get(..end).unwrap_or_default();
    let mut found: Vec<&T> = older
        .iter()
        .rev()
        .filter(|row| row.created().after(delay) <= now)
        .filter(|row| clauses.iter().all(|clause| clause.holds(*row)))
        .take(limit.saturating_add(1))
        .collect();
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next_page = if has_more { found.last().map(|row| row.id()) } else { None };
    let data: Vec<Value> = found.iter().map(|row| render(row)).collect();
    Ok(json!({
        "object": "search_result", "url": format!("{}/search", T::URL), "has_more": has_more,
        "next_page": next_page, "data": data,
    }))
}

fn parse(query: &str) -> Result<Vec<Clause>, ApiError> {
    let wrong = || {
        ApiError::invalid(
            "The search query is not understood: write clauses such as metadata['key']:'value', \
             status:'succeeded' or amount>1000, joined by AND",
        )
        .param("query")
    };
    let mut clauses = Vec::new();
    let mut rest = query.trim();
    loop {
        let (clause, after) = clause(rest).ok_or_else(wrong)?;
        clauses.push(clause);
        let after = after.trim_start();
        if after.is_empty() {
            return Ok(clauses);
        }
        let next = after.strip_prefix("AND ").or_else(|| after.strip_prefix("and "));
        rest = next.ok_or_else(wrong)?.trim_start();
    }
}

fn clause(text: &str) -> Option<(Clause, &str)> {
    let (negated, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (condition, rest) = condition(text)?;
    Some((Clause { negated, test: condition }, rest))
}

fn condition(text: &str) -> Option<(Test, &str)> {
    if let Some(rest) = text.strip_prefix("metadata[") {
        let (key, rest) = quoted(rest)?;
        let (value, rest) = quoted(rest.strip_prefix("]:")?)?;
        return Some((Test::Metadata { key, value }, rest));
    }
    let split = text.find(|c: char| !c.is_ascii_lowercase())?;
    let (name, rest) = text.split_at(split);
    let field = match name {
        "status" => TextField::Status,
        "currency" => TextField::Currency,
        "customer" => TextField::Customer,
        "amount" => return number(NumberField::Amount, rest),
        "created" => return number(NumberField::Created, rest),
        _ => return None,
    };
    let (value, rest) = quoted(rest.strip_prefix(':')?)?;
    Some((Test::Text { field, value }, rest))
}

fn number(field: NumberField, text: &str) -> Option<(Test, &str)> {
    let signs = [
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
        (":", Comparison::Equal),
    ];
    let (comparison, rest) = signs
        .iter()
        .find_map(|(sign, comparison)| Some((*comparison, text.strip_prefix(sign)?)))?;
    let bare = || {
        let is_end = |c: char| !c.is_ascii_digit();
        let (digits, rest) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
        (digits.to_owned(), rest)
    };
    let (digits, rest) = quoted(rest).unwrap_or_else(bare);
    let value = digits.parse().ok()?;
    Some((Test::Number { field, comparison, value }, rest))
}

/// A text in single or double quotes, with backslashes before quotes, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            value.push(c);
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return Some((value, text.get(at.saturating_add(1)..)?));
        } else {
            value.push(c);
        }
    }
    None
}

impl Searchable for PaymentIntent {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn amount(&self) -> u64 {
        self.amount
    }

    fn text(&self, field: TextField) -> Option<&str> {
        match field {
            TextField::Status => Some(self.status.name()),
            TextField::Currency => Some(&self.currency),
            TextField::Customer => self.customer.as_deref(),
        }
    }
}

impl Searchable for Charge {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn amount(&self) -> u64 {
        self.amount
    }

    fn text(&self, field: TextField) -> Option<&str> {
        match field {
            TextField::Status => Some(self.status()),
            TextField::Currency => Some(&self.currency),
            TextField::Customer => self.customer.as_deref(),
        }
    }
}
