//! What a vault key may do: its vendor, endpoints, parameters and the largest single call.
//!
//! Default deny: what no pattern names is refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{
    money::MicroUsd,
    params::Params,
    path::{self, CanonicalPath},
    refusal::Refusal,
};

/// The most patterns of one allowlist.
pub const MAX_ENDPOINTS: usize = 100;
/// The longest label of a run, in characters.
pub const MAX_LABEL: usize = 512;

/// The methods that are proxied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates or acts.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Deletes.
    Delete,
    /// Asks for headers only. No pattern can name it.
    Head,
    /// Asks what is allowed. No pattern can name it.
    Options,
}

impl Method {
    const ALL: [Self; 7] =
        [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Head, Self::Options];

    /// The method with this name, which is case-sensitive (RFC 9110).
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    /// The method's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
        }
    }

    /// Whether the method only reads.
    #[must_use]
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Get)
    }
}

/// A method and a path at the vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path, without the proxy's own prefix.
    pub path: CanonicalPath,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.as_str(), self.path)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(String),
    Any(String),
}

/// `METHOD /path`, where `{name}` stands for one segment and a final `*` for one or more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EndpointPattern {
    method: Method,
    segments: Vec<Segment>,
    open_ended: bool,
}

/// A text that is not an endpoint pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an endpoint: write a method and a path, such as \"POST /v1/charges\"; \
     {{name}} stands for one segment and a final * for the rest"
)]
pub struct InvalidPattern(String);

impl EndpointPattern {
    /// Whether this pattern names the endpoint.
    #[must_use]
    pub fn matches(&self, endpoint: &Endpoint) -> bool {
        let path = endpoint.path.segments();
        let long_enough = if self.open_ended {
            path.len() > self.segments.len()
        } else {
            path.len() == self.segments.len()
        };
        let fits = |(segment, given): (&Segment, &String)| match segment {
            Segment::Literal(literal) => literal == given,
            Segment::Any(_) => true,
        };
        self.method == endpoint.method && long_enough && self.segments.iter().zip(path).all(fits)
    }

    /// Whether this pattern names every endpoint that the other names.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let long_enough = if self.open_ended {
            other.segments.len() + usize::from(other.open_ended) > self.segments.len()
        } else {
            other.segments.len() == self.segments.len() && !other.open_ended
        };
        let fits = |(own, other): (&Segment, &Segment)| match own {
            Segment::Literal(_) => own == other,
            Segment::Any(_) => true,
        };
        self.method == other.method
            && long_enough
            && self.segments.iter().zip(&other.segments).all(fits)
    }

    /// The names of the segments that stand for any.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Any(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }

    /// The segment of the endpoint that stands for `{name}`.
    #[must_use]
    pub fn capture<'a>(&self, endpoint: &'a Endpoint, name: &str) -> Option<&'a str> {
        let named = |segment: &Segment| matches!(segment, Segment::Any(given) if given == name);
        let at = self.segments.iter().position(named)?;
        endpoint.path.segments().get(at).map(String::as_str)
    }
}

impl FromStr for EndpointPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = || InvalidPattern(text.chars().take(200).collect());
        let (method, path) = text.split_once(' ').ok_or_else(invalid)?;
        let method = Method::parse(method)
            .filter(|method| !matches!(method, Method::Head | Method::Options))
            .ok_or_else(invalid)?;
        let (path, open_ended) = match path.strip_suffix("/*") {
            Some(prefix) => (prefix, true),
            None => (path, false),
        };
        if open_ended && path.is_empty() {
            return Ok(Self { method, segments: Vec::new(), open_ended });
        }
        let rest = path.strip_prefix('/').ok_or_else(invalid)?;
        let segments = rest.split('/').map(|segment| pattern_segment(segment).ok_or_else(invalid));
        Ok(Self { method, segments: segments.collect::<Result<_, _>>()?, open_ended })
    }
}

fn pattern_segment(text: &str) -> Option<Segment> {
    let name = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    if let Some(name) = name {
        let plain =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return plain.then(|| Segment::Any(name.to_owned()));
    }
    if text.contains(['{', '}', '*']) {
        return None;
    }
    let path = CanonicalPath::parse(&format!("/{text}")).ok()?;
    path.segments().first().cloned().map(Segment::Literal)
}

