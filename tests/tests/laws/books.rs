//! The auditor's own books, kept from commands and replies alone.
//!
//! Nothing here is added up as it goes: every sum is taken anew over all calls, so that a mistake
//! in the ledger's running totals has no counterpart here.

use std::collections::{BTreeMap, BTreeSet};

use keybrake_core::{
    access::{Actor, ApiKey},
    call::Event,
    ids::{ApiKeyId, BudgetId, CallId, KeyId},
    ledger::{
        Begin, Begun, Command, Conclude, CreateApiKey, Ended, Finding, Finish, HeldCall, Issue,
        Issued, Lift, Refresh, Reply, Revoke,
    },
    policy::{RunLabel, Runs},
};

use crate::{
    expect::{answered, concluded},
    make::{DAY, at},
    subject::Kept,
};

/// Where a call's money stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    Held,
    Settled(u64),
    Released,
    InDoubt,
}

impl Stands {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Settled(_) => "settled",
            Self::Released => "released",
            Self::InDoubt => "in_doubt",
        }
    }
}

/// A budget, without its money.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) parent: Option<BudgetId>,
    pub(crate) daily: Option<u64>,
    pub(crate) total: Option<u64>,
    pub(crate) max_calls: Option<u32>,
    pub(crate) anchor: i64,
    pub(crate) revoked_at: Option<i64>,
}

impl Account {
    /// The window that an instant lies in.
    pub(crate) const fn window(&self, at: i64) -> i64 {
        (at - self.anchor).div_euclid(DAY)
    }
}

/// A vault key.
#[derive(Clone, Debug)]
pub(crate) struct KeyEntry {
    pub(crate) budget: BudgetId,
    pub(crate) per_call: Option<u64>,
    pub(crate) issued_at: i64,
    pub(crate) expires_at: i64,
    pub(crate) successor: Option<KeyId>,
    pub(crate) label: RunLabel,
}

/// A call that money was held for.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) vendor: String,
    pub(crate) key: Option<String>,
    pub(crate) fingerprint: [u8; 32],
    pub(crate) chain: Vec<BudgetId>,
    pub(crate) hold: u64,
    pub(crate) stands: Stands,
    pub(crate) doubted: bool,
    pub(crate) is_read: bool,
    pub(crate) at: i64,
    pub(crate) begun_at: i64,
    pub(crate) attempt: u32,
    pub(crate) tag: Option<RunLabel>,
    pub(crate) object_id: Option<String>,
    /// An operator had the last word: the vendor may know better.
    pub(crate) by_operator: bool,
}

impl Entry {
    /// What it counts for.
    pub(crate) const fn amount(&self) -> u64 {
        match self.stands {
            Stands::Held | Stands::InDoubt => self.hold,
            Stands::Settled(amount) => amount,
            Stands::Released => 0,
        }
    }

    /// The next state, where the event can happen to it.
    pub(crate) fn next(&self, event: Event) -> Option<Stands> {
        match (self.stands, event) {
            (Stands::Held, Event::Executed(amount))
            | (Stands::InDoubt, Event::Found(amount) | Event::ResolvedSettled(amount)) => {
                Some(Stands::Settled(amount.as_micros()))
            }
            (Stands::Held, Event::NotExecuted) if !self.doubted => Some(Stands::Released),
            (Stands::Held, Event::Unknown | Event::Lost) if self.is_read => Some(Stands::Released),
            (Stands::Held, Event::NotExecuted | Event::Unknown | Event::Lost) => {
                Some(Stands::InDoubt)
            }
            (Stands::InDoubt, Event::Absent | Event::ResolvedReleased) => Some(Stands::Released),
            _ => None,
        }
    }

    fn become_(&mut self, stands: Stands) {
        self.stands = stands;
        self.doubted |= stands == Stands::InDoubt;
    }
}

/// Sums over the calls of a budget and its descendants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) held: u64,
    pub(crate) spent: u64,
    pub(crate) in_doubt: u64,
    /// What was billed beyond the holds.
    pub(crate) overrun: u64,
}

