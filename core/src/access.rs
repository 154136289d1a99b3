//! API keys: who may issue, refresh and revoke vault keys, spend as one, and read the audit log.
//!
//! A role says which actions a key has; its bounds say on whose runs. Both are checked before a
//! command reaches the ledger, and whatever is not named is refused.

use std::{collections::BTreeSet, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    budget::Caps,
    ids::{ApiKeyId, BudgetId, KeyId},
    ledger::rows::VaultKey,
    money::MicroUsd,
    policy::{RunLabel, Runs},
    refusal::Refusal,
    time::Timestamp,
    token::TokenHash,
};

/// What an API key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Issues, refreshes and revokes vault keys.
    Issuer,
    /// Spends as a vault key that it names, without ever holding its token.
    Caller,
    /// Reads.
    Auditor,
}

/// Something that an API key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Issue a vault key.
    Issue,
    /// Refresh one.
    Refresh,
    /// Revoke one, or runs.
    Revoke,
    /// List and show vault keys.
    ReadKeys,
    /// Make a call as a vault key.
    Spend,
    /// Read and export audit rows.
    ReadCalls,
    /// End a doubt by an operator's word.
    Resolve,
    /// Let a revoked run issue again.
    LiftRun,
    /// Create, list and revoke API keys.
    ManageApiKeys,
    /// Read what was done through the admin API, and by whom.
    ReadActions,
    /// Read the metrics.
    ReadMetrics,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 11] = [
        Self::Issue,
        Self::Refresh,
        Self::Revoke,
        Self::ReadKeys,
        Self::Spend,
        Self::ReadCalls,
        Self::Resolve,
        Self::LiftRun,
        Self::ManageApiKeys,
        Self::ReadActions,
        Self::ReadMetrics,
    ];
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Issuer, Self::Caller, Self::Auditor];

    /// The role's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Issuer => "issuer",
            Self::Caller => "caller",
            Self::Auditor => "auditor",
        }
    }

    /// Whether the role has this action.
    #[must_use]
    pub const fn may(self, action: Action) -> bool {
        match self {
            Self::Admin => true,
            Self::Issuer => matches!(
                action,
                Action::Issue | Action::Refresh | Action::Revoke | Action::ReadKeys
            ),
            Self::Caller => matches!(action, Action::Spend),
            Self::Auditor => matches!(
                action,
                Action::ReadKeys | Action::ReadCalls | Action::ReadActions | Action::ReadMetrics
            ),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whose runs an API key is for, and what it may give them. What is absent is not bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Only runs whose label begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_prefix: Option<String>,
    /// Only these vendors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendors: Option<BTreeSet<String>>,
    /// No cap above this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_usd_cap: Option<MicroUsd>,
    /// No vault key that lives longer, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_expiry_seconds: Option<u64>,
    /// Only under this vault key's budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
}

impl Bounds {
    /// The first bound that says nothing to a key of this role, which its maker should be told.
    #[must_use]
    pub fn pointless_for(&self, role: Role) -> Option<&'static str> {
        let given = [
            ("label_prefix", self.label_prefix.is_some()),
            ("vendors", self.vendors.is_some()),
            ("parent_key_id", self.parent.is_some()),
            ("largest_usd_cap", self.largest_usd_cap.is_some()),
            ("longest_expiry", self.longest_expiry_seconds.is_some()),
        ];
        let meaningful = match role {
            Role::Admin => 0,
            Role::Auditor => 2,
            Role::Caller => 3,
            Role::Issuer => given.len(),
        };
        given.into_iter().skip(meaningful).find(|(_, is_given)| *is_given).map(|(name, _)| name)
    }
}

/// A vault key whose budget others spend from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parent {
    /// The vault key.
    pub key: KeyId,
    /// Its budget.
    pub budget: BudgetId,
}

/// Who asks the admin API, as it is recorded: `ak_…`, or `admin` for the configured key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(String);

impl Actor {
    /// The configured admin key.
    #[must_use]
    pub fn admin() -> Self {
        Self("admin".to_owned())
    }

    /// Whoever is at the command line on the server's own machine.
    #[must_use]
    pub fn command_line() -> Self {
        Self("command line".to_owned())
    }

