//! Naming parameters: one by its name, each member of a group with `[*]`, and what holds of them.

use std::str::FromStr;

use serde::Deserialize;

use crate::params::Params;

/// A parameter's name, in which one `*` stands for each member of a group: `lines[*][amount]`, or
/// `*[to]` where the whole body is a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Named(String),
    Each,
}

/// A text that names no parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} does not name a parameter: write a name such as amount, a[b] or lines[*][amount], with one * at most"
)]
pub struct InvalidPattern(String);

impl Pattern {
    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The one parameter with this name; nothing where the name stands for several.
    #[must_use]
    pub fn one<'p>(&self, params: &'p Params) -> Option<&'p str> {
        params.get(&self.text)
    }

    /// The members of the group, by what stands for `*`: each once, also those that lack this
    /// parameter. Where there is no `*`, one member if the parameter is given.
    #[must_use]
    pub fn members<'p>(&self, params: &'p Params) -> Vec<&'p str> {
        let Some(at) = self.parts.iter().position(|part| *part == Part::Each) else {
            return self.one(params).map(|_| "").into_iter().collect();
        };
        let group = self.parts.get(..=at).unwrap_or_default();
        let mut members: Vec<&str> =
            params.iter().filter_map(|(name, _)| bound(group, name, false)).collect();
        // Names are sorted, so that those of one member stand together.
        members.dedup();
        members
    }

    /// The value for one member of the group.
    #[must_use]
    pub fn of<'p>(&self, params: &'p Params, member: &str) -> Option<&'p str> {
        let mut values =
            params.iter().filter(|(name, _)| bound(&self.parts, name, true) == Some(member));
        values.next().map(|(_, value)| value)
    }

    /// The values with this name, or directly under it: of `to`, also those of `to[0]` and `to[]`.
    pub fn values<'p>(&self, params: &'p Params) -> impl Iterator<Item = &'p str> {
        let named = |name: &str| {
            let parts = split(name).count();
            (parts == self.parts.len() || parts == self.parts.len() + 1)
                && bound(&self.parts, name, false).is_some()
        };
        params.iter().filter(move |(name, _)| named(name)).map(|(_, value)| value)
    }

    /// The values with this name, and of all that lies under it.
    pub fn all_under<'p>(&self, params: &'p Params) -> impl Iterator<Item = &'p str> {
        let within = |(name, _): &(&str, &str)| bound(&self.parts, name, false).is_some();
        params.iter().filter(within).map(|(_, value)| value)
    }

    /// A name among the parameters that a reader could take for this one although it is another.
    #[must_use]
    pub fn lookalike<'p>(&self, params: &'p Params) -> Option<&'p str> {
        if self.parts.len() == 1 {
            return params.lookalike(&self.text);
        }
        params.iter().map(|(name, _)| name).find(|name| self.is_alike(name))
    }

    /// Whether a name is this one in another spelling, a value in place of a group that this one is
    /// in, or a group in place of its value.
    fn is_alike(&self, name: &str) -> bool {
        let fits = |(part, given): (&Part, &str)| match part {
            Part::Named(expected) => expected.eq_ignore_ascii_case(given),
            Part::Each => true,
        };
        self.parts.iter().zip(split(name)).all(fits) && bound(&self.parts, name, true).is_none()
    }
}

/// What stands for `*` where a name fits: as a whole, or in how it begins. Without a `*`, nothing.
fn bound<'n>(parts: &[Part], name: &'n str, whole: bool) -> Option<&'n str> {
    let mut given = split(name);
    let mut bound = "";
    for part in parts {
        match (part, given.next()?) {
            (Part::Named(expected), given) if expected == given => {}
            (Part::Each, given) => bound = given,
            (Part::Named(_), _) => return None,
        }
    }
    (!whole || given.next().is_none()).then_some(bound)
}

