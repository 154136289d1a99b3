//! Who is on a plan, for the example runs: asked of the user's own API.

use std::time::Duration;

use crate::{
    charge::{Charge, Customer},
    client::{NoClient, body_within, http_client},
    failure::{Failure, Told},
};

const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// In bytes.
const LONGEST_LIST: usize = 16 * 1024 * 1024;

/// The API that knows the customers, if there is one.
#[derive(Clone, Debug)]
pub struct Customers(Option<(reqwest::Client, String)>);

impl Customers {
    /// `GET {url}?plan_id=…` answers `[{"id", "amount_cents", "payment_method"?}]`.
    pub fn at(url: Option<String>) -> Result<Self, NoClient> {
        let Some(url) = url else { return Ok(Self(None)) };
        Ok(Self(Some((http_client()?.timeout(ANSWERS_WITHIN).build()?, url))))
    }

    /// What the customers of this plan are to be charged.
    pub async fn of_plan(&self, plan_id: &str) -> Result<Vec<Charge>, Failure> {
        let Some((http, url)) = &self.0 else {
            let problem = "is missing, and the worker was given no KEYBRAKE_CUSTOMERS_URL to ask";
            return Err(Failure::invalid_input("customers", problem));
        };
        let asked = http.get(url).query(&[("plan_id", plan_id)]).send().await;
        let answer = asked.and_then(reqwest::Response::error_for_status).map_err(|_| unread())?;
        let body = body_within(answer, LONGEST_LIST).await.map_err(|_| unread())?;
        let customers: Vec<Customer> = serde_json::from_slice(&body).map_err(|_| unread())?;
        Ok(customers.into_iter().map(Charge::from).collect())
    }
}

fn unread() -> Failure {
    let message =
        "the customers could not be read from KEYBRAKE_CUSTOMERS_URL; nobody was charged; retry";
    let told =
        Told { code: "no_customers".to_owned(), message: message.to_owned(), ..Told::default() };
    Failure::Retryable { after: None, told: Box::new(told) }
}
