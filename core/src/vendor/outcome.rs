//! What an answer says about the money.
//!
//! Only three things can be said: the vendor executed the call, it did not, or neither is known.
//! A status that the definition does not name, and an answer that can't be read, never release.

use serde_json::Value;

use crate::{
    call::Evidence,
    currency::Currency,
    money::MicroUsd,
    vendor::definition::{Definition, Otherwise, Priced, Rule, Unpriced},
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

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For the money.
    pub evidence: Evidence,
    /// The vendor's id of what was made.
    pub object_id: Option<String>,
    /// Whether the vendor refused our own secret.
    pub secret_refused: bool,
}

impl Outcome {
    const fn of(evidence: Evidence) -> Self {
        Self { evidence, object_id: None, secret_refused: false }
    }
}

impl Definition {
    /// What an answer to a call means that holds `hold`.
    #[must_use]
    pub fn outcome(
        &self,
        rule: Rule<'_>,
        is_read: bool,
        hold: MicroUsd,
        answer: Answer<'_>,
    ) -> Outcome {
        let (status, body) = match answer {
            Answer::NotSent => return Outcome::of(Evidence::NotExecuted),
            Answer::None => return Outcome::of(Evidence::Unknown),
            Answer::Unreadable { status } => (status, None),
            Answer::Whole { status, body } => (status, serde_json::from_slice::<Value>(body).ok()),
        };
        let body = body.unwrap_or(Value::Null);
        let secret_refused = self.outcome.secret_refused.contains(&status);
        if let Rule::Priced(priced) = rule {
            if is_success(status) {
                return priced.settled(hold, &body);
            }
            if self.outcome.declined.contains(&status) {
                return priced.declined(hold, &body);
            }
        }
        if let Rule::Unpriced(unpriced) = rule {
            if is_success(status) {
                return unpriced.settled(hold, &body);
            }
            if self.outcome.declined.contains(&status) {
                // What a decline leaves behind is not known either.
                return Outcome::of(Evidence::moved(hold));
            }
        }
        let evidence = if is_success(status) || is_read {
            Evidence::moved(MicroUsd::ZERO)
        } else if self.outcome.not_executed.contains(&status) {
            Evidence::NotExecuted
        } else {
            Evidence::Unknown
        };
        Outcome { secret_refused, ..Outcome::of(evidence) }
    }
}

impl Priced {
    /// What an object in its present state has moved or committed; the hold where it does not say.
    #[must_use]
    pub fn moved(&self, hold: MicroUsd, object: &Value) -> MicroUsd {
        let says = &self.settled;
        let status = object.pointer(&says.status).and_then(Value::as_str);
        if status.is_some_and(|status| says.nothing.iter().any(|none| none == status)) {
            return MicroUsd::ZERO;
        }
        amount(object, &says.amount, &says.currency).unwrap_or(hold)
    }

    fn settled(&self, hold: MicroUsd, object: &Value) -> Outcome {
        let object_id = text(object, &self.settled.object);
        Outcome { object_id, ..Outcome::of(Evidence::moved(self.moved(hold, object))) }
    }

    fn declined(&self, hold: MicroUsd, body: &Value) -> Outcome {
        let says = &self.declined;
        let pointers = says.amount.as_deref().zip(says.currency.as_deref());
        let committed = pointers.and_then(|(pointer, currency)| amount(body, pointer, currency));
        let amount = committed.unwrap_or(match says.otherwise {
            Otherwise::Hold => hold,
            Otherwise::Nothing => MicroUsd::ZERO,
        });
        let object_id = says.object.as_deref().and_then(|pointer| text(body, pointer));
        Outcome { object_id, ..Outcome::of(Evidence::moved(amount)) }
    }
}

impl Unpriced {
    fn settled(&self, hold: MicroUsd, object: &Value) -> Outcome {
        let pointers = self.amount.as_deref().zip(self.currency.as_deref());
        let said = pointers.and_then(|(pointer, currency)| amount(object, pointer, currency));
        let amount = said.map_or(hold, |said| said.max(hold));
        Outcome { object_id: text(object, "/id"), ..Outcome::of(Evidence::moved(amount)) }
    }
}

const fn is_success(status: u16) -> bool {
    status >= 200 && status < 300
}

