//! A call in doubt is sent again only where that can't charge twice.

use super::bench::{
    Bench, HOUR, LIFE, RESEND_WITHIN, answered, at, capped, charge, daily, span, state, usd,
};
use crate::{
    call::Evidence,
    ledger::{Begin, HeldCall, Issue},
    refusal::Refusal,
};

const UNKNOWN: Refusal = Refusal::OutcomeUnknown { retry_helps: true };

#[test]
fn a_re_send_is_the_same_call_once_more() {
    let (mut bench, parent) = Bench::with_cap(20);
    let child = bench.child(&parent, capped(10));
    let ask = charge(&child, 6, "a");
    let first = bench.doubt(&ask);
    bench.now = HOUR;
    let again = bench.hold(&ask);
    assert_eq!(again, HeldCall { attempt: 2, ..first });
    let row = bench.call(again.call);
    assert_eq!((row.attempt, row.at, row.begun_at), (2, at(0), at(HOUR)));
    for key in [&parent, &child] {
        assert_eq!(bench.money(key), [0, 6, 0]);
    }
}

#[test]
fn a_re_send_by_another_key_spends_from_the_budget_of_the_first() {
    let mut bench = Bench::default();
    let first = bench.issue(capped(10));
    let second =
        bench.issue(Issue { label: "another run".to_owned().try_into().unwrap(), ..capped(7) });
    let held = bench.doubt(&charge(&first, 6, "a"));
    let again = bench.hold(&charge(&second, 6, "a"));
    let expected = HeldCall { attempt: 2, remaining: usd(7), ..held };
    assert_eq!(again, expected);
    assert_eq!(bench.money(&second), [0, 0, 0]);
}

#[test]
fn a_re_send_is_tagged_as_its_first_send_was() {
    let (mut bench, key) = Bench::with_cap(10);
    for (name, tagged) in [("tagged", true), ("not tagged", false)] {
        let ask = |tagged| Begin { tagged, ..charge(&key, 5, name) };
        let first = bench.doubt(&ask(tagged));
        assert_eq!(bench.hold(&ask(!tagged)).tag, first.tag, "{name}");
    }
}

#[test]
fn a_re_send_in_a_later_window_is_booked_there() {
    let mut bench = Bench::default();
    let key = bench.issue(Issue { lives: span(48 * HOUR), ..daily(10) });
    bench.now = 23 * HOUR;
    let ask = charge(&key, 6, "a");
    bench.doubt(&ask);
    bench.now = 25 * HOUR;
    let again = bench.hold(&ask);
    bench.finish(answered(&again, Evidence::moved(usd(6))));
    assert_eq!(bench.budget(&key).window_spent, usd(6));
}

#[test]
fn a_call_is_sent_again_while_the_vendor_surely_knows_its_key() {
    for (now, resend_within, refusal) in [
        (RESEND_WITHIN - 1, Some(RESEND_WITHIN), None),
        (RESEND_WITHIN, Some(RESEND_WITHIN), Some(UNKNOWN)),
        (RESEND_WITHIN + 1, Some(RESEND_WITHIN), Some(UNKNOWN)),
        (0, None, Some(Refusal::OutcomeUnknown { retry_helps: false })),
    ] {
        let (mut bench, key) = Bench::with_cap(10);
        let ask = Begin { resend_within: resend_within.map(span), ..charge(&key, 6, "a") };
        bench.doubt(&ask);
        bench.now = now;
        match refusal {
            Some(refusal) => assert_eq!(bench.refused(&ask), refusal),
            None => assert_eq!(bench.hold(&ask).attempt, 2),
        }
    }
}

#[test]
fn the_vendors_memory_counts_from_the_first_send() {
    let (mut bench, key) = Bench::with_cap(10);
    let ask = charge(&key, 6, "a");
    bench.doubt(&ask);
    bench.now = RESEND_WITHIN - 1;
    bench.doubt(&ask);
    bench.now = RESEND_WITHIN;
    assert_eq!(bench.refused(&ask), UNKNOWN);
}

#[test]
fn an_expired_key_sends_nothing_again() {
    for (now, sent) in [(LIFE - 1, true), (LIFE, false), (LIFE + 1, false)] {
        let (mut bench, key) = Bench::with_cap(10);
        let ask = charge(&key, 6, "a");
        bench.now = LIFE - 2;
        bench.doubt(&ask);
        bench.now = now;
        if sent {
            bench.hold(&ask);
        } else {
            assert_eq!(bench.refused(&ask), UNKNOWN);
        }
    }
}

#[test]
fn a_call_of_a_revoked_budget_is_not_sent_again_by_a_sibling() {
    let (mut bench, parent) = Bench::with_cap(20);
    let stopped = bench.child(&parent, capped(10));
    let sibling = bench.child(&parent, capped(10));
    bench.doubt(&charge(&stopped, 6, "a"));
    bench.revoke(&stopped);
    assert_eq!(bench.refused(&charge(&sibling, 6, "a")), UNKNOWN);
}

#[test]
fn a_re_send_must_fit_what_the_caps_allow_now() {
    let mut bench = Bench::default();
    let parent = bench.issue(Issue { lives: span(48 * HOUR), ..daily(10) });
    let child = bench.child(&parent, Issue { lives: span(48 * HOUR), ..capped(100) });
    bench.now = 23 * HOUR;
    let ask = charge(&child, 6, "a");
    bench.doubt(&ask);
    bench.now = 25 * HOUR;
    let other = bench.hold(&charge(&parent, 5, "b"));
    assert_eq!(bench.refused(&ask), UNKNOWN);
    bench.finish(answered(&other, Evidence::NotExecuted));
    bench.hold(&ask);
}

#[test]
fn a_re_send_fits_beside_its_own_doubt() {
    let (mut bench, key) = Bench::with_cap(6);
    let ask = charge(&key, 6, "a");
    bench.doubt(&ask);
    assert_eq!(bench.hold(&ask).remaining, usd(0));
}

#[test]
fn a_refused_re_send_leaves_the_call_in_doubt() {
    let (mut bench, key) = Bench::with_cap(10);
    let ask = charge(&key, 6, "a");
    bench.doubt(&ask);
    let again = bench.hold(&ask);
    let ended = bench.finish(answered(&again, Evidence::NotExecuted));
    assert_eq!(state(&ended), "in_doubt");
    assert_eq!(bench.money(&key), [6, 0, 6]);
}
