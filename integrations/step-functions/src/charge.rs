//! `charge-one`: one item of a Map.

use std::fmt;

use keybrake_client::{
    Failure, IdempotencyKey, Keybrake, Spender,
    charge::{Charge, Charged},
    input,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct ChargeOne {
    customer: Customer,
    /// `$$.Map.Item.Index`, or another name of the item that its retries repeat.
    item_index: Item,
    /// `$$.Execution.Id`, which a retry and a redrive keep.
    execution_id: String,
    #[serde(flatten)]
    spender: Spender,
}

/// A customer and what is to be charged.
#[derive(Deserialize)]
pub(crate) struct Customer {
    /// Stripe's id.
    #[serde(alias = "customer")]
    id: String,
    /// In the smallest unit.
    #[serde(alias = "amount")]
    amount_cents: u64,
    #[serde(default = "usd")]
    currency: String,
    payment_method: Option<String>,
    description: Option<String>,
}

fn usd() -> String {
    "usd".to_owned()
}

impl From<Customer> for Charge {
    fn from(customer: Customer) -> Self {
        Self {
            customer: customer.id,
            amount: customer.amount_cents,
            currency: customer.currency,
            payment_method: customer.payment_method,
            description: customer.description,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Index(u64),
    Name(String),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => index.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Charges one customer, once for each execution and item. A key that is named and about to expire
/// is refreshed on its own budget first; a token can't be, and ends in `KeyExpired`.
pub async fn charge_one(keybrake: Keybrake, input: Value) -> Result<Charged, Failure> {
    let asked: ChargeOne = input::read(input)?;
    let once = IdempotencyKey::of_item(&asked.execution_id, &asked.item_index)?;
    keybrake.charge(&asked.spender, &asked.customer.into(), &once).await
}
