//! The services as one endpoint for Restate.

use std::time::Duration;

use keybrake_client::Customers;
use restate_sdk::{
    endpoint::ServiceOptions,
    prelude::*,
    service::{IntoServiceDefinition, ServiceDefinition},
};

use crate::{
    billing::{Billing, FanOut},
    charge_one::ChargeOne,
    customer_billing::CustomerBilling,
    steps::Worker,
    vault_keys::VaultKeys,
};

/// What the endpoint serves, and to whom.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// `publickeyv1_…`: only requests that the Restate server with this key has signed are served.
    pub identity_keys: Vec<String>,
    /// How long Restate keeps journals once an invocation has ended; its own default, a day, otherwise.
    pub journal_retention: Option<Duration>,
    /// The example service as well, which knows its customers from here.
    pub billing: Option<Customers>,
}

/// A text that is no identity key.
#[derive(Debug, thiserror::Error)]
#[error("an identity key is not of the form publickeyv1_…: {0}")]
pub struct InvalidIdentityKey(String);

/// The endpoint.
pub fn endpoint(worker: &Worker, served: &Served) -> Result<Endpoint, InvalidIdentityKey> {
    let kept = |service: ServiceDefinition| match served.journal_retention {
        Some(retention) => service.options(ServiceOptions::new().journal_retention(retention)),
        None => service,
    };
    let mut builder = Endpoint::builder()
        .bind(kept(VaultKeys(worker.clone()).into_service_definition()))
        .bind(kept(ChargeOne(worker.clone()).into_service_definition()))
        .bind(kept(CustomerBilling(worker.clone()).into_service_definition()));
    if let Some(customers) = &served.billing {
        let billing = Billing { worker: worker.clone(), customers: customers.clone() };
        builder = builder
            .bind(kept(billing.into_service_definition()))
            .bind(kept(FanOut(worker.clone()).into_service_definition()));
    }
    for key in &served.identity_keys {
        builder =
            builder.identity_key(key).map_err(|error| InvalidIdentityKey(error.to_string()))?;
    }
    Ok(builder.build())
}
