//! A ledger, its time, and commands made short. Amounts and times are in micros.

use std::{sync::Arc, time::Duration};

use crate::{
    access::Actor,
    budget::{Budget, Caps},
    call::{Effect, Evidence},
    ids::{BudgetId, CallId, KeyId},
    ledger::{
        Begin, Begun, Command, Conclude, Contention, Ended, Finding, Finish, HeldCall, Issue,
        Issued, Lift, Peek, Quote, Refresh, Reply, Revoke, RevokeRuns, Revoked,
        memory::MemoryLedger,
        rows::{Asked, Binding, Call, Request, VaultKey, VendorAnswer},
    },
    money::MicroUsd,
    policy::{Method, Policy, RunLabel, Runs},
    refusal::Refusal,
    time::Timestamp,
    token::TokenHash,
};

pub(super) const HOUR: i64 = 3_600_000_000;
/// How long a key lives.
pub(super) const LIFE: i64 = 10 * HOUR;
/// How long a call in doubt may be sent again.
pub(super) const RESEND_WITHIN: i64 = 5 * HOUR;
/// From when on absence is evidence.
pub(super) const ABSENT_AFTER: i64 = HOUR;

pub(super) fn usd(micros: u64) -> MicroUsd {
    MicroUsd::from_micros(micros).unwrap()
}

pub(super) const fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

pub(super) fn span(micros: i64) -> Duration {
    Duration::from_micros(micros.unsigned_abs())
}

/// Asks for a key under this cap for life.
pub(super) fn capped(total: u64) -> Issue {
    order(None, Some(usd(total)))
}

/// Asks for a key under this cap per day.
pub(super) fn daily(cap: u64) -> Issue {
    order(Some(usd(cap)), None)
}

fn order(daily: Option<MicroUsd>, total: Option<MicroUsd>) -> Issue {
    Issue {
        once: None,
        fingerprint: [1; 32],
        key: KeyId::from_number(0),
        budget: BudgetId::from_number(0),
        token_hash: TokenHash::from_bytes([2; 32]),
        policy: Policy::allowing("stripe".to_owned(), vec!["POST /v1/charges".parse().unwrap()]),
        label: label("run"),
        caps: Caps::new(daily, total).unwrap(),
        parent: None,
        lives: span(LIFE),
        by: Actor::admin(),
    }
}

/// Asks for a key of this run.
pub(super) fn of_run(text: &str) -> Issue {
    Issue { label: label(text), ..capped(10) }
}

pub(super) fn label(text: &str) -> RunLabel {
    RunLabel::try_from(text.to_owned()).unwrap()
}

/// Asks for a charge under an idempotency key.
pub(super) fn charge(key: &Arc<VaultKey>, amount: u64, idempotency: &str) -> Begin {
    let mut fingerprint = [3; 32];
    fingerprint[..8].copy_from_slice(&amount.to_be_bytes());
    Begin {
        call: CallId::from_number(0),
        key: Arc::clone(key),
        request: Request {
            vendor: "stripe".to_owned(),
            method: Method::Post,
            path: "/v1/charges".to_owned(),
            context: None,
            idempotency_key: Some(idempotency.to_owned()),
            fingerprint,
            customer: None,
            account: None,
            likeness: None,
        },
        permit: Ok(()),
        quote: Ok(Quote { hold: usd(amount), object: None, asked: Some(asked(amount)) }),
        resend_within: Some(span(RESEND_WITHIN)),
        tagged: true,
        contention: Contention::Refuse,
    }
}

/// Asks for something about an object, which stands for at most this much after it.
pub(super) fn about(key: &Arc<VaultKey>, object: &str, at_most: u64, idempotency: &str) -> Begin {
    let mut ask = charge(key, at_most, idempotency);
    if let Ok(quote) = &mut ask.quote {
        quote.object = Some(object.to_owned());
    }
    ask
}

/// Asks for a read, which costs nothing.
pub(super) fn read(key: &Arc<VaultKey>) -> Begin {
    let mut ask = charge(key, 0, "");
    ask.request.method = Method::Get;
    ask.request.idempotency_key = None;
    ask
}

pub(super) fn asked(amount: u64) -> Asked {
    Asked { amount, currency: "usd".to_owned(), rate: None }
}