impl fmt::Display for EndpointPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.method.as_str())?;
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => write!(f, "/{}", path::encoded(literal))?,
                Segment::Any(name) => write!(f, "/{{{name}}}")?,
            }
        }
        if self.open_ended { f.write_str("/*") } else { Ok(()) }
    }
}

impl TryFrom<String> for EndpointPattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        text.parse()
    }
}

impl From<EndpointPattern> for String {
    fn from(pattern: EndpointPattern) -> Self {
        pattern.to_string()
    }
}

/// The name of a run, as its engine knows it: 1 to 512 characters, none of them a control.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunLabel(String);

/// A text that can't label a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run label has 1 to {MAX_LABEL} characters and no control characters")]
pub struct InvalidLabel;

impl RunLabel {
    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RunLabel {
    type Error = InvalidLabel;

    fn try_from(text: String) -> Result<Self, InvalidLabel> {
        let length = text.chars().count();
        if length == 0 || length > MAX_LABEL || text.chars().any(char::is_control) {
            return Err(InvalidLabel);
        }
        Ok(Self(text))
    }
}

impl From<RunLabel> for String {
    fn from(label: RunLabel) -> Self {
        label.0
    }
}

/// Runs by their label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runs {
    /// The run with this label.
    Labelled(RunLabel),
    /// All runs whose label begins so.
    Prefixed(String),
}

impl Runs {
    /// The label or its beginning.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Labelled(label) => label.as_str(),
            Self::Prefixed(prefix) => prefix,
        }
    }

    /// Whether a run is one of them.
    #[must_use]
    pub fn contain(&self, label: &RunLabel) -> bool {
        match self {
            Self::Labelled(own) => own == label,
            Self::Prefixed(prefix) => label.as_str().starts_with(prefix.as_str()),
        }
    }
}

/// What a vault key is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// To make calls.
    #[default]
    Spend,
    /// To read the audit rows of the runs whose label begins with its own, and nothing else.
    Audit,
}

/// Where the idempotency key of a write comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdempotencyFrom {
    /// The caller, or the proxy where the caller gives none.
    #[default]
    Caller,
    /// The content: run, method, path and parameters. What the caller gives is not looked at,
    /// since SDKs give random ones.
    Content,
}

/// What to do about an object that a decline leaves committed, such as a payment intent that can
/// still be confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDecline {
    /// It stays committed.
    #[default]
    Keep,
    /// It is cancelled at once, and its money goes back.
    Cancel,
}

/// What a vault key may do. Never changes once the key is issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What it is for.
    #[serde(default)]
    pub scope: Scope,
    /// The vendor's name, as in its definition; empty where the key only audits.
    pub vendor: String,
    /// The endpoints that may be called.
    pub allowed_endpoints: Vec<EndpointPattern>,
    /// The largest hold of one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_call_usd_cap: Option<MicroUsd>,
    /// For a named parameter, the values that it may have. It must then be given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub allowed_params: BTreeMap<String, BTreeSet<String>>,
    /// The vendor's accounts that a header may name beside the secret's own.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_accounts: BTreeSet<String>,
    /// What to do about an object that a decline leaves committed.
    #[serde(default)]
    pub on_decline: OnDecline,
    /// What a call of an endpoint counts for whose price can't be known.
    #[serde(default, skip_serializing_if = "FixedHolds::is_empty")]
    pub fixed_holds: FixedHolds,
    /// Where the idempotency key of a write comes from.
    #[serde(default)]
    pub idempotency: IdempotencyFrom,
    /// Whether a write without a caller's idempotency key is refused.
    #[serde(default)]
    pub require_idempotency_key: bool,
}

/// What a call counts for whose price can't be known, by endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FixedHolds(BTreeMap<EndpointPattern, MicroUsd>);

impl FixedHolds {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The endpoints with what they count for.
    pub fn iter(&self) -> impl Iterator<Item = (&EndpointPattern, MicroUsd)> {
        self.0.iter().map(|(pattern, hold)| (pattern, *hold))
    }

