//! The rows that a batch of commands touches.
//!
//! A store loads them, [`decide`](super::decide) changes them, and the store writes what changed:
//! that is all a store does, so that all stores behave alike.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    access::{Actor, ApiKey},
    budget::Budget,
    call::{Life, State},
    ids::{ApiKeyId, BudgetId, CallId, KeyId},
    money::MicroUsd,
    policy::{Method, Policy, RunLabel, Runs},
    rates::Rate,
    time::Timestamp,
    token::TokenHash,
};

/// A vault key. All but `successor` never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultKey {
    /// Its public id.
    pub id: KeyId,
    /// The SHA-256 of its token.
    pub token_hash: TokenHash,
    /// The budgets that it spends from: its own first, the root last. Never empty.
    pub chain: Vec<BudgetId>,
    /// What it may do.
    pub policy: Policy,
    /// The run that it was issued for.
    pub label: RunLabel,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it stops to work.
    pub expires_at: Timestamp,
    /// The key that a refresh made of it.
    pub successor: Option<KeyId>,
}

impl VaultKey {
    /// The budget that the key spends from first.
    #[must_use]
    pub fn budget(&self) -> Option<BudgetId> {
        self.chain.first().copied()
    }
}

/// An idempotency key within its vendor account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Binding {
    /// The vendor's name.
    pub vendor: String,
    /// The key, as it goes to the vendor.
    pub key: String,
}

/// An object at a vendor, such as a payment intent, whose commitment calls make and change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// The vendor's name.
    pub vendor: String,
    /// The vendor's id of it.
    pub id: String,
}

/// The idempotency key of an issue request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssueBinding {
    /// The API key that asked.
    pub issuer: String,
    /// What it sent as `Idempotency-Key`.
    pub key: String,
}

/// What was issued for an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuedOnce {
    /// The SHA-256 of the request.
    pub fingerprint: [u8; 32],
    /// The key that was issued for it.
    pub key: KeyId,
}

/// What was asked of the vendor, as the audit row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The vendor's name.
    pub vendor: String,
    /// The method.
    pub method: Method,
    /// The path at the vendor.
    pub path: String,
    /// The caller's `X-Keybrake-Context`.
    pub context: Option<String>,
    /// The idempotency key as it goes to the vendor; `None` for a read.
    pub idempotency_key: Option<String>,
    /// SHA-256 over method, path and parameters: what makes two requests the same.
    pub fingerprint: [u8; 32],
    /// Whose money it is about, such as `cus_…`.
    pub customer: Option<String>,
    /// The header, in lower case, that names another account than the secret's own, with that
    /// account: `stripe-account=acct_1`.
    pub account: Option<String>,
    /// What it is recognised by at a vendor that keeps no tag of ours.
    pub likeness: Option<Vec<u8>>,
}

/// What a call was decided to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Money was held and it was sent.
    Allowed(Life),
    /// It was refused.
    Denied {
        /// The refusal's code.
        code: String,
        /// The refusal's message.
        reason: String,
    },
    /// The stored answer of an earlier call was given.
    Replayed {
        /// That earlier call.
        of: CallId,
    },
}

/// The amount that the vendor was asked to move, in its own terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// In the currency's smallest unit.
    pub amount: u64,
    /// The currency's lower-case code.
    pub currency: String,
    /// Dollars for one of the currency's own unit, as it was counted; `None` for dollars.
    pub rate: Option<Rate>,
}

/// What the vendor said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VendorAnswer {
    /// The HTTP status.
    pub status: Option<u16>,
    /// The vendor's id of the request.
    pub request_id: Option<String>,
    /// The vendor's id of what the call made.
    pub object_id: Option<String>,
}

