//! An example to copy: a run that bills the customers of a plan under one cap.
//!
//! ```text
//! chargeCustomers   key ─► customers ─► ChargeOne × n, awaited ─► summary ─► revoke
//! sendCharges       key ─► customers ─► chargeItem × n, one-way ┄► FanOut counts them; the last one revokes
//! ```
//!
//! Nobody waits for one-way children, and they outlive a parent that is cancelled: so the key must
//! outlive it as well, and it is the last child's end that stops it, or the key's own expiry.

#![expect(missing_docs, reason = "the SDK's macro writes clients without docs")]

mod fan_out;

pub use fan_out::{FanOut, Progress};

use std::collections::BTreeSet;

use keybrake_client::{
    Customers, Failure, Handle, IdempotencyKey, IssueRequest, IssuedKey, Spender, Summary,
    charge::{self, Charge},
    key::{Dollars, Revoked},
};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    charge_one::ChargeOneClient,
    failure::{report, terminal},
    input,
    steps::{Steps, Worker},
};

/// Bills the customers of a plan.
#[derive(Clone, Debug)]
pub struct Billing {
    /// Issues and charges.
    pub worker: Worker,
    /// Knows who is on a plan.
    pub customers: Customers,
}

/// Whom to bill, and what the run may spend.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanRun {
    #[serde(rename = "plan_id")]
    plan: String,
    budget_usd: Dollars,
    /// `2h` by default. It covers retries; a charge whose key is short of time refreshes it.
    expires_in: Option<String>,
    /// Instead of asking who is on the plan.
    customers: Option<Vec<Charge>>,
}

/// How a run ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Billed {
    /// The run's name in audit rows.
    pub agent_run_label: String,
    /// How the charges ended.
    pub summary: Summary,
    /// What the key had spent when it was revoked. None where that could not be done: the key then
    /// lives to its expiry.
    pub revoked: Option<Revoked>,
}

/// A run whose charges are on their way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sent {
    /// The run's name in audit rows, and the key of its `FanOut`.
    pub agent_run_label: String,
    /// What pays.
    pub key: Handle,
    /// How many charges were sent.
    pub charges: usize,
}

/// One charge of a one-way fan-out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    agent_run_label: String,
    key: Handle,
    charge: Charge,
    idempotency_key: String,
}

#[restate_sdk::service(name = "Billing")]
impl Billing {
    /// `{"plan_id", "budget_usd", "expires_in"?, "customers"?}`: charges each customer once, and
    /// says how many were charged, capped and failed.
    #[handler(name = "chargeCustomers")]
    async fn charge_customers(
        &self,
        ctx: Context<'_>,
        Json(input): Json<Value>,
    ) -> HandlerResult<Json<Billed>> {
        let asked: PlanRun = input::read(input)?;
        let steps = self.worker.steps(&ctx, "Billing", ctx.invocation_id());
        let key = steps.issue(asked.issue_request()).await?;
        let charged = self.charge_all(&ctx, &steps, &key, asked).await;
        // On success, on failure and on cancellation alike.
        let revoked = steps.revoke(key.key_id).await;
        let agent_run_label = key.agent_run_label;
        Ok(Json(Billed { agent_run_label, summary: charged?, revoked: revoked.ok() }))
    }

    /// The same, without waiting: `FanOut/{agent_run_label}/summary` tells how far it is.
    #[handler(name = "sendCharges")]
    async fn send_charges(
        &self,
        ctx: Context<'_>,
        Json(input): Json<Value>,
    ) -> HandlerResult<Json<Sent>> {
        let asked: PlanRun = input::read(input)?;
        let steps = self.worker.steps(&ctx, "Billing", ctx.invocation_id());
        let key = steps.issue(asked.issue_request()).await?;
        let customers = match self.keyed_customers(&steps, asked).await {
            Ok(customers) => customers,
            Err(error) => {
                steps.revoke(key.key_id).await?;
                return Err(error.into());
            }
        };
        let (label, charges) = (key.agent_run_label.clone(), customers.len());
        let counted = ctx.object_client::<fan_out::FanOutClient>(label.clone());
        counted.begin(Json(json!({"key_id": key.key_id, "charges": charges}))).send();
        for (charge, key_of_item) in customers {
            let idempotency_key = key_of_item.as_str().to_owned();
            let item =
                Item { agent_run_label: label.clone(), key: key.handle(), charge, idempotency_key };
            ctx.service_client::<BillingClient>().charge_item(Json(json!(item))).send();
        }
        Ok(Json(Sent { agent_run_label: label, key: key.handle(), charges }))
    }

