//! Vault keys as a worker sees them: asking for one, and naming the one that pays.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use keybrake_core::{ids::KeyId, time::Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Number, Value};

/// A key that lives no longer than this is refreshed before it pays.
pub const REFRESH_BELOW: Duration = Duration::from_mins(10);

/// What a run asks for. The proxy checks it, and names the field that it does not take.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssueRequest {
    /// The vendor whose API the key is for, such as `stripe`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Dollars per 24 hours from the issue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_usd_cap: Option<Dollars>,
    /// Dollars for the life of the budget. The daily cap, where only that is given: a run's cap must
    /// not reopen because the run takes long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_usd_cap: Option<Dollars>,
    /// Dollars that one call may cost at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_call_usd_cap: Option<Dollars>,
    /// How many calls may be made in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_calls: Option<u32>,
    /// Such as `POST /v1/payment_intents`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_endpoints: Option<Vec<String>>,
    /// The time to live, such as `2h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
    /// The same in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
    /// The run's name.
    #[serde(alias = "label", skip_serializing_if = "Option::is_none")]
    pub agent_run_label: Option<String>,
    /// A key whose budget is spent from as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_key_id: Option<KeyId>,
    /// Whether the answer has the token. An adapter asks for none unless this is `true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_token: Option<bool>,
    /// For a parameter, the values that it may have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub allowed_params: BTreeMap<String, Vec<String>>,
    /// The vendor's accounts that a header such as `Stripe-Account` may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_accounts: Vec<String>,
    /// `cancel` takes back what a decline leaves committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_decline: Option<String>,
    /// By endpoint, what a call counts for whose price can't be known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fixed_holds: BTreeMap<String, Dollars>,
    /// `content` for calls that carry no idempotency key of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<String>,
    /// Whether a write without an idempotency key is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_idempotency_key: Option<bool>,
}

/// Dollars as they were written: a number or a text with at most six decimals. The proxy reads them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dollars {
    /// `50` or `0.25`.
    Number(Number),
    /// `"50"` or `"0.25"`.
    Text(String),
}

impl From<u32> for Dollars {
    fn from(dollars: u32) -> Self {
        Self::Number(dollars.into())
    }
}

impl IssueRequest {
    /// The request with what every adapter adds: a label where the run has given none, no token
    /// unless it is asked for, and a cap for the whole run.
    #[must_use]
    pub fn for_run(mut self, default_label: impl FnOnce() -> String) -> Self {
        self.agent_run_label.get_or_insert_with(default_label);
        self.return_token.get_or_insert(false);
        if self.total_usd_cap.is_none() {
            self.total_usd_cap.clone_from(&self.daily_usd_cap);
        }
        self
    }
}

/// An issued vault key. It goes into an engine's journal, without a token unless one was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IssuedKey {
    /// Its name, by which a `caller`'s API key spends.
    pub key_id: KeyId,
    /// The budget that it spends from, the same over all refreshes.
    pub budget_id: String,
    /// RFC 3339.
    pub expires_at: String,
    /// The run's name.
    pub agent_run_label: String,
    /// Where its calls go.
    pub base_url: String,
    /// The token, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "expose")]
    pub vault_key: Option<SecretString>,
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn expose<S: Serializer>(token: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    token.as_ref().map(ExposeSecret::expose_secret).serialize(serializer)
}

impl IssuedKey {
    /// The key's name and time, for whoever spends from it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { key_id: self.key_id, expires_at: Some(self.expires_at.clone()) }
    }
}

/// A vault key by its name: not a credential, so that a journal may hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {
    /// Its name.
    pub key_id: KeyId,
    /// RFC 3339; without it the key is refreshed only once it has expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

impl Handle {
    /// Whether fewer than ten minutes are left. A time that can't be read is none.
    pub(crate) fn is_short(&self) -> bool {
        let Some(until) = self.expires_at.as_deref().and_then(Timestamp::parse) else {
            return false;
        };
        until.since(now()) < REFRESH_BELOW
    }
}

fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "when to refresh is no decision about money")]
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

/// Who pays for a call, as an activity's input names it.
#[derive(Clone, Deserialize)]
#[serde(try_from = "SpenderFields")]
pub enum Spender {
    /// A key by its name; the worker's API key lets it spend.
    Handle(Handle),
    /// A key by its token.
    Token(SecretString),
}

/// `key_id` and `expires_at`, or `vault_key`; the name counts where both are given. An issued key
/// can be passed on as it is.
#[derive(Deserialize)]
struct SpenderFields {
    key_id: Option<KeyId>,
    expires_at: Option<String>,
    vault_key: Option<SecretString>,
}

