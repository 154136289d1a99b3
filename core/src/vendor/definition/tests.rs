//! What a definition must be, and what it says about a call.

use super::*;
use crate::{path::CanonicalPath, policy::Method, vendor::STRIPE};

fn stripe() -> Definition {
    Definition::parse(STRIPE).unwrap()
}

fn rule(method: Method, path: &str) -> String {
    let definition = stripe();
    let endpoint = Endpoint { method, path: CanonicalPath::parse(path).unwrap() };
    match definition.rule(&endpoint, &Params::none()) {
        Rule::Never => "never".into(),
        Rule::Priced(priced) => priced.endpoint.get_ref().to_string(),
        Rule::Free => "free".into(),
        Rule::Unpriced(_) => "unpriced".into(),
        Rule::Unlisted => "unlisted".into(),
    }
}

#[test]
fn every_endpoint_is_priced_free_or_refused() {
    assert_eq!(rule(Method::Post, "/v1/charges"), "POST /v1/charges");
    assert_eq!(rule(Method::Get, "/v1/charges"), "free");
    assert_eq!(rule(Method::Post, "/v1/customers"), "free");
    assert_eq!(rule(Method::Post, "/v1/ephemeral_keys"), "never");
    assert_eq!(rule(Method::Get, "/v1/apps/secrets/find"), "never");
    assert_eq!(rule(Method::Post, "/v1/subscriptions"), "unpriced");
    assert_eq!(rule(Method::Post, "/v1/nothing_known"), "unlisted");
}

#[test]
fn a_definition_that_contradicts_itself_is_refused_with_the_reason() {
    let text = STRIPE;
    for (from, to, why) in [
        ("name = \"stripe\"", "name = \"Stripe!\"", "name"),
        ("https://api.stripe.com", "http://api.stripe.com", "https"),
        ("https://api.stripe.com", "https://api.stripe.com/", "slash"),
        ("\"stripe-account\"", "\"Stripe-Account\"", "lower case"),
        ("\ncurrency = \"currency\"", "", "whom to ask"),
        ("makes = \"charge\"", "makes = \"charges\"", "no [[object]] with the kind \"charges\""),
        (
            "makes = \"charge\"",
            "makes = \"charge\"\nabout = { kind = \"charge\", id = \"id\" }",
            "not both",
        ),
        ("window = \"24h\"", "window = \"24 hours\"", "span of time"),
        ("credential_to = ", "credentials_to = ", "unknown field"),
    ] {
        let message = Definition::parse(&text.replace(from, to)).unwrap_err().to_string();
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn a_definition_error_says_its_line() {
    let message = Definition::parse("name = 5").unwrap_err().to_string();
    assert!(message.contains("line 1"), "{message}");
}

/// Whether a key with these patterns may make this call at Stripe.
fn permit(allowed: &[&str], call: &str, form: &str) -> Result<(), Refusal> {
    let allowed = allowed.iter().map(|text| text.parse().unwrap()).collect();
    let policy = Policy::allowing("stripe".to_owned(), allowed);
    let (method, path) = call.split_once(' ').unwrap();
    let endpoint = Endpoint {
        method: Method::parse(method).unwrap(),
        path: CanonicalPath::parse(path).unwrap(),
    };
    stripe().permit(&policy, &endpoint, &Params::from_form(form).unwrap())
}

fn not_allowed(attempted: &str, allowed: &[&str]) -> Result<(), Refusal> {
    Err(Refusal::EndpointNotAllowed {
        attempted: attempted.to_owned(),
        allowed: allowed.iter().map(ToString::to_string).collect(),
    })
}

#[test]
fn what_is_never_allowed_is_refused_whatever_the_allowlist_says() {
    let all = ["GET /*", "POST /*", "DELETE /*"];
    for call in [
        "POST /v1/ephemeral_keys",
        "DELETE /v1/ephemeral_keys/ek_1",
        "POST /v1/accounts/acct_1/external_accounts",
        "GET /v1/apps/secrets",
        "POST /v1/webhook_endpoints/we_1",
    ] {
        assert_eq!(permit(&all, call, ""), not_allowed(call, &[]), "{call}");
    }
    for call in ["POST /v1/charges", "GET /v1/webhook_endpoints"] {
        assert_eq!(permit(&all, call, ""), Ok(()), "{call}");
    }
}

#[test]
fn the_allowlist_holds_before_the_vendors_rules() {
    let allowed = ["GET /v1/charges"];
    for call in ["POST /v1/charges", "POST /v1/ephemeral_keys"] {
        let refused = permit(&allowed, call, "metadata[keybrake_run]=forged");
        assert_eq!(refused, not_allowed(call, &allowed), "{call}");
    }
}

#[test]
fn a_parameter_that_is_ours_is_not_the_callers_to_give() {
    let call = "POST /v1/charges";
    for (form, forged) in [
        ("metadata[keybrake_run]=x", Some("metadata[keybrake_run]")),
        ("amount=5&metadata[keybrake_call]=", Some("metadata[keybrake_call]")),
        ("metadata[keybrake_new]=x", Some("metadata[keybrake_new]")),
        ("metadata=", Some("metadata")),
        (
            "payment_intent_data[metadata][keybrake_call]=x",
            Some("payment_intent_data[metadata][keybrake_call]"),
        ),
        ("payment_intent_data[metadata]=", Some("payment_intent_data[metadata]")),
        ("payment_intent_data[metadata][order]=7", None),
        ("metadata[order]=keybrake_run", None),
        ("metadata[keybrake]=x", None),
        ("keybrake_run=x", None),
    ] {
        let refused = forged.map(|name| Refusal::ParameterNotAllowed { name: name.to_owned() });
        assert_eq!(permit(&[call], call, form), refused.map_or(Ok(()), Err), "{form}");
    }
}

#[test]
fn a_cards_number_is_not_read_and_money_is_not_sent_on() {
    let all = ["GET /*", "POST /*"];
    for (call, form, barred) in [
        ("GET /v1/issuing/cards/ic_1", "expand[]=number", "expand"),
        ("GET /v1/issuing/cards", "expand[0]=data.cvc", "expand"),
        ("POST /v1/payment_intents", "transfer_data[destination]=acct_1", "transfer_data"),
        ("POST /v1/payment_intents/pi_1/confirm", "on_behalf_of=acct_1", "on_behalf_of"),
        ("POST /v1/terminal/configurations", "tipping[usd][percentages][0]=50", "tipping"),
        ("POST /v1/customers/cus_1", "balance=-5000", "balance"),
    ] {
        let refused = Err(Refusal::ParameterNotAllowed { name: barred.to_owned() });
        assert_eq!(permit(&all, call, form), refused, "{call} {form}");
        assert_eq!(permit(&all, call, "description=x"), Ok(()), "{call}");
    }
}
