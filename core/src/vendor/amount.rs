//! Amounts as vendors write them, and what they are in dollars.

use serde_json::Value;

use crate::{
    currency::Currency,
    ledger::rows::Asked,
    money::{MicroUsd, plain_integer},
    rates::{NoRate, Rate, Rates},
    refusal::Refusal,
    time::Timestamp,
    vendor::definition::Amounts,
};

/// What an amount is in dollars, at an instant.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    rates: &'a Rates,
    now: Timestamp,
    held: Option<(Currency, Rate)>,
}

impl<'a> Exchange<'a> {
    /// By these rates, as far as they are not too old by now.
    #[must_use]
    pub const fn new(rates: &'a Rates, now: Timestamp) -> Self {
        Self { rates, now, held: None }
    }

    /// The same, and for the currency that a call was quoted in by the rate that it was quoted at.
    #[must_use]
    pub fn held_at(self, asked: Option<&Asked>) -> Self {
        let held = asked.and_then(|asked| Some((Currency::parse(&asked.currency)?, asked.rate?)));
        Self { held, ..self }
    }

    fn rate(&self, currency: Currency) -> Result<Rate, NoRate> {
        match self.held {
            Some((held, rate)) if held == currency => Ok(rate),
            Some(_) | None => self.rates.of(&currency, self.now),
        }
    }
}

/// An amount in a currency, in millionths of the currency's own unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Amount {
    micros: u64,
    currency: Currency,
}

impl Amount {
    /// A number that was written in this way; `None` for more than the largest amount.
    pub(super) fn new(number: u64, written: Amounts, currency: Currency) -> Option<Self> {
        let micros = match written {
            Amounts::Minor => number.checked_mul(10_u64.pow(6 - currency.exponent()))?,
            Amounts::Decimal => number,
        };
        Some(Self { micros, currency })
    }

    /// In the currency's smallest unit, rounded up.
    fn smallest_units(self) -> u64 {
        self.micros.div_ceil(10_u64.pow(6 - self.currency.exponent()))
    }

    /// In dollars, with the same in the vendor's own terms.
    pub(super) fn usd(self, exchange: &Exchange<'_>) -> Result<(MicroUsd, Asked), Refusal> {
        let code = self.currency.code().to_owned();
        let amount = self.smallest_units();
        let too_large = || Refusal::InvalidAmount { name: "amount".to_owned() };
        if self.currency == Currency::USD {
            let usd = MicroUsd::from_micros(self.micros).ok_or_else(too_large)?;
            return Ok((usd, Asked { amount, currency: code, rate: None }));
        }
        let rate = exchange.rate(self.currency).map_err(|no_rate| Refusal::CurrencyNotPriced {
            currency: code.clone(),
            why: no_rate.to_string(),
        })?;
        let usd = rate.usd(amount, &self.currency).map_err(|_| too_large())?;
        Ok((usd, Asked { amount, currency: code, rate: Some(rate) }))
    }
}

/// A number in a parameter, as it was written; `None` for any other text.
pub(super) fn number_in(text: &str, written: Amounts, signed: bool) -> Option<u64> {
    let text = if signed { text.strip_prefix('-').unwrap_or(text) } else { text };
    match written {
        Amounts::Minor => plain_integer(text).ok(),
        Amounts::Decimal => MicroUsd::parse(text).ok().map(MicroUsd::as_micros),
    }
}

/// A number in an answer. Whether it is negative does not matter: it moved all the same.
pub(super) fn number_at(body: &Value, pointer: &str, written: Amounts) -> Option<u64> {
    match (body.pointer(pointer)?, written) {
        (Value::Number(number), Amounts::Minor) => {
            number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs))
        }
        (Value::Number(number), Amounts::Decimal) => number_in(&number.to_string(), written, true),
        (Value::String(text), Amounts::Decimal) => number_in(text, written, true),
        _ => None,
    }
}

/// A currency in an answer.
pub(super) fn currency_at(body: &Value, pointer: &str) -> Option<Currency> {
    body.pointer(pointer).and_then(Value::as_str).and_then(Currency::parse)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written_and_nothing_else_is() {
        for (text, minor, decimal) in [
            ("1099", Some(1_099), Some(1_099_000_000)),
            ("10.99", None, Some(10_990_000)),
            ("-5", None, None),
            ("1e3", None, None),
            ("", None, None),
            ("0.0000001", None, None),
        ] {
            assert_eq!(number_in(text, Amounts::Minor, false), minor, "{text}");
            assert_eq!(number_in(text, Amounts::Decimal, false), decimal, "{text}");
        }
        assert_eq!(number_in("-5", Amounts::Minor, true), Some(5));
        assert_eq!(number_in("--5", Amounts::Minor, true), None);
    }

    #[test]
    fn numbers_in_answers_count_whatever_their_sign() {
        let body = json!({"a": -5, "b": "-0.0075", "c": 1.5, "d": null, "e": "5", "f": true});
        let read = |pointer, written| number_at(&body, pointer, written);
        assert_eq!(read("/a", Amounts::Minor), Some(5));
        assert_eq!(read("/b", Amounts::Decimal), Some(7_500));
        assert_eq!(read("/c", Amounts::Decimal), Some(1_500_000));
        for pointer in ["/b", "/c", "/d", "/e", "/f", "/g"] {
            assert_eq!(read(pointer, Amounts::Minor), None, "{pointer}");
        }
        assert_eq!(read("/d", Amounts::Decimal), None);
    }
}
