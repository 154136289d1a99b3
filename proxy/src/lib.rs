//! Keybrake, the server and the command line.

pub mod outside;
pub mod sandbox;
pub mod store;