/// The answer of an attempt, as this evidence.
pub(super) fn answered(held: &HeldCall, evidence: Evidence) -> Finish {
    Finish {
        call: held.call,
        attempt: held.attempt,
        evidence,
        awaits_bill: false,
        sent_at: None,
        answer: VendorAnswer::default(),
        sealed: None,
    }
}

/// The answer of an attempt that was executed, to this effect on this object.
pub(super) fn said(held: &HeldCall, object: &str, effect: Effect) -> Finish {
    let mut finish = answered(held, Evidence::Executed(effect));
    finish.answer.object_id = Some(object.to_owned());
    finish
}

/// A look-up of this attempt, begun at this time, found nothing.
pub(super) fn absent(attempt: u32, looked_at: i64) -> Finding {
    Finding::Absent {
        attempt,
        looked_at: at(looked_at),
        absent_after: span(ABSENT_AFTER),
        stands: None,
    }
}

/// This was found out about a call.
pub(super) fn concluded(held: &HeldCall, finding: Finding) -> Conclude {
    Conclude {
        call: held.call,
        finding,
        object_id: None,
        status: None,
        by: Actor::look_up(),
        note: "looked up".to_owned(),
        awaits_bill: false,
        sealed: None,
    }
}

/// The name of the state that a command left its call in.
pub(super) fn state(ended: &Ended) -> &'static str {
    match ended {
        Ended::Recorded { state, .. } => state,
        Ended::Ignored => "ignored",
    }
}

/// The reference ledger and its time.
#[derive(Clone, Default)]
pub(super) struct Bench {
    pub(super) ledger: MemoryLedger,
    pub(super) now: i64,
    next: i64,
}

impl Bench {
    /// A ledger with one key under a cap for life.
    pub(super) fn with_cap(total: u64) -> (Self, Arc<VaultKey>) {
        let mut bench = Self::default();
        let key = bench.issue(capped(total));
        (bench, key)
    }

