//! The ledger: commands in, decisions out.
//!
//! A store takes all commands that arrived while its last transaction was committing, loads the
//! rows that they touch, calls [`decide`] once, and writes what it changed in one transaction. The
//! decision reads no clock and does no I/O, so a revocation, an expiry and a hold are decided in
//! the same instant on every store, and [`memory`] is a full reference.

mod api_key;
mod begin;
mod budgets;
mod finish;
mod issue;
pub mod memory;
mod revoke;
pub mod rows;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    access::{Actor, ApiKey, Bounds, Role},
    budget::{Budget, Caps, Corrupt},
    call::{Effect, Evidence},
    ids::{ApiKeyId, BudgetId, CallId, KeyId},
    money::MicroUsd,
    policy::{Policy, RunLabel, Runs},
    refusal::Refusal,
    time::Timestamp,
    token::TokenHash,
};
use rows::{Asked, Binding, IssueBinding, Request, Rows, VaultKey, VendorAnswer};

/// Something to decide.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make a vault key and its budget.
    Issue(Box<Issue>),
    /// Make a vault key on an old one's budget.
    Refresh(Refresh),
    /// Stop a budget.
    Revoke(Revoke),
    /// Stop the budgets of all keys of some runs.
    RevokeRuns(Box<RevokeRuns>),
    /// Let revoked runs issue again.
    Lift(Box<Lift>),
    /// Make an API key.
    CreateApiKey(Box<CreateApiKey>),
    /// Stop an API key.
    RevokeApiKey(RevokeApiKey),
    /// Would a call need its price? Asked before the vendor is asked for it.
    Peek(Box<Peek>),
    /// Decide on a call and hold its money.
    Begin(Box<Begin>),
    /// Record what became of a call that was sent.
    Finish(Box<Finish>),
    /// End a doubt, or say why it goes on.
    Conclude(Box<Conclude>),
    /// Put every held call in doubt: the process that had sent it is gone.
    Recover,
}

/// What a command was decided to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Command::Issue`] and [`Command::Refresh`].
    Issued(Result<Issued, Refusal>),
    /// To [`Command::Revoke`] and [`Command::RevokeRuns`].
    Revoked(Result<Revoked, Refusal>),
    /// To [`Command::Lift`]: whether they were revoked.
    Lifted(bool),
    /// To [`Command::CreateApiKey`] and [`Command::RevokeApiKey`].
    ApiKey(Result<ApiKey, Refusal>),
    /// To [`Command::Peek`]: whether only a price is missing.
    Peeked(bool),
    /// To [`Command::Begin`].
    Begun(Box<Begun>),
    /// To [`Command::Finish`] and [`Command::Conclude`].
    Ended(Ended),
    /// To [`Command::Recover`].
    Recovered(Recovered),
}

/// Makes a vault key and its budget.
#[derive(Clone, Debug)]
pub struct Issue {
    /// The request's own idempotency key, if it has one.
    pub once: Option<IssueBinding>,
    /// The SHA-256 of the request.
    pub fingerprint: [u8; 32],
    /// The new key's id.
    pub key: KeyId,
    /// The new budget's id.
    pub budget: BudgetId,
    /// The SHA-256 of the new key's token.
    pub token_hash: TokenHash,
    /// What the key may do.
    pub policy: Policy,
    /// The run that it is for.
    pub label: RunLabel,
    /// What the run may spend.
    pub caps: Caps,
    /// A key from whose budget it also spends.
    pub parent: Option<KeyId>,
    /// How long it lives.
    pub lives: Duration,
    /// Who asks.
    pub by: Actor,
}

/// Makes a vault key on an old one's budget and policy, or finds the one that was made.
#[derive(Clone, Debug)]
pub struct Refresh {
    /// The old key.
    pub key: KeyId,
    /// The new key's id.
    pub successor: KeyId,
    /// The SHA-256 of the new key's token.
    pub token_hash: TokenHash,
    /// How long it lives; as long as the old one by default.
    pub lives: Option<Duration>,
    /// Who asks.
    pub by: Actor,
}

/// Stops a key's budget for good, and so every key on it and every descendant.
#[derive(Clone, Debug)]
pub struct Revoke {
    /// The key.
    pub key: KeyId,
    /// Who asks.
    pub by: Actor,
}

/// Stops the budgets of all keys of some runs, which issue nothing from now on.
#[derive(Clone, Debug)]
pub struct RevokeRuns {
    /// Which.
    pub runs: Runs,
    /// Who asks.
    pub by: Actor,
}

/// Lets revoked runs issue again. What was revoked stays so.
#[derive(Clone, Debug)]
pub struct Lift {
    /// Which: as they were revoked.
    pub runs: Runs,
    /// Who asks.
    pub by: Actor,
}

/// Makes an API key.
#[derive(Clone, Debug)]
pub struct CreateApiKey {
    /// The key's id.
    pub id: ApiKeyId,
    /// The SHA-256 of its token.
    pub token_hash: TokenHash,
    /// What its owner calls it.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// On whose runs.
    pub bounds: Bounds,
    /// How long it lives; for good by default.
    pub lives: Option<Duration>,
    /// Who asks.
    pub by: Actor,
}

