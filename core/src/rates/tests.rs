use super::*;

const DAY: Duration = Duration::from_hours(24);
const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

fn currency(code: &str) -> Currency {
    Currency::parse(code).unwrap()
}

fn rate(text: &str) -> Rate {
    Rate::parse(text).unwrap()
}

fn micros(rate_text: &str, minor_units: u64, code: &str) -> Result<u64, Overflow> {
    rate(rate_text).usd(minor_units, &currency(code)).map(MicroUsd::as_micros)
}

fn table(margin: &str) -> Rates {
    let published = [("eur", "1.1172"), ("jpy", "0.0063592897"), ("usd", "1")]
        .map(|(code, text)| (currency(code), rate(text)));
    Rates::new(NOW, Rates::USUAL_LARGEST_AGE, Margin::parse(margin).unwrap(), published).unwrap()
}

/// Numbers that are spread over all sizes and the same in every run.
fn spread(count: u64) -> impl Iterator<Item = u64> {
    (1..=count).map(|n| {
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> (n % 64)
    })
}

#[test]
fn a_rate_is_read_exactly_and_printed_as_it_is_read() {
    for text in ["1", "1.1172", "0.0063592897", "0.0000551019", "0.0000000001", "100000"] {
        assert_eq!(rate(text).to_string(), text);
    }
    assert_eq!(rate("1.10"), rate("1.1"));
    assert_eq!(rate("1"), Rate::ONE);
}

#[test]
fn what_is_not_a_rate_is_refused() {
    for text in [
        "",
        ".",
        "0",
        "0.0",
        "0.0000000000",
        "-1",
        "+1",
        "1.",
        ".5",
        "01",
        "1e3",
        " 1",
        "1,1",
        "1.00000000001",
        "100000.0000000001",
        "99999999999999999999",
        "NaN",
        "١",
        "1.1.1",
    ] {
        assert_eq!(Rate::parse(text), Err(InvalidRate), "{text}");
    }
}

#[test]
fn a_margin_is_percent_from_0_to_100() {
    for text in ["0", "2", "2.5", "0.0001", "100"] {
        assert_eq!(Margin::parse(text).unwrap().to_string(), text);
    }
    for text in ["", "-1", "100.0001", "2%", "2.00001"] {
        assert_eq!(Margin::parse(text), Err(InvalidMargin), "{text}");
    }
    assert_eq!(Margin::USUAL.to_string(), "2");
}

#[test]
fn smallest_units_are_the_vendors_own() {
    // 2,000 yen, 2,000 cents, 2,000 fils, and 2,000 hundredths of a krona or a shilling.
    assert_eq!(micros("0.0063592897", 2_000, "jpy"), Ok(12_718_580));
    assert_eq!(micros("1.1172", 2_000, "eur"), Ok(22_344_000));
    assert_eq!(micros("3.25", 2_000, "kwd"), Ok(6_500_000));
    assert_eq!(micros("0.0082147059", 2_000, "isk"), Ok(164_295));
    assert_eq!(micros("0.00028", 2_000, "ugx"), Ok(5_600));
    assert_eq!(micros("0.0030497093", 2_000, "huf"), Ok(60_995));
    assert_eq!(micros("1", 2_000, "usd"), Ok(20_000_000));
}

#[test]
fn the_least_amount_costs_a_micro_dollar_and_nothing_costs_nothing() {
    assert_eq!(micros("0.0000000001", 1, "kwd"), Ok(1));
    assert_eq!(micros("0.0000000001", 0, "kwd"), Ok(0));
    assert_eq!(micros("0.0000551019", 1, "idr"), Ok(1));
}

#[test]
fn more_than_the_largest_amount_is_an_error_and_not_a_small_number() {
    assert_eq!(micros("1", 922_337_203_685_477, "usd"), Ok(9_223_372_036_854_770_000));
    assert_eq!(micros("1", 922_337_203_685_478, "usd"), Err(Overflow));
    assert_eq!(micros("1", u64::MAX, "usd"), Err(Overflow));
    assert_eq!(micros("100000", u64::MAX, "jpy"), Err(Overflow));
    assert_eq!(micros("0.0000000001", u64::MAX, "jpy"), Ok(1_844_674_407_370_956));
}

#[test]
fn dollars_need_no_table_and_have_no_margin() {
    for rates in [table("2"), Rates::none()] {
        for now in [NOW, NOW.after(DAY * 1_000), NOW.before(DAY * 1_000)] {
            assert_eq!(rates.of(&Currency::USD, now), Ok(Rate::ONE));
        }
    }
}

