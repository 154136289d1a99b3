//! What goes along with a request and what its status means: headers, idempotency keys, tags.

use std::time::Duration;

use super::{Faults, Place};
use crate::vendor::definition::{CredentialPlace, Definition, Encoding, Idempotency, Tags};

/// They say how a message is sent on one connection, or are set by the proxy.
const OF_THE_CONNECTION: [&str; 13] = [
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "accept-encoding",
];
/// They carry credentials.
const OF_THE_CALLER: [&str; 3] = ["authorization", "cookie", "set-cookie"];
/// A retry is not sent any more in the last hour of what the vendor remembers.
const MARGIN: Duration = Duration::from_hours(1);
/// The longest key that the proxy makes: of a call's content.
const OWN_KEY: usize = 68;
/// The length of a call's id.
const CALL_ID: usize = 18;

pub(super) fn check(definition: &Definition, faults: &mut Faults) {
    let top = Place::default();
    let at = top.key("headers");
    let headers = &definition.headers;
    for (list, names, passes) in [
        ("request", &headers.request, true),
        ("response", &headers.response, true),
        ("refused", &headers.refused, false),
        ("account", &headers.account, true),
    ] {
        for (index, name) in names.iter().enumerate() {
            let at = at.key(list).item(index);
            header(name, at.clone(), passes, faults);
            let own =
                matches!(&definition.credential_to, CredentialPlace::Header(own) if own == name);
            faults.say_if(
                own && list != "refused",
                || at,
                "the vendor's secret goes into this header: it does not pass",
            );
        }
    }
    if let Some(name) = &headers.request_id {
        let is_there = headers.response.contains(name);
        let why = "headers.request_id is one of the response headers that pass: list it there too";
        faults.say_if(!is_there, || at.key("request_id"), why);
    }
    if let CredentialPlace::Header(name) = &definition.credential_to {
        header(name, top.key("credential_to").key("header"), true, faults);
    }
    statuses(definition, faults);
    if let Some(idempotency) = &definition.idempotency {
        self::idempotency(definition, idempotency, faults);
    }
    if let Some(tags) = &definition.tags {
        self::tags(definition, tags, faults);
    }
}

fn header(name: &str, at: Place, passes: bool, faults: &mut Faults) {
    let in_name = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let lower = name.to_ascii_lowercase();
    let is_ours = lower.starts_with("x-keybrake-");
    if name.is_empty() || !name.bytes().all(in_name) {
        faults.say(at, format!("{name:?} is not a header's name"));
    } else if name != lower {
        faults.say(at, format!("header names are in lower case: write {lower:?}"));
    } else if passes && OF_THE_CALLER.contains(&name) {
        faults.say(at, format!("{name:?} carries credentials and never passes: credential_to says where the vendor's secret goes"));
    } else if passes && (OF_THE_CONNECTION.contains(&name) || is_ours) {
        faults.say(at, format!("{name:?} is Keybrake's own to set: leave it out"));
    }
}

fn statuses(definition: &Definition, faults: &mut Faults) {
    let at = Place::default().key("outcome");
    let outcome = &definition.outcome;
    let lists = [
        ("declined", &outcome.declined),
        ("not_executed", &outcome.not_executed),
        ("secret_refused", &outcome.secret_refused),
    ];
    for (list, statuses) in lists {
        for (index, status) in statuses.iter().enumerate() {
            let at = || at.key(list).item(index);
            let why = if statuses.iter().take(index).any(|before| before == status) {
                format!("{status} stands in {list} twice")
            } else if (200..300).contains(status) {
                format!("{status} is a success, which needs no list: leave it out")
            } else if !(400..500).contains(status) || *status == 408 {
                format!(
                    "{status} does not prove what became of a call: leave it out, and the call is in doubt until it is known"
                )
            } else if list == "declined" && outcome.not_executed.contains(status) {
                format!(
                    "{status} can't be both declined, which was processed, and not_executed: leave it in one of them"
                )
            } else if list == "declined" && outcome.secret_refused.contains(status) {
                format!(
                    "{status} can't be both declined and secret_refused: leave it in one of them"
                )
            } else {
                continue;
            };
            faults.say(at(), why);
        }
    }
}

fn idempotency(definition: &Definition, idempotency: &Idempotency, faults: &mut Faults) {
    let at = Place::default().key("idempotency");
    header(&idempotency.header, at.key("header"), true, faults);
    let passes = definition.headers.request.contains(&idempotency.header);
    faults.say_if(
        passes || matches!(&definition.credential_to, CredentialPlace::Header(own) if *own == idempotency.header),
        || at.key("header"),
        "Keybrake sets this header itself: take it out of headers.request and credential_to",
    );
    if let Some(name) = &idempotency.replayed_header {
        header(name, at.key("replayed_header"), true, faults);
    }
    faults.say_if(
        idempotency.window <= MARGIN,
        || at.key("window"),
        "a retry is sent within the window less one hour, so within this one never: write how long the vendor remembers a key, such as \"24h\", or leave [idempotency] out",
    );
    faults.say_if(
        idempotency.max_length < OWN_KEY,
        || at.key("max_length"),
        "Keybrake's own keys have up to 68 characters: a vendor that takes fewer has no use for them, so leave [idempotency] out",
    );
    faults.say_if(
        idempotency.parameter.is_some() && definition.encoding == Encoding::Json,
        || at.key("parameter"),
        "a JSON body goes on as it is, and nothing is taken out of it: leave parameter out",
    );
}

fn tags(definition: &Definition, tags: &Tags, faults: &mut Faults) {
    let at = Place::default().key("tags");
    faults.say_if(
        definition.encoding == Encoding::Json,
        || at.clone(),
        "a JSON body goes on as it is, and no tag is put into it: leave [tags] out",
    );
    faults.say_if(
        tags.reserved.is_empty(),
        || at.key("reserved"),
        "reserved is how the names of our own parameters begin, such as \"metadata[keybrake_\"",
    );
    for (name, tag) in [("run", &tags.run), ("call", &tags.call)] {
        let is_ours = tag.starts_with(&tags.reserved);
        let why = "a tag's name begins with reserved, so that no caller can forge it";
        faults.say_if(!is_ours, || at.key(name), why);
    }
    faults.say_if(tags.run == tags.call, || at.key("call"), "run and call are two parameters");
    faults.say_if(
        tags.max_length < CALL_ID,
        || at.key("max_length"),
        "a tag has room for a call's id, 18 characters",
    );
}
