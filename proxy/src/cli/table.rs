//! Rows as a table for people, or as JSON.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets::NOTHING};
use serde_json::Value;

/// The widest table where the terminal does not say.
const WIDTH: u16 = 80;

/// What a person looks for first in one row.
const FIRST: [&str; 6] = ["vault_key", "api_key", "key_id", "api_key_id", "call_id", "state"];

/// Rows with these members, as a table; or whole, as JSON.
pub(super) fn show(rows: &[Value], columns: &[&str], as_json: bool) -> String {
    if as_json {
        return serde_json::to_string_pretty(rows).unwrap_or_default();
    }
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        table.set_width(WIDTH);
    }
    table.set_header(columns.iter().map(|column| column.to_uppercase().replace('_', " ")));
    for row in rows {
        table.add_row(columns.iter().map(|column| match text(row.get(*column)) {
            // Without the year, to the second: a list is for finding, one row has the rest.
            instant if *column == "at" => {
                instant.chars().skip(5).take(14).collect::<String>().replace('T', " ")
            }
            text => text,
        }));
    }
    for (index, name) in columns.iter().enumerate() {
        let is_whole = ["at", "state", "verdict", "result"].contains(name) || name.ends_with("_id");
        if let Some(column) = table.column_mut(index).filter(|_| is_whole) {
            // What is copied from here to a command is not broken in two.
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.to_string()
}

/// One row: a member a line, or as JSON.
pub(super) fn show_one(row: &Value, as_json: bool) -> String {
    if as_json {
        return serde_json::to_string_pretty(row).unwrap_or_default();
    }
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    let place = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    let mut members: Vec<_> =
        row.as_object().into_iter().flatten().filter(|(_, value)| !is_empty(value)).collect();
    members.sort_by_key(|(name, _)| place(name));
    let width = members.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    members
        .into_iter()
        .map(|(name, value)| format!("{name:width$}  {}", text(Some(value))))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A value for a person. Control characters do not reach the terminal.
fn text(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            items.iter().map(|item| text(Some(item))).collect::<Vec<_>>().join(", ")
        }
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_))) => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { '�' } else { c }).collect()
}
