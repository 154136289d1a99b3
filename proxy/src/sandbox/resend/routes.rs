//! The endpoints that this Resend has.

use axum::http::Method;

use super::errors::{self, ApiError};

/// An endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Send,
    SendBatch,
    List,
    Get,
    Update,
    Cancel,
    ListDomains,
}

/// Whether a path is Resend's.
pub(in crate::sandbox) fn owns(path: &str) -> bool {
    let root = path.split('/').nth(1);
    matches!(root, Some("emails" | "domains"))
}

/// The endpoint of a request, and the mail's id in its path.
pub(super) fn find<'a>(method: &Method, path: &'a str) -> Result<(Op, &'a str), ApiError> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (get, post, change, id) = match parts.as_slice() {
        ["emails"] => (Some(Op::List), Some(Op::Send), None, ""),
        ["emails", "batch"] => (None, Some(Op::SendBatch), None, ""),
        ["emails", id] => (Some(Op::Get), None, Some(Op::Update), *id),
        ["emails", id, "cancel"] => (None, Some(Op::Cancel), None, *id),
        ["domains"] => (Some(Op::ListDomains), None, None, ""),
        _ => return Err(errors::not_found("Endpoint")),
    };
    let op = match *method {
        Method::GET => get,
        Method::POST => post,
        Method::PATCH => change,
        _ => None,
    };
    Ok((op.ok_or_else(errors::method_not_allowed)?, id))
}

impl Op {
    /// Method and path, with `{id}` for ids.
    pub(super) fn endpoint(self) -> &'static str {
        match self {
            Self::Send => "POST /emails",
            Self::SendBatch => "POST /emails/batch",
            Self::List => "GET /emails",
            Self::Get => "GET /emails/{id}",
            Self::Update => "PATCH /emails/{id}",
            Self::Cancel => "POST /emails/{id}/cancel",
            Self::ListDomains => "GET /domains",
        }
    }

    /// Whether idempotency keys mean something to it.
    pub(super) fn takes_keys(self) -> bool {
        matches!(self, Self::Send | Self::SendBatch)
    }

    pub(super) fn is_read(self) -> bool {
        matches!(self, Self::List | Self::Get | Self::ListDomains)
    }
}