/// Stops an API key.
#[derive(Clone, Debug)]
pub struct RevokeApiKey {
    /// Which.
    pub key: ApiKeyId,
    /// Who asks.
    pub by: Actor,
}

/// A vault key that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The key.
    pub key: VaultKey,
    /// Its own budget.
    pub budget: Budget,
    /// Whether it had been issued before for the same request.
    pub replayed: bool,
}

/// Budgets that were stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// When they were first revoked.
    pub at: Timestamp,
    /// The budgets, with what is spent, held and in doubt.
    pub budgets: Vec<Budget>,
    /// Calls that were begun and have no answer yet, descendants' included.
    pub in_flight: Vec<CallId>,
    /// Calls in doubt, descendants' included.
    pub in_doubt: Vec<CallId>,
}

/// Asks whether a call will be decided without its price.
#[derive(Clone, Debug)]
pub struct Peek {
    /// The key that asks.
    pub key: Arc<VaultKey>,
    /// The idempotency key that the call would bind.
    pub binding: Option<Binding>,
}

/// What a call costs at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// What is set aside. Of a call about an object: the most that the object may stand for after
    /// it, of which what earlier calls count for is not set aside again.
    pub hold: MicroUsd,
    /// The vendor's id of the object that it is about, where calls change what that commits.
    pub object: Option<String>,
    /// The same in the vendor's own terms.
    pub asked: Option<Asked>,
}

/// What to do when only holds in flight stand in a call's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contention {
    /// Say so, and record nothing: the caller waits and begins again.
    Wait,
    /// Refuse.
    Refuse,
}

/// Asks for a call to be decided, and for its money to be held.
///
/// It carries what was found out before as results, so that the order of the checks is kept in one
/// place: a revoked key is told so first, and a replay needs no price.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The call's id, if it becomes a new one.
    pub call: CallId,
    /// The key that asks.
    pub key: Arc<VaultKey>,
    /// What it asks.
    pub request: Request,
    /// Whether the key's policy and the vendor's definition allow it.
    pub permit: Result<(), Refusal>,
    /// What it costs.
    pub quote: Result<Quote, Refusal>,
    /// How long after the first send the vendor still deduplicates a re-send.
    pub resend_within: Option<Duration>,
    /// Whether our tags go into the parameters of a first send.
    pub tagged: bool,
    /// What to do when only holds stand in the way.
    pub contention: Contention,
}

/// A call that was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Its money is held: send it.
    Held(HeldCall),
    /// It was made before: give its stored answer.
    Replay {
        /// This call.
        call: CallId,
        /// The earlier call, whose answer is stored.
        of: CallId,
        /// The vendor's id of what the earlier call made.
        object_id: Option<String>,
        /// What is left of the caps of the asking key.
        remaining: MicroUsd,
    },
    /// It is refused.
    Denied {
        /// This call.
        call: CallId,
        /// Why.
        refusal: Refusal,
        /// What is left of the caps of the asking key.
        remaining: MicroUsd,
    },
    /// Only holds stand in its way, and the caller wants to wait.
    Contended {
        /// The budget whose holds they are.
        budget: BudgetId,
    },
}

/// A call whose money is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldCall {
    /// The call: of a re-send, the one that was first sent.
    pub call: CallId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What is held.
    pub hold: MicroUsd,
    /// The most that it moves; of a call about an object, the most that the object stands for
    /// after it, of which earlier calls count for the rest.
    pub at_most: MicroUsd,
    /// The object that it is about, where calls change what that commits.
    pub object: Option<String>,
    /// The price in the vendor's own terms.
    pub asked: Option<Asked>,
    /// The budgets that it is held in, the call's own first.
    pub chain: Vec<BudgetId>,
    /// The run to tag the vendor's object with, where the first send was tagged.
    pub tag: Option<RunLabel>,
    /// What is left of the caps with this call's money held.
    pub remaining: MicroUsd,
}

/// What became of a call that was sent.
#[derive(Clone, Debug)]
pub struct Finish {
    /// The call.
    pub call: CallId,
    /// The attempt that ended. Of any other attempt, nothing is recorded.
    pub attempt: u32,
    /// What that proves about the money.
    pub evidence: Evidence,
    /// Whether the vendor says the final price only later.
    pub awaits_bill: bool,
    /// When its first byte went out, if one did.
    pub sent_at: Option<Timestamp>,
    /// What the vendor said.
    pub answer: VendorAnswer,
    /// The sealed answer, to be given to whoever asks again.
    pub sealed: Option<Vec<u8>>,
}

