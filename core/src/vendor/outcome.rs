//! What an answer says about the money.
//!
//! Only three things can be said: the vendor executed the call, it did not, or neither is known.
//! A status that the definition does not name, and an answer that can't be read, never release.

use serde_json::Value;

use super::{
    amount::{Amount, Exchange, currency_at, number_at},
    definition::{Definition, Kind, Otherwise, Priced, Rule, Settled, Unpriced},
};
use crate::{
    call::{Effect, Evidence},
    ledger::HeldCall,
    money::MicroUsd,
};

/// What came back for a call.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// Nothing was sent.
    NotSent,
    /// It was sent, or may have been, and no whole answer head came back.
    None,
    /// A head came back, but its body is truncated or over the bound.
    Unreadable {
        /// The HTTP status.
        status: u16,
    },
    /// A whole answer came back.
    Whole {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: &'a [u8],
    },
}

/// A call whose answer is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a> {
    /// The most that it moves; of a call about an object, the most that the object may stand for.
    pub at_most: MicroUsd,
    /// Whether the ledger counts it in an object's commitment.
    pub is_about_object: bool,
    /// What amounts are in dollars.
    pub exchange: Exchange<'a>,
}

impl<'a> Quoted<'a> {
    /// What is known of a call that is held.
    #[must_use]
    pub fn of(held: &HeldCall, exchange: Exchange<'a>) -> Self {
        Self {
            at_most: held.at_most,
            is_about_object: held.object.is_some(),
            exchange: exchange.held_at(held.asked.as_ref()),
        }
    }
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For the money.
    pub evidence: Evidence,
    /// The vendor's id of what was made.
    pub object_id: Option<String>,
    /// Whether the vendor processed and declined it.
    pub declined: bool,
    /// Whether the vendor refused our own secret.
    pub secret_refused: bool,
}

impl Outcome {
    const fn of(evidence: Evidence) -> Self {
        Self { evidence, object_id: None, declined: false, secret_refused: false }
    }

    fn executed(effect: Effect, object_id: Option<String>) -> Self {
        Self { object_id, ..Self::of(Evidence::Executed(effect)) }
    }
}

impl Definition {
    /// What an answer to a call means.
    #[must_use]
    pub fn outcome(
        &self,
        rule: Rule<'_>,
        is_read: bool,
        quoted: &Quoted<'_>,
        answer: Answer<'_>,
    ) -> Outcome {
        let (status, body) = match answer {
            Answer::NotSent => return Outcome::of(Evidence::NotExecuted),
            Answer::None => return Outcome::of(Evidence::Unknown),
            Answer::Unreadable { status } => (status, None),
            Answer::Whole { status, body } => (status, serde_json::from_slice::<Value>(body).ok()),
        };
        let body = body.unwrap_or(Value::Null);
        let declined = self.outcome.declined.contains(&status);
        let outcome = match rule {
            Rule::Priced(priced) if is_success(status) => self.settled(priced, quoted, &body),
            Rule::Priced(priced) if declined => self.declined(priced, quoted, &body),
            Rule::Unpriced(unpriced) if is_success(status) => self.raised(unpriced, quoted, &body),
            // What a decline leaves behind is not known either.
            Rule::Unpriced(_) if declined => Outcome::executed(Effect::Moved(quoted.at_most), None),
            Rule::Free if is_success(status) || declined || is_read => {
                Outcome::executed(Effect::Moved(MicroUsd::ZERO), None)
            }
            Rule::Priced(_) | Rule::Unpriced(_) | Rule::Free | Rule::Never | Rule::Unlisted => {
                let refused = self.outcome.not_executed.contains(&status);
                Outcome::of(if refused { Evidence::NotExecuted } else { Evidence::Unknown })
            }
        };
        let called = self.outcome.secret_refused_as.as_ref();
        let secret_refused = self.outcome.secret_refused.contains(&status)
            || called.is_some_and(|called| {
                called.status == status && text(&body, &called.at).as_ref() == Some(&called.name)
            });
        let declined = declined && !is_read;
        Outcome { declined, secret_refused, ..outcome }
    }

