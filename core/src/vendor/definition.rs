//! The language that describes a vendor: TOML, checked as a whole when it is read.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer};
use toml::Spanned;

pub use super::check::{Fault, InvalidDefinition};
use super::{
    check,
    pattern::{Condition, Pattern},
    units::{RateCard, Unit, Used},
};
use crate::{
    params::Params,
    path::CanonicalPath,
    policy::{Endpoint, EndpointPattern, Policy},
    refusal::Refusal,
    time::parse_span,
};

/// A vendor: where it is, how it is spoken to, what its endpoints cost and what its answers mean.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Its name: the first segment of its paths here.
    pub name: Spanned<String>,
    /// Where it is, without a final slash.
    pub base_url: Spanned<String>,
    /// Paths that are somewhere else.
    #[serde(default)]
    pub hosts: Vec<Host>,
    /// First path segments that are its own also without its name in front.
    #[serde(default)]
    pub own_prefixes: Vec<String>,
    /// What it takes as the body of a write.
    #[serde(default)]
    pub encoding: Encoding,
    /// First path segments under which it takes JSON although it takes forms elsewhere.
    #[serde(default)]
    pub json_prefixes: Vec<String>,
    /// Parameters that a form may give several times, each time with another value.
    #[serde(default)]
    pub repeated: Vec<String>,
    /// How amounts are written.
    #[serde(default)]
    pub amounts: Amounts,
    /// Where the real secret goes.
    pub credential_to: CredentialPlace,
    /// Where the account stands in its paths.
    pub account: Option<AccountPlace>,
    /// Endpoints that are refused whatever an allowlist says.
    #[serde(default)]
    pub never: Vec<EndpointPattern>,
    /// Writes that cost nothing.
    #[serde(default)]
    pub free: Vec<EndpointPattern>,
    /// Writes that cost nothing as long as some parameters are not given.
    #[serde(default)]
    pub guarded: Vec<Guarded>,
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
    /// Objects whose commitment calls make and change.
    #[serde(default, rename = "object")]
    pub objects: Vec<Kind>,
    /// Prices by the number that is called or written to.
    #[serde(default, rename = "card")]
    pub cards: Vec<RateCard>,
    /// Writes, and reads, with a price.
    #[serde(default)]
    pub priced: Vec<Priced>,
    /// Writes that move money, whose price can't be known before: refused, unless a key's policy
    /// sets what they count for.
    #[serde(default)]
    pub unpriced: Vec<Unpriced>,
}

/// Paths that are at another address than the rest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// How the paths begin: whole segments.
    pub prefix: String,
    /// Where they are, without a final slash.
    pub base_url: String,
}

/// What a vendor takes as the body of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// `application/x-www-form-urlencoded` with bracketed names. JSON is transcoded to it.
    #[default]
    Form,
    /// `application/json`, passed on as it was given.
    Json,
}

/// How a vendor writes amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amounts {
    /// As a whole number of the currency's smallest unit: `1099`.
    #[default]
    Minor,
    /// As a decimal of the currency's own unit: `10.99`.
    Decimal,
}

/// The path segment that names the account. Another account is other money.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountPlace {
    /// The segment before it.
    pub after: String,
    /// What a caller may write instead of the account, which is then filled in.
    pub placeholders: Vec<String>,
}

/// A write that costs nothing as long as some parameters are not given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guarded {
    /// Which one.
    pub endpoint: EndpointPattern,
    /// The parameters that would move money, or where it goes.
    pub without: Vec<String>,
}

/// Where a credential stands in a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialPlace {
    /// `Authorization: Bearer …`
    Bearer,
    /// The user name of `Authorization: Basic …`
    BasicUser,
    /// The password of `Authorization: Basic …`; the account is its user name.
    BasicPassword,
    /// A header of this lower-case name, as it is.
    Header(String),
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
    /// Names another account. They pass where a key's policy names that account.
    #[serde(default)]
    pub account: Vec<String>,
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
    /// A status that says so as well, but only in an answer that calls it that.
    pub secret_refused_as: Option<Called>,
}

