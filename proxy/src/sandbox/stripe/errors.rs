//! Errors in Stripe's shape: one JSON object under `error`, and the HTTP status the SDKs switch on.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

/// A refusal or failure that the caller reads.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    error: Map<String, Value>,
    /// Whether the endpoint had begun to execute: only then is the answer kept under the key.
    pub(super) begun: bool,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, kind: &str, message: impl Into<String>) -> Self {
        let mut error = Map::new();
        error.insert("type".to_owned(), json!(kind));
        error.insert("message".to_owned(), json!(message.into()));
        Self { status, error, begun: false }
    }

    /// 400: something about the request itself is wrong.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    pub(super) fn code(self, code: &str) -> Self {
        self.with("code", json!(code))
    }

    pub(super) fn param(self, name: &str) -> Self {
        self.with("param", json!(name))
    }

    pub(super) fn with(mut self, field: &str, value: Value) -> Self {
        self.error.insert(field.to_owned(), value);
        self
    }

    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Marks that the endpoint's own code found this, after it had begun.
    pub(super) fn begun(mut self) -> Self {
        self.begun = true;
        self
    }

    pub(super) fn body(&self) -> Value {
        json!({ "error": self.error })
    }
}

/// 404 for an id in the path.
pub(super) fn no_such(object: &str, id: &str) -> ApiError {
    missing_reference(object, id, "id").status(StatusCode::NOT_FOUND)
}

/// 400 for an id in a parameter.
pub(super) fn missing_reference(object: &str, id: &str, param: &str) -> ApiError {
    ApiError::invalid(format!("No such {object}: '{id}'"))
        .code("resource_missing")
        .param(param)
        .begun()
}

/// 400 for an object that is in the wrong state for the call.
pub(super) fn unexpected_state(message: impl Into<String>) -> ApiError {
    ApiError::invalid(message).code("payment_intent_unexpected_state").begun()
}

pub(super) fn invalid_key() -> ApiError {
    ApiError::invalid("Invalid API Key provided: sk_test_****").status(StatusCode::UNAUTHORIZED)
}

pub(super) fn missing_key() -> ApiError {
    ApiError::invalid("No API key was given: send it as 'Authorization: Bearer sk_test_...'")
        .status(StatusCode::UNAUTHORIZED)
}

pub(super) fn no_access_to_account() -> ApiError {
    ApiError::invalid("The provided key 'sk_test_****' has no access to that account")
        .code("account_invalid")
        .status(StatusCode::FORBIDDEN)
}

pub(super) fn unrecognized_url(method: &str, path: &str) -> ApiError {
    ApiError::invalid(format!("Unrecognized request URL ({method}: {path})."))
        .status(StatusCode::NOT_FOUND)
}

pub(super) fn not_a_form() -> ApiError {
    ApiError::invalid(
        "Invalid request (check that your POST content type is \
         application/x-www-form-urlencoded). If you have any questions, we can help at \
         https://support.stripe.com/.",
    )
}

pub(super) fn rate_limited() -> ApiError {
    ApiError::invalid("Request rate limit exceeded")
        .code("rate_limit")
        .status(StatusCode::TOO_MANY_REQUESTS)
}

/// 500: the caller cannot know whether the call took effect.
pub(super) fn server_error() -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "api_error", "An unknown error occurred")
        .begun()
}

pub(super) fn key_in_use() -> ApiError {
    ApiError::invalid("There is currently another in-progress request using this Idempotent Key")
        .code("idempotency_key_in_use")
        .status(StatusCode::CONFLICT)
}

pub(super) fn key_of_other_parameters(key: &str) -> ApiError {
    idempotency(format!(
        "Keys for idempotent requests can only be used with the same parameters they were first \
         used with. Try using a key other than '{key}' if you meant to execute a different request."
    ))
}

pub(super) fn key_of_other_endpoint(key: &str, first: &str, now: &str) -> ApiError {
    idempotency(format!(
        "Keys for idempotent requests can only be used for the same endpoint they were first used \
         for ('{now}' vs '{first}'). Try using a key other than '{key}' if you meant to execute a \
         different request."
    ))
}

fn idempotency(message: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "idempotency_error", message)
}
