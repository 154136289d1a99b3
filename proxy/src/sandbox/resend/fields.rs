//! The members of a JSON object, each of which an endpoint knows or refuses.

use serde_json::{Map, Value};

use super::{
    addresses,
    errors::{self, ApiError},
};

/// The most addresses in one field.
const MAX_ADDRESSES: usize = 50;

/// The members of one object. `null` is as good as absent.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn of(value: &'a Value) -> Result<Self, ApiError> {
        value.as_object().map(Self).ok_or_else(|| errors::invalid("A JSON object is expected"))
    }

    /// Refuses what the endpoint does not know. Resend itself ignores some of it.
    pub(super) fn check(self, known: &[&str], not_imitated: &[&str]) -> Result<(), ApiError> {
        for (name, value) in self.0 {
            let name = name.as_str();
            if known.contains(&name) || (not_imitated.contains(&name) && value.is_null()) {
                continue;
            }
            if not_imitated.contains(&name) {
                return Err(errors::not_imitated(name));
            }
            return Err(errors::invalid(format!("Unknown field `{name}`")));
        }
        Ok(())
    }

    pub(super) fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(self, name: &str) -> Result<Option<&'a str>, ApiError> {
        let text = |value: &'a Value| {
            value.as_str().ok_or_else(|| errors::invalid(format!("`{name}` must be a string")))
        };
        self.get(name).map(text).transpose()
    }

    pub(super) fn required(self, name: &str) -> Result<&'a str, ApiError> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| errors::missing(name))
    }

    pub(super) fn list(self, name: &str) -> Result<&'a [Value], ApiError> {
        let list = |value: &'a Value| {
            let list = value.as_array().map(Vec::as_slice);
            list.ok_or_else(|| errors::invalid(format!("`{name}` must be an array")))
        };
        Ok(self.get(name).map(list).transpose()?.unwrap_or_default())
    }

    /// The addresses of a field, which is one text or a list of such.
    pub(super) fn addresses(self, name: &str) -> Result<Vec<String>, ApiError> {
        let invalid = || errors::invalid(format!("Invalid `{name}`: it needs mail addresses"));
        let one = |value: &Value| value.as_str().and_then(addresses::each).ok_or_else(invalid);
        let found = match self.get(name) {
            None => Vec::new(),
            Some(Value::Array(list)) => {
                list.iter().map(one).collect::<Result<Vec<_>, _>>()?.concat()
            }
            Some(value) => one(value)?,
        };
        if found.len() > MAX_ADDRESSES {
            return Err(errors::invalid(format!("`{name}` has more than 50 addresses")));
        }
        Ok(found)
    }
}
