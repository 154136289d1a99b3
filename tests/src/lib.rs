//! End-to-end tests of Keybrake.
