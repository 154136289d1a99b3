//! Who the vendor is and where: its name, addresses, first path segments and credential.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Faults, Place};
use crate::vendor::definition::{CredentialPlace, Definition, Encoding};

pub(super) fn check(definition: &Definition, taken: &[(&str, &str)], faults: &mut Faults) {
    let top = Place::default();
    let name = definition.name();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    faults.say_if(
        name.is_empty() || !name.bytes().all(plain),
        || top.key("name"),
        "a vendor's name has lower-case letters, digits and _ only",
    );
    let why_taken = |name: &str| taken.iter().find(|(known, _)| *known == name);
    if let Some((_, why)) = why_taken(name) {
        faults.say(top.key("name"), format!("{name:?} is taken: {why}"));
    }
    for (index, prefix) in definition.own_prefixes.iter().enumerate() {
        let at = || top.key("own_prefixes").item(index);
        segment(prefix, at(), faults);
        if let Some((_, why)) = why_taken(prefix) {
            faults.say(at(), format!("{prefix:?} is taken: {why}"));
        }
        let own = "its own name is in front of its paths anyway: leave it out";
        faults.say_if(prefix == name, at, own);
    }
    for (index, prefix) in definition.json_prefixes.iter().enumerate() {
        let at = || top.key("json_prefixes").item(index);
        segment(prefix, at(), faults);
        let needless = "encoding = \"json\" holds for all paths: leave json_prefixes out";
        faults.say_if(definition.encoding == Encoding::Json, at, needless);
    }
    address(definition.base_url.get_ref(), top.key("base_url"), name, faults);
    hosts(definition, faults);
    let needs_account = definition.credential_to == CredentialPlace::BasicPassword;
    faults.say_if(
        needs_account && definition.account.is_none(),
        || top.key("credential_to"),
        "basic_password goes with the account as user name: say where the account stands in the paths by account = { after = …, placeholders = […] }",
    );
    if let Some(account) = &definition.account {
        segment(&account.after, top.key("account").key("after"), faults);
    }
}

fn hosts(definition: &Definition, faults: &mut Faults) {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    for (index, host) in definition.hosts.iter().enumerate() {
        let at = Place::default().key("hosts").item(index);
        address(&host.base_url, at.key("base_url"), definition.name(), faults);
        faults.say_if(
            !host.prefix.starts_with('/') || host.prefix.ends_with('/'),
            || at.key("prefix"),
            "a host's prefix is how its paths begin, such as \"/v2/services\": with a slash in front and none behind",
        );
        let before = definition.hosts.iter().take(index);
        faults.say_if(
            before.into_iter().any(|before| within(&host.prefix, &before.prefix)),
            || at.key("prefix"),
            "the prefix of a host above has all of these paths: put the longer prefix first",
        );
    }
}

fn segment(text: &str, at: Place, faults: &mut Faults) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    if text.is_empty() || !text.bytes().all(plain) {
        faults.say(
            at,
            format!(
                "{text:?} is not one segment of a path: write it without slashes, such as \"v1\""
            ),
        );
    }
}

fn address(url: &str, at: Place, vendor: &str, faults: &mut Faults) {
    let Some(host) = host_of(url) else {
        return faults.say(
            at,
            format!(
                "{url:?} is not a vendor's address: it is https://host or https://host:port, without a path or a final slash"
            ),
        );
    };
    if is_private(host) {
        let variable = vendor.to_ascii_uppercase();
        faults.say(
            at,
            format!(
                "{url:?} is a private address, and a definition has public ones only: one of your own stands in keybrake.toml, base_url under [vendor.{vendor}], or in KEYBRAKE_VENDOR_{variable}_BASE_URL"
            ),
        );
    }
}

/// The host of `https://host[:port]`.
fn host_of(url: &str) -> Option<&str> {
    let authority = url.strip_prefix("https://")?;
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let in_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    let named = authority.starts_with('[') && host.parse::<Ipv6Addr>().is_ok()
        || !host.is_empty() && host.bytes().all(in_name);
    let port_is_one =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    (named && port_is_one).then_some(host)
}

/// Whether a host is within a machine or a network of its own. What could be read as a number in
/// another spelling counts as such.
fn is_private(host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        return match address.to_canonical() {
            IpAddr::V4(address) => is_private_v4(address),
            IpAddr::V6(address) => {
                address.is_loopback()
                    || address.is_unspecified()
                    || address.is_unique_local()
                    || address.is_unicast_link_local()
                    || address.is_multicast()
            }
        };
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let (_, last) = host.rsplit_once('.').unwrap_or(("", &host));
    let is_number = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    !host.contains('.') || is_number || ["arpa", "internal", "local", "localhost"].contains(&last)
}

const fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let shared = first == 100 && second >= 64 && second < 128;
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || first == 0
        || shared
}
