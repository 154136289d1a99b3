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
//! `forward` and `finish` run in a task of their own: a client that hangs up cancels neither.

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
use tokio::sync::oneshot;

pub(crate) use answer::StoredAnswer;
pub use answer::refuse;
pub use authenticate::vault_token;

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
    let ticket = app.in_flight.enter(call);
    let quoted = quote::quote(&app, permit, call, &ticket).await;
    let held = match begin::begin(&app, quoted, call, &ticket).await {
        Decision::Held(held) => held,
        Decision::Answered(answer) => return answer,
    };
    let (sender, answer) = oneshot::channel();
    let app_of_task = Arc::clone(&app);
    app.tasks.spawn(async move {
        let exchange = forward::forward(&app_of_task, held).await;
        drop(ticket);
        finish::finish(&app_of_task, exchange, sender).await;
    });
    answer
        .await
        .unwrap_or_else(|_| refuse(&keybrake_core::refusal::Refusal::LedgerUnavailable, Some(call)))
}
