//! Errors in Resend's shape: a name that says what is wrong, and a sentence.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// A refusal or failure that the caller reads.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    name: &'static str,
    message: String,
}

impl ApiError {
    fn new(status: StatusCode, name: &'static str, message: impl Into<String>) -> Self {
        Self { status, name, message: message.into() }
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn body(&self) -> Value {
        json!({
            "statusCode": self.status.as_u16(),
            "name": self.name,
            "message": self.message,
        })
    }
}

pub(super) fn missing_key() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "missing_api_key", "Missing API key")
}

pub(super) fn invalid_key() -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "invalid_api_key", "API key is invalid")
}

/// A field or parameter has no such value.
pub(super) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "validation_error", message)
}

pub(super) fn not_imitated(name: &str) -> ApiError {
    invalid(format!("The sandbox does not imitate `{name}`"))
}

pub(super) fn missing(name: &str) -> ApiError {
    ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "missing_required_field",
        format!("Missing `{name}` field"),
    )
}

pub(super) fn invalid_attachment(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_attachment", message)
}

pub(super) fn invalid_parameter(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_parameter", message)
}

pub(super) fn invalid_sender() -> ApiError {
    let message =
        "Invalid `from`: an address such as `mail@example.com` or `Name <mail@example.com>`";
    ApiError::new(StatusCode::FORBIDDEN, "invalid_from_address", message)
}

pub(super) fn unverified_domain(domain: &str) -> ApiError {
    let message = format!("The domain {domain} is not verified");
    ApiError::new(StatusCode::FORBIDDEN, "validation_error", message)
}

pub(super) fn not_found(what: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", format!("{what} not found"))
}

pub(super) fn method_not_allowed() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method is not allowed")
}

pub(super) fn invalid_idempotency_key() -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "invalid_idempotency_key",
        "An idempotency key has from 1 to 256 characters",
    )
}

pub(super) fn key_of_other_request() -> ApiError {
    ApiError::new(
        StatusCode::CONFLICT,
        "invalid_idempotent_request",
        "This idempotency key was used by a request with another content",
    )
}

/// 409: the caller cannot know what will become of the first request.
pub(super) fn key_in_use() -> ApiError {
    ApiError::new(
        StatusCode::CONFLICT,
        "concurrent_idempotent_requests",
        "A request with this idempotency key is still in progress",
    )
}

pub(super) fn rate_limited() -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", "Too many requests")
}

/// 500: the caller cannot know whether the call took effect.
pub(super) fn server_error() -> ApiError {
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "application_error",
        "An unexpected error occurred",
    )
}
