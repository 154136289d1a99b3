//! Every write that Stripe has is priced, known as free, or refused with a reason.

use keybrake_core::{
    params::Params,
    path::CanonicalPath,
    policy::{Endpoint, EndpointPattern, Method},
    vendor::definition::{Definition, Rule},
};

use crate::{cases::ENDPOINTS, stripe};

const ROUTES: &str = include_str!("routes.txt");

fn routes() -> impl Iterator<Item = &'static str> {
    ROUTES.lines().filter(|line| !line.starts_with('#'))
}

fn endpoint(route: &str) -> Endpoint {
    let (method, path) = route.split_once(' ').unwrap();
    let filled = path.split('/').map(|part| if part.starts_with('{') { "x_1" } else { part });
    let path = filled.collect::<Vec<_>>().join("/");
    Endpoint { method: Method::parse(method).unwrap(), path: CanonicalPath::parse(&path).unwrap() }
}

/// All that is listed but for what is never allowed.
fn allowed(definition: &Definition) -> impl Iterator<Item = &EndpointPattern> {
    definition
        .free
        .iter()
        .chain(definition.guarded.iter().map(|guarded| &guarded.endpoint))
        .chain(definition.priced.iter().map(|priced| priced.endpoint.get_ref()))
        .chain(definition.unpriced.iter().map(|unpriced| &unpriced.endpoint))
}

#[test]
fn no_write_is_unlisted() {
    let definition = stripe();
    let unlisted: Vec<_> = routes()
        .filter(|route| {
            matches!(definition.rule(&endpoint(route), &Params::none()), Rule::Unlisted)
        })
        .collect();
    assert!(unlisted.is_empty(), "{unlisted:#?}");
}

#[test]
fn nothing_is_listed_that_stripe_does_not_have() {
    let definition = stripe();
    let listed = allowed(&definition).chain(&definition.never);
    let known: Vec<Endpoint> = routes().map(endpoint).collect();
    let strange: Vec<_> = listed
        .filter(|pattern: &&EndpointPattern| !pattern.to_string().starts_with("GET "))
        .filter(|pattern| !known.iter().any(|known| pattern.matches(known)))
        .map(ToString::to_string)
        .collect();
    assert!(strange.is_empty(), "{strange:#?}");
}

#[test]
fn what_is_never_allowed_stands_in_no_other_list() {
    let definition = stripe();
    for other in allowed(&definition) {
        let called = endpoint(&other.to_string());
        assert!(!definition.never.iter().any(|never| never.matches(&called)), "{other}");
    }
}

#[test]
fn of_what_moves_money_only_this_has_no_price() {
    let definition = stripe();
    let unpriced = |route: &&str| {
        matches!(definition.rule(&endpoint(route), &Params::none()), Rule::Unpriced(_))
    };
    let refused: Vec<_> = ENDPOINTS.into_iter().filter(unpriced).collect();
    assert_eq!(refused, UNKNOWN_OR_UNBOUNDED);
}

/// What Stripe works out from what it has stored, or what has no most.
const UNKNOWN_OR_UNBOUNDED: [&str; 20] = [
    "POST /v1/invoices",
    "POST /v1/invoices/{id}",
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
    "POST /v1/payment_links",
    "POST /v1/payment_links/{id}",
    "POST /v1/issuing/cards",
    "POST /v1/issuing/cards/{id}",
    "POST /v1/forwarding/requests",
    "POST /v1/billing/meter_events",
    "POST /v2/billing/meter_events",
    "POST /v2/billing/meter_event_stream",
];
