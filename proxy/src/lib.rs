//! Keybrake.
