//! A request to Resend: who asks, under which idempotency key, and what it does.

use axum::{
    body::Bytes,
    http::{HeaderValue, Method, StatusCode, header::AUTHORIZATION},
};
use keybrake_core::time::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    errors::{self, ApiError},
    mails::{self, Mail},
    routes::{self, Op},
    settings::ResendSettings,
};
use crate::sandbox::{
    Settings,
    engine::{Admitted, Reply, Vendor, encode},
    executed::{ResendExecuted, ResendExecution},
    faults::{Fate, Fault},
    idempotency::{Claim, Keys, Taken},
    ids::Ids,
    server::Seen,
    table::Table,
};

const MAX_KEY_CHARS: usize = 256;

/// Resend's state.
pub(in crate::sandbox) struct Resend {
    pub(in crate::sandbox) settings: ResendSettings,
    pub(super) ids: Ids,
    pub(super) mails: Table<Mail>,
    keys: Keys<Bytes>,
    executed: Vec<ResendExecution>,
}

/// A request that may be executed.
pub(in crate::sandbox) struct Ticket {
    pub(super) op: Op,
    pub(super) id: String,
    pub(super) query: String,
    /// `null` where there is none.
    pub(super) body: Value,
    pub(super) key: Option<String>,
    /// Whether the wrong mails of a batch leave the others alone.
    pub(super) permissive: bool,
}

enum Gate {
    Pass(Ticket),
    Replay(Bytes),
}

impl Vendor for Resend {
    type Ticket = Ticket;

    fn endpoint(method: &Method, path: &str) -> Option<&'static str> {
        routes::find(method, path).ok().map(|(op, _)| op.endpoint())
    }

    fn may_cost(method: &Method, _: &str) -> bool {
        *method == Method::POST
    }

    fn admit(&mut self, seen: &Seen, now: Timestamp, fate: &mut Fate) -> Admitted<Ticket> {
        match self.gate(seen, now, fate) {
            Ok(Gate::Pass(ticket)) => Admitted::Run(ticket),
            Ok(Gate::Replay(body)) => Admitted::Replayed(reply(StatusCode::OK, body)),
            Err(error) => Admitted::Refused(refusal(&error)),
        }
    }

    fn execute(&mut self, ticket: Ticket, now: Timestamp, fate: &mut Fate) -> Reply {
        let done = self.run(&ticket, now, fate).map(|body| encode(&body));
        if let Some(key) = &ticket.key {
            match &done {
                Ok(body) => self.keys.save(key, body.clone()),
                Err(_) => self.keys.release(key),
            }
        }
        match done {
            // It stays under its key all the same.
            Ok(_) if fate.strikes(Fault::ErrorAfterCharge) => refusal(&errors::server_error()),
            Ok(body) => reply(StatusCode::OK, body).executed(),
            Err(error) => refusal(&error),
        }
    }
}

impl Resend {
    pub(in crate::sandbox) fn new(settings: &Settings, ids: Ids) -> Self {
        Self {
            settings: settings.resend.clone(),
            ids,
            mails: Table::default(),
            keys: Keys::new(settings.idempotency_window),
            executed: Vec::new(),
        }
    }

    pub(super) fn record(&mut self, execution: ResendExecution) {
        self.executed.push(execution);
    }

    pub(in crate::sandbox) fn executed(&self) -> ResendExecuted {
        let mut all = ResendExecuted { data: self.executed.clone(), ..ResendExecuted::default() };
        for one in &self.executed {
            all.mails = all.mails.saturating_add(1);
            all.recipients = all.recipients.saturating_add(one.recipients);
        }
        all
    }

    fn gate(&mut self, seen: &Seen, now: Timestamp, fate: &mut Fate) -> Result<Gate, ApiError> {
        self.check_key(seen)?;
        if fate.strikes(Fault::RateLimited) {
            return Err(errors::rate_limited());
        }
        let (op, id) = routes::find(&seen.method, seen.path())?;
        if !op.is_read() && !seen.query().is_empty() {
            return Err(errors::invalid("A write takes its parameters from the body"));
        }
        let key = if op.takes_keys() { key(seen)? } else { None };
        let permissive = match seen.headers.get("x-batch-validation").map(HeaderValue::as_bytes) {
            None | Some(b"strict") => false,
            Some(b"permissive") => true,
            Some(_) => return Err(errors::invalid("`x-batch-validation` is strict or permissive")),
        };
        let (id, query) = (id.to_owned(), seen.query().to_owned());
        let body = body(seen)?;
        let ticket = Ticket { op, id, query, body, key, permissive };
        let Some(key) = &ticket.key else {
            return Ok(Gate::Pass(ticket));
        };
        let fingerprint = Sha256::digest(encode(&ticket.body)).into();
        match self.keys.take(&Claim { key, path: seen.path(), fingerprint, now }) {
            Taken::Free => Ok(Gate::Pass(ticket)),
            Taken::Answered(body) => Ok(Gate::Replay(body)),
            Taken::Running => Err(errors::key_in_use()),
            Taken::OtherPath(_) | Taken::OtherRequest => Err(errors::key_of_other_request()),
        }
    }

    fn check_key(&self, seen: &Seen) -> Result<(), ApiError> {
        let value = seen.headers.get(AUTHORIZATION).ok_or_else(errors::missing_key)?;
        let given = value.to_str().ok().and_then(|value| value.split_once(' '));
        match given {
            Some((scheme, key))
                if scheme.eq_ignore_ascii_case("bearer") && key == self.settings.api_key =>
            {
                Ok(())
            }
            Some(_) | None => Err(errors::invalid_key()),
        }
    }

    fn run(&mut self, ticket: &Ticket, now: Timestamp, fate: &mut Fate) -> Result<Value, ApiError> {
        if fate.strikes(Fault::ServerErrorBefore) {
            return Err(errors::server_error());
        }
        match ticket.op {
            Op::Send => mails::send(self, ticket, now),
            Op::SendBatch => mails::send_batch(self, ticket, now),
            Op::List => mails::list(self, ticket, now),
            Op::Get => mails::one(self, ticket, now),
            Op::Update => mails::update(self, ticket, now),
            Op::Cancel => mails::cancel(self, ticket, now),
            Op::ListDomains => mails::domains(self, ticket),
        }
    }
}

fn key(seen: &Seen) -> Result<Option<String>, ApiError> {
    let mut values = seen.headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value.to_str().ok().filter(|key| (1..=MAX_KEY_CHARS).contains(&key.chars().count()));
    match (key, values.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        _ => Err(errors::invalid_idempotency_key()),
    }
}

fn body(seen: &Seen) -> Result<Value, ApiError> {
    if seen.body.is_empty() {
        return Ok(Value::Null);
    }
    if !seen.has_type("application/json") {
        return Err(errors::invalid("Content-Type must be application/json"));
    }
    serde_json::from_slice(&seen.body).map_err(|_| errors::invalid("The body is not JSON"))
}

fn refusal(error: &ApiError) -> Reply {
    let reply = reply(error.status, encode(&error.body()));
    if error.status == StatusCode::TOO_MANY_REQUESTS {
        return reply.header("retry-after", "1").header("ratelimit-remaining", "0");
    }
    reply
}

fn reply(status: StatusCode, body: Bytes) -> Reply {
    Reply::new(status, body)
        .header("ratelimit-limit", "10")
        .header("ratelimit-remaining", "9")
        .header("ratelimit-reset", "1")
}