    /// What a call of this endpoint counts for: the most that any pattern says.
    #[must_use]
    pub fn of(&self, endpoint: &Endpoint) -> Option<MicroUsd> {
        self.iter().filter(|(pattern, _)| pattern.matches(endpoint)).map(|(_, hold)| hold).max()
    }
}

impl FromIterator<(EndpointPattern, MicroUsd)> for FixedHolds {
    fn from_iter<T: IntoIterator<Item = (EndpointPattern, MicroUsd)>>(holds: T) -> Self {
        Self(holds.into_iter().collect())
    }
}

impl Policy {
    /// The policy of a key that only reads audit rows.
    #[must_use]
    pub fn audit() -> Self {
        Self { scope: Scope::Audit, ..Self::allowing(String::new(), Vec::new()) }
    }

    /// The policy of a key that may call these endpoints of a vendor.
    #[must_use]
    pub const fn allowing(vendor: String, allowed_endpoints: Vec<EndpointPattern>) -> Self {
        Self {
            scope: Scope::Spend,
            vendor,
            allowed_endpoints,
            per_call_usd_cap: None,
            allowed_params: BTreeMap::new(),
            allowed_accounts: BTreeSet::new(),
            on_decline: OnDecline::Keep,
            fixed_holds: FixedHolds(BTreeMap::new()),
            idempotency: IdempotencyFrom::Caller,
            require_idempotency_key: false,
        }
    }

    /// Whether this call is on the allowlist, with these parameters.
    ///
    /// # Errors
    /// [`Refusal::EndpointNotAllowed`] or [`Refusal::ParameterNotAllowed`].
    pub fn permit(&self, endpoint: &Endpoint, params: &Params) -> Result<(), Refusal> {
        if !self.allowed_endpoints.iter().any(|pattern| pattern.matches(endpoint)) {
            return Err(Refusal::EndpointNotAllowed {
                attempted: endpoint.to_string(),
                allowed: self.allowed_endpoints.iter().map(ToString::to_string).collect(),
            });
        }
        let outside = self.allowed_params.iter().find(|(name, values)| {
            let given = params.get(name);
            params.lookalike(name).is_some() || !given.is_some_and(|value| values.contains(value))
        });
        match outside {
            Some((name, _)) => Err(Refusal::ParameterNotAllowed { name: name.clone() }),
            None => Ok(()),
        }
    }
}

impl Serialize for MicroUsd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MicroUsd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Dollars)
    }
}

/// Reads an amount, and says what is asked for where something else is given.
struct Dollars;

