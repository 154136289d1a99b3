//! What foreign money is in dollars, never less than it is.
//!
//! Caps are in dollars while charges are in any currency, so the table must be recent and a margin
//! stands for what a rate can move until the vendor converts. A currency without a rate, and a rate
//! that is too old, refuse the call: no rate is ever guessed. The dollar needs none of this.
//!
//! A [`Rate`] is fixed point with ten decimals, since a rupiah is 0.0000551019 dollars. Everything
//! is rounded up, against the caller.

use std::{collections::HashMap, fmt, time::Duration};

use crate::{currency::Currency, money::MicroUsd, time::Timestamp};

/// Decimals of a [`Rate`].
const DECIMALS: usize = 10;
/// A rate of one dollar for one unit.
const ONE: u64 = 10_000_000_000;
/// The largest rate, 100,000 dollars for one unit: more is a typing error, and what is within it
/// cannot overflow in [`Rate::usd`].
const LARGEST: u64 = 100_000 * ONE;
/// A margin of one percent, and the decimals that a margin may have.
const PERCENT: u64 = 10_000;
const MARGIN_DECIMALS: usize = 4;
/// How far a table's date may lie ahead: dates have time zones. One that lies further ahead is a
/// typing error that would never grow old.
const AHEAD: Duration = Duration::from_hours(24);

/// Dollars for one major unit of a currency: above zero, at most 100,000, with ten decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// One dollar for one unit: the dollar's own rate.
    pub const ONE: Self = Self(ONE);

    /// A rate as plain decimal text with at most ten decimals.
    ///
    /// # Errors
    /// [`InvalidRate`] for any other text, for zero, and for more than 100,000.
    pub fn parse(text: &str) -> Result<Self, InvalidRate> {
        let rate = fixed_point(text, DECIMALS).ok_or(InvalidRate)?;
        if rate == 0 || rate > LARGEST { Err(InvalidRate) } else { Ok(Self(rate)) }
    }

    /// What an amount in the currency's smallest units is in dollars, rounded up to a micro-dollar.
    ///
    /// # Errors
    /// [`Overflow`] above the largest amount of money.
    pub fn usd(self, minor_units: u64, currency: &Currency) -> Result<MicroUsd, Overflow> {
        // Ten decimals of the rate and those of the currency, less the six of a micro-dollar.
        let scale = 10_u128.pow(4 + currency.exponent());
        let micros = (u128::from(minor_units) * u128::from(self.0)).div_ceil(scale);
        u64::try_from(micros).ok().and_then(MicroUsd::from_micros).ok_or(Overflow)
    }

    /// This rate and the margin on it, rounded up; `None` above the largest rate.
    fn with(self, margin: Margin) -> Option<Self> {
        let hundred = u128::from(100 * PERCENT);
        let raised = (u128::from(self.0) * (hundred + u128::from(margin.0))).div_ceil(hundred);
        u64::try_from(raised).ok().filter(|rate| *rate <= LARGEST).map(Self)
    }
}

/// Decimal text that [`Rate::parse`] reads back as the same rate.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, ONE, DECIMALS)
    }
}

/// A text that is not a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a rate: write dollars for one unit, above 0, with at most ten decimals")]
pub struct InvalidRate;

/// More money than an amount can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the amount is larger than any that is counted")]
pub struct Overflow;

/// What is added to every rate, in percent: from 0 to 100, with at most four decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Margin(u64);

impl Margin {
    /// Two percent: more than a major currency usually moves between two days.
    pub const USUAL: Self = Self(2 * PERCENT);

    /// Percent as plain decimal text.
    ///
    /// # Errors
    /// [`InvalidMargin`] for any other text and for more than 100.
    pub fn parse(text: &str) -> Result<Self, InvalidMargin> {
        fixed_point(text, MARGIN_DECIMALS)
            .filter(|margin| *margin <= 100 * PERCENT)
            .map(Self)
            .ok_or(InvalidMargin)
    }
}

/// Percent, as [`Margin::parse`] reads it.
impl fmt::Display for Margin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, PERCENT, MARGIN_DECIMALS)
    }
}

