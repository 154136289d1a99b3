//! The language that describes a vendor: TOML, checked as a whole when it is read.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::{
    params::Params,
    policy::{Endpoint, EndpointPattern, Policy},
    refusal::Refusal,
    time::parse_span,
};

/// A vendor: where it is, how it is spoken to, what its endpoints cost and what its answers mean.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Its name: the first segment of its paths here.
    pub name: String,
    /// Where it is, without a final slash.
    pub base_url: String,
    /// First path segments that are its own also without its name in front.
    #[serde(default)]
    pub own_prefixes: Vec<String>,
    /// Where the real secret goes.
    pub credential_to: CredentialPlace,
    /// Endpoints that are refused whatever an allowlist says.
    #[serde(default)]
    pub never: Vec<EndpointPattern>,
    /// Writes that cost nothing.
    #[serde(default)]
    pub free: Vec<EndpointPattern>,
    /// Headers that pass, and those that are refused.
    pub headers: Headers,
    /// How it recognises a repeated request; without this it does not.
    pub idempotency: Option<Idempotency>,
    /// What its statuses mean.
    pub outcome: Statuses,
    /// Parameters that name our run and call in its objects.
    pub tags: Option<Tags>,
    /// How to find out about a call without an answer.
    pub lookup: Option<Lookup>,
    /// Writes with a price.
    #[serde(default)]
    pub priced: Vec<Priced>,
    /// Writes that move money, whose price can't be known before: refused, unless a key's policy
    /// sets what they count for.
    #[serde(default)]
    pub unpriced: Vec<Unpriced>,
}

/// Where a credential stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialPlace {
    /// `Authorization: Bearer …`
    Bearer,
    /// The user name of `Authorization: Basic …`
    BasicUser,
    /// The password of `Authorization: Basic …`
    BasicPassword,
}

/// Which headers pass, by lower-case name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Headers {
    /// From the caller to the vendor.
    pub request: Vec<String>,
    /// From the vendor to the caller.
    pub response: Vec<String>,
    /// With these, a request is refused.
    #[serde(default)]
    pub refused: Vec<String>,
    /// Where the vendor names its request: one of those that pass.
    pub request_id: Option<String>,
}

/// How a vendor recognises a repeated request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Idempotency {
    /// The header with the key, in lower case.
    pub header: String,
    /// A parameter that is lifted into the header.
    pub parameter: Option<String>,
    /// The longest key, in bytes.
    pub max_length: usize,
    /// How long the vendor remembers a key.
    #[serde(deserialize_with = "span")]
    pub window: Duration,
    /// The header that marks a stored answer, in lower case.
    pub replayed_header: Option<String>,
}

/// What the statuses of a write mean that are not 2xx. All others leave it in doubt.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statuses {
    /// Processed, and declined.
    #[serde(default)]
    pub declined: Vec<u16>,
    /// Refused before it was processed.
    pub not_executed: Vec<u16>,
    /// The vendor did not accept our secret.
    #[serde(default)]
    pub secret_refused: Vec<u16>,
}

/// Parameters that name our run and call in the vendor's objects.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tags {
    /// The run's label.
    pub run: String,
    /// The call's id.
    pub call: String,
    /// Names that begin so are ours alone.
    pub reserved: String,
    /// The longest value, in characters.
    pub max_length: usize,
}

/// How calls without an answer are looked up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// How long after it was made an object may still be invisible.
    #[serde(deserialize_with = "span")]
    pub visible_after: Duration,
    /// The query of a search, with `{query}`.
    pub search: Option<String>,
    /// What to search for, with `{call}`.
    pub search_query: Option<String>,
    /// A list of events, each with the idempotency key of its request.
    pub events: Option<Events>,
}

/// A list of events. Pages are in `data`, the newest first, with `has_more`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Path and query, with `{type}`, and `{since}` and `{until}` in seconds after 1970.
    pub list: String,
    /// What asks for the next page, with `{last}`.
    pub next: String,
    /// JSON pointer to the idempotency key.
    pub idempotency_key: String,
    /// JSON pointer to the object's id.
    pub object: String,
}

/// A write with a price.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Priced {
    /// Which one.
    pub endpoint: EndpointPattern,
    /// The parameter with the amount, in the currency's smallest unit.
    pub amount: Option<String>,
    /// The parameter with the currency.
    pub currency: Option<String>,
    /// The parameter that names the customer, for the audit row.
    pub customer: Option<String>,
    /// Whom to ask where amount or currency is not among the parameters: the first question whose
    /// blanks can be filled.
    #[serde(default)]
    pub ask: Vec<Ask>,
    /// What a 2xx answer says.
    pub settled: Settled,
    /// What a declining answer says.
    pub declined: Declined,
    /// How to find out about it without an answer.
    pub lookup: Option<PricedLookup>,
}

/// A write whose price can't be known before.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unpriced {
    /// Which one.
    pub endpoint: EndpointPattern,
    /// JSON pointer to an amount that a 2xx answer says, in the currency's smallest unit. The call
    /// settles at it where it is more than what was held.
    pub amount: Option<String>,
    /// JSON pointer to its currency.
    pub currency: Option<String>,
}

/// A question to the vendor about a price.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Path and query, with `{name}` for a segment of the endpoint or a parameter.
    pub get: String,
    /// JSON pointer to the amount, in the currency's smallest unit.
    pub amount: String,
    /// JSON pointer to what is to be taken off the amount.
    pub less: Option<String>,
    /// JSON pointer to the currency.
    pub currency: String,
}

