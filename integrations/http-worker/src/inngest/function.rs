//! A function: what triggers it, and its body.

use std::{fmt, pin::Pin, sync::Arc};

use keybrake_client::Failure;
use serde_json::Value;

use super::{
    event::Event,
    step::{StepError, Steps},
};

type Body =
    dyn Fn(Run) -> Pin<Box<dyn Future<Output = Result<Value, FunctionError>> + Send>> + Send + Sync;

/// A function that Inngest runs.
#[derive(Clone)]
pub struct Function {
    pub(super) id: &'static str,
    pub(super) event: &'static str,
    pub(super) only_if: Option<String>,
    pub(super) retries: u32,
    pub(super) body: Arc<Body>,
}

/// One run, as its body sees it.
#[derive(Clone, Debug)]
pub struct Run {
    /// The run's id: the same over all its retries.
    pub id: String,
    /// How often this call was tried before: 0 at first.
    pub attempt: u32,
    /// The event that began it.
    pub event: Event,
    /// Does steps.
    pub step: Steps,
}

/// How a body fails. A step's failure that the body lets through ends the run.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {message}")]
pub struct FunctionError {
    pub(super) name: String,
    pub(super) message: String,
    pub(super) retriable: bool,
}

impl Function {
    /// A function by its id in the app, the event that begins it, and its body. Steps and the body
    /// are tried four times.
    pub fn new<F>(
        id: &'static str,
        event: &'static str,
        body: impl Fn(Run) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Value, FunctionError>> + Send + 'static,
    {
        let body =
            Arc::new(move |run| -> Pin<Box<dyn Future<Output = _> + Send>> { Box::pin(body(run)) });
        Self { id, event, only_if: None, retries: 3, body }
    }

    /// Only for events of which this expression of Inngest's holds.
    #[must_use]
    pub fn only_if(mut self, expression: String) -> Self {
        self.only_if = Some(expression);
        self
    }

    /// How often a step or the body is tried again.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("id", &self.id)
            .field("event", &self.event)
            .finish_non_exhaustive()
    }
}

impl FunctionError {
    /// One that no retry mends.
    pub fn fatal(name: &str, message: impl Into<String>) -> Self {
        Self { name: name.to_owned(), message: message.into(), retriable: false }
    }
}

impl From<StepError> for FunctionError {
    fn from(error: StepError) -> Self {
        // The step was tried as often as it may be.
        Self { name: error.name, message: error.message, retriable: false }
    }
}

impl From<Failure> for FunctionError {
    fn from(failure: Failure) -> Self {
        Self {
            name: failure.name().to_owned(),
            message: failure.told().message.clone(),
            retriable: !failure.is_terminal(),
        }
    }
}
