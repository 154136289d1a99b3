//! A batch is decided in order, at one time that never runs back, and says all that it changed.

use std::collections::BTreeSet;

use super::bench::{Bench, HOUR, absent, answered, at, capped, charge, concluded, span, usd};
use crate::{
    access::Actor,
    budget::Corrupt,
    call::Evidence,
    ids::{BudgetId, CallId, KeyId},
    ledger::{
        Begin, Begun, Command, Finding, Issue, Refresh, Reply, Revoke, decide,
        rows::{Changes, Deed, IssueBinding, Record},
    },
    token::TokenHash,
};

fn begin(call: i64, ask: Begin) -> Command {
    let call = CallId::from_number(call);
    Command::Begin(Box::new(Begin { call, ..ask }))
}

/// What this command changes in the rows of the bench, after it was decided there.
fn changes(bench: &Bench, command: Command) -> Changes {
    let mut rows = bench.ledger.rows().clone();
    let replies = decide(&mut rows, &[command], at(bench.now));
    assert!(matches!(replies.as_slice(), [Ok(_)]), "{replies:?}");
    rows.changes
}

fn revoke(key: KeyId) -> Command {
    Command::Revoke(Revoke { key, by: Actor::admin() })
}

/// What is kept of something that the admin did now.
fn records(bench: &Bench, deed: Deed, target: KeyId) -> Vec<Record> {
    vec![Record { at: at(bench.now), who: Actor::admin(), deed, target: target.to_string() }]
}

fn set<T: Ord + Clone>(items: &[T]) -> BTreeSet<T> {
    items.iter().cloned().collect()
}

