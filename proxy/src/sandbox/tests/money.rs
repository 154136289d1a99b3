use super::*;

#[tokio::test]
async fn a_confirmed_intent_succeeds_and_has_a_charge() {
    let vendor = start().await;
    let body = format!("{PAY}&metadata[order]=7&off_session=true&expand[]=latest_charge");
    let intent = vendor.post(INTENTS, &body).await.json();
    assert_eq!(intent["status"], "succeeded");
    assert_eq!(intent["amount_received"], 1099);
    assert_eq!(intent["metadata"]["order"], "7");
    assert_eq!(intent["latest_charge"]["status"], "succeeded");
    assert_eq!(intent["latest_charge"]["payment_intent"], intent["id"]);
}

#[tokio::test]
async fn an_intent_commits_its_amount_before_it_is_confirmed() {
    let vendor = start().await;
    let plain = vendor.post(INTENTS, "amount=300&currency=usd").await;
    let body = "amount=400&currency=usd&payment_method=pm_card_visa";
    let ready = vendor.post(INTENTS, body).await;
    assert_eq!(plain.json()["status"], "requires_payment_method");
    assert_eq!(ready.json()["status"], "requires_confirmation");
    assert_eq!(vendor.total(), 700);

    let path = format!("{INTENTS}/{}/confirm", ready.id());
    assert_eq!(vendor.post(&path, "").await.json()["status"], "succeeded");
    assert_eq!(vendor.total(), 700);
    let again = vendor.post(&path, "").await;
    assert_eq!(again.error("code"), "payment_intent_unexpected_state");
}

#[tokio::test]
async fn a_declined_intent_exists_and_stays_committed() {
    let vendor = start().await;
    let body = "amount=300&currency=usd&payment_method=pm_card_chargeDeclined&confirm=true";
    let answer = vendor.post(INTENTS, body).await;
    assert_eq!(answer.status, 402);
    assert_eq!(answer.error("type"), "card_error");
    assert_eq!(answer.error("code"), "card_declined");
    assert_eq!(answer.error("decline_code"), "generic_decline");
    let intent = answer.error("payment_intent");
    assert_eq!(intent["status"], "requires_payment_method");
    assert_eq!(intent["last_payment_error"]["code"], "card_declined");
    let stored = vendor.get(&format!("{INTENTS}/{}", intent["id"].as_str().unwrap())).await;
    assert_eq!(stored.json(), intent);
    assert_eq!(vendor.total(), 300);
}

#[tokio::test]
async fn a_declined_charge_exists_and_commits_nothing() {
    let vendor = start().await;
    let body = "amount=300&currency=usd&source=tok_chargeDeclined";
    let answer = vendor.post("/v1/charges", body).await;
    assert_eq!(answer.status, 402);
    let id = answer.error("charge");
    let charge = vendor.get(&format!("/v1/charges/{}", id.as_str().unwrap())).await.json();
    assert_eq!(charge["status"], "failed");
    assert_eq!(charge["failure_code"], "card_declined");
    assert_eq!(vendor.total(), 0);
    assert_eq!(vendor.sandbox.executed().data[0].status, "failed");
}

#[tokio::test]
async fn a_canceled_intent_commits_nothing_and_the_high_water_remains() {
    let vendor = start().await;
    let id = vendor.post(INTENTS, "amount=300&currency=usd").await.id();
    let canceled = vendor.post(&format!("{INTENTS}/{id}/cancel"), "").await;
    assert_eq!(canceled.json()["status"], "canceled");
    assert_eq!(vendor.total(), 0);
    assert_eq!(vendor.sandbox.executed().high_water_minor["usd"], 300);
}

#[tokio::test]
async fn a_partial_capture_commits_what_was_captured() {
    let vendor = start().await;
    let id = vendor.post(INTENTS, &format!("{PAY}&capture_method=manual")).await.id();
    assert_eq!(vendor.total(), 1099);
    let path = format!("{INTENTS}/{id}/capture");
    let too_much = vendor.post(&path, "amount_to_capture=1100").await;
    let captured = vendor.post(&path, "amount_to_capture=600").await;
    assert_eq!(too_much.error("code"), "amount_too_large");
    assert_eq!(captured.json()["amount_received"], 600);
    assert_eq!(vendor.total(), 600);
    assert_eq!(vendor.get("/v1/balance").await.json()["available"][0]["amount"], 600);
}

#[tokio::test]
async fn a_charge_may_be_captured_later_and_once() {
    let vendor = start().await;
    let body = "amount=500&currency=usd&source=tok_visa&capture=false";
    let charge = vendor.post("/v1/charges", body).await;
    assert_eq!(charge.json()["captured"], false);
    let path = format!("/v1/charges/{}/capture", charge.id());
    assert_eq!(vendor.post(&path, "amount=200").await.json()["amount_captured"], 200);
    assert_eq!(vendor.post(&path, "").await.error("code"), "charge_already_captured");
    assert_eq!(vendor.total(), 200);
}

#[tokio::test]
async fn a_customers_card_is_charged_where_no_source_is_given() {
    let vendor = start().await;
    let with = vendor.post("/v1/customers", "source=tok_visa").await.id();
    let without = vendor.post("/v1/customers", "name=a").await.id();
    let charge = async |customer| {
        let body = format!("amount=500&currency=usd&customer={customer}");
        vendor.post("/v1/charges", &body).await.status
    };
    assert_eq!(charge(with).await, 200);
    assert_eq!(charge(without).await, 402);
}

#[tokio::test]
async fn refunds_never_exceed_what_is_left() {
    let vendor = start().await;
    let intent = vendor.post(INTENTS, PAY).await.id();
    let refund = async |rest: &str| {
        let body = format!("payment_intent={intent}{rest}");
        vendor.post("/v1/refunds", &body).await
    };
    assert_eq!(refund("&amount=1100").await.error("code"), "amount_too_large");
    assert_eq!(refund("&amount=1000").await.json()["status"], "succeeded");
    assert_eq!(refund("").await.json()["amount"], 99);
    assert_eq!(refund("").await.error("code"), "charge_already_refunded");
    assert_eq!(vendor.total(), 2198);
}

#[tokio::test]
async fn an_update_changes_terms_only_while_the_intent_is_open() {
    let vendor = start().await;
    let open = vendor.post(INTENTS, "amount=300&currency=usd&metadata[a]=1").await.id();
    let path = format!("{INTENTS}/{open}");
    let updated = vendor.post(&path, "amount=800&metadata[b]=2&metadata[a]=").await.json();
    assert_eq!(updated["amount"], 800);
    assert_eq!(updated["metadata"], serde_json::json!({"b": "2"}));
    assert_eq!(vendor.total(), 800);

    let closed = vendor.post(INTENTS, PAY).await.id();
    let refused = vendor.post(&format!("{INTENTS}/{closed}"), "amount=800").await;
    assert_eq!(refused.error("code"), "payment_intent_unexpected_state");
}
