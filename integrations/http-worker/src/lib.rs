//! Keybrake's activities for engines that call a worker over HTTP, or give it work over gRPC.
//!
//! ```text
//! Inngest ─────────── inngest ──┐
//! Azure's host ────── azure ────┤
//! Durable Task ─ durable_task ──┼─► activities ─► Keybrake ─► vendor
//! anything, by JSON ─ plain ────┘
//! ```
//!
//! What an activity does is written once, in [`activities`]; the engines differ in their envelope,
//! and in what they make of a failure.

pub mod activities;
pub mod auth;
pub mod azure;
pub mod durable_task;
pub mod inngest;
pub mod plain;
pub mod server;
