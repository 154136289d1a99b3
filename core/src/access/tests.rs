use super::*;

fn usd(dollars: u64) -> MicroUsd {
    MicroUsd::from_micros(dollars * 1_000_000).unwrap()
}

fn label(text: &str) -> RunLabel {
    RunLabel::try_from(text.to_owned()).unwrap()
}

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn grant(bounds: Bounds) -> Grant {
    Grant { actor: Actor::admin(), role: Role::Issuer, bounds }
}

fn prefixed(prefix: &str) -> Bounds {
    Bounds { label_prefix: Some(prefix.to_owned()), ..Bounds::default() }
}

fn vendors(names: &[&str]) -> Bounds {
    let vendors = names.iter().map(ToString::to_string).collect();
    Bounds { vendors: Some(vendors), ..Bounds::default() }
}

fn under(budget: i64) -> Bounds {
    let parent = Parent { key: KeyId::from_number(90), budget: BudgetId::from_number(budget) };
    Bounds { parent: Some(parent), ..Bounds::default() }
}

/// A vault key of the run `run/1` for Stripe on these budgets.
fn vault_key(chain: &[i64]) -> VaultKey {
    VaultKey {
        id: KeyId::from_number(1),
        token_hash: TokenHash::from_bytes([0; 32]),
        chain: chain.iter().map(|id| BudgetId::from_number(*id)).collect(),
        policy: crate::policy::Policy::allowing("stripe".to_owned(), Vec::new()),
        label: label("run/1"),
        issued_at: at(0),
        expires_at: at(60),
        successor: None,
    }
}

fn code<T>(result: Result<T, Refusal>) -> &'static str {
    result.map_or_else(|refusal| refusal.code(), |_| "permitted")
}

#[test]
fn a_role_has_its_actions_and_no_other() {
    use Action::{Issue, ReadActions, ReadCalls, ReadKeys, ReadMetrics, Refresh, Revoke, Spend};
    let issuer = [Issue, Refresh, Revoke, ReadKeys];
    let auditor = [ReadKeys, ReadCalls, ReadActions, ReadMetrics];
    let table: [(Role, &str, &[Action]); 4] = [
        (Role::Admin, "admin", &Action::ALL),
        (Role::Issuer, "issuer", &issuer),
        (Role::Caller, "caller", &[Spend]),
        (Role::Auditor, "auditor", &auditor),
    ];
    for (role, name, expected) in table {
        assert_eq!((role.name(), role.to_string().as_str()), (name, name));
        for action in Action::ALL {
            let may = expected.contains(&action);
            assert_eq!(role.may(action), may, "{role} {action:?}");
            let grant = Grant { role, ..grant(Bounds::default()) };
            let told = if may { "permitted" } else { "not_permitted" };
            assert_eq!(code(grant.permit(action)), told, "{role} {action:?}");
        }
    }
    assert_eq!(table.map(|(role, ..)| role), Role::ALL);
}

#[test]
fn an_api_key_grants_its_role_and_bounds_until_it_expires_or_is_revoked() {
    let key = ApiKey {
        id: ApiKeyId::from_number(7),
        token_hash: TokenHash::from_bytes([0; 32]),
        name: "the worker's".to_owned(),
        role: Role::Caller,
        bounds: prefixed("run/"),
        created_at: at(0),
        expires_at: Some(at(60)),
        revoked_at: None,
    };
    let expected =
        Grant { actor: Actor::from(key.id), role: Role::Caller, bounds: prefixed("run/") };
    let granted = Grant::of(&key, at(59)).unwrap();
    assert_eq!(granted, expected);
    assert_eq!((granted.actor().as_str(), granted.bounds()), (&*key.id.to_string(), &key.bounds));
    let eternal = ApiKey { expires_at: None, ..key.clone() };
    assert_eq!(Grant::of(&eternal, at(1_000_000)), Ok(expected));
    let revoked = ApiKey { revoked_at: Some(at(1)), ..eternal };
    for (key, now) in [(&key, at(60)), (&key, at(61)), (&revoked, at(2)), (&revoked, at(0))] {
        assert_eq!(Grant::of(key, now), Err(Refusal::InvalidKey));
    }
}

#[test]
fn the_configured_admin_is_an_admin_without_bounds() {
    let admin = Grant::admin();
    assert_eq!((admin.role, admin.bounds()), (Role::Admin, &Bounds::default()));
    let names = [Actor::admin(), Actor::look_up()].map(|actor| actor.to_string());
    assert_eq!(names, ["admin", "look-up"]);
}