/// A call: the reservation and the audit row in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its id.
    pub id: CallId,
    /// When it was first begun, or refused.
    pub at: Timestamp,
    /// The key that asked.
    pub key: KeyId,
    /// The budget that its money belongs to.
    pub budget: BudgetId,
    /// The run of the key that asked first: also what the vendor's object is tagged with.
    pub label: RunLabel,
    /// What was asked.
    pub request: Request,
    /// What was decided.
    pub verdict: Verdict,
    /// What the vendor was asked to move.
    pub asked: Option<Asked>,
    /// The vendor's id of the object that it is about or made, where calls change what that commits.
    pub object: Option<String>,
    /// Whether the vendor says its final price only later.
    pub awaits_bill: bool,
    /// Whether our tags went into its parameters.
    pub tagged: bool,
    /// How often it was sent, or was about to be.
    pub attempt: u32,
    /// When it was last begun: the window of its spending.
    pub begun_at: Timestamp,
    /// When its first byte went out, as far as is known.
    pub sent_at: Option<Timestamp>,
    /// When its answer came, or its doubt ended.
    pub finished_at: Option<Timestamp>,
    /// What the vendor said.
    pub answer: VendorAnswer,
    /// Spent and held of its budget after it.
    pub cap_usage_after: MicroUsd,
    /// Who ended its doubt and why, or what a look-up found.
    pub note: Option<String>,
}

impl Call {
    /// Its money, if it has any.
    #[must_use]
    pub const fn life(&self) -> Option<Life> {
        match &self.verdict {
            Verdict::Allowed(life) => Some(*life),
            Verdict::Denied { .. } | Verdict::Replayed { .. } => None,
        }
    }

    /// Whether it is in flight.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.life().is_some_and(|life| life.state == State::Held)
    }

    /// Whether it is in flight or in doubt.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.life().is_some_and(|life| matches!(life.state, State::Held | State::InDoubt))
    }

    /// The idempotency key that it binds: while it is open or settled, never once it is released.
    #[must_use]
    pub fn binding(&self) -> Option<Binding> {
        let binds = self.life().is_some_and(|life| life.state != State::Released);
        let key = self.request.idempotency_key.clone().filter(|_| binds)?;
        Some(Binding { vendor: self.request.vendor.clone(), key })
    }

    /// The object in whose commitment it has a part, or may have.
    #[must_use]
    pub fn part_of(&self) -> Option<Object> {
        let id = self.object.clone().filter(|_| self.life().is_some())?;
        Some(Object { vendor: self.request.vendor.clone(), id })
    }

    /// What it counts for, once it is settled.
    #[must_use]
    pub fn settled(&self) -> MicroUsd {
        match self.life().map(|life| life.state) {
            Some(State::Settled(amount)) => amount,
            Some(State::Held | State::Released | State::InDoubt) | None => MicroUsd::ZERO,
        }
    }
}

/// What was done through the admin API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A vault key was issued.
    Issued,
    /// A vault key was refreshed.
    Refreshed,
    /// A vault key's budget was revoked.
    Revoked,
    /// Runs were revoked.
    RunsRevoked,
    /// Runs may issue again.
    RunsLifted,
    /// A doubt was ended by an operator.
    Resolved,
    /// An API key was created.
    ApiKeyCreated,
    /// An API key was revoked.
    ApiKeyRevoked,
    /// A vendor's secret was set.
    VendorSecretSet,
}

impl Deed {
    /// The name in answers and in the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issued => "key_issued",
            Self::Refreshed => "key_refreshed",
            Self::Revoked => "key_revoked",
            Self::RunsRevoked => "runs_revoked",
            Self::RunsLifted => "runs_lifted",
            Self::Resolved => "call_resolved",
            Self::ApiKeyCreated => "api_key_created",
            Self::ApiKeyRevoked => "api_key_revoked",
            Self::VendorSecretSet => "vendor_secret_set",
        }
    }
}

/// What was done through the admin API, when, by whom and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub who: Actor,
    /// What.
    pub deed: Deed,
    /// To what: an id, or a label.
    pub target: String,
}

/// What a batch inserted and changed, for the store to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Vault keys to insert or, where only the successor is new, to update.
    pub keys: BTreeSet<KeyId>,
    /// Budgets to insert or update.
    pub budgets: BTreeSet<BudgetId>,
    /// Calls to insert.
    pub new_calls: BTreeSet<CallId>,
    /// Calls to update that came to another state.
    pub calls: BTreeSet<CallId>,
    /// Calls to update that stay in their state: their price was corrected, or something was noted.
    pub amended: BTreeSet<CallId>,
    /// Issue requests to remember.
    pub issued: BTreeSet<IssueBinding>,
    /// Revoked runs to insert or, where they are gone from the rows, to delete.
    pub revoked_runs: BTreeSet<Runs>,
    /// API keys to insert or to update.
    pub api_keys: BTreeSet<ApiKeyId>,
    /// What was done through the admin API, to be kept.
    pub records: Vec<Record>,
}

