//! All histories, run once for all tests.

use std::{
    fmt::Write,
    panic::{self, AssertUnwindSafe},
    sync::OnceLock,
    thread,
};

use crate::{
    claims::{Breaches, Law, claim},
    coverage::Coverage,
    stores::Pair,
    subject::Subject,
    world::World,
};

/// Histories in an ordinary run of the tests.
pub(crate) const HISTORIES: u64 = 2_000;
/// Failures that are shown with their steps.
const SHOWN: usize = 3;

/// A history that broke a law.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) breaches: Breaches,
    /// What was done up to there.
    pub(crate) steps: Vec<String>,
}

/// What came of all histories.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) histories: u64,
    pub(crate) coverage: Coverage,
    pub(crate) failures: Vec<Failure>,
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

/// The report on this run's histories, made by whichever test asks first.
pub(crate) fn report() -> &'static Report {
    static REPORT: OnceLock<Report> = OnceLock::new();
    REPORT.get_or_init(|| match number("KEYBRAKE_SEED") {
        Some(seed) => one(seed),
        None => all(number("KEYBRAKE_HISTORIES").unwrap_or(HISTORIES)),
    })
}

fn one(seed: u64) -> Report {
    let steps = replay(Pair::default(), seed);
    println!("history {seed}:\n{}", steps.join("\n"));
    let mut report = Report::default();
    report.run_on(Pair::default, seed);
    report
}

fn all(histories: u64) -> Report {
    let threads = thread::available_parallelism().map_or(1, |n| n.get().min(8));
    let threads = u64::try_from(threads).unwrap();
    let share = |first: u64| {
        let mut report = Report::default();
        let step = usize::try_from(threads).unwrap();
        (first..histories).step_by(step).for_each(|seed| report.run(seed));
        report
    };
    let mut whole = Report::default();
    thread::scope(|scope| {
        let shares: Vec<_> = (0..threads).map(|first| scope.spawn(move || share(first))).collect();
        for part in shares {
            whole.merge(part.join().unwrap());
        }
    });
    whole
}

fn replay(subject: impl Subject, seed: u64) -> Vec<String> {
    let mut world = World::new(subject, seed, true);
    // A history that panics still has the steps up to there.
    let _ran = panic::catch_unwind(AssertUnwindSafe(|| world.run()));
    world.log.unwrap_or_default()
}

impl Report {
    fn run(&mut self, seed: u64) {
        self.run_on(Pair::default, seed);
        self.coverage.count("stores: histories on SQLite and in memory");
    }

    fn run_on<S: Subject>(&mut self, subject: impl Fn() -> S, seed: u64) {
        let mut world = World::new(subject(), seed, false);
        let ran = panic::catch_unwind(AssertUnwindSafe(|| world.run()));
        claim(&mut world.breaches, Law::Books, ran.is_ok(), || {
            "the history panicked, see above".to_owned()
        });
        self.histories += 1;
        self.coverage.merge(world.coverage);
        if !world.breaches.is_empty() {
            let shown = self.failures.len() < SHOWN;
            self.failures.push(Failure {
                seed,
                breaches: world.breaches,
                steps: if shown { replay(subject(), seed) } else { Vec::new() },
            });
        }
    }

    fn merge(&mut self, other: Self) {
        self.histories += other.histories;
        self.coverage.merge(other.coverage);
        self.failures.extend(other.failures);
    }

    /// Every history kept this law, or the test that asks fails and says how not.
    pub(crate) fn upholds(&self, law: Law) {
        assert!(self.histories > 0, "no history was run");
        let mut broke = self
            .failures
            .iter()
            .filter(|failure| failure.breaches.iter().any(|breach| breach.law == law))
            .peekable();
        if broke.peek().is_none() {
            return;
        }
        let mut text = String::new();
        for failure in broke {
            writeln!(text, "\nKEYBRAKE_SEED={}", failure.seed).unwrap();
            for step in &failure.steps {
                writeln!(text, "  {step}").unwrap();
            }
            for breach in &failure.breaches {
                writeln!(text, "  BROKEN {breach}").unwrap();
            }
        }
        let shown: String = text.chars().take(40_000).collect();
        panic!("{law:?} does not hold: {shown}");
    }
}
