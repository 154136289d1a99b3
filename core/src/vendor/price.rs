//! Reading a request's price: from its parameters, by its units, or from the vendor's answer to a
//! question.
//!
//! The price is an upper bound on what the call can move. Where it can't be read exactly, the call
//! is refused.

use serde_json::Value;

use super::{
    amount::{Amount, Exchange, currency_at, number_at, number_in},
    definition::{About, Ask, Definition, Kind, Priced},
    pattern::Pattern,
};
use crate::{
    currency::Currency,
    ledger::Quote,
    money::{MicroUsd, plain_integer},
    params::Params,
    policy::{Endpoint, EndpointPattern},
    refusal::Refusal,
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
    definition: &'a Definition,
    subject: Subject<'a>,
    asked: Asked,
    /// Path and query of the GET that asks.
    pub path_and_query: String,
}

#[derive(Clone, Debug)]
enum Subject<'a> {
    /// An amount.
    Amount(&'a Ask),
    /// The object that the call changes.
    Object { kind: &'a Kind, about: &'a About, id: String },
}

/// What a request itself says about its amount.
#[derive(Clone, Debug, Default)]
struct Asked {
    /// As the vendor writes amounts.
    number: Option<u64>,
    currency: Option<String>,
}

impl Quote {
    /// The price of what costs nothing.
    #[must_use]
    pub const fn nothing() -> Self {
        Self::fixed(MicroUsd::ZERO)
    }

    /// The price that a policy sets.
    #[must_use]
    pub const fn fixed(hold: MicroUsd) -> Self {
        Self { hold, object: None, asked: None }
    }
}