    /// What an object that an answer or a look-up shows says of the call that made or changed it.
    /// `None` where it does not say.
    pub(super) fn effect(
        &self,
        priced: &Priced,
        is_about_object: bool,
        exchange: &Exchange<'_>,
        object: &Value,
    ) -> Option<Effect> {
        let Some(kind) = self.kind_of(priced) else {
            let settled = priced.settled.as_ref()?;
            return self.moved(settled, exchange, object).map(Effect::Moved);
        };
        if priced.about.is_some() && !is_about_object {
            // The object was final before it.
            return Some(Effect::Moved(MicroUsd::ZERO));
        }
        let (worth, stands) = kind.worth(object, self.amounts, exchange)?;
        Some(match &priced.about {
            Some(about) if about.releases => Effect::Leaves(worth),
            None if stands.is_final => Effect::Moved(worth),
            Some(_) | None => Effect::Stands(worth),
        })
    }

    /// The kind of object that a call makes or changes.
    pub(super) fn kind_of(&self, priced: &Priced) -> Option<&Kind> {
        let about = priced.about.as_ref().map(|about| &about.kind);
        self.kind(priced.makes.as_ref().or(about)?)
    }

    fn settled(&self, priced: &Priced, quoted: &Quoted<'_>, body: &Value) -> Outcome {
        let object_id = self.object_id(priced, body);
        let shown = if priced.silent {
            None
        } else {
            self.effect(priced, quoted.is_about_object, &quoted.exchange, body)
        };
        Outcome::executed(shown.unwrap_or_else(|| Self::quoted(priced, quoted)), object_id)
    }

    /// The vendor's id of what an answer shows.
    pub(super) fn object_id(&self, priced: &Priced, body: &Value) -> Option<String> {
        let pointer = priced.settled.as_ref().and_then(|settled| settled.object.as_deref());
        match (pointer, self.kind_of(priced)) {
            (Some(pointer), _) => text(body, pointer),
            (None, Some(kind)) if !priced.silent => kind.id(body),
            (None, _) => None,
        }
    }

    /// What a call did whose answer does not say: as much as it could.
    fn quoted(priced: &Priced, quoted: &Quoted<'_>) -> Effect {
        match &priced.about {
            Some(_) if !quoted.is_about_object => Effect::Moved(MicroUsd::ZERO),
            Some(about) if about.releases => Effect::Leaves(quoted.at_most),
            Some(_) => Effect::Stands(quoted.at_most),
            None if priced.makes.is_some() => Effect::Stands(quoted.at_most),
            None => Effect::Moved(quoted.at_most),
        }
    }

    /// What an answer says that a call moved once.
    fn moved(&self, settled: &Settled, exchange: &Exchange<'_>, body: &Value) -> Option<MicroUsd> {
        let status = settled.status.as_deref().and_then(|pointer| text(body, pointer));
        if status.is_some_and(|status| settled.nothing.contains(&status)) {
            return Some(MicroUsd::ZERO);
        }
        if !settled.units.is_empty() {
            let mut lines = settled.units.iter().map(|unit| unit.price(body));
            return lines.try_fold(MicroUsd::ZERO, |sum, line| sum.checked_add(line?));
        }
        let (pointer, currency) = settled.amount.as_deref().zip(settled.currency.as_deref())?;
        self.amount(pointer, currency, exchange, body)
    }

    /// An amount that an answer says, in dollars.
    pub(super) fn amount(
        &self,
        pointer: &str,
        currency: &str,
        exchange: &Exchange<'_>,
        body: &Value,
    ) -> Option<MicroUsd> {
        let number = number_at(body, pointer, self.amounts)?;
        let amount = Amount::new(number, self.amounts, currency_at(body, currency)?)?;
        Some(amount.usd(exchange).ok()?.0)
    }

