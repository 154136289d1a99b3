//! The command line's way to a running server.

use std::{io::Write, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http::{
    Method, Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client as Pool, rt::TokioExecutor};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::failure::Failure;
use crate::config::{self, environment};

/// How long the server may take to begin its answer.
const ANSWERS_WITHIN: Duration = Duration::from_mins(2);

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
        let request = self.request(method, path, body)?;
        let (parts, body) = self.exchange(request).await?;
        let bytes = body.collect().await?.to_bytes();
        let answer = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if parts.status.is_success() { Ok(answer) } else { Err(refused(parts.status, &answer)) }
    }

    /// Writes the server's answer to a file or a pipe as it comes, and tells how far it is.
    pub(super) async fn download(
        &self,
        path: &str,
        out: &mut (impl Write + Send),
        progress: impl Fn(u64),
    ) -> anyhow::Result<u64> {
        let (parts, mut body) = self.exchange(self.request(Method::GET, path, None)?).await?;
        if !parts.status.is_success() {
            let bytes = body.collect().await?.to_bytes();
            let answer = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            return Err(refused(parts.status, &answer));
        }
        let mut written = 0;
        while let Some(frame) = body.frame().await {
            let data = frame.context("the answer broke off before its end")?.into_data();
            let data = data.unwrap_or_default();
            out.write_all(&data)?;
            written += u64::try_from(data.len())?;
            progress(written);
        }
        out.flush()?;
        Ok(written)
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<(http::response::Parts, Incoming)> {
        exchange(request, ANSWERS_WITHIN).await.map_err(|error| {
            let why =
                format!("no answer from {}: is the server running there? ({error:#})", self.url);
            Failure::Unreachable(why).into()
        })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        Ok(Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url.trim_end_matches('/')))
            .header(AUTHORIZATION, format!("Bearer {}", self.api_key.expose_secret()))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.map(ToString::to_string).unwrap_or_default())))?)
    }
}

fn refused(status: StatusCode, answer: &Value) -> anyhow::Error {
    let message = answer.get("message").and_then(Value::as_str).unwrap_or("the server refused");
    let code = answer.get("code").and_then(Value::as_str).unwrap_or("unknown");
    Failure::Refused(format!("{message} ({code}, HTTP {})", status.as_u16())).into()
}

/// Those parameters that are given, as a query.
pub(super) fn query(given: &[(&str, Option<String>)]) -> String {
    let given = given.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish()
}

/// Sends one request and waits for the head of its answer.
pub(super) async fn exchange(
    request: Request<Full<Bytes>>,
    within: Duration,
) -> anyhow::Result<(http::response::Parts, Incoming)> {
    let connector =
        HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
    let pool: Pool<_, Full<Bytes>> = Pool::builder(TokioExecutor::new()).build(connector);
    let answer = tokio::time::timeout(within, pool.request(request)).await;
    Ok(answer.context("it took too long")??.into_parts())
}