#[test]
fn a_bound_that_says_nothing_to_a_role_is_named() {
    let none = Bounds::default();
    let cap = Bounds { largest_usd_cap: Some(usd(1)), ..Bounds::default() };
    let life = Bounds { longest_expiry_seconds: Some(1), ..Bounds::default() };
    let (prefix, vendor, parent) = (prefixed("a"), vendors(&["stripe"]), under(9));
    let both = Bounds { longest_expiry_seconds: Some(1), ..cap.clone() };
    let table: [(&Bounds, [Option<&str>; 4]); 7] = [
        // admin, issuer, caller, auditor
        (&none, [None, None, None, None]),
        (&prefix, [Some("label_prefix"), None, None, None]),
        (&vendor, [Some("vendors"), None, None, None]),
        (&parent, [Some("parent_key_id"), None, None, Some("parent_key_id")]),
        (&cap, [Some("largest_usd_cap"), None, Some("largest_usd_cap"), Some("largest_usd_cap")]),
        (&life, [Some("longest_expiry"), None, Some("longest_expiry"), Some("longest_expiry")]),
        (&both, [Some("largest_usd_cap"), None, Some("largest_usd_cap"), Some("largest_usd_cap")]),
    ];
    for (bounds, expected) in table {
        assert_eq!(Role::ALL.map(|role| bounds.pointless_for(role)), expected, "{bounds:?}");
    }
}

#[test]
fn only_a_key_without_bounds_does_what_is_about_everything() {
    assert_eq!(code(grant(Bounds::default()).permit_everything()), "permitted");
    let cap = Bounds { largest_usd_cap: Some(usd(1)), ..Bounds::default() };
    for bounds in [prefixed(""), vendors(&[]), under(9), cap] {
        assert_eq!(code(grant(bounds).permit_everything()), "not_permitted");
    }
}

#[test]
fn a_vault_key_outside_the_bounds_is_not_there() {
    let key = vault_key(&[1, 2, 3]);
    let other_run = Bounds { label_prefix: Some("other".to_owned()), ..vendors(&["stripe"]) };
    let other_vendor = Bounds { label_prefix: Some("run/".to_owned()), ..vendors(&["twilio"]) };
    let cases = [
        (Bounds::default(), true),
        (prefixed("run/"), true),
        (prefixed("run/1"), true),
        (prefixed("run/10"), false),
        (prefixed("un/1"), false),
        (vendors(&["twilio", "stripe"]), true),
        (vendors(&["twilio"]), false),
        (vendors(&[]), false),
        (under(3), true),
        (under(2), true),
        (under(1), false), // its own budget is not below itself
        (under(4), false),
        (other_run, false),
        (other_vendor, false),
    ];
    for (bounds, permitted) in cases {
        let shown = format!("{bounds:?}");
        let expected = if permitted { Ok(()) } else { Err(Refusal::unknown_key(key.id)) };
        assert_eq!(grant(bounds).permit_key(&key), expected, "{shown}");
    }
}

#[test]
fn runs_are_revoked_as_a_whole_only_by_who_is_bound_to_no_more_than_a_prefix_of_them() {
    let labelled = |text: &str| Runs::Labelled(label(text));
    let begin = |text: &str| Runs::Prefixed(text.to_owned());
    let and_vendor = Bounds { label_prefix: Some("run/".to_owned()), ..vendors(&["stripe"]) };
    let and_parent = Bounds { label_prefix: Some("run/".to_owned()), ..under(3) };
    let capped = Bounds { largest_usd_cap: Some(usd(1)), ..prefixed("run/") };
    let cases = [
        (Bounds::default(), begin(""), "permitted"),
        (prefixed("run/"), labelled("run/1"), "permitted"),
        (prefixed("run/"), begin("run/"), "permitted"),
        (prefixed("run/"), begin("run/1"), "permitted"),
        (prefixed("run/"), begin("run"), "not_permitted"),
        (prefixed("run/"), begin(""), "not_permitted"),
        (prefixed("run/"), labelled("other"), "not_permitted"),
        (capped, labelled("run/1"), "permitted"),
        (vendors(&["stripe"]), labelled("run/1"), "not_permitted"),
        (under(3), labelled("run/1"), "not_permitted"),
        (and_vendor, labelled("run/1"), "not_permitted"),
        (and_parent, labelled("run/1"), "not_permitted"),
    ];
    for (bounds, runs, expected) in cases {
        let shown = format!("{bounds:?} {runs:?}");
        assert_eq!(code(grant(bounds).permit_runs(&runs)), expected, "{shown}");
    }
}

