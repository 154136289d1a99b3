//! A list, page by page.

use clap::Args;
use serde_json::Value;

use super::{print, table, talk};

/// Which page of a list.
#[derive(Args)]
pub(super) struct Page {
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// The page after the one that ended with this cursor.
    #[arg(long)]
    cursor: Option<String>,
}

impl Page {
    /// The page's own part of a query.
    pub(super) fn asked(self) -> [(&'static str, Option<String>); 2] {
        [("limit", Some(self.limit.to_string())), ("cursor", self.cursor)]
    }
}

/// Shows a list, and how to get its next page.
pub(super) fn show(listed: &Value, columns: &[&str], as_json: bool) {
    let rows = listed.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    print(&table::show(&rows, columns, as_json));
    if let Some(cursor) = listed.get("next_cursor").and_then(Value::as_str) {
        talk(&format!("more: --cursor {cursor}"));
    }
}
