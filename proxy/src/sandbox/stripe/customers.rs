//! Customers: a name, and perhaps a card that charges fall back to.

use keybrake_core::time::Timestamp;
use serde_json::{Value, json};

use super::{
    cards::{self, Method},
    errors::{self, ApiError},
    ledger::{self, Effect},
    lists::{self, Paging},
    metadata,
    params::Params,
    world::{Call, Keyed, Metadata, Record, World},
};

/// A customer.
pub(super) struct Customer {
    id: String,
    created: Timestamp,
    email: Option<String>,
    name: Option<String>,
    phone: Option<String>,
    description: Option<String>,
    pub(super) default_source: Option<String>,
    metadata: Metadata,
}

impl Keyed for Customer {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Record for Customer {
    const OBJECT: &'static str = "customer";
    const URL: &'static str = "/v1/customers";

    fn created(&self) -> Timestamp {
        self.created
    }

    fn render(&self) -> Value {
        json!({
            "id": self.id, "object": "customer", "address": null, "balance": 0,
            "created": self.created.as_seconds(), "currency": null,
            "default_source": self.default_source, "delinquent": false,
            "description": self.description, "discount": null, "email": self.email,
            "invoice_prefix": null,
            "invoice_settings": {
                "custom_fields": null, "default_payment_method": null, "footer": null,
                "rendering_options": null,
            },
            "livemode": false, "metadata": self.metadata, "name": self.name,
            "next_invoice_sequence": 1, "phone": self.phone, "preferred_locales": [],
            "shipping": null, "tax_exempt": "none", "test_clock": null,
        })
    }
}

/// The customer's own card, where there is one.
pub(super) fn default_source(
    world: &mut World,
    customer: Option<&str>,
) -> Result<Option<Method>, ApiError> {
    let known = customer.and_then(|id| world.customers.get(id));
    let source = known.and_then(|customer| customer.default_source.clone());
    source.map(|source| cards::source(world, &source)).transpose()
}

pub(super) fn create(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let text = |name| call.params.text(name).map(|text| text.map(str::to_owned));
    let (email, name) = (text("email")?, text("name")?);
    let (phone, description) = (text("phone")?, text("description")?);
    let metadata = metadata::of_new(call.params)?;
    if let Some(method) = call.params.text("payment_method")? {
        cards::payment_method(call.world, method)?;
    }
    let default_source = match call.params.text("source")? {
        Some(token) => Some(cards::source(call.world, token)?.id),
        None => None,
    };
    let customer = Customer {
        id: call.world.ids.next("cus_"),
        created: call.now,
        email,
        name,
        phone,
        description,
        default_source,
        metadata,
    };
    let rendered = customer.render();
    call.emit("customer.created", &rendered);
    ledger::record(
        call,
        &Effect {
            object_id: &customer.id,
            amount: 0,
            currency: "",
            status: "created",
            metadata: &customer.metadata,
        },
    );
    call.world.customers.push(customer);
    Ok(rendered)
}

pub(super) fn one(world: &World, id: &str) -> Result<Value, ApiError> {
    let found = world.customers.get(id).map(Record::render);
    found.ok_or_else(|| errors::no_such("customer", id))
}

pub(super) fn list(world: &World, params: &Params) -> Result<Value, ApiError> {
    let email = params.text("email")?;
    let page = lists::page(&world.customers, &Paging::read(params)?, |customer| {
        email.is_none_or(|email| customer.email.as_deref() == Some(email))
    })?;
    Ok(lists::render(&page, Record::render))
}

/// The `customer` parameter, which must name one that exists.
pub(super) fn reference(world: &World, params: &Params) -> Result<Option<String>, ApiError> {
    match params.text("customer")? {
        Some(id) if world.customers.get(id).is_none() => {
            Err(errors::missing_reference("customer", id, "customer"))
        }
        id => Ok(id.map(str::to_owned)),
    }
}
