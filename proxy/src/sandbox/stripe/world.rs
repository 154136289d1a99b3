//! Everything the vendor knows, and what one call sees of it.

use std::collections::{BTreeMap, HashMap};

use keybrake_core::time::Timestamp;
use serde_json::Value;

use super::{
    cards::Card, charges::Charge, customers::Customer, events::Events, intents::PaymentIntent,
    ledger::Ledger, params::Params, refunds::Refund, routes::Op,
};
pub(super) use crate::sandbox::{
    ids::Ids,
    table::{Keyed, Table},
};

/// Texts that the caller attached to an object.
pub(super) type Metadata = BTreeMap<String, String>;

pub(super) struct World {
    pub(super) ids: Ids,
    pub(super) customers: Table<Customer>,
    pub(super) intents: Table<PaymentIntent>,
    pub(super) charges: Table<Charge>,
    pub(super) refunds: Table<Refund>,
    /// Payment methods by id, made of the test tokens that callers name.
    pub(super) methods: HashMap<String, Card>,
    pub(super) events: Events,
    pub(super) ledger: Ledger,
}

impl World {
    pub(super) fn new(ids: Ids) -> Self {
        Self {
            ids,
            customers: Table::default(),
            intents: Table::default(),
            charges: Table::default(),
            refunds: Table::default(),
            methods: HashMap::new(),
            events: Events::default(),
            ledger: Ledger::default(),
        }
    }
}

/// An object that can be listed.
pub(super) trait Record: Keyed {
    /// The object's name, as in the field `object`.
    const OBJECT: &'static str;
    /// The path of its list.
    const URL: &'static str;
    fn created(&self) -> Timestamp;
    fn render(&self) -> Value;
}

/// Who asked: what events and the ledger say about it.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) request_id: String,
    pub(super) key: Option<String>,
}

/// One call that is being executed. All of it happens under one lock.
pub(super) struct Call<'a> {
    pub(super) world: &'a mut World,
    pub(super) op: Op,
    pub(super) params: &'a Params,
    /// The id in the path, or nothing.
    pub(super) id: &'a str,
    pub(super) now: Timestamp,
    pub(super) origin: &'a Origin,
    /// Declines the card of this call, whatever card it is; taken by the call that charges.
    pub(super) decline: bool,
}

impl Call<'_> {
    pub(super) fn emit(&mut self, kind: &'static str, object: &Value) {
        let id = self.world.ids.next("evt_");
        self.world.events.push(id, kind, object, self.now, self.origin);
    }
}

/// The object with these fields added as null: SDKs expect them to be there.
pub(super) fn blank(mut object: Value, fields: &[&str]) -> Value {
    if let Value::Object(known) = &mut object {
        known.extend(fields.iter().map(|name| ((*name).to_owned(), Value::Null)));
    }
    object
}
