//! What the laws say of each single reply.

use std::{collections::BTreeSet, fmt};

use keybrake_core::{
    budget::{Budget, Corrupt},
    ids::{BudgetId, CallId},
    ledger::{Begin, Begun, Command, Issue, Issued, Reply, Revoke, Revoked},
    refusal::Refusal,
    time::Timestamp,
};

use crate::{
    books::{Books, Stands},
    expect::Decision,
    make::at,
};

/// A law, or the harness' own demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Law {
    NeverOver,
    HoldFirst,
    OnlyEvidence,
    OncePerKey,
    RevokedMeansNow,
    IssuedOnce,
    /// The rows and replies are what the auditor's books say.
    Books,
    /// All stores say the same.
    Agreement,
}

/// A claim that does not hold.
#[derive(Clone, Debug)]
pub(crate) struct Breach {
    pub(crate) law: Law,
    pub(crate) what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.law, self.what)
    }
}

/// What does not hold.
pub(crate) type Breaches = Vec<Breach>;

/// Notes a breach of a law unless its claim holds.
pub(crate) fn claim(breaches: &mut Breaches, law: Law, holds: bool, what: impl FnOnce() -> String) {
    if !holds {
        let what = what();
        breaches.push(Breach { law, what });
    }
}

/// Checks a reply against the laws and the books, and books it.
pub(crate) fn judge(
    books: &mut Books,
    command: &Command,
    reply: &Result<Reply, Corrupt>,
    breaches: &mut Breaches,
) {
    let reply = match reply {
        Ok(reply) => reply,
        Err(corrupt) => {
            claim(breaches, Law::Books, false, || corrupt.to_string());
            return;
        }
    };
    match (command, reply) {
        (Command::Begin(begin), Reply::Begun(said)) => judge_begin(books, begin, said, breaches),
        (Command::Issue(_) | Command::Refresh(_), Reply::Issued(issued)) => {
            judge_issue(books, command, issued, breaches);
            books.post(command, reply);
        }
        (Command::Revoke(Revoke { key, .. }), Reply::Revoked(revoked)) => {
            books.post(command, reply);
            let budgets = BTreeSet::from([books.keys[key].budget]);
            let since = books.revoked(&budgets.iter().copied().collect::<Vec<_>>());
            judge_revoke(books, &budgets, since, revoked, breaches);
        }
        (Command::RevokeRuns(revoke), Reply::Revoked(revoked)) => {
            books.post(command, reply);
            let since = books.revoked_runs.get(&revoke.runs).copied();
            judge_revoke(books, &books.budgets_of(&revoke.runs), since, revoked, breaches);
        }
        _ => {
            let expected = books.expect(command);
            claim(breaches, Law::Books, expected.as_ref() == Some(reply), || {
                format!("{command:?}: expected {expected:?}, got {reply:?}")
            });
            books.post(command, reply);
        }
    }
}

fn judge_begin(books: &mut Books, begin: &Begin, said: &Begun, breaches: &mut Breaches) {
    let decision = books.decide(begin);
    let asking = books.key_chain(begin.key.id);
    match said {
        Begun::Held(held) => {
            judge_hold(books, begin, held.call, breaches);
        }
        Begun::Replay { of, .. } => judge_replay(books, begin, *of, breaches),
        Begun::Denied { refusal, .. } => judge_refusal(books, begin, refusal, breaches),
        Begun::Contended { .. } => {}
    }
    books.post(&Command::Begin(Box::new(begin.clone())), &Reply::Begun(Box::new(said.clone())));
    if let Begun::Held(held) = said {
        let budgets: Vec<_> = asking.iter().chain(&held.chain).copied().collect();
        admitted_within_caps(books, &held.chain, held.hold.as_micros(), breaches);
        claim(breaches, Law::RevokedMeansNow, books.revoked(&budgets).is_none(), || {
            format!("{} is admitted on a revoked budget", held.call)
        });
    }
    let due = format!("{decision:?}");
    let agrees = match &decision {
        Decision::Hold => matches!(said, Begun::Held(held) if held.call == begin.call),
        Decision::Resend(prior) => matches!(said, Begun::Held(held) if held.call == *prior),
        Decision::Replay(_) | Decision::Contended(_) | Decision::Deny(_) => true,
    };
    let expected = books.begun(begin, decision);
    claim(breaches, Law::Books, agrees && expected == *said, || {
        format!("{} ought to be {due} as {expected:?}, is {said:?}", begin.call)
    });
}

/// Whatever is admitted fits, even where a vendor's overrun is booked.
fn admitted_within_caps(books: &Books, chain: &[BudgetId], asked: u64, breaches: &mut Breaches) {
    for id in chain.iter().filter(|_| asked > 0) {
        let held = books.sums(*id, None).held;
        for (kind, cap, spent) in books.limits(*id, None) {
            claim(breaches, Law::NeverOver, spent + held <= cap, || {
                format!("admitted on {id}: {spent} spent and {held} held of {kind:?} {cap}")
            });
        }
    }
}

fn judge_hold(books: &Books, begin: &Begin, held: CallId, breaches: &mut Breaches) {
    let request = &begin.request;
    let prior = books.bound(&request.vendor, request.idempotency_key.as_ref());
    let Some((id, prior)) = prior else {
        return;
    };
    claim(breaches, Law::OncePerKey, id == held, || {
        format!("{held} is a second hold beside {id} for one idempotency key")
    });
    let same = prior.fingerprint == request.fingerprint;
    claim(breaches, Law::OncePerKey, same, || {
        format!("{held} is another request under the idempotency key of {id}")
    });
    let in_doubt = prior.stands == Stands::InDoubt;
    claim(breaches, Law::OncePerKey, in_doubt, || {
        format!("{id} is sent again while it is {}", prior.stands.name())
    });
}

