//! Each case's request gives the hold that it claims, and each of its answers the settlement and the
//! verdict.

use keybrake_core::{
    call::{Effect, Evidence},
    currency::Currency,
    ledger::Quote,
    money::MicroUsd,
    rates::{Margin, Rate, Rates},
    refusal::Refusal,
    time::Timestamp,
    vendor::{
        amount::Exchange,
        definition::{Definition, Rule, WhyUnpriced},
        outcome::{self, Outcome, Quoted},
        price::Price,
    },
};

use crate::{
    cases::{Answer, Case, Verdict, Why, amount, cases},
    stripe,
};

pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// The one rate that a case names, for the currency of its request.
fn rates(case: &Case) -> Rates {
    let Some(rate) = &case.rate else {
        return Rates::none();
    };
    let named = case.parameters();
    let mut named = named.iter().filter(|(name, _)| name.contains("currency"));
    let asked = case.ask.as_ref().map(|ask| serde_json::from_str(&ask.answer).unwrap());
    let asked = asked.as_ref().map(|answer: &serde_json::Value| answer["currency"].as_str());
    let code = named.next().map(|(_, code)| code).or(asked.flatten()).unwrap();
    let rate = (Currency::parse(code).unwrap(), Rate::parse(rate).unwrap());
    Rates::new(NOW, Rates::USUAL_LARGEST_AGE, Margin::parse("0").unwrap(), vec![rate]).unwrap()
}

/// The price, or why there is none.
fn price(definition: &Definition, case: &Case, exchange: &Exchange<'_>) -> Result<Quote, NoPrice> {
    let (endpoint, params) = (case.called(), case.parameters());
    let priced = match definition.rule(&endpoint, &params) {
        Rule::Priced(priced) => priced,
        Rule::Free => return Ok(Quote::nothing()),
        Rule::Unpriced(_) => {
            let endpoint = endpoint.to_string();
            return Err(NoPrice::Refused(Refusal::UnpricedEndpoint { endpoint }));
        }
        Rule::Never | Rule::Unlisted => return Err(NoPrice::NotListed),
    };
    let price = definition.price(priced, &endpoint, &params, exchange);
    match (price.map_err(NoPrice::Refused)?, &case.ask) {
        (Price::Known(quote), None) => Ok(quote),
        (Price::Ask(question), Some(ask)) if question.path_and_query == ask.path => {
            let answer = serde_json::from_str(&ask.answer).unwrap();
            question.answered(&answer, exchange).map_err(NoPrice::Refused)
        }
        (Price::Known(_), Some(_)) => Err(NoPrice::NotAsked),
        (Price::Ask(question), _) => Err(NoPrice::Asked(question.path_and_query)),
    }
}

#[derive(Debug)]
#[expect(dead_code, reason = "a failure shows what is in it")]
enum NoPrice {
    Refused(Refusal),
    NotListed,
    NotAsked,
    Asked(String),
}

#[test]
fn each_request_is_held_for_what_it_can_move() {
    let definition = stripe();
    let mut wrong = Vec::new();
    for case in cases() {
        let rates = rates(&case);
        let got = price(&definition, &case, &Exchange::new(&rates, NOW));
        let releases = matches!(definition.rule(&case.called(), &case.parameters()),
            Rule::Priced(priced) if priced.about.as_ref().is_some_and(|about| about.releases));
        let label = case.label();
        let right = match (&case.hold, &got) {
            (Some(hold), Ok(quote)) => quote.hold == amount(hold, &label) && !releases,
            (None, Ok(quote)) => {
                quote.hold == MicroUsd::ZERO && case.refused.is_none() && releases == case.releases
            }
            (None, Err(NoPrice::Refused(Refusal::UnpricedEndpoint { .. }))) => {
                case.refused.is_some()
            }
            (_, Err(_)) => false,
        };
        if !right {
            wrong.push(format!("{label}: {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_what_has_no_known_price_is_refused_for_want_of_one() {
    let definition = stripe();
    for case in cases().into_iter().filter(|case| case.refused.is_some()) {
        let label = case.label();
        match (definition.rule(&case.called(), &case.parameters()), case.why.as_ref().unwrap()) {
            (Rule::Unpriced(rule), Why::Unknown) => {
                assert_eq!(rule.why, WhyUnpriced::Unknown, "{label}");
            }
            (Rule::Unpriced(rule), Why::Unbounded) => {
                assert_eq!(rule.why, WhyUnpriced::Unbounded, "{label}");
            }
            // These parameters lead to a price that can't be known, where others have one.
            (Rule::Priced(_), Why::Unknown | Why::Unbounded) => {}
            (rule, _) => panic!("{label}: {rule:?}"),
        }
    }
}

#[test]
fn each_answer_settles_for_what_it_says() {
    let definition = stripe();
    let mut wrong = Vec::new();
    for case in cases().into_iter().filter(|case| case.refused.is_none()) {
        let rates = rates(&case);
        let exchange = Exchange::new(&rates, NOW);
        let Ok(quote) = price(&definition, &case, &exchange) else {
            continue;
        };
        for answer in &case.answers {
            let quoted = Quoted {
                at_most: quote.hold,
                is_about_object: quote.object.is_some(),
                exchange: exchange.held_at(quote.asked.as_ref()),
            };
            let whole =
                outcome::Answer::Whole { status: answer.status, body: answer.body.as_bytes() };
            let rule = definition.rule(&case.called(), &case.parameters());
            let got = definition.outcome(rule, false, &quoted, whole);
            if !agrees(&case, answer, &quote, &got) {
                wrong.push(format!(
                    "{} {}: {got:?} for {}",
                    case.label(),
                    answer.status,
                    answer.body
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn agrees(case: &Case, answer: &Answer, quote: &Quote, got: &Outcome) -> bool {
    let label = case.label();
    let claimed = |text: &Option<String>| text.as_ref().map(|text| amount(text, &label));
    let (stands, settled) = (claimed(&answer.stands), claimed(&answer.settled));
    let object = got.object_id.as_ref().or(quote.object.as_ref());
    let names_object = answer.object.is_none() || object == answer.object.as_ref();
    match (answer.verdict, got.evidence) {
        (Verdict::NotExecuted, Evidence::NotExecuted) | (Verdict::InDoubt, Evidence::Unknown) => {
            true
        }
        (Verdict::Executed | Verdict::Declined, Evidence::Executed(effect)) => {
            let right_effect = match effect {
                Effect::Moved(moved) if settled.is_some() => Some(moved) == settled,
                // An object that nothing can change any more, and what costs nothing.
                Effect::Moved(moved) => moved == stands.unwrap_or(MicroUsd::ZERO),
                Effect::Stands(all) => Some(all) == stands && !case.releases,
                Effect::Leaves(all) => Some(all) == stands && case.releases,
            };
            right_effect && names_object && got.declined == (answer.verdict == Verdict::Declined)
        }
        _ => false,
    }
}