/// An answer's status and what the answer calls it, for statuses that mean more than one thing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Called {
    /// The status.
    pub status: u16,
    /// JSON pointer to what it is called.
    pub at: String,
    /// What it is called.
    pub name: String,
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
    /// How long after it was begun a call in doubt is left to an operator.
    #[serde(default = "a_day", deserialize_with = "span")]
    pub gives_up_after: Duration,
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

/// A kind of object whose commitment calls make and change.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// Its name in this definition.
    pub kind: String,
    /// The path to read one, with `{id}`.
    pub get: String,
    /// JSON pointer to its id.
    pub id: String,
    /// JSON pointer to its currency.
    pub currency: String,
    /// What one has moved or commits: the first case that it is in.
    pub stands: Vec<Case>,
}

/// One state of an object, and what the object then stands for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// JSON pointer to what tells the state; without it, every object is in this case.
    pub at: Option<String>,
    /// What stands there.
    #[serde(default)]
    pub is: Vec<String>,
    /// JSON pointers to amounts, which are added up.
    #[serde(rename = "for")]
    pub amounts: Vec<String>,
    /// Whether no call can change it any more.
    #[serde(default, rename = "final")]
    pub is_final: bool,
}

/// A call with a price.
///
/// What it costs at most stands in its parameters (`amount`), in the vendor's answer to a question
/// (`ask`), in what an object commits (`about`), or is a number of units at a price (`units`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Priced {
    /// Which one.
    pub endpoint: Spanned<EndpointPattern>,
    /// Only where all of this holds; another entry for the same endpoint can have the rest.
    #[serde(default)]
    pub when: Vec<Condition>,
    /// Where one of these holds, it moves nothing.
    #[serde(default)]
    pub free_when: Vec<Condition>,
    /// Where one of these holds, its price can't be known.
    #[serde(default)]
    pub unpriced_when: Vec<Condition>,
    /// The parameter with the amount; with `[*]`, of each member of a group.
    pub amount: Option<Pattern>,
    /// The parameter that says how often a member's amount counts; once by default.
    pub times: Option<Pattern>,
    /// Whether an amount may be negative: it counts all the same.
    #[serde(default)]
    pub signed: bool,
    /// The parameter with the currency.
    pub currency: Option<Pattern>,
    /// The parameter that names the customer, for the audit row.
    pub customer: Option<String>,
    /// Whom to ask where amount or currency is not among the parameters: the first question whose
    /// blanks can be filled.
    #[serde(default)]
    pub ask: Vec<Ask>,
    /// What it costs by units.
    #[serde(default)]
    pub units: Vec<Unit>,
    /// The kind of object that it makes.
    pub makes: Option<String>,
    /// The object that it changes.
    pub about: Option<About>,
    /// Whether it takes no tags. Neither does a call about an object that is there already.
    #[serde(default)]
    pub untagged: bool,
    /// Whether its answer does not show what it did: then it counts for what was quoted.
    #[serde(default)]
    pub silent: bool,
    /// What a 2xx answer says; of a call about an object, what the object says.
    pub settled: Option<Settled>,
    /// What a declining answer says.
    #[serde(default)]
    pub declined: Declined,
    /// The path that takes the object back after a decline, with `{id}`.
    pub cancel: Option<String>,
    /// How to find out about it without an answer.
    pub lookup: Option<PricedLookup>,
    /// Where the vendor says the final price later.
    pub bill: Option<Bill>,
}

/// The object that a call changes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Its kind.
    pub kind: String,
    /// The segment of the endpoint or the parameter that names it.
    pub id: String,
    /// Whether the amount comes on top of what it stands for.
    #[serde(default)]
    pub adds: bool,
    /// JSON pointers, of the object, to amounts that the call's comes on top of.
    #[serde(default)]
    pub onto: Vec<String>,
    /// Whether the call only gives back.
    #[serde(default)]
    pub releases: bool,
}

/// A write whose price can't be known before.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unpriced {
    /// Which one.
    pub endpoint: EndpointPattern,
    /// Why.
    pub why: WhyUnpriced,
    /// JSON pointer to an amount that a 2xx answer says. The call settles at it where it is more
    /// than what was held.
    pub amount: Option<String>,
    /// JSON pointer to its currency.
    pub currency: Option<String>,
}

