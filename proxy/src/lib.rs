//! Keybrake, the server and the command line.

pub mod app;
pub mod config;
pub mod gate;
pub mod outside;
pub mod sandbox;
pub mod seal;
pub mod store;
pub mod upstream;
pub mod waiters;
