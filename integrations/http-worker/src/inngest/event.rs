//! The event that began a run.

use keybrake_client::{Failure, input};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// An event, `{"name", "data", …}`, of which nothing is read until it is asked for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Event(Box<RawValue>);

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct WithData<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl Event {
    /// What happened, such as `billing/subscription.process`.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        input::read_raw(&self.0).ok().map(|Named { name }| name)
    }

    /// What it says of that. Without data: an empty object.
    ///
    /// # Errors
    /// `InvalidInput` with the path of what is not as it must be.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if !input::is_object(&self.0) {
            return Err(Failure::invalid_input("event", "is not an object"));
        }
        match serde_json::from_str(self.0.get()) {
            Ok(WithData { data: Some(data) }) => input::read_raw(data),
            Ok(WithData { data: None }) => input::read(serde_json::json!({})),
            Err(_) => Err(Failure::invalid_input("event.data", "is there twice")),
        }
    }
}

/// No event.
impl Default for Event {
    fn default() -> Self {
        Self(RawValue::NULL.to_owned())
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
            (r#"{"data": {"amount": 5}, "data": {}}"#, "event.data: is there twice"),
            (r#"["a", {"amount": 5}]"#, "event: is not an object"),
            ("null", "event: is not an object"),
        ] {
            let failure = event(text).data::<Data>().unwrap_err();
            assert!(failure.told().message.starts_with(told), "{text}: {failure}");
        }
    }
}
