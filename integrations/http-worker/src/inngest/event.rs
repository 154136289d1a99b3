//! The event that began a run.

use std::collections::BTreeMap;

use keybrake_client::{Failure, input};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// An event, `{"name", "data", …}`, whose members are not read until they are asked for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Event(Option<BTreeMap<String, Box<RawValue>>>);

impl Event {
    /// What happened, such as `billing/subscription.process`.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        serde_json::from_str(self.member("name")?.get()).ok()
    }

    /// What it says of that. Without data: an empty object.
    ///
    /// # Errors
    /// `InvalidInput` with the path of what is not as it must be.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        match self.member("data").filter(|data| data.get() != "null") {
            Some(data) => input::read_raw(data),
            None => input::read(serde_json::json!({})),
        }
    }

    fn member(&self, name: &str) -> Option<&RawValue> {
        self.0.as_ref()?.get(name).map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Data {
        amount: u64,
    }

    fn event(text: &str) -> Event {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_event_has_a_name_and_data_and_all_else_it_came_with() {
        let full = event(r#"{"name": "a\u002fb", "data": {"amount": 5}, "ts": 1}"#);
        assert_eq!((full.name().as_deref(), full.data::<Data>().unwrap().amount), (Some("a/b"), 5));
        assert_eq!(json!(full), json!({"name": "a/b", "data": {"amount": 5}, "ts": 1}));
        let oddly_named = event(r#"{"name": 5, "data": {"amount": 5}}"#);
        assert_eq!((oddly_named.name(), oddly_named.data::<Data>().unwrap().amount), (None, 5));
        assert_eq!((Event::default().name(), json!(Event::default())), (None, Value::Null));
    }

    #[test]
    fn what_an_event_lacks_is_told_and_not_taken_for_something() {
        for (text, told) in [
            (r#"{"data": {"amount": "5"}}"#, "amount: is not u64"),
            (r#"{"data": {}}"#, "input: missing field `amount`"),
            (r#"{"data": [5]}"#, "input: is not an object"),
            (r#"{"data": null}"#, "input: missing field `amount`"),
            (r#"{"name": "a"}"#, "input: missing field `amount`"),
            ("null", "input: missing field `amount`"),
        ] {
            let failure = event(text).data::<Data>().unwrap_err();
            assert!(failure.told().message.starts_with(told), "{text}: {failure}");
        }
        assert!(serde_json::from_str::<Event>(r#"["a", {"amount": 5}]"#).is_err());
    }
}