/// The books.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    /// The ledger's time.
    pub(crate) now: i64,
    pub(crate) accounts: BTreeMap<BudgetId, Account>,
    pub(crate) keys: BTreeMap<KeyId, KeyEntry>,
    pub(crate) entries: BTreeMap<CallId, Entry>,
    /// Calls that were refused or replayed.
    pub(crate) moneyless: BTreeSet<CallId>,
    /// The fingerprint and key of every issue request's idempotency key.
    pub(crate) issued: BTreeMap<String, ([u8; 32], KeyId)>,
    /// The runs that issue nothing, and since when.
    pub(crate) revoked_runs: BTreeMap<Runs, i64>,
    /// Runs that were let issue again.
    pub(crate) lifted: BTreeSet<Runs>,
    pub(crate) api_keys: BTreeMap<ApiKeyId, ApiKey>,
    /// What was done through the admin API.
    pub(crate) deeds: Vec<Kept>,
}

impl Books {
    /// A budget and its ancestors.
    pub(crate) fn chain(&self, budget: BudgetId) -> Vec<BudgetId> {
        let parent = |id: &BudgetId| self.accounts.get(id).and_then(|account| account.parent);
        std::iter::successors(Some(budget), parent).collect()
    }

    /// The budgets of a key, its own first.
    pub(crate) fn key_chain(&self, key: KeyId) -> Vec<BudgetId> {
        self.keys.get(&key).map_or_else(Vec::new, |entry| self.chain(entry.budget))
    }

    /// When the first of these was revoked.
    pub(crate) fn revoked(&self, chain: &[BudgetId]) -> Option<i64> {
        chain.iter().filter_map(|id| self.accounts[id].revoked_at).min()
    }

    /// The call that has this idempotency key.
    pub(crate) fn bound(&self, vendor: &str, key: Option<&String>) -> Option<(CallId, &Entry)> {
        let has = |entry: &Entry| {
            entry.stands != Stands::Released && entry.vendor == vendor && entry.key.as_ref() == key
        };
        key?;
        self.entries.iter().find(|(_, entry)| has(entry)).map(|(id, entry)| (*id, entry))
    }

    fn under(&self, budget: BudgetId) -> impl Iterator<Item = (&CallId, &Entry)> {
        self.entries.iter().filter(move |(_, entry)| entry.chain.contains(&budget))
    }

    /// How many calls were sent, or were about to be, for a budget or a descendant.
    pub(crate) fn calls(&self, budget: BudgetId) -> usize {
        self.under(budget).count()
    }

    /// When the first of the revocations that stop a run was made.
    pub(crate) fn run_revoked(&self, label: &RunLabel) -> Option<i64> {
        let runs = self.revoked_runs.iter().filter(|(runs, _)| names(runs, label));
        runs.map(|(_, at)| *at).min()
    }

    /// The budgets of all keys of these runs.
    pub(crate) fn budgets_of(&self, runs: &Runs) -> BTreeSet<BudgetId> {
        let keys = self.keys.values().filter(|key| names(runs, &key.label));
        keys.map(|key| key.budget).collect()
    }

    /// The sums of a budget, one call left out.
    pub(crate) fn sums(&self, budget: BudgetId, without: Option<CallId>) -> Sums {
        let mut sums = Sums::default();
        for (_, entry) in self.under(budget).filter(|(id, _)| Some(**id) != without) {
            match entry.stands {
                Stands::Held => sums.held += entry.hold,
                Stands::InDoubt => {
                    sums.spent += entry.hold;
                    sums.in_doubt += entry.hold;
                }
                Stands::Settled(amount) => {
                    sums.spent += amount;
                    sums.overrun += amount.saturating_sub(entry.hold);
                }
                Stands::Released => {}
            }
        }
        sums
    }

    /// What is spent by the calls that were last begun in a window.
    pub(crate) fn spent_in(&self, budget: BudgetId, window: i64, without: Option<CallId>) -> u64 {
        let account = &self.accounts[&budget];
        self.under(budget)
            .filter(|(id, entry)| {
                Some(**id) != without
                    && matches!(entry.stands, Stands::Settled(_) | Stands::InDoubt)
                    && account.window(entry.begun_at) == window
            })
            .map(|(_, entry)| entry.amount())
            .sum()
    }

    /// All calls in this state that spend from a budget.
    pub(crate) fn in_state(&self, budget: BudgetId, stands: Stands) -> Vec<CallId> {
        self.under(budget).filter(|(_, entry)| entry.stands == stands).map(|(id, _)| *id).collect()
    }

