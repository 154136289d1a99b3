//! Calls that wait for money that others hold.
//!
//! Whoever ends a hold wakes one waiter of each budget; a waiter that got its answer wakes the
//! next. So a thousand waiters cost a thousand wakes, not a thousand for each hold that ends.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use keybrake_core::ids::BudgetId;
use tokio::sync::Notify;

/// The budgets that calls wait for.
#[derive(Clone, Debug, Default)]
pub struct Waiters {
    budgets: Arc<Mutex<HashMap<BudgetId, Arc<Notify>>>>,
}

/// A place in the queue for a budget.
#[derive(Debug)]
pub struct Place {
    budget: BudgetId,
    notify: Arc<Notify>,
    all: Waiters,
}

impl Waiters {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<BudgetId, Arc<Notify>>> {
        self.budgets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place. Money that moves from now on is not missed.
    #[must_use]
    pub fn enter(&self, budget: BudgetId) -> Place {
        let notify = Arc::clone(self.lock().entry(budget).or_default());
        Place { budget, notify, all: self.clone() }
    }

    /// Wakes one waiter of each of these budgets.
    pub fn wake(&self, chain: &[BudgetId]) {
        let budgets = self.lock();
        for notify in chain.iter().filter_map(|budget| budgets.get(budget)) {
            notify.notify_one();
        }
    }
}

impl Place {
    /// Waits for money to move.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut budgets = self.all.lock();
        // The map's and ours: nobody else waits.
        if Arc::strong_count(&self.notify) <= 2 {
            budgets.remove(&self.budget);
        } else {
            self.notify.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_wake_passes_from_waiter_to_waiter() {
        let waiters = Waiters::default();
        let budget = BudgetId::from_number(1);
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let place = waiters.enter(budget);
                tokio::spawn(async move { place.woken().await })
            })
            .collect();
        waiters.wake(&[budget]);
        for waiter in waiting {
            waiter.await.unwrap();
        }
        assert!(waiters.lock().is_empty());
    }

    #[tokio::test]
    async fn money_that_moves_before_the_wait_is_not_missed() {
        let waiters = Waiters::default();
        let place = waiters.enter(BudgetId::from_number(1));
        waiters.wake(&[BudgetId::from_number(2), BudgetId::from_number(1)]);
        place.woken().await;
    }
}
