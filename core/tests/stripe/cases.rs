//! The table of cases: read strictly, so that a misspelt field is not a case that claims nothing,
//! and in agreement with itself. `cases.toml` says what its fields mean.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use keybrake_core::{
    money::MicroUsd,
    params::Params,
    path::CanonicalPath,
    policy::{Endpoint, EndpointPattern, Method},
    rates::Rate,
};
use serde::Deserialize;
use serde_json::Value;

const CASES: &str = include_str!("cases.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) endpoint: String,
    pub(crate) path: String,
    pub(crate) request: Option<BTreeMap<String, String>>,
    pub(crate) json: Option<String>,
    pub(crate) ask: Option<Ask>,
    pub(crate) rate: Option<String>,
    pub(crate) hold: Option<String>,
    #[serde(default)]
    pub(crate) free: bool,
    #[serde(default)]
    pub(crate) releases: bool,
    pub(crate) refused: Option<Refused>,
    pub(crate) why: Option<Why>,
    #[serde(default)]
    pub(crate) answers: Vec<Answer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ask {
    pub(crate) path: String,
    pub(crate) answer: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refused {
    Unpriced,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Why {
    Unknown,
    Unbounded,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Executed,
    Declined,
    NotExecuted,
    InDoubt,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) verdict: Verdict,
    pub(crate) stands: Option<String>,
    pub(crate) settled: Option<String>,
    pub(crate) object: Option<String>,
    pub(crate) body: String,
}

pub(crate) fn cases() -> Vec<Case> {
    toml::from_str::<Table>(CASES).unwrap().case
}

impl Case {
    /// What a failure names it by.
    pub(crate) fn label(&self) -> String {
        format!("{}: {}", self.endpoint, self.name)
    }

    pub(crate) fn parameters(&self) -> Params {
        match (&self.request, &self.json) {
            (Some(_), Some(_)) => panic!("both a form and JSON"),
            (None, Some(json)) => Params::from_json(json).unwrap(),
            (form, None) => {
                let form = form.iter().flatten();
                let mut pairs = form_urlencoded::Serializer::new(String::new());
                Params::from_form(&pairs.extend_pairs(form).finish()).unwrap()
            }
        }
    }

    pub(crate) fn called(&self) -> Endpoint {
        let (method, _) = self.endpoint.split_once(' ').unwrap();
        Endpoint {
            method: Method::parse(method).unwrap(),
            path: CanonicalPath::parse(&self.path).unwrap(),
        }
    }
}

#[test]
fn each_endpoint_that_moves_money_has_its_cases_in_order() {
    let mut seen: Vec<String> = cases().into_iter().map(|case| case.endpoint).collect();
    seen.dedup();
    assert_eq!(seen, ENDPOINTS);
}

#[test]
fn names_are_unique_within_an_endpoint() {
    let cases = cases();
    let distinct: BTreeSet<_> = cases.iter().map(|case| (&case.endpoint, &case.name)).collect();
    assert_eq!(distinct.len(), cases.len());
}

#[test]
fn requests_are_what_the_proxy_could_be_asked() {
    for case in cases() {
        let label = case.label();
        let pattern = EndpointPattern::from_str(&case.endpoint).expect(&label);
        assert!(pattern.matches(&case.called()), "{label}");
        let read = case.parameters();
        assert_eq!(Params::from_form(&read.to_form()).expect(&label), read, "{label}");
        assert_eq!(case.json.is_some(), case.path.starts_with("/v2/"), "{label}");
        if let Some(rate) = &case.rate {
            assert_eq!(Rate::parse(rate).expect(&label).to_string(), *rate, "{label}");
        }
        if let Some(ask) = &case.ask {
            let (path, _query) = ask.path.split_once('?').unwrap_or((&ask.path, ""));
            assert!(CanonicalPath::parse(path).is_ok(), "{label}");
            assert!(serde_json::from_str::<Value>(&ask.answer).unwrap().is_object(), "{label}");
        }
    }
}

#[test]
fn a_case_claims_one_thing_and_its_answers_agree_with_it() {
    for case in cases() {
        let label = case.label();
        let refused = matches!(case.refused, Some(Refused::Unpriced));
        let claims = [case.hold.is_some(), case.free, case.releases, refused];
        assert_eq!(claims.into_iter().filter(|claim| *claim).count(), 1, "{label}");
        let said = matches!(case.why, Some(Why::Unknown | Why::Unbounded));
        assert_eq!((refused, refused), (said, case.answers.is_empty()), "{label}");
        if let Some(hold) = &case.hold {
            assert!(amount(hold, &label) >= MicroUsd::ZERO, "{label}");
        }
        for answer in &case.answers {
            check_answer(&case, answer, &label);
        }
    }
}

fn check_answer(case: &Case, answer: &Answer, label: &str) {
    let body: Value = serde_json::from_str(&answer.body).expect(label);
    assert!(body.is_object(), "{label}");
    let booked = match (&answer.stands, &answer.settled) {
        (None, None) => None,
        (Some(booked), None) | (None, Some(booked)) => Some(amount(booked, label)),
        (Some(_), Some(_)) => panic!("{label}: both stands and settled"),
    };
    match answer.verdict {
        Verdict::Executed => assert_eq!(answer.status, 200, "{label}"),
        Verdict::Declined => assert_eq!(answer.status, 402, "{label}"),
        Verdict::NotExecuted => assert!((400..500).contains(&answer.status), "{label}"),
        Verdict::InDoubt => assert!(matches!(answer.status, 409 | 424 | 500..), "{label}"),
    }
    let evidence = matches!(answer.verdict, Verdict::Executed | Verdict::Declined);
    assert_eq!(booked.is_some(), evidence && !case.free, "{label}");
    let stands_for_something = answer.stands.is_some() && booked > Some(MicroUsd::ZERO);
    assert!(answer.object.is_some() || !stands_for_something, "{label}");
    assert!(answer.stands.is_some() || answer.object.is_none(), "{label}");
}

pub(crate) fn amount(text: &str, label: &str) -> MicroUsd {
    let amount = MicroUsd::parse(text).expect(label);
    assert_eq!(amount.to_string(), text, "{label}");
    amount
}

/// The routes of stripe-node 23.1.0 (API 2026-10-28.endive) that move, commit, return or delegate
/// money.
pub(crate) const ENDPOINTS: [&str; 94] = [
    "POST /v1/payment_intents",
    "POST /v1/payment_intents/{id}",
    "POST /v1/payment_intents/{id}/confirm",
    "POST /v1/payment_intents/{id}/capture",
    "POST /v1/payment_intents/{id}/increment_authorization",
    "POST /v1/payment_intents/{id}/apply_customer_balance",
    "POST /v1/payment_intents/{id}/verify_microdeposits",
    "POST /v1/payment_intents/{id}/cancel",
    "POST /v1/charges",
    "POST /v1/charges/{id}/capture",
    "POST /v1/invoices/{id}/pay",
    "POST /v1/invoices/{id}/finalize",
    "POST /v1/invoices/{id}/send",
    "POST /v1/invoices",
    "POST /v1/invoices/{id}",
    "POST /v1/invoices/{id}/add_lines",
    "POST /v1/invoices/{id}/update_lines",
    "POST /v1/invoices/{invoiceId}/lines/{id}",
    "POST /v1/invoices/{id}/attach_payment",
    "POST /v1/invoices/{id}/void",
    "POST /v1/invoices/{id}/mark_uncollectible",
    "POST /v1/invoiceitems",
    "POST /v1/invoiceitems/{id}",
    "POST /v1/subscriptions",
    "POST /v1/subscriptions/{id}",
    "POST /v1/subscriptions/{id}/resume",
    "POST /v1/subscriptions/{id}/migrate",
    "POST /v1/subscriptions/{id}/pause",
    "DELETE /v1/subscriptions/{id}",
    "POST /v1/subscription_items",
    "POST /v1/subscription_items/{id}",
    "POST /v1/subscription_schedules",
    "POST /v1/subscription_schedules/{id}",
    "POST /v1/quotes/{id}/accept",
    "POST /v1/checkout/sessions",
    "POST /v1/checkout/sessions/{id}",
    "POST /v1/checkout/sessions/{id}/expire",
    "POST /v1/payment_links",
    "POST /v1/payment_links/{id}",
    "POST /v1/setup_intents",
    "POST /v1/setup_intents/{id}",
    "POST /v1/setup_intents/{id}/confirm",
    "POST /v1/setup_intents/{id}/cancel",
    "POST /v1/terminal/readers/{id}/process_payment_intent",
    "POST /v1/terminal/readers/{id}/confirm_payment_intent",
    "POST /v1/terminal/readers/{id}/collect_payment_method",
    "POST /v1/terminal/readers/{id}/refund_payment",
    "POST /v1/climate/orders",
    "POST /v1/climate/orders/{id}/cancel",
    "POST /v1/refunds",
    "POST /v1/refunds/{id}/cancel",
    "POST /v1/credit_notes",
    "POST /v1/credit_notes/{id}/void",
    "POST /v1/application_fees/{id}/refunds",
    "POST /v1/customers/{id}/balance_transactions",
    "POST /v1/billing/credit_grants",
    "POST /v1/disputes/{id}/close",
    "POST /v1/transfers",
    "POST /v1/transfers/{id}/reversals",
    "POST /v1/payouts",
    "POST /v1/payouts/{id}/cancel",
    "POST /v1/payouts/{id}/reverse",
    "POST /v1/topups",
    "POST /v1/topups/{id}/cancel",
    "POST /v1/treasury/outbound_payments",
    "POST /v1/treasury/outbound_payments/{id}/cancel",
    "POST /v1/treasury/outbound_transfers",
    "POST /v1/treasury/outbound_transfers/{id}/cancel",
    "POST /v1/treasury/inbound_transfers",
    "POST /v1/treasury/inbound_transfers/{id}/cancel",
    "POST /v1/treasury/credit_reversals",
    "POST /v1/treasury/debit_reversals",
    "POST /v1/issuing/cards",
    "POST /v1/issuing/cards/{id}",
    "POST /v1/issuing/authorizations/{id}/approve",
    "POST /v1/forwarding/requests",
    "POST /v2/money_management/outbound_payments",
    "POST /v2/money_management/payout_intents",
    "POST /v2/money_management/inbound_transfers",
    "POST /v2/money_management/outbound_payments/{id}/cancel",
    "POST /v2/money_management/payout_intents/{id}/cancel",
    "POST /v2/money_management/payout_intents/{id}/confirm",
    "POST /v2/money_management/payout_intents/{id}",
    "POST /v1/billing/meter_events",
    "POST /v2/billing/meter_events",
    "POST /v2/billing/meter_event_stream",
    "POST /v1/identity/verification_sessions",
    "POST /v1/tax/calculations",
    "POST /v1/tax/transactions/create_from_calculation",
    "POST /v1/radar/payment_evaluations",
    "POST /v1/financial_connections/accounts/{id}/refresh",
    "POST /v1/financial_connections/sessions",
    "POST /v1/payment_records/report_payment",
    "POST /v1/payment_records/{id}/report_refund",
];
