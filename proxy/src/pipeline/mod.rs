//! The life of a proxied request, one file a stage.
//!
//! Each stage takes the value of the one before and makes one that only it can make, so that no
//! stage is skipped or runs twice:
//!
//! ```text
//! request → authenticate → permit → quote → begin ──► forward ──► finish → answer
//!            Caller         Permit   Quoted   Begun    Exchange
//! ```
//!
//! All from `quote` on runs in a task of its own: a client that hangs up cancels nothing of it.

mod answer;
mod authenticate;
mod begin;
mod finish;
mod forward;
mod permit;
mod quote;

use std::sync::Arc;

use axum::{body::Body, extract::State};
use http::{Request, Response};
use keybrake_core::{ids::CallId, refusal::Refusal};
use tokio::sync::oneshot;

pub(crate) use answer::StoredAnswer;
pub use answer::{refusal_code, refuse};
pub use authenticate::{grant, vault_key_of, vault_token};

use crate::app::App;
use begin::Decision;

/// Proxies one request.
pub async fn proxy(State(app): State<Arc<App>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let caller = match authenticate::authenticate(&app, &parts).await {
        Ok(caller) => caller,
        Err(refusal) => return refuse(&refusal, None),
    };
    let call = app.new_call();
    let permit = permit::permit(&app, caller, parts, body).await;
    let (sender, answer) = oneshot::channel();
    app.tasks.spawn(make_call(Arc::clone(&app), permit, call, sender));
    answer.await.unwrap_or_else(|_| refuse(&Refusal::LedgerUnavailable, Some(call)))
}

/// All that must go on although the client hangs up: a call that is begun is also ended.
async fn make_call(
    app: Arc<App>,
    permit: permit::Permit,
    call: CallId,
    sender: oneshot::Sender<Response<Body>>,
) {
    let ticket = app.in_flight.enter(call);
    let quoted = quote::quote(&app, permit, call, &ticket).await;
    match begin::begin(&app, quoted, call, &ticket).await {
        Decision::Answered(answer) => {
            // A client that hung up does not hear it.
            sender.send(answer).ok();
        }
        Decision::Held(held) => {
            let exchange = forward::forward(&app, held).await;
            drop(ticket);
            if let Some(cancel) = finish::finish(&app, exchange, sender).await {
                cancel_declined(&app, cancel).await;
            }
        }
    }
}

/// Makes the call that takes back what a decline left committed. It is a call like any other, with
/// a hold and an audit row; what comes of it is nobody's answer.
async fn cancel_declined(app: &App, cancel: quote::Quoted) {
    let call = app.new_call();
    let ticket = app.in_flight.enter(call);
    if let Decision::Held(held) = begin::begin(app, cancel, call, &ticket).await {
        let exchange = forward::forward(app, held).await;
        drop(ticket);
        let (unheard, _) = oneshot::channel();
        finish::finish(app, exchange, unheard).await;
    }
}
