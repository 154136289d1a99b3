//! A request to Twilio: who asks, for which account, and what it does. Nothing is remembered of it
//! that would keep the same request from being executed again.

use axum::http::{HeaderMap, Method, StatusCode, header::AUTHORIZATION};
use base64::{Engine, prelude::BASE64_STANDARD};
use keybrake_core::time::Timestamp;
use serde_json::Value;

use super::{
    calls::{self, TelephoneCall},
    errors::{self, ApiError},
    form::Form,
    lookups,
    messages::{self, Message},
    routes::{self, Op},
    settings::TwilioSettings,
    verify::{self, Verification},
};
use crate::sandbox::{
    engine::{Admitted, Reply, Vendor, encode},
    executed::{TwilioExecuted, TwilioExecution, TwilioKind},
    faults::{Fate, Fault},
    ids::Ids,
    server::Seen,
    table::Table,
};

/// Twilio's state.
pub(in crate::sandbox) struct Twilio {
    pub(in crate::sandbox) settings: TwilioSettings,
    pub(super) ids: Ids,
    pub(super) messages: Table<Message>,
    pub(super) calls: Table<TelephoneCall>,
    pub(super) verifications: Table<Verification>,
    rows: Vec<Row>,
}

/// An execution, and since when its price is on its way.
struct Row {
    execution: TwilioExecution,
    ended: Option<Timestamp>,
}

/// A request that may be executed.
pub(in crate::sandbox) struct Ticket {
    pub(super) op: Op,
    pub(super) owner: String,
    pub(super) id: String,
    pub(super) path: String,
    pub(super) form: Form,
}

impl Vendor for Twilio {
    type Ticket = Ticket;

    fn endpoint(method: &Method, path: &str) -> Option<&'static str> {
        routes::find(method, path).ok().map(|route| route.op.endpoint())
    }

    fn may_cost(method: &Method, path: &str) -> bool {
        *method == Method::POST
            || routes::find(method, path).is_ok_and(|route| route.op == Op::Lookup)
    }

    fn admit(&mut self, seen: &Seen, _: Timestamp, fate: &mut Fate) -> Admitted<Ticket> {
        match self.gate(seen, fate) {
            Ok(ticket) => Admitted::Run(ticket),
            Err(error) => Admitted::Refused(self.refusal(&error)),
        }
    }

    fn execute(&mut self, ticket: Ticket, now: Timestamp, fate: &mut Fate) -> Reply {
        match self.run(&ticket, now, fate) {
            Ok((status, body)) => self.reply(status, &body).executed(),
            Err(error) => self.refusal(&error),
        }
    }
}

impl Twilio {
    pub(in crate::sandbox) fn new(settings: TwilioSettings, ids: Ids) -> Self {
        Self {
            settings,
            ids,
            messages: Table::default(),
            calls: Table::default(),
            verifications: Table::default(),
            rows: Vec::new(),
        }
    }

    /// Notes an execution. Its price shows some time after `ended`, or never.
    pub(super) fn record(&mut self, execution: TwilioExecution, ended: Option<Timestamp>) {
        self.rows.push(Row { execution, ended });
    }

    /// Whether the price of what ended then shows by now.
    pub(super) fn price_shows(&self, ended: Timestamp, now: Timestamp) -> bool {
        now > ended.after(self.settings.price_delay)
    }

    /// Whether what was made then is listed by now.
    pub(super) fn is_listed(&self, created: Timestamp, now: Timestamp) -> bool {
        created.after(self.settings.list_delay) <= now
    }

    pub(in crate::sandbox) fn executed(&self, now: Timestamp) -> TwilioExecuted {
        let mut all = TwilioExecuted::default();
        for Row { execution, ended } in &self.rows {
            let price_shown = ended.is_some_and(|ended| self.price_shows(ended, now));
            all.data.push(TwilioExecution { price_shown, ..execution.clone() });
            all.price_micro_usd = all.price_micro_usd.saturating_add(execution.price_micro_usd);
            let count = match execution.kind {
                TwilioKind::Message => {
                    all.segments = all.segments.saturating_add(execution.quantity);
                    &mut all.messages
                }
                TwilioKind::Call => &mut all.calls,
                TwilioKind::Verification => &mut all.verifications,
                TwilioKind::Lookup => &mut all.lookups,
                TwilioKind::VerificationCheck => continue,
            };
            *count = count.saturating_add(1);
        }
        all
    }

    fn gate(&self, seen: &Seen, fate: &mut Fate) -> Result<Ticket, ApiError> {
        if !self.knows(&seen.headers) {
            return Err(errors::unauthenticated());
        }
        if fate.strikes(Fault::RateLimited) {
            return Err(errors::too_many_requests());
        }
        let route = routes::find(&seen.method, seen.path())?;
        if route.op.is_of_account() && route.owner != self.settings.account_sid {
            return Err(errors::not_found(seen.path()));
        }
        let form = if seen.method == Method::POST {
            if !seen.query().is_empty() {
                return Err(errors::invalid("A POST takes its parameters from the body"));
            }
            if !seen.is_form() {
                return Err(errors::invalid("Content-Type must be a URL-encoded form")
                    .status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
            }
            Form::parse(&seen.body)
        } else {
            Form::parse(seen.query().as_bytes())
        };
        Ok(Ticket {
            op: route.op,
            owner: route.owner.to_owned(),
            id: route.id.to_owned(),
            path: seen.path().to_owned(),
            form,
        })
    }

    /// Whether the request carries the account and its token, as Basic authentication.
    fn knows(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, encoded)) = value.and_then(|value| value.split_once(' ')) else {
            return false;
        };
        let decoded = BASE64_STANDARD.decode(encoded.trim()).unwrap_or_default();
        let wanted = format!("{}:{}", self.settings.account_sid, self.settings.auth_token);
        scheme.eq_ignore_ascii_case("basic") && decoded == wanted.as_bytes()
    }

    fn run(
        &mut self,
        ticket: &Ticket,
        now: Timestamp,
        fate: &mut Fate,
    ) -> Result<(StatusCode, Value), ApiError> {
        if fate.strikes(Fault::ServerErrorBefore) {
            return Err(errors::server_error());
        }
        let (status, body) = match ticket.op {
            Op::CreateMessage => (StatusCode::CREATED, messages::create(self, ticket, now)?),
            Op::ListMessages => (StatusCode::OK, messages::list(self, ticket, now)?),
            Op::GetMessage => (StatusCode::OK, messages::one(self, ticket, now)?),
            Op::CreateCall => (StatusCode::CREATED, calls::create(self, ticket, now)?),
            Op::ListCalls => (StatusCode::OK, calls::list(self, ticket, now)?),
            Op::GetCall => (StatusCode::OK, calls::one(self, ticket, now)?),
            Op::CreateVerification => (StatusCode::CREATED, verify::create(self, ticket, now)?),
            Op::GetVerification => (StatusCode::OK, verify::one(self, ticket, now)?),
            Op::CheckVerification => (StatusCode::OK, verify::check(self, ticket, now)?),
            Op::Lookup => (StatusCode::OK, lookups::one(self, ticket, now)?),
        };
        if fate.strikes(Fault::ErrorAfterCharge) {
            return Err(errors::server_error());
        }
        Ok((status, body))
    }

    fn refusal(&mut self, error: &ApiError) -> Reply {
        self.reply(error.status, &error.body())
    }

    fn reply(&mut self, status: StatusCode, body: &Value) -> Reply {
        let request_id = self.ids.sid("RQ");
        Reply::new(status, encode(body)).header("twilio-request-id", &request_id)
    }
}
