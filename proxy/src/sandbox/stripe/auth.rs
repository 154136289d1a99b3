//! Who may call: the holder of the one secret key, for its own account only.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::errors::{self, ApiError};

pub(super) fn check(headers: &HeaderMap, secret: &str) -> Result<(), ApiError> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Err(errors::missing_key());
    };
    let given = value.to_str().ok().and_then(credential);
    if given.as_deref() != Some(secret) {
        return Err(errors::invalid_key());
    }
    if headers.contains_key("stripe-account") || headers.contains_key("stripe-context") {
        return Err(errors::no_access_to_account());
    }
    Ok(())
}

/// The key in `Bearer <key>`, or the user name in `Basic <user:password>`.
fn credential(header: &str) -> Option<String> {
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(rest.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    Some(text.split_once(':').map_or(text.as_str(), |(user, _)| user).to_owned())
}
