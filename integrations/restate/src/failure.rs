//! A failure in Restate's language.
//!
//! Restate carries a number and a text from a handler to its caller, and nothing else. The text is
//! the [`Report`] in JSON, so that a caller in any language can read its code.

use std::fmt;

use keybrake_client::{
    Failure,
    failure::{Report, Told},
};
use restate_sdk::prelude::*;

/// The number by which Restate ends a cancelled invocation.
const CANCELLED: u16 = 409;

/// A failure that Restate retries. Its text is the report, for when the retries are used up.
#[derive(Debug)]
struct Again(Report);

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(&self.0))
    }
}

impl std::error::Error for Again {}

fn text(report: &Report) -> String {
    serde_json::to_string(report).unwrap_or_else(|_| report.told.message.clone())
}

/// The failure, as it must leave the closure of a step.
#[must_use]
pub fn in_step(failure: &Failure) -> HandlerError {
    match failure {
        Failure::Terminal { .. } => terminal(failure).into(),
        // Read only once the retries are used up.
        Failure::Retryable { .. } | Failure::Unknown { .. } => {
            Again(failure.clone().given_up().report()).into()
        }
    }
}

/// The failure as the end of an invocation.
#[must_use]
pub fn terminal(failure: &Failure) -> TerminalError {
    TerminalError::new_with_code(failure.status(), text(&failure.report()))
}

/// Whether this is Restate's word that the invocation was cancelled.
#[must_use]
pub fn is_cancelled(error: &TerminalError) -> bool {
    error.code() == CANCELLED && read(error.message()).is_none()
}

/// What a step or a called service ended with. An error that is no report of ours is one as well:
/// its code is `cancelled` or `restate_error`.
#[must_use]
pub fn report(error: &TerminalError) -> Report {
    read(error.message()).unwrap_or_else(|| {
        let code = if error.code() == CANCELLED { "cancelled" } else { "restate_error" };
        let told = Told {
            code: code.to_owned(),
            message: error.message().to_owned(),
            status: error.code(),
            ..Told::default()
        };
        Report { error: "OutcomeUnknown".to_owned(), terminal: true, told }
    })
}

/// Restate may put words of its own before a text whose retries are used up.
fn read(message: &str) -> Option<Report> {
    let begins = message.find('{')?;
    serde_json::from_str(message.get(begins..)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_back_from_a_terminal_error() {
        let failure = Failure::invalid_input("amount", "is 0");
        let error = terminal(&failure);
        assert_eq!((error.code(), report(&error)), (400, failure.report()));
        let used_up = TerminalError::new(format!("retries exhausted: {}", error.message()));
        assert_eq!(report(&used_up), failure.report());
    }

    #[test]
    fn a_cancellation_is_told_from_a_call_that_is_in_progress() {
        assert!(is_cancelled(&TerminalError::new_with_code(409, "cancelled")));
        let ours = serde_json::to_string(&Failure::invalid_input("x", "y").report()).unwrap();
        assert!(!is_cancelled(&TerminalError::new_with_code(409, ours)));
        assert_eq!(report(&TerminalError::new_with_code(409, "cancelled")).told.code, "cancelled");
    }
}
