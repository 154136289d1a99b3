//! Naming parameters: one by its name, each member of a group with `[*]`, and what holds of them.

use std::{collections::BTreeMap, str::FromStr};

use serde::Deserialize;

use crate::params::Params;

/// A parameter's name, in which one `*` stands for each member of a group: `lines[*][amount]`, or
/// `*[to]` where the whole body is a list.
///
/// Every parameter of a request is held against it, so it is taken apart only once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern {
    text: String,
    /// How many parts the name has: its root, and each member.
    parts: usize,
    star: Option<Star>,
}

/// Where the `*` is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Star {
    /// What is in front of it: `lines[`. Nothing where it is the root.
    before: String,
    /// What is behind it: `][amount]`.
    after: String,
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

    /// The group whose members `*` stands for: what is in front of it. None without a `*`.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.star.as_ref().map(|star| star.before.as_str())
    }

    /// The members of the group, by what stands for `*`: each once, also those that lack this
    /// parameter. Where there is no `*`, one member if the parameter is given.
    #[must_use]
    pub fn members<'p>(&self, params: &'p Params) -> Vec<&'p str> {
        let Some(star) = &self.star else {
            return self.one(params).map(|_| "").into_iter().collect();
        };
        let mut members: Vec<&str> =
            self.near(params).filter_map(|(name, _)| Some(star.member_of(name)?.0)).collect();
        // Names are sorted, so that those of one member stand together.
        members.dedup();
        members
    }

    /// The value of each member of the group that has one.
    #[must_use]
    pub fn by_member<'p>(&self, params: &'p Params) -> BTreeMap<&'p str, &'p str> {
        let mut values = BTreeMap::new();
        for (name, value) in self.near(params) {
            if let Some((member, "")) = self.begin_of(name) {
                // Of a name that may repeat, the first counts, as in `one`.
                values.entry(member).or_insert(value);
            }
        }
        values
    }

    /// The values with this name, or directly under it: of `to`, also those of `to[0]` and `to[]`.
    pub fn values<'p>(&self, params: &'p Params) -> impl Iterator<Item = &'p str> {
        let under = self.under(params);
        under.filter_map(|(member, value)| member.is_none().then_some(value))
    }

    /// All values under this name, sorted by their names. Of what lies deeper than
    /// [`Self::values`] goes, also the member that it is in: `to[0]` of `to[0][email]`.
    pub fn under<'p>(
        &self,
        params: &'p Params,
    ) -> impl Iterator<Item = (Option<&'p str>, &'p str)> {
        self.near(params).filter_map(|(name, value)| {
            let (_, rest) = self.begin_of(name)?;
            let deeper = rest.match_indices('[').nth(1);
            let member = deeper.and_then(|(at, _)| name.get(..name.len() - rest.len() + at));
            Some((member, value))
        })
    }

    /// The parameters among which those with this name are.
    fn near<'p>(&self, params: &'p Params) -> impl Iterator<Item = (&'p str, &'p str)> {
        let begin = self.star.as_ref().map_or(self.text.as_str(), |star| star.before.as_str());
        params.beginning(begin)
    }

    /// What stands for `*` in a name that begins as this one does, and the rest of the name.
    fn begin_of<'n>(&self, name: &'n str) -> Option<(&'n str, &'n str)> {
        let (member, rest) = match &self.star {
            None => ("", name.strip_prefix(self.text.as_str())?),
            Some(star) => {
                let (member, rest) = star.member_of(name)?;
                (member, rest.strip_prefix(star.after.as_str())?)
            }
        };
        (rest.is_empty() || rest.starts_with('[')).then_some((member, rest))
    }

    /// The values with this name, and of all that lies under it.
    pub fn all_under<'p>(&self, params: &'p Params) -> impl Iterator<Item = &'p str> {
        self.under(params).map(|(_, value)| value)
    }

    /// A name among the parameters that a reader could take for this one although it is another.
    #[must_use]
    pub fn lookalike<'p>(&self, params: &'p Params) -> Option<&'p str> {
        if self.parts == 1 {
            return params.lookalike(&self.text);
        }
        params.iter().map(|(name, _)| name).find(|name| self.is_alike(name))
    }

    /// Whether a name is this one in another spelling, a value in place of a group that this one is
    /// in, or a group in place of its value.
    fn is_alike(&self, name: &str) -> bool {
        let alike = match &self.star {
            None => overlap(&self.text, name),
            Some(star) => match name.get(star.before.len()..) {
                Some(rest) if !rest.is_empty() => {
                    let start = name.get(..star.before.len()).unwrap_or_default();
                    start.eq_ignore_ascii_case(&star.before)
                        && overlap(&star.after, star.after_member(rest))
                }
                _ => overlap(&star.before, name),
            },
        };
        alike && !matches!(self.begin_of(name), Some((_, "")))
    }
}

