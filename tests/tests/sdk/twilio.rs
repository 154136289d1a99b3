//! Twilio's SDKs.

use keybrake_tests::sdk::{Scene, Sdk};
use serde_json::{Value, json};

use crate::{denied, refusals::Refused, verdicts};

in_python_and_node![
    messages_calls_verifications_and_look_ups_work_as_at_twilio,
    a_cap_hit_is_the_sdks_error_and_one_request,
    an_endpoint_that_is_not_allowed_is_the_sdks_error,
    an_expired_key_is_the_sdks_error,
    a_revoked_key_is_the_sdks_error,
];

/// How many messages reached the vendor.
const MESSAGES: &str = "by_endpoint/POST ~12010-04-01~1Accounts~1{id}~1Messages.json";

fn key() -> Value {
    json!({
        "vendor": "twilio",
        "allowed_endpoints": [
            "POST /2010-04-01/Accounts/{account}/Messages.json",
            "POST /2010-04-01/Accounts/{account}/Calls.json",
            "POST /v2/Services/{service}/*",
            "GET /*",
        ],
    })
}

async fn messages_calls_verifications_and_look_ups_work_as_at_twilio(sdk: Sdk) {
    let scene = Scene::start();
    let key = scene.issue(key()).await;
    scene.run_with(sdk, "twilio_paid", &key, &[]).await;
    let executed = scene.executed_at("twilio").await;
    for (kind, count) in [("messages", 2), ("calls", 1), ("verifications", 1), ("lookups", 1)] {
        assert_eq!(executed[kind], count, "{executed}");
    }
    // Two messages at 0.0133, a minute at 0.03, a verification at 0.0633, a look-up at 0.008.
    assert_eq!(scene.spent(&key).await, "0.1279");
    assert_eq!(verdicts(&scene).await, ["allowed"; 9]);
}

/// A message of one segment costs 0.0133 dollars.
fn refused() -> Refused<'static> {
    Refused { script: "twilio_refused", key: key(), cap: "0.02", counted: MESSAGES }
}

async fn a_cap_hit_is_the_sdks_error_and_one_request(sdk: Sdk) {
    refused().by_the_cap(sdk).await;
}

async fn an_endpoint_that_is_not_allowed_is_the_sdks_error(sdk: Sdk) {
    refused().by_the_allowlist(sdk).await;
}

async fn an_expired_key_is_the_sdks_error(sdk: Sdk) {
    refused().by_the_expiry(sdk).await;
}

async fn a_revoked_key_is_the_sdks_error(sdk: Sdk) {
    refused().by_a_revocation(sdk).await;
}

#[tokio::test]
#[ignore = "needs the SDKs: run make test"]
async fn a_node_client_that_retries_at_the_cap_reaches_no_vendor() {
    let scene = Scene::start();
    let mut asked = key();
    asked["total_usd_cap"] = json!("0.02");
    let key = scene.issue(asked).await;
    scene.run_with(Sdk::Node, "twilio_stubborn", &key, &[]).await;
    assert_eq!(scene.count(MESSAGES).await, 1);
    assert_eq!(denied(&scene).await, ["cap_exhausted"; 3]);
}
