//! One activity: its input read, what it came to written.

use keybrake_client::Failure;
use serde::Deserialize;
use serde_json::Value;

use super::messages::{ActivityRequest, ActivityResponse, FailureDetails};
use crate::{
    activities::{Activities, Activity},
    plain::{failed, succeeded},
    server::LARGEST_BODY,
};

/// How an orchestrator wants to hear of what no retry mends.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FailuresAs {
    #[default]
    Failure,
    Value,
}

/// Does what is asked, and gives the answer to it.
pub(super) async fn run(
    activities: &Activities,
    request: ActivityRequest,
    completion_token: String,
) -> ActivityResponse {
    let ActivityRequest { name, input, instance, task_id } = request;
    let instance_id = instance.map(|instance| instance.id).unwrap_or_default();
    let (result, failure) = match attempt(activities, &name, &instance_id, input).await {
        Ok(value) => (Some(value.to_string()), None),
        Err(failure) => (None, Some(details_of(&failure))),
    };
    ActivityResponse { instance_id, task_id, result, failure, completion_token }
}

async fn attempt(
    activities: &Activities,
    name: &str,
    instance: &str,
    input: Option<String>,
) -> Result<Value, Failure> {
    let Some((activity, ..)) = Activity::ALL.into_iter().find(|(_, _, known)| *known == name)
    else {
        let names = Activity::ALL.map(|(_, _, known)| known).join(", ");
        let problem = format!("this worker has no {name:?}; it has {names}");
        return Err(Failure::invalid_input("activity", problem));
    };
    let (input, failures) = read(&input.unwrap_or_default())?;
    let run = Some(instance).filter(|id| !id.is_empty());
    match (activities.run(activity, run, input).await, failures) {
        (Ok(done), FailuresAs::Failure) => Ok(done),
        (Ok(done), FailuresAs::Value) => Ok(succeeded(done)),
        (Err(failure), FailuresAs::Value) if failure.is_terminal() => Ok(failed(&failure)),
        (Err(failure), FailuresAs::Value | FailuresAs::Failure) => Err(failure),
    }
}

/// The input without what it says of failures.
fn read(text: &str) -> Result<(Value, FailuresAs), Failure> {
    if text.len() > LARGEST_BODY {
        let problem = format!("has {} bytes, of at most {LARGEST_BODY}", text.len());
        return Err(Failure::invalid_input("input", problem));
    }
    let mut input: Value =
        serde_json::from_str(text).map_err(|_| Failure::invalid_input("input", "is not JSON"))?;
    let failures = match input.as_object_mut().and_then(|fields| fields.remove("failures")) {
        None => FailuresAs::default(),
        Some(wanted) => FailuresAs::deserialize(wanted).map_err(|_| {
            Failure::invalid_input("failures", "is neither \"failure\" nor \"value\"")
        })?,
    };
    Ok((input, failures))
}

/// The message is the report as JSON, so that an orchestrator can read the code out of it.
fn details_of(failure: &Failure) -> FailureDetails {
    let report = serde_json::to_string(&failure.report());
    FailureDetails {
        error_type: failure.name().to_owned(),
        error_message: report.unwrap_or_else(|_| failure.to_string()),
        is_non_retriable: failure.is_terminal(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_read_with_what_it_says_of_failures_and_refused_by_what_is_wrong() {
        let (input, failures) = read(r#"{"key_id":"vk_1","failures":"value"}"#).unwrap();
        assert_eq!(input, serde_json::json!({"key_id": "vk_1"}));
        assert!(matches!(failures, FailuresAs::Value));
        assert!(matches!(read("{}").unwrap().1, FailuresAs::Failure));
        let large = format!("\"{}\"", "x".repeat(LARGEST_BODY));
        for (text, says) in [
            ("", "input: is not JSON"),
            ("{", "input: is not JSON"),
            (r#"{"failures":"both"}"#, "failures: is neither"),
            (&large, "input: has 6291458 bytes"),
        ] {
            let failure = read(text).err().unwrap();
            assert_eq!(failure.name(), "InvalidInput");
            let message = &failure.told().message;
            assert!(message.starts_with(says) && message.len() < 200, "{message}");
        }
    }

    #[test]
    fn what_may_hold_a_token_is_not_shown() {
        let request =
            ActivityRequest { input: Some("vault_key_x".to_owned()), ..Default::default() };
        let response =
            ActivityResponse { result: Some("vault_key_x".to_owned()), ..Default::default() };
        assert!(!format!("{request:?} {response:?}").contains("vault_key_x"));
    }
}
