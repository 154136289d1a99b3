//! Currencies, and the amounts that Stripe takes in each.

use super::{errors::ApiError, params::Params};

/// The largest amount of one payment, in minor units.
pub(super) const MAX_AMOUNT: u64 = 99_999_999;

const CURRENCIES: &[&str] = &[
    "aed", "afn", "all", "amd", "aoa", "ars", "aud", "awg", "azn", "bam", "bbd", "bdt", "bhd",
    "bif", "bmd", "bnd", "bob", "brl", "bsd", "btn", "bwp", "byn", "bzd", "cad", "cdf", "chf",
    "clp", "cny", "cop", "crc", "cve", "czk", "djf", "dkk", "dop", "dzd", "egp", "etb", "eur",
    "fjd", "fkp", "gbp", "gel", "gip", "gmd", "gnf", "gtq", "gyd", "hkd", "hnl", "htg", "huf",
    "idr", "ils", "inr", "isk", "jmd", "jod", "jpy", "kes", "kgs", "khr", "kmf", "krw", "kwd",
    "kyd", "kzt", "lak", "lbp", "lkr", "lrd", "lsl", "mad", "mdl", "mga", "mkd", "mmk", "mnt",
    "mop", "mru", "mur", "mvr", "mwk", "mxn", "myr", "mzn", "nad", "ngn", "nio", "nok", "npr",
    "nzd", "omr", "pab", "pen", "pgk", "php", "pkr", "pln", "pyg", "qar", "ron", "rsd", "rub",
    "rwf", "sar", "sbd", "scr", "sek", "sgd", "shp", "sle", "sos", "srd", "stn", "szl", "thb",
    "tjs", "tnd", "top", "try", "ttd", "twd", "tzs", "uah", "ugx", "usd", "uyu", "uzs", "vnd",
    "vuv", "wst", "xaf", "xcd", "xcg", "xof", "xpf", "yer", "zar", "zmw",
];

/// The smallest charge in minor units, where it is not simply one unit.
const MINIMA: &[(&str, u64)] = &[
    ("usd", 50),
    ("aud", 50),
    ("brl", 50),
    ("cad", 50),
    ("chf", 50),
    ("eur", 50),
    ("inr", 50),
    ("nzd", 50),
    ("sgd", 50),
    ("jpy", 50),
    ("gbp", 30),
    ("dkk", 250),
    ("nok", 300),
    ("sek", 300),
    ("pln", 200),
    ("ron", 200),
    ("aed", 200),
    ("bgn", 100),
    ("hkd", 400),
    ("myr", 200),
    ("mxn", 1_000),
    ("thb", 1_000),
    ("czk", 1_500),
    ("huf", 17_500),
];

/// Currencies whose last digits must be zero: cards cannot carry a third decimal, and two
/// currencies are sent with decimals that they do not have.
const MULTIPLES: &[(&str, u64)] =
    &[("bhd", 10), ("jod", 10), ("kwd", 10), ("omr", 10), ("tnd", 10), ("isk", 100), ("ugx", 100)];

/// The currency parameter in lower case.
pub(super) fn currency(params: &Params) -> Result<String, ApiError> {
    let code = params.required("currency")?.to_lowercase();
    if CURRENCIES.contains(&code.as_str()) {
        return Ok(code);
    }
    Err(ApiError::invalid(format!("Invalid currency: {code}")).param("currency"))
}

/// An amount within Stripe's bounds for one payment.
pub(super) fn payment(params: &Params, currency: &str) -> Result<u64, ApiError> {
    let amount = params.required_integer("amount")?;
    check(amount, currency)?;
    Ok(amount)
}

/// Refuses an amount outside of Stripe's bounds for one payment.
pub(super) fn check(amount: u64, currency: &str) -> Result<(), ApiError> {
    let least = MINIMA.iter().find(|(code, _)| *code == currency).map_or(1, |(_, least)| *least);
    if amount < least {
        return Err(bound(
            "amount_too_small",
            &format!("Amount must be at least {least} {currency} in minor units"),
        ));
    }
    if amount > MAX_AMOUNT {
        return Err(bound(
            "amount_too_large",
            &format!("Amount must be no more than {MAX_AMOUNT} {currency} in minor units"),
        ));
    }
    let step = MULTIPLES.iter().find(|(code, _)| *code == currency).map_or(1, |(_, step)| *step);
    if !amount.is_multiple_of(step) {
        return Err(bound(
            "invalid_charge_amount",
            &format!("Amount must be a multiple of {step} in {currency}"),
        ));
    }
    Ok(())
}

/// An optional part of `whole`: from one minor unit to all of it.
pub(super) fn part_of(params: &Params, name: &str, whole: u64) -> Result<u64, ApiError> {
    let Some(amount) = params.integer(name)? else {
        return Ok(whole);
    };
    if amount == 0 {
        return Err(bound(
            "parameter_invalid_integer",
            "This value must be greater than or equal to 1",
        )
        .param(name));
    }
    if amount > whole {
        return Err(bound(
            "amount_too_large",
            &format!("The amount {amount} is larger than the {whole} that is left"),
        )
        .param(name)
        .begun());
    }
    Ok(amount)
}

fn bound(code: &str, message: &str) -> ApiError {
    ApiError::invalid(message).code(code).param("amount")
}
