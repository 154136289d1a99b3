//! Keybrake for Restate.
//!
//! ```text
//! a handler ─► steps ─► one `ctx.run` each ─► Keybrake ─► vendor
//!                │
//!                └─ what failed for good: a `TerminalError` whose message is a report in JSON;
//!                   the rest: retried by Restate under the same idempotency key
//! ```
//!
//! The services are for callers in any language, by name: [`vault_keys`], [`charge_one`],
//! [`customer_billing`]. A handler in Rust can use [`steps`] itself, as [`billing`] does.

pub mod billing;
pub mod charge_one;
pub mod customer_billing;
pub mod failure;
pub mod input;
pub mod server;
pub mod steps;
pub mod vault_keys;
