//! What a key's policy says about vendors: cancelling after a decline, other accounts, fixed holds.

use keybrake::sandbox::Settings;
use keybrake_tests::rig::{Rig, eventually, read};
use serde_json::json;

use crate::spent;

const DECLINED: &str = "amount=700&currency=usd&confirm=true&payment_method=pm_card_chargeDeclined";

#[tokio::test(flavor = "multi_thread")]
async fn a_decline_leaves_an_intent_committed_unless_the_policy_has_it_cancelled() {
    let rig = Rig::start(Settings::default()).await;
    let keeps = rig.issue(json!({})).await;
    let declined = read(rig.post(&keeps, "/v1/payment_intents", "a", DECLINED)).await;
    assert_eq!(declined.status, 402, "{:?}", declined.body);
    assert_eq!(spent(&rig, &keeps).await, "7.00");
    assert_eq!(rig.vendor_total(), 700);

    let cancels = rig.issue(json!({ "on_decline": "cancel", "agent_run_label": "cancels" })).await;
    assert_eq!(cancels.body["on_decline"], json!("cancel"));
    let declined = read(rig.post(&cancels, "/v1/payment_intents", "b", DECLINED)).await;
    assert_eq!(declined.status, 402, "{:?}", declined.body);
    let rows = eventually("the intent is cancelled", || async {
        let rows = rig.calls("agent_run_label=cancels&state=settled").await;
        (rows.len() == 2).then_some(rows)
    })
    .await;
    assert_eq!(rig.vendor_total(), 700, "only the first one is committed");
    assert_eq!(spent(&rig, &cancels).await, "0.00");
    assert!(rows[0]["path"].as_str().unwrap().ends_with("/cancel"), "{}", rows[0]);
    assert!(rows[0]["context"].as_str().unwrap().contains("call_"), "{}", rows[0]);
    // The caller's retry gets what it was told.
    let again = read(rig.post(&cancels, "/v1/payment_intents", "b", DECLINED)).await;
    assert_eq!((again.status, again.header("x-keybrake-replayed")), (402, Some("true")));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_is_refused_unless_the_policy_names_it() {
    let rig = Rig::start(Settings::default()).await;
    let form = "amount=100&currency=usd";
    let pay =
        |key: &keybrake_tests::rig::Key, id: &str, header: &'static str, account: &'static str| {
            read(rig.post(key, "/v1/payment_intents", id, form).header(header, account))
        };
    let own = rig.issue(json!({})).await;
    for header in ["Stripe-Account", "Stripe-Context"] {
        let refused = pay(&own, header, header, "acct_1").await;
        assert_eq!(refused.code(), "parameter_not_allowed", "{header}");
    }
    let sees = rig.vendor_requests();
    let named = rig.issue(json!({ "allowed_accounts": ["acct_1"] })).await;
    assert_eq!(pay(&named, "x", "Stripe-Account", "acct_2").await.code(), "parameter_not_allowed");
    assert_eq!(rig.vendor_requests(), sees, "nothing was sent");
    let paid = pay(&named, "y", "Stripe-Account", "acct_1").await;
    assert_eq!(rig.vendor_requests(), sees + 1, "{:?}", paid.body);
    // The same key for another account is another request.
    let other = read(rig.post(&named, "/v1/payment_intents", "y", form)).await;
    assert!(other.status == 400 || paid.status != 200, "{:?}", other.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_parameters_can_be_bound_to_values() {
    let rig = Rig::start(Settings::default()).await;
    let bound = json!({ "allowed_params": { "metadata[team]": ["red"], "currency": ["usd"] } });
    let key = rig.issue(bound).await;
    let pay = |id: &'static str, form: &'static str| {
        read(rig.post(&key, "/v1/payment_intents", id, form))
    };
    let paid = pay("a", "amount=100&currency=usd&metadata[team]=red&metadata[other]=x").await;
    assert_eq!(paid.status, 200, "{:?}", paid.body);
    for (id, form) in [
        ("b", "amount=100&currency=usd&metadata[team]=blue"),
        ("c", "amount=100&currency=usd"),
        ("d", "amount=100&currency=usd&Metadata[team]=red&metadata[team]=red"),
        ("e", "amount=100&currency=usd&metadata=red"),
        ("f", "amount=100&currency=usd&metadata[Team]=blue&metadata[team]=red"),
    ] {
        assert_eq!(pay(id, form).await.code(), "parameter_not_allowed", "{form}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_price_needs_a_fixed_hold() {
    let rig = Rig::start(Settings::default()).await;
    let all = json!(["POST /v1/*"]);
    let without = rig.issue(json!({ "allowed_endpoints": all })).await;
    let subscribe = "customer=cus_1&items[0][price]=price_1";
    let refused = read(rig.post(&without, "/v1/subscriptions", "a", subscribe)).await;
    assert_eq!(refused.code(), "unpriced_endpoint");
    let checkout = "mode=payment&line_items[0][price]=price_1&line_items[0][quantity]=2";
    let refused = read(rig.post(&without, "/v1/checkout/sessions", "b", checkout)).await;
    assert_eq!(refused.code(), "unpriced_endpoint");
    let holds = json!({ "POST /v1/subscriptions": "20", "POST /v1/checkout/sessions": "15" });
    let with = rig.issue(json!({ "allowed_endpoints": all, "fixed_holds": holds })).await;
    for (path, form) in [("/v1/subscriptions", subscribe), ("/v1/checkout/sessions", checkout)] {
        // The sandbox does not know them; what counts is that they were sent with a hold.
        read(rig.post(&with, path, path, form)).await;
        let rows = rig.calls(&format!("key_id={}&verdict=allowed", with.id)).await;
        let expected = if path.ends_with("subscriptions") { "20.00" } else { "15.00" };
        assert_eq!(rows[0]["held_usd"], json!(expected), "{}", rows[0]);
    }
    let own_price = json!({ "fixed_holds": { "POST /v1/payment_intents": "1" } });
    assert_eq!(rig.try_issue(own_price).await.status, 400, "it has a price of its own");
}
