//! Who is on a plan: asked of the user's own API.

use std::time::Duration;

use keybrake_client::{
    charge::Charge,
    client::{NoClient, http_client},
};
use restate_sdk::prelude::*;
use serde::Deserialize;

const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// The API that knows the customers, if there is one.
#[derive(Clone, Debug)]
pub struct Customers(Option<(reqwest::Client, String)>);

/// A customer as the API tells it.
#[derive(Deserialize)]
struct Customer {
    id: String,
    #[serde(alias = "amountCents")]
    amount_cents: u64,
    #[serde(default, alias = "paymentMethod")]
    payment_method: Option<String>,
}

impl Customers {
    /// `GET {url}?plan_id=…` answers `[{"id", "amount_cents", "payment_method"?}]`.
    pub fn at(url: Option<String>) -> Result<Self, NoClient> {
        let Some(url) = url else { return Ok(Self(None)) };
        let client = http_client()?.timeout(ANSWERS_WITHIN).build()?;
        Ok(Self(Some((client, url))))
    }

    pub(super) async fn of_plan(
        &self,
        ctx: &Context<'_>,
        plan_id: String,
        retries: RunRetryPolicy,
    ) -> Result<Vec<Charge>, TerminalError> {
        let Some((http, url)) = self.0.clone() else {
            let message =
                "customers: missing, and the worker was given no KEYBRAKE_CUSTOMERS_URL to ask";
            return Err(TerminalError::new_with_code(400, message));
        };
        let Json(charges) = ctx
            .run(|| async move {
                let asked = http.get(url).query(&[("plan_id", plan_id)]).send().await?;
                let customers: Vec<Customer> = asked.error_for_status()?.json().await?;
                Ok(Json(customers.into_iter().map(Customer::into_charge).collect::<Vec<_>>()))
            })
            .name("fetch-customers")
            .retry_policy(retries)
            .await?;
        Ok(charges)
    }
}

impl Customer {
    fn into_charge(self) -> Charge {
        let Self { id: customer, amount_cents: amount, payment_method } = self;
        Charge { customer, amount, currency: "usd".to_owned(), payment_method, description: None }
    }
}