    fn declined(&self, priced: &Priced, quoted: &Quoted<'_>, body: &Value) -> Outcome {
        let shown = priced.declined.object.as_deref().and_then(|pointer| body.pointer(pointer));
        let object_id = match shown {
            Some(Value::String(id)) => Some(id.clone()),
            Some(object) => self.object_id(priced, object),
            None => None,
        };
        let effect = shown.filter(|shown| shown.is_object()).and_then(|object| {
            self.effect(priced, quoted.is_about_object, &quoted.exchange, object)
        });
        let effect = effect.unwrap_or_else(|| match (priced.declined.otherwise, &priced.about) {
            (Otherwise::Nothing, None) => Effect::Moved(MicroUsd::ZERO),
            (Otherwise::Nothing | Otherwise::Hold, _) => Self::quoted(priced, quoted),
        });
        Outcome::executed(effect, object_id)
    }

    /// A call whose price was not known counts for what was held for it, or for more if its answer
    /// says so.
    fn raised(&self, unpriced: &Unpriced, quoted: &Quoted<'_>, body: &Value) -> Outcome {
        let pointers = unpriced.amount.as_deref().zip(unpriced.currency.as_deref());
        let said = pointers
            .and_then(|(amount, currency)| self.amount(amount, currency, &quoted.exchange, body));
        let amount = said.map_or(quoted.at_most, |said| said.max(quoted.at_most));
        Outcome::executed(Effect::Moved(amount), text(body, "/id"))
    }
}

const fn is_success(status: u16) -> bool {
    status >= 200 && status < 300
}

