//! What a call may do, what it costs, and what happens to its money.

pub mod time;
