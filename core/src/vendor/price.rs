//! Reading a request's price: from its parameters, or from the vendor's answer to a question.
//!
//! The price is an upper bound on what the call can move. Where it can't be read exactly, the call
//! is refused.

use serde_json::Value;

use crate::{
    currency::Currency,
    ledger::{Quote, rows::Asked},
    money::{MicroUsd, plain_integer},
    params::Params,
    policy::Endpoint,
    refusal::Refusal,
    vendor::definition::{Ask, Priced},
};

/// A price, or what to ask to learn it.
#[derive(Clone, Debug)]
pub enum Price<'a> {
    /// It stands in the request.
    Known(Quote),
    /// The vendor has to be asked.
    Ask(Question<'a>),
}

/// A question to the vendor, with its blanks filled.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    ask: &'a Ask,
    amount: Option<u64>,
    /// Path and query of the GET that asks.
    pub path_and_query: String,
}

impl Quote {
    /// The price of what costs nothing.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { hold: MicroUsd::ZERO, object: None, asked: None }
    }

    /// The price that a policy sets.
    #[must_use]
    pub const fn fixed(hold: MicroUsd) -> Self {
        Self { hold, object: None, asked: None }
    }

    fn new(amount: u64, currency: &str, name: &str) -> Result<Self, Refusal> {
        let not_priced =
            || Refusal::CurrencyNotPriced { currency: currency.chars().take(8).collect() };
        let known = Currency::parse(currency)
            .filter(|known| *known == Currency::USD)
            .ok_or_else(not_priced)?;
        let hold = known.to_usd(amount).ok_or_else(|| invalid(name))?;
        Ok(Self {
            hold,
            object: None,
            asked: Some(Asked { amount, currency: known.code().to_owned() }),
        })
    }
}

impl Priced {
    /// What a request to this endpoint costs at most.
    pub fn price(&self, endpoint: &Endpoint, params: &Params) -> Result<Price<'_>, Refusal> {
        let named = self.amount.iter().chain(&self.currency);
        if let Some(alike) = named.clone().find_map(|name| params.lookalike(name)) {
            return Err(invalid(alike));
        }
        let amount_name = self.amount.as_deref().unwrap_or("amount");
        let given = self.amount.as_deref().and_then(|name| params.get(name));
        let amount =
            given.map(|text| plain_integer(text).map_err(|_| invalid(amount_name))).transpose()?;
        let currency = self.currency.as_deref().and_then(|name| params.get(name));
        if let Some((amount, currency)) = amount.zip(currency) {
            return Quote::new(amount, currency, amount_name).map(Price::Known);
        }
        let questions = self.ask.iter().find_map(|ask| {
            let path_and_query =
                fill(&ask.get, |name| blank(&self.endpoint, endpoint, params, name))?;
            Some(Price::Ask(Question { ask, amount, path_and_query }))
        });
        questions.ok_or_else(|| match amount {
            None => invalid(amount_name),
            Some(_) => Refusal::CurrencyNotPriced { currency: String::new() },
        })
    }
}

impl Question<'_> {
    /// The price, from the vendor's answer to the question.
    pub fn answered(&self, answer: &Value) -> Result<Quote, Refusal> {
        let unpriced = || Refusal::UnpricedEndpoint { endpoint: self.path_and_query.clone() };
        let number = |pointer: &str| answer.pointer(pointer).and_then(Value::as_u64);
        let less = self.ask.less.as_deref().map_or(Some(0), number);
        let whole =
            number(&self.ask.amount).zip(less).and_then(|(all, less)| all.checked_sub(less));
        let amount = self.amount.or(whole).ok_or_else(unpriced)?;
        let currency =
            answer.pointer(&self.ask.currency).and_then(Value::as_str).ok_or_else(unpriced)?;
        Quote::new(amount, currency, "amount")
    }
}

fn invalid(name: &str) -> Refusal {
    Refusal::InvalidAmount { name: name.to_owned() }
}

/// What fills a blank: a segment of the path, or a parameter. Only a plain id may go into a path.
fn blank(
    pattern: &crate::policy::EndpointPattern,
    endpoint: &Endpoint,
    params: &Params,
    name: &str,
) -> Option<String> {
    let value = pattern.capture(endpoint, name).or_else(|| params.get(name))?;
    let plain = !value.is_empty()
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    plain.then(|| value.to_owned())
}

