//! Mail addresses, alone or behind a name.

/// Each address that stands in a text, as it is written there, parted by commas. `None` where one of
/// them is no address.
pub(super) fn each(text: &str) -> Option<Vec<String>> {
    let all: Vec<&str> = parts(text).into_iter().map(str::trim).collect();
    all.iter().all(|one| plain(one).is_some()).then(|| all.into_iter().map(str::to_owned).collect())
}

/// The address in `ann@example.com` or `Ann <ann@example.com>`.
pub(super) fn plain(text: &str) -> Option<&str> {
    let address = match text.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>')?,
        None => text,
    };
    let (local, domain) = address.split_once('@')?;
    let is_plain = |text: &str| {
        !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || "<>@,\"".contains(c))
    };
    (is_plain(local) && is_plain(domain) && domain.contains('.')).then_some(address)
}

/// A text between its commas; those in a quoted name part nothing.
fn parts(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_names_and_from_each_other() {
        for (text, count) in [
            ("ann@example.com", Some(1)),
            ("Ann <ann@example.com>", Some(1)),
            ("\"Bell, Ann\" <ann@example.com>", Some(1)),
            ("ann@example.com, Bob <bob@example.com>", Some(2)),
            ("ann@example.com,", None),
            ("ann@example", None),
            ("Ann", None),
            ("Ann <ann@example.com", None),
            ("ann@bob@example.com", None),
            ("", None),
        ] {
            assert_eq!(each(text).map(|all| all.len()), count, "{text}");
        }
        assert_eq!(plain("Ann <ann@example.com>"), Some("ann@example.com"));
    }
}