fn judge_replay(books: &Books, begin: &Begin, of: CallId, breaches: &mut Breaches) {
    let settled = books.entries.get(&of).is_some_and(|entry| {
        matches!(entry.stands, Stands::Settled(_))
            && entry.fingerprint == begin.request.fingerprint
            && entry.vendor == begin.request.vendor
            && entry.key == begin.request.idempotency_key
    });
    claim(breaches, Law::OncePerKey, settled, || {
        format!("{} replays {of}, which is no settled call of its kind", begin.call)
    });
}

fn judge_refusal(books: &Books, begin: &Begin, refusal: &Refusal, breaches: &mut Breaches) {
    let request = &begin.request;
    let bound = books.bound(&request.vendor, request.idempotency_key.as_ref());
    let stands = bound.map(|(_, entry)| entry.stands);
    if let Refusal::KeyRevoked { prior, .. } = refusal {
        let known = bound.filter(|(_, entry)| books.is_same_call(begin, entry));
        let told = prior.as_ref().map(|prior| prior.call_id);
        let holds = told == known.map(|(id, _)| id);
        claim(breaches, Law::RevokedMeansNow, holds, || {
            format!("{} is told of {told:?} as its prior call", begin.call)
        });
    }
    let other = bound.is_some_and(|(_, entry)| entry.fingerprint != request.fingerprint);
    let refused_as = |code| refusal.code() == code;
    let holds = (!refused_as("idempotency_key_reused") || other)
        && (!refused_as("call_in_progress") || stands == Some(Stands::Held))
        && (!refused_as("outcome_unknown") || stands == Some(Stands::InDoubt));
    claim(breaches, Law::OncePerKey, holds, || {
        format!("{} is refused as {} beside {stands:?}", begin.call, refusal.code())
    });
}

fn judge_issue(
    books: &Books,
    command: &Command,
    issued: &Result<Issued, Refusal>,
    breaches: &mut Breaches,
) {
    let (expected, chain, law) = if let Command::Issue(issue) = command {
        let chain = issue.parent.map(|key| books.key_chain(key));
        let once = issue.once.as_ref();
        let known = once.is_some_and(|once| books.issued.contains_key(&once.key));
        let law = if known { Law::IssuedOnce } else { Law::Books };
        (books.expect_issue(issue), chain.unwrap_or_default(), law)
    } else if let Command::Refresh(refresh) = command {
        let chain = books.key_chain(refresh.key);
        (books.expect_refresh(refresh), chain, Law::Books)
    } else {
        return;
    };
    let got = issued.as_ref().ok().map(|made| (made.key.id, made.replayed));
    let admitted = got.is_some_and(|(_, replayed)| !replayed);
    let revoked = books.revoked(&chain).is_some();
    claim(breaches, Law::RevokedMeansNow, !(admitted && revoked), || {
        format!("{got:?} is made on a revoked budget")
    });
    claim(breaches, law, got == expected, || {
        format!("{command:?}: expected {expected:?}, got {issued:?}")
    });
    if let Command::Issue(issue) = command {
        judge_revoked_run(books, issue, issued, breaches);
    }
}

/// A revoked run is told so, except of what it was issued before.
fn judge_revoked_run(
    books: &Books,
    issue: &Issue,
    issued: &Result<Issued, Refusal>,
    breaches: &mut Breaches,
) {
    let known = issue.once.as_ref().is_some_and(|once| books.issued.contains_key(&once.key));
    let due = books.run_revoked(&issue.label).filter(|_| !known);
    let due = due.map(|since| Refusal::RunRevoked { at: at(since) });
    let told = issued.as_ref().err().filter(|refusal| refusal.code() == "run_revoked");
    claim(breaches, Law::RevokedMeansNow, told == due.as_ref(), || {
        format!("an issue to {:?} ought to be {due:?}, is {issued:?}", issue.label)
    });
}

fn judge_revoke(
    books: &Books,
    budgets: &BTreeSet<BudgetId>,
    since: Option<i64>,
    revoked: &Result<Revoked, Refusal>,
    breaches: &mut Breaches,
) {
    let as_booked = |told: &Budget| {
        let (account, sums) = (&books.accounts[&told.id], books.sums(told.id, None));
        account.revoked_at.is_some()
            && told.revoked_at.map(Timestamp::as_micros) == account.revoked_at
            && told.held.as_micros() == sums.held
            && told.total_spent.as_micros() == sums.spent
            && told.in_doubt.as_micros() == sums.in_doubt
    };
    let in_state = |stands| -> BTreeSet<CallId> {
        budgets.iter().flat_map(|budget| books.in_state(*budget, stands)).collect()
    };
    let holds = revoked.as_ref().is_ok_and(|revoked| {
        Some(revoked.at.as_micros()) == since
            && revoked.budgets.iter().map(|told| told.id).eq(budgets.iter().copied())
            && revoked.budgets.iter().all(as_booked)
            && revoked.in_flight.iter().copied().eq(in_state(Stands::Held))
            && revoked.in_doubt.iter().copied().eq(in_state(Stands::InDoubt))
    });
    claim(breaches, Law::RevokedMeansNow, holds, || {
        format!("the revocation of {budgets:?} since {since:?} says {revoked:?}")
    });
}
