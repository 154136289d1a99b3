//! A request to Stripe: who asks, under which idempotency key, and what it does.

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderName, HeaderValue, Method, StatusCode},
};
use keybrake_core::time::Timestamp;
use serde_json::Value;

use super::{
    auth, balance, charges, customers,
    errors::{self, ApiError},
    intent_calls, intents,
    params::Params,
    refunds,
    routes::{self, Op},
    search,
    world::{Call, Ids, Origin, Record, World},
};
use crate::sandbox::{
    Settings,
    engine::{Admitted, Reply, Vendor, encode},
    faults::{Fate, Fault},
    idempotency::{Claim, Keys, Taken},
    server::Seen,
};

/// The version that answers carry where the request names none.
pub(super) const API_VERSION: &str = "2026-10-28.endive";
const MAX_KEY_CHARS: usize = 255;

/// Stripe's state.
pub(in crate::sandbox) struct Stripe {
    pub(in crate::sandbox) secret: String,
    search_delay: Duration,
    events_delay: Duration,
    keys: Keys<Saved>,
    world: World,
}

/// A request that may be executed.
pub(in crate::sandbox) struct Ticket {
    op: Op,
    id: String,
    params: Params,
    origin: Origin,
    version: Option<HeaderValue>,
}

/// An answer to send, or to send again.
#[derive(Clone)]
struct Saved {
    status: StatusCode,
    body: Bytes,
    /// The request that was executed.
    request_id: String,
}

enum Gate<'a> {
    Pass { op: Op, id: &'a str, params: Params },
    Replay(Saved),
}

impl Vendor for Stripe {
    type Ticket = Ticket;

    fn endpoint(method: &Method, path: &str) -> Option<&'static str> {
        routes::find(method, path).map(|(op, _)| op.endpoint())
    }

    fn may_cost(method: &Method, path: &str) -> bool {
        *method == Method::POST && path.starts_with("/v1/")
    }

    fn admit(&mut self, seen: &Seen, now: Timestamp, fate: &mut Fate) -> Admitted<Ticket> {
        let mut origin = Origin { request_id: self.world.ids.next("req_"), key: None };
        let version = seen.headers.get("stripe-version").cloned();
        match self.gate(seen, now, fate, &mut origin) {
            Ok(Gate::Pass { op, id, params }) => {
                Admitted::Run(Ticket { op, id: id.to_owned(), params, origin, version })
            }
            Ok(Gate::Replay(saved)) => {
                let Saved { status, body, request_id } = saved;
                let reply = reply(status, body, &origin, version, Some(&request_id));
                Admitted::Replayed(reply.header("idempotent-replayed", "true"))
            }
            Err(error) => Admitted::Refused(reply(
                error.status,
                encode(&error.body()),
                &origin,
                version,
                None,
            )),
        }
    }

    /// Executes an admitted request, and keeps its answer under its key.
    fn execute(&mut self, ticket: Ticket, now: Timestamp, fate: &mut Fate) -> Reply {
        let result = self.run(&ticket, now, fate);
        let (status, body, begun) = match result {
            Ok(object) => (StatusCode::OK, encode(&object), true),
            Err(error) => (error.status, encode(&error.body()), error.begun),
        };
        let Ticket { origin, version, .. } = ticket;
        if let Some(key) = &origin.key {
            if begun {
                let request_id = origin.request_id.clone();
                self.keys.save(key, Saved { status, body: body.clone(), request_id });
            } else {
                self.keys.release(key);
            }
        }
        let original = begun.then_some(origin.request_id.as_str());
        reply(status, body, &origin, version, original)
    }
}

impl Stripe {
    pub(in crate::sandbox) fn new(settings: &Settings, ids: Ids) -> Self {
        Self {
            secret: settings.secret.clone(),
            search_delay: settings.search_delay,
            events_delay: settings.events_delay,
            keys: Keys::new(settings.idempotency_window),
            world: World::new(ids),
        }
    }

    pub(in crate::sandbox) fn executed(&self) -> crate::sandbox::Executed {
        self.world.ledger.executed()
    }

