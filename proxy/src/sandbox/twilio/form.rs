//! A form's fields: flat names, of which few may stand more than once.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::errors::{self, ApiError};

/// The fields that an endpoint knows.
pub(super) struct Known {
    pub(super) fields: &'static [&'static str],
    /// Those among them that may stand more than once.
    pub(super) repeated: &'static [&'static str],
    /// Fields of Twilio's that would change what is done or billed, and that nothing here imitates.
    pub(super) not_imitated: &'static [&'static str],
}

/// The fields of one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Form(BTreeMap<String, Vec<String>>);

impl Form {
    pub(super) fn parse(encoded: &[u8]) -> Self {
        let mut fields = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in form_urlencoded::parse(encoded) {
            fields.entry(name.into_owned()).or_default().push(value.into_owned());
        }
        Self(fields)
    }

    /// Refuses what the endpoint does not know. Twilio itself ignores such fields.
    pub(super) fn check(&self, known: &Known) -> Result<(), ApiError> {
        for (name, values) in &self.0 {
            if known.not_imitated.contains(&name.as_str()) {
                return Err(errors::invalid(format!("The sandbox does not imitate {name}")));
            }
            if !known.fields.contains(&name.as_str()) {
                return Err(errors::invalid(format!("Unknown parameter: {name}")));
            }
            if values.len() > 1 && !known.repeated.contains(&name.as_str()) {
                return Err(errors::invalid(format!("{name} was given more than once")));
            }
        }
        Ok(())
    }

    /// A field's text; `None` where it is absent or empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).first().map(String::as_str).filter(|text| !text.is_empty())
    }

    pub(super) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn integer(
        &self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits && range.contains(&number) => Ok(Some(number)),
            Ok(_) | Err(_) => Err(errors::invalid(format!(
                "{name} must be from {} to {}, not {text}",
                range.start(),
                range.end()
            ))),
        }
    }

    pub(super) fn boolean(&self, name: &str) -> Result<bool, ApiError> {
        match self.text(name) {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(errors::invalid(format!("{name} must be true or false, not {text}"))),
        }
    }

    /// A field that must have one of these values.
    pub(super) fn word(&self, name: &str, words: &[&str]) -> Result<Option<&str>, ApiError> {
        match self.text(name) {
            Some(word) if !words.contains(&word) => {
                Err(errors::invalid(format!("{name} must be one of {}", words.join(", "))))
            }
            word => Ok(word),
        }
    }

    /// These fields, encoded; those that are absent are left out.
    pub(super) fn encode(&self, names: &[&str]) -> form_urlencoded::Serializer<'static, String> {
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        for name in names {
            for value in self.all(name) {
                encoded.append_pair(name, value);
            }
        }
        encoded
    }
}
