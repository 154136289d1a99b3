//! What the end-to-end tests share: a proxy and a sandbox, in this process or as real ones.

pub mod engine;
pub mod lambda;
pub mod process;
pub mod rig;
pub mod sdk;
pub mod step_functions;

/// The secret that the sandbox accepts.
pub const SECRET: &str = "sk_test_sandbox_of_the_tests";
/// The admin's API key of the tests.
pub const API_KEY: &str = "kb_api_key_of_the_tests";
