//! The steps of a handler that spends money. Each is one `ctx.run`: journaled once, and retried
//! under the same idempotency key until its outcome is known.
//!
//! What if the process dies in a step? The step runs again: an issue gives the same vault key, a
//! charge gives the stored answer. What if the run is cancelled in one? Restate lets the closure end
//! and throws its result away, so that an issued key's name is lost: [`Steps::issue`] stops that key.

use std::{pin::Pin, time::Duration};

use keybrake_client::{
    Customers, Failure, IdempotencyKey, IssueRequest, IssuedKey, Keybrake, Spender, VendorCall,
    call::{Done, KeyedCall},
    charge::{Charge, Charged},
    key::{KeyState, Revoked},
};
use keybrake_core::ids::KeyId;
use restate_sdk::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::failure::{in_step, is_cancelled, terminal};

/// The step that issues a run's vault key.
pub const ISSUE: &str = "issue-vault-key";

type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A handler's context, of whichever kind, as far as a step needs it.
pub trait StepContext: Sync {
    /// Runs a step and journals its result.
    fn run_step(
        &self,
        name: &'static str,
        retries: RunRetryPolicy,
        step: Pending<'static, HandlerResult<Json<Value>>>,
    ) -> Pending<'_, Result<Json<Value>, TerminalError>>;
}

macro_rules! step_context {
    ($($context:ident),*) => {$(
        impl StepContext for $context<'_> {
            fn run_step(
                &self,
                name: &'static str,
                retries: RunRetryPolicy,
                step: Pending<'static, HandlerResult<Json<Value>>>,
            ) -> Pending<'_, Result<Json<Value>, TerminalError>> {
                Box::pin(self.run(move || step).name(name).retry_policy(retries))
            }
        }
    )*};
}

step_context!(Context, ObjectContext, WorkflowContext);

/// What the services share: the client, and how long a step is retried.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Asks the proxy.
    pub keybrake: Keybrake,
    /// For how long what failed for a while is retried, before it is given up as it stands.
    pub retry_for: Duration,
}

impl Worker {
    /// The steps of one invocation of a service.
    #[must_use]
    pub fn steps<'a>(
        &self,
        ctx: &'a dyn StepContext,
        service: &str,
        invocation: &str,
    ) -> Steps<'a> {
        let (service, invocation) = (service.to_owned(), invocation.to_owned());
        Steps { ctx, worker: self.clone(), service, invocation }
    }

    /// 200 ms, then twice as long each time up to 10 s.
    fn retries(&self) -> RunRetryPolicy {
        RunRetryPolicy::new()
            .initial_delay(Duration::from_millis(200))
            .exponentiation_factor(2.0)
            .max_delay(Duration::from_secs(10))
            .max_duration(self.retry_for)
    }
}

/// The steps of one invocation.
pub struct Steps<'a> {
    ctx: &'a dyn StepContext,
    worker: Worker,
    service: String,
    invocation: String,
}

