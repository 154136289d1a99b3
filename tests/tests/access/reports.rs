//! The reports say what the ledger says, to whom may see it.

use std::time::Duration;

use keybrake::sandbox::{Faults, Settings};
use keybrake_tests::rig::{Key, Rig, eventually, read};
use serde_json::{Value, json};

use super::{api_key, audit_key, with};

const CERTAIN: u32 = 1_000_000;

async fn report(rig: &Rig, path: &str) -> Vec<Value> {
    let answer = read(rig.admin("GET", &format!("/reports/{path}"))).await;
    assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
    answer.body["data"].as_array().unwrap().clone()
}

/// These members of a report's rows.
fn members<const N: usize>(rows: &[Value], names: [&str; N]) -> Vec<[Value; N]> {
    rows.iter().map(|row| names.map(|name| row[name].clone())).collect()
}

async fn charge(rig: &Rig, key: &Key, idempotency_key: &str, cents: u64, context: &str) -> u16 {
    let form = format!("amount={cents}&currency=usd&source=tok_visa");
    let request = rig.post(key, "/v1/charges", idempotency_key, &form);
    read(request.header("x-keybrake-context", context)).await.status
}

/// A rig whose look-ups find nothing: what is in doubt stays so.
async fn rig() -> Rig {
    let delay = Duration::from_hours(1_000);
    Rig::start(Settings { events_delay: delay, search_delay: delay, ..Settings::default() }).await
}

