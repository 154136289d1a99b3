//! Prices by units: recipients, segments of a text message, minutes, tokens.

use std::{collections::BTreeMap, num::NonZeroU64};

use serde::Deserialize;
use serde_json::Value;

use super::{
    definition::Definition,
    pattern::{Condition, Pattern},
};
use crate::{
    money::{MicroUsd, plain_integer},
    params::Params,
    refusal::Refusal,
    segments::segments,
};

/// Prices by how a parameter begins, such as a telephone number by its country.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateCard {
    /// Its name in this definition.
    pub name: String,
    /// The day from which its prices are, for who reads it.
    pub as_of: String,
    /// Dollars for one unit by the beginning of the parameter; the longest that fits counts. What
    /// no beginning fits has no price.
    pub prices: BTreeMap<String, MicroUsd>,
}

impl RateCard {
    fn price(&self, text: &str) -> Option<MicroUsd> {
        let beginnings = (0..=text.len()).rev().filter_map(|end| text.get(..end));
        beginnings.into_iter().find_map(|beginning| self.prices.get(beginning)).copied()
    }
}

/// One line of a price: how many of something, at how much.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Dollars for `per` of them.
    pub each: Option<MicroUsd>,
    /// How many of them `each` is for; one by default.
    pub per: Option<NonZeroU64>,
    /// The rate card with the price instead.
    pub card: Option<String>,
    /// The parameter that the card is read by.
    pub by: Option<Pattern>,
    /// Counts the values of these parameters, and the members of groups under them.
    #[serde(default)]
    pub items: Vec<Pattern>,
    /// Counts the mail addresses in these parameters and under them.
    #[serde(default)]
    pub addresses: Vec<Pattern>,
    /// Counts the bytes of all parameters, names and values: never fewer than the tokens that a
    /// language model makes of them.
    #[serde(default)]
    pub bytes: bool,
    /// Counts the segments that this text has as an SMS.
    pub segments: Option<Pattern>,
    /// Counts the minutes that this parameter gives in seconds; one that is begun is one.
    pub minutes: Option<Pattern>,
    /// The parameter that is the number.
    pub number: Option<Pattern>,
    /// The number, or the number of seconds, where the parameter is not given. Without it, the
    /// parameter has to be given.
    pub default: Option<u64>,
    /// Only where all of this holds.
    #[serde(default)]
    pub when: Vec<Condition>,
    /// Not where one of these holds.
    #[serde(default)]
    pub unless: Vec<Condition>,
}

/// One line of what an answer says that a call has cost.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Used {
    /// Dollars for `per` of them.
    pub each: MicroUsd,
    /// How many of them `each` is for; one by default.
    pub per: Option<NonZeroU64>,
    /// JSON pointer to the number.
    pub number: String,
}

impl Unit {
    /// What this line comes to. `None` where the definition says no price for it.
    pub(super) fn price(
        &self,
        definition: &Definition,
        params: &Params,
    ) -> Result<Option<MicroUsd>, Refusal> {
        let applies = self.when.iter().all(|when| when.holds(params))
            && !self.unless.iter().any(|unless| unless.holds(params));
        if !applies {
            return Ok(Some(MicroUsd::ZERO));
        }
        let count = self.count(params)?;
        let each = match (&self.card, &self.by) {
            (Some(card), Some(by)) => {
                if let Some(alike) = by.lookalike(params) {
                    return Err(Refusal::InvalidAmount { name: alike.to_owned() });
                }
                let card = definition.cards.iter().find(|known| known.name == *card);
                by.one(params).and_then(|number| card?.price(number))
            }
            _ => self.each,
        };
        let Some(each) = each else { return Ok(None) };
        let too_many = || Refusal::InvalidAmount { name: self.counted().to_owned() };
        times(each, count, self.per).ok_or_else(too_many).map(Some)
    }

    fn counted(&self) -> &str {
        let one = [&self.segments, &self.minutes, &self.number].into_iter().flatten();
        let mut all = one.chain(&self.items).chain(&self.addresses);
        all.next().map_or("amount", Pattern::as_str)
    }

