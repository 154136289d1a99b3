//! A history: random steps in a world, and its end, where every doubt is looked up.

use std::sync::Arc;

use keybrake_core::{
    ledger::{
        Begin, Command, Contention, Peek,
        rows::{Binding, VaultKey},
    },
    refusal::Refusal,
};
use rand::{Rng, seq::IndexedRandom};

use crate::{
    audit,
    books::Stands,
    claims::{Breach, Law},
    make::{
        ABSENT_AFTER, Ask, DAY, HOUR, MINUTE, Order, finish, not_permitted, not_priced, refresh,
        revoke,
    },
    subject::Subject,
    vendor::{DEDUPLICATES, FORGETFUL},
    world::{Ending, Flight, World},
};

/// Steps of one history.
const STEPS: usize = 80;
/// Differences from the books before a history is given up.
const PATIENCE: usize = 20;

/// A batch, and what its callers do if it is lost.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) commands: Vec<Command>,
    begins: Vec<(Ask, Arc<VaultKey>)>,
    reports: Vec<Flight>,
}

impl<S: Subject> World<S> {
    /// Runs a history up to the first breach of a law.
    pub(crate) fn run(&mut self) {
        let mut first = Plan::default();
        for _ in 0..3 {
            self.plan_issue(&mut first);
        }
        self.batch(&first.commands, first.begins, Ending::Commit);
        for _ in 0..STEPS {
            self.step();
            if self.is_broken() {
                return;
            }
        }
        self.close();
    }

