//! Revoking runs stops all their keys and all that they would issue, until they are lifted.

use super::bench::{Bench, HOUR, at, capped, charge, label, of_run};
use crate::{
    access::Actor,
    ledger::{
        Issue,
        rows::{Deed, IssueBinding, Record},
    },
    policy::Runs,
    refusal::Refusal,
};

fn labelled(text: &str) -> Runs {
    Runs::Labelled(label(text))
}

fn prefixed(text: &str) -> Runs {
    Runs::Prefixed(text.to_owned())
}

#[test]
fn all_keys_of_a_run_and_below_are_stopped_and_no_other() {
    let mut bench = Bench::default();
    let (one, two) = (bench.issue(of_run("run/1")), bench.issue(of_run("run/1")));
    let child = bench.child(&one, of_run("elsewhere"));
    let successor = bench.refresh(two.id, None).key.into();
    let other = bench.issue(of_run("run/10"));
    bench.now = HOUR;
    let revoked = bench.revoke_runs(&labelled("run/1"));
    let budgets = [bench.budget(&one).clone(), bench.budget(&two).clone()];
    assert_eq!((revoked.at, revoked.budgets.as_slice()), (at(HOUR), &budgets[..]));
    let stopped = Refusal::KeyRevoked { at: at(HOUR), prior: None };
    for key in [&one, &two, &child, &successor] {
        assert_eq!(bench.refused(&charge(key, 1, "a")), stopped);
    }
    assert_eq!(bench.budget(&child).revoked_at, None);
    bench.hold(&charge(&other, 1, "b"));
}

#[test]
fn a_prefix_stops_every_run_that_begins_so() {
    let mut bench = Bench::default();
    let keys = ["run/1", "run/2", "ran/1"].map(|text| bench.issue(of_run(text)));
    assert_eq!(bench.revoke_runs(&prefixed("run/")).budgets.len(), 2);
    let stopped = keys.each_ref().map(|key| bench.budget(key).revoked_at.is_some());
    assert_eq!(stopped, [true, true, false]);
    assert_eq!(bench.try_issue(of_run("run/3")), Err(Refusal::RunRevoked { at: at(0) }));
    bench.issue(of_run("ran/3"));
}

#[test]
fn a_revoked_run_lists_the_open_calls_of_all_its_keys() {
    let mut bench = Bench::default();
    let (one, two) = (bench.issue(of_run("run/1")), bench.issue(of_run("run/1")));
    let other = bench.issue(of_run("run/2"));
    let held = [&one, &two, &other].map(|key| bench.hold(&charge(key, 1, &key.id.to_string())));
    let doubt = bench.doubt(&charge(&two, 2, "doubt"));
    let revoked = bench.revoke_runs(&labelled("run/1"));
    assert_eq!(revoked.in_flight, [held[0].call, held[1].call]);
    assert_eq!(revoked.in_doubt, [doubt.call]);
}

#[test]
fn a_revoked_run_issues_nothing_until_it_is_lifted_and_what_was_revoked_stays_so() {
    let mut bench = Bench::default();
    let key = bench.issue(of_run("run/1"));
    bench.now = HOUR;
    bench.revoke_runs(&labelled("run/1"));
    bench.now = 2 * HOUR;
    let refused = Err(Refusal::RunRevoked { at: at(HOUR) });
    assert_eq!(bench.try_issue(of_run("run/1")), refused);
    assert!(!bench.lift(&labelled("run/2")) && !bench.lift(&prefixed("run/1")));
    assert_eq!(bench.try_issue(of_run("run/1")), refused);
    assert!(bench.lift(&labelled("run/1")));
    assert!(!bench.lift(&labelled("run/1")));
    let fresh = bench.issue(of_run("run/1"));
    bench.hold(&charge(&fresh, 1, "a"));
    let stopped = Refusal::KeyRevoked { at: at(HOUR), prior: None };
    assert_eq!(bench.refused(&charge(&key, 1, "b")), stopped);
}

