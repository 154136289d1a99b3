//! Sends a call whose money is held, with the real secret and the tags that were decided on.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Method};
use hyper::body::Incoming;
use keybrake_core::{
    money::MicroUsd,
    params::Params,
    vendor::definition::{Encoding, Rule, Tags},
};

use super::{begin::Held, permit::Target};
use crate::{
    app::App,
    upstream::{NoAnswer, read_whole},
    vendor_request::{self, Content},
};

/// The largest answer to a write, in bytes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// A call that was sent, or given up, with what came back.
#[must_use]
pub(super) struct Exchange {
    pub(super) held: Box<Held>,
    pub(super) answer: VendorAnswer,
}

/// What came back. Of its headers, those that pass.
pub(super) enum VendorAnswer {
    /// Nothing, since nothing was sent; or nothing although something was.
    None(NoAnswer),
    /// A head whose body can't be had whole.
    Unreadable { status: u16, headers: HeaderMap },
    /// All of it.
    Whole { status: u16, headers: HeaderMap, body: Bytes },
    /// The head, and a body that is passed on as it comes.
    Streamed { status: u16, headers: HeaderMap, body: Incoming },
}

impl Target {
    /// Whether our tags go into the vendor's object.
    pub(super) fn is_tagged(&self) -> bool {
        let Rule::Priced(priced) = self.rule() else {
            return false;
        };
        !priced.untagged
            && priced.about.is_none()
            && !self.endpoint.method.is_read()
            && self.vendor.definition.encoding_of(&self.endpoint.path) == Encoding::Form
            && self.vendor.tags
            && self.vendor.definition.tags.is_some()
    }
}

/// Sends a held call once.
pub(super) async fn forward(app: &App, held: Box<Held>) -> Exchange {
    let begun = Instant::now();
    let answer = exchange(app, &held).await;
    if !matches!(answer, VendorAnswer::None(NoAnswer::NotSent)) {
        app.metrics.answered(&held.request.vendor, begun.elapsed());
    }
    Exchange { held, answer }
}

async fn exchange(app: &App, held: &Held) -> VendorAnswer {
    let target = &held.target;
    let is_read = target.endpoint.method.is_read();
    let key = held.request.idempotency_key.as_deref();
    let (path, content) = if is_read {
        let query = target.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        (format!("{}{query}", target.endpoint.path), Content::None)
    } else {
        let content = match target.json.clone() {
            Some(body) => Content::Json { body, idempotency_key: key },
            None => Content::Form { body: tagged(held).to_form().into(), idempotency_key: key },
        };
        (target.endpoint.path.to_string(), content)
    };
    let method = Method::from_bytes(target.endpoint.method.as_str().as_bytes()).unwrap_or_default();
    let gate = std::sync::Arc::clone(&held.gate);
    let Ok(request) =
        vendor_request::build(&target.vendor, &method, &path, &target.headers, content, gate)
    else {
        return VendorAnswer::None(NoAnswer::NotSent);
    };
    let sent = Instant::now();
    let answer = match app.upstream.send(request, app.vendor_timeout).await {
        Ok(answer) => answer,
        Err(none) => return VendorAnswer::None(none),
    };
    let (parts, body) = answer.into_parts();
    let (status, headers) = (parts.status.as_u16(), target.vendor.passing_answer(&parts.headers));
    if is_read && held.call.at_most == MicroUsd::ZERO {
        return VendorAnswer::Streamed { status, headers, body };
    }
    let left = app.vendor_timeout.saturating_sub(sent.elapsed());
    match read_whole(body, MAX_ANSWER, left).await {
        Ok(body) => VendorAnswer::Whole { status, headers, body },
        Err(_) => VendorAnswer::Unreadable { status, headers },
    }
}

/// The parameters with the tags of the first send: a re-send is the same request.
fn tagged(held: &Held) -> Params {
    let params = held.target.params.clone();
    let tags = held.target.vendor.definition.tags.as_ref();
    let Some((tags, run)) = tags.zip(held.call.tag.as_ref()) else {
        return params;
    };
    let Tags { run: run_name, call, max_length, .. } = tags;
    let run: String = run.as_str().chars().take(*max_length).collect();
    params.with([(run_name.clone(), run), (call.clone(), held.call.call.to_string())])
}
