//! Durable Task: the activities for an orchestrator in any language, over the gRPC protocol that its
//! sidecar, its scheduler and its in-memory backends speak.
//!
//! A failure keeps its type on this way: an orchestrator sees `CapExhausted`. Some retry policies
//! can't leave a type out and ignore that it is not to be retried (Python's), so an input may ask for
//! `"failures": "value"` and gets `{"ok": false, "code": …}` instead.

mod backend;
mod messages;
mod task;
mod worker;

pub use backend::{Backend, InvalidBackend};
pub use worker::Worker;
