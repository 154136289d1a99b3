//! Stripe's definition against a table of cases for each of its endpoints that move money, and
//! against the list of all its writes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what can't be read fails the test"
)]

mod cases;
mod hostile;
mod prices;
mod routes;

use keybrake_core::vendor::{built_in, definition::Definition};

fn stripe() -> Definition {
    built_in().unwrap().remove(0)
}
