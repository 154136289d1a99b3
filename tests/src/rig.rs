//! A proxy before a sandbox, both in this process, with clocks that a test can move.

use std::{path::Path, time::Duration};

use keybrake::{
    app::App,
    config::Config,
    outside::Clock,
    sandbox::{ResendSettings, Sandbox, Settings, TwilioSettings},
    server,
    store::sqlite::Durability,
};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{API_KEY, SECRET};

/// A proxy before a sandbox.
pub struct Rig {
    /// The sandbox.
    pub sandbox: Sandbox,
    /// Where the sandbox is.
    pub vendor_url: String,
    /// The sandbox's and the proxy's clock.
    pub clock: Clock,
    /// Where the proxy is.
    pub url: String,
    /// For any request.
    pub http: Client,
    /// The proxy's data.
    pub data: TempDir,
    stop_sandbox: CancellationToken,
    proxy: Option<RunningProxy>,
    variables: Vec<(String, String)>,
}

#[derive(Debug)]
struct RunningProxy {
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

/// A vault key in a test's hands.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its public id.
    pub id: String,
    /// Its token.
    pub token: String,
    /// The whole answer.
    pub body: Value,
}

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body as JSON; `null` where it is none.
    pub body: Value,
}

impl Answer {
    /// The refusal's code.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body.pointer("/keybrake/code").and_then(Value::as_str).unwrap_or_default()
    }

    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A member of the body as text.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

#[expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a rig that does not work fails its test"
)]
impl Rig {
    /// A proxy before a sandbox with these settings.
    pub async fn start(settings: Settings) -> Self {
        Self::start_with(settings, &[]).await
    }

    /// The same, with more variables for the proxy.
    pub async fn start_with(settings: Settings, variables: &[(&str, &str)]) -> Self {
        let clock = Clock::default();
        let sandbox =
            Sandbox::new(Settings { secret: SECRET.to_owned(), ..settings }, clock.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let vendor_url =
            format!("http://{}", listener.local_addr().expect("a listener has an address"));
        let stop_sandbox = CancellationToken::new();
        let stopped = stop_sandbox.clone();
        tokio::spawn(sandbox.clone().serve(listener, async move { stopped.cancelled().await }));
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut rig = Self {
            sandbox,
            vendor_url,
            clock,
            url: String::new(),
            http: crate::http(),
            data: tempfile::tempdir().expect("a temporary directory"),
            stop_sandbox,
            proxy: None,
            variables: variables.iter().map(owned).collect(),
        };
        rig.start_proxy().await;
        rig
    }

    /// Starts the proxy on its data, as after a restart, where it was before.
    pub async fn start_proxy(&mut self) {
        let address = self.url.strip_prefix("http://").unwrap_or("127.0.0.1:0");
        let listener = TcpListener::bind(address).await.expect("loopback has a free port");
        self.url = format!("http://{}", listener.local_addr().expect("a listener has an address"));
        let config = config(self.data.path(), &self.vendor_url, &self.variables);
        let (app, closed) = App::open(config, self.clock.clone(), Durability::Relaxed)
            .await
            .expect("the ledger opens");
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serving = tokio::spawn(async move {
            let stop = async move { stopped.cancelled().await };
            server::serve(app, closed, listener.into(), stop).await.expect("the proxy serves");
        });
        self.proxy = Some(RunningProxy { stop, serving });
    }

    /// Stops the proxy gracefully: it drains.
    pub async fn stop_proxy(&mut self) {
        if let Some(proxy) = self.proxy.take() {
            proxy.stop.cancel();
            proxy.serving.await.expect("the proxy stops");
        }
    }

    /// A request with the admin's API key.
    pub fn admin(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().expect("a method");
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(API_KEY)
    }

    /// Issues a key for PaymentIntents, charges, refunds and all reads, changed by `more`.
    pub async fn issue(&self, more: Value) -> Key {
        let answer = self.try_issue(more).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        Key {
            id: answer.text("/key_id").to_owned(),
            token: answer.text("/vault_key").to_owned(),
            body: answer.body,
        }
    }

    /// Asks for a key.
    pub async fn try_issue(&self, more: Value) -> Answer {
        let mut body = json!({
            "vendor": "stripe",
            "total_usd_cap": "50",
            "allowed_endpoints": ["POST /v1/payment_intents", "POST /v1/charges", "POST /v1/refunds", "GET /*"],
            "expires_in": "2h",
            "agent_run_label": "test/run-1",
        });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
            body.retain(|_, value| !value.is_null());
        }
        read(self.admin("POST", "/vault/keys").json(&body)).await
    }