#[test]
fn a_run_that_two_revocations_name_issues_nothing_until_both_are_lifted() {
    let mut bench = Bench::default();
    bench.now = 2 * HOUR;
    bench.revoke_runs(&prefixed("run/"));
    bench.now = HOUR; // the ledger's time does not run back
    bench.revoke_runs(&labelled("run/1"));
    let refused = Err(Refusal::RunRevoked { at: at(2 * HOUR) });
    assert_eq!(bench.try_issue(of_run("run/1")), refused);
    bench.now = 3 * HOUR;
    assert!(bench.lift(&prefixed("run/")));
    assert_eq!(bench.try_issue(of_run("run/1")), refused);
    bench.issue(of_run("run/2"));
    assert!(bench.lift(&labelled("run/1")));
    bench.issue(of_run("run/1"));
}

#[test]
fn a_second_revocation_of_runs_stops_what_came_between_and_keeps_its_time() {
    let mut bench = Bench::default();
    let run = labelled("run/1");
    bench.now = HOUR;
    let first = bench.revoke_runs(&run);
    assert_eq!((first.at, first.budgets.len()), (at(HOUR), 0));
    bench.now = 2 * HOUR;
    assert_eq!(bench.revoke_runs(&run), first);
    bench.lift(&run);
    let key = bench.issue(of_run("run/1"));
    bench.now = 3 * HOUR;
    let second = bench.revoke_runs(&run);
    assert_eq!((second.at, second.budgets), (at(3 * HOUR), vec![bench.budget(&key).clone()]));
    assert_eq!(bench.budget(&key).revoked_at, Some(at(3 * HOUR)));
}

#[test]
fn what_a_revoked_run_was_issued_before_is_found_again_by_its_idempotency_key() {
    let mut bench = Bench::default();
    let once = IssueBinding { issuer: "ak_1".to_owned(), key: "issue".to_owned() };
    let order = Issue { once: Some(once), ..of_run("run/1") };
    let key = bench.issue(order.clone());
    bench.revoke_runs(&labelled("run/1"));
    let again = bench.try_issue(order).unwrap();
    assert_eq!((again.key.id, again.replayed), (key.id, true));
    assert!(again.budget.revoked_at.is_some());
}

#[test]
fn a_child_of_another_run_is_issued_under_a_living_parent_only() {
    let mut bench = Bench::default();
    let parent = bench.issue(of_run("run/1"));
    bench.revoke_runs(&labelled("run/1"));
    let child = Issue { parent: Some(parent.id), ..of_run("elsewhere") };
    assert_eq!(bench.try_issue(child), Err(Refusal::KeyRevoked { at: at(0), prior: None }));
}

#[test]
fn what_changes_runs_and_keys_is_recorded_once() {
    let mut bench = Bench::default();
    let key = bench.issue(capped(10));
    bench.now = HOUR;
    let successor = bench.refresh(key.id, None).key;
    bench.refresh(key.id, None);
    for _ in 0..2 {
        bench.revoke_runs(&labelled("a/1"));
        bench.revoke_runs(&prefixed("a/"));
        bench.revoke(&key);
    }
    assert_eq!(bench.lift(&prefixed("a/")), !bench.lift(&prefixed("b/")));
    let expected = [
        ("key_issued", key.id.to_string()),
        ("key_refreshed", key.id.to_string()),
        ("runs_revoked", "a/1".to_owned()),
        ("runs_revoked", "a/*".to_owned()),
        ("key_revoked", key.id.to_string()),
        ("runs_lifted", "a/*".to_owned()),
    ];
    assert_eq!(bench.deeds(), expected);
    assert_eq!(
        bench.ledger.records()[1],
        Record {
            at: at(HOUR),
            who: Actor::admin(),
            deed: Deed::Refreshed,
            target: key.id.to_string()
        }
    );
    assert_ne!(successor.id, key.id);
}