    fn gate<'a>(
        &mut self,
        seen: &'a Seen,
        now: Timestamp,
        fate: &mut Fate,
        origin: &mut Origin,
    ) -> Result<Gate<'a>, ApiError> {
        auth::check(&seen.headers, &self.secret)?;
        if fate.strikes(Fault::RateLimited) {
            return Err(errors::rate_limited());
        }
        let Some((op, id)) = routes::find(&seen.method, seen.path()) else {
            return Err(errors::unrecognized_url(seen.method.as_str(), seen.path()));
        };
        if seen.method != Method::POST {
            let params = Params::parse(seen.query().as_bytes(), b"")?;
            return Ok(Gate::Pass { op, id, params });
        }
        origin.key = key(seen)?;
        if !seen.is_form() {
            return Err(errors::not_a_form());
        }
        let params = Params::parse(seen.query().as_bytes(), &seen.body)?;
        let Some(key) = &origin.key else {
            return Ok(Gate::Pass { op, id, params });
        };
        let (path, fingerprint) = (seen.path(), params.fingerprint());
        match self.keys.take(&Claim { key, path, fingerprint, now }) {
            Taken::Free => Ok(Gate::Pass { op, id, params }),
            Taken::Answered(saved) => Ok(Gate::Replay(saved)),
            Taken::Running => Err(errors::key_in_use()),
            Taken::OtherPath(first) => Err(errors::key_of_other_endpoint(key, &first, path)),
            Taken::OtherRequest => Err(errors::key_of_other_parameters(key)),
        }
    }

    fn run(&mut self, ticket: &Ticket, now: Timestamp, fate: &mut Fate) -> Result<Value, ApiError> {
        if fate.strikes(Fault::ServerErrorBefore) {
            return Err(errors::server_error());
        }
        ticket.op.check(&ticket.params)?;
        let decline = fate.threatens(Fault::Declined);
        let (search_delay, events_delay) = (self.search_delay, self.events_delay);
        let mut call = Call {
            world: &mut self.world,
            op: ticket.op,
            params: &ticket.params,
            id: &ticket.id,
            now,
            origin: &ticket.origin,
            decline,
        };
        let result = dispatch(&mut call, search_delay, events_delay);
        if decline && !call.decline {
            fate.strikes(Fault::Declined);
        }
        if result.is_ok() && fate.strikes(Fault::ErrorAfterCharge) {
            return Err(errors::server_error());
        }
        result
    }
}

fn dispatch(
    call: &mut Call<'_>,
    search_delay: Duration,
    events_delay: Duration,
) -> Result<Value, ApiError> {
    let (params, id, now) = (call.params, call.id, call.now);
    match call.op {
        Op::CreateCustomer => customers::create(call),
        Op::ListCustomers => customers::list(call.world, params),
        Op::GetCustomer => customers::one(call.world, id),
        Op::CreateIntent => intent_calls::create(call),
        Op::UpdateIntent => intent_calls::update(call),
        Op::ConfirmIntent => intent_calls::confirm(call),
        Op::CaptureIntent => intent_calls::capture(call),
        Op::CancelIntent => intent_calls::cancel(call),
        Op::ListIntents => intents::list(call.world, params),
        Op::GetIntent => intents::one(call.world, id, params),
        Op::SearchIntents => intents::search(call.world, params, now, search_delay),
        Op::CreateCharge => charges::create(call),
        Op::CaptureCharge => charges::capture(call),
        Op::ListCharges => charges::list(call.world, params),
        Op::GetCharge => charges::one(call.world, id),
        Op::SearchCharges => {
            search::run(&call.world.charges, params, now, search_delay, Record::render)
        }
        Op::CreateRefund => refunds::create(call),
        Op::ListRefunds => refunds::list(call.world, params),
        Op::GetRefund => refunds::one(call.world, id),
        Op::ListEvents => call.world.events.list(params, now, events_delay),
        Op::GetEvent => call.world.events.one(id, now, events_delay),
        Op::GetBalance => Ok(balance::render(call.world)),
    }
}

fn key(seen: &Seen) -> Result<Option<String>, ApiError> {
    let mut values = seen.headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let wrong = |why: &str| ApiError::invalid(format!("Invalid Idempotency-Key: {why}"));
    if values.next().is_some() {
        return Err(wrong("it was given more than once"));
    }
    let key = value.to_str().map_err(|_| wrong("it is not text"))?;
    if key.is_empty() {
        return Err(wrong("it is empty"));
    }
    if key.chars().count() > MAX_KEY_CHARS {
        return Err(wrong("it has more than 255 characters"));
    }
    Ok(Some(key.to_owned()))
}

fn reply(
    status: StatusCode,
    body: Bytes,
    origin: &Origin,
    version: Option<HeaderValue>,
    original: Option<&str>,
) -> Reply {
    let mut reply = Reply::new(status, body).header("request-id", &origin.request_id);
    let version = version.unwrap_or(HeaderValue::from_static(API_VERSION));
    reply.headers.insert(HeaderName::from_static("stripe-version"), version);
    if let Some(key) = &origin.key {
        reply = reply.header("idempotency-key", key);
        if let Some(original) = original {
            reply = reply.header("original-request", original);
        }
    }
    reply.executed = original.is_some();
    // Where Stripe itself does not know whether trying again helps, it says nothing.
    if !matches!(status, StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS) {
        reply = reply.header("stripe-should-retry", "false");
    }
    reply
}
