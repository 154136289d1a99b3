//! Keybrake's activities for engines that call a worker over HTTP.
//!
//! ```text
//! Inngest ─────────── inngest ──┐
//! Azure's host ────── azure ────┼─► activities ─► Keybrake ─► vendor
//! anything, by JSON ─ plain ────┘
//! ```
//!
//! What an activity does is written once, in [`activities`]; the engines differ in their envelope,
//! and in what they make of a failure.

pub mod activities;
pub mod auth;
pub mod azure;
pub mod inngest;
pub mod plain;
pub mod server;
