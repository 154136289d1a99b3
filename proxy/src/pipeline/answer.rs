//! What a caller is told: a refusal, the vendor's answer, or a stored one.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS},
};
use http_body::Frame;
use hyper::body::Incoming;
use keybrake_core::{ids::CallId, money::MicroUsd, refusal::Refusal, time::Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    app::{App, Vendor},
    seal::SealKey,
};

/// The table that stored answers are sealed for.
const ANSWERS: &str = "answers";

/// What is ours in every proxied answer.
pub(super) struct Ours {
    pub(super) call: CallId,
    pub(super) remaining: MicroUsd,
    pub(super) expires_at: Timestamp,
}

impl Ours {
    fn add_to(&self, headers: &mut HeaderMap) {
        insert(headers, "x-keybrake-call-id", &self.call.to_string());
        insert(headers, "x-keybrake-remaining-usd", &self.remaining.to_string());
        insert(headers, "x-keybrake-expires-at", &self.expires_at.to_string());
        // A vendor's page must not run as ours.
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("sandbox; default-src 'none'"),
        );
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// The code of a refusal that became an answer.
#[derive(Clone, Copy)]
struct Code(&'static str);

/// The code of the refusal that this answer is, if it is one.
#[must_use]
pub fn refusal_code(answer: &Response<Body>) -> Option<&'static str> {
    answer.extensions().get::<Code>().map(|Code(code)| *code)
}

/// A refusal as every SDK can read it.
#[must_use]
pub fn refuse(refusal: &Refusal, call: Option<CallId>) -> Response<Body> {
    let mut response = Response::new(Body::from(refusal.body(call).to_string()));
    *response.status_mut() =
        StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.extensions_mut().insert(Code(refusal.code()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in refusal.headers() {
        insert(headers, name, value);
    }
    if refusal.status() == 401 {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A refusal of a call that has an audit row.
pub(super) fn refuse_ours(refusal: &Refusal, ours: &Ours) -> Response<Body> {
    let mut response = refuse(refusal, Some(ours.call));
    ours.add_to(response.headers_mut());
    response
}

/// A vendor's answer as it is passed on, and kept for replays.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StoredAnswer {
    pub(super) status: u16,
    /// Those that pass.
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What stands before the body of a stored answer.
#[derive(Serialize, Deserialize)]
struct StoredHead {
    status: u16,
    headers: Vec<(String, String)>,
}

impl StoredAnswer {
    /// An answer that was found again by a look-up.
    pub(crate) fn found(status: u16, body: Bytes) -> Self {
        let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { status, headers: HeaderMap::from_iter([json]), body }
    }

    /// Seals the answer for its call.
    pub(crate) fn seal(&self, key: &SealKey, call: CallId) -> Vec<u8> {
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        let head = StoredHead {
            status: self.status,
            headers: self.headers.iter().filter_map(text).collect(),
        };
        // Numbers and strings always serialize.
        let head = serde_json::to_vec(&head).unwrap_or_default();
        let length = u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes();
        key.seal(ANSWERS, &call.to_string(), &[&length[..], &head, &self.body].concat())
    }

    fn open(key: &SealKey, call: CallId, sealed: &[u8]) -> Option<Self> {
        let opened = key.open(ANSWERS, &call.to_string(), sealed).ok()?;
        let (length, rest) = opened.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (head, body) = rest.split_at_checked(length)?;
        let StoredHead { status, headers } = serde_json::from_slice(head).ok()?;
        let header = |(name, value): (String, String)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
        };
        let headers = headers.into_iter().filter_map(header).collect();
        Some(Self { status, headers, body: Bytes::copy_from_slice(body) })
    }

    /// The answer to a caller.
    pub(super) fn respond(self, ours: &Ours) -> Response<Body> {
        respond(self.status, self.headers, Body::from(self.body), ours)
    }
}

fn respond(status: u16, passing: HeaderMap, body: Body, ours: &Ours) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = passing;
    ours.add_to(response.headers_mut());
    response
}

/// The stored answer of an earlier call.
pub(super) async fn replay(
    app: &App,
    vendor: &Vendor,
    of: CallId,
    object_id: Option<String>,
    ours: &Ours,
) -> Response<Body> {
    let sealed = match app.read(move |readers| readers.answer(of)).await {
        Ok(sealed) => sealed,
        Err(refusal) => return refuse_ours(&refusal, ours),
    };
    let stored = sealed.and_then(|sealed| StoredAnswer::open(&app.seal, of, &sealed));
    let Some(mut stored) = stored else {
        return refuse_ours(&Refusal::AnswerPruned { vendor_object_id: object_id }, ours);
    };
    let idempotency = vendor.definition.idempotency.as_ref();
    let marker = idempotency.and_then(|idempotency| idempotency.replayed_header.as_deref());
    if let Some(Ok(name)) = marker.map(HeaderName::try_from) {
        stored.headers.insert(name, HeaderValue::from_static("true"));
    }
    let mut response = stored.respond(ours);
    insert(response.headers_mut(), "x-keybrake-replayed", "true");
    response
}

/// A read's answer, passed on as it comes. It is cut off where it contains our secret.
pub(super) fn stream(
    vendor: &Arc<Vendor>,
    status: u16,
    headers: HeaderMap,
    body: Incoming,
    ours: &Ours,
) -> Response<Body> {
    let scanned = Scanned { vendor: Arc::clone(vendor), body: Some(body), tail: BytesMut::new() };
    respond(status, headers, Body::new(scanned), ours)
}

/// A body in which our secret is looked for, also across the borders of its chunks.
struct Scanned {
    vendor: Arc<Vendor>,
    body: Option<Incoming>,
    /// What could be the beginning of the secret, and is not passed on yet.
    tail: BytesMut,
}

#[derive(Debug, thiserror::Error)]
#[error("the vendor's answer was cut off")]
struct CutOff;

impl http_body::Body for Scanned {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        loop {
            let Some(body) = self.body.as_mut() else {
                return Poll::Ready(None);
            };
            let data = match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(_)) => return Poll::Ready(Some(Err(CutOff))),
                None => {
                    self.body = None;
                    let last = self.tail.split().freeze();
                    return Poll::Ready((!last.is_empty()).then(|| Ok(Frame::data(last))));
                }
            };
            self.tail.extend_from_slice(&data);
            if self.vendor.leaks_into(&self.tail) {
                self.body = None;
                tracing::error!("a vendor's answer contained our secret and was cut off");
                return Poll::Ready(Some(Err(CutOff)));
            }
            let passes = self.tail.len().saturating_sub(self.vendor.secret_overlap());
            if passes > 0 {
                let chunk = self.tail.split_to(passes).freeze();
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_answer_reads_back_for_its_call_only() {
        let key = SealKey::new([1; 32]);
        let stored = StoredAnswer {
            status: 402,
            headers: HeaderMap::from_iter([(
                HeaderName::from_static("request-id"),
                HeaderValue::from_static("req_1"),
            )]),
            body: Bytes::from_static(b"{}\x00\xff"),
        };
        let sealed = stored.seal(&key, CallId::from_number(1));
        assert_eq!(StoredAnswer::open(&key, CallId::from_number(1), &sealed), Some(stored));
        assert_eq!(StoredAnswer::open(&key, CallId::from_number(2), &sealed), None);
    }
}
