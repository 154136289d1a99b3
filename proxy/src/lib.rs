//! Keybrake, the server and the command line.

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod failures;
pub mod gate;
pub mod limits;
pub mod lookups;
pub mod metrics;
pub mod outside;
pub mod pipeline;
pub mod sandbox;
pub mod seal;
pub mod server;
pub mod store;
pub mod upstream;
mod vendor_request;
pub mod waiters;