impl Definition {
    /// What a request to this endpoint costs at most.
    ///
    /// # Errors
    /// [`Refusal::InvalidAmount`], [`Refusal::CurrencyNotPriced`], and
    /// [`Refusal::UnpricedEndpoint`] where it leads to a price that can't be known.
    pub fn price<'a>(
        &'a self,
        priced: &'a Priced,
        endpoint: &Endpoint,
        params: &Params,
        exchange: &Exchange<'_>,
    ) -> Result<Price<'a>, Refusal> {
        let named = priced.amount.iter().chain(&priced.times).chain(&priced.currency);
        if let Some(alike) = named.clone().find_map(|name| name.lookalike(params)) {
            return Err(invalid(alike));
        }
        let unpriced = || Refusal::UnpricedEndpoint { endpoint: endpoint.to_string() };
        if priced.free_when.iter().any(|free| free.holds(params)) {
            return Ok(Price::Known(Quote::nothing()));
        }
        if priced.unpriced_when.iter().any(|when| when.holds(params)) {
            return Err(unpriced());
        }
        if !priced.units.is_empty() {
            return self.by_units(priced, endpoint, params).map(Price::Known);
        }
        let asked = self.asked(priced, params)?.ok_or_else(unpriced)?;
        let pattern = priced.endpoint.get_ref();
        if let Some(about) = &priced.about {
            return self.about(about, asked, |name| blank(pattern, endpoint, params, name));
        }
        if let (Some(number), Some(code)) = (asked.number, &asked.currency) {
            let currency = Currency::parse(code).ok_or_else(|| not_priced(code))?;
            return self.quote(number, currency, exchange).map(Price::Known);
        }
        let question = priced.ask.iter().find_map(|ask| {
            let path_and_query = fill(&ask.get, |name| blank(pattern, endpoint, params, name))?;
            let subject = Subject::Amount(ask);
            Some(Question { definition: self, subject, asked: asked.clone(), path_and_query })
        });
        question.map(Price::Ask).ok_or_else(|| match asked.number {
            None => invalid(priced.amount.as_ref().map_or("amount", |name| name.as_str())),
            Some(_) => not_priced(""),
        })
    }

    fn by_units(
        &self,
        priced: &Priced,
        endpoint: &Endpoint,
        params: &Params,
    ) -> Result<Quote, Refusal> {
        let mut hold = MicroUsd::ZERO;
        for unit in &priced.units {
            let line = unit.price(self, params)?;
            let line =
                line.ok_or_else(|| Refusal::UnpricedEndpoint { endpoint: endpoint.to_string() })?;
            hold = hold.checked_add(line).ok_or_else(|| invalid("amount"))?;
        }
        Ok(Quote::fixed(hold))
    }

    fn quote(
        &self,
        number: u64,
        currency: Currency,
        exchange: &Exchange<'_>,
    ) -> Result<Quote, Refusal> {
        let amount =
            Amount::new(number, self.amounts, currency).ok_or_else(|| invalid("amount"))?;
        let (hold, asked) = amount.usd(exchange)?;
        Ok(Quote { hold, object: None, asked: Some(asked) })
    }

    /// What a request says about its amount; `None` where it has a member without a price.
    fn asked(&self, priced: &Priced, params: &Params) -> Result<Option<Asked>, Refusal> {
        let currencies = priced.currency.as_ref();
        let Some(amounts) = &priced.amount else {
            let currency = currencies.and_then(|name| name.one(params)).map(str::to_owned);
            return Ok(Some(Asked { number: None, currency }));
        };
        let by_member =
            |name: Option<&'_ Pattern>| name.map(|name| name.by_member(params)).unwrap_or_default();
        let given = amounts.by_member(params);
        let (times, codes) = (by_member(priced.times.as_ref()), by_member(currencies));
        let mut asked = Asked::default();
        let mut sum: Option<u64> = None;
        for member in amounts.members(params) {
            let Some(text) = given.get(member) else { return Ok(None) };
            let number = number_in(text, self.amounts, priced.signed);
            let number = number.ok_or_else(|| invalid(amounts.as_str()))?;
            let times = match times.get(member) {
                Some(text) => plain_integer(text).map_err(|_| invalid("quantity"))?,
                None => 1,
            };
            let all = number.checked_mul(times).and_then(|all| all.checked_add(sum.unwrap_or(0)));
            sum = Some(all.ok_or_else(|| invalid(amounts.as_str()))?);
            let code = codes.get(member).copied();
            if let (Some(one), Some(other)) = (&asked.currency, code)
                && one != other
            {
                return Err(invalid("currency"));
            }
            asked.currency = asked.currency.or_else(|| code.map(str::to_owned));
        }
        let alone = || currencies.and_then(|name| name.one(params)).map(str::to_owned);
        Ok(Some(Asked { number: sum, currency: asked.currency.or_else(alone) }))
    }

    fn about<'a>(
        &'a self,
        about: &'a About,
        asked: Asked,
        blank: impl Fn(&str) -> Option<String>,
    ) -> Result<Price<'a>, Refusal> {
        let id = blank(&about.id).ok_or_else(|| invalid(&about.id))?;
        if about.releases {
            let quote = Quote { object: Some(id), ..Quote::nothing() };
            return Ok(Price::Known(quote));
        }
        let kind = self.kind(&about.kind).ok_or_else(|| invalid(&about.kind))?;
        let path_and_query = fill(&kind.get, |_| Some(id.clone()));
        let path_and_query = path_and_query.ok_or_else(|| invalid(&about.id))?;
        let subject = Subject::Object { kind, about, id };
        Ok(Price::Ask(Question { definition: self, subject, asked, path_and_query }))
    }
}

