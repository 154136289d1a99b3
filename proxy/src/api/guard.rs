//! Around every request: refusals are counted, and whoever fails to authenticate too often is told.

use std::{sync::Arc, time::Instant};

use axum::{
    body::Body,
    extract::{MatchedPath, State},
    http::{Request, Response},
    middleware::Next,
};
use keybrake_core::refusal::Refusal;

use crate::{app::App, failures::Peer, pipeline};

/// Counts what is refused.
pub(super) async fn guard(
    State(app): State<Arc<App>>,
    request: Request<Body>,
    next: Next,
) -> Response<Body> {
    let answer = throttle(&app, request, next).await;
    if let Some(code) = pipeline::refusal_code(&answer) {
        app.metrics.refused(code);
    }
    answer
}

/// Refuses a credential that failed too often, and counts failures. A valid credential passes.
async fn throttle(app: &App, request: Request<Body>, next: Next) -> Response<Body> {
    let route = request.extensions().get::<MatchedPath>().map_or("proxied", MatchedPath::as_str);
    let credential = app.failures.presented(request.headers(), route);
    let peer = request.extensions().get::<Peer>().copied();
    if credential.is_some_and(|credential| app.failures.is_spent(credential, Instant::now())) {
        return pipeline::refuse(&Refusal::TooManyFailures, None);
    }
    let answer = next.run(request).await;
    let has_failed = pipeline::refusal_code(&answer) == Some(Refusal::InvalidKey.code());
    if has_failed && app.failures.count(peer, credential, Instant::now()) {
        return pipeline::refuse(&Refusal::TooManyFailures, None);
    }
    answer
}
