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
    /// Counts one charge: its amount, or how it failed.
    pub fn add(&mut self, ended: &Result<u64, Report>) {
        match ended {
            Ok(amount) => {
                self.charged += 1;
                self.charged_amount = self.charged_amount.saturating_add(*amount);
            }
            Err(report) => self.add_failure(report),
        }
    }

    fn add_failure(&mut self, report: &Report) {
        *self.codes.entry(report.told.code.clone()).or_default() += 1;
        match report.error.as_str() {
            "CapExhausted" => self.capped += 1,
            "OutcomeUnknown" => self.unknown += 1,
            _ => self.failed += 1,
        }
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
    use super::*;
    use crate::Failure;

    #[test]
    fn every_end_is_counted_once_and_by_its_code() {
        let mut summary = Summary::default();
        summary.add(&Ok(100));
        summary.add(&Err(Failure::invalid_input("amount", "is 0").report()));
        let mut twice = summary.clone();
        twice.merge(&summary);
        assert_eq!(
            (twice.charged, twice.charged_amount, twice.failed, twice.counted()),
            (2, 200, 2, 4)
        );
        assert_eq!(twice.codes, BTreeMap::from([("invalid_input".to_owned(), 2)]));
    }
}