/// The root of a name, and its members.
fn split(name: &str) -> impl Iterator<Item = &str> {
    let mut pieces = name.split('[');
    pieces.next().into_iter().chain(pieces.map(|piece| piece.strip_suffix(']').unwrap_or(piece)))
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let part = |part: &str| match part {
            "*" => Part::Each,
            name => Part::Named(name.to_owned()),
        };
        let parts: Vec<Part> = split(text).map(part).collect();
        let each = parts.iter().filter(|part| **part == Part::Each).count();
        let nothing = parts.first().is_none_or(|part| *part == Part::Named(String::new()));
        if nothing || each > 1 || text.contains(char::is_whitespace) {
            return Err(InvalidPattern(text.to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

impl TryFrom<String> for Pattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        text.parse()
    }
}

/// Whether a parameter is given, or one under it (`name`), has a value (`name=value`), or is given
/// with another one (`name!=value`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Condition {
    name: Pattern,
    wanted: Wanted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Anything,
    Value(String),
    AnotherThan(String),
}

impl Condition {
    /// Whether it holds of these parameters.
    #[must_use]
    pub fn holds(&self, params: &Params) -> bool {
        match &self.wanted {
            Wanted::Anything => self.name.all_under(params).any(|given| !given.is_empty()),
            Wanted::Value(value) => self.name.values(params).any(|given| given == value),
            Wanted::AnotherThan(value) => self.name.all_under(params).any(|given| given != value),
        }
    }
}

impl TryFrom<String> for Condition {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        let (name, wanted) = match text.split_once('=') {
            Some((name, value)) => match name.strip_suffix('!') {
                Some(name) => (name, Wanted::AnotherThan(value.to_owned())),
                None => (name, Wanted::Value(value.to_owned())),
            },
            None => (text.as_str(), Wanted::Anything),
        };
        Ok(Self { name: name.parse()?, wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    fn params(form: &str) -> Params {
        Params::from_form(form).unwrap()
    }

    #[test]
    fn a_star_stands_for_each_member_of_a_group() {
        let given = params("lines[0][amount]=5&lines[0][n]=2&lines[1][n]=3&linesx[0][amount]=9");
        let amount = pattern("lines[*][amount]");
        assert_eq!(amount.members(&given), ["0", "1"]);
        assert_eq!(amount.of(&given, "0"), Some("5"));
        assert_eq!(amount.of(&given, "1"), None);
        assert_eq!(pattern("*[to]").members(&params("0[to][0]=a&1[to]=b")), ["0", "1"]);
        assert_eq!(pattern("a[b]").members(&params("a[b]=1")), [""]);
        assert_eq!(pattern("a[b]").of(&params("a[b]=1"), ""), Some("1"));
        assert!(pattern("a[b]").members(&params("a[c]=1")).is_empty());
    }

    #[test]
    fn values_are_those_of_a_name_and_directly_under_it() {
        let values = |name: &str, form: &str| pattern(name).values(&params(form)).count();
        assert_eq!(values("to", "to=a&cc=b"), 1);
        assert_eq!(values("to", "to[0]=a&to[1]=b&to[2][x]=c"), 2);
        assert_eq!(values("*[to]", "0[to]=a&1[to][0]=b&1[to][1]=c&1[cc]=d"), 3);
    }

    #[test]
    fn conditions_ask_for_presence_or_a_value() {
        let holds = |text: &str, form: &str| {
            Condition::try_from(text.to_owned()).unwrap().holds(&params(form))
        };
        assert!(holds("mode", "mode=x") && !holds("mode", "mode=") && !holds("mode", "a=1"));
        assert!(holds("mode=x", "mode=x") && !holds("mode=x", "mode=y") && !holds("mode=x", ""));
        assert!(
            holds("mode!=x", "mode=X")
                && holds("mode!=x", "mode=")
                && holds("mode!=x", "mode[a]=x1")
        );
        assert!(!holds("mode!=x", "mode=x") && !holds("mode!=x", "a=y"));
        assert!(holds("MediaUrl", "MediaUrl[0]=x"));
        assert!(holds("options", "options[0][price]=x") && !holds("options", "options[0][price]="));
        assert!(
            holds("a[*][b]=true", "a[0][b]=false&a[1][b]=true")
                && !holds("a[*][b]=true", "a[0][b]=false")
        );
    }

    #[test]
    fn lookalikes_of_nested_names_are_seen() {
        let alike = |name: &str, form: &str| pattern(name).lookalike(&params(form)).is_some();
        assert!(alike("amount[value]", "Amount[value]=1"));
        assert!(alike("amount[value]", "amount=1"));
        assert!(!alike("amount[value]", "amount[value]=1&amounts=2"));
        assert!(alike("amount", "amount[value]=1"));
        for other in ["a[0][b][]=1", "a[0][B]=1", "A[0][b]=1", "a[0][b][c]=1", "a[0]=1", "a=1"] {
            assert!(alike("a[*][b]", other), "{other}");
        }
        assert!(!alike("a[*][b]", "a[0][b]=1&a[1][c]=2&b=3&a[0][bb]=4"));
    }

    #[test]
    fn texts_that_name_nothing_are_refused() {
        for text in ["", "[a]", "a[*][*]", "a b"] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
