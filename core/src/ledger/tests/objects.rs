//! Calls that make an object and change what it commits: its money is counted once, where it was
//! first committed, and goes back there.

use std::sync::Arc;

use super::bench::{
    ABSENT_AFTER, Bench, HOUR, about, absent, answered, capped, charge, concluded, daily, said,
    state, usd,
};
use crate::{
    call::{Effect, Evidence},
    ledger::{Begin, Begun, Contention, Finding, HeldCall, rows::VaultKey},
    refusal::Refusal,
};

const PI: &str = "pi_1";

/// Creates the object, which commits this much.
fn create(bench: &mut Bench, key: &Arc<VaultKey>, amount: u64) -> HeldCall {
    let held = bench.hold(&charge(key, amount, "create"));
    bench.finish(said(&held, PI, Effect::Stands(usd(amount))));
    held
}

/// Makes a call about the object, which then stands for this much.
fn stands(bench: &mut Bench, ask: &Begin, all: u64) -> HeldCall {
    let held = bench.hold(ask);
    assert_eq!(state(&bench.finish(said(&held, PI, Effect::Stands(usd(all))))), "settled");
    held
}

#[test]
fn confirming_what_was_created_counts_nothing_again() {
    let (mut bench, key) = Bench::with_cap(10);
    create(&mut bench, &key, 8);
    let held = bench.hold(&about(&key, PI, 8, "confirm"));
    assert_eq!((held.hold, bench.money(&key)), (usd(0), [8, 0, 0]));
    bench.finish(said(&held, PI, Effect::Stands(usd(8))));
    assert_eq!(bench.money(&key), [8, 0, 0]);
}

#[test]
fn an_update_holds_the_increase_and_gives_a_decrease_back() {
    let (mut bench, key) = Bench::with_cap(10);
    create(&mut bench, &key, 4);
    let held = bench.hold(&about(&key, PI, 9, "up"));
    assert_eq!((held.hold, bench.money(&key)), (usd(5), [4, 5, 0]));
    bench.finish(said(&held, PI, Effect::Stands(usd(9))));
    assert_eq!(bench.money(&key), [9, 0, 0]);
    stands(&mut bench, &about(&key, PI, 3, "down"), 3);
    assert_eq!(bench.money(&key), [3, 0, 0]);
    assert_eq!(bench.call(held.call).settled(), usd(0), "the newest part goes back first");
    assert!(bench.call(held.call).note.as_ref().unwrap().contains("went back by"));
    let ask = about(&key, PI, 11, "too much");
    assert!(matches!(bench.refused(&ask), Refusal::CapExhausted { asked, .. } if asked == usd(8)));
}

#[test]
fn a_part_that_gives_nothing_back_keeps_its_row_as_it_was() {
    let (mut bench, key) = Bench::with_cap(10);
    let made = create(&mut bench, &key, 4);
    let raised = stands(&mut bench, &about(&key, PI, 9, "up"), 9);
    let before = bench.call(made.call).clone();
    stands(&mut bench, &about(&key, PI, 7, "down"), 7);
    assert_eq!(bench.call(raised.call).settled(), usd(3));
    assert_eq!(bench.call(made.call), &before);
}

#[test]
fn an_object_that_the_ledger_does_not_know_counts_in_full() {
    let (mut bench, key) = Bench::with_cap(10);
    let held = bench.hold(&about(&key, PI, 8, "confirm"));
    assert_eq!(held.hold, usd(8));
    bench.finish(said(&held, PI, Effect::Stands(usd(8))));
    assert_eq!(bench.money(&key), [8, 0, 0]);
    stands(&mut bench, &about(&key, PI, 8, "capture"), 5);
    assert_eq!(bench.money(&key), [5, 0, 0]);
}

#[test]
fn a_commitment_goes_back_to_the_budgets_that_made_it() {
    let mut bench = Bench::default();
    let parent = bench.issue(capped(20));
    let child = bench.child(&parent, capped(10));
    let other = bench.issue(capped(10));
    create(&mut bench, &child, 6);
    stands(&mut bench, &about(&other, PI, 9, "up"), 9);
    assert_eq!([&parent, &child, &other].map(|key| bench.money(key)[0]), [6, 6, 3]);
    let third = bench.issue(capped(10));
    let held = bench.hold(&about(&third, PI, 0, "cancel"));
    let ended = bench.finish(said(&held, PI, Effect::Leaves(usd(0))));
    assert_eq!([&parent, &child, &other, &third].map(|key| bench.money(key)[0]), [0; 4]);
    let crate::ledger::Ended::Recorded { chain, .. } = ended else { panic!("ignored") };
    for key in [&parent, &child, &other, &third] {
        assert!(chain.contains(&key.budget().unwrap()), "those who wait for it are woken");
    }
}

