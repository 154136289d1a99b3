//! What becomes of a request on its way, at random.

use rand::Rng;

use crate::vendor::{Fate, Sent};

/// The longest that a slow request takes, in microseconds.
const SLOWEST: i64 = 40_000_000;

/// A fate for this request.
pub(crate) fn random(rng: &mut impl Rng, sent: &Sent, overruns: bool) -> Fate {
    let bill = bill(rng, sent, overruns);
    match rng.random_range(0..100) {
        0..8 => Fate::Unreachable,
        8..18 => Fate::Rejected,
        18..30 => Fate::RequestLost,
        30..36 if sent.is_read => Fate::RequestLost,
        30..36 => Fate::Declined,
        36..50 => Fate::AnswerLost(bill),
        50..56 => Fate::FailedAfter(bill),
        56..60 => Fate::FailedBefore,
        60..66 => Fate::Slow(bill, rng.random_range(1..SLOWEST)),
        _ => Fate::Billed(bill),
    }
}

fn bill(rng: &mut impl Rng, sent: &Sent, overruns: bool) -> u64 {
    match rng.random_range(0..10) {
        _ if sent.hold == 0 => 0,
        0..2 => rng.random_range(1..=sent.hold),
        2 if overruns => sent.hold + rng.random_range(1..=40),
        _ => sent.hold,
    }
}

/// The fate's name, for the table.
pub(crate) const fn name(fate: Fate) -> &'static str {
    match fate {
        Fate::Unreachable => "unreachable",
        Fate::Rejected => "rejected",
        Fate::RequestLost => "request lost",
        Fate::Billed(_) => "billed",
        Fate::Declined => "declined",
        Fate::AnswerLost(_) => "answer lost",
        Fate::FailedAfter(_) => "500 after billing",
        Fate::FailedBefore => "500 before processing",
        Fate::Slow(..) => "slow",
    }
}
