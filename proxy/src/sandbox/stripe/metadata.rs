//! Metadata: the limits, and how an update changes it.

use super::{errors::ApiError, params::Params, world::Metadata};

const MAX_KEYS: usize = 50;
const MAX_KEY_CHARS: usize = 40;
const MAX_VALUE_CHARS: usize = 500;

/// The metadata of a new object.
pub(super) fn of_new(params: &Params) -> Result<Metadata, ApiError> {
    updated(&Metadata::new(), params)
}

/// The metadata after an update: empty values delete their keys, an empty `metadata` all of them.
pub(super) fn updated(old: &Metadata, params: &Params) -> Result<Metadata, ApiError> {
    let Some(entries) = params.map("metadata")? else {
        return Ok(old.clone());
    };
    if entries.is_empty() {
        return Ok(Metadata::new());
    }
    let mut all = old.clone();
    for (key, value) in entries {
        if key.is_empty() || key.chars().count() > MAX_KEY_CHARS {
            return Err(refused(&format!("Metadata keys have 1 to {MAX_KEY_CHARS} characters")));
        }
        if value.chars().count() > MAX_VALUE_CHARS {
            return Err(refused(&format!(
                "Metadata values have at most {MAX_VALUE_CHARS} characters"
            )));
        }
        if value.is_empty() {
            all.remove(key);
        } else {
            all.insert(key.to_owned(), value.to_owned());
        }
    }
    if all.len() > MAX_KEYS {
        return Err(refused(&format!("Metadata has at most {MAX_KEYS} keys")));
    }
    Ok(all)
}

fn refused(message: &str) -> ApiError {
    ApiError::invalid(message).param("metadata")
}
