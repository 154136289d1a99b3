//! Small scenarios.