    /// One charge of `sendCharges`, which tells `FanOut` how it ended.
    #[handler(name = "chargeItem", ingress_private)]
    async fn charge_item(&self, ctx: Context<'_>, Json(input): Json<Value>) -> HandlerResult<()> {
        let item: Item = input::read(input)?;
        let steps = self.worker.steps(&ctx, "Billing", ctx.invocation_id());
        let key = input::idempotency_key(item.idempotency_key)?;
        let ended = steps.charge(&Spender::from(item.key), &item.charge, &key).await;
        let mut summary = Summary::default();
        summary.add(item.charge.amount, ended.as_ref().err().map(report).as_ref());
        ctx.object_client::<fan_out::FanOutClient>(item.agent_run_label)
            .ended(Json(json!(summary)))
            .send();
        ended.map(|_| ()).map_err(Into::into)
    }
}

impl Billing {
    async fn charge_all(
        &self,
        ctx: &Context<'_>,
        steps: &Steps<'_>,
        key: &IssuedKey,
        asked: PlanRun,
    ) -> Result<Summary, TerminalError> {
        let customers = self.keyed_customers(steps, asked).await?;
        let mut calls = Vec::with_capacity(customers.len());
        for (charge, once) in customers {
            let input =
                json!({"key": key.handle(), "charge": charge, "idempotency_key": once.as_str()});
            calls.push((
                charge.amount,
                ctx.service_client::<ChargeOneClient>().charge(Json(input)).call(),
            ));
        }
        let mut summary = Summary::default();
        for (amount, call) in calls {
            match call.await {
                Ok(_) => summary.add(amount, None),
                Err(error) if crate::failure::is_cancelled(&error) => return Err(error),
                Err(error) => summary.add(amount, Some(&report(&error))),
            }
        }
        Ok(summary)
    }

    /// Whom to charge, each with its idempotency key. All of it is checked before anything is sent.
    async fn keyed_customers(
        &self,
        steps: &Steps<'_>,
        asked: PlanRun,
    ) -> Result<Vec<(Charge, IdempotencyKey)>, TerminalError> {
        let mut known = BTreeSet::new();
        let mut keyed = Vec::new();
        for charge in self.customers_of(steps, asked).await? {
            if !known.insert(charge.customer.clone()) {
                let problem = format!("{} is there twice; add its amounts up", charge.customer);
                return Err(terminal(&Failure::invalid_input("customers", problem)));
            }
            let key = steps.item(&charge.customer)?;
            keyed.push((charge, key));
        }
        Ok(keyed)
    }

    async fn customers_of(
        &self,
        steps: &Steps<'_>,
        asked: PlanRun,
    ) -> Result<Vec<Charge>, TerminalError> {
        match asked.customers {
            Some(given) => Ok(given),
            None => steps.customers(self.customers.clone(), asked.plan).await,
        }
    }
}

impl PlanRun {
    fn issue_request(&self) -> IssueRequest {
        IssueRequest {
            vendor: Some("stripe".to_owned()),
            daily_usd_cap: Some(self.budget_usd.clone()),
            allowed_endpoints: Some(vec![charge::ENDPOINT.to_owned()]),
            expires_in: Some(self.expires_in.clone().unwrap_or_else(|| "2h".to_owned())),
            ..IssueRequest::default()
        }
    }
}