/// The rows that a batch touches. To the in-memory reference, all there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The ledger's time: it never runs back.
    pub clock: Timestamp,
    /// Vault keys by id.
    pub keys: HashMap<KeyId, VaultKey>,
    /// Budgets by id.
    pub budgets: HashMap<BudgetId, Budget>,
    /// Calls by id.
    pub calls: HashMap<CallId, Call>,
    /// Which call has an idempotency key.
    pub bindings: HashMap<Binding, CallId>,
    /// The calls that made an object or changed what it commits, or may have.
    pub objects: HashMap<Object, BTreeSet<CallId>>,
    /// What was issued for an issue request's idempotency key.
    pub issued: HashMap<IssueBinding, IssuedOnce>,
    /// The runs that issue nothing, with when they were revoked.
    pub revoked_runs: BTreeMap<Runs, Timestamp>,
    /// API keys by id.
    pub api_keys: HashMap<ApiKeyId, ApiKey>,
    /// What the batch changed.
    pub changes: Changes,
}

impl Rows {
    /// No rows yet, in a ledger whose time has come to `clock`.
    #[must_use]
    pub fn new(clock: Timestamp) -> Self {
        Self {
            clock,
            keys: HashMap::new(),
            budgets: HashMap::new(),
            calls: HashMap::new(),
            bindings: HashMap::new(),
            objects: HashMap::new(),
            issued: HashMap::new(),
            revoked_runs: BTreeMap::new(),
            api_keys: HashMap::new(),
            changes: Changes::default(),
        }
    }

    /// A loaded call, with the idempotency key that it binds and the object that it has a part in.
    pub fn load_call(&mut self, call: Call) {
        if let Some(binding) = call.binding() {
            self.bindings.insert(binding, call.id);
        }
        if let Some(object) = call.part_of() {
            self.objects.entry(object).or_default().insert(call.id);
        }
        self.calls.insert(call.id, call);
    }

    /// The call that this idempotency key is bound to.
    #[must_use]
    pub fn bound(&self, binding: Option<&Binding>) -> Option<&Call> {
        self.calls.get(self.bindings.get(binding?)?)
    }

    /// The calls that have a part in an object, but for one, the oldest first.
    pub(super) fn parts(
        &self,
        object: &Object,
        but: CallId,
    ) -> impl DoubleEndedIterator<Item = &Call> {
        let calls = self.objects.get(object).into_iter().flatten();
        calls.filter(move |id| **id != but).filter_map(|id| self.calls.get(id))
    }

    /// Whether a call about an object, but for one, is in flight or in doubt.
    pub(super) fn has_open_part(&self, object: &Object, but: CallId) -> bool {
        self.parts(object, but).any(Call::is_open)
    }

    /// What an object has moved or commits by all calls but one.
    pub(super) fn stands_for(&self, object: &Object, but: CallId) -> MicroUsd {
        let settled = self.parts(object, but).map(Call::settled);
        settled.fold(MicroUsd::ZERO, MicroUsd::saturating_add)
    }

    /// A budget and its ancestors, the root last; `None` where one of them is missing.
    #[must_use]
    pub fn chain(&self, budget: BudgetId) -> Option<Vec<BudgetId>> {
        let mut chain = vec![budget];
        let mut next = self.budgets.get(&budget)?.parent;
        while let Some(parent) = next {
            chain.push(parent);
            next = self.budgets.get(&parent)?.parent;
        }
        Some(chain)
    }

    /// When this run was revoked, if it was.
    #[must_use]
    pub fn run_revoked_at(&self, label: &RunLabel) -> Option<Timestamp> {
        self.revoked_runs.iter().filter(|(runs, _)| runs.contain(label)).map(|(_, at)| *at).min()
    }

    /// Keeps what was done through the admin API.
    pub(super) fn record(&mut self, who: &Actor, deed: Deed, target: String, at: Timestamp) {
        self.changes.records.push(Record { at, who: who.clone(), deed, target });
    }

    /// When the first of these budgets was revoked, if any was.
    #[must_use]
    pub fn revoked_at(&self, chain: &[BudgetId]) -> Option<Timestamp> {
        chain.iter().filter_map(|id| self.budgets.get(id)?.revoked_at).min()
    }
}
