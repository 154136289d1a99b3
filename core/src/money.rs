//! Money: integer micro-dollars, checked, never a float.
//!
//! There is no `Add` and no `Default` on purpose: a sum that overflows or a price that failed to
//! parse must stop the call, it must never become a small number.

use std::fmt;

/// Micro-dollars per dollar.
const PER_DOLLAR: u64 = 1_000_000;
/// The largest amount, so that every amount fits a signed 64-bit column: about nine trillion dollars.
const MAX: u64 = i64::MAX.unsigned_abs();

/// Micro-dollars: one millionth of a US dollar. Never negative, never a float, at most `i64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MicroUsd(u64);

impl MicroUsd {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// That many micro-dollars, or `None` above `i64::MAX` of them.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Option<Self> {
        if micros > MAX { None } else { Some(Self(micros)) }
    }

    /// The amount in micro-dollars.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The sum, or `None` where it passes the largest amount.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::from_micros)
    }

    /// The difference, or `None` where it would be negative.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The sum, or the most there is.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        // Both are at most `i64::MAX`, so that their sum can't overflow.
        Self((self.0 + other.0).min(MAX))
    }

    /// What is left after taking `other`, and nothing where `other` is more. Only for showing.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Dollars as decimal text: digits, and after a point at most six more. No sign, no exponent,
    /// no spaces, no separators.
    ///
    /// # Errors
    /// [`InvalidAmount`] for any other text and for more than the largest amount.
    pub fn parse(text: &str) -> Result<Self, InvalidAmount> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if fraction.is_empty() || fraction.len() > 6 {
            return Err(InvalidAmount);
        }
        let scale = (fraction.len()..6).fold(1_u64, |scale, _| scale * 10);
        plain_integer(whole)?
            .checked_mul(PER_DOLLAR)
            .and_then(|micros| micros.checked_add(digits(fraction).ok()? * scale))
            .and_then(Self::from_micros)
            .ok_or(InvalidAmount)
    }
}

/// Decimal dollars with at least two and at most six digits after the point.
impl fmt::Display for MicroUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:06}", self.0 % PER_DOLLAR);
        let shown = fraction.trim_end_matches('0');
        write!(f, "{}.{shown:0<2}", self.0 / PER_DOLLAR)
    }
}

/// A text that is not an amount in the form that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a plain decimal amount")]
pub struct InvalidAmount;

/// A whole number as vendors take amounts: digits only, no leading zero, within 64 bits.
///
/// # Errors
/// [`InvalidAmount`] for signs, spaces, points, exponents, hexadecimal, and overflow.
pub fn plain_integer(text: &str) -> Result<u64, InvalidAmount> {
    if text.len() > 1 && text.starts_with('0') {
        return Err(InvalidAmount);
    }
    digits(text)
}

fn digits(text: &str) -> Result<u64, InvalidAmount> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidAmount);
    }
    text.parse().map_err(|_| InvalidAmount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_text_parses_exactly() {
        for (text, micros) in [
            ("0", 0),
            ("50", 50_000_000),
            ("0.5", 500_000),
            ("1.10", 1_100_000),
            ("32.99", 32_990_000),
            ("0.000001", 1),
            ("9223372036854.775807", i64::MAX.unsigned_abs()),
        ] {
            assert_eq!(MicroUsd::parse(text).map(MicroUsd::as_micros), Ok(micros), "{text}");
        }
    }

    #[test]
    fn anything_but_plain_decimal_text_is_refused() {
        for text in [
            "",
            ".",
            "-1",
            "+1",
            "1.",
            ".5",
            "1.0000001",
            "1e3",
            "0x10",
            " 1",
            "1 ",
            "1,000",
            "NaN",
            "01",
            "1.-1",
            "1.+1",
            "9223372036854.775808",
            "99999999999999999999",
            "१",
        ] {
            assert_eq!(MicroUsd::parse(text), Err(InvalidAmount), "{text}");
        }
    }

    #[test]
    fn amounts_print_with_cents_and_no_idle_zeros() {
        for (micros, text) in [
            (0, "0.00"),
            (1, "0.000001"),
            (500_000, "0.50"),
            (1_234_500, "1.2345"),
            (50_000_000, "50.00"),
            (10_020_000, "10.02"),
        ] {
            assert_eq!(MicroUsd::from_micros(micros).unwrap().to_string(), text);
        }
    }

    #[test]
    fn sums_and_differences_are_checked() {
        let one = MicroUsd::from_micros(1).unwrap();
        let most = MicroUsd::from_micros(MAX).unwrap();
        assert_eq!(MicroUsd::from_micros(MAX + 1), None);
        assert_eq!(most.checked_add(one), None);
        assert_eq!(most.checked_add(MicroUsd::ZERO), Some(most));
        assert_eq!(one.checked_add(one), MicroUsd::from_micros(2));
        assert_eq!(MicroUsd::ZERO.checked_sub(one), None);
        assert_eq!(most.checked_sub(one), MicroUsd::from_micros(MAX - 1));
        assert_eq!(one.less(most), MicroUsd::ZERO);
        assert_eq!([most.saturating_add(most), one.saturating_add(most)], [most, most]);
        assert_eq!(one.saturating_add(one).less(one), one);
        assert_eq!(most.less(one), MicroUsd::from_micros(MAX - 1).unwrap());
    }

    #[test]
    fn a_plain_integer_has_digits_only() {
        assert_eq!(plain_integer("0"), Ok(0));
        assert_eq!(plain_integer("100"), Ok(100));
        assert_eq!(plain_integer("18446744073709551615"), Ok(u64::MAX));
        for text in ["", "00", "007", "-0", "+5", "1.0", "1e2", "0x1", " 1", "18446744073709551616"]
        {
            assert_eq!(plain_integer(text), Err(InvalidAmount), "{text}");
        }
    }
}
