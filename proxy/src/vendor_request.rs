//! A request to a vendor, with the real secret.

use std::sync::Arc;

use base64::Engine;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request,
    header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE},
};
use keybrake_core::{refusal::Refusal, vendor::definition::CredentialPlace};
use secrecy::ExposeSecret;

use crate::{app::Vendor, gate::Gate, upstream::GatedBody};

/// What a request carries.
pub(crate) enum Content<'a> {
    /// Nothing: it is a read.
    None,
    /// A form. An empty one is sent without a type.
    Form {
        /// It.
        body: Bytes,
        /// The idempotency key that goes along where the vendor knows such.
        idempotency_key: Option<&'a str>,
    },
    /// JSON.
    Json {
        /// It.
        body: Bytes,
        /// The idempotency key that goes along where the vendor knows such.
        idempotency_key: Option<&'a str>,
    },
}

/// Builds a request that carries the vendor's secret, behind a gate.
///
/// # Errors
/// [`Refusal::VendorRefusedSecret`] where there is no secret, or none that fits a header.
pub(crate) fn build(
    vendor: &Vendor,
    method: &Method,
    path_and_query: &str,
    headers: &HeaderMap,
    content: Content<'_>,
    gate: Arc<Gate>,
) -> Result<Request<GatedBody>, Refusal> {
    let (credential_name, credential) = credential(vendor).ok_or(Refusal::VendorRefusedSecret)?;
    let (body, kind, idempotency_key) = match content {
        Content::None => (Bytes::new(), "", None),
        Content::Form { body, idempotency_key } => {
            (body, "application/x-www-form-urlencoded", idempotency_key)
        }
        Content::Json { body, idempotency_key } => (body, "application/json", idempotency_key),
    };
    let has_body = !body.is_empty();
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path_and_query}", vendor.address_of(path_and_query)))
        .body(GatedBody::new(body, gate))
        .map_err(|_| Refusal::PathNotCanonical)?;
    let sent = request.headers_mut();
    sent.extend(headers.clone());
    sent.insert(credential_name, credential);
    sent.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if has_body {
        sent.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let header =
        vendor.definition.idempotency.as_ref().map(|idempotency| idempotency.header.as_str());
    if let Some((name, key)) = header.zip(idempotency_key) {
        let name = HeaderName::try_from(name).map_err(|_| Refusal::LedgerUnavailable)?;
        sent.insert(name, HeaderValue::from_str(key).map_err(|_| Refusal::LedgerUnavailable)?);
    }
    Ok(request)
}

/// The header with the secret.
fn credential(vendor: &Vendor) -> Option<(HeaderName, HeaderValue)> {
    let secret = vendor.secret()?.expose_secret();
    let basic =
        |pair: String| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    let (name, text) = match &vendor.definition.credential_to {
        CredentialPlace::Bearer => (AUTHORIZATION, format!("Bearer {secret}")),
        CredentialPlace::BasicUser => (AUTHORIZATION, basic(format!("{secret}:"))),
        CredentialPlace::BasicPassword => {
            let account = vendor.account.as_deref().unwrap_or_default();
            (AUTHORIZATION, basic(format!("{account}:{secret}")))
        }
        CredentialPlace::Header(name) => (HeaderName::try_from(name).ok()?, secret.to_owned()),
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}
