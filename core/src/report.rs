//! What runs cost by their audit rows, and which of them stand out.
//!
//! A store adds the rows up; what is unusual about a sum is decided here.

use std::{cmp::Reverse, collections::BTreeMap, fmt};

use crate::{money::MicroUsd, time::Timestamp};

/// The refusal of a call for which a cap, in dollars or calls, has no room.
pub const CAPPED: &str = "cap_exhausted";

/// The refusals of calls that a run's policy does not allow, or that have no price to hold.
pub const FORBIDDEN: [&str; 5] = [
    "currency_not_priced",
    "endpoint_not_allowed",
    "parameter_not_allowed",
    "per_call_cap_exceeded",
    "unpriced_endpoint",
];

/// A run stands out that spent more than so many times what is usual.
const UNUSUAL: u64 = 3;
/// From so many runs on it is known what is usual.
const ENOUGH_RUNS: usize = 5;
/// A run stands out that asked so often for what it had done already, and more often than it did
/// anything.
const MANY_REPLAYS: u64 = 10;

/// The agent that a context such as `agent=billing,step=charge` names.
#[must_use]
pub fn agent(context: &str) -> Option<&str> {
    let mut pairs = context.split(',').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == "agent").map(|(_, value)| value.trim())
}

/// What some calls came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Calls that were allowed, reads included.
    pub allowed: u64,
    /// Times that a stored answer was given.
    pub replayed: u64,
    /// Refusals of all kinds.
    pub denied: u64,
    /// Of these, those with [`CAPPED`].
    pub capped: u64,
    /// Of these, those with one of [`FORBIDDEN`].
    pub forbidden: u64,
    /// Calls that are in doubt.
    pub in_doubt_calls: u64,
    /// Settled or in doubt.
    pub spent: MicroUsd,
    /// The part of `spent` that is in doubt.
    pub in_doubt: MicroUsd,
    /// Set aside for calls that are on their way.
    pub held: MicroUsd,
    /// When the first of them was begun, refused ones included.
    pub first_at: Timestamp,
    /// When the last of them was begun.
    pub last_at: Timestamp,
}

/// Which agents a run's calls name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agents {
    /// None of them names one.
    None,
    /// Those that name one name this one.
    One(String),
    /// They name different ones.
    Several,
}

/// What a run came to: the calls of its own keys. What others spent under its budget is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFigures {
    /// The run's label.
    pub label: String,
    /// Whose calls they are.
    pub agents: Agents,
    /// Its calls.
    pub figures: Figures,
}

/// Why a run stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It spent more than three times what the median run of its agent spent.
    CostAboveUsual {
        /// What it spent.
        spent: MicroUsd,
        /// What the median run of its agent spent.
        usual: MicroUsd,
    },
    /// It asked for more than its cap.
    CapHit {
        /// How often.
        calls: u64,
    },
    /// It asked for what its policy does not allow, or what has no price to hold.
    Forbidden {
        /// How often.
        calls: u64,
    },
    /// It asked at least ten times for what it had done, and more often than it did anything.
    ManyReplays {
        /// How often.
        replayed: u64,
        /// How many calls it made.
        allowed: u64,
    },
    /// Of some calls it is not known whether they happened.
    InDoubt {
        /// How many.
        calls: u64,
        /// What they count for.
        amount: MicroUsd,
    },
}

impl Reason {
    /// What a program decides by.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::CostAboveUsual { .. } => "cost_above_usual",
            Self::CapHit { .. } => "cap_hit",
            Self::Forbidden { .. } => "forbidden",
            Self::ManyReplays { .. } => "many_replays",
            Self::InDoubt { .. } => "in_doubt",
        }
    }
}

/// For a person.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CostAboveUsual { spent, usual } => {
                write!(f, "it spent {spent} USD; the median run of its agent spent {usual} USD")
            }
            Self::CapHit { calls } => write!(f, "its cap refused {}", times(*calls)),
            Self::Forbidden { calls } => {
                write!(f, "{} refused, as not allowed or without a price", were(*calls))
            }
            Self::ManyReplays { replayed, allowed } => {
                let done = times(*allowed);
                write!(f, "it made {done} and asked {replayed} times for an answer that it had")
            }
            Self::InDoubt { calls, amount } => {
                write!(f, "of {} over {amount} USD it is not known what became", times(*calls))
            }
        }
    }
}