/// Whether one name begins with the other, in whatever case, and goes on with a member.
fn overlap(one: &str, other: &str) -> bool {
    let both = one.len().min(other.len());
    let (one, other) = (one.as_bytes().split_at(both), other.as_bytes().split_at(both));
    let goes_on = one.1.first().or(other.1.first());
    goes_on.is_none_or(|next| *next == b'[') && one.0.eq_ignore_ascii_case(other.0)
}

impl Star {
    /// What is behind the member of the group that a name goes on with.
    fn after_member<'n>(&self, rest: &'n str) -> &'n str {
        let end = if self.before.is_empty() { '[' } else { ']' };
        rest.find(end).and_then(|at| rest.get(at..)).unwrap_or_default()
    }

    /// The member of the group that a name is in, and the rest of the name from its end on.
    fn member_of<'n>(&self, name: &'n str) -> Option<(&'n str, &'n str)> {
        // First, since comparing with nothing is slow: it reads where an empty text points to.
        if self.before.is_empty() {
            return Some(name.split_at(name.find('[').unwrap_or(name.len())));
        }
        let rest = name.strip_prefix(self.before.as_str())?;
        rest.find(']').map(|end| rest.split_at(end))
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = || InvalidPattern(text.to_owned());
        let mut pieces = text.split('[');
        let root = pieces.next().filter(|root| !root.contains(']')).ok_or_else(invalid)?;
        let mut parts = vec![root];
        for piece in pieces {
            let member = piece.strip_suffix(']').filter(|member| !member.contains(']'));
            parts.push(member.ok_or_else(invalid)?);
        }
        // A star is a whole part: half of one would be a name that nobody gives.
        let stars = parts.iter().filter(|part| **part == "*").count();
        if root.is_empty()
            || stars > 1
            || text.matches('*').count() != stars
            || text.contains(char::is_whitespace)
        {
            return Err(invalid());
        }
        let star = text
            .split_once('*')
            .map(|(before, after)| Star { before: before.to_owned(), after: after.to_owned() });
        Ok(Self { text: text.to_owned(), parts: parts.len(), star })
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
        assert_eq!(amount.by_member(&given), BTreeMap::from([("0", "5")]));
        assert_eq!(pattern("*[to]").members(&params("0[to][0]=a&1[to]=b")), ["0", "1"]);
        assert_eq!(pattern("a[b]").members(&params("a[b]=1")), [""]);
        assert_eq!(
            pattern("a[b]").by_member(&params("a[b]=1&a[bc]=2")),
            BTreeMap::from([("", "1")])
        );
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
    fn what_lies_deeper_is_told_by_the_member_that_it_is_in() {
        let given = params("to[0][name]=A&to[0][email]=a&to[1][email]=b&to[2]=c&too[0][email]=d");
        let to0 = Some("to[0]");
        let under: Vec<_> = pattern("to").under(&given).collect();
        assert_eq!(under, [(to0, "a"), (to0, "A"), (Some("to[1]"), "b"), (None, "c")]);
        let given = params("0[to][0][x]=a&1[to][0][x][y]=b");
        let under: Vec<_> = pattern("*[to]").under(&given).collect();
        assert_eq!(under, [(Some("0[to][0]"), "a"), (Some("1[to][0]"), "b")]);
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
        for text in
            ["", "[a]", "a[*][*]", "a b", "a[b", "a]", "a[b]c", "a[[b]]", "a*", "a[b*]", "*[*]"]
        {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
