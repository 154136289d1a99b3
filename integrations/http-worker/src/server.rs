//! Serving: how large a request may be, and how it stops.

use std::{io, time::Duration};

use axum::{
    Json, Router,
    body::{Bytes, to_bytes},
    extract::Request,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tokio::{net::TcpListener, time::timeout};

/// What Inngest may send: 4 MB of state, and its envelope.
pub(crate) const LARGEST_BODY: usize = 6 * 1024 * 1024;
/// How long a request's body may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// How long what runs may go on after the word to stop.
pub(crate) const DRAINS_WITHIN: Duration = Duration::from_secs(30);

/// A request with its body, or the answer to one that is too large or too slow.
pub(crate) async fn body_of(request: Request) -> Result<(Parts, Bytes), Response> {
    let (parts, body) = request.into_parts();
    match timeout(BODY_WITHIN, to_bytes(body, LARGEST_BODY)).await {
        Ok(Ok(bytes)) => Ok((parts, bytes)),
        Ok(Err(_)) => {
            let message =
                format!("the body is over {LARGEST_BODY} bytes, or broke off; nothing was sent");
            Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &message))
        }
        Err(_) => Err(refused(
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            "the body did not come in time; nothing was sent",
        )),
    }
}

fn refused(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({"ok": false, "code": code, "message": message, "terminal": true})))
        .into_response()
}

/// Serves until the word to stop, and then lets what runs end, for half a minute at most.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let stop = async move {
        stop.await;
        stopping.send(()).ok();
    };
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop).into_future();
    let cut_off = async {
        if stopped.await.is_ok() {
            tokio::time::sleep(DRAINS_WITHIN).await;
        }
    };
    tokio::select! {
        served = serving => served,
        () = cut_off => {
            tracing::warn!("what still ran was cut off; engines retry it");
            Ok(())
        }
    }
}
