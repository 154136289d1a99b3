//! What the end-to-end tests share: a proxy and a sandbox, in this process or as real ones.

pub mod durable;
pub mod engine;
pub mod examples;
pub mod guide;
pub mod inngest;
pub mod lambda;
pub mod process;
pub mod restate;
pub mod rig;
pub mod sdk;
pub mod stage;
pub mod step_functions;

/// The secret that the sandbox accepts.
pub const SECRET: &str = "sk_test_sandbox_of_the_tests";
/// The admin's API key of the tests.
pub const API_KEY: &str = "kb_api_key_of_the_tests";

/// An HTTP client for a test.
///
/// # Panics
/// Where none can be made.
#[must_use]
#[expect(clippy::expect_used, reason = "a test that can't ask fails")]
pub fn http() -> reqwest::Client {
    http_builder().build().expect("an HTTP client")
}

/// A builder of one. Reqwest has no TLS of its own here, and needs to be told of one even for HTTP.
pub fn http_builder() -> reqwest::ClientBuilder {
    // Whoever comes second finds it installed.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder()
}