fn times(calls: u64) -> String {
    if calls == 1 { "1 call".to_owned() } else { format!("{calls} calls") }
}

fn were(calls: u64) -> String {
    if calls == 1 { "1 call was".to_owned() } else { format!("{calls} calls were") }
}

/// The runs that stand out among these, with why: those that spent most first.
#[must_use]
pub fn standing_out(runs: Vec<RunFigures>) -> Vec<(RunFigures, Vec<Reason>)> {
    let usual = usual(&runs);
    let with_reasons = runs.into_iter().map(|run| {
        let reasons = reasons(&run.figures, usual.get(&run.agents).copied());
        (run, reasons)
    });
    let mut found: Vec<_> = with_reasons.filter(|(_, reasons)| !reasons.is_empty()).collect();
    found.sort_by(|(one, _), (other, _)| {
        let place = |run: &RunFigures| Reverse(run.figures.spent);
        place(one).cmp(&place(other)).then_with(|| one.label.cmp(&other.label))
    });
    found
}

/// What the median run of each agent spent, of those that spent anything, where there are enough.
/// Runs that name no agent are one agent's; those that name several are like no others.
fn usual(runs: &[RunFigures]) -> BTreeMap<Agents, MicroUsd> {
    let mut by_agent = BTreeMap::<_, Vec<MicroUsd>>::new();
    for RunFigures { agents, figures, .. } in runs {
        if *agents != Agents::Several && figures.spent > MicroUsd::ZERO {
            by_agent.entry(agents.clone()).or_default().push(figures.spent);
        }
    }
    by_agent.retain(|_, spent| spent.len() >= ENOUGH_RUNS);
    let median = |mut spent: Vec<MicroUsd>| {
        spent.sort_unstable();
        spent.get(spent.len() / 2).copied()
    };
    by_agent.into_iter().filter_map(|(agents, spent)| Some((agents, median(spent)?))).collect()
}

