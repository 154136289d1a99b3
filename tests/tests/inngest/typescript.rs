//! The example for TypeScript, with the real SDK, driven as Inngest drives it.

use keybrake_tests::examples;
use serde_json::json;

use crate::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn the_example_bills_under_its_cap_and_ends_capped_steps_at_once() {
    let bench = Bench::start().await;
    let dev = [("INNGEST_DEV", bench.executor.url.as_str())];
    let example = examples::typescript("inngest-typescript", &bench.rig.url, &dev);
    let served = format!("{}/api/inngest", example.url);
    let event = bench.event(30, 12).await;

    let ended = bench.executor.run(&served, "keybrake-example-billing-agent", event).await;

    assert_eq!(ended.result.unwrap(), json!({"charged": 12, "failed": 18}));
    assert!(ended.tries.values().all(|tries| *tries == 1), "{:?}", ended.tries);
    assert_eq!(bench.charged(), 12);
    let label = format!("inngest/billing/subscription.process/{}", ended.run_id);
    let key = keybrake_tests::rig::read(
        bench.rig.admin("GET", &format!("/vault/keys?agent_run_label={label}")),
    );
    assert_eq!(key.await.body["data"][0]["state"], "revoked");
}
