//! `charge-one`: one item of a Map.

use keybrake_client::{
    Failure, IdempotencyKey, Keybrake, Spender,
    charge::{Charged, Customer, Item},
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

/// Charges one customer, once for each execution and item. A key that is named and about to expire
/// is refreshed on its own budget first; a token can't be, and ends in `KeyExpired`.
pub async fn charge_one(keybrake: Keybrake, input: Value) -> Result<Charged, Failure> {
    let asked: ChargeOne = input::read(input)?;
    let once = IdempotencyKey::of_item(&asked.execution_id, &asked.item_index)?;
    keybrake.charge(&asked.spender, &asked.customer.into(), &once).await
}