fn text(body: &Value, pointer: &str) -> Option<String> {
    body.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

fn amount(body: &Value, pointer: &str, currency: &str) -> Option<MicroUsd> {
    let smallest_units = body.pointer(pointer).and_then(Value::as_u64)?;
    body.pointer(currency).and_then(Value::as_str).and_then(Currency::parse)?.to_usd(smallest_units)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        path::CanonicalPath,
        policy::{Endpoint, Method},
        vendor::built_in,
    };

    fn usd(cents: u64) -> MicroUsd {
        Currency::USD.to_usd(cents).unwrap()
    }

    fn outcome(method: Method, path: &str, answer: Answer<'_>) -> Outcome {
        let definition = built_in().unwrap().remove(0);
        let endpoint = Endpoint { method, path: CanonicalPath::parse(path).unwrap() };
        definition.outcome(definition.rule(&endpoint), method.is_read(), usd(500), answer)
    }

    fn evidence(path: &str, status: u16, body: &Value) -> Evidence {
        let body = body.to_string();
        outcome(Method::Post, path, Answer::Whole { status, body: body.as_bytes() }).evidence
    }

    #[test]
    fn a_success_settles_at_what_the_object_says() {
        let object =
            |status: &str| json!({"id": "x_1", "amount": 400, "currency": "usd", "status": status});
        for (path, status, moved) in [
            ("/v1/payment_intents", "succeeded", 400),
            ("/v1/payment_intents", "requires_payment_method", 400),
            ("/v1/payment_intents", "canceled", 0),
            ("/v1/charges", "succeeded", 400),
            ("/v1/charges", "failed", 0),
            ("/v1/refunds", "pending", 400),
            ("/v1/refunds", "failed", 0),
        ] {
            assert_eq!(
                evidence(path, 200, &object(status)),
                Evidence::moved(usd(moved)),
                "{path} {status}"
            );
        }
        let body = object("succeeded").to_string();
        let whole = Answer::Whole { status: 200, body: body.as_bytes() };
        assert_eq!(outcome(Method::Post, "/v1/charges", whole).object_id.as_deref(), Some("x_1"));
    }

    #[test]
    fn a_success_that_does_not_say_its_amount_settles_at_the_hold() {
        for body in [
            json!({}),
            json!({"amount": "400", "currency": "usd"}),
            json!({"amount": 400, "currency": "jpy"}),
            json!({"amount": 4.5, "currency": "usd"}),
        ] {
            assert_eq!(evidence("/v1/charges", 200, &body), Evidence::moved(usd(500)), "{body}");
        }
        let unreadable = Answer::Unreadable { status: 201 };
        assert_eq!(
            outcome(Method::Post, "/v1/charges", unreadable).evidence,
            Evidence::moved(usd(500))
        );
    }

    #[test]
    fn a_decline_was_executed_and_commits_what_stays_confirmable() {
        let intent =
            json!({"error": {"payment_intent": {"id": "pi_1", "amount": 300, "currency": "usd"}}});
        assert_eq!(evidence("/v1/payment_intents", 402, &intent), Evidence::moved(usd(300)));
        assert_eq!(evidence("/v1/payment_intents", 402, &json!({})), Evidence::moved(usd(500)));
        assert_eq!(
            evidence("/v1/charges", 402, &json!({"error": {"charge": "ch_1"}})),
            Evidence::moved(usd(0))
        );
        let unreadable = Answer::Unreadable { status: 402 };
        assert_eq!(
            outcome(Method::Post, "/v1/payment_intents", unreadable).evidence,
            Evidence::moved(usd(500))
        );
    }

    #[test]
    fn a_write_without_a_price_settles_at_the_larger_of_hold_and_answer() {
        let path = "/v1/subscriptions";
        let invoice = |cents: u64, currency: &str| json!({"id": "in_1", "amount_paid": cents, "currency": currency});
        for (path, body, settled) in [
            (path, json!({}), 500),
            (path, invoice(900, "usd"), 500),
            ("/v1/invoices/in_1/pay", invoice(499, "usd"), 500),
            ("/v1/invoices/in_1/pay", invoice(500, "usd"), 500),
            ("/v1/invoices/in_1/pay", invoice(501, "usd"), 501),
            ("/v1/invoices/in_1/pay", invoice(900, "xof"), 500),
            ("/v1/invoices/in_1/pay", json!({"id": "in_1"}), 500),
        ] {
            assert_eq!(evidence(path, 200, &body), Evidence::moved(usd(settled)), "{body}");
        }
        let body = invoice(501, "usd").to_string();
        let whole = Answer::Whole { status: 200, body: body.as_bytes() };
        let settled = outcome(Method::Post, "/v1/invoices/in_1/pay", whole);
        assert_eq!(settled.object_id.as_deref(), Some("in_1"));
        let unreadable = Answer::Unreadable { status: 200 };
        assert_eq!(outcome(Method::Post, path, unreadable).evidence, Evidence::moved(usd(500)));
    }

    #[test]
    fn a_decline_of_a_write_without_a_price_keeps_the_hold_and_a_refusal_releases_it() {
        let path = "/v1/invoices/in_1/pay";
        let declined = json!({"error": {"code": "card_declined"}, "amount_paid": 0});
        assert_eq!(evidence(path, 402, &declined), Evidence::moved(usd(500)));
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
    fn reads_and_free_writes_cost_nothing() {
        let nothing = Evidence::moved(MicroUsd::ZERO);
        for status in [200, 404, 500] {
            assert_eq!(
                outcome(Method::Get, "/v1/charges", Answer::Whole { status, body: b"{}" }).evidence,
                nothing
            );
        }
        assert_eq!(evidence("/v1/customers", 200, &json!({})), nothing);
        assert_eq!(evidence("/v1/customers", 400, &json!({})), Evidence::NotExecuted);
        assert_eq!(evidence("/v1/customers", 500, &json!({})), Evidence::Unknown);
    }
}