/// Why a price can't be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyUnpriced {
    /// The vendor works it out from what it has stored.
    Unknown,
    /// There is no most that it can move.
    Unbounded,
}

/// A question to the vendor about a price.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Path and query, with `{name}` for a segment of the endpoint or a parameter.
    pub get: String,
    /// JSON pointer to the amount.
    pub amount: String,
    /// JSON pointer to what is to be taken off the amount.
    pub less: Option<String>,
    /// JSON pointer to the currency.
    pub currency: String,
    /// JSON pointer to what, where it stands there, leaves the price unknown.
    pub unless: Option<String>,
}

/// What a 2xx answer says. JSON pointers (RFC 6901).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// The amount. Without it, the call counts for what was held.
    pub amount: Option<String>,
    /// The currency.
    pub currency: Option<String>,
    /// What it cost by units that the answer counts.
    #[serde(default)]
    pub units: Vec<Used>,
    /// The object's id.
    pub object: Option<String>,
    /// The object's status.
    pub status: Option<String>,
    /// Statuses in which no money moved.
    #[serde(default)]
    pub nothing: Vec<String>,
}

/// What a declining answer says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declined {
    /// JSON pointer to the object, or to its id.
    pub object: Option<String>,
    /// What stays committed where the answer does not say.
    #[serde(default)]
    pub otherwise: Otherwise,
}

/// What a decline means for the hold where the answer does not say an amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// All of it stays committed.
    #[default]
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
    /// A list of its objects.
    pub list: Option<List>,
    /// The path of one object, with `{id}`; of a call about an object, that of the object.
    pub object: Option<String>,
    /// How an object that was declined reads as an error, where its mere existence is no success.
    pub declined: Option<DeclinedObject>,
}

/// A list of objects in which a call's own is recognised.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Path and query, with `{since}` and `{until}` in seconds after 1970, `{customer}`, and the
    /// names in the endpoint.
    pub get: String,
    /// JSON pointer to the objects.
    pub items: String,
    /// What asks for the next page: a template with `{last}`, or a JSON pointer to its path.
    pub next: Option<String>,
    /// JSON pointer to our call's id in an object.
    pub tag: Option<String>,
    /// Parameters with the JSON pointers to where they stand in an object, for vendors that keep
    /// no tag of ours. One object that is alike is the call's own; more of them prove nothing, and
    /// neither does the absence of one while there is an object that no known call accounts for.
    #[serde(default)]
    pub alike: BTreeMap<String, String>,
    /// JSON pointer to when an object was made, as RFC 3339 or RFC 2822: what is older than the
    /// call is not its own.
    pub made_at: Option<String>,
    /// Whether the newest objects stand first, so that nothing is read after one that is too old.
    #[serde(default)]
    pub newest_first: bool,
}

