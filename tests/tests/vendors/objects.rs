//! The budget is what the vendor has moved or can still move, whatever the order of calls.

use std::time::Duration;

use keybrake::sandbox::{Faults, Settings};
use keybrake_tests::rig::{Answer, Key, Rig, eventually, read};
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::spent;

const HISTORIES: u64 = 12;
const STEPS: u32 = 30;

/// Callers who make intents and charges, and change them in any order.
struct World<'a> {
    rig: &'a Rig,
    keys: Vec<Key>,
    rng: ChaCha8Rng,
    intents: Vec<String>,
    charges: Vec<String>,
    calls: u32,
}

impl World<'_> {
    async fn step(&mut self) -> Answer {
        let cents = self.rng.random_range(100..3_000);
        let intent = self.intents.choose(&mut self.rng).cloned();
        let charge = self.charges.choose(&mut self.rng).cloned();
        let card = *["pm_card_visa", "pm_card_chargeDeclined"].choose(&mut self.rng).unwrap();
        let card = if self.rng.random_bool(0.7) { "pm_card_visa" } else { card };
        let confirm = self.rng.random_bool(0.3);
        let manual = self.rng.random_bool(0.6);
        let paid =
            if confirm { format!("&confirm=true&payment_method={card}") } else { String::new() };
        let method = if manual { "&capture_method=manual" } else { "" };
        let create = (
            "/v1/payment_intents".to_owned(),
            format!("amount={cents}&currency=usd{method}{paid}"),
        );
        let (path, form) = match (self.rng.random_range(0..10), intent, charge) {
            (0..2, ..) | (_, None, _) => create,
            (2, ..) => (
                "/v1/charges".to_owned(),
                format!("amount={cents}&currency=usd&source=tok_visa&capture={}", !manual),
            ),
            (3, Some(intent), _) => {
                (format!("/v1/payment_intents/{intent}"), format!("amount={cents}"))
            }
            (4..6, Some(intent), _) => {
                (format!("/v1/payment_intents/{intent}/confirm"), format!("payment_method={card}"))
            }
            (6, Some(intent), _) => (
                format!("/v1/payment_intents/{intent}/capture"),
                if confirm { format!("amount_to_capture={}", cents / 3) } else { String::new() },
            ),
            (7, Some(intent), _) => (format!("/v1/payment_intents/{intent}/cancel"), String::new()),
            (8, _, Some(charge)) => (format!("/v1/charges/{charge}/capture"), String::new()),
            (_, Some(intent), _) => {
                ("/v1/refunds".to_owned(), format!("payment_intent={intent}&amount={}", cents / 10))
            }
        };
        let key = self.keys.choose(&mut self.rng).unwrap().clone();
        self.calls += 1;
        let idempotency = format!("call-{}", self.calls);
        let answer = read(self.rig.post(&key, &path, &idempotency, &form)).await;
        self.learn(&answer);
        answer
    }

    fn learn(&mut self, answer: &Answer) {
        for pointer in ["/id", "/error/payment_intent/id"] {
            let id = answer.text(pointer).to_owned();
            if id.starts_with("pi_") && !self.intents.contains(&id) {
                self.intents.push(id);
            } else if id.starts_with("ch_") && !self.charges.contains(&id) {
                self.charges.push(id);
            }
        }
    }
}

/// The parent's key, and two of its children.
async fn family(rig: &Rig) -> (Key, Vec<Key>) {
    let all = json!(["POST /v1/*", "GET /*"]);
    let parent = rig.issue(json!({ "total_usd_cap": "400", "allowed_endpoints": all })).await;
    let mut keys = vec![parent.clone()];
    for cap in ["150", "300"] {
        let child =
            json!({ "total_usd_cap": cap, "allowed_endpoints": all, "parent_key_id": parent.id });
        keys.push(rig.issue(child).await);
    }
    (parent, keys)
}