    pub(super) fn fresh(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    pub(super) fn apply(&mut self, command: Command) -> Reply {
        let mut replies = self.ledger.apply(&[command], at(self.now));
        assert_eq!(replies.len(), 1);
        replies.remove(0).unwrap()
    }

    pub(super) fn try_issue(&mut self, mut issue: Issue) -> Result<Issued, Refusal> {
        issue.key = KeyId::from_number(self.fresh());
        issue.budget = BudgetId::from_number(self.fresh());
        let Reply::Issued(issued) = self.apply(Command::Issue(Box::new(issue))) else {
            panic!("not a reply to an issue");
        };
        issued
    }

    pub(super) fn issue(&mut self, issue: Issue) -> Arc<VaultKey> {
        Arc::new(self.try_issue(issue).unwrap().key)
    }

    /// A key that also spends from this one's budgets.
    pub(super) fn child(&mut self, parent: &VaultKey, issue: Issue) -> Arc<VaultKey> {
        let parent = Some(parent.id);
        self.issue(Issue { parent, ..issue })
    }

    pub(super) fn try_refresh(
        &mut self,
        key: KeyId,
        lives: Option<i64>,
    ) -> Result<Issued, Refusal> {
        let refresh = Refresh {
            key,
            successor: KeyId::from_number(self.fresh()),
            token_hash: TokenHash::from_bytes([4; 32]),
            lives: lives.map(span),
            by: Actor::admin(),
        };
        let Reply::Issued(issued) = self.apply(Command::Refresh(refresh)) else {
            panic!("not a reply to a refresh");
        };
        // The last of its line: a key that followed itself would be followed for ever.
        assert!(issued.iter().all(|new| new.key.successor.is_none()));
        issued
    }

    pub(super) fn refresh(&mut self, key: KeyId, lives: Option<i64>) -> Issued {
        self.try_refresh(key, lives).unwrap()
    }

    pub(super) fn try_revoke(&mut self, key: KeyId) -> Result<Revoked, Refusal> {
        let Reply::Revoked(revoked) =
            self.apply(Command::Revoke(Revoke { key, by: Actor::admin() }))
        else {
            panic!("not a reply to a revocation");
        };
        revoked
    }

    pub(super) fn revoke(&mut self, key: &VaultKey) -> Revoked {
        self.try_revoke(key.id).unwrap()
    }

    pub(super) fn revoke_runs(&mut self, runs: &Runs) -> Revoked {
        let revoke = RevokeRuns { runs: runs.clone(), by: Actor::admin() };
        let Reply::Revoked(revoked) = self.apply(Command::RevokeRuns(Box::new(revoke))) else {
            panic!("not a reply to a revocation");
        };
        revoked.unwrap()
    }

    /// Whether there was something to lift.
    pub(super) fn lift(&mut self, runs: &Runs) -> bool {
        let lift = Lift { runs: runs.clone(), by: Actor::admin() };
        let Reply::Lifted(lifted) = self.apply(Command::Lift(Box::new(lift))) else {
            panic!("not a reply to a lift");
        };
        lifted
    }

    /// What was done through the admin API, and to what.
    pub(super) fn deeds(&self) -> Vec<(&'static str, String)> {
        let records = self.ledger.records().iter();
        records.map(|record| (record.deed.name(), record.target.clone())).collect()
    }

    /// Whether the ledger would need the call's price.
    pub(super) fn peek(&mut self, ask: &Begin) -> bool {
        let key = Arc::clone(&ask.key);
        let binding = ask
            .request
            .idempotency_key
            .clone()
            .map(|key| Binding { vendor: ask.request.vendor.clone(), key });
        let Reply::Peeked(needs) = self.apply(Command::Peek(Box::new(Peek { key, binding })))
        else {
            panic!("not a reply to a peek");
        };
        needs
    }

    pub(super) fn begin(&mut self, ask: &Begin) -> Begun {
        let call = CallId::from_number(self.fresh());
        let command = Command::Begin(Box::new(Begin { call, ..ask.clone() }));
        let Reply::Begun(begun) = self.apply(command) else {
            panic!("not a reply to a begin");
        };
        *begun
    }

    pub(super) fn hold(&mut self, ask: &Begin) -> HeldCall {
        let begun = self.begin(ask);
        let Begun::Held(held) = begun else {
            panic!("{begun:?}");
        };
        held
    }

    pub(super) fn refused(&mut self, ask: &Begin) -> Refusal {
        let begun = self.begin(ask);
        let Begun::Denied { refusal, .. } = begun else {
            panic!("{begun:?}");
        };
        refusal
    }

    pub(super) fn finish(&mut self, finish: Finish) -> Ended {
        self.ended(Command::Finish(Box::new(finish)))
    }

    pub(super) fn conclude(&mut self, conclude: Conclude) -> Ended {
        self.ended(Command::Conclude(Box::new(conclude)))
    }

    fn ended(&mut self, command: Command) -> Ended {
        let Reply::Ended(ended) = self.apply(command) else {
            panic!("not a reply to evidence");
        };
        ended
    }

    /// How many calls are in doubt by a restart on amounts that add up.
    pub(super) fn recover(&mut self) -> usize {
        let Reply::Recovered(recovered) = self.apply(Command::Recover) else {
            panic!("not a reply to a recovery");
        };
        assert_eq!(recovered.stay_held, [].into());
        recovered.in_doubt
    }

    /// Begins a call whose answer never comes.
    pub(super) fn doubt(&mut self, ask: &Begin) -> HeldCall {
        let held = self.hold(ask);
        let ended = self.finish(answered(&held, Evidence::Unknown));
        assert_eq!(state(&ended), "in_doubt");
        held
    }

    /// Begins a call that the vendor executes for what was quoted.
    pub(super) fn settle(&mut self, ask: &Begin) -> HeldCall {
        let held = self.hold(ask);
        let ended = self.finish(answered(&held, Evidence::moved(held.hold)));
        assert_eq!(state(&ended), "settled");
        held
    }

    pub(super) fn call(&self, id: CallId) -> &Call {
        &self.ledger.rows().calls[&id]
    }

    /// The newest call.
    pub(super) fn last(&self) -> &Call {
        self.call(CallId::from_number(self.next))
    }

    pub(super) fn budget(&self, key: &VaultKey) -> &Budget {
        &self.ledger.rows().budgets[&key.budget().unwrap()]
    }

    /// What is spent, held and in doubt of a key's own budget.
    pub(super) fn money(&self, key: &VaultKey) -> [u64; 3] {
        let budget = self.budget(key);
        [budget.total_spent, budget.held, budget.in_doubt].map(MicroUsd::as_micros)
    }
}
