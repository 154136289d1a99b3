//! Which rule an endpoint meets: each entry must be reached by some call, and none in two ways.
//!
//! The first list that names an endpoint decides: never, priced, free or guarded, unpriced. An entry
//! that one before it always hides says something that does not hold.

use super::{Faults, Place};
use crate::{
    policy::EndpointPattern,
    vendor::{definition::Definition, pattern::Condition},
};

/// An entry of one of the lists.
struct Entry<'a> {
    list: &'static str,
    pattern: &'a EndpointPattern,
    when: &'a [Condition],
    place: Place,
}

impl Entry<'_> {
    /// Whether every call that the other is for is this one's already.
    fn hides(&self, other: &Self) -> bool {
        // A guard holds beside a price.
        let both = self.list == "priced" && other.list == "guarded";
        !both
            && self.pattern.covers(other.pattern)
            && self.when.iter().all(|when| other.when.contains(when))
    }
}

pub(super) fn check(definition: &Definition, faults: &mut Faults) {
    let entries = in_order(definition);
    for (index, entry) in entries.iter().enumerate() {
        let hidden = entries.iter().take(index).find(|before| before.hides(entry));
        if let Some(by) = hidden {
            let why = match (by.list, entry.list) {
                ("priced", "priced") => {
                    "put the one with more in its when first, or take one of them out"
                }
                (by, own) if by == own => "take one of them out",
                _ => "an endpoint stands in one list only",
            };
            faults.say(
                entry.place.clone(),
                format!(
                    "{} is never reached here, since {} {} has all of its calls: {why}",
                    entry.pattern, by.list, by.pattern
                ),
            );
        }
        let mut names: Vec<&str> = entry.pattern.names().collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
            faults.say(
                entry.place.clone(),
                format!("{} has two segments with one name: give each its own", entry.pattern),
            );
        }
    }
    for (index, guarded) in definition.guarded.iter().enumerate() {
        faults.say_if(
            guarded.without.is_empty(),
            || Place::default().key("guarded").item(index).key("without"),
            "without names the parameters that would move money; where there are none, the endpoint stands in free",
        );
    }
}

fn in_order(definition: &Definition) -> Vec<Entry<'_>> {
    let entry = |list, place, pattern| Entry { list, pattern, when: &[], place };
    let top = Place::default();
    let plain = |list: &'static str, patterns: &'_ [EndpointPattern]| {
        let at = top.key(list);
        (0..patterns.len()).map(|index| at.item(index)).collect::<Vec<_>>()
    };
    let never = plain("never", &definition.never).into_iter().zip(&definition.never);
    let free = plain("free", &definition.free).into_iter().zip(&definition.free);
    let priced = definition.priced.iter().enumerate().map(|(index, priced)| Entry {
        list: "priced",
        pattern: priced.endpoint.get_ref(),
        when: &priced.when,
        place: top.key("priced").item(index).key("endpoint"),
    });
    let guarded = definition.guarded.iter().enumerate().map(|(index, guarded)| {
        let place = top.key("guarded").item(index).key("endpoint");
        entry("guarded", place, &guarded.endpoint)
    });
    let unpriced = definition.unpriced.iter().enumerate().map(|(index, unpriced)| {
        let place = top.key("unpriced").item(index).key("endpoint");
        entry("unpriced", place, &unpriced.endpoint)
    });
    never
        .map(|(place, pattern)| entry("never", place, pattern))
        .chain(priced)
        .chain(free.map(|(place, pattern)| entry("free", place, pattern)))
        .chain(guarded)
        .chain(unpriced)
        .collect()
}
