//! Everything the vendor knows, and what one call sees of it.

use std::collections::{BTreeMap, HashMap};

use keybrake_core::time::Timestamp;
use rand::{Rng, distr::Alphanumeric};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::{
    cards::Card, charges::Charge, customers::Customer, events::Events, intents::PaymentIntent,
    ledger::Ledger, params::Params, refunds::Refund, routes::Op,
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

/// Makes ids that look like Stripe's.
pub(super) struct Ids(pub(super) ChaCha8Rng);

impl Ids {
    pub(super) fn next(&mut self, prefix: &str) -> String {
        let mut id = String::with_capacity(prefix.len() + 24);
        id.push_str(prefix);
        for _ in 0..24 {
            id.push(char::from(self.0.sample(Alphanumeric)));
        }
        id
    }
}

/// An object that can be listed.
pub(super) trait Record {
    /// The object's name, as in the field `object`.
    const OBJECT: &'static str;
    /// The path of its list.
    const URL: &'static str;
    fn id(&self) -> &str;
    fn created(&self) -> Timestamp;
    fn render(&self) -> Value;
}

/// Objects in the order of their creation.
pub(super) struct Table<T> {
    rows: Vec<T>,
    index: HashMap<String, usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), index: HashMap::new() }
    }
}

impl<T: Record> Table<T> {
    pub(super) fn push(&mut self, row: T) {
        self.index.insert(row.id().to_owned(), self.rows.len());
        self.rows.push(row);
    }

    pub(super) fn get(&self, id: &str) -> Option<&T> {
        self.rows.get(self.position(id)?)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        let at = self.position(id)?;
        self.rows.get_mut(at)
    }

    pub(super) fn position(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// Oldest first.
    pub(super) fn rows(&self) -> &[T] {
        &self.rows
    }
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
