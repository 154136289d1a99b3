//! Whole runs that are stopped and let issue again, how many calls they may make, and API keys.

use keybrake_core::{
    access::{Actor, Bounds, Parent, Role},
    ids::ApiKeyId,
    ledger::{Command, CreateApiKey, Lift, RevokeApiKey, RevokeRuns},
    policy::Runs,
    token::TokenHash,
};
use rand::{Rng, seq::IndexedRandom};

use crate::{
    history::Plan,
    make::{DAY, label, micros, span},
    subject::Subject,
    vendor::{DEDUPLICATES, FORGETFUL},
    world::World,
};

/// Few enough that several keys have one, and so that some begin alike.
const LABELS: [&str; 8] = ["job-1", "job-10", "job-11", "job-2", "run/a", "run/b", "run/bc", "é"];

impl<S: Subject> World<S> {
    /// The run of a new key, in a history where runs have several.
    pub(crate) fn some_label(&mut self) -> Option<&'static str> {
        LABELS.choose(&mut self.rng).copied().filter(|_| self.shared_labels)
    }

    /// Few calls for a child, more for a root.
    pub(crate) fn some_max_calls(&mut self, nested: bool) -> Option<u32> {
        let most = self.rng.random_range(1..if nested { 6 } else { 25 });
        self.rng.random_bool(0.25).then_some(most)
    }

    pub(crate) fn plan_runs_or_api_keys(&mut self, plan: &mut Plan) {
        match self.rng.random_range(0..10) {
            0..3 => self.plan_revoke_runs(plan),
            3..6 => self.plan_lift(plan),
            6..8 => self.plan_create_api_key(plan),
            _ => self.plan_revoke_api_key(plan),
        }
    }

    fn somebody(&mut self) -> Actor {
        let keys: Vec<_> = self.books.api_keys.keys().copied().collect();
        keys.choose(&mut self.rng).map_or_else(Actor::admin, |key| Actor::from(*key))
    }

    fn any_runs(&mut self) -> Option<Runs> {
        let key = self.any_key()?;
        // The first keys are the roots: stopped less often, or nothing would be left to do.
        let spare = key.chain.len() == 1 && self.rng.random_bool(0.7);
        let to_come = self.rng.random_bool(0.2).then(|| LABELS.choose(&mut self.rng).copied());
        let text = match to_come.flatten() {
            Some(text) => text,
            None if spare => return None,
            None => key.label.as_str(),
        };
        let mut prefix = text.to_owned();
        if self.rng.random_bool(0.7) {
            prefix.pop();
        }
        let is_prefix = self.rng.random_bool(0.5) && !prefix.is_empty();
        Some(if is_prefix { Runs::Prefixed(prefix) } else { Runs::Labelled(label(text)) })
    }

    fn revoked_runs(&mut self) -> Option<Runs> {
        let revoked: Vec<_> = self.books.revoked_runs.keys().cloned().collect();
        revoked.choose(&mut self.rng).cloned()
    }

    fn plan_revoke_runs(&mut self, plan: &mut Plan) {
        let again = self.revoked_runs().filter(|_| self.rng.random_bool(0.2));
        let Some(runs) = again.or_else(|| self.any_runs()) else {
            return;
        };
        let by = self.somebody();
        plan.commands.push(Command::RevokeRuns(Box::new(RevokeRuns { runs, by })));
    }

    fn plan_lift(&mut self, plan: &mut Plan) {
        let revoked = self.revoked_runs().filter(|_| self.rng.random_bool(0.9));
        let Some(runs) = revoked.or_else(|| self.any_runs()) else {
            return;
        };
        let by = self.somebody();
        plan.commands.push(Command::Lift(Box::new(Lift { runs, by })));
    }

    fn plan_create_api_key(&mut self, plan: &mut Plan) {
        let id = self.fresh_api_key();
        let mut token_hash = [9; 32];
        token_hash[..8].copy_from_slice(&id.number().to_be_bytes());
        let create = CreateApiKey {
            id,
            token_hash: TokenHash::from_bytes(token_hash),
            name: format!("the {}th", id.number()),
            role: *Role::ALL.choose(&mut self.rng).unwrap(),
            bounds: self.some_bounds(),
            lives: self.rng.random_bool(0.5).then(|| span(3 * DAY)),
            by: self.somebody(),
        };
        plan.commands.push(Command::CreateApiKey(Box::new(create)));
    }

    fn some_bounds(&mut self) -> Bounds {
        let mut bounded = || self.rng.random_bool(0.5);
        let vendors = [DEDUPLICATES, FORGETFUL].map(str::to_owned);
        let bounds = Bounds {
            label_prefix: bounded().then(|| "run/".to_owned()),
            vendors: bounded().then(|| vendors.into()),
            largest_usd_cap: bounded().then(|| micros(70)),
            longest_expiry_seconds: bounded().then_some(60),
            parent: None,
        };
        let parent = self.any_key().filter(|_| self.rng.random_bool(0.5));
        let parent = parent.and_then(|key| Some(Parent { key: key.id, budget: key.budget()? }));
        Bounds { parent, ..bounds }
    }

    fn plan_revoke_api_key(&mut self, plan: &mut Plan) {
        let known: Vec<_> = self.books.api_keys.keys().copied().collect();
        let known = known.choose(&mut self.rng).copied();
        let key = known.unwrap_or(ApiKeyId::from_number(1));
        plan.commands.push(Command::RevokeApiKey(RevokeApiKey { key, by: self.somebody() }));
    }
}
