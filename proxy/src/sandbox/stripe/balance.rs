//! The account's balance: what was captured, less what was refunded. Stripe's fees are not imitated.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::world::World;

pub(super) fn render(world: &World) -> Value {
    let mut available = BTreeMap::from([("usd", 0_u64)]);
    for charge in world.charges.rows().iter().filter(|charge| charge.captured) {
        let sum = available.entry(&charge.currency).or_default();
        *sum = sum.saturating_add(charge.refundable());
    }
    let entry = |(currency, amount): (&&str, &u64)| json!({"amount": amount, "currency": currency, "source_types": {"card": amount}});
    let nothing =
        |currency: &&str| json!({"amount": 0, "currency": currency, "source_types": {"card": 0}});
    json!({
        "object": "balance", "livemode": false,
        "available": available.iter().map(entry).collect::<Vec<_>>(),
        "pending": available.keys().map(nothing).collect::<Vec<_>>(),
    })
}
