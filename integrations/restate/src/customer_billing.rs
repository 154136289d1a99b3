//! The virtual object `CustomerBilling`: one charge per customer and period, however often it is
//! asked for.
//!
//! The object's key, the customer, is not enough to name a charge: the next month's would be taken
//! for the last one's. Nor is the invocation: another one may ask for the same month. So the
//! idempotency key is made of customer and period. A decline is final at Stripe under its key, so
//! that the next attempt has a new one.

#![expect(missing_docs, reason = "the SDK's macro writes clients without docs")]

use keybrake_client::{
    Failure, IssueRequest, Spender,
    charge::{self, Charge, Charged},
    key::Dollars,
};
use keybrake_core::ids::KeyId;
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    failure::{report, terminal},
    input,
    steps::Worker,
};

/// Bills a customer. The object's key is Stripe's id of the customer.
#[derive(Clone, Debug)]
pub struct CustomerBilling(pub Worker);

/// What a period costs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PeriodCharge {
    /// Such as `2026-11`. At most 64 characters, without a slash.
    period: String,
    /// In the currency's smallest unit.
    amount: u64,
    /// `usd` by default.
    currency: Option<String>,
    payment_method: Option<String>,
    description: Option<String>,
    /// The cap of the key that is issued for it: the amount by default, where that is in dollars.
    budget_usd: Option<Dollars>,
    /// A run's key, whose budget is spent from as well.
    parent_key_id: Option<KeyId>,
}

/// Which period.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfPeriod {
    period: String,
}

/// A period's one charge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeriodCharged {
    /// The period.
    pub period: String,
    /// Whether an earlier request had made it.
    pub already_charged: bool,
    /// The charge.
    #[serde(flatten)]
    pub charge: Charged,
}

#[restate_sdk::object(name = "CustomerBilling")]
impl CustomerBilling {
    /// Charges the period unless it was charged. An earlier charge is answered as it was made,
    /// whatever amount is asked for now.
    #[handler]
    async fn charge(
        &self,
        ctx: ObjectContext<'_>,
        Json(input): Json<Value>,
    ) -> HandlerResult<Json<PeriodCharged>> {
        let asked: PeriodCharge = input::read(input)?;
        check_period(&asked.period).map_err(|failure| terminal(&failure))?;
        let (charged_at, declined_at) =
            (charged_at(&asked.period), format!("declined/{}", asked.period));
        if let Some(Json(made)) = ctx.get::<Json<PeriodCharged>>(&charged_at).await? {
            return Ok(Json(PeriodCharged { already_charged: true, ..made }));
        }
        let declined = ctx.get::<u32>(&declined_at).await?.unwrap_or(0);
        let customer = ctx.key().to_owned();
        let once = format!("CustomerBilling/{customer}/{}-{declined}", asked.period);
        let once = input::idempotency_key(once)?;
        let steps = self.0.steps(&ctx, &format!("CustomerBilling/{customer}"), ctx.invocation_id());
        let request = asked.issue_request().map_err(|failure| terminal(&failure))?;
        let period = asked.period.clone();

        let key = steps.issue(request).await?;
        let made = steps.charge(&Spender::from(key.handle()), &asked.charge(customer), &once).await;
        match made {
            Ok(charge) => {
                let made = PeriodCharged { period, already_charged: charge.replayed, charge };
                ctx.set(&charged_at, Json(made.clone()));
                steps.revoke(key.key_id).await?;
                Ok(Json(made))
            }
            Err(error) => {
                // Stripe's decline is final under its key. What was made and is not paid is not
                // declined: the customer may still pay it.
                let report = report(&error);
                if report.told.status == 402 && report.told.vendor_object_id.is_none() {
                    ctx.set(&declined_at, declined.saturating_add(1));
                }
                steps.revoke(key.key_id).await?;
                Err(error.into())
            }
        }
    }

    /// `{"period"}`: the period's charge, or null.
    #[handler]
    async fn charged(
        &self,
        ctx: SharedObjectContext<'_>,
        Json(input): Json<Value>,
    ) -> HandlerResult<Json<Option<PeriodCharged>>> {
        let asked: OfPeriod = input::read(input)?;
        let made = ctx.get::<Json<PeriodCharged>>(&charged_at(&asked.period)).await?;
        Ok(Json(made.map(Json::into_inner)))
    }
}

fn charged_at(period: &str) -> String {
    format!("charged/{period}")
}

fn check_period(period: &str) -> Result<(), Failure> {
    if period.is_empty() || period.len() > 64 || period.contains('/') {
        return Err(Failure::invalid_input("period", "has not 1 to 64 characters without a slash"));
    }
    Ok(())
}

impl PeriodCharge {
    fn charge(self, customer: String) -> Charge {
        Charge {
            customer,
            amount: self.amount,
            currency: self.currency.unwrap_or_else(|| "usd".to_owned()),
            payment_method: self.payment_method,
            description: self.description,
        }
    }

    fn issue_request(&self) -> Result<IssueRequest, Failure> {
        let is_usd =
            self.currency.as_deref().is_none_or(|currency| currency.eq_ignore_ascii_case("usd"));
        let cap = match &self.budget_usd {
            Some(given) => given.clone(),
            None if is_usd => {
                Dollars::Text(format!("{}.{:02}", self.amount / 100, self.amount % 100))
            }
            None => {
                return Err(Failure::invalid_input(
                    "budget_usd",
                    "is missing; it is needed where the currency is not usd",
                ));
            }
        };
        Ok(IssueRequest {
            vendor: Some("stripe".to_owned()),
            total_usd_cap: Some(cap),
            allowed_endpoints: Some(vec![charge::ENDPOINT.to_owned()]),
            expires_in: Some("1h".to_owned()),
            parent_key_id: self.parent_key_id,
            ..IssueRequest::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(currency: Option<&str>) -> PeriodCharge {
        serde_json::from_value(json!({"period": "2026-11", "amount": 1905, "currency": currency}))
            .unwrap()
    }

    #[test]
    fn the_keys_cap_is_the_amount_in_dollars_or_given() {
        let request = asked(None).issue_request().unwrap();
        assert_eq!(request.total_usd_cap, Some(Dollars::Text("19.05".to_owned())));
        assert!(asked(Some("USD")).issue_request().is_ok());
        let failure = asked(Some("eur")).issue_request().unwrap_err();
        assert!(failure.told().message.starts_with("budget_usd"), "{failure}");
    }

    #[test]
    fn a_period_can_not_reach_into_another_customers_key() {
        assert!(check_period("2026-11").is_ok());
        for period in ["", "cus_2/2026-11", &"9".repeat(65)] {
            assert!(check_period(period).is_err(), "{period}");
        }
    }
}