#[test]
fn commands_of_a_batch_are_decided_one_after_the_other() {
    let (mut bench, key) = Bench::with_cap(10);
    let batch = [
        begin(100, charge(&key, 6, "a")),
        begin(101, charge(&key, 5, "b")),
        begin(102, charge(&key, 4, "c")),
    ];
    let replies = bench.ledger.apply(&batch, at(0));
    let held = replies
        .iter()
        .map(|reply| matches!(reply, Ok(Reply::Begun(begun)) if matches!(**begun, Begun::Held(_))));
    assert_eq!(held.collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn the_ledgers_time_never_runs_back() {
    let (mut bench, key) = Bench::with_cap(10);
    bench.now = 2 * HOUR;
    bench.hold(&charge(&key, 1, "a"));
    bench.now = HOUR;
    bench.hold(&charge(&key, 1, "b"));
    assert_eq!(bench.last().at, at(2 * HOUR));
    bench.now = 3 * HOUR;
    bench.hold(&charge(&key, 1, "c"));
    assert_eq!(bench.last().at, at(3 * HOUR));
}

#[test]
fn the_reference_keeps_no_changes() {
    let (mut bench, key) = Bench::with_cap(10);
    bench.settle(&charge(&key, 1, "a"));
    assert_eq!(bench.ledger.rows().changes, Changes::default());
}

#[test]
fn each_command_on_keys_says_which_rows_it_changed() {
    let (mut bench, key) = Bench::with_cap(10);
    let (new, budget) = (KeyId::from_number(100), BudgetId::from_number(101));
    let once = IssueBinding { issuer: "ak_1".to_owned(), key: "a".to_owned() };
    let issue = Command::Issue(Box::new(Issue {
        once: Some(once.clone()),
        key: new,
        budget,
        ..capped(10)
    }));
    let expected = Changes {
        keys: set(&[new]),
        budgets: set(&[budget]),
        issued: set(&[once]),
        records: records(&bench, Deed::Issued, new),
        ..Changes::default()
    };
    assert_eq!(changes(&bench, issue.clone()), expected);
    bench.apply(issue.clone());
    assert_eq!(changes(&bench, issue), Changes::default());
    let refresh = Command::Refresh(Refresh {
        key: key.id,
        successor: KeyId::from_number(102),
        token_hash: TokenHash::from_bytes([4; 32]),
        lives: Some(span(HOUR)),
        by: Actor::admin(),
    });
    let expected = Changes {
        keys: set(&[key.id, KeyId::from_number(102)]),
        records: records(&bench, Deed::Refreshed, key.id),
        ..Changes::default()
    };
    assert_eq!(changes(&bench, refresh), expected);
    let expected = Changes {
        budgets: set(&key.chain),
        records: records(&bench, Deed::Revoked, key.id),
        ..Changes::default()
    };
    assert_eq!(changes(&bench, revoke(key.id)), expected);
    bench.revoke(&key);
    assert_eq!(changes(&bench, revoke(key.id)), Changes::default());
}

#[test]
fn each_command_on_calls_says_which_rows_it_changed() {
    let (mut bench, parent) = Bench::with_cap(10);
    let key = bench.child(&parent, capped(10));
    let inserts = |call: i64| Changes {
        budgets: set(&key.chain),
        new_calls: set(&[CallId::from_number(call)]),
        ..Changes::default()
    };
    let updates = |call: CallId| Changes {
        budgets: set(&key.chain),
        calls: set(&[call]),
        ..Changes::default()
    };
    let held = begin(100, charge(&key, 6, "a"));
    let denied = begin(101, charge(&key, 60, "b"));
    assert_eq!(changes(&bench, held), inserts(100));
    assert_eq!(changes(&bench, denied), inserts(101));

    let held = bench.hold(&charge(&key, 6, "a"));
    let finish = answered(&held, Evidence::Unknown);
    let finish = Command::Finish(Box::new(finish));
    assert_eq!(changes(&bench, finish.clone()), updates(held.call));
    assert_eq!(changes(&bench, Command::Recover), updates(held.call));
    bench.apply(finish.clone());
    assert_eq!(changes(&bench, finish), Changes::default());

    let resend = begin(102, charge(&key, 6, "a"));
    assert_eq!(changes(&bench, resend), updates(held.call));
    let found = concluded(&held, Finding::moved(usd(6)));
    let found = Command::Conclude(Box::new(found));
    assert_eq!(changes(&bench, found), updates(held.call));
}

#[test]
fn amounts_that_do_not_add_up_change_nothing() {
    let (mut bench, parent) = Bench::with_cap(10);
    let key = bench.child(&parent, capped(10));
    let held = bench.hold(&charge(&key, 6, "a"));
    let root = parent.chain[0];
    let mut rows = bench.ledger.rows().clone();
    rows.budgets.get_mut(&root).unwrap().held = usd(5);
    let before = rows.clone();
    let executed = answered(&held, Evidence::moved(usd(6)));
    let finish = Command::Finish(Box::new(executed));
    let replies = decide(&mut rows, &[finish], at(0));
    assert_eq!(replies, [Err(Corrupt(root))]);
    assert_eq!(rows, before);
}

#[test]
fn a_call_that_was_not_recorded_has_no_answer_to_store() {
    let (mut bench, key) = Bench::with_cap(10);
    let held = bench.hold(&charge(&key, 6, "a"));
    let mut finish = answered(&held, Evidence::moved(usd(6)));
    finish.sealed = Some(b"answer".to_vec());
    let finish = Command::Finish(Box::new(finish));
    let corrupt = Err(Corrupt(key.chain[0]));
    assert_eq!(finish.answer_to_store(&corrupt), None);
}

#[test]
fn only_a_report_of_an_outcome_is_about_a_call_that_is_known() {
    let (mut bench, key) = Bench::with_cap(10);
    let held = bench.hold(&charge(&key, 6, "a"));
    let finish = answered(&held, Evidence::Unknown);
    let found = concluded(&held, absent(1, 0));
    for (command, call) in [
        (Command::Finish(Box::new(finish)), Some(held.call)),
        (Command::Conclude(Box::new(found)), Some(held.call)),
        (begin(100, charge(&key, 1, "b")), None),
        (revoke(key.id), None),
        (Command::Recover, None),
    ] {
        assert_eq!(command.call(), call, "{command:?}");
    }
}
