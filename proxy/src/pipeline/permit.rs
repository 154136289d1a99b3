//! May this key make this call? Reads the request into the one form that is priced and sent.
//!
//! What is refused here is refused by the ledger, in its order of checks, so that it has an audit
//! row. Nothing of a request that can't be read in one way is sent.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, UPGRADE},
    request::Parts,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use keybrake_core::{
    ledger::rows::{Request, VaultKey},
    params::{InvalidParams, Params},
    path::CanonicalPath,
    policy::{Endpoint, IdempotencyFrom, Method, Scope},
    refusal::Refusal,
    vendor::definition::{Definition, Encoding, Rule},
};
use sha2::{Digest, Sha256};

use super::authenticate::Caller;
use crate::app::{App, Vendor};

/// The largest request body, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// The longest `X-Keybrake-Context`, in bytes.
const MAX_CONTEXT: usize = 512;
/// What is kept of a path that can't be read, in characters.
const SHOWN_PATH: usize = 200;

/// A request that was read, with whether its key may make it.
#[must_use]
pub(super) struct Permit {
    pub(super) key: Arc<VaultKey>,
    /// As the audit row has it. Its idempotency key is the caller's.
    pub(super) request: Request,
    /// What to call, or why not.
    pub(super) target: Result<Target, Refusal>,
}

/// What to call.
pub(super) struct Target {
    pub(super) vendor: Arc<Vendor>,
    pub(super) endpoint: Endpoint,
    pub(super) params: Params,
    /// The body of a write to a vendor that takes JSON, as the caller gave it.
    pub(super) json: Option<Bytes>,
    /// The query of a read.
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
}

impl Target {
    pub(super) fn rule(&self) -> Rule<'_> {
        self.vendor.definition.rule(&self.endpoint, &self.params)
    }
}

/// Reads a request and checks it against the key's policy and the vendor's definition.
pub(super) async fn permit(app: &App, caller: Caller, head: Parts, body: Body) -> Permit {
    let key = caller.key;
    let context = head.headers.get("x-keybrake-context").and_then(|value| value.to_str().ok());
    let mut request = Request {
        vendor: key.policy.vendor.clone(),
        method: Method::parse(head.method.as_str()).unwrap_or(Method::Options),
        path: head.uri.path().chars().take(SHOWN_PATH).collect(),
        context: context.filter(|text| text.len() <= MAX_CONTEXT).map(str::to_owned),
        idempotency_key: None,
        fingerprint: [0; 32],
        customer: None,
        account: None,
        likeness: None,
    };
    let target = read(app, &key, &mut request, head, body).await;
    Permit { key, request, target }
}

async fn read(
    app: &App,
    key: &VaultKey,
    request: &mut Request,
    head: Parts,
    body: Body,
) -> Result<Target, Refusal> {
    check_head(&head)?;
    let path = CanonicalPath::parse(head.uri.path()).map_err(|_| Refusal::PathNotCanonical)?;
    let method =
        Method::parse(head.method.as_str()).ok_or_else(|| invalid("this method is not proxied"))?;
    if key.policy.scope == Scope::Audit {
        return Err(Refusal::EndpointNotAllowed {
            attempted: format!("{} {path}", method.as_str()),
            allowed: Vec::new(),
        });
    }
    let (vendor, path) = route(app, path, key)?;
    let endpoint = Endpoint { method, path: vendor.own_account_in(path)? };
    request.path = endpoint.path.to_string();
    let body = read_body(&head, body, app.limits.body).await?;
    let definition = &vendor.definition;
    let (mut params, json) = read_params(definition, &head, &endpoint, &body)?;
    let own_key = lifted_key(definition, &head.headers, &mut params, json.is_some())?;
    request.account = account(definition, key, &head.headers)?;
    let canonical = json.as_deref().map(canonical_json).transpose()?;
    let also: Vec<&str> =
        canonical.as_deref().into_iter().chain(request.account.as_deref()).collect();
    request.fingerprint = params.fingerprint(&endpoint, &also);
    if !method.is_read() {
        request.idempotency_key = match key.policy.idempotency {
            IdempotencyFrom::Caller => own_key,
            IdempotencyFrom::Content => Some(content_key(key, &request.fingerprint)),
        };
        if key.policy.require_idempotency_key && request.idempotency_key.is_none() {
            return Err(Refusal::IdempotencyKeyRequired);
        }
    }
    let rule = definition.rule(&endpoint, &params);
    if let Rule::Priced(priced) = rule {
        request.customer = priced.customer.as_deref().and_then(|name| customer(&params, name));
        request.likeness = definition.likeness(rule, &params);
    }
    refuse_headers(definition, &head.headers)?;
    definition.permit(&key.policy, &endpoint, &params)?;
    let query = head.uri.query().filter(|query| !query.is_empty()).map(str::to_owned);
    let headers = vendor.passing_request(&head.headers);
    Ok(Target { vendor, endpoint, params, json, query, headers })
}

