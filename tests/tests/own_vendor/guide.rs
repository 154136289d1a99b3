//! What the three worked examples say, of real calls.

use keybrake_tests::rig::{eventually, read};
use serde_json::json;

use crate::Shop;

fn held_and_settled(row: &serde_json::Value) -> (&str, &str) {
    (row["held_usd"].as_str().unwrap(), row["settled_usd"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_price_is_held_and_settled_for_each_call_until_the_cap() {
    let shop = Shop::open().await;
    let token = shop.key("postcheck", "0.05").await;
    let check =
        || shop.post("/postcheck/v1/checks").bearer_auth(&token).json(&json!({"line": "1 A St"}));
    for _ in 0..2 {
        let answer = read(check()).await;
        assert_eq!((answer.status, answer.text("/id")), (200, "chk_1"), "{:?}", answer.body);
        let row = shop.row(&answer).await;
        assert_eq!(held_and_settled(&row), ("0.02", "0.02"), "{row}");
        assert_eq!(row["vendor_object_id"], "chk_1");
    }
    let over = read(check()).await;
    assert_eq!((over.status, over.code()), (429, "cap_exhausted"));
    assert_eq!(over.header("x-keybrake-cap-hit"), Some("true"));
    let unlisted =
        read(shop.post("/postcheck/v1/batches").bearer_auth(&token).json(&json!({}))).await;
    assert_eq!((unlisted.status, unlisted.code()), (403, "unpriced_endpoint"));
    assert_eq!(shop.fake.lines(), ["POST /v1/checks", "POST /v1/checks"]);
    shop.assert_nothing_of(&token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_by_units_is_held_at_the_most_and_settled_at_what_the_answer_counts() {
    let shop = Shop::open().await;
    let token = shop.key("wordy", "0.01").await;
    let ask = |model: &str, most: u32| {
        let body = json!({"model": model, "max_tokens": most, "messages": [{"role": "user", "content": "Is it?"}]});
        // As the vendor's own SDK does: the credential is in a header of its own.
        shop.post("/wordy/v1/messages").header("x-api-key", &token).json(&body)
    };
    let answer = read(ask("wordy-small", 100)).await;
    assert_eq!((answer.status, answer.text("/text")), (200, "Yes."), "{:?}", answer.body);
    let row = shop.row(&answer).await;
    // Names and values, as forms write them.
    let bytes =
        "max_tokens100modelwordy-smallmessages[0][content]Is it?messages[0][role]user".len();
    let most = format!("0.{:06}", bytes * 3 + 100 * 15);
    assert_eq!(held_and_settled(&row), (most.trim_end_matches('0'), "0.00012"), "{row}");
    let too_much = read(ask("wordy-small", 1000)).await;
    assert_eq!((too_much.status, too_much.code()), (429, "cap_exhausted"));
    let no_price = read(ask("wordy-large", 1)).await;
    assert_eq!((no_price.status, no_price.code()), (403, "unpriced_endpoint"));
    let boundless = shop.post("/wordy/v1/messages").header("x-api-key", &token);
    let boundless = read(boundless.json(&json!({"model": "wordy-small"}))).await;
    assert_eq!((boundless.status, boundless.code()), (400, "invalid_amount"));
    assert_eq!(shop.fake.lines(), ["POST /v1/messages"]);
    shop.assert_nothing_of(&token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_is_asked_for_the_price_first_with_the_real_secret() {
    let shop = Shop::open().await;
    let token = shop.key("parcel", "20").await;
    let buy = |rate: &'static str, key: &str| {
        let request = shop.form("/parcel/v1/labels", &token, format!("rate={rate}"));
        request.header("idempotency-key", key)
    };
    let answer = read(buy("rate_1", "k1")).await;
    assert_eq!((answer.status, answer.text("/status")), (200, "bought"), "{:?}", answer.body);
    let row = shop.row(&answer).await;
    assert_eq!(held_and_settled(&row), ("7.45", "7.40"), "{row}");
    assert_eq!(row["vendor_object_id"], "lbl_1");
    let again = read(buy("rate_1", "k1")).await;
    assert_eq!(again.header("x-keybrake-replayed"), Some("true"), "{:?}", again.body);
    assert_eq!(shop.fake.lines(), ["GET /v1/rates/rate_1", "POST /v1/labels"]);
    let [_, bought] = shop.fake.seen().try_into().unwrap_or_else(|seen| panic!("{seen:?}"));
    assert!(bought.body.contains("keybrake_run%5D=own%2F1"), "{}", bought.body);

    let unknown = read(buy("rate_2", "k2")).await;
    assert_eq!((unknown.status, unknown.code()), (400, "invalid_request"));
    let free = shop.form("/parcel/v1/addresses", &token, "a=b");
    assert_eq!(read(free).await.status, 200);
    for (path, code) in
        [("/v1/refunds", "unpriced_endpoint"), ("/v1/api_keys", "endpoint_not_allowed")]
    {
        let refused = read(shop.form(&format!("/parcel{path}"), &token, "a=b")).await;
        assert_eq!((refused.status, refused.code()), (403, code));
    }
    assert_eq!(shop.fake.lines().split_off(2), ["GET /v1/rates/rate_2", "POST /v1/addresses"]);
    assert_eq!(shop.fake.labels().len(), 1);
    shop.assert_nothing_of(&token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_whose_answer_was_lost_is_found_by_its_tag() {
    let shop = Shop::open().await;
    let token = shop.key("parcel", "20").await;
    let buy = || {
        let request = shop.form("/parcel/v1/labels", &token, "rate=rate_lost");
        request.header("idempotency-key", "k1")
    };
    let lost = read(buy()).await;
    assert_eq!((lost.status, lost.code()), (504, "outcome_unknown"), "{:?}", lost.body);
    let row = shop.row(&lost).await;
    assert_eq!(held_and_settled(&row), ("7.45", "7.40"), "{row}");
    assert_eq!(row["vendor_object_id"], "lbl_1");
    let looked = shop.fake.lines().split_off(2);
    assert!(looked[0].starts_with("GET /v1/labels?since=") && looked[1] == "GET /v1/labels/lbl_1");
    eventually("the stored answer is there", || async {
        (read(buy()).await.text("/id") == "lbl_1").then_some(())
    })
    .await;
    assert_eq!(shop.fake.labels().len(), 1);
}
