//! A user's own handler in Rust, written with the library's steps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use keybrake_client::{IssueRequest, Keybrake, Settings, charge::Charge};
use keybrake_restate::steps::Worker;
use keybrake_tests::{
    API_KEY,
    restate::Engine,
    rig::{Rig, eventually},
};
use restate_sdk::prelude::*;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{charged, charges};

/// Charges in two phases, with whatever a test wants between them.
#[derive(Clone)]
struct Phases {
    worker: Worker,
    /// How often the handler still fails after the issue step.
    failures: Arc<AtomicU32>,
    /// How often it has begun.
    attempts: Arc<AtomicU32>,
}

fn request(expires_in: &str) -> IssueRequest {
    serde_json::from_value(json!({
        "vendor": "stripe", "daily_usd_cap": 2, "allowed_endpoints": ["POST /v1/payment_intents"], "expires_in": expires_in,
    }))
    .unwrap()
}

#[restate_sdk::service(name = "Phases")]
impl Phases {
    /// Issues, fails as often as the test says, and charges.
    #[handler(invocation_retry_policy(
        initial_interval = "50ms",
        max_interval = "50ms",
        max_attempts = 20
    ))]
    async fn failing(&self, ctx: Context<'_>, Json(charge): Json<Charge>) -> HandlerResult<String> {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        let steps = self.worker.steps(&ctx, "Phases", ctx.invocation_id());
        let key = steps.issue(request("1h")).await?;
        let left = |left: u32| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
            return Err(std::io::Error::other("a bug after the issue step").into());
        }
        steps.charge(&key.handle().into(), &charge, &steps.item("1")?).await?;
        Ok(key.key_id.to_string())
    }

    /// Charges, waits for somebody's word, and charges again from the first phase's budget.
    #[handler]
    async fn approved(
        &self,
        ctx: Context<'_>,
        Json(charge): Json<Charge>,
    ) -> HandlerResult<String> {
        let steps = self.worker.steps(&ctx, "Phases", ctx.invocation_id());
        let key = steps.issue(request("1h")).await?;
        steps.charge(&key.handle().into(), &charge, &steps.item("1")?).await?;
        ctx.signal::<String>("approval").await?;
        let fresh = steps.refresh(key.key_id, Some("2h".to_owned()), false).await?;
        steps.charge(&fresh.handle().into(), &charge, &steps.item("2")?).await?;
        // Three dollars do not fit under two, whichever key asks.
        let over = steps.charge(&fresh.handle().into(), &charge, &steps.item("3")?).await;
        Ok(keybrake_restate::failure::report(&over.unwrap_err()).told.code)
    }

    /// Gives that word.
    #[handler]
    #[expect(clippy::unused_async, reason = "a handler is async")]
    async fn approve(&self, ctx: Context<'_>, invocation: String) -> HandlerResult<()> {
        ctx.invocation_handle(invocation).signal("approval").resolve("yes".to_owned());
        Ok(())
    }

    /// Sleeps longer than its key lives, and charges.
    #[handler]
    async fn sleeping(
        &self,
        ctx: Context<'_>,
        Json(charge): Json<Charge>,
    ) -> HandlerResult<String> {
        let steps = self.worker.steps(&ctx, "Phases", ctx.invocation_id());
        let key = steps.issue(request("1s")).await?;
        ctx.sleep(Duration::from_secs(2)).await?;
        steps.charge(&key.handle().into(), &charge, &steps.item("1")?).await?;
        Ok(key.key_id.to_string())
    }
}

async fn start(failures: u32) -> (Rig, Engine, Phases, Charge) {
    let rig = Rig::start(keybrake::sandbox::Settings::default()).await;
    let url = rig.url.clone();
    let settings = Settings::load(&|name| match name {
        "KEYBRAKE_URL" => Some(url.clone()),
        "KEYBRAKE_API_KEY" => Some(API_KEY.to_owned()),
        _ => None,
    });
    let keybrake = Keybrake::new(settings.unwrap()).unwrap();
    let phases = Phases {
        worker: Worker { keybrake, retry_for: Duration::from_mins(1) },
        failures: Arc::new(AtomicU32::new(failures)),
        attempts: Arc::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let services = format!("http://{}", listener.local_addr().unwrap());
    let endpoint = Endpoint::builder().bind(phases.clone()).build();
    tokio::spawn(
        HttpServer::new(endpoint).serve_with_cancel(listener, std::future::pending::<()>()),
    );
    let engine = Engine::start().await;
    engine.register(&services).await;
    let charge = serde_json::from_value(charges(&rig, 1).await[0].clone()).unwrap();
    (rig, engine, phases, charge)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_fails_after_the_issue_step_keeps_its_key_and_its_cap() {
    let (rig, engine, phases, charge) = start(3).await;

    let ended = engine.call("Phases/failing", &json!(charge)).await;

    assert_eq!(ended.status, 200, "{:?}", ended.body);
    assert!(phases.attempts.load(Ordering::SeqCst) >= 4);
    let actions = rig.admin("GET", "/audit/actions").send().await.unwrap();
    let actions: Value = actions.json().await.unwrap();
    let issues =
        actions["data"].as_array().unwrap().iter().filter(|row| row["action"] == "key_issued");
    assert_eq!(issues.count(), 1, "{actions}");
    assert_eq!(charged(&rig), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_phase_spends_what_the_first_has_left() {
    let (rig, engine, _, charge) = start(0).await;
    let run = engine.send("Phases/approved", &json!(charge)).await;
    eventually("the first phase has charged", || async { (charged(&rig) == 1).then_some(()) })
        .await;

    engine.call("Phases/approve", &json!(run)).await;

    assert_eq!(engine.attach(&run).await.body, json!("cap_exhausted"));
    assert_eq!(charged(&rig), 2);
    let budgets: std::collections::BTreeSet<_> =
        rig.calls("").await.iter().map(|row| row["budget_id"].to_string()).collect();
    assert_eq!(budgets.len(), 1, "{budgets:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_expires_in_a_suspension_is_refreshed_on_its_budget() {
    let (rig, engine, _, charge) = start(0).await;

    let ended = engine.call("Phases/sleeping", &json!(charge)).await;

    assert_eq!(ended.status, 200, "{:?}", ended.body);
    let row = &rig.calls("verdict=allowed").await[0];
    assert_ne!(row["key_id"], ended.body, "the successor paid");
    let first = rig.admin("GET", &format!("/vault/keys/{}", ended.body.as_str().unwrap()));
    let first: Value = first.send().await.unwrap().json().await.unwrap();
    assert_eq!((&first["budget_id"], &first["spent_usd"]), (&row["budget_id"], &json!("1.00")));
}
