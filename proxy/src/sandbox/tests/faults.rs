use super::*;

fn certain(set: impl FnOnce(&mut Faults)) -> Faults {
    let mut faults = Faults::default();
    set(&mut faults);
    faults
}

#[tokio::test]
async fn a_lost_request_is_not_executed() {
    let vendor = start_faulty(certain(|f| f.request_lost = MILLION)).await;
    assert!(vendor.try_post_as("k", INTENTS, PAY).await.is_none());
    assert_eq!(vendor.sandbox.executed().data, []);
    assert_eq!(vendor.sandbox.requests().faults["request_lost"], 1);
}

#[tokio::test]
async fn a_lost_answer_was_executed_and_is_replayed_later() {
    let vendor = start_faulty(certain(|f| f.answer_lost = MILLION)).await;
    assert!(vendor.try_post_as("k", INTENTS, PAY).await.is_none());
    assert_eq!(vendor.total(), 1099);

    vendor.sandbox.set_faults(Faults::default()).unwrap();
    let again = vendor.post_as("k", INTENTS, PAY).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, "true"));
    assert_eq!(vendor.total(), 1099);
}

#[tokio::test]
async fn a_500_after_the_charge_is_replayed_although_money_moved() {
    let vendor = start_faulty(certain(|f| f.error_after_charge = MILLION)).await;
    let first = vendor.post_as("k", INTENTS, PAY).await;
    vendor.sandbox.set_faults(Faults::default()).unwrap();
    let second = vendor.post_as("k", INTENTS, PAY).await;

    assert_eq!((first.status, second.status), (500, 500));
    assert_eq!(second.error("type"), "api_error");
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(second.header("stripe-should-retry"), "false");
    assert_eq!(vendor.total(), 1099);
}

#[tokio::test]
async fn a_500_before_execution_is_replayed_and_moved_nothing() {
    let vendor = start_faulty(certain(|f| f.server_error_before = MILLION)).await;
    vendor.post_as("k", INTENTS, PAY).await;
    vendor.sandbox.set_faults(Faults::default()).unwrap();
    let second = vendor.post_as("k", INTENTS, PAY).await;
    assert_eq!((second.status, vendor.total()), (500, 0));
}

#[tokio::test]
async fn a_rate_limit_is_not_kept_under_the_key() {
    let vendor = start_faulty(certain(|f| f.rate_limited = MILLION)).await;
    let first = vendor.post_as("k", INTENTS, PAY).await;
    vendor.sandbox.set_faults(Faults::default()).unwrap();
    let second = vendor.post_as("k", INTENTS, PAY).await;
    assert_eq!((first.status, second.status), (429, 200));
    assert_eq!(first.error("code"), "rate_limit");
}

#[tokio::test]
async fn a_declining_vendor_declines_good_cards_and_spares_other_calls() {
    let vendor = start_faulty(certain(|f| f.declined = MILLION)).await;
    assert_eq!(vendor.post(INTENTS, PAY).await.status, 402);
    assert_eq!(vendor.post("/v1/customers", "name=a").await.status, 200);
    assert_eq!(vendor.sandbox.requests().faults["declined"], 1);
}

#[tokio::test]
async fn faults_spare_reads() {
    let vendor = start_faulty(certain(|f| f.request_lost = MILLION)).await;
    assert_eq!(vendor.get(INTENTS).await.status, 200);
}

#[tokio::test]
async fn a_seed_repeats_the_faults() {
    let outcomes = async |seed| {
        let vendor = start_with(Settings {
            seed: Some(seed),
            faults: certain(|f| (f.request_lost, f.declined) = (300_000, 300_000)),
            ..Settings::default()
        })
        .await;
        let mut statuses = Vec::new();
        for _ in 0..40 {
            let answer = vendor.send("POST", INTENTS, "", PAY).await;
            statuses.push(answer.map(|answer| answer.status));
        }
        statuses
    };
    let first = outcomes(7).await;
    assert_eq!(first, outcomes(7).await);
    assert_ne!(first, outcomes(8).await);
    for expected in [None, Some(402), Some(200)] {
        assert!(first.contains(&expected), "{expected:?}");
    }
}