/// Every key's budget adds up to what the report says of its run.
async fn agrees(rig: &Rig, keys: &[&Key], row: &Value) -> bool {
    let mut shown = Vec::new();
    for key in keys {
        shown.push(rig.show(key).await);
    }
    let micros = |row: &Value, name: &str| {
        let text = row[name].as_str().unwrap();
        keybrake_core::money::MicroUsd::parse(text).unwrap().as_micros()
    };
    ["spent_usd", "in_doubt_usd", "held_usd"]
        .iter()
        .all(|name| shown.iter().map(|key| micros(key, name)).sum::<u64>() == micros(row, name))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_cost_what_its_budgets_say_in_all_states_of_its_money() {
    let rig = rig().await;
    let all = json!({"allowed_endpoints": ["POST /v1/*", "GET /*"], "agent_run_label": "a/1"});
    let (one, other) = (rig.issue(all.clone()).await, rig.issue(all).await);
    // A commitment of $8, of which a partial capture gives back $3.
    let create =
        "amount=800&currency=usd&capture_method=manual&confirm=true&payment_method=pm_card_visa";
    let intent = read(rig.post(&one, "/v1/payment_intents", "create", create)).await;
    let capture = format!("/v1/payment_intents/{}/capture", intent.text("/id"));
    assert_eq!(
        read(rig.post(&one, &capture, "capture", "amount_to_capture=500")).await.status,
        200
    );
    assert_eq!(charge(&rig, &other, "paid", 100, "agent=biller").await, 200);
    assert_eq!(charge(&rig, &other, "paid", 100, "agent=biller").await, 200);
    assert_eq!(charge(&rig, &other, "capped", 9_000, "agent=biller").await, 429);
    let unknown = "amount=700&currency=usd&customer=cus_none";
    assert_eq!(read(rig.post(&other, "/v1/charges", "unknown", unknown)).await.status, 400);
    let forbidden = read(rig.post(&other, "/v2/core/accounts", "forbidden", "")).await;
    assert_eq!(forbidden.status, 403, "{:?}", forbidden.body);
    rig.sandbox.set_faults(Faults { answer_lost: CERTAIN, ..Faults::default() }).unwrap();
    assert_eq!(charge(&rig, &other, "lost", 300, "agent=biller").await, 504);
    rig.sandbox.set_faults(Faults::default()).unwrap();
    rig.sandbox.hold(true);
    let form = "amount=200&currency=usd&source=tok_visa";
    let held = tokio::spawn(rig.post(&other, "/v1/charges", "held", form).send());
    eventually("the vendor holds its answer", || async { (rig.sandbox.held() == 1).then_some(()) })
        .await;
    let row = eventually("the report says what the budgets say", || async {
        let rows = report(&rig, "runs").await;
        agrees(&rig, &[&one, &other], &rows[0]).await.then(|| rows[0].clone())
    })
    .await;
    for (name, expected) in [
        ("agent_run_label", json!("a/1")),
        ("agent", json!("biller")),
        ("allowed", json!(6)),
        ("replayed", json!(1)),
        ("denied", json!(2)),
        ("capped", json!(1)),
        ("forbidden", json!(1)),
        ("in_doubt_calls", json!(1)),
        ("spent_usd", json!("9.00")),
        ("in_doubt_usd", json!("3.00")),
        ("held_usd", json!("2.00")),
    ] {
        assert_eq!(row[name], expected, "{name}: {row}");
    }
    let calls = rig.calls("agent_run_label=a/1").await;
    assert_eq!(row["first_call_at"], calls.last().unwrap()["at"]);
    assert_eq!(row["last_call_at"], calls[0]["at"]);
    let anomalies = report(&rig, "anomalies").await;
    let codes = |row: &Value| members(row["reasons"].as_array().unwrap(), ["code"]).concat();
    assert_eq!(codes(&anomalies[0]), ["cap_hit", "forbidden", "in_doubt"]);
    assert_eq!(anomalies[0]["reasons"][0]["why"], "its cap refused 1 call");
    let released = rig.calls("idempotency_key=unknown").await;
    assert_eq!(released[0]["state"], "released", "what counts for nothing is there too");
    rig.sandbox.hold(false);
    assert_eq!(held.await.unwrap().unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_child_spends_from_its_parents_budget_is_the_childs_cost() {
    let rig = Rig::start(Settings::default()).await;
    let parent = rig.issue(json!({"agent_run_label": "parent"})).await;
    let child = json!({"agent_run_label": "child", "parent_key_id": parent.id});
    let child = rig.issue(child).await;
    assert_eq!(charge(&rig, &parent, "own", 100, "step=1").await, 200);
    assert_eq!(charge(&rig, &child, "childs", 200, "step=1").await, 200);
    eventually("both are settled", || async {
        (rig.show(&parent).await["spent_usd"] == "3.00").then_some(())
    })
    .await;
    let rows = report(&rig, "runs").await;
    assert_eq!(
        members(&rows, ["agent_run_label", "spent_usd"]),
        [[json!("child"), json!("2.00")], [json!("parent"), json!("1.00")]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn costs_are_told_by_run_by_agent_and_by_vendor_and_day() {
    let rig = Rig::start(Settings::default()).await;
    // At noon, so that what follows is on one day.
    let into_the_day = rig.clock.now().as_seconds() % 86_400;
    rig.clock.advance(Duration::from_secs((86_400 + 43_200 - into_the_day).unsigned_abs()));
    let begun = rig.clock.now();
    for (label, agent, dollars) in
        [("a/1", "x", 1), ("a/2", "x", 5), ("b/1", "y", 3), ("b/1", "x", 1)]
    {
        let key = rig.issue(json!({"agent_run_label": label, "expires_in": "7d"})).await;
        let context = format!("agent={agent}");
        let name = format!("{label} {agent}");
        assert_eq!(charge(&rig, &key, &name, dollars * 100, &context).await, 200);
    }
    rig.clock.advance(Duration::from_hours(24));
    let later = rig.clock.now();
    let key = rig.issue(json!({"agent_run_label": "c/1"})).await;
    assert_eq!(charge(&rig, &key, "c", 200, "step=2").await, 200);
    eventually("all is settled", || async {
        (rig.calls("state=settled").await.len() == 5).then_some(())
    })
    .await;
    let run = ["agent_run_label", "agent", "spent_usd", "allowed"];
    let [a1, a2, b1, c1] = [
        [json!("a/1"), json!("x"), json!("1.00"), json!(1)],
        [json!("a/2"), json!("x"), json!("5.00"), json!(1)],
        [json!("b/1"), json!(null), json!("4.00"), json!(2)],
        [json!("c/1"), json!(null), json!("2.00"), json!(1)],
    ];
    for (query, expected) in [
        (String::new(), vec![a2.clone(), b1.clone(), c1.clone(), a1.clone()]),
        ("agent_run_label=a/1".to_owned(), vec![a1.clone()]),
        ("label_prefix=a/".to_owned(), vec![a2.clone(), a1.clone()]),
        ("vendor=twilio".to_owned(), vec![]),
        (format!("since={later}"), vec![c1.clone()]),
        (format!("until={later}"), vec![a2.clone(), b1.clone(), a1.clone()]),
    ] {
        let rows = report(&rig, &format!("runs?{query}")).await;
        assert_eq!(members(&rows, run), expected, "{query}");
    }
    let agents = report(&rig, "agents").await;
    assert_eq!(
        members(&agents, ["agent", "runs", "spent_usd"]),
        [
            [json!("x"), json!(3), json!("7.00")],
            [json!("y"), json!(1), json!("3.00")],
            [json!(null), json!(1), json!("2.00")],
        ]
    );
    let day = |at: keybrake_core::time::Timestamp| json!(at.to_string()[..10]);
    let vendors = report(&rig, "vendors?vendor=stripe").await;
    assert_eq!(
        members(&vendors, ["day", "vendor", "spent_usd"]),
        [
            [day(later), json!("stripe"), json!("2.00")],
            [day(begun), json!("stripe"), json!("10.00")],
        ]
    );
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/reports/runs?limit=3{cursor}");
        let page = read(rig.admin("GET", &path)).await.body;
        pages.push(members(page["data"].as_array().unwrap(), run));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(pages, [vec![a2, b1, c1], vec![a1]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_costs_far_more_than_others_of_its_agent_stands_out_for_seven_days() {
    let rig = Rig::start(Settings::default()).await;
    for (run, dollars) in [1, 1, 2, 2, 7].into_iter().enumerate() {
        let key = rig.issue(json!({"agent_run_label": format!("a/{run}")})).await;
        assert_eq!(charge(&rig, &key, &run.to_string(), dollars * 100, "agent=x").await, 200);
    }
    eventually("all is settled", || async {
        (rig.calls("state=settled").await.len() == 5).then_some(())
    })
    .await;
    let found = report(&rig, "anomalies").await;
    assert_eq!(members(&found, ["agent_run_label", "spent_usd"]), [[json!("a/4"), json!("7.00")]]);
    let why = "it spent 7.00 USD; the median run of its agent spent 2.00 USD";
    assert_eq!(found[0]["reasons"], json!([{"code": "cost_above_usual", "why": why}]));
    // It is compared with all, whichever are asked for.
    assert_eq!(report(&rig, "anomalies?agent_run_label=a/4").await, found);
    assert_eq!(report(&rig, "anomalies?label_prefix=a/4").await, found);
    assert_eq!(report(&rig, "anomalies?label_prefix=b/").await, Vec::<Value>::new());
    assert_eq!(report(&rig, "anomalies?cursor=1").await, Vec::<Value>::new());
    let since = rig.clock.now().before(Duration::from_hours(1));
    rig.clock.advance(Duration::from_hours(7 * 24));
    assert_eq!(report(&rig, "anomalies").await, Vec::<Value>::new());
    assert_eq!(report(&rig, &format!("anomalies?since={since}")).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_bound_sees_the_costs_within_the_bounds_alone() {
    let rig = Rig::start(Settings::default()).await;
    for label in ["a/1", "b/1"] {
        let key = rig.issue(json!({"agent_run_label": label})).await;
        assert_eq!(charge(&rig, &key, label, 100, "agent=x").await, 200);
        assert_eq!(charge(&rig, &key, "capped", 100_000, "agent=x").await, 429);
    }
    let bound = api_key(&rig, "auditor", json!({"label_prefix": "a/"})).await;
    let elsewhere = api_key(&rig, "auditor", json!({"vendors": ["twilio"]})).await;
    let audit = audit_key(&rig, "a/").await.token;
    for name in ["runs", "agents", "vendors", "anomalies"] {
        for (credential, rows) in [(&bound, 1), (&audit, 1), (&elsewhere, 0)] {
            let answer = read(with(&rig, credential, "GET", &format!("/reports/{name}"))).await;
            let found = answer.body["data"].as_array().unwrap();
            assert_eq!(found.len(), rows, "{name}: {found:?}");
            assert!(found.iter().all(|row| row["allowed"] == 1), "{name}: {found:?}");
        }
        let outside = format!("/reports/{name}?label_prefix=b/");
        let answer = read(with(&rig, &bound, "GET", &outside)).await;
        assert_eq!(answer.body["data"], json!([]), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_can_not_be_answered_is_refused_by_what_is_wrong() {
    let rig = Rig::start(Settings::default()).await;
    for (query, names) in [
        ("cursor=-1", "cursor"),
        ("cursor=%2B5", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=4294967295", "cursor"),
        ("cursor=9223372036854775808", "cursor"),
        ("cursor=18446744073709551615", "cursor"),
        ("since=yesterday", "since and until"),
        ("group=vendor", "group"),
        ("limit=many", "invalid digit"),
    ] {
        for name in ["runs", "agents", "vendors", "anomalies"] {
            let answer = read(rig.admin("GET", &format!("/reports/{name}?{query}"))).await;
            assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{query}");
            assert!(answer.text("/message").contains(names), "{query}: {:?}", answer.body);
        }
    }
}
