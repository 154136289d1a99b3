//! What the worker does for a run: issue its vault key, spend from it, refresh it, stop it.
//!
//! Each can be repeated: by the engine's retry, by a twin, after a worker that died. What makes a
//! repetition the same is the run's id, which the engine keeps over its retries, and the item.

use std::{sync::Arc, time::Duration};

use keybrake_client::{
    Failure, IdempotencyKey, IssueRequest, Keybrake, Spender, Told, VendorCall,
    call::KeyedCall,
    charge::{Charge, Customer, Item},
    input,
};
use keybrake_core::ids::KeyId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{sync::Semaphore, time::timeout};

/// Something that the worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Issues a run's vault key.
    IssueVaultKey,
    /// Takes a run over to a key that lives longer, on the same budget.
    RefreshVaultKey,
    /// Stops a run's vault key.
    RevokeVaultKey,
    /// Charges a customer by a Stripe `PaymentIntent`.
    ChargeOne,
    /// Makes any call at a vendor.
    CallVendor,
}

impl Activity {
    /// All of them, with their names in a path and in Azure.
    pub const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::IssueVaultKey, "issue-vault-key", "IssueVaultKey"),
        (Self::RefreshVaultKey, "refresh-vault-key", "RefreshVaultKey"),
        (Self::RevokeVaultKey, "revoke-vault-key", "RevokeVaultKey"),
        (Self::ChargeOne, "charge-one", "ChargeCustomer"),
        (Self::CallVendor, "call", "CallVendor"),
    ];

    /// The activity of either name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, path, azure)| *path == name || *azure == name);
        found.map(|(activity, _, _)| *activity)
    }
}

/// Does the activities, so many at a time.
#[derive(Clone, Debug)]
pub struct Activities {
    /// Asks the proxy.
    pub keybrake: Keybrake,
    at_once: Arc<Semaphore>,
    within: Duration,
    engine: &'static str,
}

/// The run's id and the item, as the engines' own words have them.
#[derive(Deserialize)]
struct OfRun {
    #[serde(alias = "instance_id", alias = "orchestration_id", alias = "execution_id")]
    run_id: Option<String>,
    step: Option<String>,
    item_index: Option<Item>,
    idempotency_key: Option<String>,
}

/// What an input has besides what it asks for.
const OF_RUN: [&str; 7] = [
    "run_id",
    "instance_id",
    "orchestration_id",
    "execution_id",
    "step",
    "item_index",
    "idempotency_key",
];

#[derive(Deserialize)]
struct Refresh {
    key_id: KeyId,
    expires_in: Option<String>,
    #[serde(default)]
    return_token: bool,
}

#[derive(Deserialize)]
struct OfKey {
    key_id: KeyId,
}

#[derive(Deserialize)]
struct Charging {
    customer: Customer,
}

#[derive(Deserialize)]
struct Calling {
    call: VendorCall,
}

impl Activities {
    /// Activities that wait for their turn beyond `at_once`, and for their answer at most `within`.
    #[must_use]
    pub fn new(keybrake: Keybrake, engine: &'static str, at_once: usize, within: Duration) -> Self {
        Self { keybrake, at_once: Arc::new(Semaphore::new(at_once)), within, engine }
    }

    /// The same, under another engine's name in labels.
    #[must_use]
    pub fn of_engine(&self, engine: &'static str) -> Self {
        Self { engine, ..self.clone() }
    }

    /// Does it. `run` is the run's id where the envelope has it; the input's own comes first.
    pub async fn run(
        &self,
        activity: Activity,
        run: Option<&str>,
        input: Value,
    ) -> Result<Value, Failure> {
        let done = async {
            let _turn = self.at_once.acquire().await;
            self.attempt(activity, run, input).await
        };
        // Dropping the request does not stop a call that the proxy has begun.
        timeout(self.within, done).await.unwrap_or_else(|_| Err(too_slow()))
    }

    async fn attempt(
        &self,
        activity: Activity,
        run: Option<&str>,
        mut input: Value,
    ) -> Result<Value, Failure> {
        let mut of: OfRun = input::read(input.clone())?;
        of.run_id = of.run_id.or_else(|| run.map(str::to_owned));
        match activity {
            Activity::IssueVaultKey => {
                if let Some(fields) = input.as_object_mut() {
                    fields.retain(|name, _| !OF_RUN.contains(&name.as_str()));
                }
                let request: IssueRequest = input::read(input)?;
                let key = of.issue_key()?;
                let run = of.run_id.unwrap_or_else(|| key.as_str().to_owned());
                let request = request.for_run(|| format!("{}/{run}", self.engine));
                answer(self.keybrake.issue(&request, &key).await)
            }
            Activity::RefreshVaultKey => {
                let Refresh { key_id, expires_in, return_token } = input::read(input)?;
                answer(self.keybrake.refresh(key_id, expires_in.as_deref(), return_token).await)
            }
            Activity::RevokeVaultKey => {
                let OfKey { key_id } = input::read(input)?;
                answer(self.keybrake.revoke(key_id).await)
            }
            Activity::ChargeOne => {
                let Charging { customer } = input::read(input.clone())?;
                let spender: Spender = input::read(input)?;
                let charge = Charge::from(customer);
                answer(self.keybrake.charge(&spender, &charge, &of.item_key()?).await)
            }
            Activity::CallVendor => {
                let Calling { call } = input::read(input.clone())?;
                let spender: Spender = input::read(input)?;
                let key = of.item_key()?;
                let keyed = KeyedCall { call: &call, idempotency_key: Some(&key) };
                answer(self.keybrake.call(&spender, keyed).await)
            }
        }
    }
}

fn answer<T: Serialize>(done: Result<T, Failure>) -> Result<Value, Failure> {
    let done = done?;
    serde_json::to_value(done).map_err(|error| Failure::invalid_input("answer", error))
}

fn too_slow() -> Failure {
    let told = Told {
        code: "activity_timeout".to_owned(),
        message:
            "the activity took too long and was given up; a call may have been made; ask again \
                  with the same run and item, never with new ones"
                .to_owned(),
        status: 504,
        ..Told::default()
    };
    Failure::Unknown { after: None, told: Box::new(told) }
}

impl OfRun {
    /// `{run}/{step}`, so that a repeated issue gives the same key.
    fn issue_key(&self) -> Result<IdempotencyKey, Failure> {
        match (&self.idempotency_key, &self.run_id) {
            (Some(given), _) => IdempotencyKey::new(given.clone()),
            (None, Some(run)) => {
                let step = self.step.as_deref().unwrap_or("issue-vault-key");
                IdempotencyKey::new(format!("{run}/{step}"))
            }
            (None, None) => Err(missing_run("without it a retry would make a second budget")),
        }
    }

    /// `{run}-{item}`, so that a repeated call is the same one.
    fn item_key(&self) -> Result<IdempotencyKey, Failure> {
        match (&self.idempotency_key, &self.run_id, &self.item_index) {
            (Some(given), _, _) => IdempotencyKey::new(given.clone()),
            (None, Some(run), Some(item)) => IdempotencyKey::of_item(run, item),
            (None, Some(_), None) => {
                let problem = "is missing; without it each item would be taken for the first one";
                Err(Failure::invalid_input("item_index", problem))
            }
            (None, None, _) => Err(missing_run("without it a retry would be a second charge")),
        }
    }
}

fn missing_run(why: &str) -> Failure {
    Failure::invalid_input("run_id", format!("is missing, as is idempotency_key; {why}"))
}
