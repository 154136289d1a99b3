//! Reading an activity's input, so that what is wrong with it is said by its field.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::Failure;

/// The input as what it must be.
///
/// # Errors
/// `InvalidInput` with the field's path, such as `charges[2].amount`, and never with its value.
pub fn read<T: DeserializeOwned>(input: Value) -> Result<T, Failure> {
    serde_path_to_error::deserialize(input).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "input" } else { path.as_str() };
        Failure::invalid_input(field, without_values(&error.inner().to_string()))
    })
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
            (json!("vault_key_secret"), "input: is not struct Outer"),
        ] {
            let failure = read::<Outer>(input).unwrap_err();
            let Failure::Terminal { told: said, .. } = &failure else { panic!("{failure}") };
            assert!(said.message.starts_with(told), "{}", said.message);
            assert!(!said.message.contains("secret"), "{}", said.message);
        }
    }
}
