//! `issue-vault-key`: the first state of a run, and the state after a long wait.
//!
//! The history of an execution holds what this returns, for up to 90 days. By default that is the
//! key's name, which is no credential. `"return_token": true` in the input, or
//! `KEYBRAKE_RETURN_TOKEN=true` for all of a function's callers, adds the token as `vault_key`.

use std::env;

use keybrake_client::{Failure, IdempotencyKey, IssueRequest, IssuedKey, Keybrake, input};
use keybrake_core::ids::KeyId;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

/// The state's name where the input does not say it.
const ONLY_STATE: &str = "issue-vault-key";

/// What the state passes, besides the request itself.
#[derive(Deserialize)]
struct OfState {
    /// `$$.Execution.Id`. The run's label otherwise.
    execution_id: Option<String>,
    /// `$$.State.Name`. Two states of one execution that issue for two vendors need it.
    state: Option<String>,
    /// The key that an earlier state issued: its budget goes on, and no second one is made.
    key_id: Option<KeyId>,
    /// For a key that goes on, how long; as long as it had at first otherwise.
    expires_in: Option<String>,
    return_token: Option<bool>,
}

const OF_STATE: [&str; 3] = ["execution_id", "state", "key_id"];

/// Issues a vault key, once for each execution and state, however often the state is tried. With the
/// `key_id` of an earlier state it refreshes that key on its own budget instead.
pub async fn issue_vault_key(keybrake: Keybrake, mut input: Value) -> Result<IssuedKey, Failure> {
    let of: OfState = input::read(input.clone())?;
    if let Some(key) = of.key_id {
        let return_token = of.return_token.unwrap_or_else(tokens_by_default);
        return keybrake.refresh(key, of.expires_in.as_deref(), return_token).await;
    }
    if let Some(fields) = input.as_object_mut() {
        fields.retain(|name, _| !OF_STATE.contains(&name.as_str()));
    }
    let mut request: IssueRequest = input::read(input)?;
    request.return_token.get_or_insert_with(tokens_by_default);
    let Some(execution) = of.execution_id.or_else(|| request.agent_run_label.clone()) else {
        let problem = "is missing; pass the Context object's $$.Execution.Id";
        return Err(Failure::invalid_input("execution_id", problem));
    };
    let state = of.state.as_deref().unwrap_or(ONLY_STATE);
    let once = IdempotencyKey::new(format!("{execution}/{}", escaped(state)))?;
    keybrake.issue(&request.for_run(|| execution), &once).await
}

fn tokens_by_default() -> bool {
    env::var("KEYBRAKE_RETURN_TOKEN").is_ok_and(|value| value.trim() == "true")
}

/// A state's name has spaces and any letters; an idempotency key has neither.
fn escaped(state: &str) -> String {
    const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
    utf8_percent_encode(state, ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_states_never_share_an_idempotency_key() {
        let names = ["Issue key", "Issue%20key", "Issuekey", "Issüe"];
        let keys: Vec<_> = names.iter().map(|name| escaped(name)).collect();
        assert_eq!(keys, ["Issue%20key", "Issue%2520key", "Issuekey", "Iss%C3%BCe"]);
    }
}
