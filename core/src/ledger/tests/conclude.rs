//! A doubt ends by evidence about the call's last attempt.

use super::bench::{
    ABSENT_AFTER, Bench, HOUR, absent, answered, at, capped, charge, concluded, state, usd,
};
use crate::{
    call::Evidence,
    ids::CallId,
    ledger::{Begun, Conclude, Ended, Finding, Finish, rows::VendorAnswer},
};

#[test]
fn each_finding_moves_the_money_of_the_whole_chain() {
    for (finding, name, money) in [
        (Finding::moved(usd(6)), "settled", [6, 0, 0]),
        (Finding::moved(usd(2)), "settled", [2, 0, 0]),
        (absent(1, ABSENT_AFTER + 1), "released", [0, 0, 0]),
        (Finding::ResolvedSettled(usd(7)), "settled", [7, 0, 0]),
        (Finding::ResolvedReleased, "released", [0, 0, 0]),
    ] {
        let (mut bench, parent) = Bench::with_cap(10);
        let child = bench.child(&parent, capped(10));
        let held = bench.doubt(&charge(&child, 6, "a"));
        let recorded =
            Ended::Recorded { state: name, chain: vec![child.chain[0], parent.chain[0]] };
        assert_eq!(bench.conclude(concluded(&held, finding)), recorded);
        for key in [&child, &parent] {
            assert_eq!(bench.money(key), money, "{finding:?}");
        }
    }
}

#[test]
fn absence_is_evidence_only_when_there_was_time_to_appear() {
    let (mut bench, key) = Bench::with_cap(10);
    let held = bench.doubt(&charge(&key, 6, "a"));
    for (looked_at, name) in
        [(0, "ignored"), (ABSENT_AFTER, "ignored"), (ABSENT_AFTER + 1, "released")]
    {
        let ended = bench.conclude(concluded(&held, absent(1, looked_at)));
        assert_eq!(state(&ended), name, "{looked_at}");
    }
}

#[test]
fn time_to_appear_counts_from_the_last_send_to_when_the_look_up_began() {
    let (mut bench, key) = Bench::with_cap(10);
    let ask = charge(&key, 6, "a");
    bench.doubt(&ask);
    bench.now = HOUR;
    let again = bench.doubt(&ask);
    bench.now = 4 * HOUR;
    let too_early = concluded(&again, absent(2, HOUR + ABSENT_AFTER));
    assert_eq!(bench.conclude(too_early), Ended::Ignored);
    let late = concluded(&again, absent(2, HOUR + ABSENT_AFTER + 1));
    assert_eq!(state(&bench.conclude(late)), "released");
}

#[test]
fn absence_of_an_earlier_attempt_is_no_evidence_and_all_else_is() {
    for (finding, name) in [
        (absent(1, ABSENT_AFTER + 1), "ignored"),
        (absent(2, ABSENT_AFTER + 1), "released"),
        (Finding::moved(usd(6)), "settled"),
        (Finding::ResolvedSettled(usd(6)), "settled"),
        (Finding::ResolvedReleased, "released"),
    ] {
        let (mut bench, key) = Bench::with_cap(10);
        let ask = charge(&key, 6, "a");
        bench.doubt(&ask);
        let again = bench.doubt(&ask);
        let ended = bench.conclude(concluded(&again, finding));
        assert_eq!(state(&ended), name, "{finding:?}");
    }
}

#[test]
fn only_a_call_in_doubt_is_concluded() {
    let (mut bench, key) = Bench::with_cap(10);
    let held = bench.hold(&charge(&key, 6, "a"));
    let found = concluded(&held, Finding::moved(usd(6)));
    assert_eq!(bench.conclude(found.clone()), Ended::Ignored);
    bench.finish(answered(&held, Evidence::NotExecuted));
    assert_eq!(bench.conclude(found.clone()), Ended::Ignored);
    let Begun::Denied { call, .. } = bench.begin(&charge(&key, 20, "b")) else {
        panic!("20 fits a cap of 10");
    };
    for call in [call, CallId::from_number(999)] {
        let other = Conclude { call, ..found.clone() };
        assert_eq!(bench.conclude(other), Ended::Ignored);
    }
    assert_eq!(bench.money(&key), [0, 0, 0]);
}

#[test]
fn a_concluded_calls_row_says_what_was_found_and_when() {
    let (mut bench, key) = Bench::with_cap(10);
    bench.hold(&charge(&key, 3, "other"));
    let held = bench.doubt(&charge(&key, 6, "a"));
    bench.now = HOUR;
    let found = Conclude {
        object_id: Some("ch_1".to_owned()),
        status: Some(200),
        sealed: Some(b"answer".to_vec()),
        ..concluded(&held, Finding::moved(usd(4)))
    };
    bench.conclude(found);
    let row = bench.call(held.call);
    assert_eq!(row.finished_at, Some(at(HOUR)));
    assert_eq!(row.answer.object_id.as_deref(), Some("ch_1"));
    assert_eq!(row.answer.status, Some(200));
    assert_eq!(row.note.as_deref(), Some("looked up"));
    assert_eq!(row.cap_usage_after, usd(7));
    assert_eq!(bench.ledger.answer(held.call), Some(&b"answer"[..]));
}

#[test]
fn what_a_conclusion_does_not_say_stays_as_the_vendor_said_it() {
    let (mut bench, key) = Bench::with_cap(10);
    let held = bench.hold(&charge(&key, 6, "a"));
    let answer = VendorAnswer {
        status: Some(500),
        request_id: Some("req_1".to_owned()),
        object_id: Some("ch_1".to_owned()),
    };
    bench.finish(Finish { answer: answer.clone(), ..answered(&held, Evidence::Unknown) });
    bench.conclude(concluded(&held, Finding::ResolvedSettled(usd(6))));
    assert_eq!(bench.call(held.call).answer, answer);
    assert_eq!(bench.ledger.answer(held.call), None);
}

#[test]
fn a_released_doubt_gives_its_idempotency_key_back_and_a_settled_one_keeps_it() {
    for (finding, again) in [(Finding::ResolvedReleased, true), (Finding::moved(usd(6)), false)] {
        let (mut bench, key) = Bench::with_cap(20);
        let ask = charge(&key, 6, "a");
        let held = bench.doubt(&ask);
        bench.conclude(concluded(&held, finding));
        match bench.begin(&ask) {
            Begun::Held(new) => assert!(again && new.call != held.call),
            Begun::Replay { of, .. } => assert!(!again && of == held.call),
            begun @ (Begun::Denied { .. } | Begun::Contended { .. }) => panic!("{begun:?}"),
        }
    }
}
