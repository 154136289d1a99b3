//! What is measured, for Prometheus.
//!
//! No label holds what a caller can choose: vendors, states, codes and listeners are few, so the
//! number of series is bounded. Counters begin anew with the process; amounts are the ledger's own.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use keybrake_core::{
    budget::Budget,
    ledger::rows::{Call, Rows, Verdict},
    refusal::Refusal,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry, Unit},
};

use crate::api::Side;

/// Upper bounds of a commit's time, in seconds.
const COMMIT_SECONDS: [f64; 12] =
    [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];
/// Upper bounds of a vendor's time, in seconds.
const VENDOR_SECONDS: [f64; 11] = [0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
/// Upper bounds of a batch, in commands.
const BATCH_SIZES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    vendor: String,
    verdict: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VendorLabels {
    vendor: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: &'static str,
}

/// Amounts summed over the budgets without a parent, in which all others' are contained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Money {
    /// Settled or in doubt, in micro-dollars.
    pub spent: u64,
    /// The part of it in doubt.
    pub in_doubt: u64,
    /// Set aside for calls in flight.
    pub held: u64,
}

impl Money {
    /// What stands in these rows.
    #[must_use]
    pub fn of(rows: &Rows) -> Self {
        let roots = rows.budgets.values().filter(|budget| budget.parent.is_none());
        roots.fold(Self::default(), Self::with)
    }

    /// With one more budget. Stops at the largest number there is.
    #[must_use]
    pub fn with(self, budget: &Budget) -> Self {
        Self {
            spent: self.spent.saturating_add(budget.total_spent.as_micros()),
            in_doubt: self.in_doubt.saturating_add(budget.in_doubt.as_micros()),
            held: self.held.saturating_add(budget.held.as_micros()),
        }
    }
}

/// The calls in doubt at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// How many there are.
    pub calls: i64,
    /// How long ago the oldest was begun.
    pub oldest: Duration,
}

/// An amount that its one writer changes and a scrape reads, in micro-dollars.
#[derive(Debug, Default)]
struct Amount {
    micros: AtomicU64,
    shown: Gauge<f64, AtomicU64>,
}

impl Amount {
    fn move_on(&self, before: u64, after: u64) {
        let micros = self.micros.load(Ordering::Relaxed);
        self.micros.store(micros.saturating_add(after).saturating_sub(before), Ordering::Relaxed);
    }

    fn show(&self) {
        let micros = self.micros.load(Ordering::Relaxed);
        let dollars = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        // Digits and a point are always a number.
        self.shown.set(dollars.parse().unwrap_or(f64::NAN));
    }
}

