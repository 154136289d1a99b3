//! Step Functions: the real Lambda binaries in real execution environments, under a real
//! interpreter of state machines, before the real proxy. What counts is what the vendor executed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is not there fails the test"
)]

mod deployment;
mod endings;
mod fan_out;
mod faults;
mod machines;
mod names;
mod queue;
mod secrets;
mod waits;