pub(super) fn text(body: &Value, pointer: &str) -> Option<String> {
    body.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        currency::Currency,
        params::Params,
        path::CanonicalPath,
        policy::{Endpoint, Method},
        rates::Rates,
        time::Timestamp,
        vendor::built_in,
    };

    fn usd(cents: u64) -> MicroUsd {
        Currency::USD.to_usd(cents).unwrap()
    }

    fn outcome(method: Method, path: &str, answer: Answer<'_>) -> Outcome {
        let definition = built_in().unwrap().remove(0);
        let endpoint = Endpoint { method, path: CanonicalPath::parse(path).unwrap() };
        let rates = Rates::none();
        let quoted = Quoted {
            at_most: usd(500),
            is_about_object: path.contains("/pi_1") || path.contains("/in_1"),
            exchange: Exchange::new(&rates, Timestamp::from_micros(0)),
        };
        let rule = definition.rule(&endpoint, &Params::none());
        definition.outcome(rule, method.is_read(), &quoted, answer)
    }

    fn evidence(path: &str, status: u16, body: &Value) -> Evidence {
        let body = body.to_string();
        outcome(Method::Post, path, Answer::Whole { status, body: body.as_bytes() }).evidence
    }

    fn stands(cents: u64) -> Evidence {
        Evidence::Executed(Effect::Stands(usd(cents)))
    }

    fn moved(cents: u64) -> Evidence {
        Evidence::moved(usd(cents))
    }

    #[test]
    fn a_success_counts_for_what_the_object_says() {
        let object = |status: &str| {
            json!({
                "id": "x_1", "amount": 400, "currency": "usd", "status": status,
                "amount_received": 300, "amount_capturable": 50,
                "captured": true, "amount_captured": 200,
            })
        };
        let pi = "/v1/payment_intents";
        for (path, status, evidence_of) in [
            (pi, "succeeded", moved(300)),
            (pi, "requires_payment_method", stands(400)),
            (pi, "requires_capture", stands(350)),
            (pi, "canceled", moved(300)),
            ("/v1/payment_intents/pi_1/capture", "succeeded", stands(300)),
            ("/v1/payment_intents/pi_1/capture", "requires_capture", stands(350)),
            ("/v1/payment_intents/pi_1", "requires_confirmation", stands(400)),
            (
                "/v1/payment_intents/pi_1/cancel",
                "canceled",
                Evidence::Executed(Effect::Leaves(usd(300))),
            ),
            ("/v1/charges", "succeeded", moved(200)),
            ("/v1/charges", "failed", moved(0)),
            ("/v1/refunds", "pending", moved(400)),
            ("/v1/refunds", "failed", moved(0)),
        ] {
            assert_eq!(evidence(path, 200, &object(status)), evidence_of, "{path} {status}");
        }
        let body = object("succeeded").to_string();
        let whole = Answer::Whole { status: 200, body: body.as_bytes() };
        assert_eq!(outcome(Method::Post, "/v1/charges", whole).object_id.as_deref(), Some("x_1"));
    }

    #[test]
    fn a_success_that_does_not_say_its_amount_counts_for_the_most_that_it_can() {
        for body in [
            json!({}),
            json!({"amount": "400", "currency": "usd"}),
            json!({"amount": 400, "currency": "jpy"}),
            json!({"amount": 4.5, "currency": "usd"}),
        ] {
            for (path, expected) in [
                ("/v1/refunds", moved(500)),
                ("/v1/charges", stands(500)),
                ("/v1/payment_intents/pi_1/confirm", stands(500)),
                ("/v1/payment_intents/pi_1/cancel", Evidence::Executed(Effect::Leaves(usd(500)))),
            ] {
                assert_eq!(evidence(path, 200, &body), expected, "{path} {body}");
            }
        }
        let unreadable = Answer::Unreadable { status: 201 };
        assert_eq!(outcome(Method::Post, "/v1/refunds", unreadable).evidence, moved(500));
    }

    #[test]
    fn a_call_about_an_object_that_was_final_before_it_moves_nothing() {
        let definition = built_in().unwrap().remove(0);
        let path = CanonicalPath::parse("/v1/payment_intents/pi_1").unwrap();
        let endpoint = Endpoint { method: Method::Post, path };
        let rates = Rates::none();
        let exchange = Exchange::new(&rates, Timestamp::from_micros(0));
        let quoted = Quoted { at_most: usd(0), is_about_object: false, exchange };
        let body = br#"{"id":"pi_1","status":"succeeded","amount_received":900,"currency":"usd"}"#;
        let rule = definition.rule(&endpoint, &Params::none());
        for answer in [Answer::Whole { status: 200, body }, Answer::Unreadable { status: 200 }] {
            assert_eq!(definition.outcome(rule, false, &quoted, answer).evidence, moved(0));
        }
    }

    #[test]
    fn a_decline_was_executed_and_commits_what_stays_confirmable() {
        let intent =
            json!({"error": {"payment_intent": {"id": "pi_1", "amount": 300, "currency": "usd"}}});
        let body = intent.to_string();
        let whole = Answer::Whole { status: 402, body: body.as_bytes() };
        let declined = outcome(Method::Post, "/v1/payment_intents", whole);
        assert_eq!(declined.evidence, stands(300));
        assert_eq!(declined.object_id.as_deref(), Some("pi_1"));
        assert!(declined.declined);
        assert_eq!(evidence("/v1/payment_intents/pi_1/confirm", 402, &intent), stands(300));
        assert_eq!(evidence("/v1/payment_intents", 402, &json!({})), stands(500));
        let charge = json!({"error": {"charge": "ch_1"}});
        assert_eq!(evidence("/v1/charges", 402, &charge), moved(0));
        let unreadable = Answer::Unreadable { status: 402 };
        assert_eq!(outcome(Method::Post, "/v1/payment_intents", unreadable).evidence, stands(500));
    }

    #[test]
    fn a_write_without_a_price_settles_at_the_larger_of_hold_and_answer() {
        let path = "/v1/invoices";
        let invoice = |cents: u64, currency: &str| json!({"id": "in_1", "amount_due": cents, "currency": currency});
        for (path, body, settled) in [
            ("/v1/subscriptions", json!({}), 500),
            ("/v1/subscriptions", invoice(900, "usd"), 500),
            (path, invoice(499, "usd"), 500),
            (path, invoice(500, "usd"), 500),
            (path, invoice(501, "usd"), 501),
            (path, invoice(900, "xof"), 500),
            (path, json!({"id": "in_1"}), 500),
        ] {
            assert_eq!(evidence(path, 200, &body), moved(settled), "{body}");
        }
        let body = invoice(501, "usd").to_string();
        let whole = Answer::Whole { status: 200, body: body.as_bytes() };
        assert_eq!(outcome(Method::Post, path, whole).object_id.as_deref(), Some("in_1"));
        let unreadable = Answer::Unreadable { status: 200 };
        assert_eq!(outcome(Method::Post, path, unreadable).evidence, moved(500));
    }

    #[test]
    fn a_decline_of_a_write_without_a_price_keeps_the_hold_and_a_refusal_releases_it() {
        let path = "/v1/invoices";
        let declined = json!({"error": {"code": "card_declined"}, "amount_due": 0});
        assert_eq!(evidence(path, 402, &declined), moved(500));
        assert_eq!(evidence(path, 400, &declined), Evidence::NotExecuted);
        assert_eq!(evidence(path, 500, &declined), Evidence::Unknown);
        let refused = Answer::Whole { status: 401, body: b"{}" };
        assert!(outcome(Method::Post, path, refused).secret_refused);
    }

    #[test]
    fn refusals_before_processing_release_and_all_else_is_in_doubt() {
        for status in [400, 401, 403, 404, 429] {
            assert_eq!(
                evidence("/v1/charges", status, &json!({})),
                Evidence::NotExecuted,
                "{status}"
            );
        }
        for status in [100, 301, 302, 307, 408, 409, 418, 424, 500, 502, 503, 504, 599] {
            assert_eq!(evidence("/v1/charges", status, &json!({})), Evidence::Unknown, "{status}");
        }
        assert_eq!(
            outcome(Method::Post, "/v1/charges", Answer::NotSent).evidence,
            Evidence::NotExecuted
        );
        assert_eq!(outcome(Method::Post, "/v1/charges", Answer::None).evidence, Evidence::Unknown);
    }

    #[test]
    fn only_401_and_403_are_about_our_secret() {
        let refused = |status| {
            outcome(Method::Post, "/v1/charges", Answer::Whole { status, body: b"" }).secret_refused
        };
        let about: Vec<u16> = (100..600).filter(|status| refused(*status)).collect();
        assert_eq!(about, [401, 403]);
    }

    #[test]
    fn a_status_with_several_meanings_is_about_our_secret_only_by_its_name() {
        let resend = built_in().unwrap().remove(2);
        let path = CanonicalPath::parse("/emails").unwrap();
        let endpoint = Endpoint { method: Method::Post, path };
        let rule = resend.rule(&endpoint, &Params::none());
        let rates = Rates::none();
        let exchange = Exchange::new(&rates, Timestamp::from_micros(0));
        let quoted = Quoted { at_most: usd(1), is_about_object: false, exchange };
        for (status, body, about) in [
            (401, "{}", true),
            (403, r#"{"name":"invalid_api_key"}"#, true),
            (403, r#"{"name":"validation_error"}"#, false),
            (403, "{}", false),
            (422, r#"{"name":"invalid_api_key"}"#, false),
        ] {
            let answer = Answer::Whole { status, body: body.as_bytes() };
            let outcome = resend.outcome(rule, false, &quoted, answer);
            assert_eq!(outcome.secret_refused, about, "{status} {body}");
            assert_eq!(outcome.evidence, Evidence::NotExecuted);
        }
    }

    #[test]
    fn reads_and_free_writes_cost_nothing() {
        let nothing = Evidence::moved(MicroUsd::ZERO);
        for status in [200, 404, 500] {
            assert_eq!(
                outcome(Method::Get, "/v1/charges", Answer::Whole { status, body: b"{}" }).evidence,
                nothing
            );
        }
        assert_eq!(evidence("/v1/customers", 200, &json!({})), nothing);
        assert_eq!(evidence("/v1/customers", 402, &json!({})), nothing);
        assert_eq!(evidence("/v1/customers", 400, &json!({})), Evidence::NotExecuted);
        assert_eq!(evidence("/v1/customers", 500, &json!({})), Evidence::Unknown);
    }
}