/// What a look-up or an operator found out about a call that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The vendor has what the call made: evidence whichever attempt made it.
    Found(Effect),
    /// The vendor has nothing of it: evidence where no attempt came after the look-up began, and
    /// where the last one had had time to appear by then.
    Absent {
        /// The last attempt before the look-up.
        attempt: u32,
        /// When the look-up began.
        looked_at: Timestamp,
        /// How long after its begin an attempt may still appear.
        absent_after: Duration,
        /// What the object that the call is about stands for. More than other calls count for is
        /// evidence that this one was executed.
        stands: Option<MicroUsd>,
    },
    /// Nothing, for so long that an operator has to find it out. The call stays in doubt.
    NotFoundOut,
    /// The final price, for a call that awaits it.
    Billed(MicroUsd),
    /// The vendor does not say the final price. The call stays settled as it is.
    NotBilled,
    /// An operator says that it was executed, for this much.
    ResolvedSettled(MicroUsd),
    /// An operator says that it was not executed.
    ResolvedReleased,
}

impl Finding {
    /// The vendor has what the call made, which moved this much.
    #[must_use]
    pub const fn moved(amount: MicroUsd) -> Self {
        Self::Found(Effect::Moved(amount))
    }
}

/// Ends the doubt about a call or corrects its price, where what was found out proves something.
#[derive(Clone, Debug)]
pub struct Conclude {
    /// The call.
    pub call: CallId,
    /// What was found out.
    pub finding: Finding,
    /// The vendor's id of what was found.
    pub object_id: Option<String>,
    /// The vendor's status, if the answer is known again.
    pub status: Option<u16>,
    /// Who found it out.
    pub by: Actor,
    /// The same in words; of an operator, also who says so and why.
    pub note: String,
    /// Whether the vendor says the final price only later.
    pub awaits_bill: bool,
    /// The sealed answer, if it is known again.
    pub sealed: Option<Vec<u8>>,
}

/// Where a call's money stands after a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The command was about another state or attempt than the call is in. Nothing was recorded.
    Ignored,
    /// Recorded.
    Recorded {
        /// The name of the state that the call is in now.
        state: &'static str,
        /// The budgets whose money moved, so that those who wait for it can be woken.
        chain: Vec<BudgetId>,
    },
}

/// What became of the calls that a process had in flight when it died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// How many are in doubt now.
    pub in_doubt: usize,
    /// Those that stay held, since the amounts of one of their budgets do not add up.
    pub stay_held: BTreeMap<CallId, Corrupt>,
}

/// Decides a batch of commands, in order, on the rows that they touch.
///
/// An `Err` means that this command's amounts did not add up: it changed nothing, and its caller
/// must be told that the ledger is not available.
pub fn decide(
    rows: &mut Rows,
    commands: &[Command],
    clock: Timestamp,
) -> Vec<Result<Reply, Corrupt>> {
    let now = rows.clock.max(clock);
    rows.clock = now;
    commands.iter().map(|command| decide_one(rows, command, now)).collect()
}

fn decide_one(rows: &mut Rows, command: &Command, now: Timestamp) -> Result<Reply, Corrupt> {
    Ok(match command {
        Command::Issue(issue) => Reply::Issued(issue::issue(rows, issue, now)),
        Command::Refresh(refresh) => Reply::Issued(issue::refresh(rows, refresh, now)),
        Command::Revoke(revoke) => Reply::Revoked(revoke::revoke(rows, revoke, now)),
        Command::RevokeRuns(revoke) => Reply::Revoked(Ok(revoke::revoke_runs(rows, revoke, now))),
        Command::Lift(lift) => Reply::Lifted(revoke::lift(rows, lift, now)),
        Command::CreateApiKey(create) => Reply::ApiKey(Ok(api_key::create(rows, create, now))),
        Command::RevokeApiKey(revoke) => Reply::ApiKey(api_key::revoke(rows, revoke, now)),
        Command::Peek(peek) => Reply::Peeked(begin::needs_quote(rows, peek, now)),
        Command::Begin(begin) => Reply::Begun(Box::new(begin::begin(rows, begin, now)?)),
        Command::Finish(finish) => Reply::Ended(finish::finish(rows, finish, now)?),
        Command::Conclude(conclude) => Reply::Ended(finish::conclude(rows, conclude, now)?),
        Command::Recover => Reply::Recovered(finish::recover(rows, now)),
    })
}

impl Command {
    /// The call whose outcome this command reports.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        self.outcome().map(|(call, _)| call)
    }

    /// The sealed answer that this command brings, if it was recorded.
    #[must_use]
    pub fn answer_to_store(&self, reply: &Result<Reply, Corrupt>) -> Option<(CallId, &[u8])> {
        let recorded = matches!(reply, Ok(Reply::Ended(Ended::Recorded { .. })));
        let (call, sealed) = self.outcome().filter(|_| recorded)?;
        sealed.map(|sealed| (call, sealed))
    }

    /// The call whose outcome this command reports, with its sealed answer.
    fn outcome(&self) -> Option<(CallId, Option<&[u8]>)> {
        match self {
            Self::Finish(finish) => Some((finish.call, finish.sealed.as_deref())),
            Self::Conclude(conclude) => Some((conclude.call, conclude.sealed.as_deref())),
            Self::Issue(_)
            | Self::Refresh(_)
            | Self::Revoke(_)
            | Self::RevokeRuns(_)
            | Self::Lift(_)
            | Self::CreateApiKey(_)
            | Self::RevokeApiKey(_)
            | Self::Peek(_)
            | Self::Begin(_)
            | Self::Recover => None,
        }
    }
}
