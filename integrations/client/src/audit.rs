//! Audit rows as the proxy gives them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which calls are wanted. All that is given must hold.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CallFilter {
    /// The run's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_run_label: Option<String>,
    /// The idempotency key, as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// `allowed`, `denied` or `replayed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// `held`, `settled`, `released` or `in_doubt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// How many rows: 100 by default, 1000 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The last page's `next_cursor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// One call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallRow {
    /// Its id.
    pub call_id: String,
    /// `allowed`, `denied` or `replayed`.
    pub verdict: String,
    /// Why it was denied.
    pub code: Option<String>,
    /// `held`, `settled`, `released` or `in_doubt`; none for a call that was not allowed.
    pub state: Option<String>,
    /// What it moved, in dollars.
    pub settled_usd: Option<String>,
    /// The vendor's id of what it made.
    pub vendor_object_id: Option<String>,
    /// The idempotency key, as it was sent.
    pub idempotency_key: Option<String>,
    /// The rest of the row.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// A page of calls, the newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallPage {
    /// The calls.
    pub data: Vec<CallRow>,
    /// Asks for the next page, where there is one.
    pub next_cursor: Option<String>,
}
