//! Errors in Twilio's shape: a number that says what is wrong, and where to read about it.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// A refusal or failure that the caller reads.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    code: u32,
    message: String,
}

impl ApiError {
    /// 400 unless another status is given.
    pub(super) fn new(code: u32, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(super) fn body(&self) -> Value {
        json!({
            "code": self.code,
            "message": self.message,
            "more_info": format!("https://www.twilio.com/docs/errors/{}", self.code),
            "status": self.status.as_u16(),
        })
    }
}

pub(super) fn unauthenticated() -> ApiError {
    ApiError::new(20003, "Authenticate").status(StatusCode::UNAUTHORIZED)
}

pub(super) fn not_found(path: &str) -> ApiError {
    ApiError::new(20404, format!("The requested resource {path} was not found"))
        .status(StatusCode::NOT_FOUND)
}

pub(super) fn method_not_allowed() -> ApiError {
    ApiError::new(20004, "Method not allowed").status(StatusCode::METHOD_NOT_ALLOWED)
}

pub(super) fn too_many_requests() -> ApiError {
    ApiError::new(20429, "Too Many Requests").status(StatusCode::TOO_MANY_REQUESTS)
}

/// 500: the caller cannot know whether the call took effect.
pub(super) fn server_error() -> ApiError {
    ApiError::new(20500, "Internal Server Error").status(StatusCode::INTERNAL_SERVER_ERROR)
}

pub(super) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(20001, message)
}