impl Question<'_> {
    /// The price, from the vendor's answer to the question.
    pub fn answered(&self, answer: &Value, exchange: &Exchange<'_>) -> Result<Quote, Refusal> {
        match &self.subject {
            Subject::Amount(ask) => self.amount(ask, answer, exchange),
            Subject::Object { kind, about, id } => self.object(kind, about, id, answer, exchange),
        }
    }

    fn unpriced(&self) -> Refusal {
        Refusal::UnpricedEndpoint { endpoint: format!("GET {}", self.path_and_query) }
    }

    fn amount(&self, ask: &Ask, answer: &Value, exchange: &Exchange<'_>) -> Result<Quote, Refusal> {
        let unknown = ask.unless.as_deref().and_then(|pointer| answer.pointer(pointer));
        if unknown.is_some_and(|found| !found.is_null()) {
            return Err(self.unpriced());
        }
        let number = |pointer: &str| number_at(answer, pointer, self.definition.amounts);
        let less = ask.less.as_deref().map_or(Some(0), number);
        let whole = number(&ask.amount).zip(less).and_then(|(all, less)| all.checked_sub(less));
        let amount = self.asked.number.or(whole).ok_or_else(|| self.unpriced())?;
        let code = answer.pointer(&ask.currency).and_then(Value::as_str);
        let code = code.ok_or_else(|| self.unpriced())?;
        let currency = Currency::parse(code).ok_or_else(|| not_priced(code))?;
        self.definition.quote(amount, currency, exchange)
    }

    /// The most that the object may stand for after the call.
    fn object(
        &self,
        kind: &Kind,
        about: &About,
        id: &str,
        answer: &Value,
        exchange: &Exchange<'_>,
    ) -> Result<Quote, Refusal> {
        let written = self.definition.amounts;
        let stands = kind.stands(answer, written).ok_or_else(|| self.unpriced())?;
        if stands.is_final {
            // Nothing moves it any more, and nothing of it is this call's doing.
            return Ok(Quote::nothing());
        }
        let (present, asked) = stands.usd(written, exchange)?;
        let currency = match &self.asked.currency {
            Some(code) => Currency::parse(code).ok_or_else(|| not_priced(code))?,
            None => currency_at(answer, &kind.currency).unwrap_or(stands.currency),
        };
        let before = about.onto.iter().map(|pointer| number_at(answer, pointer, written));
        let before = before.sum::<Option<u64>>().ok_or_else(|| self.unpriced())?;
        let named = match (self.asked.number, about.adds) {
            (None, true) => return Err(self.unpriced()),
            (Some(number), _) => {
                let all = number.checked_add(before).ok_or_else(|| invalid("amount"))?;
                self.definition.quote(all, currency, exchange)?
            }
            (None, false) => self.definition.quote(stands.number, currency, exchange)?,
        };
        let hold = if about.adds {
            present.checked_add(named.hold).ok_or_else(|| invalid("amount"))?
        } else {
            present.max(named.hold)
        };
        let asked = if named.hold >= present { named.asked } else { Some(asked) };
        Ok(Quote { hold, object: Some(id.to_owned()), asked })
    }
}

fn invalid(name: &str) -> Refusal {
    Refusal::InvalidAmount { name: name.to_owned() }
}

fn not_priced(code: &str) -> Refusal {
    Refusal::CurrencyNotPriced {
        currency: code.chars().take(8).collect(),
        why: "it is not a currency that is known here".to_owned(),
    }
}

/// What fills a blank: a segment of the path, or a parameter. Only a plain id may go into a path.
pub(super) fn blank(
    pattern: &EndpointPattern,
    endpoint: &Endpoint,
    params: &Params,
    name: &str,
) -> Option<String> {
    let value = pattern.capture(endpoint, name).or_else(|| params.get(name))?;
    plain(value)
}

/// An id that may stand in a path.
pub(super) fn plain(id: &str) -> Option<String> {
    let plain =
        !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    plain.then(|| id.to_owned())
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
        rates::Rates,
        time::Timestamp,
        vendor::{built_in, definition::Rule},
    };

    fn dollars(rates: &Rates) -> Exchange<'_> {
        Exchange::new(rates, Timestamp::from_micros(0))
    }

    fn price(path: &str, form: &str) -> Result<Result<(u64, String), String>, Refusal> {
        let definition = built_in().unwrap().remove(0);
        let endpoint = Endpoint { method: Method::Post, path: CanonicalPath::parse(path).unwrap() };
        let (params, rates) = (Params::from_form(form).unwrap(), Rates::none());
        let Rule::Priced(priced) = definition.rule(&endpoint, &params) else {
            panic!("{path} has no price")
        };
        match definition.price(priced, &endpoint, &params, &dollars(&rates))? {
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
        let rates = Rates::none();
        let Rule::Priced(priced) = definition.rule(&endpoint, &Params::none()) else {
            panic!("no price")
        };
        let quote = |form: &str, answer: Value| {
            let params = Params::from_form(form).unwrap();
            let exchange = dollars(&rates);
            let price = definition.price(priced, &endpoint, &params, &exchange).unwrap();
            let Price::Ask(question) = price else { panic!("known") };
            question.answered(&answer, &exchange).map(|quote| quote.hold.as_micros())
        };
        let charge = json!({"amount": 1000, "amount_refunded": 400, "currency": "usd"});
        assert_eq!(quote("charge=ch_1", charge.clone()), Ok(6_000_000));
        assert_eq!(quote("charge=ch_1&amount=100", charge.clone()), Ok(1_000_000));
        for (member, value) in [
            ("currency", json!("eur")),
            ("currency", json!(null)),
            ("amount", json!(10.5)),
            ("amount_refunded", json!(1001)),
        ] {
            let mut strange = charge.clone();
            strange[member] = value;
            assert!(quote("charge=ch_1", strange).is_err(), "{member}");
        }
    }
}