    fn count(&self, params: &Params) -> Result<u64, Refusal> {
        let invalid = |name: &str| Refusal::InvalidAmount { name: name.to_owned() };
        let given = |pattern: &Pattern| -> Result<u64, Refusal> {
            if let Some(alike) = pattern.lookalike(params) {
                return Err(invalid(alike));
            }
            match (pattern.one(params), self.default) {
                (Some(text), _) => plain_integer(text).map_err(|_| invalid(pattern.as_str())),
                (None, Some(default)) => Ok(default),
                (None, None) => Err(invalid(pattern.as_str())),
            }
        };
        if self.bytes {
            let lengths = params.iter().map(|(name, value)| name.len() + value.len());
            return Ok(u64::try_from(lengths.sum::<usize>()).unwrap_or(u64::MAX));
        }
        if let Some(text) = &self.segments {
            if let Some(alike) = text.lookalike(params) {
                return Err(invalid(alike));
            }
            let counted = text.one(params).map(|text| u64::from(segments(text).get()));
            return counted.or(self.default).ok_or_else(|| invalid(text.as_str()));
        }
        if let Some(seconds) = &self.minutes {
            return Ok(given(seconds)?.div_ceil(60));
        }
        if let Some(number) = &self.number {
            return given(number);
        }
        if !self.items.is_empty() {
            return Ok(sum(&self.items, |pattern| items(pattern, params)));
        }
        if !self.addresses.is_empty() {
            return Ok(sum(&self.addresses, |pattern| addresses(pattern, params)));
        }
        Ok(1)
    }
}

fn sum(patterns: &[Pattern], of: impl Fn(&Pattern) -> usize) -> u64 {
    u64::try_from(patterns.iter().map(of).sum::<usize>()).unwrap_or(u64::MAX)
}

/// Values, and members that are groups themselves.
fn items(pattern: &Pattern, params: &Params) -> usize {
    let (mut count, mut group) = (0, None);
    for (member, _) in pattern.under(params) {
        // The values of one group stand together.
        count += usize::from(member.is_none() || member != group);
        group = member;
    }
    count
}

/// Addresses in values, and in what lies deeper, such as `to[0][email]`. Whoever writes several into
/// one value does not get them for the price of one.
fn addresses(pattern: &Pattern, params: &Params) -> usize {
    let of = |(member, text): (Option<&str>, &str)| {
        let within = text.bytes().filter(|b| *b == b'@').count();
        if member.is_none() { within.max(1) } else { within }
    };
    pattern.under(params).map(of).sum()
}

impl Used {
    /// What this line comes to; `None` where the answer does not say.
    pub(super) fn price(&self, body: &Value) -> Option<MicroUsd> {
        let count = body.pointer(&self.number).and_then(Value::as_u64)?;
        times(self.each, count, self.per)
    }
}

/// So many at this price for `per` of them, rounded up.
fn times(each: MicroUsd, count: u64, per: Option<NonZeroU64>) -> Option<MicroUsd> {
    let all = u128::from(each.as_micros()) * u128::from(count);
    let micros = all.div_ceil(u128::from(per.map_or(1, NonZeroU64::get)));
    u64::try_from(micros).ok().and_then(MicroUsd::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(unit: &str, json: &str) -> Result<u64, Refusal> {
        let unit: Unit = toml::from_str(unit).unwrap();
        unit.count(&Params::from_json_document(json).unwrap())
    }

    #[test]
    fn recipients_are_counted_however_deep_they_stand() {
        let unit = r#"each = "1"
            addresses = ["to", "lists[*][to]"]"#;
        for (json, recipients) in [
            (r#"{"to": "a@x"}"#, 1),
            (r#"{"to": ["a@x", "b@x"]}"#, 2),
            (r#"{"to": "A <a@x>, B <b@x>"}"#, 2),
            (r#"{"to": [{"email": "a@x", "name": "A"}, {"email": "b@x"}]}"#, 2),
            (r#"{"lists": [{"to": [{"email": "a@x"}]}, {"to": "b@x"}]}"#, 2),
            (r#"{"cc": "a@x"}"#, 0),
        ] {
            assert_eq!(count(unit, json), Ok(recipients), "{json}");
        }
    }

    #[test]
    fn items_are_values_and_groups() {
        let unit = r#"each = "1"
            items = ["files"]"#;
        for (json, items) in [
            (r#"{"files": "a"}"#, 1),
            (r#"{"files": ["a", "b"]}"#, 2),
            (r#"{"files": [{"url": "a", "name": "A"}, {"url": "b"}, "c"]}"#, 3),
            ("{}", 0),
        ] {
            assert_eq!(count(unit, json), Ok(items), "{json}");
        }
    }

    #[test]
    fn bytes_are_those_of_all_names_and_values() {
        let unit = "each = \"1\"\nbytes = true";
        assert_eq!(count(unit, r#"{"a": "né", "b": [7]}"#), Ok(1 + 3 + 4 + 1));
    }
}
