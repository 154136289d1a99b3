//! What a call costs and what its answer says about it: each price is whole, and none is ignored.

use super::{Faults, Place, listed};
use crate::vendor::{
    definition::{Definition, Kind, Priced, Settled},
    pattern::Pattern,
    units::Unit,
};

pub(super) fn check(definition: &Definition, faults: &mut Faults) {
    let top = Place::default();
    for (index, priced) in definition.priced.iter().enumerate() {
        let at = top.key("priced").item(index);
        objects(definition, priced, &at, faults);
        price(priced, &at, faults);
        amount(priced, &at, faults);
        for (index, unit) in priced.units.iter().enumerate() {
            self::unit(definition, unit, &at.key("units").item(index), faults);
        }
        answer(priced, &at, faults);
    }
    for (index, unpriced) in definition.unpriced.iter().enumerate() {
        faults.say_if(
            unpriced.amount.is_some() != unpriced.currency.is_some(),
            || top.key("unpriced").item(index),
            "amount and currency belong together: an amount without its currency says nothing",
        );
    }
    for (index, kind) in definition.objects.iter().enumerate() {
        let at = top.key("object").item(index);
        let mut before = definition.objects.iter().take(index);
        let twice = before.any(|before| before.kind == kind.kind);
        faults.say_if(twice, || at.key("kind"), "this kind stands above already");
        cases(kind, &at.key("stands"), faults);
    }
    for (index, card) in definition.cards.iter().enumerate() {
        let at = top.key("card").item(index);
        let mut before = definition.cards.iter().take(index);
        let twice = before.any(|before| before.name == card.name);
        faults.say_if(twice, || at.key("name"), "a card with this name stands above already");
        let none = "a card without prices prices nothing: write them under [card.prices], by how the parameter begins";
        faults.say_if(card.prices.is_empty(), || at.key("prices"), none);
    }
}

fn objects(definition: &Definition, priced: &Priced, at: &Place, faults: &mut Faults) {
    let makes = priced.makes.iter().map(|kind| (at.key("makes"), kind));
    let about = priced.about.iter().map(|about| (at.key("about").key("kind"), &about.kind));
    for (at, kind) in makes.chain(about) {
        if definition.kind(kind).is_none() {
            let known = listed(definition.objects.iter().map(|known| known.kind.as_str()));
            faults.say(
                at,
                format!("there is no [[object]] with the kind {kind:?}: there are {known}"),
            );
        }
    }
    faults.say_if(
        priced.makes.is_some() && priced.about.is_some(),
        || at.key("about"),
        "a call makes an object or is about one, not both",
    );
    let both = priced.about.as_ref().is_some_and(|about| about.adds && about.releases);
    let why = "a call adds to an object or gives back, not both";
    faults.say_if(both, || at.key("about").key("releases"), why);
}

/// Where the price comes from: one place only, since of two the other would be ignored.
fn price(priced: &Priced, at: &Place, faults: &mut Faults) {
    let by_units = !priced.units.is_empty();
    let whole = priced.amount.is_some() && priced.currency.is_some();
    let priceless = !by_units && priced.about.is_none() && !whole && priced.ask.is_empty();
    faults.say_if(
        priceless,
        || at.key("endpoint"),
        "a priced endpoint names amount and currency, units, the object it is about, or whom to ask",
    );
    let others = [
        ("amount", priced.amount.is_some()),
        ("currency", priced.currency.is_some()),
        ("ask", !priced.ask.is_empty()),
        ("about", priced.about.is_some()),
    ];
    for (name, _) in others.into_iter().filter(|(_, given)| by_units && *given) {
        let why =
            format!("the price is by units, and {name} would be ignored: leave one of them out");
        faults.say(at.key(name), why);
    }
    let asks_twice = priced.about.is_some() && !priced.ask.is_empty();
    let why = "the price comes from the object that the call is about, and ask would be ignored: leave it out";
    faults.say_if(asks_twice, || at.key("ask"), why);
}

fn amount(priced: &Priced, at: &Place, faults: &mut Faults) {
    let alone = priced.amount.is_none();
    let needs = "without amount it says nothing: leave it out, or say where the amount is";
    faults.say_if(alone && priced.times.is_some(), || at.key("times"), needs);
    faults.say_if(alone && priced.signed, || at.key("signed"), needs);
    let group =
        |pattern: &Option<Pattern>| pattern.as_ref().and_then(Pattern::group).map(str::to_owned);
    let of_amount = group(&priced.amount);
    let differs = "its * stands for another group than that of amount, so that it is never found: write both of one group";
    let times = priced.times.is_some() && group(&priced.times) != of_amount;
    faults.say_if(!alone && times, || at.key("times"), differs);
    let of_currency = group(&priced.currency);
    let currency = of_currency.is_some() && of_currency != of_amount;
    faults.say_if(!alone && currency, || at.key("currency"), differs);
    if let Some(customer) = &priced.customer {
        let why = "customer is the name of one parameter: it has no *";
        faults.say_if(customer.contains('*'), || at.key("customer"), why);
    }
}