#[test]
fn a_releasing_call_never_counts_itself() {
    let (mut bench, key) = Bench::with_cap(10);
    let held = bench.hold(&about(&key, PI, 0, "cancel"));
    bench.finish(said(&held, PI, Effect::Leaves(usd(7))));
    assert_eq!(bench.money(&key), [0, 0, 0], "made and captured in part outside");
}

#[test]
fn calls_on_one_object_take_turns() {
    let (mut bench, key) = Bench::with_cap(10);
    let other = bench.issue(capped(10));
    create(&mut bench, &key, 6);
    let ask = about(&other, PI, 6, "capture");
    let held = bench.hold(&about(&key, PI, 6, "confirm"));
    assert_eq!(bench.refused(&ask), Refusal::CallInProgress);
    let waits = Begin { contention: Contention::Wait, ..ask.clone() };
    let budget = key.budget().unwrap();
    assert_eq!(bench.begin(&waits), Begun::Contended { budget });
    bench.finish(answered(&held, Evidence::Unknown));
    assert_eq!(bench.refused(&ask), Refusal::CallInProgress, "in doubt");
    bench.conclude(concluded(&held, Finding::Found(Effect::Stands(usd(6)))));
    assert_eq!(bench.hold(&ask).hold, usd(0));
    let mut elsewhere = about(&other, PI, 6, "elsewhere");
    elsewhere.request.vendor = "other".to_owned();
    assert_eq!(bench.hold(&elsewhere).hold, usd(6), "another vendor's object");
}

#[test]
fn what_an_object_commits_is_not_booked_twice_when_its_making_is_found_late() {
    let (mut bench, key) = Bench::with_cap(20);
    let made = bench.doubt(&charge(&key, 8, "create"));
    stands(&mut bench, &about(&key, PI, 8, "confirm"), 8);
    assert_eq!(bench.money(&key), [16, 0, 8]);
    let mut found = concluded(&made, Finding::Found(Effect::Stands(usd(8))));
    found.object_id = Some(PI.to_owned());
    bench.conclude(found);
    assert_eq!(bench.money(&key), [8, 0, 0]);
}

#[test]
fn what_a_making_is_answered_late_takes_nothing_from_what_later_calls_count_for() {
    let (mut bench, key) = Bench::with_cap(20);
    let ask = charge(&key, 4, "create");
    bench.doubt(&ask);
    stands(&mut bench, &about(&key, PI, 9, "up"), 9);
    let again = bench.hold(&ask);
    bench.finish(said(&again, PI, Effect::Stands(usd(4))));
    assert_eq!(bench.money(&key), [9, 0, 0], "the vendor replays what it said at first");
}

#[test]
fn a_making_is_not_concluded_while_another_call_changes_its_object() {
    let (mut bench, key) = Bench::with_cap(20);
    let made = bench.doubt(&charge(&key, 4, "create"));
    let open = bench.hold(&about(&key, PI, 9, "up"));
    let mut found = concluded(&made, Finding::Found(Effect::Stands(usd(9))));
    found.object_id = Some(PI.to_owned());
    assert_eq!(state(&bench.conclude(found.clone())), "ignored");
    bench.finish(said(&open, PI, Effect::Stands(usd(9))));
    assert_eq!(state(&bench.conclude(found)), "settled");
    assert_eq!(bench.money(&key), [9, 0, 0]);
}

#[test]
fn a_lost_call_without_a_trace_is_known_by_what_its_object_stands_for() {
    for (stands, name, money) in [
        (None, "released", [6, 0, 0]),
        (Some(6), "released", [6, 0, 0]),
        (Some(9), "settled", [9, 0, 0]),
        (Some(2), "released", [2, 0, 0]),
    ] {
        let (mut bench, key) = Bench::with_cap(10);
        create(&mut bench, &key, 6);
        let held = bench.doubt(&about(&key, PI, 9, "up"));
        let mut finding = absent(1, ABSENT_AFTER + 1);
        if let Finding::Absent { stands: known, .. } = &mut finding {
            *known = stands.map(usd);
        }
        assert_eq!(state(&bench.conclude(concluded(&held, finding))), name);
        assert_eq!(bench.money(&key), money, "{stands:?}");
    }
}