#[test]
fn the_margin_is_in_the_rate_that_is_given_out() {
    let of = |margin: &str, code: &str| table(margin).of(&currency(code), NOW).unwrap().to_string();
    assert_eq!(of("0", "eur"), "1.1172");
    assert_eq!(of("2", "eur"), "1.139544");
    assert_eq!(of("2.5", "eur"), "1.14513");
    assert_eq!(of("100", "eur"), "2.2344");
    // 0.006486475494, rounded up.
    assert_eq!(of("2", "jpy"), "0.0064864755");
}

#[test]
fn a_currency_without_a_rate_is_not_guessed() {
    assert_eq!(table("2").of(&currency("gbp"), NOW), Err(NoRate::Unknown));
    assert_eq!(Rates::none().of(&currency("eur"), NOW), Err(NoRate::Unknown));
}

#[test]
fn an_old_table_has_no_rates_and_neither_has_one_of_the_future() {
    let (rates, eur, second) = (table("2"), currency("eur"), Duration::from_secs(1));
    let stale = Err(NoRate::Stale { as_of: NOW });
    for (now, good) in [
        (NOW.after(DAY * 7), true),
        (NOW.after(DAY * 7 + second), false),
        (NOW.before(DAY), true),
        (NOW.before(DAY + second), false),
    ] {
        let known = rates.of(&eur, now);
        assert!(if good { known.is_ok() } else { known == stale }, "{now}");
    }
}

#[test]
fn a_table_that_contradicts_itself_is_refused() {
    let table = |age: Duration, rows: &[(&str, &str)]| {
        let published = rows.iter().map(|(code, text)| (currency(code), rate(text)));
        Rates::new(NOW, age, Margin::USUAL, published).map(|_| ())
    };
    assert_eq!(
        table(DAY, &[("eur", "1.1"), ("EUR", "1.1")]),
        Err(InvalidRates::Twice(currency("eur")))
    );
    assert_eq!(table(DAY, &[("usd", "1.01")]), Err(InvalidRates::Dollar(rate("1.01"))));
    assert_eq!(table(DAY, &[("kwd", "99999")]), Err(InvalidRates::TooLarge(currency("kwd"))));
    assert_eq!(table(Duration::ZERO, &[("eur", "1.1")]), Err(InvalidRates::NoAge));
    assert_eq!(table(DAY, &[("eur", "1.1"), ("usd", "1.0")]), Ok(()));
}

#[test]
fn any_rate_survives_its_text() {
    for value in spread(20_000).filter(|value| (1..=LARGEST).contains(value)) {
        assert_eq!(Rate::parse(&Rate(value).to_string()), Ok(Rate(value)));
    }
}

/// Over amounts and rates of all sizes: never less than the exact value, less than a micro-dollar
/// more, and never falling as the amount or the rate rises.
#[test]
fn dollars_are_never_less_than_the_amount_and_rise_with_it() {
    for (minor, value) in spread(4_000).zip(spread(4_001).skip(1)) {
        for code in ["jpy", "eur", "kwd"] {
            let (currency, rate) = (currency(code), Rate(value % LARGEST + 1));
            let Ok(usd) = rate.usd(minor, &currency) else { continue };
            let scale = 10_u128.pow(4 + currency.exponent());
            let exact = u128::from(minor) * u128::from(rate.0);
            let counted = u128::from(usd.as_micros()) * scale;
            assert!(counted >= exact && counted - exact < scale, "{minor} {code} at {rate}");
            if let Some(less) = minor.checked_sub(1) {
                assert!(rate.usd(less, &currency).unwrap() <= usd);
            }
            if rate.0 > 1 {
                assert!(Rate(rate.0 - 1).usd(minor, &currency).unwrap() <= usd);
            }
        }
    }
}

#[test]
fn a_margin_never_lowers_a_rate() {
    for (value, margin) in spread(20_000).zip(spread(20_001).skip(1)) {
        let (rate, margin) = (Rate(value % LARGEST + 1), Margin(margin % (100 * PERCENT)));
        let exact = u128::from(rate.0) * u128::from(100 * PERCENT + margin.0);
        match rate.with(margin) {
            Some(raised) => assert!(u128::from(raised.0) * u128::from(100 * PERCENT) >= exact),
            None => assert!(exact > u128::from(LARGEST) * u128::from(100 * PERCENT)),
        }
    }
}
