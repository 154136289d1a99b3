//! Hostile amounts in every place where one can stand.

use keybrake_core::{
    params::Params,
    rates::Rates,
    refusal::Refusal,
    vendor::{
        amount::Exchange,
        definition::{Priced, Rule},
        pattern::Pattern,
        price::Price,
    },
};

use crate::{
    cases::{Case, cases},
    prices::NOW,
    stripe,
};

/// What no reader may take for a number of cents.
const HOSTILE: [&str; 16] = [
    "",
    " 5",
    "5 ",
    "+5",
    "--5",
    "0x10",
    "1e3",
    "1.0",
    "5,0",
    "007",
    "\u{661}",
    "5\n",
    "null",
    "NaN",
    "18446744073709551616",
    "99999999999999999999999999",
];

/// The parameters of a case that say how much, or how often.
fn numbers<'c>(params: &'c Params, priced: &Priced) -> Vec<&'c str> {
    let of = |pattern: &Pattern| {
        let members = pattern.members(params);
        let values: Vec<_> = members.iter().filter_map(|it| pattern.of(params, it)).collect();
        params
            .iter()
            .filter(|(_, value)| values.iter().any(|it| std::ptr::eq(*it, *value)))
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    priced.amount.iter().chain(&priced.times).flat_map(of).collect()
}

fn with(params: &Params, changed: &str, into: &[(String, &str)]) -> Result<Params, ()> {
    let kept = params.iter().filter(|(name, _)| *name != changed);
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(kept).extend_pairs(into);
    Params::from_form(&form.finish()).map_err(|_| ())
}

/// Whether a request is refused before anything is sent, even to ask.
fn is_refused(case: &Case, params: &Params) -> bool {
    let (definition, rates) = (stripe(), Rates::none());
    let Rule::Priced(priced) = definition.rule(&case.called(), params) else {
        return true;
    };
    let exchange = Exchange::new(&rates, NOW);
    match definition.price(priced, &case.called(), params, &exchange) {
        Err(Refusal::InvalidAmount { .. } | Refusal::UnpricedEndpoint { .. }) => true,
        Err(_) | Ok(Price::Known(_) | Price::Ask(_)) => false,
    }
}

#[test]
fn amounts_that_can_be_read_in_two_ways_are_refused_wherever_they_stand() {
    let definition = stripe();
    let mut tried = 0;
    for case in cases().into_iter().filter(|case| case.refused.is_none() && !case.free) {
        let params = case.parameters();
        let Rule::Priced(priced) = definition.rule(&case.called(), &params) else {
            continue;
        };
        for name in numbers(&params, priced) {
            let hostile = HOSTILE.into_iter().chain((!priced.signed).then_some("-5"));
            for value in hostile {
                let changed = with(&params, name, &[(name.to_owned(), value)]).unwrap();
                assert!(is_refused(&case, &changed), "{}: {name}={value:?}", case.label());
                tried += 1;
            }
        }
    }
    assert!(tried > 800, "only {tried}");
}

#[test]
fn amounts_beside_or_under_the_one_that_counts_are_refused() {
    let definition = stripe();
    for case in cases().into_iter().filter(|case| case.refused.is_none() && !case.free) {
        let params = case.parameters();
        let Rule::Priced(priced) = definition.rule(&case.called(), &params) else {
            continue;
        };
        for name in numbers(&params, priced) {
            for beside in [format!("{name}[]"), format!("{name}[value]"), name.to_uppercase()] {
                for into in [
                    vec![(beside.clone(), "1")],
                    vec![(beside.clone(), "1"), (name.to_owned(), "5")],
                ] {
                    if let Ok(changed) = with(&params, name, &into) {
                        assert!(is_refused(&case, &changed), "{}: {into:?}", case.label());
                    }
                }
            }
        }
    }
}