fn unit(definition: &Definition, unit: &Unit, at: &Place, faults: &mut Faults) {
    let has_price = unit.each.is_some() != unit.card.is_some();
    let halves = unit.card.is_some() != unit.by.is_some();
    let why = "a unit has one price: each, or a card with by";
    faults.say_if(!has_price || halves, || at.clone(), why);
    if let Some(card) = unit.card.as_ref()
        && !definition.cards.iter().any(|known| known.name == *card)
    {
        let known = listed(definition.cards.iter().map(|known| known.name.as_str()));
        faults.say(
            at.key("card"),
            format!("there is no [[card]] with the name {card:?}: there are {known}"),
        );
    }
    let given = [!unit.items.is_empty(), !unit.addresses.is_empty(), unit.bytes];
    let one = [&unit.segments, &unit.minutes, &unit.number];
    let counts = given.into_iter().chain(one.map(Option::is_some)).filter(|given| *given).count();
    let why = "a unit counts one thing: items, addresses, bytes, segments, minutes or number; write another unit for the next";
    faults.say_if(counts > 1, || at.clone(), why);
    let is_one = one.iter().any(|pattern| pattern.is_some());
    let why = "default is for segments, minutes or number that are not given: leave it out";
    faults.say_if(unit.default.is_some() && !is_one, || at.key("default"), why);
    let singles = [
        ("by", &unit.by),
        ("segments", &unit.segments),
        ("minutes", &unit.minutes),
        ("number", &unit.number),
    ];
    for (name, pattern) in singles {
        let many = pattern.as_ref().is_some_and(|pattern| pattern.group().is_some());
        let why = "this is one parameter, and no * can stand in it";
        faults.say_if(many, || at.key(name), why);
    }
}

fn answer(priced: &Priced, at: &Place, faults: &mut Faults) {
    let has_object = priced.makes.is_some() || priced.about.is_some();
    let says_nothing =
        !has_object && priced.settled.is_none() && priced.units.is_empty() && !priced.silent;
    faults.say_if(
        says_nothing,
        || at.key("endpoint"),
        "what its answer says is missing: settled, or silent = true for one that counts for its price",
    );
    if let Some(settled) = &priced.settled {
        self::settled(priced, settled, &at.key("settled"), faults);
    }
    let has_id = has_object || priced.settled.as_ref().is_some_and(|it| it.object.is_some());
    let why =
        "a bill is read by the object's id, which no answer tells: write settled = { object = … }";
    faults.say_if(priced.bill.is_some() && !has_id, || at.key("bill"), why);
}

fn settled(priced: &Priced, settled: &Settled, at: &Place, faults: &mut Faults) {
    faults.say_if(
        settled.amount.is_some() != settled.currency.is_some(),
        || at.clone(),
        "amount and currency belong together: an amount without its currency says nothing",
    );
    faults.say_if(
        settled.status.is_some() == settled.nothing.is_empty(),
        || at.clone(),
        "status and nothing belong together: which of its values mean that no money moved",
    );
    let both = settled.amount.is_some() && !settled.units.is_empty();
    let why = "an answer says an amount or counts units, not both";
    faults.say_if(both, || at.key("units"), why);
    let is_read = settled.amount.is_some() || !settled.units.is_empty();
    let why = "silent says that the answer does not tell the amount: leave it out, or the amount";
    faults.say_if(priced.silent && is_read, || at.clone(), why);
    let has_object = priced.makes.is_some() || priced.about.is_some();
    let why = "what the call did is read from its object, by [[object]] stands: leave amount and units out";
    faults.say_if(has_object && is_read, || at.clone(), why);
}

fn cases(kind: &Kind, at: &Place, faults: &mut Faults) {
    let none = "an object stands for something: write its cases, the last of them without at";
    faults.say_if(kind.stands.is_empty(), || at.clone(), none);
    for (index, case) in kind.stands.iter().enumerate() {
        let at = at.item(index);
        let halves = case.at.is_some() == case.is.is_empty();
        let why = "at and is belong together: where the state is told, and which states are meant";
        faults.say_if(halves, || at.clone(), why);
        let is_last = index + 1 == kind.stands.len();
        let why = "a case without at is every object's: the cases below are never reached, so put it last";
        faults.say_if(case.at.is_none() && !is_last, || at.clone(), why);
    }
}