fn reasons(figures: &Figures, usual: Option<MicroUsd>) -> Vec<Reason> {
    let Figures { allowed, replayed, capped, forbidden, in_doubt_calls, spent, in_doubt, .. } =
        *figures;
    let mut reasons = Vec::new();
    let is_above = |usual: &MicroUsd| spent.as_micros() > usual.as_micros().saturating_mul(UNUSUAL);
    if let Some(usual) = usual.filter(is_above) {
        reasons.push(Reason::CostAboveUsual { spent, usual });
    }
    if capped > 0 {
        reasons.push(Reason::CapHit { calls: capped });
    }
    if forbidden > 0 {
        reasons.push(Reason::Forbidden { calls: forbidden });
    }
    if replayed >= MANY_REPLAYS && replayed > allowed {
        reasons.push(Reason::ManyReplays { replayed, allowed });
    }
    if in_doubt_calls > 0 {
        reasons.push(Reason::InDoubt { calls: in_doubt_calls, amount: in_doubt });
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::BudgetId, refusal::Refusal};

    fn usd(dollars: u64) -> MicroUsd {
        MicroUsd::from_micros(dollars * 1_000_000).unwrap()
    }

    fn quiet(spent: u64) -> Figures {
        let at = Timestamp::from_micros(0);
        Figures {
            allowed: 1,
            replayed: 0,
            denied: 0,
            capped: 0,
            forbidden: 0,
            in_doubt_calls: 0,
            spent: usd(spent),
            in_doubt: MicroUsd::ZERO,
            held: MicroUsd::ZERO,
            first_at: at,
            last_at: at,
        }
    }

    fn run(label: &str, agents: Agents, figures: Figures) -> RunFigures {
        RunFigures { label: label.to_owned(), agents, figures }
    }

    fn one(agent: &str) -> Agents {
        Agents::One(agent.to_owned())
    }

    /// Which runs stand out, each by the codes of its reasons.
    fn found(runs: Vec<RunFigures>) -> Vec<(String, Vec<&'static str>)> {
        let found = standing_out(runs).into_iter();
        found
            .map(|(run, reasons)| (run.label, reasons.into_iter().map(Reason::code).collect()))
            .collect()
    }

    #[test]
    fn a_context_names_an_agent_among_other_things() {
        for (context, named) in [
            ("agent=billing", Some("billing")),
            ("step=charge, agent = billing ,attempt=2", Some("billing")),
            ("agent=a=b", Some("a=b")),
            ("agent=", Some("")),
            ("reagent=x,step=agent", None),
            ("", None),
        ] {
            assert_eq!(agent(context), named, "{context}");
        }
    }

    #[test]
    fn what_is_counted_by_its_code_has_that_code() {
        let text = String::new;
        let zero = MicroUsd::ZERO;
        let forbidden = [
            Refusal::CurrencyNotPriced { currency: text(), why: text() },
            Refusal::EndpointNotAllowed { attempted: text(), allowed: Vec::new() },
            Refusal::ParameterNotAllowed { name: text() },
            Refusal::PerCallCapExceeded { cap: zero, asked: zero },
            Refusal::UnpricedEndpoint { endpoint: text() },
        ];
        assert_eq!(forbidden.map(|refusal| refusal.code()), FORBIDDEN);
        let max = Refusal::CallsExhausted { budget: BudgetId::from_number(1), max_calls: 1 };
        assert_eq!(max.code(), CAPPED);
    }

    #[test]
    fn a_run_stands_out_that_spent_more_than_three_times_the_median_of_its_agent() {
        let of = |agent, amounts: [u64; 5]| {
            amounts.map(|spent| run(&format!("{agent}/{spent}"), one(agent), quiet(spent)))
        };
        let runs = [of("a", [10, 20, 30, 90, 91]), of("b", [1, 1, 1, 1, 3])].concat();
        assert_eq!(found(runs), [("a/91".to_owned(), vec!["cost_above_usual"])]);
    }

    #[test]
    fn of_few_runs_idle_runs_and_runs_of_several_agents_nothing_is_usual() {
        let few = [1, 1, 1, 50].map(|spent| run("few", one("a"), quiet(spent)));
        let idle = [0, 0, 0, 0, 0, 50].map(|spent| run("idle", Agents::None, quiet(spent)));
        let mixed = [1, 1, 1, 1, 50].map(|spent| run("mixed", Agents::Several, quiet(spent)));
        assert_eq!(found([few.to_vec(), idle.to_vec(), mixed.to_vec()].concat()), []);
    }

    #[test]
    fn each_other_reason_is_seen_by_itself_and_the_costliest_run_comes_first() {
        let runs = vec![
            run("capped", Agents::None, Figures { capped: 2, ..quiet(1) }),
            run("forbidden", Agents::None, Figures { forbidden: 1, ..quiet(2) }),
            run("replays", Agents::None, Figures { replayed: 10, allowed: 9, ..quiet(3) }),
            run("few replays", Agents::None, Figures { replayed: 9, allowed: 1, ..quiet(4) }),
            run("as many calls", Agents::None, Figures { replayed: 10, allowed: 10, ..quiet(4) }),
            run("doubt", Agents::None, Figures { in_doubt_calls: 1, in_doubt: usd(4), ..quiet(4) }),
            run("b quiet", Agents::None, Figures { denied: 3, ..quiet(1) }),
            run("also capped", Agents::None, Figures { capped: 1, ..quiet(1) }),
        ];
        let expected = [
            ("doubt", "in_doubt"),
            ("replays", "many_replays"),
            ("forbidden", "forbidden"),
            ("also capped", "cap_hit"),
            ("capped", "cap_hit"),
        ];
        assert_eq!(found(runs), expected.map(|(label, code)| (label.to_owned(), vec![code])));
    }

    #[test]
    fn a_reason_says_in_words_what_its_figures_are() {
        for (reason, words) in [
            (
                Reason::CostAboveUsual { spent: usd(50), usual: usd(10) },
                "it spent 50.00 USD; the median run of its agent spent 10.00 USD",
            ),
            (Reason::CapHit { calls: 1 }, "its cap refused 1 call"),
            (
                Reason::Forbidden { calls: 1 },
                "1 call was refused, as not allowed or without a price",
            ),
            (
                Reason::Forbidden { calls: 2 },
                "2 calls were refused, as not allowed or without a price",
            ),
            (
                Reason::ManyReplays { replayed: 10, allowed: 1 },
                "it made 1 call and asked 10 times for an answer that it had",
            ),
            (
                Reason::InDoubt { calls: 2, amount: usd(3) },
                "of 2 calls over 3.00 USD it is not known what became",
            ),
        ] {
            assert_eq!(reason.to_string(), words);
        }
    }
}