/// What the vendor has executed, in dollars.
fn vendor_total(rig: &Rig) -> String {
    let cents = rig.vendor_total();
    format!("{}.{:02}", cents / 100, cents % 100)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_order_of_calls_keeps_the_budget_at_what_was_moved_or_is_committed() {
    let mut done = 0;
    for seed in 0..HISTORIES {
        let rig = Rig::start(Settings::default()).await;
        let (parent, keys) = family(&rig).await;
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let (intents, charges) = (Vec::new(), Vec::new());
        let mut world = World { rig: &rig, keys, rng, intents, charges, calls: 0 };
        for step in 0..STEPS {
            let answer = world.step().await;
            done += u32::from(answer.status == 200);
            let spent = spent(&rig, &parent).await;
            assert_eq!(spent, vendor_total(&rig), "seed {seed}, step {step}: {:?}", answer.body);
        }
    }
    assert!(done > 120, "only {done} calls were executed");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_requests_and_answers_change_nothing_of_that_once_they_are_found_out() {
    for seed in 100..103 {
        let rig = Rig::start(Settings::default()).await;
        let (parent, keys) = family(&rig).await;
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let (intents, charges) = (Vec::new(), Vec::new());
        let mut world = World { rig: &rig, keys, rng, intents, charges, calls: 0 };
        for _ in 0..12 {
            world.step().await;
        }
        let faults = Faults {
            request_lost: 200_000,
            answer_lost: 200_000,
            error_after_charge: 100_000,
            ..Faults::default()
        };
        rig.sandbox.set_faults(faults).unwrap();
        for _ in 0..8 {
            world.step().await;
        }
        rig.sandbox.set_faults(Faults::default()).unwrap();
        spent(&rig, &parent).await;
        eventually(
            &format!("seed {seed}: all doubts are ended, and nothing is counted wrong"),
            || async {
                rig.clock.advance(Duration::from_secs(20));
                let open = rig.calls("state=in_doubt").await;
                // One that holds nothing may still give back, or be about what was final before it.
                let ended = open.iter().all(|row| row["held_usd"] == json!("0.00"));
                (ended && spent(&rig, &parent).await == vendor_total(&rig)).then_some(())
            },
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_not_held_again_and_goes_back_where_it_came_from() {
    let rig = Rig::start(Settings::default()).await;
    let all = json!(["POST /v1/*", "GET /*"]);
    let maker = rig.issue(json!({ "total_usd_cap": "10", "allowed_endpoints": all })).await;
    let other = rig.issue(json!({ "total_usd_cap": "10", "allowed_endpoints": all })).await;
    let create = "amount=800&currency=usd&capture_method=manual";
    let intent = read(rig.post(&maker, "/v1/payment_intents", "create", create)).await;
    let path = format!("/v1/payment_intents/{}", intent.text("/id"));
    // Another key pays for the increase only.
    let raised = read(rig.post(&other, &path, "raise", "amount=1100")).await;
    assert_eq!(raised.status, 200, "{:?}", raised.body);
    assert_eq!([spent(&rig, &maker).await, spent(&rig, &other).await], ["8.00", "3.00"]);
    let confirm = read(rig.post(
        &maker,
        &format!("{path}/confirm"),
        "confirm",
        "payment_method=pm_card_visa",
    ))
    .await;
    assert_eq!(confirm.text("/status"), "requires_capture", "{:?}", confirm.body);
    let partial =
        read(rig.post(&maker, &format!("{path}/capture"), "capture", "amount_to_capture=900"))
            .await;
    assert_eq!(partial.status, 200, "{:?}", partial.body);
    assert_eq!([spent(&rig, &maker).await, spent(&rig, &other).await], ["8.00", "1.00"]);
    let rows = rig.calls(&format!("key_id={}", other.id)).await;
    assert!(rows[0]["note"].as_str().unwrap().contains("went back by call_"), "{}", rows[0]);
    // What is final moves nothing any more, however much is asked.
    let note = read(rig.post(&other, &path, "note", "description=late")).await;
    assert_eq!((note.status, spent(&rig, &other).await.as_str()), (200, "1.00"), "{:?}", note.body);
    let too_much =
        read(rig.post(&maker, "/v1/payment_intents", "next", "amount=201&currency=usd")).await;
    assert_eq!(too_much.code(), "cap_exhausted");
}