/// All that is measured.
pub struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    refusals: Family<RefusalLabels, Counter>,
    strangers: Counter,
    token_lookups: Counter,
    begins: Histogram,
    vendors: Family<VendorLabels, Histogram, fn() -> Histogram>,
    batches: Histogram,
    connections: Family<ListenerLabels, Gauge>,
    spent: Amount,
    in_doubt: Amount,
    held: Amount,
    calls_in_doubt: Gauge,
    oldest_doubt: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("keybrake"),
            calls: Family::default(),
            refusals: Family::default(),
            strangers: Counter::default(),
            token_lookups: Counter::default(),
            begins: Histogram::new(COMMIT_SECONDS),
            vendors: Family::new_with_constructor(|| Histogram::new(VENDOR_SECONDS)),
            batches: Histogram::new(BATCH_SIZES),
            connections: Family::default(),
            spent: Amount::default(),
            in_doubt: Amount::default(),
            held: Amount::default(),
            calls_in_doubt: Gauge::default(),
            oldest_doubt: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let usd = || Some(Unit::Other("usd".to_owned()));
        let seconds = || Some(Unit::Seconds);
        self.add(
            "calls",
            "Calls that came to this state, by the ledger's word; a call in doubt comes to another later",
            None,
            self.calls.clone(),
        );
        self.add("refusals", "Requests that were refused, by code", None, self.refusals.clone());
        self.add("strangers", "Requests without a valid credential", None, self.strangers.clone());
        let help =
            "Tokens of vault keys that were looked up in the ledger, since none was remembered";
        self.add("token_lookups", help, None, self.token_lookups.clone());
        let help = "What is spent, settled or in doubt, of all budgets without a parent";
        self.add("spent", help, usd(), self.spent.shown.clone());
        let help = "The part of what is spent that is in doubt";
        self.add("in_doubt", help, usd(), self.in_doubt.shown.clone());
        let help = "What is set aside for calls in flight";
        self.add("held", help, usd(), self.held.shown.clone());
        self.add("calls_in_doubt", "Calls in doubt", None, self.calls_in_doubt.clone());
        let help = "How long ago the oldest call in doubt was first begun; 0 where none is";
        self.add("oldest_doubt", help, seconds(), self.oldest_doubt.clone());
        let help = "How long the ledger took to decide on a call and commit the decision";
        self.add("begin", help, seconds(), self.begins.clone());
        let help = "How long a vendor took to answer a call, or until it was given up";
        self.add("vendor", help, seconds(), self.vendors.clone());
        let help = "How many commands shared a commit";
        self.add("batch_commands", help, None, self.batches.clone());
        self.add("open_connections", "Open connections", None, self.connections.clone());
    }

    fn add(&mut self, name: &str, help: &str, unit: Option<Unit>, metric: impl Metric) {
        match unit {
            Some(unit) => self.registry.register_with_unit(name, help, unit, metric),
            None => self.registry.register(name, help, metric),
        }
    }

    /// A request was refused with this code.
    pub fn refused(&self, code: &'static str) {
        self.refusals.get_or_create(&RefusalLabels { code }).inc();
        if [Refusal::InvalidKey.code(), Refusal::TooManyFailures.code()].contains(&code) {
            self.strangers.inc();
        }
    }

    /// A token is looked up in the ledger.
    pub fn token_looked_up(&self) {
        self.token_lookups.inc();
    }

    /// The ledger took so long for a begin.
    pub fn begun(&self, took: Duration) {
        self.begins.observe(took.as_secs_f64());
    }

    /// A vendor took so long for a call.
    pub fn answered(&self, vendor: &str, took: Duration) {
        let labels = VendorLabels { vendor: vendor.to_owned() };
        self.vendors.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A batch was committed. Amounts have one writer: the ledger's thread.
    pub fn committed(&self, commands: usize, before: Money, after: Money) {
        self.batches.observe(u32::try_from(commands).unwrap_or(u32::MAX).into());
        self.move_money(before, after);
    }

    /// The amounts went from these to those.
    pub fn move_money(&self, before: Money, after: Money) {
        self.spent.move_on(before.spent, after.spent);
        self.in_doubt.move_on(before.in_doubt, after.in_doubt);
        self.held.move_on(before.held, after.held);
    }

    /// A call came to a state.
    pub fn call(&self, call: &Call) {
        let (verdict, state) = match &call.verdict {
            Verdict::Allowed(life) => ("allowed", life.state.name()),
            Verdict::Denied { .. } => ("denied", ""),
            Verdict::Replayed { .. } => ("replayed", ""),
        };
        let vendor = call.request.vendor.clone();
        self.calls.get_or_create(&CallLabels { vendor, verdict, state }).inc();
    }

    /// Counts a connection for as long as what this gives lives.
    #[must_use]
    pub fn connection(&self, side: Side) -> OpenConnection {
        let listener = match side {
            Side::Both | Side::Callers => "callers",
            Side::Admin => "admin",
        };
        let gauge = self.connections.get_or_create_owned(&ListenerLabels { listener });
        gauge.inc();
        OpenConnection(gauge)
    }

    /// All of it in the text format of OpenMetrics 1.0, which Prometheus reads.
    pub fn text(&self, doubts: Doubts) -> Result<String, fmt::Error> {
        for amount in [&self.spent, &self.in_doubt, &self.held] {
            amount.show();
        }
        self.calls_in_doubt.set(doubts.calls);
        self.oldest_doubt.set(doubts.oldest.as_secs_f64());
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics")
    }
}

/// An open connection that is counted.
#[derive(Debug)]
pub struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
