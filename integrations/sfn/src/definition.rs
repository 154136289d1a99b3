//! A state machine's definition: JSON with a `${Name}` for each function.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};

/// Our functions, by their placeholders in the examples.
pub(crate) const FUNCTIONS: [(&str, &str); 6] = [
    ("IssueVaultKey", "issue-vault-key"),
    ("ChargeOne", "charge-one"),
    ("RefreshVaultKey", "refresh-vault-key"),
    ("RevokeVaultKey", "revoke-vault-key"),
    ("ChargeFromQueue", "charge-from-queue"),
    ("RevokeEndedRun", "revoke-ended-run"),
];

/// The placeholders that a definition has.
pub(crate) fn placeholders(definition: &str) -> BTreeSet<&str> {
    let begun = definition.split("${").skip(1);
    begun.filter_map(|rest| rest.split_once('}').map(|(name, _)| name)).collect()
}

/// The definition with each placeholder filled.
pub(crate) fn filled(
    definition: &str,
    values: &BTreeMap<String, String>,
) -> anyhow::Result<String> {
    let mut text = definition.to_owned();
    for name in placeholders(definition) {
        let Some(value) = values.get(name) else {
            bail!("the definition has ${{{name}}}; say what it stands for with --set {name}=…");
        };
        text = text.replace(&format!("${{{name}}}"), value);
    }
    serde_json::from_str::<serde_json::Value>(&text).context("the definition is not JSON")?;
    Ok(text)
}

/// `NAME=VALUE` as given on the command line.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("is not NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_placeholder_is_filled_or_named() {
        let text = r#"{"A": "${One}", "B": "${Two}", "C": "${One}"}"#;
        let mut values = BTreeMap::from([("One".to_owned(), "1".to_owned())]);
        assert!(filled(text, &values).unwrap_err().to_string().contains("--set Two="));
        values.insert("Two".to_owned(), "2".to_owned());
        assert_eq!(filled(text, &values).unwrap(), r#"{"A": "1", "B": "2", "C": "1"}"#);
    }
}
