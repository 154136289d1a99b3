//! What does it cost at most? Reads the price from the request, or asks the vendor for it.

use std::{sync::Arc, time::Instant};

use http::Method;
use keybrake_core::{
    ids::CallId,
    ledger::{
        Command, Peek, Quote, Reply,
        rows::{Binding, Request, VaultKey},
    },
    refusal::Refusal,
    vendor::{
        amount::Exchange,
        definition::Rule,
        price::{Price, Question},
    },
};
use serde_json::Value;

use super::permit::{Permit, Target};
use crate::{
    app::App,
    gate::{Gate, Ticket},
    upstream::read_whole,
    vendor_request,
};

/// The largest answer to a question, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// A request that was read, with its price.
#[must_use]
pub(super) struct Quoted {
    pub(super) key: Arc<VaultKey>,
    /// As the audit row has it, with the idempotency key that goes to the vendor.
    pub(super) request: Request,
    pub(super) target: Result<Target, Refusal>,
    pub(super) quote: Result<Quote, Refusal>,
}

/// Prices a request. A write without an idempotency key gets the proxy's own.
pub(super) async fn quote(app: &App, permit: Permit, call: CallId, ticket: &Ticket) -> Quoted {
    let Permit { key, mut request, target } = permit;
    if target.is_ok() && !request.method.is_read() {
        request.idempotency_key.get_or_insert_with(|| format!("kb-{call}"));
    }
    let quote = match &target {
        Ok(target) => price(app, &key, &request, target, ticket).await,
        Err(refusal) => Err(refusal.clone()),
    };
    Quoted { key, request, target, quote }
}

async fn price(
    app: &App,
    key: &Arc<VaultKey>,
    request: &Request,
    target: &Target,
    ticket: &Ticket,
) -> Result<Quote, Refusal> {
    let priced = match target.rule() {
        Rule::Free => return Ok(Quote::nothing()),
        Rule::Unpriced(_) => {
            let fixed = key.policy.fixed_holds.of(&target.endpoint);
            let unpriced = || Refusal::UnpricedEndpoint { endpoint: target.endpoint.to_string() };
            return fixed.map(Quote::fixed).ok_or_else(unpriced);
        }
        Rule::Never | Rule::Unlisted => {
            return Err(Refusal::UnpricedEndpoint { endpoint: target.endpoint.to_string() });
        }
        Rule::Priced(priced) => priced,
    };
    let fixed = key.policy.fixed_holds.of(&target.endpoint).filter(|_| priced.takes_fixed_hold());
    if let Some(hold) = fixed.filter(|_| !priced.units.is_empty()) {
        return Ok(Quote::fixed(hold));
    }
    let rates = app.rates();
    let exchange = Exchange::new(&rates, app.clock.now());
    let definition = &target.vendor.definition;
    match definition.price(priced, &target.endpoint, &target.params, &exchange) {
        Ok(Price::Known(quote)) => Ok(quote),
        Ok(Price::Ask(question)) => {
            let answer = ask(app, key, request, target, &question, ticket).await?;
            question.answered(&answer, &exchange)
        }
        Err(Refusal::UnpricedEndpoint { endpoint }) => {
            fixed.map(Quote::fixed).ok_or(Refusal::UnpricedEndpoint { endpoint })
        }
        Err(refusal) => Err(refusal),
    }
}

/// Asks the vendor, unless the ledger will decide the call without its price. Should that change
/// before the call is begun, its caller is told to ask again.
async fn ask(
    app: &App,
    key: &Arc<VaultKey>,
    request: &Request,
    target: &Target,
    question: &Question<'_>,
    ticket: &Ticket,
) -> Result<Value, Refusal> {
    let vendor = request.vendor.clone();
    let binding = request.idempotency_key.clone().map(|key| Binding { vendor, key });
    let peeked =
        app.decide(Command::Peek(Box::new(Peek { key: Arc::clone(key), binding }))).await?;
    if peeked.reply != Reply::Peeked(true) {
        return Err(Refusal::CallInProgress);
    }
    let gate = Arc::new(Gate::new(peeked.before_commit, app.clock.clone()));
    ticket.sends(key.chain.clone(), Arc::clone(&gate));
    let answer = fetch(app, target, &question.path_and_query, gate).await;
    ticket.undecided();
    answer
}

async fn fetch(
    app: &App,
    target: &Target,
    path_and_query: &str,
    gate: Arc<Gate>,
) -> Result<Value, Refusal> {
    let asked = vendor_request::build(
        &target.vendor,
        &Method::GET,
        path_and_query,
        &target.headers,
        vendor_request::Content::None,
        gate,
    )?;
    let sent = Instant::now();
    let answer = app.upstream.send(asked, app.vendor_timeout).await;
    let answer = answer.map_err(|_| Refusal::VendorUnreachable)?;
    let status = answer.status().as_u16();
    if target.vendor.definition.outcome.secret_refused.contains(&status) {
        return Err(Refusal::VendorRefusedSecret);
    }
    if status == 404 {
        return Err(Refusal::InvalidRequest {
            why: "the vendor does not know the object that this call is about".to_owned(),
        });
    }
    let left = app.vendor_timeout.saturating_sub(sent.elapsed());
    let body = read_whole(answer.into_body(), MAX_ANSWER, left).await;
    let body =
        body.ok().filter(|_| status == 200).and_then(|body| serde_json::from_slice(&body).ok());
    body.ok_or(Refusal::VendorUnreachable)
}
