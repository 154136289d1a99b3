//! Currencies and their smallest units, as Stripe counts them.
//!
//! Stripe's exponents differ from ISO 4217 (ISK and UGX are sent with two decimals, MGA with none).
//! Source: docs.stripe.com/currencies, read 2026-11; the code list is ISO 4217 list one of 2026.
//! A code that is not listed is refused, never guessed.

use std::fmt;

use crate::money::MicroUsd;

/// A currency whose smallest unit is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency {
    code: &'static str,
    exponent: u32,
}

impl Currency {
    /// The US dollar, in which caps are counted.
    pub const USD: Self = Self { code: "usd", exponent: 2 };

    /// The currency with this three-letter code, in any case; `None` where it is not known.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        if code.eq_ignore_ascii_case(Self::USD.code) {
            return Some(Self::USD);
        }
        let listed = [(&ZERO_DECIMAL[..], 0), (&TWO_DECIMAL[..], 2), (&THREE_DECIMAL[..], 3)];
        listed.into_iter().find_map(|(codes, exponent)| {
            let code = codes.iter().find(|known| known.eq_ignore_ascii_case(code))?;
            Some(Self { code, exponent })
        })
    }

    /// The lower-case code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.code
    }

    /// How many decimals the smallest unit has: 0, 2 or 3.
    #[must_use]
    pub const fn exponent(self) -> u32 {
        self.exponent
    }

    /// What a charge must be a multiple of, in smallest units: Stripe takes three-decimal amounts
    /// only in tens, and has two currencies without a decimal sent with two that are zeros. It
    /// refuses other amounts itself, unexecuted.
    #[must_use]
    pub fn charge_multiple(self) -> u64 {
        match (self.code, self.exponent) {
            ("isk" | "ugx", _) => 100,
            (_, 3) => 10,
            _ => 1,
        }
    }

    /// What a payout must be a multiple of: forints and Taiwan dollars are paid out whole.
    #[must_use]
    pub fn payout_multiple(self) -> u64 {
        if matches!(self.code, "huf" | "twd") { 100 } else { self.charge_multiple() }
    }

    /// An amount in smallest units as dollars; `None` for another currency than the dollar (no
    /// rate is known) and for more than the largest amount.
    #[must_use]
    pub fn to_usd(self, smallest_units: u64) -> Option<MicroUsd> {
        if self != Self::USD {
            return None;
        }
        let micros_per_unit = 10_u64.pow(6 - self.exponent);
        smallest_units.checked_mul(micros_per_unit).and_then(MicroUsd::from_micros)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

const ZERO_DECIMAL: [&str; 15] = [
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf",
    "xof", "xpf",
];
const THREE_DECIMAL: [&str; 5] = ["bhd", "jod", "kwd", "omr", "tnd"];
const TWO_DECIMAL: [&str; 145] = [
    "aed", "afn", "all", "amd", "aoa", "ars", "aud", "awg", "azn", "bam", "bbd", "bdt", "bmd",
    "bnd", "bob", "bov", "brl", "bsd", "btn", "bwp", "byn", "bzd", "cad", "cdf", "che", "chf",
    "chw", "clf", "cny", "cop", "cou", "crc", "cup", "cve", "czk", "dkk", "dop", "dzd", "egp",
    "ern", "etb", "eur", "fjd", "fkp", "gbp", "gel", "ghs", "gip", "gmd", "gtq", "gyd", "hkd",
    "hnl", "htg", "huf", "idr", "ils", "inr", "iqd", "irr", "isk", "jmd", "kes", "kgs", "khr",
    "kpw", "kyd", "kzt", "lak", "lbp", "lkr", "lrd", "lsl", "lyd", "mad", "mdl", "mkd", "mmk",
    "mnt", "mop", "mru", "mur", "mvr", "mwk", "mxn", "mxv", "myr", "mzn", "nad", "ngn", "nio",
    "nok", "npr", "nzd", "pab", "pen", "pgk", "php", "pkr", "pln", "qar", "ron", "rsd", "rub",
    "sar", "sbd", "scr", "sdg", "sek", "sgd", "shp", "sle", "sos", "srd", "ssp", "stn", "svc",
    "syp", "szl", "thb", "tjs", "tmt", "top", "try", "ttd", "twd", "tzs", "uah", "ugx", "usd",
    "usn", "uyi", "uyu", "uyw", "uzs", "ved", "ves", "wst", "xad", "xcd", "xcg", "yer", "zar",
    "zmw", "zwg",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_are_stripes_not_isos() {
        for (code, exponent) in
            [("USD", 2), ("jpy", 0), ("Kwd", 3), ("isk", 2), ("ugx", 2), ("mga", 0), ("bhd", 3)]
        {
            assert_eq!(Currency::parse(code).map(Currency::exponent), Some(exponent), "{code}");
        }
    }

    #[test]
    fn some_amounts_come_in_multiples_only() {
        let multiples = |code: &str| {
            let currency = Currency::parse(code).unwrap();
            (currency.charge_multiple(), currency.payout_multiple())
        };
        for (code, charge, payout) in
            [("usd", 1, 1), ("jpy", 1, 1), ("kwd", 10, 10), ("isk", 100, 100), ("huf", 1, 100)]
        {
            assert_eq!(multiples(code), (charge, payout), "{code}");
        }
    }

    #[test]
    fn an_unlisted_code_is_not_guessed() {
        for code in ["", "us", "usdd", "xxx", "usd "] {
            assert_eq!(Currency::parse(code), None, "{code}");
        }
    }

    #[test]
    fn cents_become_micro_dollars_exactly_and_nothing_else_does() {
        assert_eq!(Currency::USD.to_usd(1_099), MicroUsd::from_micros(10_990_000));
        assert_eq!(Currency::USD.to_usd(u64::MAX), None);
        assert_eq!(Currency::parse("eur").unwrap().to_usd(1), None);
        assert_eq!(Currency::parse("usd").unwrap().to_string(), "usd");
    }
}
