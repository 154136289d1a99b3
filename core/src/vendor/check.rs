//! What a definition must not contradict. Each fault is said with the line where it stands.
//!
//! A definition decides on money, so whatever could make it say less than it seems to say is a
//! fault: a template that nothing fills, an entry that is never reached, a look-up that would take
//! nothing found for proof. All faults are told at once.
//!
//! For the lines, the text is read a second time, into a tree that knows where each value stands:
//! so the definition's own types need no places that nobody else asks for.

use std::fmt;

use toml::de::{DeTable, DeValue};

use super::definition::Definition;

mod addresses;
mod endpoints;
mod headers;
mod lookups;
mod prices;
mod templates;

/// One thing that is wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line where it stands, from 1.
    pub line: usize,
    /// What is wrong, and what to write instead.
    pub why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// A definition that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the vendor definition is not valid: {}", told(.0))]
pub struct InvalidDefinition(Vec<Fault>);

fn told(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl InvalidDefinition {
    /// All that is wrong, in the order of its lines.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.0
    }

    /// What the reader of the text says.
    pub(super) fn unread(text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start);
        let why = error.message().lines().collect::<Vec<_>>().join(": ");
        Self(vec![Fault { line: line(text, at), why }])
    }
}

/// Where something stands: names of tables and positions in lists, from the top.
#[derive(Clone, Debug, Default)]
struct Place(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Item(usize),
}

impl Place {
    fn key(&self, name: &str) -> Self {
        self.then(Step::Key(name.to_owned()))
    }

    fn item(&self, index: usize) -> Self {
        self.then(Step::Item(index))
    }

    fn then(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    /// The byte at which it begins; of what is not there, where the table begins that lacks it.
    fn offset(&self, document: &DeTable<'_>) -> usize {
        let mut at = 0;
        let mut table = Some(document);
        let mut value: Option<&DeValue<'_>> = None;
        for step in &self.0 {
            let next = match step {
                Step::Key(name) => table
                    .and_then(|table| table.get_key_value(name.as_str()))
                    .map(|(key, value)| (key.span().start, value)),
                Step::Item(index) => value
                    .and_then(|value| value.get(*index))
                    .map(|value| (value.span().start, value)),
            };
            let Some((start, found)) = next else { return at };
            at = start;
            value = Some(found.get_ref());
            table = found.get_ref().as_table();
        }
        at
    }
}

/// The faults that were found so far.
#[derive(Debug, Default)]
struct Faults(Vec<(Place, String)>);

impl Faults {
    fn say(&mut self, at: Place, why: impl Into<String>) {
        self.0.push((at, why.into()));
    }

    fn say_if(&mut self, wrong: bool, at: impl FnOnce() -> Place, why: &str) {
        if wrong {
            self.say(at(), why);
        }
    }
}

/// Checks a definition that was read from this text. Its name and prefixes are none of `taken`,
/// each of which says of itself why.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn check(
    text: &str,
    definition: &Definition,
    taken: &[(&str, &str)],
) -> Result<(), InvalidDefinition> {
    let mut faults = Faults::default();
    addresses::check(definition, taken, &mut faults);
    headers::check(definition, &mut faults);
    endpoints::check(definition, &mut faults);
    prices::check(definition, &mut faults);
    templates::check(definition, &mut faults);
    lookups::check(definition, &mut faults);
    if faults.0.is_empty() {
        return Ok(());
    }
    let document = DeTable::parse(text).map_err(|error| InvalidDefinition::unread(text, &error))?;
    let place = |(at, why): (Place, String)| {
        let line = line(text, at.offset(document.get_ref()));
        Fault { line, why }
    };
    let mut faults: Vec<Fault> = faults.0.into_iter().map(place).collect();
    faults.sort_by_key(|fault| fault.line);
    Err(InvalidDefinition(faults))
}

fn line(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or_default().matches('\n').count() + 1
}

/// Names as a message lists them.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("{name:?}")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
