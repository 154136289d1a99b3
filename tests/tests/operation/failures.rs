//! Whoever guesses, or goes on with a wrong key.

use std::net::IpAddr;

use keybrake_core::{ids::KeyId, token::VaultToken};
use keybrake_tests::rig::{Answer, read};
use reqwest::{Client, RequestBuilder};

use super::{Served, metrics};

fn client_at(address: [u8; 4]) -> Client {
    keybrake_tests::http_builder().local_address(IpAddr::from(address)).build().unwrap()
}

fn with(client: &Client, url: &str, credential: &str) -> RequestBuilder {
    client.get(url).bearer_auth(credential)
}

fn said(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.code())
}

const REFUSED: (u16, &str) = (401, "invalid_key");
const TOO_MANY: (u16, &str) = (429, "too_many_failures");

#[tokio::test(flavor = "multi_thread")]
async fn repeated_failures_are_throttled_and_valid_credentials_are_not() {
    let served = Served::start(&[("KEYBRAKE_LIMITS_FAILURES_PER_MINUTE", "5")]).await;
    let url = served.proxy.url.clone();
    let issued = served.issue_at(&url).await;
    let token = issued.text("/vault_key");
    let (admin, proxied) = (format!("{url}/vault/keys"), format!("{url}/stripe/v1/charges"));
    let (near, far) = (client_at([127, 0, 0, 1]), client_at([127, 0, 0, 9]));
    // One by one, so that what else of them fails does so for another reason than their number.
    let wrong = "kb_api_wrong";
    assert_eq!(said(&read(with(&near, &admin, wrong)).await), REFUSED);
    let mut throttled = None;
    for _ in 0..50 {
        let answer = read(with(&near, &admin, wrong)).await;
        throttled = throttled.or_else(|| (answer.status == 429).then_some(answer));
    }
    let throttled = throttled.unwrap();
    assert_eq!(said(&throttled), TOO_MANY);
    assert_eq!(throttled.header("retry-after"), Some("60"));
    assert_eq!(throttled.header("x-keybrake-cap-hit"), None);

    // All failures from that address are throttled, whatever they present.
    for request in [
        with(&near, &proxied, token.get(1..).unwrap()),
        with(&near, &admin, token),
        near.get(&proxied),
        near.get(format!("{url}/vault/keys/self")),
    ] {
        assert_eq!(said(&read(request).await), TOO_MANY);
    }
    // That credential is throttled wherever it comes from; another one elsewhere is not.
    assert_eq!(said(&read(with(&far, &admin, wrong)).await), TOO_MANY);
    assert_eq!(said(&read(with(&far, &admin, "kb_api_another")).await), REFUSED);

    // Nor is a credential throttled where it is valid for having been tried where it is not.
    for _ in 0..50 {
        read(with(&near, &admin, token)).await;
        read(with(&near, &proxied, keybrake_tests::API_KEY)).await;
        read(with(&near, &format!("{url}/vault/keys/self"), keybrake_tests::API_KEY)).await;
    }
    // Who has a valid credential does not notice, from there or elsewhere.
    for number in 0..20 {
        assert_eq!(served.charge(token, &format!("k{number}"), 100).await.status, 200);
        assert_eq!(read(with(&near, &admin, keybrake_tests::API_KEY)).await.status, 200);
        assert_eq!(read(with(&far, &admin, keybrake_tests::API_KEY)).await.status, 200);
    }
    let rows = read(served.admin("GET", &format!("{url}/audit/calls"))).await;
    assert_eq!(rows.body.pointer("/data/20"), None, "strangers are not recorded");
    assert_eq!(served.sandbox.requests().received, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_on_with_a_wrong_key_costs_the_ledger_nothing() {
    let served = Served::start(&[("KEYBRAKE_LIMITS_FAILURES_PER_MINUTE", "5")]).await;
    let unknown = VaultToken::derive(&[9; 32], KeyId::from_number(9));
    for _ in 0..100 {
        assert_ne!(served.charge(unknown.expose(), "k", 100).await.status, 200);
    }
    let looked_up = metrics::samples(&metrics::scrape(&served).await);
    let looked_up = looked_up["keybrake_token_lookups_total"];
    assert!((5.0..50.0).contains(&looked_up), "{looked_up}");
}
