//! Inngest's served-function protocol, and the ready functions.
//!
//! ```text
//! POST ─► signature ─► call (what the server knows of the run) ─► replay (the function's body,
//!         steps that are known answered) ─► decide: run one step now, plan several, or done ─► answer
//! ```
//!
//! A function is an async body that awaits steps and nothing else. It runs from its beginning on each
//! request; a step that the server knows is answered from what it knows, so that only what is new is
//! done. [`all`] makes steps parallel.

mod answer;
mod api;
pub mod billing;
mod call;
pub mod event;
pub mod function;
mod replay;
mod serve;
pub mod settings;
pub mod step;

pub use event::Event;
pub use function::{Function, FunctionError, Run};
pub use serve::{App, PATH, routes};
pub use settings::{Mode, Settings};
pub use step::{StepError, Steps, all};