impl serde::de::Visitor<'_> for Dollars {
    type Value = MicroUsd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dollars as text, such as \"0.0009\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<MicroUsd, E> {
        let invalid = |_| {
            let shown: String = text.chars().take(40).collect();
            E::custom(format_args!(
                "{shown:?} is not an amount: write dollars with at most six decimals, such as \"0.0009\""
            ))
        };
        MicroUsd::parse(text).map_err(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(method: &str, path: &str) -> Endpoint {
        Endpoint {
            method: Method::parse(method).unwrap(),
            path: CanonicalPath::parse(path).unwrap(),
        }
    }

    #[test]
    fn a_pattern_names_whole_paths() {
        let cases = [
            ("POST /v1/charges", "POST", "/v1/charges", true),
            ("POST /v1/charges", "GET", "/v1/charges", false),
            ("POST /v1/charges", "POST", "/v1/charges/ch_1", false),
            ("POST /v1/charges", "POST", "/v1", false),
            ("POST /v1/charges", "POST", "/v1/Charges", false),
            ("GET /v1/charges/{id}", "GET", "/v1/charges/ch_1", true),
            ("GET /v1/charges/{id}", "GET", "/v1/charges", false),
            ("GET /v1/charges/{id}", "GET", "/v1/charges/ch_1/refunds", false),
            ("GET /v1/*", "GET", "/v1/charges", true),
            ("GET /v1/*", "GET", "/v1/charges/ch_1/refunds", true),
            ("GET /v1/*", "GET", "/v1", false),
            ("GET /v1/*", "GET", "/v2/charges", false),
            ("GET /*", "GET", "/v2/charges", true),
            ("DELETE /a/{b}/*", "DELETE", "/a/x/y", true),
            ("DELETE /a/{b}/*", "DELETE", "/a/x", false),
        ];
        for (pattern, method, path, expected) in cases {
            let pattern: EndpointPattern = pattern.parse().unwrap();
            assert_eq!(
                pattern.matches(&endpoint(method, path)),
                expected,
                "{pattern} {method} {path}"
            );
        }
    }

    #[test]
    fn a_pattern_prints_as_it_was_written() {
        for text in
            ["POST /v1/charges", "GET /v1/charges/{id}", "PATCH /v1/*", "PUT /*", "DELETE /a/{b}/*"]
        {
            assert_eq!(text.parse::<EndpointPattern>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn half_patterns_are_refused() {
        for text in [
            "",
            "POST",
            "/v1/charges",
            "post /v1/charges",
            "HEAD /v1",
            "POST v1/charges",
            "POST /v1//charges",
            "POST /v1/../x",
            "POST /v1/{}",
            "POST /v1/{a",
            "POST /v1/x{a}",
            "POST /v1/*/x",
            "POST *",
            "POST /v1/cha*",
            "POST  /v1",
            "POST /v1/charges ",
            "POST /v1/{a b}",
        ] {
            assert!(text.parse::<EndpointPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_capture_finds_its_segment() {
        let pattern: EndpointPattern = "POST /v1/payment_intents/{id}/confirm".parse().unwrap();
        let given = endpoint("POST", "/v1/payment_intents/pi_1/confirm");
        assert_eq!(pattern.capture(&given, "id"), Some("pi_1"));
        assert_eq!(pattern.capture(&given, "v1"), None);
    }

    #[test]
    fn a_pattern_covers_another_where_it_names_all_of_its_endpoints() {
        let cases = [
            ("POST /v1/charges", "POST /v1/charges", true),
            ("POST /v1/charges", "GET /v1/charges", false),
            ("POST /v1/charges", "POST /v1/refunds", false),
            ("POST /v1/charges", "POST /v1/charges/{id}", false),
            ("POST /v1/charges/{id}", "POST /v1/charges", false),
            ("POST /v1/{any}", "POST /v1/charges", true),
            ("POST /v1/charges", "POST /v1/{any}", false),
            ("POST /v1/{any}", "POST /v1/{other}", true),
            ("POST /v1/{any}", "POST /v1/*", false),
            ("POST /v1/*", "POST /v1/{any}", true),
            ("POST /v1/*", "POST /v1/charges/ch_1", true),
            ("POST /v1/*", "POST /v1", false),
            ("POST /v1/*", "POST /v1/*", true),
            ("POST /v1/*", "POST /v1/charges/*", true),
            ("POST /v1/charges/*", "POST /v1/*", false),
            ("POST /v1/*", "POST /v2/charges", false),
            ("POST /v1/*", "POST /*", false),
            ("POST /*", "POST /v1/charges", true),
            ("POST /*", "POST /*", true),
            ("POST /*", "GET /*", false),
        ];
        for (wide, narrow, expected) in cases {
            let covers = wide
                .parse::<EndpointPattern>()
                .unwrap()
                .covers(&narrow.parse::<EndpointPattern>().unwrap());
            assert_eq!(covers, expected, "{wide} covers {narrow}");
        }
    }

    #[test]
    fn runs_are_named_by_their_label_or_by_how_it_begins() {
        let label = |text: &str| RunLabel::try_from(text.to_owned()).unwrap();
        let prefixed = |text: &str| Runs::Prefixed(text.to_owned());
        let cases = [
            (Runs::Labelled(label("run/1")), "run/1", true),
            (Runs::Labelled(label("run/1")), "run/10", false),
            (Runs::Labelled(label("run/1")), "run/", false),
            (Runs::Labelled(label("run/1")), "Run/1", false),
            (prefixed("run/1"), "run/1", true),
            (prefixed("run/1"), "run/10", true),
            (prefixed("run/1"), "run/2", false),
            (prefixed("run/1"), "run/", false),
            (prefixed("run/%"), "run/1", false),
            (prefixed(""), "é", true),
        ];
        for (runs, text, expected) in cases {
            assert_eq!(runs.contain(&label(text)), expected, "{runs:?} {text}");
        }
        assert_eq!(Runs::Labelled(label("run/1")).text(), "run/1");
        assert_eq!(prefixed("run/").text(), "run/");
    }

    #[test]
    fn a_fixed_hold_is_the_most_that_any_pattern_says() {
        let hold = |dollars: u64| MicroUsd::from_micros(dollars * 1_000_000).unwrap();
        assert!(FixedHolds::default().is_empty());
        let holds: FixedHolds = [("POST /v1/*", 3), ("POST /v1/a", 5), ("POST /v1/b", 1)]
            .map(|(pattern, dollars)| (pattern.parse().unwrap(), hold(dollars)))
            .into_iter()
            .collect();
        assert!(!holds.is_empty());
        assert_eq!(holds.iter().count(), 3);
        for (method, path, expected) in [
            ("POST", "/v1/a", Some(5)),
            ("POST", "/v1/b", Some(3)),
            ("POST", "/v1/c", Some(3)),
            ("POST", "/v2/a", None),
            ("GET", "/v1/a", None),
        ] {
            let expected = expected.map(hold);
            assert_eq!(holds.of(&endpoint(method, path)), expected, "{method} {path}");
        }
    }

    #[test]
    fn only_get_reads() {
        let reads: Vec<_> = Method::ALL.into_iter().filter(|m| m.is_read()).collect();
        assert_eq!(reads, [Method::Get]);
    }

    #[test]
    fn labels_are_bounded_and_printable() {
        let label = |text: String| RunLabel::try_from(text);
        assert!(label("é".repeat(MAX_LABEL)).is_ok());
        for text in [
            String::new(),
            "x".repeat(MAX_LABEL + 1),
            "a\nb".into(),
            "a\u{85}b".into(),
            "\u{0}".into(),
        ] {
            assert_eq!(label(text), Err(InvalidLabel));
        }
    }

    #[test]
    fn a_label_reads_as_it_was_given() {
        let label = RunLabel::try_from("héllo [1]".to_owned()).unwrap();
        assert_eq!(label.as_str(), "héllo [1]");
        assert_eq!(String::from(label), "héllo [1]");
    }

    fn policy(allowed_params: &[(&str, &[&str])]) -> Policy {
        let values = |values: &[&str]| values.iter().map(ToString::to_string).collect();
        let allowed = vec!["POST /v1/charges".parse().unwrap()];
        Policy {
            allowed_params: allowed_params.iter().map(|(n, v)| ((*n).into(), values(v))).collect(),
            ..Policy::allowing("stripe".into(), allowed)
        }
    }

    #[test]
    fn what_is_not_on_the_allowlist_is_refused_with_the_allowlist() {
        let refused = policy(&[]).permit(&endpoint("GET", "/v1/charges"), &Params::none());
        assert_eq!(
            refused,
            Err(Refusal::EndpointNotAllowed {
                attempted: "GET /v1/charges".into(),
                allowed: vec!["POST /v1/charges".into()],
            })
        );
        assert_eq!(policy(&[]).permit(&endpoint("POST", "/v1/charges"), &Params::none()), Ok(()));
    }

    #[test]
    fn a_limited_parameter_must_be_given_with_an_allowed_value() {
        let policy = policy(&[("customer", &["cus_1", "cus_2"])]);
        let permit = |form: &str| {
            policy.permit(&endpoint("POST", "/v1/charges"), &Params::from_form(form).unwrap())
        };
        assert_eq!(permit("customer=cus_2"), Ok(()));
        for form in [
            "customer=cus_3",
            "",
            "customer[]=cus_1",
            "Customer=cus_1",
            "customer=cus_1&CUSTOMER=cus_3",
        ] {
            assert_eq!(
                permit(form),
                Err(Refusal::ParameterNotAllowed { name: "customer".into() }),
                "{form}"
            );
        }
    }

    #[test]
    fn a_key_that_audits_is_for_nothing_else() {
        let policy = Policy::audit();
        assert_eq!((policy.scope, policy.vendor.as_str()), (Scope::Audit, ""));
        assert!(policy.allowed_endpoints.is_empty());
    }

    #[test]
    fn a_policy_reads_back_as_it_was_stored() {
        let mut policy = policy(&[("customer", &["cus_1"])]);
        policy.per_call_usd_cap = MicroUsd::from_micros(1_500_000);
        let stored = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&stored).unwrap(), policy);
    }
}
