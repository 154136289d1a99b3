//! The client of Keybrake that all Rust adapters share.
//!
//! ```text
//! an engine's step ─► input ─► Keybrake ─► proxy
//!                                             │
//!                     Done, or a Failure that says what the engine must do:
//!                     Terminal (never again) · Retryable (nothing happened) · Unknown (the same key again)
//! ```
//!
//! An adapter translates [`Failure`] into its engine's language and does nothing else with it.

pub mod audit;
pub mod call;
pub mod charge;
pub mod client;
pub mod customers;
pub mod failure;
pub mod idempotency;
pub mod input;
pub mod key;
pub mod settings;
pub mod summary;

pub use call::{Done, VendorCall};
pub use client::Keybrake;
pub use customers::Customers;
pub use failure::{Failure, Reason, Told};
pub use idempotency::IdempotencyKey;
pub use key::{Handle, IssueRequest, IssuedKey, Spender};
pub use settings::Settings;
pub use summary::Summary;
