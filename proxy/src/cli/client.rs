//! The command line's way to a running server.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http::{
    Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client as Pool, rt::TokioExecutor};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::config::{self, environment};

/// Where the server is.
#[derive(Args)]
pub(super) struct Server {
    /// The server's address.
    #[arg(long, env = "KEYBRAKE_URL", default_value = "http://127.0.0.1:8787")]
    url: String,
}

/// What every command takes that asks the server.
#[derive(Args)]
pub(super) struct Common {
    /// As JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) server: Server,
}

/// A client with the admin's API key.
pub(super) struct Client {
    url: String,
    api_key: SecretString,
}

impl Server {
    /// A client for it. The key is `KEYBRAKE_API_KEY`, or the one that the server made in the data directory.
    pub(super) fn client(self) -> anyhow::Result<Client> {
        let data_dir = config::data_dir(&environment, None)?;
        if environment("KEYBRAKE_API_KEY").is_none() && !data_dir.join("api-key").exists() {
            bail!(
                "no API key: set KEYBRAKE_API_KEY, or KEYBRAKE_DATA_DIR to the server's data directory"
            );
        }
        Ok(Client::new(self.url, config::api_key(&environment, &data_dir)?))
    }
}

impl Client {
    pub(super) fn new(url: String, api_key: SecretString) -> Self {
        Self { url, api_key }
    }

    /// Asks the server, and fails with its message where it refuses.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url.trim_end_matches('/')))
            .header(AUTHORIZATION, format!("Bearer {}", self.api_key.expose_secret()))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.map(ToString::to_string).unwrap_or_default())))?;
        let (status, answer) = send(request).await.with_context(|| {
            format!("no answer from {}: is the server running there?", self.url)
        })?;
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let message = answer.get("message").and_then(Value::as_str).unwrap_or("the server refused");
        let code = answer.get("code").and_then(Value::as_str).unwrap_or("unknown");
        bail!("{message} ({code}, HTTP {status})")
    }
}

/// Sends one request and reads its JSON answer.
pub(super) async fn send(request: Request<Full<Bytes>>) -> anyhow::Result<(u16, Value)> {
    let connector =
        HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
    let pool: Pool<_, Full<Bytes>> = Pool::builder(TokioExecutor::new()).build(connector);
    let answer = tokio::time::timeout(Duration::from_mins(2), pool.request(request)).await??;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await?.to_bytes();
    Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}
