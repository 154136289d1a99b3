//! Keybrake, the server and the command line.

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod gate;
pub mod lookups;
pub mod outside;
pub mod pipeline;
pub mod sandbox;
pub mod seal;
pub mod server;
pub mod store;
pub mod upstream;
mod vendor_request;
pub mod waiters;