/// A text that is not a margin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a margin: write percent from 0 to 100 with at most four decimals")]
pub struct InvalidMargin;

/// A table of rates of one date.
#[derive(Clone, Debug)]
pub struct Rates {
    as_of: Timestamp,
    largest_age: Duration,
    /// By currency, with the margin.
    raised: HashMap<Currency, Rate>,
}

impl Rates {
    /// Seven days: a long weekend without new rates stops nothing.
    pub const USUAL_LARGEST_AGE: Duration = Duration::from_hours(7 * 24);

    /// Checks a table of rates as they were published at `as_of`.
    ///
    /// # Errors
    /// [`InvalidRates`] for a currency that is there twice, for a dollar that is not one dollar,
    /// for a rate that the margin lifts over the largest, and for an age of zero.
    pub fn new(
        as_of: Timestamp,
        largest_age: Duration,
        margin: Margin,
        published: impl IntoIterator<Item = (Currency, Rate)>,
    ) -> Result<Self, InvalidRates> {
        if largest_age.is_zero() {
            return Err(InvalidRates::NoAge);
        }
        let mut raised = HashMap::new();
        for (currency, rate) in published {
            if currency == Currency::USD && rate != Rate::ONE {
                return Err(InvalidRates::Dollar(rate));
            }
            let with_margin = rate.with(margin).ok_or(InvalidRates::TooLarge(currency))?;
            if raised.insert(currency, with_margin).is_some() {
                return Err(InvalidRates::Twice(currency));
            }
        }
        Ok(Self { as_of, largest_age, raised })
    }

    /// No rates at all: only dollars can be charged.
    #[must_use]
    pub fn none() -> Self {
        let (as_of, largest_age) = (Timestamp::from_micros(0), Self::USUAL_LARGEST_AGE);
        Self { as_of, largest_age, raised: HashMap::new() }
    }

    /// The rate that counts against a cap at `now`, with the margin. The dollar's is always one.
    ///
    /// # Errors
    /// [`NoRate`] where the table does not have the currency, or is too old.
    pub fn of(&self, currency: &Currency, now: Timestamp) -> Result<Rate, NoRate> {
        if *currency == Currency::USD {
            return Ok(Rate::ONE);
        }
        let rate = self.raised.get(currency).ok_or(NoRate::Unknown)?;
        if now.since(self.as_of) > self.largest_age || self.as_of.since(now) > AHEAD {
            return Err(NoRate::Stale { as_of: self.as_of });
        }
        Ok(*rate)
    }

    /// The date of the table.
    #[must_use]
    pub const fn as_of(&self) -> Timestamp {
        self.as_of
    }
}

/// Why a table of rates is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRates {
    /// Two rates for one currency: which of them counts would be chance.
    #[error("{0} has two rates")]
    Twice(Currency),
    /// A dollar is a dollar.
    #[error("a rate of {0} for the dollar, which is 1")]
    Dollar(Rate),
    /// The margin lifts the rate over the largest.
    #[error("the rate of {0} is too large")]
    TooLarge(Currency),
    /// Every rate would be too old.
    #[error("a largest age of zero")]
    NoAge,
}

/// Why an amount can't be counted in dollars now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRate {
    /// The table does not have the currency.
    #[error("there is no rate for this currency")]
    Unknown,
    /// The table is too old, or dated too far ahead.
    #[error("the rates of {as_of} are too old")]
    Stale {
        /// The date of the table.
        as_of: Timestamp,
    },
}

/// Plain decimal text with at most so many decimals, as a whole number of the last of them.
fn fixed_point(text: &str, decimals: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if leading_zero || !digits(whole) || !digits(fraction) || fraction.len() > decimals {
        return None;
    }
    format!("{whole}{fraction:0<decimals$}").parse().ok()
}

/// Decimal text without idle zeros.
fn show(f: &mut fmt::Formatter<'_>, value: u64, one: u64, decimals: usize) -> fmt::Result {
    let fraction = format!("{:0decimals$}", value % one);
    match fraction.trim_end_matches('0') {
        "" => write!(f, "{}", value / one),
        shown => write!(f, "{}.{shown}", value / one),
    }
}

#[cfg(test)]
mod tests;