/// A template with each `{name}` filled; `None` where one has no value.
pub(super) fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut pieces = template.split('{');
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, literal) = piece.split_once('}')?;
        filled.push_str(&value(name)?);
        filled.push_str(literal);
    }
    Some(filled)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        path::CanonicalPath,
        policy::Method,
        vendor::{built_in, definition::Rule},
    };

    fn price(path: &str, form: &str) -> Result<Result<(u64, String), String>, Refusal> {
        let definition = built_in().unwrap().remove(0);
        let endpoint = Endpoint { method: Method::Post, path: CanonicalPath::parse(path).unwrap() };
        let Rule::Priced(priced) = definition.rule(&endpoint) else {
            panic!("{path} has no price")
        };
        match priced.price(&endpoint, &Params::from_form(form).unwrap())? {
            Price::Known(quote) => {
                let asked = quote.asked.unwrap();
                assert_eq!(quote.hold.as_micros(), asked.amount * 10_000);
                Ok(Ok((asked.amount, asked.currency)))
            }
            Price::Ask(question) => Ok(Err(question.path_and_query)),
        }
    }

    #[test]
    fn a_plain_amount_in_dollars_is_the_price() {
        for path in ["/v1/payment_intents", "/v1/charges"] {
            assert_eq!(price(path, "amount=1099&currency=USD"), Ok(Ok((1_099, "usd".into()))));
        }
    }

    #[test]
    fn hostile_amounts_are_refused() {
        for form in [
            "currency=usd",
            "amount=&currency=usd",
            "amount=-5&currency=usd",
            "amount=0x10&currency=usd",
            "amount=1e3&currency=usd",
            "amount=1.0&currency=usd",
            "amount=+5&currency=usd",
            "amount=%205&currency=usd",
            "amount=99999999999999999999&currency=usd",
            "amount=18446744073709551615&currency=usd",
            "amount=007&currency=usd",
            "amount[]=5&currency=usd",
            "amount[x]=5&currency=usd",
            "Amount=5&currency=usd",
            "amount=5&AMOUNT=6&currency=usd",
            "amount=5&currency[]=usd",
            "amount=5&currency=usd&Currency=jpy",
            "amount=%D9%A1&currency=usd",
        ] {
            assert!(
                matches!(price("/v1/charges", form), Err(Refusal::InvalidAmount { .. })),
                "{form}"
            );
        }
    }

    #[test]
    fn other_and_unknown_currencies_are_refused() {
        for form in
            ["amount=5&currency=eur", "amount=5&currency=xyz", "amount=5&currency=", "amount=5"]
        {
            assert!(
                matches!(price("/v1/charges", form), Err(Refusal::CurrencyNotPriced { .. })),
                "{form}"
            );
        }
    }

    #[test]
    fn a_refund_is_priced_by_asking_for_its_charge() {
        assert_eq!(price("/v1/refunds", "charge=ch_1"), Ok(Err("/v1/charges/ch_1".into())));
        assert_eq!(
            price("/v1/refunds", "payment_intent=pi_1&amount=5"),
            Ok(Err("/v1/payment_intents/pi_1?expand[]=latest_charge".into()))
        );
        for form in ["", "charge=../x", "charge=ch_1%2Fx", "charge=", "amount=x&charge=ch_1"] {
            assert!(
                matches!(price("/v1/refunds", form), Err(Refusal::InvalidAmount { .. })),
                "{form}"
            );
        }
        assert!(price("/v1/refunds", "amount=5").is_err());
    }

    #[test]
    fn the_answer_to_a_question_is_the_price() {
        let definition = built_in().unwrap().remove(0);
        let endpoint =
            Endpoint { method: Method::Post, path: CanonicalPath::parse("/v1/refunds").unwrap() };
        let Rule::Priced(priced) = definition.rule(&endpoint) else { panic!("no price") };
        let quote = |form: &str, answer: Value| {
            let params = Params::from_form(form).unwrap();
            let Price::Ask(question) = priced.price(&endpoint, &params).unwrap() else {
                panic!("known")
            };
            question.answered(&answer).map(|quote| quote.hold.as_micros())
        };
        let charge = json!({"amount_captured": 1000, "amount_refunded": 400, "currency": "usd"});
        assert_eq!(quote("charge=ch_1", charge.clone()), Ok(6_000_000));
        assert_eq!(quote("charge=ch_1&amount=100", charge.clone()), Ok(1_000_000));
        for (member, value) in [
            ("currency", json!("eur")),
            ("currency", json!(null)),
            ("amount_captured", json!(10.5)),
            ("amount_refunded", json!(1001)),
        ] {
            let mut strange = charge.clone();
            strange[member] = value;
            assert!(quote("charge=ch_1", strange).is_err(), "{member}");
        }
    }
}
