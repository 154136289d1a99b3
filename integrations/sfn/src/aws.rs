//! The AWS clients, and what their errors say.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_lambda::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

/// By the environment and `~/.aws`. The same cryptography as the rest of Keybrake.
pub(crate) async fn config() -> SdkConfig {
    let https = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(https).load().await
}

/// AWS's word on a failure, or where there was none, what was in the way.
pub(crate) fn failed<E>(what: &str, error: SdkError<E>) -> anyhow::Error
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    SdkError<E>: std::error::Error,
{
    match error.as_service_error().map(ProvideErrorMetadata::meta) {
        Some(meta) => {
            let code = meta.code().unwrap_or("an error without a name");
            anyhow::anyhow!("{what}: {code}: {}", meta.message().unwrap_or("no explanation"))
        }
        None => anyhow::anyhow!("{what}: {}", DisplayErrorContext(error)),
    }
}

/// Whether AWS answered with this error.
pub(crate) fn is<E>(error: &SdkError<E>, code: &str) -> bool
where
    E: ProvideErrorMetadata,
{
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some(code)
}
