//! Keybrake in AWS Step Functions: one small Lambda function for each thing that a run does.
//!
//! ```text
//! invocation ─► serve ─► task (issue, charge, refresh, revoke, queue, ended) ─► keybrake-client ─► proxy
//!                 │
//!                 └─► a result that may stand in the history, or an error by the name that a
//!                     state machine matches on: CapExhausted, OutcomeUnknown, Retryable, …
//! ```
//!
//! Everything that is done can be done again: a state machine retries, redrives, and delivers twice.

pub mod charge;
pub mod ended;
pub mod issue;
pub mod queue;
pub mod refresh;
pub mod revoke;
pub mod serve;
pub mod worker;