impl TryFrom<SpenderFields> for Spender {
    type Error = &'static str;

    fn try_from(fields: SpenderFields) -> Result<Self, Self::Error> {
        let SpenderFields { key_id, expires_at, vault_key } = fields;
        match (key_id, vault_key) {
            (Some(key_id), _) => Ok(Self::Handle(Handle { key_id, expires_at })),
            (None, Some(token)) => Ok(Self::Token(token)),
            (None, None) => {
                Err("missing field `key_id`, the vault key's name, or `vault_key`, its token")
            }
        }
    }
}

/// Without the token.
impl fmt::Debug for Spender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle(handle) => handle.fmt(f),
            Self::Token(_) => f.write_str("a vault key's token"),
        }
    }
}

impl From<Handle> for Spender {
    fn from(handle: Handle) -> Self {
        Self::Handle(handle)
    }
}

/// A vault key's policy and where its money stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyState {
    /// Its name.
    pub key_id: KeyId,
    /// `live`, `expired` or `revoked`.
    pub state: String,
    /// The run's name.
    pub agent_run_label: String,
    /// Settled or in doubt, in dollars.
    pub spent_usd: String,
    /// On its way, in dollars.
    pub held_usd: String,
    /// Of what is spent, what may not have happened, in dollars.
    pub in_doubt_usd: String,
    /// What another call may cost now, in dollars.
    pub remaining_usd: String,
    /// RFC 3339.
    pub expires_at: String,
    /// RFC 3339.
    pub revoked_at: Option<String>,
    /// The key that this one was refreshed to.
    pub successor_key_id: Option<KeyId>,
    /// The rest of what the proxy tells, such as the allowed endpoints and the caps.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// What a revocation stopped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Revoked {
    /// RFC 3339. The same for each revocation of one key.
    pub revoked_at: String,
    /// Settled or in doubt, in dollars.
    pub spent_usd: String,
    /// Sent and not answered, in dollars.
    pub held_usd: String,
    /// Of what is spent, what may not have happened, in dollars.
    pub in_doubt_usd: String,
    /// The calls that were sent and are not answered.
    pub in_flight: Vec<String>,
    /// The calls of which it is not known whether they happened.
    pub in_doubt: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "vk_0000000000001";

    #[test]
    fn a_run_gets_no_token_and_one_cap_for_its_whole_life() {
        let request = IssueRequest { daily_usd_cap: Some(50.into()), ..IssueRequest::default() };
        let sent = serde_json::to_value(request.for_run(|| "engine/run".to_owned())).unwrap();
        assert_eq!(
            sent,
            json!({"daily_usd_cap": 50, "total_usd_cap": 50, "agent_run_label": "engine/run", "return_token": false})
        );
    }

    #[test]
    fn what_a_run_says_itself_stands() {
        let said = json!({"total_usd_cap": "2.5", "daily_usd_cap": 1, "label": "mine", "return_token": true});
        let request: IssueRequest = serde_json::from_value(said).unwrap();
        let sent = serde_json::to_value(request.for_run(|| "engine/run".to_owned())).unwrap();
        let stands = json!({"total_usd_cap": "2.5", "daily_usd_cap": 1, "agent_run_label": "mine", "return_token": true});
        assert_eq!(sent, stands);
    }

    #[test]
    fn a_spender_is_a_name_before_it_is_a_token_and_never_shown() {
        let read = |input| serde_json::from_value::<Spender>(input);
        let both =
            read(json!({"key_id": KEY, "vault_key": "vault_key_x", "base_url": "passed on"}))
                .unwrap();
        assert!(matches!(&both, Spender::Handle(handle) if handle.key_id.to_string() == KEY));
        let token = read(json!({"vault_key": "vault_key_x"})).unwrap();
        assert_eq!(format!("{token:?}"), "a vault key's token");
        assert!(read(json!({})).unwrap_err().to_string().contains("`key_id`"));
    }

    #[test]
    fn only_a_key_that_is_about_to_expire_is_short() {
        let handle =
            |expires_at: Option<String>| Handle { key_id: KEY.parse().unwrap(), expires_at };
        let minutes = |minutes| Some(now().after(Duration::from_mins(minutes)).to_string());
        assert!(handle(minutes(9)).is_short());
        assert!(handle(Some("2020-01-01T00:00:00Z".to_owned())).is_short());
        assert!(!handle(minutes(11)).is_short());
        assert!(!handle(None).is_short());
    }
}