    /// Books what a reply says.
    pub(crate) fn post(&mut self, command: &Command, reply: &Reply) {
        match (command, reply) {
            (Command::Issue(issue), Reply::Issued(Ok(issued))) => self.post_issue(issue, issued),
            (Command::Refresh(refresh), Reply::Issued(Ok(issued))) => {
                self.post_refresh(refresh, issued);
            }
            (Command::Revoke(Revoke { key, by }), Reply::Revoked(Ok(_))) => {
                let budget = self.keys[key].budget;
                if self.accounts[&budget].revoked_at.is_none() {
                    self.post_deed(by, "key_revoked", key);
                }
                self.stop(budget);
            }
            (Command::RevokeRuns(revoke), Reply::Revoked(Ok(_))) => {
                self.budgets_of(&revoke.runs).into_iter().for_each(|budget| self.stop(budget));
                if !self.revoked_runs.contains_key(&revoke.runs) {
                    self.revoked_runs.insert(revoke.runs.clone(), self.now);
                    self.post_deed(&revoke.by, "runs_revoked", &shown(&revoke.runs));
                }
            }
            (Command::Lift(lift), Reply::Lifted(_)) => self.post_lift(lift),
            (Command::CreateApiKey(create), Reply::ApiKey(Ok(key))) => {
                self.api_keys.insert(key.id, key.clone());
                self.post_deed(&create.by, "api_key_created", &create.id);
            }
            (Command::RevokeApiKey(revoke), Reply::ApiKey(Ok(key))) => {
                let before = self.api_keys.insert(key.id, key.clone());
                if before.is_some_and(|before| before.revoked_at.is_none()) {
                    self.post_deed(&revoke.by, "api_key_revoked", &revoke.key);
                }
            }
            (Command::Begin(begin), Reply::Begun(said)) => self.post_begin(begin, said),
            (Command::Finish(finish), Reply::Ended(ended)) => self.post_finish(finish, ended),
            (Command::Conclude(found), Reply::Ended(ended)) => self.post_conclude(found, ended),
            (Command::Recover, Reply::Recovered(_)) => {
                for entry in self.entries.values_mut() {
                    if let Some(stands) = entry.next(Event::Lost) {
                        entry.become_(stands);
                    }
                }
            }
            _ => {}
        }
    }

    fn post_deed(&mut self, who: &Actor, deed: &str, target: &impl ToString) {
        let (who, deed, target) = (who.to_string(), deed.to_owned(), target.to_string());
        self.deeds.push(Kept { at: self.now, who, deed, target });
    }

    fn post_lift(&mut self, lift: &Lift) {
        if self.revoked_runs.remove(&lift.runs).is_some() {
            self.lifted.insert(lift.runs.clone());
            self.post_deed(&lift.by, "runs_lifted", &shown(&lift.runs));
        }
    }

    fn stop(&mut self, budget: BudgetId) {
        let now = self.now;
        let account = self.accounts.get_mut(&budget).unwrap();
        account.revoked_at.get_or_insert(now);
    }

    fn post_issue(&mut self, issue: &Issue, issued: &Issued) {
        if issued.replayed {
            return;
        }
        self.post_deed(&issue.by, "key_issued", &issue.key);
        let usd = |cap: Option<keybrake_core::money::MicroUsd>| {
            cap.map(keybrake_core::money::MicroUsd::as_micros)
        };
        let parent = issue.parent.map(|parent| self.keys[&parent].budget);
        self.accounts.insert(
            issue.budget,
            Account {
                parent,
                daily: usd(issue.caps.daily()),
                total: usd(issue.caps.total()),
                max_calls: issue.caps.max_calls(),
                anchor: self.now,
                revoked_at: None,
            },
        );
        self.keys.insert(
            issue.key,
            KeyEntry {
                budget: issue.budget,
                per_call: usd(issue.policy.per_call_usd_cap),
                issued_at: self.now,
                expires_at: at_end(self.now, issue.lives),
                successor: None,
                label: issue.label.clone(),
            },
        );
        if let Some(once) = &issue.once {
            let made = (issue.fingerprint, issue.key);
            self.issued.insert(once.key.clone(), made);
        }
    }