impl Steps<'_> {
    /// The run's label: `restate/{service}/{invocation id}`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("restate/{}/{}", self.service, self.invocation)
    }

    /// The idempotency key of an item of this invocation: `{invocation id}-{item}`.
    pub fn item(&self, item: &str) -> Result<IdempotencyKey, TerminalError> {
        IdempotencyKey::of_item(&self.invocation, item).map_err(|failure| terminal(&failure))
    }

    /// Issues the run's vault key in the step `issue-vault-key`. However often the step runs, there
    /// is one key on one budget. Without a label of its own the request gets [`Steps::label`].
    pub async fn issue(&self, request: IssueRequest) -> Result<IssuedKey, TerminalError> {
        let request = request.for_run(|| self.label());
        let key = IdempotencyKey::new(format!("{}/{ISSUE}", self.invocation))
            .map_err(|failure| terminal(&failure))?;
        let (asked, named) = (request.clone(), key.clone());
        let issued = self
            .step(ISSUE, move |keybrake| async move { keybrake.issue(&asked, &named).await })
            .await;
        if let Err(error) = &issued
            && is_cancelled(error)
        {
            // The same key once more, if there is one, to learn its name.
            self.stop(move |keybrake| {
                let (request, key) = (request.clone(), key.clone());
                async move {
                    let issued = keybrake.issue(&request, &key).await?;
                    keybrake.revoke(issued.key_id).await
                }
            })
            .await?;
        }
        issued
    }

    /// Takes the run over to a key that lives longer, on the same budget.
    pub async fn refresh(
        &self,
        key: KeyId,
        expires_in: Option<String>,
        return_token: bool,
    ) -> Result<IssuedKey, TerminalError> {
        self.step("refresh-vault-key", move |keybrake| async move {
            keybrake.refresh(key, expires_in.as_deref(), return_token).await
        })
        .await
    }

    /// Stops the run's key. When the step is done, nothing more is sent.
    pub async fn revoke(&self, key: KeyId) -> Result<Revoked, TerminalError> {
        self.stop(move |keybrake| async move { keybrake.revoke(key).await }).await
    }

    /// A step that a cancellation must not keep from being done: the first one after it is thrown
    /// away unrun.
    async fn stop<F>(&self, ask: impl Fn(Keybrake) -> F) -> Result<Revoked, TerminalError>
    where
        F: Future<Output = Result<Revoked, Failure>> + Send + 'static,
    {
        let stopped = self.step("revoke-vault-key", &ask).await;
        match stopped {
            Err(error) if is_cancelled(&error) => self.step("revoke-vault-key", &ask).await,
            stopped => stopped,
        }
    }

    /// Where the key's money stands. Not journaled as a fact about later: it is as of now.
    pub async fn status(&self, key: KeyId) -> Result<KeyState, TerminalError> {
        self.step("vault-key-status", move |keybrake| async move { keybrake.status(key).await })
            .await
    }

    /// Charges a customer in the step `stripe-charge`, once for this idempotency key.
    pub async fn charge(
        &self,
        spender: &Spender,
        charge: &Charge,
        idempotency_key: &IdempotencyKey,
    ) -> Result<Charged, TerminalError> {
        let (spender, charge, key) = (spender.clone(), charge.clone(), idempotency_key.clone());
        self.step("stripe-charge", move |keybrake| async move {
            keybrake.charge(&spender, &charge, &key).await
        })
        .await
    }

    /// Makes any call at a vendor in the step `vendor-call`.
    pub async fn call(
        &self,
        spender: &Spender,
        call: &VendorCall,
        idempotency_key: &IdempotencyKey,
    ) -> Result<Done, TerminalError> {
        let (spender, call, key) = (spender.clone(), call.clone(), idempotency_key.clone());
        self.step("vendor-call", move |keybrake| async move {
            let keyed = KeyedCall { call: &call, idempotency_key: Some(&key) };
            keybrake.call(&spender, keyed).await
        })
        .await
    }

    /// Who is on a plan, in the step `fetch-customers`.
    pub async fn customers(
        &self,
        customers: Customers,
        plan: String,
    ) -> Result<Vec<Charge>, TerminalError> {
        self.step("fetch-customers", move |_| async move { customers.of_plan(&plan).await }).await
    }

    async fn step<T, F>(
        &self,
        name: &'static str,
        ask: impl FnOnce(Keybrake) -> F,
    ) -> Result<T, TerminalError>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let asked = ask(self.worker.keybrake.clone());
        let step = async move {
            let done = asked.await.map_err(|failure| in_step(&failure))?;
            Ok(Json(serde_json::to_value(done)?))
        };
        let Json(done) = self.ctx.run_step(name, self.worker.retries(), Box::pin(step)).await?;
        serde_json::from_value(done).map_err(|error| {
            TerminalError::new(format!(
                "the journal's result of the step {name} is of another version: {error}"
            ))
        })
    }
}
