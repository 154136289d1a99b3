//! The requests. Nothing is repeated here: an engine retries, and each of these can be repeated.

use std::{fmt, sync::Arc, time::Duration};

use hyper_rustls::ConfigBuilderExt;
use keybrake_core::ids::KeyId;
use reqwest::{
    Client, ClientBuilder, Method, RequestBuilder, Response,
    header::{HeaderMap, RETRY_AFTER},
    redirect::Policy,
};
use rustls::{ClientConfig, crypto::ring};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    audit::{CallFilter, CallPage},
    call::{Done, KeyedCall, VendorCall},
    charge::{Charge, Charged},
    failure::{self, Failure, Reason, Told, Unsuccessful},
    idempotency::IdempotencyKey,
    key::{Handle, IssueRequest, IssuedKey, KeyState, Revoked, Spender},
    settings::Settings,
};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Connections that a burst leaves open, per proxy. More are opened as they are needed.
const IDLE_CONNECTIONS: usize = 64;
const KEY_ID: &str = "x-keybrake-key-id";
/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

/// A proxy, asked with a worker's API keys. Cheap to clone; keeps its connections.
#[derive(Clone)]
pub struct Keybrake {
    http: Client,
    settings: Arc<Settings>,
}

/// Why there can be no client: no TLS roots, or no sockets.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client can't be made: {0}")]
pub struct NoClient(String);

impl From<reqwest::Error> for NoClient {
    fn from(error: reqwest::Error) -> Self {
        Self(error.to_string())
    }
}

/// A builder of an HTTP client with this workspace's TLS: rustls on ring, and the certificates that
/// the operating system trusts. Reqwest has none by itself.
pub fn http_client() -> Result<ClientBuilder, NoClient> {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| NoClient(error.to_string()))?
        .with_native_roots()
        .map_err(|error| NoClient(error.to_string()))?;
    Ok(Client::builder().tls_backend_preconfigured(tls.with_no_client_auth()))
}

/// An answer's body that is not there whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoBody {
    /// It broke off.
    #[error("the answer broke off")]
    Lost,
    /// It is longer than it may be.
    #[error("the answer is too long")]
    TooLong,
}

