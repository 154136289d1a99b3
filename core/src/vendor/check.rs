//! What a definition must not contradict, said with the place where it stands.

use std::ops::Range;

use super::definition::{Definition, Priced};

/// What is wrong with a definition.
pub(super) struct Fault {
    /// The byte of the text at which it stands.
    pub(super) at: usize,
    pub(super) why: String,
}

/// The first thing that is wrong.
pub(super) fn fault(definition: &Definition) -> Option<Fault> {
    about_vendor(definition).or_else(|| {
        let mut faults = definition.priced.iter().filter_map(|priced| {
            let why = about_priced(definition, priced)?;
            Some(Fault { at: start(&priced.endpoint.span()), why })
        });
        faults.next()
    })
}

const fn start(span: &Range<usize>) -> usize {
    span.start
}

fn about_vendor(definition: &Definition) -> Option<Fault> {
    let plain = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let address = |url: &str| url.starts_with("https://") && !url.ends_with('/');
    let lower = |names: &[String]| names.iter().all(|name| *name == name.to_ascii_lowercase());
    let headers = &definition.headers;
    let all = [&headers.request, &headers.response, &headers.refused, &headers.account];
    let name = start(&definition.name.span());
    let (at, why) = if !plain(definition.name()) {
        (name, "its name has lower-case letters, digits and _ only")
    } else if !address(definition.base_url.get_ref()) {
        (
            start(&definition.base_url.span()),
            "its base_url begins with https:// and has no final slash",
        )
    } else if !definition.hosts.iter().all(|host| address(&host.base_url)) {
        (name, "the base_url of each of its hosts begins with https:// and has no final slash")
    } else if !all.into_iter().all(|names| lower(names)) {
        (name, "header names are in lower case")
    } else if headers.request_id.as_ref().is_some_and(|name| !headers.response.contains(name)) {
        (name, "headers.request_id is one of the response headers that pass")
    } else {
        return None;
    };
    Some(Fault { at, why: why.to_owned() })
}

fn about_priced(definition: &Definition, priced: &Priced) -> Option<String> {
    let kinds = priced.makes.iter().chain(priced.about.iter().map(|about| &about.kind));
    let unknown = kinds.clone().find(|kind| definition.kind(kind).is_none());
    let card = |name: &&String| !definition.cards.iter().any(|card| card.name == **name);
    let no_card = priced.units.iter().filter_map(|unit| unit.card.as_ref()).find(card);
    let priceless = priced.units.is_empty()
        && priced.about.is_none()
        && (priced.amount.is_none() || priced.currency.is_none())
        && priced.ask.is_empty();
    let halves = |unit: &super::units::Unit| {
        unit.each.is_some() == unit.card.is_some() || unit.card.is_some() != unit.by.is_some()
    };
    let counts = |unit: &super::units::Unit| {
        let groups = [!unit.items.is_empty(), !unit.addresses.is_empty()];
        let one = [&unit.segments, &unit.minutes, &unit.number].map(Option::is_some);
        groups.into_iter().chain(one).filter(|counts| *counts).count() > 1
    };
    if let Some(kind) = unknown {
        Some(format!("there is no [[object]] with the kind {kind:?}"))
    } else if let Some(card) = no_card {
        Some(format!("there is no [[card]] with the name {card:?}"))
    } else if priced.makes.is_some() && priced.about.is_some() {
        Some("a call makes an object or is about one, not both".to_owned())
    } else if priceless {
        Some("a priced endpoint names amount and currency, units, the object it is about, or whom to ask".to_owned())
    } else if priced.units.iter().any(halves) {
        Some("a unit has a price: each, or a card with by".to_owned())
    } else if priced.units.iter().any(counts) {
        Some("a unit counts one thing: items, addresses, segments, minutes or number".to_owned())
    } else if kinds.count() == 0
        && priced.settled.is_none()
        && priced.units.is_empty()
        && !priced.silent
    {
        Some("what its answer says is missing: settled, or silent = true".to_owned())
    } else {
        None
    }
}
