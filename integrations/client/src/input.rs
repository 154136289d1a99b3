//! Reading an activity's input, so that what is wrong with it is said by its field.

use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};

use crate::failure::Failure;

/// The input as what it must be.
///
/// # Errors
/// `InvalidInput` with the field's path, such as `charges[2].amount`, and never with its value.
pub fn read<T: DeserializeOwned>(input: Value) -> Result<T, Failure> {
    // A list would be taken for a struct's fields in their order.
    if !input.is_object() {
        return Err(not_an_object());
    }
    serde_path_to_error::deserialize(input)
        .map_err(|error| invalid(error.path(), &error.inner().to_string()))
}

/// The same for JSON that is not read yet.
///
/// # Errors
/// As [`read`].
pub fn read_raw<T: DeserializeOwned>(input: &RawValue) -> Result<T, Failure> {
    if !is_object(input) {
        return Err(not_an_object());
    }
    // To know a field's path costs more than to read it, so it is asked for where something is wrong.
    serde_json::from_str(input.get()).or_else(|_| {
        let mut input = serde_json::Deserializer::from_str(input.get());
        serde_path_to_error::deserialize(&mut input).map_err(|error| {
            let message = error.inner().to_string();
            // Where it stands in the text is of no use beside the path.
            let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
            invalid(error.path(), what)
        })
    })
}

/// Whether JSON that is not read yet is an object.
#[must_use]
pub fn is_object(json: &RawValue) -> bool {
    json.get().starts_with('{')
}

fn not_an_object() -> Failure {
    Failure::invalid_input("input", "is not an object")
}

fn invalid(path: &serde_path_to_error::Path, message: &str) -> Failure {
    let path = path.to_string();
    let field = if path == "." { "input" } else { path.as_str() };
    Failure::invalid_input(field, without_values(message))
}

/// Serde's message without what was given, which may be a credential in the wrong field.
fn without_values(message: &str) -> String {
    let Some(rest) =
        message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))
    else {
        return message.to_owned();
    };
    match rest.rsplit_once(", expected ") {
        Some((_, expected)) => format!("is not {expected}"),
        None => "is not of the right type".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only its reading is tested")]
        charges: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only its reading is tested")]
        amount: u64,
    }

    #[test]
    fn the_field_is_named_and_its_value_is_not_told() {
        for (input, told) in [
            (json!({"charges": [{"amount": "vault_key_secret"}]}), "charges[0].amount: is not u64"),
            (json!({"charges": [{"amount": -1}]}), "charges[0].amount: is not u64"),
            (json!({"charges": [{}]}), "charges[0]: missing field `amount`"),
            (json!({"charge": []}), "charge: unknown field `charge`, expected `charges`"),
            (json!("vault_key_secret"), "input: is not an object"),
            (json!([[]]), "input: is not an object"),
        ] {
            let raw = serde_json::value::to_raw_value(&input).unwrap();
            for failure in [read_raw::<Outer>(&raw).unwrap_err(), read::<Outer>(input).unwrap_err()]
            {
                let Failure::Terminal { told: said, .. } = &failure else { panic!("{failure}") };
                assert!(said.message.starts_with(told), "{}", said.message);
                assert!(!said.message.contains("secret"), "{}", said.message);
                assert!(!said.message.contains("line"), "{}", said.message);
            }
        }
    }
}