/// Whom a call is about: the parameter, or the first one where it is a list.
fn customer(params: &Params, name: &str) -> Option<String> {
    let found = params.get(name).or_else(|| params.get(&format!("{name}[0]")));
    found.map(str::to_owned)
}

fn invalid(why: impl Into<String>) -> Refusal {
    Refusal::InvalidRequest { why: why.into() }
}

/// What about a head could make somebody else read another request.
fn check_head(head: &Parts) -> Result<(), Refusal> {
    let headers = &head.headers;
    // The HTTP library takes a request with both length headers for a chunked one, as RFC 9112
    // allows, and hides the other: so none that is chunked can be told from an ambiguous one.
    if headers.contains_key(TRANSFER_ENCODING) || headers.get_all(CONTENT_LENGTH).iter().count() > 1
    {
        return Err(invalid(
            "the body's length is not given once and plainly: send one Content-Length",
        ));
    }
    if headers.get_all(HOST).iter().count() > 1 {
        return Err(invalid("the request names more than one host"));
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let other_authority =
        head.uri.authority().is_some_and(|named| host.is_some_and(|host| host != named.as_str()));
    let is_http1 = head.version < http::Version::HTTP_2;
    if other_authority || (is_http1 && head.uri.scheme().is_some()) {
        return Err(invalid("the request's target is not a path on this host"));
    }
    if headers.contains_key(UPGRADE) {
        return Err(invalid("connections can't be upgraded here"));
    }
    let overrides = ["x-http-method-override", "x-http-method", "x-method-override"];
    if overrides.iter().any(|name| headers.contains_key(*name)) {
        return Err(invalid("a method can't be overridden"));
    }
    let identity = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().any(|value| !identity(value)) {
        return Err(Refusal::UnsupportedBody {
            why: "encoded bodies are not read: send it as it is".to_owned(),
        });
    }
    Ok(())
}

/// Which vendor a path is for: by its name in front, or by a segment that is a vendor's own.
fn route(
    app: &App,
    path: CanonicalPath,
    key: &VaultKey,
) -> Result<(Arc<Vendor>, CanonicalPath), Refusal> {
    let own = app
        .vendors
        .get(&key.policy.vendor)
        .ok_or_else(|| invalid("this vault key's vendor is not configured"))?;
    let first = path.segments().first().map(String::as_str).unwrap_or_default();
    if own.definition.own_prefixes.iter().any(|prefix| prefix == first) {
        return Ok((Arc::clone(own), path));
    }
    match path.split_first() {
        Some((name, rest)) if name == own.definition.name() => Ok((Arc::clone(own), rest)),
        _ if app.vendors.contains_key(first) => Err(Refusal::EndpointNotAllowed {
            attempted: format!("vendor {first}"),
            allowed: key.policy.allowed_endpoints.iter().map(ToString::to_string).collect(),
        }),
        _ => Err(invalid(
            "the path names no vendor: it begins with the vendor's name, such as /stripe/v1/charges",
        )),
    }
}

async fn read_body(head: &Parts, body: Body, within: Duration) -> Result<Bytes, Refusal> {
    let declared = head
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > MAX_BODY) {
        return Err(Refusal::BodyTooLarge { limit: MAX_BODY });
    }
    let reading = tokio::time::timeout(within, Limited::new(body, MAX_BODY).collect());
    match reading.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Refusal::BodyTooLarge { limit: MAX_BODY })
        }
        Ok(Err(_)) => Err(invalid("the body broke off before its end")),
        Err(_) => Err(invalid(format!("the body did not arrive within {} s", within.as_secs()))),
    }
}

/// The parameters, and the body as it is where the vendor takes JSON.
fn read_params(
    definition: &Definition,
    head: &Parts,
    endpoint: &Endpoint,
    body: &Bytes,
) -> Result<(Params, Option<Bytes>), Refusal> {
    let query = head.uri.query().unwrap_or_default();
    if endpoint.method.is_read() {
        // Some SDKs send an empty object with every request. It is not passed on.
        if !matches!(body.as_ref(), b"" | b"{}") {
            return Err(invalid("a read has no body"));
        }
        let params = Params::from_form_repeating(query, &definition.repeated);
        return Ok((params.map_err(bad_params)?, None));
    }
    if !query.is_empty() {
        return Err(invalid("the parameters of a write belong in its body, not in the query"));
    }
    let text = std::str::from_utf8(body).map_err(|_| invalid("the body is not UTF-8"))?;
    let mut types = head.headers.get_all(CONTENT_TYPE).iter();
    let kind = match (types.next(), types.next()) {
        (None, _) => "application/x-www-form-urlencoded",
        (Some(kind), None) => kind.to_str().unwrap_or_default(),
        (Some(_), Some(_)) => return Err(invalid("the body's type is given more than once")),
    };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let unsupported = |why: &str| Err(Refusal::UnsupportedBody { why: why.to_owned() });
    let takes_json = definition.encoding_of(&endpoint.path) == Encoding::Json;
    match kind.as_str() {
        _ if text.is_empty() => Ok((Params::none(), None)),
        "application/json" if takes_json => {
            let params = Params::from_json_document(text).map_err(bad_params)?;
            Ok((params, Some(body.clone())))
        }
        "application/x-www-form-urlencoded" if takes_json => {
            unsupported("this vendor takes JSON: send Content-Type: application/json")
        }
        "application/x-www-form-urlencoded" => {
            let params = Params::from_form_repeating(text, &definition.repeated);
            Ok((params.map_err(bad_params)?, None))
        }
        "application/json" => Ok((Params::from_json(text).map_err(bad_params)?, None)),
        _ => unsupported("the body is neither a form nor JSON: send one of them"),
    }
}

