//! Paths with blanks, and JSON pointers: each blank is filled by something, each pointer can point.

use super::{Faults, Place, listed};
use crate::vendor::definition::{Definition, Priced};

pub(super) fn check(definition: &Definition, faults: &mut Faults) {
    let top = Place::default();
    for (index, kind) in definition.objects.iter().enumerate() {
        let at = top.key("object").item(index);
        path(&kind.get, at.key("get"), &["id"], &["id"], faults);
        pointer(&kind.id, at.key("id"), faults);
        pointer(&kind.currency, at.key("currency"), faults);
        for (index, case) in kind.stands.iter().enumerate() {
            let at = at.key("stands").item(index);
            optional(case.at.as_ref(), at.key("at"), faults);
            for (index, amount) in case.amounts.iter().enumerate() {
                pointer(amount, at.key("for").item(index), faults);
            }
        }
    }
    for (index, unpriced) in definition.unpriced.iter().enumerate() {
        let at = top.key("unpriced").item(index);
        optional(unpriced.amount.as_ref(), at.key("amount"), faults);
        optional(unpriced.currency.as_ref(), at.key("currency"), faults);
    }
    for (index, priced) in definition.priced.iter().enumerate() {
        self::priced(priced, &top.key("priced").item(index), faults);
    }
}

fn priced(priced: &Priced, at: &Place, faults: &mut Faults) {
    for (index, ask) in priced.ask.iter().enumerate() {
        let at = at.key("ask").item(index);
        // Any parameter can fill a blank; one that is not given leaves it to the next question.
        begins_with_slash(&ask.get, at.key("get"), faults);
        blanks(&ask.get, at.key("get"), faults);
        pointer(&ask.amount, at.key("amount"), faults);
        pointer(&ask.currency, at.key("currency"), faults);
        optional(ask.less.as_ref(), at.key("less"), faults);
    }
    for (index, amount) in priced.about.iter().flat_map(|about| about.onto.iter().enumerate()) {
        pointer(amount, at.key("about").key("onto").item(index), faults);
    }
    if let Some(cancel) = &priced.cancel {
        path(cancel, at.key("cancel"), &["id"], &["id"], faults);
    }
    if let Some(settled) = &priced.settled {
        let at = at.key("settled");
        for (name, given) in [
            ("amount", &settled.amount),
            ("currency", &settled.currency),
            ("object", &settled.object),
            ("status", &settled.status),
        ] {
            optional(given.as_ref(), at.key(name), faults);
        }
        for (index, used) in settled.units.iter().enumerate() {
            pointer(&used.number, at.key("units").item(index).key("number"), faults);
        }
    }
    optional(priced.declined.object.as_ref(), at.key("declined").key("object"), faults);
    if let Some(bill) = &priced.bill {
        let at = at.key("bill");
        let names: Vec<_> = priced.endpoint.get_ref().names().chain(["id"]).collect();
        path(&bill.get, at.key("get"), &names, &["id"], faults);
        pointer(&bill.price, at.key("price"), faults);
        pointer(&bill.currency, at.key("currency"), faults);
    }
}

/// A path, and maybe a query, with these blanks at most and those at least.
pub(super) fn path(text: &str, at: Place, known: &[&str], needed: &[&str], faults: &mut Faults) {
    begins_with_slash(text, at.clone(), faults);
    template(text, at, known, needed, faults);
}

fn begins_with_slash(text: &str, at: Place, faults: &mut Faults) {
    faults.say_if(
        !text.starts_with('/'),
        || at,
        "a path at the vendor begins with a slash, such as \"/v1/rates/{rate}\"",
    );
}

/// A text with these blanks at most and those at least.
pub(super) fn template(
    text: &str,
    at: Place,
    known: &[&str],
    needed: &[&str],
    faults: &mut Faults,
) {
    let Some(given) = blanks(text, at.clone(), faults) else { return };
    if let Some(unknown) = given.iter().find(|name| !known.contains(name)) {
        let known = listed(known.iter().copied());
        faults.say(
            at,
            format!("nothing fills {{{unknown}}} here: the blanks that are filled are {known}"),
        );
    } else if let Some(missing) = needed.iter().find(|name| !given.contains(*name)) {
        faults.say(
            at,
            format!("it has to name {{{missing}}}, without which it says the same of every call"),
        );
    }
}

/// The names in braces; none where the braces are not in pairs, which is said.
fn blanks<'t>(text: &'t str, at: Place, faults: &mut Faults) -> Option<Vec<&'t str>> {
    let mut pieces = text.split('{');
    let before = pieces.next().unwrap_or_default();
    let names: Option<Vec<_>> = pieces.map(|piece| piece.split_once('}')).collect();
    let whole = names.filter(|names| {
        let plain = |(name, rest): &(&str, &str)| !name.is_empty() && !rest.contains('}');
        !before.contains('}') && names.iter().all(plain)
    });
    if whole.is_none() {
        faults.say(at, "a blank is a name in braces, such as {id}");
    }
    whole.map(|names| names.into_iter().map(|(name, _)| name).collect())
}

pub(super) fn optional(text: Option<&String>, at: Place, faults: &mut Faults) {
    if let Some(text) = text {
        pointer(text, at, faults);
    }
}

/// A JSON pointer (RFC 6901) to a member.
pub(super) fn pointer(text: &str, at: Place, faults: &mut Faults) {
    let mut escapes = text.split('~').skip(1);
    if !text.starts_with('/') || !escapes.all(|rest| rest.starts_with(['0', '1'])) {
        let bare = text.trim_start_matches("$.").replace('.', "/");
        faults.say(
            at,
            format!(
                "{text:?} is not a JSON pointer, which begins with a slash: write {:?}",
                format!("/{}", bare.trim_start_matches('/'))
            ),
        );
    }
}