/// Where a vendor says the final price of a call later.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bill {
    /// The path of the object, with `{id}` and the names in the endpoint.
    pub get: String,
    /// JSON pointer to the price, which may be negative; `null` until it is known.
    pub price: String,
    /// JSON pointer to its currency.
    pub currency: String,
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
    ///
    /// # Errors
    /// All that is wrong with it, or what keeps it from being read.
    pub fn parse(text: &str) -> Result<Self, InvalidDefinition> {
        Self::parse_beside(text, &[])
    }

    /// The same, where its name and own prefixes are none of these. Each says of itself what it is.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_beside(text: &str, taken: &[(&str, &str)]) -> Result<Self, InvalidDefinition> {
        let read = toml::from_str(text);
        let definition: Self = read.map_err(|error| InvalidDefinition::unread(text, &error))?;
        check::check(text, &definition, taken)?;
        Ok(definition)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.get_ref()
    }

    /// Where a path is.
    #[must_use]
    pub fn address_of(&self, path: &str) -> &str {
        let begins = |host: &&Host| {
            let rest = path.strip_prefix(host.prefix.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
        };
        let host = self.hosts.iter().find(begins);
        host.map_or(self.base_url.get_ref(), |host| &host.base_url)
    }

    /// What it takes as the body of a write to this path.
    #[must_use]
    pub fn encoding_of(&self, path: &CanonicalPath) -> Encoding {
        let first = path.segments().first();
        match first.filter(|first| self.json_prefixes.contains(first)) {
            Some(_) => Encoding::Json,
            None => self.encoding,
        }
    }

    /// The kind of object with this name.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<&Kind> {
        self.objects.iter().find(|kind| kind.kind == name)
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
        if matches!(self.rule(endpoint, params), Rule::Never) {
            return Err(Refusal::EndpointNotAllowed {
                attempted: endpoint.to_string(),
                allowed: Vec::new(),
            });
        }
        let guards = self.guarded.iter().filter(|guarded| guarded.endpoint.matches(endpoint));
        let barred = guards.flat_map(|guarded| &guarded.without).find(|name| params.has_any(name));
        if let Some(name) = barred {
            return Err(Refusal::ParameterNotAllowed { name: name.clone() });
        }
        let tags = self.tags.as_ref();
        let forged = params.iter().find(|(name, _)| tags.is_some_and(|tags| tags.forged_by(name)));
        match forged {
            Some((name, _)) => Err(Refusal::ParameterNotAllowed { name: name.to_owned() }),
            None => Ok(()),
        }
    }

    /// What this definition says about an endpoint, called with these parameters.
    #[must_use]
    pub fn rule(&self, endpoint: &Endpoint, params: &Params) -> Rule<'_> {
        self.find_rule(endpoint, |priced| priced.when.iter().all(|when| when.holds(params)))
    }

    /// What it says about a call whose parameters are not known any more, but whether it was about
    /// an object.
    #[must_use]
    pub fn rule_of(&self, endpoint: &Endpoint, about_an_object: bool) -> Rule<'_> {
        let same = |priced: &&Priced| priced.about.is_some() == about_an_object;
        let known = self
            .priced
            .iter()
            .filter(|priced| priced.endpoint.get_ref().matches(endpoint))
            .find(same);
        known.map_or_else(|| self.find_rule(endpoint, |_| true), Rule::Priced)
    }

    /// Whether a key's policy may say what these endpoints count for: where their price can't be
    /// known, or is by the vendor's list.
    #[must_use]
    pub fn takes_fixed_hold(&self, pattern: &EndpointPattern) -> bool {
        let unpriced = self.unpriced.iter().any(|unpriced| unpriced.endpoint.covers(pattern));
        unpriced
            || self.priced.iter().any(|priced| {
                priced.takes_fixed_hold() && priced.endpoint.get_ref().covers(pattern)
            })
    }

    fn find_rule(&self, endpoint: &Endpoint, applies: impl Fn(&Priced) -> bool) -> Rule<'_> {
        let lists =
            |patterns: &[EndpointPattern]| patterns.iter().any(|pattern| pattern.matches(endpoint));
        if lists(&self.never) {
            return Rule::Never;
        }
        let mut priced =
            self.priced.iter().filter(|priced| priced.endpoint.get_ref().matches(endpoint));
        if let Some(priced) = priced.find(|priced| applies(priced)) {
            Rule::Priced(priced)
        } else if endpoint.method.is_read()
            || lists(&self.free)
            || self.guarded.iter().any(|guarded| guarded.endpoint.matches(endpoint))
        {
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

impl Tags {
    /// Whether a parameter would write a tag of ours, here or in an object within this one, or wipe
    /// all that stands beside it.
    fn forged_by(&self, name: &str) -> bool {
        let (group, member) = self.reserved.split_once('[').unwrap_or((&self.reserved, ""));
        let nested = || format!("[{group}][{member}");
        name == group
            || name.starts_with(&self.reserved)
            || (name.contains(member) && name.contains(&nested()))
            || name.ends_with(&format!("[{group}]"))
    }
}

impl Priced {
    /// Whether a key's policy may say what it counts for.
    #[must_use]
    pub fn takes_fixed_hold(&self) -> bool {
        let may_be_unknown = !self.unpriced_when.is_empty() || self.times.is_some();
        self.about.is_none() && (may_be_unknown || !self.units.is_empty())
    }
}

const fn a_day() -> Duration {
    Duration::from_hours(24)
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_span(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests;
