//! Whose key is it?

use std::sync::Arc;

use base64::Engine;
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION, request::Parts};
use keybrake_core::{
    access::{Action, Grant},
    ledger::rows::VaultKey,
    refusal::Refusal,
    token::VaultToken,
};
use secrecy::{ExposeSecret, SecretString};

use crate::app::App;

/// The header that names the vault key to spend as.
const HANDLE: &str = "x-keybrake-key-id";

/// Somebody with a vault key that is known. Whether it still lives is decided with the call.
#[must_use]
pub(super) struct Caller {
    pub(super) key: Arc<VaultKey>,
}

/// Finds the vault key that the request spends as: the one whose token it carries, or the one that
/// an API key names. Without either it is refused, and not recorded: strangers must not fill the
/// disk.
pub(super) async fn authenticate(app: &App, head: &Parts) -> Result<Caller, Refusal> {
    Ok(Caller { key: vault_key_of(app, &head.headers).await? })
}

/// The vault key whose token a request carries, or that an API key in it names.
pub async fn vault_key_of(app: &App, headers: &HeaderMap) -> Result<Arc<VaultKey>, Refusal> {
    let token = token_anywhere(headers, &app.credential_headers);
    let mut handles = headers.get_all(HANDLE).iter();
    let (handle, more) = (handles.next(), handles.next());
    match (token, handle) {
        (Some(token), None) => app.key_of(&token).await,
        (None, Some(handle)) if more.is_none() => by_handle(app, headers, handle).await,
        (None, _) => Err(Refusal::InvalidKey),
        (Some(_), Some(_)) => Err(Refusal::InvalidRequest {
            why: "a vault key and X-Keybrake-Key-Id exclude one another: send either".to_owned(),
        }),
    }
}

/// The vault key that an API key spends as. What lies outside its bounds is not there.
async fn by_handle(
    app: &App,
    headers: &HeaderMap,
    handle: &HeaderValue,
) -> Result<Arc<VaultKey>, Refusal> {
    let grant = grant(app, headers).await?;
    grant.permit(Action::Spend)?;
    let id = handle.to_str().ok().and_then(|text| text.parse().ok());
    let id = id.ok_or_else(|| Refusal::InvalidRequest {
        why: "X-Keybrake-Key-Id is not a vault key's id, such as vk_06s3kxb9gk7ks".to_owned(),
    })?;
    let key = app.key_named(id).await?.ok_or_else(|| Refusal::unknown_key(id))?;
    grant.permit_key(&key)?;
    Ok(key)
}

/// What the API key grants that the request carries.
pub async fn grant(app: &App, headers: &HeaderMap) -> Result<Grant, Refusal> {
    for given in presented(headers) {
        match app.grant_of(given.expose_secret()).await {
            Err(Refusal::InvalidKey) => {}
            found => return found,
        }
    }
    Err(Refusal::InvalidKey)
}

/// The vault key's token: as Bearer, as Basic user name (Stripe's habit), or as Basic password
/// (Twilio's). More than one credential is none.
#[must_use]
pub fn vault_token(headers: &HeaderMap) -> Option<VaultToken> {
    presented(headers).iter().find_map(|given| VaultToken::parse(given.expose_secret()))
}

/// The same, or as it is in one of these headers, where vendors take their credential.
fn token_anywhere(headers: &HeaderMap, own: &[HeaderName]) -> Option<VaultToken> {
    let own = own.iter().flat_map(|name| headers.get_all(name));
    let own = own.filter_map(|value| VaultToken::parse(value.to_str().ok()?));
    let mut found = vault_token(headers).into_iter().chain(own);
    let token = found.next();
    token.filter(|_| found.next().is_none())
}

/// What stands in the one `Authorization` header: each text in it that can be a credential.
fn presented(headers: &HeaderMap) -> Vec<SecretString> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else {
        return Vec::new();
    };
    let text = value.to_str().ok();
    let Some((scheme, credential)) = text.and_then(|text| text.split_once(' ')) else {
        return Vec::new();
    };
    if scheme.eq_ignore_ascii_case("bearer") {
        return vec![SecretString::from(credential)];
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Vec::new();
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(credential).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.as_deref().and_then(|pair| pair.split_once(':')) {
        Some((user, password)) => vec![SecretString::from(user), SecretString::from(password)],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use keybrake_core::ids::KeyId;

    use super::*;

    #[test]
    fn a_vault_key_is_taken_from_each_vendors_place() {
        let token = VaultToken::derive(&[1; 32], KeyId::from_number(1));
        let text = token.expose();
        let basic = |pair: String| {
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        };
        let found = |values: &[String]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            vault_token(&headers).is_some_and(|found| found.hash() == token.hash())
        };
        let bearer = format!("Bearer {text}");
        assert!(found(std::slice::from_ref(&bearer)));
        assert!(found(&[format!("bearer {text}")]));
        assert!(found(&[basic(format!("{text}:"))]));
        assert!(found(&[basic(format!("AC1:{text}"))]));
        for wrong in [
            text.to_owned(),
            format!("Token {text}"),
            format!("Bearer {text}x"),
            basic(text.to_owned()),
            "Basic ###".into(),
        ] {
            assert!(!found(std::slice::from_ref(&wrong)), "{wrong}");
        }
        assert!(!found(&[]) && !found(&[bearer.clone(), bearer]));
    }

    #[test]
    fn a_vault_key_is_taken_from_a_vendors_own_header_and_from_one_place_only() {
        let token = VaultToken::derive(&[1; 32], KeyId::from_number(1));
        let found = |pairs: &[(&'static str, String)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_str(value).unwrap());
            }
            let own = [HeaderName::from_static("x-api-key")];
            token_anywhere(&headers, &own).is_some_and(|found| found.hash() == token.hash())
        };
        let own = ("x-api-key", token.expose().to_owned());
        let bearer = ("authorization", format!("Bearer {}", token.expose()));
        assert!(found(std::slice::from_ref(&own)) && found(std::slice::from_ref(&bearer)));
        assert!(found(&[own.clone(), ("authorization", "Bearer other".to_owned())]));
        assert!(!found(&[own.clone(), bearer]) && !found(&[own.clone(), own.clone()]));
        assert!(!found(&[("x-other-key", own.1)]));
    }
}
