//! The parameters of a request, in the one form that is priced, compared and sent.
//!
//! Money is decided on these parameters, so the vendor must read the same ones. A name given twice,
//! or once as a value and once as a group, is refused: readers differ in which one counts. JSON is
//! flattened to the bracketed names that form-reading vendors take.

use std::collections::HashSet;

use percent_encoding::percent_decode_str;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::policy::Endpoint;

/// The deepest nesting of a JSON body.
const MAX_DEPTH: usize = 16;
/// The most parameters of one request.
const MAX_PARAMS: usize = 2_000;

/// Names and decoded values, sorted by name. Each name stands once; only `name[]` may repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

/// Why a body or query can't be read in one way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidParams {
    /// A name stands twice, or once as a value and once as a group.
    #[error("the parameter {0:?} is given more than once")]
    Duplicate(String),
    /// A name that vendors could read in different ways.
    #[error("{0:?} is not a parameter name")]
    Name(String),
    /// A broken percent-encoding, text that is not UTF-8, or a bare `;`.
    #[error("the form is not well-formed")]
    Form,
    /// Not a JSON object, or nested too deeply.
    #[error("the body is not a JSON object")]
    Json,
    /// More parameters than any real request has.
    #[error("more than {MAX_PARAMS} parameters")]
    TooMany,
}

impl Params {
    /// No parameters.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Reads `application/x-www-form-urlencoded` text: a body or a query.
    pub fn from_form(text: &str) -> Result<Self, InvalidParams> {
        Self::from_form_repeating(text, &[])
    }

    /// The same, where these names may be given several times.
    pub fn from_form_repeating(text: &str, repeated: &[String]) -> Result<Self, InvalidParams> {
        if text.contains(';') {
            return Err(InvalidParams::Form);
        }
        let decode = |part: &str| {
            let escapes_are_whole = part.split('%').skip(1).all(|after| {
                after.get(..2).is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            });
            let spaced = part.replace('+', " ");
            let decoded =
                percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned);
            if escapes_are_whole {
                decoded.map_err(|_| InvalidParams::Form)
            } else {
                Err(InvalidParams::Form)
            }
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        pairs.collect::<Result<Vec<_>, _>>().and_then(|pairs| Self::checked(pairs, repeated))
    }

    /// Reads a JSON object. Nested members become `name[member]` and `name[0]`; numbers keep their
    /// text exactly; `null` and empty groups become the empty value, as the vendors' SDKs send them.
    pub fn from_json(text: &str) -> Result<Self, InvalidParams> {
        match node(text)? {
            Node::Object(_) => Self::from_json_document(text),
            Node::Array(_) | Node::Scalar(_) => Err(InvalidParams::Json),
        }
    }

    /// Reads a JSON object or a list. The members of a list are named `0[member]`, `1[member]` …
    pub fn from_json_document(text: &str) -> Result<Self, InvalidParams> {
        let members: Vec<_> = match node(text)? {
            Node::Object(members) => members,
            Node::Array(items) => {
                items.into_iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect()
            }
            Node::Scalar(_) => return Err(InvalidParams::Json),
        };
        let mut pairs = Vec::new();
        for (name, value) in members {
            flatten(name, value.get(), MAX_DEPTH, &mut pairs)?;
        }
        Self::checked(pairs, &[])
    }

    fn checked(
        mut pairs: Vec<(String, String)>,
        repeated: &[String],
    ) -> Result<Self, InvalidParams> {
        if pairs.len() > MAX_PARAMS {
            return Err(InvalidParams::TooMany);
        }
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut values = HashSet::new();
        let mut groups = HashSet::new();
        for (name, _) in &pairs {
            check_name(name)?;
            let repeats = name.ends_with("[]") || repeated.contains(name);
            if !values.insert(name.as_str()) && !repeats {
                return Err(InvalidParams::Duplicate(name.clone()));
            }
            groups.extend(name.match_indices('[').filter_map(|(at, _)| name.get(..at)));
        }
        match groups.iter().find(|group| values.contains(*group)) {
            Some(both) => Err(InvalidParams::Duplicate((*both).to_owned())),
            None => Ok(Self(pairs)),
        }
    }

    /// Whether a parameter with this name is given, or one under it, in whatever case.
    #[must_use]
    pub fn has_any(&self, name: &str) -> bool {
        let named = |given: &str| {
            let start = given.get(..name.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(name))
                && given
                    .get(name.len()..)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        };
        self.iter().any(|(given, _)| named(given))
    }

