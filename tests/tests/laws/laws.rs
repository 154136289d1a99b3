//! The laws, by their names and numbers in the design.

use crate::{
    claims::Law,
    report::{HISTORIES, report},
};

/// How often each thing must be reached in the default number of histories.
const OFTEN: u64 = 20;

#[test]
fn law_1_never_over() {
    report().upholds(Law::NeverOver);
}

#[test]
fn law_2_hold_first() {
    report().upholds(Law::HoldFirst);
}

#[test]
fn law_3_only_evidence_ends_a_hold() {
    report().upholds(Law::OnlyEvidence);
}

#[test]
fn law_4_once_per_idempotency_key() {
    report().upholds(Law::OncePerKey);
}

#[test]
fn law_6_revoked_means_now() {
    report().upholds(Law::RevokedMeansNow);
}

#[test]
fn law_7_issued_once() {
    report().upholds(Law::IssuedOnce);
}

#[test]
fn every_row_and_reply_is_what_independent_books_say() {
    report().upholds(Law::Books);
}

#[test]
fn all_stores_say_the_same() {
    report().upholds(Law::Agreement);
}

#[test]
fn histories_reach_everything_often() {
    let report = report();
    println!("{} histories reached:\n{}", report.histories, report.coverage);
    let missing = report.coverage.below(OFTEN);
    // One history or a few on demand need not.
    assert!(report.histories < HISTORIES || missing.is_empty(), "reached too seldom: {missing:?}");
}