/// Reads an answer's body of at most so many bytes.
pub async fn body_within(mut answer: Response, most: usize) -> Result<Vec<u8>, NoBody> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| NoBody::Lost)? {
        if chunk.len() > most.saturating_sub(body.len()) {
            return Err(NoBody::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

impl Keybrake {
    /// A client of the proxy that the settings name. Asks nothing yet.
    pub fn new(settings: Settings) -> Result<Self, NoClient> {
        let http = http_client()?
            .connect_timeout(CONNECT_WITHIN)
            .timeout(settings.timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .redirect(Policy::none())
            .build()?;
        Ok(Self { http, settings: Arc::new(settings) })
    }

    /// Issues a vault key. The same idempotency key and request give the same vault key again.
    pub async fn issue(
        &self,
        request: &IssueRequest,
        idempotency_key: &IdempotencyKey,
    ) -> Result<IssuedKey, Failure> {
        let asked = self
            .admin(Method::POST, "/vault/keys")
            .header("idempotency-key", idempotency_key.as_str())
            .json(request);
        read(asked).await
    }

    /// The key that takes over from this one, on the same budget. All who ask get the same one while
    /// it lives. It lives as long as the first did unless `expires_in`, such as `2h`, says otherwise.
    pub async fn refresh(
        &self,
        key: KeyId,
        expires_in: Option<&str>,
        return_token: bool,
    ) -> Result<IssuedKey, Failure> {
        let mut body = json!({"return_token": return_token});
        if let (Some(expires_in), Some(body)) = (expires_in, body.as_object_mut()) {
            body.insert("expires_in".to_owned(), json!(expires_in));
        }
        read(self.admin(Method::POST, &format!("/vault/keys/{key}/refresh")).json(&body)).await
    }

    /// Stops a vault key, its successors and all under it. When this returns, nothing more is sent.
    pub async fn revoke(&self, key: KeyId) -> Result<Revoked, Failure> {
        read(self.admin(Method::DELETE, &format!("/vault/keys/{key}"))).await
    }

    /// Stops all keys of a run by its label. The label then issues nothing until an admin lifts that.
    pub async fn revoke_run(&self, label: &str) -> Result<Revoked, Failure> {
        read(self.admin(Method::DELETE, "/runs").query(&[("label", label)])).await
    }

    /// A vault key's policy and where its money stands.
    pub async fn status(&self, key: KeyId) -> Result<KeyState, Failure> {
        read(self.admin(Method::GET, &format!("/vault/keys/{key}"))).await
    }

    /// Audit rows. Takes an API key of the role `auditor` or `admin` as the issuer's.
    pub async fn calls(&self, filter: &CallFilter) -> Result<CallPage, Failure> {
        read(self.admin(Method::GET, "/audit/calls").query(filter)).await
    }

    /// Makes a call at a vendor, with this key and no other.
    pub async fn call_with(
        &self,
        spender: &Spender,
        keyed: KeyedCall<'_>,
    ) -> Result<Done, Failure> {
        let call = keyed.call;
        let url = format!("{}{}", self.settings.url, call.target()?);
        let mut request = self.http.request(call.method()?, url);
        request = match spender {
            Spender::Token(token) => request.bearer_auth(token.expose_secret()),
            Spender::Handle(handle) => request
                .bearer_auth(self.settings.caller.expose_secret())
                .header(KEY_ID, handle.key_id.to_string()),
        };
        if let Some(key) = keyed.idempotency_key {
            request = request.header("idempotency-key", key.as_str());
        }
        if let Some(context) = &call.context {
            request = request.header("x-keybrake-context", context);
        }
        if let Some(account) = &call.account {
            request = request.header("stripe-account", account);
        }
        if let Some(params) = &call.params {
            request = request.json(params);
        }
        let (status, headers, body) = exchange(request).await?;
        let call_id = text(&headers, "x-keybrake-call-id");
        if call_id.is_none() {
            return Err(not_the_proxys(status));
        }
        Ok(Done {
            status,
            body,
            call_id,
            remaining_usd: text(&headers, "x-keybrake-remaining-usd"),
            replayed: headers.contains_key("x-keybrake-replayed"),
        })
    }

    /// Makes a call at a vendor. A key that is named and has less than ten minutes left, or none, is
    /// refreshed on its own budget first.
    pub async fn call(&self, spender: &Spender, keyed: KeyedCall<'_>) -> Result<Done, Failure> {
        let Spender::Handle(handle) = spender else {
            return self.call_with(spender, keyed).await;
        };
        // A refresh that is refused tells less than the call itself: what was done before, or the
        // stored answer.
        if handle.is_short()
            && let Ok(fresh) = self.refreshed(handle).await
        {
            let ended = self.call_with(&fresh, keyed).await;
            if !ended.as_ref().is_err_and(is_expired) {
                return ended;
            }
        }
        let ended = self.call_with(spender, keyed).await;
        if !ended.as_ref().is_err_and(is_expired) {
            return ended;
        }
        let fresh = self.refreshed(handle).await?;
        self.call_with(&fresh, keyed).await
    }

    async fn refreshed(&self, handle: &Handle) -> Result<Spender, Failure> {
        Ok(self.refresh(handle.key_id, None, false).await?.handle().into())
    }

    /// Charges a customer, once for this idempotency key.
    pub async fn charge(
        &self,
        spender: &Spender,
        charge: &Charge,
        idempotency_key: &IdempotencyKey,
    ) -> Result<Charged, Failure> {
        let call: VendorCall = charge.call()?;
        let keyed = KeyedCall { call: &call, idempotency_key: Some(idempotency_key) };
        charge.outcome(&self.call(spender, keyed).await?)
    }

    fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.settings.admin_url))
            .bearer_auth(self.settings.issuer.expose_secret())
    }
}

/// Without the API keys.
impl fmt::Debug for Keybrake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

fn is_expired(failure: &Failure) -> bool {
    failure.told().code == "key_expired"
}

/// A success that the proxy does not vouch for: something between may have made it up.
fn not_the_proxys(status: u16) -> Failure {
    let message = format!(
        "the answer {status} has no X-Keybrake-Call-Id, so it is not the proxy's; the call may have been made; check KEYBRAKE_URL, and ask again with the same idempotency key"
    );
    let told = Told { code: "not_the_proxys_answer".to_owned(), message, ..Told::default() };
    Failure::Unknown { after: None, told: Box::new(told) }
}

async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, Failure> {
    let (status, _, body) = exchange(request).await?;
    serde_json::from_value(body).map_err(|_| {
        let message = format!(
            "the answer {status} is not the one of a Keybrake of this version; check KEYBRAKE_URL"
        );
        let told =
            Told { code: "unreadable_answer".to_owned(), message, status: 502, ..Told::default() };
        Failure::Retryable { after: None, told: Box::new(told) }
    })
}

/// Sends a request and reads its answer whole: a success, or the failure that it is.
async fn exchange(request: RequestBuilder) -> Result<(u16, HeaderMap, Value), Failure> {
    let answer: Response = request.send().await.map_err(|error| no_answer(&error))?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let succeeded = answer.status().is_success();
    let bytes = body_within(answer, LONGEST_ANSWER).await.map_err(not_whole)?;
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    if succeeded {
        return Ok((status, headers, body));
    }
    Err(failure::classify(&Unsuccessful {
        status,
        retry_after: retry_after(&headers),
        call_id: text(&headers, "x-keybrake-call-id").as_deref(),
        body: &body,
    }))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// In whole seconds, as the proxy and Stripe say it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = text(headers, RETRY_AFTER.as_str())?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What the lack of an answer means. Reqwest's own text is left out: it has the URL in it.
fn no_answer(error: &reqwest::Error) -> Failure {
    if error.is_builder() {
        return Failure::invalid_input("path", "can't be made a URL and headers");
    }
    if error.is_connect() {
        let message = "no connection to Keybrake; nothing was sent; retry, and check KEYBRAKE_URL";
        return Failure::Retryable { after: None, told: told("keybrake_unreachable", message) };
    }
    not_whole(NoBody::Lost)
}

/// What the lack of a whole answer means. Answers to writes are never so long: the proxy bounds them.
fn not_whole(why: NoBody) -> Failure {
    match why {
        NoBody::Lost => Failure::Unknown {
            after: None,
            told: told(
                "answer_lost",
                "Keybrake's answer was lost; the call may have been made; ask again with the same idempotency key, never with a new one",
            ),
        },
        NoBody::TooLong => Failure::Terminal {
            reason: Reason::InvalidInput,
            told: told(
                "answer_too_long",
                "the answer has more than 16 MiB and was not read to its end; it would not be the next time; ask for less of it",
            ),
        },
    }
}

fn told(code: &str, message: &str) -> Box<Told> {
    Box::new(Told { code: code.to_owned(), message: message.to_owned(), ..Told::default() })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use axum::{Router, http::StatusCode, routing::any};

    use super::*;

    fn client(url: &str) -> Keybrake {
        let variable = |name: &str| match name {
            "KEYBRAKE_URL" => Some(url.to_owned()),
            "KEYBRAKE_API_KEY" => Some("kb_api_secret".to_owned()),
            _ => None,
        };
        Keybrake::new(Settings::load(&variable).unwrap()).unwrap()
    }

    fn call() -> VendorCall {
        serde_json::from_value(json!({"vendor": "stripe", "method": "get", "path": "/v1/x"}))
            .unwrap()
    }

    async fn ask(url: &str) -> Failure {
        let token = Spender::Token("vault_key_secret".into());
        let keyed = KeyedCall { call: &call(), idempotency_key: None };
        client(url).call(&token, keyed).await.unwrap_err()
    }

    async fn serve(router: Router) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        url
    }

    #[tokio::test]
    async fn nothing_is_sent_where_nobody_listens() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let failure = ask(&format!("http://{free}")).await;
        assert_eq!((failure.name(), failure.status()), ("Retryable", 503));
    }

    #[tokio::test]
    async fn an_answer_that_is_lost_leaves_the_outcome_unknown() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            while let Ok((mut socket, _)) = listener.accept() {
                std::io::Read::read(&mut socket, &mut [0; 1024]).ok();
            }
        });
        let failure = ask(&url).await;
        assert_eq!((failure.name(), failure.status()), ("OutcomeUnknown", 504));
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_is_not_read_to_its_end() {
        let long = || async { vec![b' '; LONGEST_ANSWER + 1] };
        let failure = ask(&serve(Router::new().route("/stripe/v1/x", any(long))).await).await;
        assert_eq!(
            (failure.name(), failure.told().code.as_str()),
            ("InvalidInput", "answer_too_long")
        );
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed_and_says_nothing_about_the_call() {
        let moved = || async { (StatusCode::FOUND, [("location", "/elsewhere")]) };
        let elsewhere = || async { "{}" };
        let router =
            Router::new().route("/stripe/v1/x", any(moved)).route("/elsewhere", any(elsewhere));
        assert_eq!(ask(&serve(router).await).await.name(), "OutcomeUnknown");
    }

    #[tokio::test]
    async fn a_success_that_is_not_the_proxys_is_none() {
        let router = Router::new().route("/stripe/v1/x", any(|| async { "{}" }));
        assert_eq!(ask(&serve(router).await).await.name(), "OutcomeUnknown");
    }

    #[tokio::test]
    async fn the_answers_delay_is_passed_on() {
        let busy = || async { (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")]) };
        let failure = ask(&serve(Router::new().route("/stripe/v1/x", any(busy))).await).await;
        assert_eq!(failure.after(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_client_does_not_show_its_api_keys() {
        assert!(!format!("{:?}", client("http://127.0.0.1:1")).contains("secret"));
    }
}