    /// The value with exactly this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Takes the value with exactly this name out of the parameters.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// The parameters with these added; an added name replaces an equal one.
    #[must_use]
    pub fn with(mut self, added: impl IntoIterator<Item = (String, String)>) -> Self {
        for (name, value) in added {
            self.take(&name);
            self.0.push((name, value));
        }
        self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        self
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Names that begin so, with their values, sorted by name. Looks at no others.
    pub fn beginning(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        // Nothing is compared with an empty text, which is slow: it reads where that points to.
        let start = match prefix {
            "" => 0,
            prefix => self.0.partition_point(|(name, _)| name.as_str() < prefix),
        };
        let rest = self.0.get(start..).unwrap_or_default().iter();
        let near = rest.take_while(move |(name, _)| prefix.is_empty() || name.starts_with(prefix));
        near.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A name that a reader could take for `name` although it is another: a nested, an upper-case,
    /// or a repeated form of it.
    #[must_use]
    pub fn lookalike(&self, name: &str) -> Option<&str> {
        let (root, nested) = name.split_once('[').map_or((name, false), |(root, _)| (root, true));
        let alike = |given: &str| {
            let given_root = given.split('[').next().unwrap_or_default();
            if nested {
                // Its siblings are other parameters; another spelling of the group is not.
                let within =
                    given.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name));
                let other_case = given_root != root && given_root.eq_ignore_ascii_case(root);
                given != name && (within || other_case || given == root)
            } else {
                given != name && given_root.eq_ignore_ascii_case(root)
            }
        };
        self.0.iter().map(|(given, _)| given.as_str()).find(|given| alike(given))
    }

    /// SHA-256 over method, path, parameters and what else tells two requests apart: equal for two
    /// requests that ask the same.
    #[must_use]
    pub fn fingerprint(&self, endpoint: &Endpoint, also: &[&str]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(endpoint.to_string());
        for text in also {
            hash.update(format!("\0{} {text}", text.len()));
        }
        for (name, value) in self.iter() {
            // Lengths keep `a=bc` and `ab=c` apart.
            hash.update(format!("\n{} {}\n{name}{value}", name.len(), value.len()));
        }
        hash.finalize().into()
    }

    /// The parameters as a form.
    #[must_use]
    pub fn to_form(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.iter()).finish()
    }
}

/// A root of letters, digits, `_` and `-`, and behind it any number of bracketed members.
fn check_name(name: &str) -> Result<(), InvalidParams> {
    let invalid = || InvalidParams::Name(name.chars().take(80).collect());
    let (root, mut rest) = name.split_at(name.find('[').unwrap_or(name.len()));
    if root.is_empty() || !root.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let member = rest.strip_prefix('[').ok_or_else(invalid)?;
        let (member, after) = member.split_once(']').ok_or_else(invalid)?;
        if member.contains('[') || member.chars().any(char::is_control) {
            return Err(invalid());
        }
        rest = after;
    }
    Ok(())
}

/// One level of JSON. Values stay text, so that numbers are exact and repeated members are seen.
enum Node {
    Object(Vec<(String, Box<RawValue>)>),
    Array(Vec<Box<RawValue>>),
    Scalar(String),
}

fn node(text: &str) -> Result<Node, InvalidParams> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let parsed = match text.bytes().next() {
        Some(b'{') => {
            serde_json::Deserializer::from_str(text).deserialize_map(Members).map(Node::Object)
        }
        Some(b'[') => {
            serde_json::Deserializer::from_str(text).deserialize_seq(Items).map(Node::Array)
        }
        Some(b'"') => serde_json::from_str(text).map(Node::Scalar),
        _ if text == "null" => return Ok(Node::Scalar(String::new())),
        _ => serde_json::from_str::<&RawValue>(text).map(|raw| Node::Scalar(raw.get().to_owned())),
    };
    // A value may only be followed by space: parse again as a whole where it was read as a part.
    serde_json::from_str::<&RawValue>(text).map_err(|_| InvalidParams::Json)?;
    parsed.map_err(|_| InvalidParams::Json)
}