/// What a 2xx answer says. JSON pointers (RFC 6901).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// The amount, in the currency's smallest unit.
    pub amount: String,
    /// The currency.
    pub currency: String,
    /// The object's id.
    pub object: String,
    /// The object's status.
    pub status: String,
    /// Statuses in which no money moved.
    #[serde(default)]
    pub nothing: Vec<String>,
}

/// What a declining answer says. JSON pointers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declined {
    /// What stays committed.
    pub amount: Option<String>,
    /// Its currency.
    pub currency: Option<String>,
    /// The object's id.
    pub object: Option<String>,
    /// What stays committed where the answer does not say.
    pub otherwise: Otherwise,
}

/// What a decline means for the hold where the answer does not say an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// All of it stays committed.
    Hold,
    /// None of it.
    Nothing,
}

/// How one endpoint's calls are looked up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricedLookup {
    /// The types of event that tell of its objects.
    #[serde(default)]
    pub events: Vec<String>,
    /// The path to search its objects by our tag.
    pub search: Option<String>,
    /// The path of one object, with `{id}`.
    pub object: String,
    /// How an object that was declined reads as an error, where its mere existence is no success.
    pub declined: Option<DeclinedObject>,
}

/// The error that a declined object stands for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclinedObject {
    /// The error's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// JSON pointer to its code.
    pub code: String,
    /// JSON pointer to its message.
    pub message: String,
}

/// A definition that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDefinition {
    /// Not the TOML that is asked for; says where.
    #[error("the vendor definition is not valid: {0}")]
    Toml(#[from] toml::de::Error),
    /// A value that contradicts another or the rules.
    #[error("the vendor definition {name:?} is not valid: {why}")]
    Rule {
        /// The vendor's name.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// What a definition says about an endpoint.
#[derive(Clone, Copy, Debug)]
pub enum Rule<'a> {
    /// It hands out credentials, or moves where money goes.
    Never,
    /// It has a price.
    Priced(&'a Priced),
    /// It only reads, or it is a write without a price.
    Free,
    /// It moves money whose amount can't be known before.
    Unpriced(&'a Unpriced),
    /// It is a write that is not listed.
    Unlisted,
}

impl Definition {
    /// Reads and checks a definition.
    pub fn parse(text: &str) -> Result<Self, InvalidDefinition> {
        let definition: Self = toml::from_str(text)?;
        match definition.fault() {
            Some(why) => Err(InvalidDefinition::Rule { name: definition.name, why }),
            None => Ok(definition),
        }
    }

    fn fault(&self) -> Option<&'static str> {
        let plain = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        let lower = |names: &[String]| names.iter().all(|name| *name == name.to_ascii_lowercase());
        let priceless = |rule: &Priced| {
            (rule.amount.is_none() || rule.currency.is_none()) && rule.ask.is_empty()
        };
        let headers = &self.headers;
        if !plain(&self.name) {
            Some("its name has lower-case letters, digits and _ only")
        } else if !self.base_url.starts_with("https://") || self.base_url.ends_with('/') {
            Some("its base_url begins with https:// and has no final slash")
        } else if !(lower(&headers.request) && lower(&headers.response) && lower(&headers.refused))
        {
            Some("header names are in lower case")
        } else if headers.request_id.as_ref().is_some_and(|name| !headers.response.contains(name)) {
            Some("request_id is one of the response headers that pass")
        } else if self.priced.iter().any(priceless) {
            Some("a priced endpoint names amount and currency, or whom to ask")
        } else {
            None
        }
    }

    /// Whether a key with this policy may make this call here.
    ///
    /// # Errors
    /// What [`Policy::permit`] refuses, what nobody may call, and parameters that are ours.
    pub fn permit(
        &self,
        policy: &Policy,
        endpoint: &Endpoint,
        params: &Params,
    ) -> Result<(), Refusal> {
        policy.permit(endpoint, params)?;
        if matches!(self.rule(endpoint), Rule::Never) {
            return Err(Refusal::EndpointNotAllowed {
                attempted: endpoint.to_string(),
                allowed: Vec::new(),
            });
        }
        let reserved = self.tags.as_ref().map(|tags| tags.reserved.as_str());
        let forged =
            params.iter().find(|(name, _)| reserved.is_some_and(|ours| name.starts_with(ours)));
        match forged {
            Some((name, _)) => Err(Refusal::ParameterNotAllowed { name: name.to_owned() }),
            None => Ok(()),
        }
    }

    /// What this definition says about an endpoint.
    #[must_use]
    pub fn rule(&self, endpoint: &Endpoint) -> Rule<'_> {
        let lists =
            |patterns: &[EndpointPattern]| patterns.iter().any(|pattern| pattern.matches(endpoint));
        if lists(&self.never) {
            Rule::Never
        } else if let Some(priced) =
            self.priced.iter().find(|priced| priced.endpoint.matches(endpoint))
        {
            Rule::Priced(priced)
        } else if endpoint.method.is_read() || lists(&self.free) {
            Rule::Free
        } else if let Some(unpriced) =
            self.unpriced.iter().find(|unpriced| unpriced.endpoint.matches(endpoint))
        {
            Rule::Unpriced(unpriced)
        } else {
            Rule::Unlisted
        }
    }
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_span(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests;
