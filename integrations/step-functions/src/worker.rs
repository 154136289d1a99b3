//! The client of one execution environment, and where its API keys come from.
//!
//! The environment gives them, or names secrets of Secrets Manager. Those are read through AWS's
//! own Lambda extension, which runs beside the function, keeps them and renews them: so a cold
//! start asks nobody for what is not needed, and the function carries no AWS SDK.

use std::{
    collections::BTreeMap,
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use keybrake_client::{Failure, Keybrake, Reason, Settings, Told, client::http_client};
use serde_json::Value;
use tokio::sync::Mutex;

/// How long a secret is used before the extension is asked again, so that a rotated API key is
/// taken up without a deployment. The extension's own default.
const SECRETS_KEPT: Duration = Duration::from_mins(5);
const EXTENSION_WITHIN: Duration = Duration::from_secs(5);
/// The API keys that may be in Secrets Manager, each by the variable with this suffix.
const API_KEYS: [&str; 2] = ["KEYBRAKE_API_KEY", "KEYBRAKE_CALLER_API_KEY"];
const SECRET_SUFFIX: &str = "_SECRET_ID";

/// What the invocations of one environment share.
#[derive(Clone)]
pub struct Worker {
    variable: fn(&str) -> Option<String>,
    open: Arc<Mutex<Option<Open>>>,
}

struct Open {
    keybrake: Keybrake,
    since: Instant,
    has_secrets: bool,
}

impl Worker {
    /// By this process's environment. Asks nobody.
    #[must_use]
    pub fn from_env() -> Self {
        Self { variable: |name| env::var(name).ok(), open: Arc::default() }
    }

    /// Makes the client while the environment starts, where that asks nobody. What fails is told by
    /// the first invocation, under a name.
    pub async fn warm(&self) {
        if self.secrets().is_empty() {
            self.keybrake().await.ok();
        }
    }

    /// The client.
    pub async fn keybrake(&self) -> Result<Keybrake, Failure> {
        let mut open = self.open.lock().await;
        if let Some(known) = &*open
            && (!known.has_secrets || known.since.elapsed() < SECRETS_KEPT)
        {
            return Ok(known.keybrake.clone());
        }
        let named = self.secrets();
        let mut secrets = BTreeMap::new();
        for (name, id) in &named {
            secrets.insert(*name, self.secret(id).await?);
        }
        let variable = |name: &str| secrets.get(name).cloned().or_else(|| (self.variable)(name));
        let settings = Settings::load(&variable).map_err(|error| not_configured(&error))?;
        let keybrake = Keybrake::new(settings).map_err(|error| not_configured(&error))?;
        let made = Open {
            keybrake: keybrake.clone(),
            since: Instant::now(),
            has_secrets: !named.is_empty(),
        };
        *open = Some(made);
        Ok(keybrake)
    }

    /// The API keys that Secrets Manager has, with their ids there.
    fn secrets(&self) -> Vec<(&'static str, String)> {
        let id = |name: &&'static str| {
            let id = (self.variable)(&format!("{name}{SECRET_SUFFIX}"))?;
            (!id.trim().is_empty()).then_some((*name, id))
        };
        API_KEYS.iter().filter_map(id).collect()
    }

    /// Asks AWS's extension: <https://docs.aws.amazon.com/secretsmanager/latest/userguide/retrieving-secrets_lambda.html>.
    async fn secret(&self, id: &str) -> Result<String, Failure> {
        let port = (self.variable)("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT");
        let port = port.as_deref().unwrap_or("2773");
        let session = (self.variable)("AWS_SESSION_TOKEN").unwrap_or_default();
        let http = http_client().map_err(|error| not_configured(&error))?;
        let http = http.no_proxy().timeout(EXTENSION_WITHIN).build().map_err(|_| no_secret(id))?;
        let asked = http
            .get(format!("http://localhost:{port}/secretsmanager/get"))
            .query(&[("secretId", id)])
            .header("X-Aws-Parameters-Secrets-Token", session);
        let answer = asked.send().await.map_err(|_| no_secret(id))?;
        let answer = answer.error_for_status().map_err(|_| no_secret(id))?;
        let body: Value = answer.json().await.map_err(|_| no_secret(id))?;
        let text = body.get("SecretString").and_then(Value::as_str).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| no_secret(id))
    }
}

fn no_secret(id: &str) -> Failure {
    let message = format!(
        "Secrets Manager's extension does not give the secret {id}; nothing was sent; check that the function has the layer AWS-Parameters-and-Secrets-Lambda-Extension and may read the secret"
    );
    let told = Told { code: "no_secret".to_owned(), message, ..Told::default() };
    Failure::Retryable { after: None, told: Box::new(told) }
}

fn not_configured(error: &dyn std::error::Error) -> Failure {
    let message = format!("{error}; nothing was sent; correct the function's configuration");
    let told = Told { code: "not_configured".to_owned(), message, ..Told::default() };
    Failure::Terminal { reason: Reason::CallRefused, told: Box::new(told) }
}
