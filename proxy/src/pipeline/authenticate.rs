//! Whose key is it?

use std::sync::Arc;

use base64::Engine;
use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use keybrake_core::{ledger::rows::VaultKey, refusal::Refusal, token::VaultToken};

use crate::app::App;

/// Somebody with a vault key that is known. Whether it still lives is decided with the call.
#[must_use]
pub(super) struct Caller {
    pub(super) key: Arc<VaultKey>,
}

/// Finds the vault key that the request carries. Without one it is refused, and not recorded:
/// strangers must not fill the disk.
pub(super) async fn authenticate(app: &App, head: &Parts) -> Result<Caller, Refusal> {
    let token = vault_token(&head.headers).ok_or(Refusal::InvalidKey)?;
    Ok(Caller { key: app.key_of(&token).await? })
}

/// The vault key's token: as Bearer, as Basic user name (Stripe's habit), or as Basic password
/// (Twilio's). More than one credential is none.
#[must_use]
pub fn vault_token(headers: &HeaderMap) -> Option<VaultToken> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else {
        return None;
    };
    let (scheme, credential) = value.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return VaultToken::parse(credential);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(credential).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    VaultToken::parse(user).or_else(|| VaultToken::parse(password))
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
}