#[test]
fn an_issue_keeps_within_every_bound() {
    let minute = Duration::from_mins(1);
    let caps =
        |daily: Option<u64>, total: Option<u64>| Caps::new(daily.map(usd), total.map(usd)).unwrap();
    let bounds = Bounds {
        label_prefix: Some("run/".to_owned()),
        largest_usd_cap: Some(usd(5)),
        longest_expiry_seconds: Some(60),
        ..vendors(&["stripe"])
    };
    let bound = grant(bounds);
    let cases = [
        ("run/1", Some("stripe"), caps(Some(5), Some(5)), minute, Ok(caps(Some(5), Some(5)))),
        ("run/1", Some("stripe"), caps(None, Some(1)), minute, Ok(caps(None, Some(1)))),
        // A daily cap alone would come again every day.
        ("run/1", Some("stripe"), caps(Some(1), None), minute, Ok(caps(Some(1), Some(5)))),
        ("run/1", None, caps(Some(1), None), minute, Ok(caps(Some(1), Some(5)))),
        ("other", Some("stripe"), caps(None, Some(1)), minute, Err("begins with \"run/\"")),
        ("run/1", Some("twilio"), caps(None, Some(1)), minute, Err("vendor")),
        ("run/1", Some("stripe"), caps(Some(6), None), minute, Err("up to 5")),
        ("run/1", Some("stripe"), caps(Some(1), Some(6)), minute, Err("up to 5")),
        ("run/1", Some("stripe"), caps(None, Some(1)), minute * 2, Err("up to 60 s")),
    ];
    for (run, vendor, asked, lives, expected) in cases {
        let told = bound.permit_issue(&label(run), vendor, asked, lives);
        match (told, expected) {
            (Ok(given), Ok(due)) => assert_eq!(given, due, "{asked:?}"),
            (Err(refusal), Err(why)) => {
                assert_eq!(refusal.code(), "not_permitted");
                assert!(refusal.to_string().contains(why), "{refusal} says nothing of {why}");
            }
            (told, expected) => panic!("{run} {vendor:?} {asked:?}: {told:?}, not {expected:?}"),
        }
    }
    let free = grant(Bounds::default());
    let asked = caps(Some(1_000), None);
    let year = minute * 60 * 24 * 365;
    assert_eq!(free.permit_issue(&label("x"), Some("twilio"), asked, year), Ok(asked));
}

#[test]
fn a_life_is_bounded_to_the_second() {
    let bound = grant(Bounds { longest_expiry_seconds: Some(60), ..Bounds::default() });
    for (millis, expected) in [(60_000, "permitted"), (60_001, "not_permitted")] {
        assert_eq!(code(bound.permit_lives(Duration::from_millis(millis))), expected);
    }
    assert_eq!(code(grant(Bounds::default()).permit_lives(Duration::MAX)), "permitted");
}

#[test]
fn a_new_key_lies_under_the_asked_parent_or_else_under_the_bound_one() {
    let (asked, bound) = (KeyId::from_number(5), KeyId::from_number(90));
    let free = grant(Bounds::default());
    assert_eq!([None, Some(asked)].map(|key| free.parent_of_issue(key)), [None, Some(asked)]);
    let tied = grant(under(3));
    assert_eq!(
        [None, Some(asked)].map(|key| tied.parent_of_issue(key)),
        [Some(bound), Some(asked)]
    );
}

#[test]
fn a_parent_is_the_bound_one_itself_or_lies_below_it() {
    let below_prefix = Bounds { label_prefix: Some("other".to_owned()), ..under(3) };
    let cases = [
        (Bounds::default(), vec![3], true),
        (under(3), vec![3], true),
        (under(3), vec![3, 2], true),
        (under(3), vec![1, 3], true),
        (under(3), vec![4], false),
        (under(3), vec![4, 5], false),
        // The bound parent may be of another run than those that are issued under it.
        (below_prefix.clone(), vec![3], true),
        (below_prefix, vec![1, 3], false),
        (prefixed("other"), vec![3], false),
    ];
    for (bounds, chain, permitted) in cases {
        let (shown, key) = (format!("{bounds:?} {chain:?}"), vault_key(&chain));
        let expected = if permitted { Ok(()) } else { Err(Refusal::unknown_key(key.id)) };
        assert_eq!(grant(bounds).permit_parent(&key), expected, "{shown}");
    }
}