    /// The proxy itself, that looked something up at a vendor.
    #[must_use]
    pub fn look_up() -> Self {
        Self("look-up".to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<ApiKeyId> for Actor {
    fn from(key: ApiKeyId) -> Self {
        Self(key.to_string())
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An API key. All but the times of its revocation and last use never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public id.
    pub id: ApiKeyId,
    /// The SHA-256 of its token.
    pub token_hash: TokenHash,
    /// What its owner calls it.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// On whose runs.
    pub bounds: Bounds,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it stops to work.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// An API key that was recognised and still lives: its role and bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    actor: Actor,
    role: Role,
    bounds: Bounds,
}

impl Grant {
    /// The configured admin key's.
    #[must_use]
    pub fn admin() -> Self {
        Self { actor: Actor::admin(), role: Role::Admin, bounds: Bounds::default() }
    }

    /// What an API key grants now.
    ///
    /// # Errors
    /// [`Refusal::InvalidKey`] where it expired or was revoked: like a key that was never there.
    pub fn of(key: &ApiKey, now: Timestamp) -> Result<Self, Refusal> {
        let lives = key.revoked_at.is_none() && key.expires_at.is_none_or(|at| now < at);
        if !lives {
            return Err(Refusal::InvalidKey);
        }
        Ok(Self { actor: key.id.into(), role: key.role, bounds: key.bounds.clone() })
    }

    /// Who asks.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// On whose runs.
    #[must_use]
    pub const fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Lets pass what the role has.
    ///
    /// # Errors
    /// [`Refusal::NotPermitted`].
    pub fn permit(&self, action: Action) -> Result<(), Refusal> {
        if self.role.may(action) {
            return Ok(());
        }
        Err(not_permitted(format!("an API key of the role {} can't do this", self.role)))
    }

    /// Lets pass what is about all runs.
    ///
    /// # Errors
    /// [`Refusal::NotPermitted`].
    pub fn permit_everything(&self) -> Result<(), Refusal> {
        if self.bounds == Bounds::default() {
            return Ok(());
        }
        Err(not_permitted("this API key is bound to some runs or vendors, and this is about all"))
    }

    /// Lets pass a vault key that lies within the bounds. One that does not is told like one that
    /// is not there, so that nothing is learned about it.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn permit_key(&self, key: &VaultKey) -> Result<(), Refusal> {
        let below = |parent: &Parent| key.chain.iter().skip(1).any(|id| *id == parent.budget);
        let within = self.has_label(&key.label)
            && self.has_vendor(&key.policy.vendor)
            && self.bounds.parent.as_ref().is_none_or(below);
        if within { Ok(()) } else { Err(Refusal::unknown_key(key.id)) }
    }

    /// Lets pass runs that all lie within the bounds.
    ///
    /// # Errors
    /// [`Refusal::NotPermitted`].
    pub fn permit_runs(&self, runs: &Runs) -> Result<(), Refusal> {
        let prefix = self.bounds.label_prefix.as_deref().unwrap_or_default();
        let unbounded = self.bounds.vendors.is_none() && self.bounds.parent.is_none();
        if runs.text().starts_with(prefix) && unbounded {
            return Ok(());
        }
        Err(not_permitted(
            "this API key is bound to other runs, to vendors or to a parent: revoke key by key",
        ))
    }

    /// Lets pass an issue within the bounds. A total cap that is not given becomes the largest.
    ///
    /// # Errors
    /// [`Refusal::NotPermitted`].
    pub fn permit_issue(
        &self,
        label: &RunLabel,
        vendor: Option<&str>,
        caps: Caps,
        lives: Duration,
    ) -> Result<Caps, Refusal> {
        let bounds = &self.bounds;
        if !self.has_label(label) {
            let prefix = bounds.label_prefix.as_deref().unwrap_or_default();
            return Err(not_permitted(format!(
                "this API key is for runs whose label begins with {prefix:?}"
            )));
        }
        if vendor.is_some_and(|vendor| !self.has_vendor(vendor)) {
            return Err(not_permitted("this API key is not for that vendor"));
        }
        self.permit_lives(lives)?;
        let Some(largest) = bounds.largest_usd_cap else {
            return Ok(caps);
        };
        let over = |cap: Option<MicroUsd>| cap.is_some_and(|cap| cap > largest);
        if over(caps.daily()) || over(caps.total()) {
            return Err(not_permitted(format!("this API key gives caps up to {largest} USD")));
        }
        Ok(caps.with_total_up_to(largest))
    }

    /// Lets pass a life of a vault key.
    ///
    /// # Errors
    /// [`Refusal::NotPermitted`].
    pub fn permit_lives(&self, lives: Duration) -> Result<(), Refusal> {
        match self.bounds.longest_expiry_seconds {
            Some(longest) if lives > Duration::from_secs(longest) => Err(not_permitted(format!(
                "this API key gives vault keys that live up to {longest} s"
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// The key that a new vault key is issued under: the asked one, which must lie within the
    /// bounds, or else the one that this API key is bound to.
    #[must_use]
    pub fn parent_of_issue(&self, asked: Option<KeyId>) -> Option<KeyId> {
        asked.or(self.bounds.parent.map(|parent| parent.key))
    }

    /// Lets pass a parent of a new vault key.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn permit_parent(&self, parent: &VaultKey) -> Result<(), Refusal> {
        if self.bounds.parent.is_some_and(|bound| Some(bound.budget) == parent.budget()) {
            return Ok(());
        }
        self.permit_key(parent)
    }

    fn has_label(&self, label: &RunLabel) -> bool {
        let prefix = self.bounds.label_prefix.as_deref();
        prefix.is_none_or(|prefix| label.as_str().starts_with(prefix))
    }

    fn has_vendor(&self, vendor: &str) -> bool {
        self.bounds.vendors.as_ref().is_none_or(|vendors| vendors.contains(vendor))
    }
}

fn not_permitted(why: impl Into<String>) -> Refusal {
    Refusal::NotPermitted { why: why.into() }
}

#[cfg(test)]
mod tests;
