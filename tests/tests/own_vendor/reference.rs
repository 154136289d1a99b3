//! The guide's reference and the code name the same fields.

use std::{collections::BTreeSet, fs, path::Path};

use crate::document;

/// The fields that a file can have, as the sources of their types say: of every struct and enum
/// that is read from one, what it is called there.
fn fields() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut fields = BTreeSet::new();
    for file in ["core/src/vendor/definition.rs", "core/src/vendor/units.rs"] {
        let source = fs::read_to_string(root.join(file)).unwrap();
        for item in source.split("#[derive(").skip(1).filter(|item| {
            item.lines().next().is_some_and(|derived| derived.contains("Deserialize"))
        }) {
            let (body, _) = item.split_once("\n}").unwrap();
            fields.extend(named(body));
        }
    }
    fields
}

/// The fields of a struct or the variants of an enum, by what serde calls them.
fn named(body: &str) -> Vec<String> {
    let mut renamed = None;
    let mut names = Vec::new();
    for line in body.lines().skip(1).map(str::trim) {
        if let Some((_, rest)) = line.split_once("rename = \"") {
            renamed = rest.split_once('"').map(|(name, _)| name.to_owned());
        }
        let field = line.strip_prefix("pub ").and_then(|rest| rest.split_once(": "));
        let variant = line.split(['(', ',']).next().filter(|name| {
            name.starts_with(char::is_uppercase) && name.chars().all(char::is_alphanumeric)
        });
        let name = field.map(|(name, _)| name.to_owned()).or_else(|| variant.map(snake_case));
        if let Some(name) = name {
            names.push(renamed.take().unwrap_or(name));
        }
    }
    names
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[test]
fn every_field_of_a_definition_is_in_the_guides_reference() {
    let fields = fields();
    for known in
        ["base_url", "priced", "object", "for", "final", "type", "basic_user", "header", "each"]
    {
        assert!(fields.contains(known), "{known} is not found in the sources: {fields:?}");
    }
    let document = document();
    let (_, reference) = document.split_once("\n## Reference\n").unwrap();
    let code: BTreeSet<&str> = reference
        .split('`')
        .skip(1)
        .step_by(2)
        .flat_map(|code| code.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .collect();
    let missing: Vec<_> = fields.iter().filter(|field| !code.contains(field.as_str())).collect();
    assert!(missing.is_empty(), "not in docs/vendors.md: {missing:?}");
}
