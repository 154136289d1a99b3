//! What an object at a vendor has moved or commits in its present state.

use serde_json::Value;

use super::{
    amount::{Amount, Exchange, currency_at, number_at},
    definition::{Amounts, Case, Kind},
};
use crate::{currency::Currency, ledger::rows::Asked, money::MicroUsd, refusal::Refusal};

/// What an object stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stands {
    /// As the vendor writes amounts.
    pub(super) number: u64,
    pub(super) currency: Currency,
    /// Whether no call can change it any more.
    pub(super) is_final: bool,
}

impl Kind {
    /// What an object of this kind stands for; `None` where it does not say.
    pub(super) fn stands(&self, object: &Value, written: Amounts) -> Option<Stands> {
        let case = self.stands.iter().find(|case| case.is_of(object))?;
        let amounts = case.amounts.iter().map(|pointer| number_at(object, pointer, written));
        let number = amounts.sum::<Option<u64>>()?;
        let currency = match currency_at(object, &self.currency) {
            Some(currency) => currency,
            // Nothing is nothing in any currency.
            None if case.amounts.is_empty() => Currency::USD,
            None => return None,
        };
        Some(Stands { number, currency, is_final: case.is_final })
    }

    /// The same in dollars.
    pub(super) fn worth(
        &self,
        object: &Value,
        written: Amounts,
        exchange: &Exchange<'_>,
    ) -> Option<(MicroUsd, Stands)> {
        let stands = self.stands(object, written)?;
        Some((stands.usd(written, exchange).ok()?.0, stands))
    }

    /// The object's id.
    pub(super) fn id(&self, object: &Value) -> Option<String> {
        object.pointer(&self.id).and_then(Value::as_str).map(str::to_owned)
    }
}

impl Stands {
    /// In dollars.
    pub(super) fn usd(
        self,
        written: Amounts,
        exchange: &Exchange<'_>,
    ) -> Result<(MicroUsd, Asked), Refusal> {
        let amount = Amount::new(self.number, written, self.currency);
        let too_large = || Refusal::InvalidAmount { name: "amount".to_owned() };
        amount.ok_or_else(too_large)?.usd(exchange)
    }
}

impl Case {
    fn is_of(&self, object: &Value) -> bool {
        let Some(pointer) = &self.at else {
            return true;
        };
        let given = match object.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(flag)) => flag.to_string(),
            Some(Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => {
                return false;
            }
        };
        self.is.contains(&given)
    }
}
