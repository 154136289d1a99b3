//! What happens to a request, in two steps under one lock each: it is admitted, and it is executed.
//!
//! Between the two lies the vendor's latency, in which the request's idempotency key is taken.

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{Method, StatusCode},
};
use keybrake_core::time::Timestamp;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::{
    Settings, auth, balance, charges, customers,
    errors::{self, ApiError},
    faults::{Fault, Faults},
    idempotency::{Claim, Keys, MAX_KEY_CHARS, Saved},
    intent_calls, intents,
    journal::Journal,
    params::Params,
    refunds,
    routes::{self, Op},
    search,
    server::Seen,
    world::{Call, Ids, Origin, World},
};

/// The vendor's whole state.
pub(super) struct State {
    pub(super) secret: String,
    pub(super) faults: Faults,
    search_delay: Duration,
    events_delay: Duration,
    /// Counts resets: a call that began before one does not end after it.
    generation: u64,
    dice: ChaCha8Rng,
    keys: Keys,
    pub(super) world: World,
    pub(super) journal: Journal,
}

/// A request that may be executed.
pub(super) struct Ticket {
    op: Op,
    id: String,
    params: Params,
    pub(super) origin: Origin,
    fault: Option<Fault>,
    generation: u64,
}

/// An answer, before it is put into HTTP.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    pub(super) request_id: String,
    pub(super) key: Option<String>,
    /// The request whose execution this answers; not for refusals.
    pub(super) original: Option<String>,
    pub(super) replayed: bool,
    pub(super) delay: Duration,
}

pub(super) enum Step {
    /// The connection closes without an answer.
    Lost,
    Answered(Reply),
    Run(Box<Ticket>),
}

impl State {
    pub(super) fn new(settings: &Settings, generation: u64) -> Self {
        let seeded = |stream| {
            let mut random = match settings.seed {
                Some(seed) => ChaCha8Rng::seed_from_u64(seed),
                None => ChaCha8Rng::from_seed(crate::outside::random()),
            };
            random.set_stream(stream);
            random
        };
        Self {
            secret: settings.secret.clone(),
            faults: settings.faults,
            search_delay: settings.search_delay,
            events_delay: settings.events_delay,
            generation,
            dice: seeded(0),
            keys: Keys::new(settings.idempotency_window),
            world: World::new(Ids(seeded(1))),
            journal: Journal::default(),
        }
    }

    /// The state that a reset leaves.
    pub(super) fn anew(&self, settings: &Settings) -> Self {
        Self::new(settings, self.generation.saturating_add(1))
    }

    /// Decides about a request as far as that is possible without executing it.
    pub(super) fn admit(&mut self, seen: &Seen, now: Timestamp) -> Step {
        let route = routes::find(&seen.method, seen.path());
        self.journal.received(route.map(|(op, _)| op.endpoint()), seen);
        let is_call = seen.method == Method::POST && seen.path().starts_with("/v1/");
        let fault = if is_call { self.faults.draw(&mut self.dice) } else { None };
        if fault == Some(Fault::RequestLost) {
            self.journal.struck(Fault::RequestLost);
            return Step::Lost;
        }
        let mut origin = Origin { request_id: self.world.ids.next("req_"), key: None };
        match self.gate(seen, route, fault, now, &mut origin) {
            Ok(Gate::Pass { op, id, params }) => Step::Run(Box::new(Ticket {
                op,
                id: id.to_owned(),
                params,
                origin,
                fault,
                generation: self.generation,
            })),
            Ok(Gate::Replay(saved)) => {
                self.journal.replayed = self.journal.replayed.saturating_add(1);
                let mut reply = reply(saved.status, saved.body, origin);
                reply.original = Some(saved.request_id);
                reply.replayed = true;
                self.send(reply, fault)
            }
            Err(error) => self.send(reply(error.status, encode(&error.body()), origin), fault),
        }
    }

