//! Changing budgets: all that one decision touches, or none of them.

use crate::{
    budget::{Budget, Corrupt},
    ids::BudgetId,
    ledger::rows::Rows,
};

/// Budgets as they are to become, in the order in which they were first changed.
#[derive(Default)]
pub(super) struct Changed(Vec<Budget>);

impl Changed {
    /// Changes all these budgets.
    pub(super) fn along(
        &mut self,
        rows: &Rows,
        chain: &[BudgetId],
        change: impl Fn(&mut Budget) -> Result<(), Corrupt>,
    ) -> Result<(), Corrupt> {
        for id in chain {
            if let Some(budget) = self.0.iter_mut().find(|budget| budget.id == *id) {
                change(budget)?;
                continue;
            }
            let mut budget = rows.budgets.get(id).cloned().ok_or(Corrupt(*id))?;
            change(&mut budget)?;
            self.0.push(budget);
        }
        Ok(())
    }

    /// Makes them so. Returns which they were.
    pub(super) fn commit(self, rows: &mut Rows) -> Vec<BudgetId> {
        let ids: Vec<BudgetId> = self.0.iter().map(|budget| budget.id).collect();
        rows.changes.budgets.extend(&ids);
        rows.budgets.extend(self.0.into_iter().map(|budget| (budget.id, budget)));
        ids
    }
}

/// Changes all these budgets, or none of them.
pub(super) fn change_all(
    rows: &mut Rows,
    chain: &[BudgetId],
    change: impl Fn(&mut Budget) -> Result<(), Corrupt>,
) -> Result<(), Corrupt> {
    let mut changed = Changed::default();
    changed.along(rows, chain, change)?;
    changed.commit(rows);
    Ok(())
}
