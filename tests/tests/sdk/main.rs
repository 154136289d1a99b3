//! Vendors' real SDKs on the real proxy. What counts is what the vendor executed.
//!
//! Each test runs a script of `tests/sdk`, which says what the SDK must show its user; the test then
//! looks at the vendor and at the audit log.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is not there fails the test"
)]

/// Has each claim be a test with one SDK.
macro_rules! claims_with {
    ($module:ident, $sdk:expr; $($claim:ident),+ $(,)?) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test]
                #[ignore = "needs the SDKs: run make test"]
                async fn $claim() {
                    super::$claim($sdk).await;
                }
            )+
        }
    };
}

/// Has each claim be a test with the SDK in either language.
macro_rules! in_python_and_node {
    ($($claim:ident),+ $(,)?) => {
        claims_with![python, Sdk::Python; $($claim),+];
        claims_with![node, Sdk::Node; $($claim),+];
    };
}

mod refusals;
mod resend;
mod stripe;
mod twilio;

use keybrake_tests::sdk::Scene;
use serde_json::Value;

async fn verdicts(scene: &Scene) -> Vec<String> {
    texts(&scene.calls("").await, "verdict")
}

/// The codes of the calls that were denied, one each.
async fn denied(scene: &Scene) -> Vec<String> {
    texts(&scene.calls("verdict=denied").await, "code")
}

fn texts(rows: &[Value], name: &str) -> Vec<String> {
    let text = |row: &Value| row[name].as_str().unwrap_or_default().to_owned();
    rows.iter().map(text).collect()
}