    fn gate<'a>(
        &mut self,
        seen: &'a Seen,
        route: Option<(Op, &'a str)>,
        fault: Option<Fault>,
        now: Timestamp,
        origin: &mut Origin,
    ) -> Result<Gate<'a>, ApiError> {
        auth::check(&seen.headers, &self.secret)?;
        if fault == Some(Fault::RateLimited) {
            self.journal.struck(Fault::RateLimited);
            return Err(errors::rate_limited());
        }
        let Some((op, id)) = route else {
            return Err(errors::unrecognized_url(seen.method.as_str(), seen.path()));
        };
        if seen.method != Method::POST {
            let params = Params::parse(seen.query().as_bytes(), b"")?;
            return Ok(Gate::Pass { op, id, params });
        }
        origin.key = key(seen)?;
        seen.check_form()?;
        let params = Params::parse(seen.query().as_bytes(), &seen.body)?;
        let saved = match &origin.key {
            Some(key) => self.keys.take(&Claim {
                key,
                path: seen.path(),
                fingerprint: params.fingerprint(),
                now,
            })?,
            None => None,
        };
        Ok(match saved {
            Some(saved) => Gate::Replay(saved),
            None => Gate::Pass { op, id, params },
        })
    }

    /// Executes an admitted request, and keeps its answer under its key.
    pub(super) fn finish(&mut self, ticket: Ticket, now: Timestamp) -> Step {
        if self.generation != ticket.generation {
            return Step::Lost;
        }
        let result = self.execute(&ticket, now);
        let (status, body, begun) = match result {
            Ok(object) => (StatusCode::OK, encode(&object), true),
            Err(error) => (error.status, encode(&error.body()), error.begun),
        };
        let mut reply = reply(status, body, ticket.origin);
        if let Some(key) = &reply.key {
            if begun {
                self.keys.save(
                    key,
                    Saved {
                        status,
                        body: reply.body.clone(),
                        request_id: reply.request_id.clone(),
                    },
                );
            } else {
                self.keys.release(key);
            }
        }
        if begun {
            reply.original = Some(reply.request_id.clone());
        }
        self.send(reply, ticket.fault)
    }

    fn execute(&mut self, ticket: &Ticket, now: Timestamp) -> Result<Value, ApiError> {
        if ticket.fault == Some(Fault::ServerErrorBefore) {
            self.journal.struck(Fault::ServerErrorBefore);
            return Err(errors::server_error());
        }
        ticket.op.check(&ticket.params)?;
        let decline = ticket.fault == Some(Fault::Declined);
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
            self.journal.struck(Fault::Declined);
        }
        if result.is_ok() && ticket.fault == Some(Fault::ErrorAfterCharge) {
            self.journal.struck(Fault::ErrorAfterCharge);
            return Err(errors::server_error());
        }
        result
    }

    /// Sends the answer, unless a fault keeps it.
    fn send(&mut self, mut reply: Reply, fault: Option<Fault>) -> Step {
        match fault {
            Some(Fault::AnswerLost) => {
                self.journal.struck(Fault::AnswerLost);
                return Step::Lost;
            }
            Some(Fault::AnswerDelayed) => {
                self.journal.struck(Fault::AnswerDelayed);
                reply.delay = Duration::from_millis(self.faults.answer_delay_ms);
            }
            Some(
                Fault::RequestLost
                | Fault::ErrorAfterCharge
                | Fault::RateLimited
                | Fault::Declined
                | Fault::ServerErrorBefore,
            )
            | None => {}
        }
        Step::Answered(reply)
    }
}

enum Gate<'a> {
    Pass { op: Op, id: &'a str, params: Params },
    Replay(Saved),
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
        Op::SearchCharges => search::run(
            &call.world.charges,
            params,
            now,
            search_delay,
            super::world::Record::render,
        ),
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

fn reply(status: StatusCode, body: Bytes, origin: Origin) -> Reply {
    Reply {
        status,
        body,
        request_id: origin.request_id,
        key: origin.key,
        original: None,
        replayed: false,
        delay: Duration::ZERO,
    }
}

fn encode(value: &Value) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
