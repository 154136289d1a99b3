//! What the server sends with each call of a function.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{answer::Attempt, event::Event};

/// The body of a call. It comes with all that is known of the run, of which a call needs little: so it
/// is read only where it is asked for.
#[derive(Deserialize)]
pub(super) struct Call {
    pub(super) ctx: Ctx,
    #[serde(default)]
    pub(super) event: Event,
    #[serde(default)]
    pub(super) steps: Option<HashMap<String, Box<RawValue>>>,
    #[serde(default)]
    pub(super) use_api: bool,
}

/// What is known of the run.
#[derive(Deserialize)]
pub(super) struct Ctx {
    pub(super) run_id: String,
    #[serde(default)]
    pub(super) attempt: u32,
    #[serde(default = "four")]
    pub(super) max_attempts: u32,
    #[serde(default)]
    pub(super) disable_immediate_execution: bool,
    #[serde(default)]
    pub(super) use_api: bool,
}

fn four() -> u32 {
    4
}

impl Call {
    /// Whether steps and events are to be fetched, since they are too large to be sent along.
    pub(super) const fn is_large(&self) -> bool {
        self.use_api || self.ctx.use_api
    }

    /// Which attempt this is.
    pub(super) const fn attempt(&self) -> Attempt {
        Attempt {
            is_first: self.ctx.attempt == 0,
            is_last: self.ctx.attempt.saturating_add(1) >= self.ctx.max_attempts,
        }
    }
}