    /// A `POST` with a vault key to Stripe's path.
    pub fn post(&self, key: &Key, path: &str, idempotency_key: &str, form: &str) -> RequestBuilder {
        self.http
            .post(format!("{}/stripe{path}", self.url))
            .bearer_auth(&key.token)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("idempotency-key", idempotency_key)
            .body(form.to_owned())
    }

    /// Pays `cents` by a confirmed PaymentIntent.
    pub async fn pay(&self, key: &Key, idempotency_key: &str, cents: u64) -> Answer {
        let form = format!("amount={cents}&currency=usd&confirm=true&payment_method=pm_card_visa");
        read(self.post(key, "/v1/payment_intents", idempotency_key, &form)).await
    }

    /// The budget and state of a key.
    pub async fn show(&self, key: &Key) -> Value {
        let answer = read(self.admin("GET", &format!("/vault/keys/{}", key.id))).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        answer.body
    }

    /// The audit rows that fit a query, the newest first.
    pub async fn calls(&self, query: &str) -> Vec<Value> {
        let answer = read(self.admin("GET", &format!("/audit/calls?limit=1000&{query}"))).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        answer.body.pointer("/data").and_then(Value::as_array).cloned().unwrap_or_default()
    }

    /// What the vendor has executed with money, in cents.
    #[must_use]
    pub fn vendor_total(&self) -> u64 {
        self.sandbox.executed().total_minor.get("usd").copied().unwrap_or(0)
    }

    /// How many requests reached the vendor.
    #[must_use]
    pub fn vendor_requests(&self) -> u64 {
        self.sandbox.requests().received
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop_sandbox.cancel();
        if let Some(proxy) = &self.proxy {
            proxy.stop.cancel();
        }
    }
}

#[expect(clippy::expect_used, reason = "a rig that does not work fails its test")]
fn config(data: &Path, vendor_url: &str, more: &[(String, String)]) -> Config {
    let given = |name: &str| match name {
        "KEYBRAKE_DATA_DIR" => Some(data.display().to_string()),
        "KEYBRAKE_API_KEY" => Some(API_KEY.to_owned()),
        "KEYBRAKE_VENDOR_STRIPE_BASE_URL"
        | "KEYBRAKE_VENDOR_TWILIO_BASE_URL"
        | "KEYBRAKE_VENDOR_RESEND_BASE_URL" => Some(vendor_url.to_owned()),
        "KEYBRAKE_VENDOR_STRIPE_SECRET" => Some(SECRET.to_owned()),
        "KEYBRAKE_VENDOR_TWILIO_SECRET" => Some(TwilioSettings::default().auth_token),
        "KEYBRAKE_VENDOR_RESEND_SECRET" => Some(ResendSettings::default().api_key),
        "KEYBRAKE_VENDOR_TWILIO_ACCOUNT" => Some(TwilioSettings::default().account_sid),
        _ => None,
    };
    let more =
        |name: &str| more.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    Config::load(&|name| more(name).or_else(|| given(name))).expect("a valid configuration")
}

/// Sends a request and reads its answer whole.
///
/// # Panics
/// Where there is no answer.
#[expect(clippy::expect_used, reason = "a rig that does not work fails its test")]
pub async fn read(request: RequestBuilder) -> Answer {
    let answer: Response = request.send().await.expect("an answer");
    let (status, headers) = (StatusCode::as_u16(&answer.status()), answer.headers().clone());
    let bytes = answer.bytes().await.unwrap_or_default();
    Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
}

/// Waits until `check` holds, and gives what it found.
///
/// # Panics
/// Where it does not hold within 20 seconds.
#[expect(clippy::panic, reason = "a wait without an end fails its test")]
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, check: impl Fn() -> F) -> T {
    for _ in 0..2_000 {
        if let Some(found) = check().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 20 s: {what}");
}