    /// A law is broken. A difference from the books alone goes on for a while: which law it breaks
    /// shows later.
    fn is_broken(&self) -> bool {
        let of_law = |breach: &Breach| breach.law != Law::Books;
        self.breaches.len() > PATIENCE || self.breaches.iter().any(of_law)
    }

    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..58 => self.plan_batch(),
            58..84 => self.deliver_some(),
            84..98 => self.let_time_pass(),
            _ => self.restart(),
        }
    }

    fn plan_batch(&mut self) {
        let waited = self.rng.random_range(0..200_000);
        self.pass(waited);
        let mut plan = Plan::default();
        let size = *[1, 1, 2, 2, 3, 3, 5, 8, 20].choose(&mut self.rng).unwrap();
        while plan.commands.len() < size {
            self.plan_one(&mut plan);
        }
        let ending = match self.rng.random_range(0..100) {
            0..4 => Ending::Lost,
            4..6 => Ending::CrashBeforeCommit,
            6..8 => Ending::CrashAfterCommit,
            _ => Ending::Commit,
        };
        if ending == Ending::Lost {
            self.flights.extend(plan.reports);
        }
        self.batch(&plan.commands, plan.begins, ending);
    }

    fn plan_one(&mut self, plan: &mut Plan) {
        match self.rng.random_range(0..100) {
            0..5 => self.plan_issue(plan),
            5..10 => self.plan_refresh(plan),
            10..12 => self.plan_revoke(plan),
            12 => self.plan_runs_or_api_keys(plan),
            13..60 => self.plan_begin(plan),
            60..86 => self.plan_finish(plan),
            86..88 => self.plan_stale_finish(plan),
            88..95 => self.plan_look_up(plan),
            95..97 => self.plan_operator(plan),
            _ => self.plan_peek(plan),
        }
    }

    pub(crate) fn any_key(&mut self) -> Option<Arc<VaultKey>> {
        self.keys.choose(&mut self.rng).cloned()
    }

    fn plan_issue(&mut self, plan: &mut Plan) {
        let again = self.rng.random_bool(0.3);
        let order = match self.orders.choose(&mut self.rng).cloned() {
            Some(order) if again => self.perhaps_another(order),
            _ => self.new_order(),
        };
        let (key, budget) = (self.fresh_key(), self.fresh_budget());
        plan.commands.push(order.issue(key, budget));
    }

    fn perhaps_another(&mut self, mut order: Order) -> Order {
        if self.rng.random_bool(0.3) {
            order.total = Some(order.total.unwrap_or(0) + 1);
        }
        order
    }

    fn new_order(&mut self) -> Order {
        let caps = self.rng.random_range(0..3);
        let mut cap = |wanted: bool, most| wanted.then(|| self.rng.random_range(40..most));
        let (daily, total) = (cap(caps != 0, 100), cap(caps != 1, 300));
        let parent = self.any_key().filter(|key| key.chain.len() < 3);
        let nested = self.rng.random_bool(0.5);
        let number = self.orders.len();
        let order = Order {
            once: self.rng.random_bool(0.7).then(|| format!("issue-{number}")),
            daily,
            total,
            per_call: self.rng.random_bool(0.2).then(|| self.rng.random_range(20..60)),
            parent: parent.filter(|_| nested).map(|key| key.id),
            lives: *[HOUR, 30 * HOUR, 7 * DAY, 30 * DAY].choose(&mut self.rng).unwrap(),
            max_calls: self.some_max_calls(nested),
            label: self.some_label(),
        };
        self.orders.push(order.clone());
        order
    }

    fn plan_refresh(&mut self, plan: &mut Plan) {
        let Some(key) = self.any_key() else { return };
        let lives = self.rng.random_bool(0.3).then_some(2 * HOUR);
        let successor = self.fresh_key();
        plan.commands.push(refresh(key.id, successor, lives));
    }

    fn plan_revoke(&mut self, plan: &mut Plan) {
        // The first keys are the roots: stopped less often, or nothing would be left to do.
        let Some(key) = self.any_key() else { return };
        if key.chain.len() > 1 || self.rng.random_bool(0.3) {
            plan.commands.push(revoke(key.id));
        }
    }

    fn plan_begin(&mut self, plan: &mut Plan) {
        let Some(any) = self.any_key() else { return };
        let retry = !self.retries.is_empty() && self.rng.random_bool(0.6);
        let (ask, key) = if retry { self.retries.remove(0) } else { (self.any_ask(), any) };
        self.asks.push(ask.clone());
        let twin = self.rng.random_bool(0.15);
        self.push_begin(plan, ask.clone(), &key);
        if let Some(other) = self.any_key().filter(|_| twin) {
            let key = if self.rng.random_bool(0.5) { key } else { other };
            self.push_begin(plan, ask, &key);
        }
    }

    fn any_ask(&mut self) -> Ask {
        let doubted = self.any_call(|stands| stands == Stands::InDoubt);
        if let Some(call) = doubted.filter(|_| self.rng.random_bool(0.15)) {
            let key = self.books.entries[&call].key.clone();
            let asked = self.asks.iter().rev().find(|ask| ask.idempotency == key);
            if let Some(ask) = asked {
                return ask.clone();
            }
        }
        let recent = self.asks.len().saturating_sub(12);
        let old = self.asks[recent..].choose(&mut self.rng).cloned();
        match (old, self.rng.random_range(0..10)) {
            (Some(old), 0..5) => old,
            (Some(old), 5) => Ask { amount: old.amount + 1, ..old },
            _ => self.new_ask(),
        }
    }

    fn new_ask(&mut self) -> Ask {
        let named = self.rng.random_bool(0.8);
        let number = self.asks.len();
        let forgetful = self.rng.random_bool(0.15);
        Ask {
            vendor: if forgetful { FORGETFUL } else { DEDUPLICATES },
            // Some writes move nothing, such as a cancellation.
            amount: self.rng.random_range(0..=62_u64).saturating_sub(2),
            is_read: self.rng.random_bool(0.06),
            idempotency: named.then(|| format!("k{number}")),
        }
    }

    fn push_begin(&mut self, plan: &mut Plan, ask: Ask, key: &Arc<VaultKey>) {
        let call = self.fresh_call();
        let begin = ask.begin(call, key);
        let begin = self.with_refusals(begin);
        plan.commands.push(Command::Begin(Box::new(begin)));
        plan.begins.push((ask, Arc::clone(key)));
    }

    fn with_refusals(&mut self, mut begin: Begin) -> Begin {
        match self.rng.random_range(0..100) {
            0..3 => begin.permit = Err(not_permitted()),
            3..6 => begin.quote = Err(not_priced()),
            // A call that was made before is not priced again.
            6..10 => begin.quote = Err(Refusal::LedgerUnavailable),
            10..40 => begin.contention = Contention::Wait,
            _ => {}
        }
        begin
    }

    fn plan_finish(&mut self, plan: &mut Plan) {
        let answered = self.flights.iter().position(|flight| flight.answer.is_some());
        let Some(index) = answered else { return };
        let flight = self.flights.swap_remove(index);
        let Some((event, sent_at)) = flight.answer else {
            return;
        };
        plan.commands.push(finish(flight.sent.call, flight.attempt, event, sent_at));
        if self.rng.random_bool(0.05) {
            self.flights.push(flight); // and it will be reported again
        } else {
            plan.reports.push(flight);
        }
    }

    fn plan_peek(&mut self, plan: &mut Plan) {
        let Some(key) = self.any_key() else { return };
        let ask = self.any_ask();
        let binding = ask.idempotency.map(|key| Binding { vendor: ask.vendor.to_owned(), key });
        plan.commands.push(Command::Peek(Box::new(Peek { key, binding })));
    }

    fn deliver_some(&mut self) {
        for index in 0..self.flights.len() {
            if self.flights[index].answer.is_none() && self.rng.random_bool(0.8) {
                self.deliver(index);
            }
        }
        self.check();
    }

    fn let_time_pass(&mut self) {
        match self.rng.random_range(0..100) {
            0..50 => {
                let micros = self.rng.random_range(0..6 * MINUTE);
                self.pass(micros);
            }
            50..70 => {
                let micros = self.rng.random_range(0..9 * HOUR);
                self.pass(micros);
            }
            70..84 => self.roll_a_window_over(),
            84..90 => {
                let micros = self.rng.random_range(20 * HOUR..50 * HOUR);
                self.pass(micros);
            }
            // Less than the hour between the last re-send and the vendor's forgetting.
            _ => self.skew = self.rng.random_range(-HOUR / 2..HOUR / 2).max(0),
        }
        let skew = self.skew;
        self.say(|| format!("time, the clock {} s behind", skew / 1_000_000));
        self.check();
    }

    /// To the first minutes of some budget's next window.
    fn roll_a_window_over(&mut self) {
        let accounts: Vec<_> = self.books.accounts.values().collect();
        let Some(account) = accounts.choose(&mut self.rng) else {
            return;
        };
        let next = account.anchor + (account.window(self.time) + 1) * DAY;
        let micros = next - self.time + self.rng.random_range(0..10 * MINUTE);
        self.pass(micros);
    }

    /// All is reported, and everything in doubt is looked up when that is evidence.
    fn close(&mut self) {
        self.pass(MINUTE);
        for index in 0..self.flights.len() {
            if self.flights[index].answer.is_none() {
                self.deliver(index);
            }
        }
        let flights = std::mem::take(&mut self.flights);
        let report = |flight: Flight| {
            let (event, sent_at) = flight.answer?;
            Some(finish(flight.sent.call, flight.attempt, event, sent_at))
        };
        let reports: Vec<_> = flights.into_iter().filter_map(report).collect();
        self.batch(&reports, Vec::new(), Ending::Commit);
        self.skew = 0;
        self.pass(ABSENT_AFTER + MINUTE);
        let in_doubt: Vec<_> = (self.books.entries.iter())
            .filter(|(_, entry)| entry.stands == Stands::InDoubt)
            .map(|(id, _)| self.look_up(*id, false))
            .collect();
        self.batch(&in_doubt, Vec::new(), Ending::Commit);
        self.check_records();
        audit::reconcile(&self.rows, &self.vendor, &self.misreported, &mut self.breaches);
    }
}
