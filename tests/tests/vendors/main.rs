//! What calls cost at each vendor: objects whose commitment moves, foreign money, other accounts,
//! vendors without idempotency, with prices that come later or by the recipient, and vendors of one's
//! own.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is not there fails the test"
)]

mod currencies;
mod objects;
mod policies;
mod resend;
mod twilio;

use keybrake_tests::rig::{Key, Rig, eventually};
use serde_json::json;

/// The key's spending in dollars, once every call is recorded: answers do not wait for that.
async fn spent(rig: &Rig, key: &Key) -> String {
    eventually("all answers are recorded", || async {
        rig.calls("state=held").await.is_empty().then_some(())
    })
    .await;
    let shown = rig.show(key).await;
    assert_eq!(shown["held_usd"], json!("0.00"), "{shown}");
    shown["spent_usd"].as_str().unwrap().to_owned()
}