/// One text for all spellings of a JSON document: members sorted, no spaces. Unlike the flattened
/// parameters it tells `1` from `"1"`.
fn canonical_json(body: &[u8]) -> Result<String, Refusal> {
    let document: serde_json::Value =
        serde_json::from_slice(body).map_err(|_| bad_params(InvalidParams::Json))?;
    Ok(document.to_string())
}

/// The account that a header names. Another account is other money, so a policy has to name it.
fn account(
    definition: &Definition,
    key: &VaultKey,
    headers: &HeaderMap,
) -> Result<Option<String>, Refusal> {
    let names = &definition.headers.account;
    let mut given = names
        .iter()
        .flat_map(|name| headers.get_all(name.as_str()).iter().map(move |value| (name, value)));
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some((name, value)), None) => {
            let account = value.to_str().unwrap_or_default();
            if key.policy.allowed_accounts.contains(account) {
                Ok(Some(format!("{name}={account}")))
            } else {
                Err(Refusal::ParameterNotAllowed { name: name.clone() })
            }
        }
        (Some(_), Some((name, _))) => Err(Refusal::ParameterNotAllowed { name: name.clone() }),
    }
}

fn bad_params(error: InvalidParams) -> Refusal {
    match error {
        InvalidParams::Duplicate(name) => Refusal::DuplicateParameter { name },
        InvalidParams::Name(_)
        | InvalidParams::Form
        | InvalidParams::Json
        | InvalidParams::TooMany => invalid(error.to_string()),
    }
}

/// The caller's idempotency key: from the header, or from among the parameters, where it wins
/// (SDKs that send it there add a random header beside it).
fn lifted_key(
    definition: &Definition,
    headers: &HeaderMap,
    params: &mut Params,
    is_json: bool,
) -> Result<Option<String>, Refusal> {
    let idempotency = definition.idempotency.as_ref();
    let name = idempotency.map_or("idempotency-key", |idempotency| idempotency.header.as_str());
    let mut given = headers.get_all(name).iter();
    let from_header = match (given.next(), given.next()) {
        (None, _) => None,
        (Some(value), None) => Some(value.to_str().map_err(|_| bad_key(definition))?.to_owned()),
        (Some(_), Some(_)) => return Err(invalid("more than one idempotency key is given")),
    };
    // A JSON body goes on as it is, so that nothing is taken out of it.
    let parameter =
        idempotency.and_then(|idempotency| idempotency.parameter.as_deref()).filter(|_| !is_json);
    let from_params = parameter.and_then(|parameter| params.take(parameter));
    let key = from_params.or(from_header);
    let longest = idempotency.map_or(255, |idempotency| idempotency.max_length);
    let valid = |key: &String| {
        !key.is_empty() && key.len() <= longest && key.bytes().all(|b| (0x20..0x7f).contains(&b))
    };
    if key.as_ref().is_some_and(|key| !valid(key)) {
        return Err(bad_key(definition));
    }
    Ok(key)
}

/// The idempotency key that a request's content makes within its run.
fn content_key(key: &VaultKey, fingerprint: &[u8; 32]) -> String {
    let hash = Sha256::new().chain_update(key.label.as_str()).chain_update(fingerprint).finalize();
    format!("kbc-{}", hex::encode(hash))
}

fn bad_key(definition: &Definition) -> Refusal {
    let longest = definition.idempotency.as_ref().map_or(255, |idempotency| idempotency.max_length);
    invalid(format!("an idempotency key has 1 to {longest} printable ASCII characters"))
}

fn refuse_headers(definition: &Definition, headers: &HeaderMap) -> Result<(), Refusal> {
    match definition.headers.refused.iter().find(|name| headers.contains_key(name.as_str())) {
        Some(name) => Err(Refusal::ParameterNotAllowed { name: name.clone() }),
        None => Ok(()),
    }
}
