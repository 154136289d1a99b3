//! A cap in dollars and a call in another currency.

use keybrake::sandbox::Settings;
use keybrake_tests::rig::{Rig, read};
use serde_json::json;
use tempfile::TempDir;

use crate::spent;

/// A configuration with rates as of a day.
fn configured(rates: &str) -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keybrake.toml");
    std::fs::write(&path, rates).unwrap();
    let path = path.display().to_string();
    (directory, path)
}

async fn rig(rates: &str) -> (Rig, TempDir) {
    let (directory, path) = configured(rates);
    let variables = [("KEYBRAKE_CONFIG", path.as_str())];
    (Rig::start_with(Settings::default(), &variables).await, directory)
}

fn today() -> String {
    keybrake::outside::Clock::default().now().to_string().chars().take(10).collect()
}

fn rates(as_of: &str) -> String {
    format!(
        "[rates]\nas_of = \"{as_of}\"\nmargin_percent = \"2\"\n\
         usd_per_unit = {{ eur = \"1.10\", jpy = \"0.0066\", kwd = \"3.25\" }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_currency_counts_by_its_rate_with_the_margin_and_the_rate_is_in_the_audit_row() {
    let (rig, _files) = rig(&rates(&today())).await;
    let key = rig.issue(json!({ "total_usd_cap": "100" })).await;
    for (id, form, dollars, rate) in [
        // 10.00 € × 1.10 × 1.02
        ("eur", "amount=1000&currency=eur", "11.22", "1.122"),
        // 1000 ¥ × 0.0066 × 1.02: no decimals
        ("jpy", "amount=1000&currency=JPY", "6.732", "0.006732"),
        // 1.000 KWD × 3.25 × 1.02: three decimals
        ("kwd", "amount=1000&currency=kwd", "3.315", "3.315"),
    ] {
        let paid = read(rig.post(&key, "/v1/payment_intents", id, form)).await;
        assert_eq!(paid.status, 200, "{:?}", paid.body);
        spent(&rig, &key).await;
        let rows = rig.calls(&format!("idempotency_key={id}")).await;
        assert_eq!(rows[0]["settled_usd"], json!(dollars), "{}", rows[0]);
        assert_eq!(rows[0]["rate"], json!(rate), "{}", rows[0]);
    }
    let dollars =
        read(rig.post(&key, "/v1/payment_intents", "usd", "amount=100&currency=usd")).await;
    assert_eq!(dollars.status, 200);
    assert_eq!(rig.calls("idempotency_key=usd").await[0]["rate"], json!(null));
    let unknown = read(rig.post(&key, "/v1/payment_intents", "gbp", "amount=1&currency=gbp")).await;
    assert_eq!(unknown.code(), "currency_not_priced");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rates_refuse_and_a_replay_is_served_all_the_same() {
    let (rig, _files) = rig(&rates(&today())).await;
    let key = rig.issue(json!({ "expires_in": "30d" })).await;
    let pay = |id: &'static str| {
        read(rig.post(&key, "/v1/payment_intents", id, "amount=1000&currency=eur"))
    };
    assert_eq!(pay("a").await.status, 200);
    rig.clock.advance(std::time::Duration::from_hours(9 * 24));
    let refused = pay("b").await;
    assert_eq!(refused.code(), "currency_not_priced");
    assert!(refused.text("/message").contains("too old"), "{:?}", refused.body);
    assert_eq!(pay("a").await.header("x-keybrake-replayed"), Some("true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rates_only_dollars_are_taken() {
    let rig = Rig::start(Settings::default()).await;
    let key = rig.issue(json!({})).await;
    let before = rig.vendor_requests();
    let refused = read(rig.post(&key, "/v1/payment_intents", "a", "amount=1&currency=eur")).await;
    assert_eq!((refused.code(), refused.status), ("currency_not_priced", 403));
    assert_eq!(rig.vendor_requests(), before);
}