#[test]
fn what_goes_back_from_a_window_that_is_over_opens_nothing_in_this_one() {
    let mut bench = Bench::default();
    let key = bench.issue(daily(10));
    create(&mut bench, &key, 6);
    bench.now = 25 * HOUR;
    let later = bench.refresh(key.id, None).key;
    let later = Arc::new(later);
    bench.settle(&charge(&later, 5, "other"));
    stands(&mut bench, &about(&later, PI, 0, "cancel"), 0);
    assert_eq!(bench.budget(&key).window_spent, usd(5));
    assert_eq!(bench.budget(&key).total_spent, usd(5));
}

#[test]
fn the_per_call_cap_is_for_the_increase() {
    let mut bench = Bench::default();
    let mut order = capped(20);
    order.policy.per_call_usd_cap = Some(usd(5));
    let key = bench.issue(order);
    create(&mut bench, &key, 5);
    let ask = about(&key, PI, 11, "too much");
    assert!(
        matches!(bench.refused(&ask), Refusal::PerCallCapExceeded { asked, .. } if asked == usd(6))
    );
    assert_eq!(bench.hold(&about(&key, PI, 10, "up")).hold, usd(5));
}

#[test]
fn the_final_price_corrects_a_call_that_awaits_it_once() {
    for (billed, money) in [(3, 3), (9, 9)] {
        let (mut bench, parent) = Bench::with_cap(10);
        let key = bench.child(&parent, capped(10));
        let held = bench.hold(&charge(&key, 6, "a"));
        let bill = concluded(&held, Finding::Billed(usd(billed)));
        assert_eq!(state(&bench.conclude(bill.clone())), "ignored", "not answered yet");
        let finish =
            crate::ledger::Finish { awaits_bill: true, ..answered(&held, Evidence::moved(usd(6))) };
        bench.finish(finish);
        assert!(bench.call(held.call).awaits_bill);
        assert_eq!(state(&bench.conclude(bill.clone())), "settled");
        assert_eq!([bench.money(&key)[0], bench.money(&parent)[0]], [money; 2]);
        assert_eq!(state(&bench.conclude(bill)), "ignored");
        let gone = concluded(&held, Finding::NotBilled);
        assert_eq!(state(&bench.conclude(gone)), "ignored");
    }
}

#[test]
fn only_what_was_executed_awaits_its_bill_and_only_where_the_vendor_sends_one() {
    for (awaits_bill, evidence, awaits) in [
        (true, Evidence::moved(usd(6)), true),
        (false, Evidence::moved(usd(6)), false),
        (true, Evidence::NotExecuted, false),
        (true, Evidence::Unknown, false),
    ] {
        let (mut bench, key) = Bench::with_cap(10);
        let held = bench.hold(&charge(&key, 6, "a"));
        bench.finish(crate::ledger::Finish { awaits_bill, ..answered(&held, evidence) });
        assert_eq!(bench.call(held.call).awaits_bill, awaits, "{evidence:?}");
    }
}

#[test]
fn what_is_never_billed_and_never_found_out_stays_as_it_is_with_a_note() {
    let (mut bench, key) = Bench::with_cap(20);
    let held = bench.hold(&charge(&key, 6, "a"));
    bench.finish(crate::ledger::Finish {
        awaits_bill: true,
        ..answered(&held, Evidence::moved(usd(6)))
    });
    assert_eq!(state(&bench.conclude(concluded(&held, Finding::NotBilled))), "settled");
    assert!(!bench.call(held.call).awaits_bill);
    let doubted = bench.doubt(&charge(&key, 5, "b"));
    assert_eq!(state(&bench.conclude(concluded(&doubted, Finding::NotFoundOut))), "in_doubt");
    assert_eq!(bench.call(doubted.call).note.as_deref(), Some("looked up"));
    assert_eq!(bench.money(&key), [11, 0, 5]);
    let settled = concluded(&held, Finding::NotFoundOut);
    assert_eq!(state(&bench.conclude(settled)), "ignored");
}