fn flatten(
    name: String,
    text: &str,
    depth: usize,
    pairs: &mut Vec<(String, String)>,
) -> Result<(), InvalidParams> {
    let depth = depth.checked_sub(1).ok_or(InvalidParams::Json)?;
    match node(text)? {
        Node::Scalar(value) => pairs.push((name, value)),
        Node::Object(members) if members.is_empty() => pairs.push((name, String::new())),
        Node::Array(items) if items.is_empty() => pairs.push((name, String::new())),
        Node::Object(members) => {
            for (member, value) in members {
                if member.contains(['[', ']']) {
                    return Err(InvalidParams::Name(member.chars().take(80).collect()));
                }
                flatten(format!("{name}[{member}]"), value.get(), depth, pairs)?;
            }
        }
        Node::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                flatten(format!("{name}[{index}]"), value.get(), depth, pairs)?;
            }
        }
    }
    if pairs.len() > MAX_PARAMS { Err(InvalidParams::TooMany) } else { Ok(()) }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, Box<RawValue>)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<Box<RawValue>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(params: &Params) -> Vec<(&str, &str)> {
        params.iter().collect()
    }

    #[test]
    fn a_form_is_decoded_once_and_sorted() {
        let params = Params::from_form(
            "currency=usd&am%6Funt=100&metadata[a+b]=x%2By&expand[]=b&expand[]=a",
        )
        .unwrap();
        assert_eq!(
            pairs(&params),
            [
                ("amount", "100"),
                ("currency", "usd"),
                ("expand[]", "b"),
                ("expand[]", "a"),
                ("metadata[a b]", "x+y")
            ]
        );
        assert_eq!(params.get("amount"), Some("100"));
        assert_eq!(params.get("amoun"), None);
        assert_eq!(Params::from_form(&params.to_form()), Ok(params));
    }

    #[test]
    fn json_and_form_of_one_request_read_alike() {
        let json = r#" {"amount":100,"currency":"usd","confirm":true,"metadata":{"k":"v\u00e9"},
                        "items":[{"price":"p","n":1.50}],"customer":null,"expand":[]} "#;
        let form = "amount=100&currency=usd&confirm=true&metadata[k]=v%C3%A9&items[0][price]=p\
                    &items[0][n]=1.50&customer=&expand=";
        assert_eq!(Params::from_json(json).unwrap(), Params::from_form(form).unwrap());
    }

    #[test]
    fn numbers_keep_their_text() {
        let params =
            Params::from_json(r#"{"a":1e2,"b":100.0,"c":123456789012345678901234567890,"d":-0}"#)
                .unwrap();
        assert_eq!(
            pairs(&params),
            [("a", "1e2"), ("b", "100.0"), ("c", "123456789012345678901234567890"), ("d", "-0")]
        );
    }

    #[test]
    fn a_name_given_twice_is_refused_in_every_spelling() {
        for form in [
            "amount=1&amount=2",
            "amount=1&am%6Funt=2",
            "amount=1&amount[]=2",
            "amount[x]=1&amount=2",
            "a[b]=1&a[b]=2",
            "a[b]=1&a[b][c]=2",
        ] {
            assert!(matches!(Params::from_form(form), Err(InvalidParams::Duplicate(_))), "{form}");
        }
        for json in [
            r#"{"amount":1,"amount":2}"#,
            r#"{"amount":1,"\u0061mount":2}"#,
            r#"{"a":{"b":1,"b":2}}"#,
        ] {
            assert!(matches!(Params::from_json(json), Err(InvalidParams::Duplicate(_))), "{json}");
        }
    }

    #[test]
    fn names_that_readers_take_differently_are_refused() {
        for form in [
            "=1",
            "[a]=1",
            "a[b=1",
            "a]=1",
            "a[b]c=1",
            "a[[b]]=1",
            " amount=1",
            "amount%00=1",
            "a.b=1",
            "a[%0A]=1",
        ] {
            assert!(matches!(Params::from_form(form), Err(InvalidParams::Name(_))), "{form}");
        }
        assert!(matches!(Params::from_json(r#"{"a":{"b]":1}}"#), Err(InvalidParams::Name(_))));
    }

    #[test]
    fn broken_bodies_are_refused() {
        for form in ["a=%", "a=%4", "a=%zz", "a=%FF", "a=1;b=2"] {
            assert_eq!(Params::from_form(form), Err(InvalidParams::Form), "{form}");
        }
        for json in [
            "",
            "1",
            "[]",
            "{",
            r#"{"a":}"#,
            r#"{"a":1}x"#,
            r#"{"a":01}"#,
            r#"{"a":nul}"#,
            "{\"a\":\"\u{1}\"}",
        ] {
            assert_eq!(Params::from_json(json), Err(InvalidParams::Json), "{json}");
        }
        let nest = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(Params::from_json(&nest(MAX_DEPTH - 1)).is_ok());
        assert_eq!(Params::from_json(&nest(MAX_DEPTH)), Err(InvalidParams::Json));
        let many = |n: usize| (0..n).map(|i| format!("a{i}=1")).collect::<Vec<_>>().join("&");
        assert!(Params::from_form(&many(MAX_PARAMS)).is_ok());
        assert_eq!(Params::from_form(&many(MAX_PARAMS + 1)), Err(InvalidParams::TooMany));
        let wide = format!("{{\"a\":[{}1]}}", "1,".repeat(MAX_PARAMS));
        assert_eq!(Params::from_json(&wide), Err(InvalidParams::TooMany));
    }

    #[test]
    fn lookalikes_of_a_name_are_seen() {
        let params = Params::from_form("Amount=1&currency[0]=usd&total=5").unwrap();
        assert_eq!(params.lookalike("amount"), Some("Amount"));
        assert_eq!(params.lookalike("currency"), Some("currency[0]"));
        assert_eq!(params.lookalike("total"), None);
    }

    #[test]
    fn a_fingerprint_tells_requests_apart() {
        let endpoint = |path: &str| Endpoint {
            method: crate::policy::Method::Post,
            path: crate::path::CanonicalPath::parse(path).unwrap(),
        };
        let of = |path: &str, form: &str| {
            Params::from_form(form).unwrap().fingerprint(&endpoint(path), &[])
        };
        assert_eq!(of("/a", "b=1&a=2"), of("/a", "a=2&b=1"));
        let different = [
            of("/a", "a=bc"),
            of("/a", "ab=c"),
            of("/b", "a=bc"),
            of("/a", ""),
            of("/a", "a=b&c="),
        ];
        let distinct: HashSet<_> = different.iter().collect();
        assert_eq!(distinct.len(), different.len());
        let also = |also: &[&str]| Params::none().fingerprint(&endpoint("/a"), also);
        assert_ne!(also(&["x"]), also(&[]));
        assert_ne!(also(&["x", "y"]), also(&["xy"]));
    }

    #[test]
    fn a_list_of_json_is_read_where_it_may_be_one() {
        let list = r#"[{"to":["a","b"]},{"to":"c"}]"#;
        assert_eq!(Params::from_json(list), Err(InvalidParams::Json));
        let params = Params::from_json_document(list).unwrap();
        assert_eq!(pairs(&params), [("0[to][0]", "a"), ("0[to][1]", "b"), ("1[to]", "c")]);
        assert_eq!(Params::from_json_document("5"), Err(InvalidParams::Json));
    }

    #[test]
    fn names_with_one_beginning_stand_together() {
        let params = Params::from_form("b=1&a[1]=2&a[10]=3&ab=4&a[0][x]=5&A=6").unwrap();
        let values = |prefix: &str| params.beginning(prefix).map(|(_, value)| value).collect();
        for (prefix, expected) in [
            ("a[", vec!["5", "3", "2"]),
            ("a[1", vec!["3", "2"]),
            ("b", vec!["1"]),
            ("c", vec![]),
            ("", vec!["6", "5", "3", "2", "4", "1"]),
        ] {
            let found: Vec<&str> = values(prefix);
            assert_eq!(found, expected, "{prefix}");
        }
    }

    #[test]
    fn a_name_may_repeat_only_where_its_vendor_says_so() {
        let repeated = ["MediaUrl".to_owned()];
        let read = |form: &str| Params::from_form_repeating(form, &repeated);
        let params = read("MediaUrl=b&Body=x&MediaUrl=a").unwrap();
        assert_eq!(pairs(&params), [("Body", "x"), ("MediaUrl", "b"), ("MediaUrl", "a")]);
        assert!(read("Body=x&Body=y").is_err());
    }

    #[test]
    fn a_name_is_there_in_whatever_case_and_depth() {
        let params = Params::from_form("Balance=5&cash_balance[settings][x]=1&balances=2").unwrap();
        for (name, there) in
            [("balance", true), ("cash_balance", true), ("cash", false), ("settings", false)]
        {
            assert_eq!(params.has_any(name), there, "{name}");
        }
    }

    #[test]
    fn taking_and_adding_keep_the_order() {
        let mut params = Params::from_form("b=1&idempotency_key=k").unwrap();
        assert_eq!(params.take("idempotency_key").as_deref(), Some("k"));
        assert_eq!(params.take("idempotency_key"), None);
        let params =
            params.with([("a".to_owned(), "2".to_owned()), ("b".to_owned(), "3".to_owned())]);
        assert_eq!(pairs(&params), [("a", "2"), ("b", "3")]);
    }
}