    fn post_refresh(&mut self, refresh: &Refresh, issued: &Issued) {
        if issued.replayed {
            return;
        }
        self.post_deed(&refresh.by, "key_refreshed", &refresh.key);
        let last = self.newest(refresh.key);
        let old = self.keys.get_mut(&last).unwrap();
        old.successor = Some(refresh.successor);
        let as_before = old.expires_at - old.issued_at;
        let expires_at = match refresh.lives {
            Some(lives) => at_end(self.now, lives),
            None => self.now + as_before,
        };
        let new = KeyEntry { issued_at: self.now, expires_at, successor: None, ..old.clone() };
        self.keys.insert(refresh.successor, new);
    }

    /// The last of the keys that refreshes made of this one.
    pub(crate) fn newest(&self, key: KeyId) -> KeyId {
        let next = |id: &KeyId| self.keys[id].successor;
        std::iter::successors(Some(key), next).last().unwrap()
    }

    fn post_begin(&mut self, begin: &Begin, said: &Begun) {
        match said {
            Begun::Held(held) if held.call == begin.call => self.post_hold(begin, held),
            Begun::Held(held) => {
                let now = self.now;
                if let Some(entry) = self.entries.get_mut(&held.call) {
                    entry.stands = Stands::Held;
                    entry.attempt = held.attempt;
                    entry.begun_at = now;
                }
            }
            Begun::Denied { call, .. } | Begun::Replay { call, .. } => {
                self.moneyless.insert(*call);
            }
            Begun::Contended { .. } => {}
        }
    }

    fn post_hold(&mut self, begin: &Begin, held: &HeldCall) {
        let entry = Entry {
            vendor: begin.request.vendor.clone(),
            key: begin.request.idempotency_key.clone(),
            fingerprint: begin.request.fingerprint,
            chain: self.key_chain(begin.key.id),
            hold: held.hold.as_micros(),
            stands: Stands::Held,
            doubted: false,
            is_read: begin.request.method.is_read(),
            at: self.now,
            begun_at: self.now,
            attempt: held.attempt,
            tag: begin.tagged.then(|| self.keys[&begin.key.id].label.clone()),
            object_id: None,
            by_operator: false,
        };
        self.entries.insert(begin.call, entry);
    }

    fn post_finish(&mut self, finish: &Finish, ended: &Ended) {
        let Some(entry) = self.entries.get_mut(&finish.call) else {
            return;
        };
        if matches!(ended, Ended::Recorded { .. })
            && let Some(stands) = entry.next(answered(finish.evidence))
        {
            entry.become_(stands);
            entry.object_id.clone_from(&finish.answer.object_id);
        }
    }

    fn post_conclude(&mut self, found: &Conclude, ended: &Ended) {
        let by_operator =
            matches!(found.finding, Finding::ResolvedSettled(_) | Finding::ResolvedReleased);
        let Some(entry) = self.entries.get_mut(&found.call) else {
            return;
        };
        if matches!(ended, Ended::Recorded { .. })
            && let Some(stands) = concluded(found.finding).and_then(|event| entry.next(event))
        {
            entry.become_(stands);
            entry.by_operator = by_operator;
            entry.object_id = found.object_id.clone().or(entry.object_id.take());
            if by_operator {
                self.post_deed(&found.by, "call_resolved", &found.call);
            }
        }
    }

    /// The API key that a command ought to make.
    pub(crate) fn made(&self, create: &CreateApiKey) -> ApiKey {
        ApiKey {
            id: create.id,
            token_hash: create.token_hash,
            name: create.name.clone(),
            role: create.role,
            bounds: create.bounds.clone(),
            created_at: at(self.now),
            expires_at: create.lives.map(|lives| at(at_end(self.now, lives))),
            revoked_at: None,
        }
    }
}

fn names(runs: &Runs, label: &RunLabel) -> bool {
    match runs {
        Runs::Labelled(own) => own.as_str() == label.as_str(),
        Runs::Prefixed(prefix) => label.as_str().strip_prefix(prefix).is_some(),
    }
}

fn shown(runs: &Runs) -> String {
    let wild = if matches!(runs, Runs::Prefixed(_)) { "*" } else { "" };
    format!("{}{wild}", runs.text())
}

fn at_end(now: i64, lives: std::time::Duration) -> i64 {
    now + i64::try_from(lives.as_micros()).unwrap()
}
