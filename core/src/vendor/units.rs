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
    /// Counts the values of these parameters.
    #[serde(default)]
    pub items: Vec<Pattern>,
    /// Counts the mail addresses in these parameters.
    #[serde(default)]
    pub addresses: Vec<Pattern>,
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
        let all = |patterns: &[Pattern], of: fn(&str) -> usize| {
            let values = patterns.iter().flat_map(|pattern| pattern.values(params));
            let count: usize = values.map(of).sum();
            u64::try_from(count).unwrap_or(u64::MAX)
        };
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
            return Ok(all(&self.items, |_| 1));
        }
        if !self.addresses.is_empty() {
            // Whoever writes several addresses into one value does not get them for the price of one.
            return Ok(all(&self.addresses, |text| text.matches('@').count().max(1)));
        }
        Ok(1)
    }
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
