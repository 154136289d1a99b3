//! How the charges of a run ended, by count.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::failure::Report;

/// Counts and sums. Small whatever the number of charges, since an engine keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Made, by this attempt or an earlier one.
    pub charged: u32,
    /// The sum of those, in the currency's smallest unit.
    pub charged_amount: u64,
    /// Refused since the cap is exhausted.
    pub capped: u32,
    /// Ended for good for another reason.
    pub failed: u32,
    /// Given up while it was not known whether they were made. They count as spent.
    pub unknown: u32,
    /// By code, how many were not charged.
    pub codes: BTreeMap<String, u32>,
}

impl Summary {
    /// Counts one charge: its amount in the currency's smallest unit, and how it failed if it did.
    pub fn add(&mut self, amount: u64, failed: Option<&Report>) {
        let Some(report) = failed else {
            return self.add_charged(amount);
        };
        let prior = report.told.prior.as_ref().map(|prior| prior.state.as_str());
        match (report.error.as_str(), report.told.code.as_str(), prior) {
            // It was made before, and only its answer is not to be had.
            (_, "answer_pruned", _) | (_, _, Some("settled")) => return self.add_charged(amount),
            ("OutcomeUnknown", _, _) | (_, "answer_withheld", _) | (_, _, Some(_)) => {
                self.unknown += 1;
            }
            ("CapExhausted", _, _) => self.capped += 1,
            _ => self.failed += 1,
        }
        *self.codes.entry(report.told.code.clone()).or_default() += 1;
    }

    fn add_charged(&mut self, amount: u64) {
        self.charged += 1;
        self.charged_amount = self.charged_amount.saturating_add(amount);
    }

    /// Adds another summary to this one.
    pub fn merge(&mut self, other: &Self) {
        self.charged += other.charged;
        self.charged_amount = self.charged_amount.saturating_add(other.charged_amount);
        self.capped += other.capped;
        self.failed += other.failed;
        self.unknown += other.unknown;
        for (code, count) in &other.codes {
            *self.codes.entry(code.clone()).or_default() += count;
        }
    }

    /// How many charges are counted.
    #[must_use]
    pub const fn counted(&self) -> u32 {
        self.charged + self.capped + self.failed + self.unknown
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Failure;

    #[test]
    fn every_end_is_counted_once_and_by_its_code() {
        let mut summary = Summary::default();
        summary.add(100, None);
        summary.add(100, Some(&Failure::invalid_input("amount", "is 0").report()));
        let mut twice = summary.clone();
        twice.merge(&summary);
        assert_eq!(
            (twice.charged, twice.charged_amount, twice.failed, twice.counted()),
            (2, 200, 2, 4)
        );
        assert_eq!(twice.codes, BTreeMap::from([("invalid_input".to_owned(), 2)]));
    }

    #[test]
    fn what_was_done_before_its_run_was_stopped_is_charged() {
        let stopped = |state: &str| {
            let prior = json!({"call_id": "call_1", "state": state, "amount_usd": "1.00"});
            let report = json!({
                "error": "KeyRevoked", "terminal": true, "code": "key_revoked", "message": "", "prior": prior,
            });
            serde_json::from_value::<Report>(report).unwrap()
        };
        let mut summary = Summary::default();
        summary.add(100, Some(&stopped("settled")));
        summary.add(100, Some(&stopped("in_doubt")));
        assert_eq!((summary.charged, summary.unknown, summary.failed), (1, 1, 0));
    }
}
