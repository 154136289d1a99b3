//! A handler's input, whose faults end the invocation with the field named.
//!
//! Left to the SDK, a wrong type would be told as a place in the text.

use keybrake_client::{IdempotencyKey, input};
use restate_sdk::prelude::TerminalError;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::terminal;

/// The input as what it must be.
pub fn read<T: DeserializeOwned>(input: Value) -> Result<T, TerminalError> {
    input::read(input).map_err(|failure| terminal(&failure))
}

/// An idempotency key in the caller's words.
pub fn idempotency_key(given: impl Into<String>) -> Result<IdempotencyKey, TerminalError> {
    IdempotencyKey::new(given).map_err(|failure| terminal(&failure))
}
