//! Form parameters with bracketed names, read into a tree.
//!
//! The tree is what Stripe sees, so it is also what two requests under one idempotency key are
//! compared by: the order of the fields and the percent-encoding do not count.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::errors::{self, ApiError};

const MAX_DEPTH: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Node {
    Text(String),
    List(Vec<Node>),
    Map(BTreeMap<String, Node>),
}

/// The parameters of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Params(BTreeMap<String, Node>);

impl Params {
    /// Reads the query and then the body: Stripe takes parameters from both.
    pub(super) fn parse(query: &[u8], body: &[u8]) -> Result<Self, ApiError> {
        let mut tree = BTreeMap::new();
        for part in [query, body] {
            for (name, value) in form_urlencoded::parse(part) {
                let path = segments(&name)?;
                insert(&mut tree, &name, &path, &value)?;
            }
        }
        Ok(Self(tree))
    }

    /// Refuses the first parameter that the endpoint does not know.
    pub(super) fn refuse_unknown(&self, known: &[&str]) -> Result<(), ApiError> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(ApiError::invalid(format!("Received unknown parameter: {name}"))
                .code("parameter_unknown")
                .param(name)),
            None => Ok(()),
        }
    }

    /// Equal for requests that Stripe takes for the same.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let canonical = serde_json::to_vec(&self.0).unwrap_or_default();
        Sha256::digest(canonical).into()
    }

    /// Whether the parameter was sent, even if empty.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.0.get(name)
    }

    /// A text; `None` where it is absent or empty, which unsets it.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Node::Text(text)) if text.is_empty() => Ok(None),
            Some(Node::Text(text)) => Ok(Some(text)),
            Some(Node::List(_) | Node::Map(_)) => {
                Err(ApiError::invalid(format!("Invalid string: {name}")).param(name))
            }
        }
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, ApiError> {
        match self.text(name)? {
            Some(text) => Ok(text),
            None if self.has(name) => Err(empty(name)),
            None => Err(missing(name)),
        }
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.text(name)? else {
            return if self.has(name) { Err(empty(name)) } else { Ok(None) };
        };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits => Ok(Some(number)),
            Ok(_) | Err(_) => Err(ApiError::invalid(format!("Invalid integer: {text}"))
                .code("parameter_invalid_integer")
                .param(name)),
        }
    }

    pub(super) fn required_integer(&self, name: &str) -> Result<u64, ApiError> {
        self.integer(name)?.ok_or_else(|| missing(name))
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.text(name)? {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(ApiError::invalid(format!("Invalid boolean: {other}")).param(name)),
        }
    }

    /// One of a few words.
    pub(super) fn word(&self, name: &str, words: &[&str]) -> Result<Option<&str>, ApiError> {
        let word = self.text(name)?;
        match word {
            Some(word) if !words.contains(&word) => Err(ApiError::invalid(format!(
                "Invalid {name}: must be one of {}",
                words.join(", ")
            ))
            .param(name)),
            Some(_) | None => Ok(word),
        }
    }

    /// A list of texts, written as `name[]=` or `name[0]=`.
    pub(super) fn list(&self, name: &str) -> Result<Vec<&str>, ApiError> {
        let wrong = || ApiError::invalid("Invalid array").param(name);
        let items: Vec<&Node> = match self.0.get(name) {
            None => return Ok(Vec::new()),
            Some(Node::Text(text)) if text.is_empty() => return Ok(Vec::new()),
            Some(Node::Text(_)) => return Err(wrong()),
            Some(Node::List(items)) => items.iter().collect(),
            Some(Node::Map(items)) => {
                if !items.keys().all(|index| index.bytes().all(|b| b.is_ascii_digit())) {
                    return Err(wrong());
                }
                items.values().collect()
            }
        };
        let texts = items.into_iter().map(|item| match item {
            Node::Text(text) => Ok(text.as_str()),
            Node::List(_) | Node::Map(_) => Err(wrong()),
        });
        texts.collect()
    }

    /// A map of texts, written as `name[key]=value`; `None` where the parameter is absent.
    pub(super) fn map(&self, name: &str) -> Result<Option<Vec<(&str, &str)>>, ApiError> {
        let wrong = || ApiError::invalid(format!("Invalid {name}: must be a hash")).param(name);
        match self.0.get(name) {
            None => Ok(None),
            Some(Node::Text(text)) if text.is_empty() => Ok(Some(Vec::new())),
            Some(Node::Text(_) | Node::List(_)) => Err(wrong()),
            Some(Node::Map(entries)) => entries
                .iter()
                .map(|(key, value)| match value {
                    Node::Text(text) => Ok((key.as_str(), text.as_str())),
                    Node::List(_) | Node::Map(_) => Err(wrong()),
                })
                .collect::<Result<_, _>>()
                .map(Some),
        }
    }
}

pub(super) fn missing(name: &str) -> ApiError {
    ApiError::invalid(format!("Missing required param: {name}."))
        .code("parameter_missing")
        .param(name)
}

fn empty(name: &str) -> ApiError {
    ApiError::invalid(format!("An empty string was passed for '{name}'"))
        .code("parameter_invalid_empty")
        .param(name)
}

/// `a[b][]` as `a`, `b` and the empty segment.
fn segments(name: &str) -> Result<Vec<&str>, ApiError> {
    let malformed = || ApiError::invalid(format!("Invalid parameter name: {name}")).param(name);
    let (first, mut rest) = match name.find('[') {
        Some(at) => name.split_at(at),
        None => (name, ""),
    };
    let mut path = vec![first];
    while !rest.is_empty() {
        let inner = rest.strip_prefix('[').ok_or_else(malformed)?;
        let (segment, after) = inner.split_once(']').ok_or_else(malformed)?;
        path.push(segment);
        rest = after;
    }
    if first.is_empty() || first.contains(']') || path.len() > MAX_DEPTH {
        return Err(malformed());
    }
    Ok(path)
}

fn insert(
    tree: &mut BTreeMap<String, Node>,
    name: &str,
    path: &[&str],
    value: &str,
) -> Result<(), ApiError> {
    let Some((segment, rest)) = path.split_first() else {
        return Err(errors::not_a_form());
    };
    let conflict =
        || ApiError::invalid(format!("The parameter {name} was given more than once")).param(name);
    let Some((next, deeper)) = rest.split_first() else {
        let text = Node::Text(value.to_owned());
        return match tree.insert((*segment).to_owned(), text) {
            None => Ok(()),
            Some(_) => Err(conflict()),
        };
    };
    let fresh = if next.is_empty() { Node::List(Vec::new()) } else { Node::Map(BTreeMap::new()) };
    match tree.entry((*segment).to_owned()).or_insert(fresh) {
        Node::Map(map) if !next.is_empty() => insert(map, name, rest, value),
        Node::List(items) if next.is_empty() => append(items, name, deeper, value),
        Node::Map(_) | Node::List(_) | Node::Text(_) => Err(conflict()),
    }
}

/// Appends to a list; `a[][x]=1&a[][y]=2` is one item, a repeated field begins the next.
fn append(items: &mut Vec<Node>, name: &str, path: &[&str], value: &str) -> Result<(), ApiError> {
    let Some(field) = path.first() else {
        items.push(Node::Text(value.to_owned()));
        return Ok(());
    };
    if let Some(Node::Map(last)) = items.last_mut()
        && !last.contains_key(*field)
    {
        return insert(last, name, path, value);
    }
    let mut item = BTreeMap::new();
    insert(&mut item, name, path, value)?;
    items.push(Node::Map(item));
    Ok(())
}
