//! What happens to a request, in two steps under one lock each: it is admitted, and it is executed.
//!
//! Between the two lies the vendor's latency, in which the request's idempotency key is taken. What
//! goes wrong is drawn here, once for all vendors; what it means is each vendor's own.

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
};
use keybrake_core::time::Timestamp;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::{
    Settings,
    faults::{Fate, Fault, Faults},
    ids::Ids,
    journal::Journal,
    resend::{self, Resend},
    server::Seen,
    stripe::{self, Stripe},
    twilio::{self, Twilio},
};

/// A vendor's API, without what it shares with the others.
pub(super) trait Vendor {
    /// A request that may be executed.
    type Ticket;

    /// Method and path of the endpoint, with `{id}` for ids.
    fn endpoint(method: &Method, path: &str) -> Option<&'static str>;

    /// Whether the call may cost money: faults and holds leave the others alone.
    fn may_cost(method: &Method, path: &str) -> bool;

    /// Decides about a request as far as that is possible without executing it.
    fn admit(&mut self, seen: &Seen, now: Timestamp, fate: &mut Fate) -> Admitted<Self::Ticket>;

    /// Executes an admitted request.
    fn execute(&mut self, ticket: Self::Ticket, now: Timestamp, fate: &mut Fate) -> Reply;
}

pub(super) enum Admitted<T> {
    Refused(Reply),
    /// The answer of an earlier execution.
    Replayed(Reply),
    Run(T),
}

/// The vendors' whole state.
pub(super) struct State {
    pub(super) faults: Faults,
    /// Counts resets: a call that began before one does not end after it.
    generation: u64,
    dice: ChaCha8Rng,
    pub(super) stripe: Stripe,
    pub(super) twilio: Twilio,
    pub(super) resend: Resend,
    pub(super) journal: Journal,
}

/// A request that may be executed.
pub(super) struct Ticket {
    work: Work,
    fate: Fate,
    generation: u64,
}

enum Work {
    Stripe(stripe::Ticket),
    Twilio(twilio::Ticket),
    Resend(resend::Ticket),
}

/// An answer, before it is put into HTTP.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether it answers an execution, now or earlier; not for refusals.
    pub(super) executed: bool,
    pub(super) delay: Duration,
}

impl Reply {
    pub(super) fn new(status: StatusCode, body: Bytes) -> Self {
        Self { status, headers: HeaderMap::new(), body, executed: false, delay: Duration::ZERO }
    }

    /// Of an execution.
    pub(super) fn executed(mut self) -> Self {
        self.executed = true;
        self
    }

    /// Sets a header; one that can't be written is left out.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }
}

pub(super) enum Step {
    /// The connection closes without an answer.
    Lost,
    Answered(Reply),
    Run(Box<Ticket>),
}

/// Whose a path is.
#[derive(Clone, Copy)]
enum Whose {
    Stripe,
    Twilio,
    Resend,
}

/// Every path that is nobody's else is Stripe's, which answers that it does not know it.
fn whose(path: &str) -> Whose {
    if twilio::owns(path) {
        Whose::Twilio
    } else if resend::owns(path) {
        Whose::Resend
    } else {
        Whose::Stripe
    }
}

/// Whether the call may cost money.
pub(super) fn may_cost(method: &Method, path: &str) -> bool {
    match whose(path) {
        Whose::Stripe => Stripe::may_cost(method, path),
        Whose::Twilio => Twilio::may_cost(method, path),
        Whose::Resend => Resend::may_cost(method, path),
    }
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
            faults: settings.faults,
            generation,
            dice: seeded(0),
            stripe: Stripe::new(settings, Ids(seeded(1))),
            twilio: Twilio::new(settings.twilio.clone(), Ids(seeded(2))),
            resend: Resend::new(settings, Ids(seeded(3))),
            journal: Journal::default(),
        }
    }

    /// The state that a reset leaves.
    pub(super) fn anew(&self, settings: &Settings) -> Self {
        Self::new(settings, self.generation.saturating_add(1))
    }

    /// Decides about a request as far as that is possible without executing it.
    pub(super) fn admit(&mut self, seen: &Seen, now: Timestamp) -> Step {
        let whose = whose(seen.path());
        let (method, path) = (&seen.method, seen.path());
        let endpoint = match whose {
            Whose::Stripe => Stripe::endpoint(method, path),
            Whose::Twilio => Twilio::endpoint(method, path),
            Whose::Resend => Resend::endpoint(method, path),
        };
        self.journal.received(endpoint, seen);
        let drawn = if may_cost(method, path) { self.faults.draw(&mut self.dice) } else { None };
        let mut fate = Fate::of(drawn);
        if fate.strikes(Fault::RequestLost) {
            self.journal.struck(&fate);
            return Step::Lost;
        }
        let admitted = match whose {
            Whose::Stripe => work(self.stripe.admit(seen, now, &mut fate), Work::Stripe),
            Whose::Twilio => work(self.twilio.admit(seen, now, &mut fate), Work::Twilio),
            Whose::Resend => work(self.resend.admit(seen, now, &mut fate), Work::Resend),
        };
        match admitted {
            Admitted::Run(work) => {
                Step::Run(Box::new(Ticket { work, fate, generation: self.generation }))
            }
            Admitted::Replayed(reply) => {
                self.journal.replayed = self.journal.replayed.saturating_add(1);
                self.send(reply.executed(), fate)
            }
            Admitted::Refused(reply) => self.send(reply, fate),
        }
    }

    /// Executes an admitted request.
    pub(super) fn finish(&mut self, ticket: Ticket, now: Timestamp) -> Step {
        if self.generation != ticket.generation {
            return Step::Lost;
        }
        let mut fate = ticket.fate;
        let reply = match ticket.work {
            Work::Stripe(ticket) => self.stripe.execute(ticket, now, &mut fate),
            Work::Twilio(ticket) => self.twilio.execute(ticket, now, &mut fate),
            Work::Resend(ticket) => self.resend.execute(ticket, now, &mut fate),
        };
        self.send(reply, fate)
    }

    /// Sends the answer, unless a fault keeps it.
    fn send(&mut self, mut reply: Reply, mut fate: Fate) -> Step {
        let lost = fate.strikes(Fault::AnswerLost);
        if fate.strikes(Fault::AnswerDelayed) {
            reply.delay = Duration::from_millis(self.faults.answer_delay_ms);
        }
        self.journal.struck(&fate);
        if lost { Step::Lost } else { Step::Answered(reply) }
    }
}

fn work<T>(admitted: Admitted<T>, work: impl FnOnce(T) -> Work) -> Admitted<Work> {
    match admitted {
        Admitted::Run(ticket) => Admitted::Run(work(ticket)),
        Admitted::Replayed(reply) => Admitted::Replayed(reply),
        Admitted::Refused(reply) => Admitted::Refused(reply),
    }
}

pub(super) fn encode(value: &Value) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
