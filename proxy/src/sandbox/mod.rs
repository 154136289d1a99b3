//! Strict, stateful fakes of Stripe, Twilio and Resend. Never a real vendor.
//!
//! They exist to be counted: whatever a caller believes that it sent, [`Sandbox::executed`] says what
//! was executed, and how much money that committed. A test of a spending cap compares with that.
//!
//! One server plays all of them, each at the paths that it has itself: Stripe at `/v1/`, Twilio at
//! `/2010-04-01/`, `/v2/Services/` and `/v2/PhoneNumbers/`, Resend at `/emails` and `/domains`. Each
//! vendor's folder says what of it is imitated and what is not. What they share is here: the clock,
//! the listener, losses and failures at chosen rates (see [`Faults`]), answers that are held, and the
//! counting.

mod control;
mod engine;
mod executed;
mod faults;
mod idempotency;
mod ids;
mod journal;
mod millis;
mod resend;
mod server;
mod stripe;
mod table;
#[cfg(test)]
mod tests;
mod twilio;

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use keybrake_core::time::Timestamp;
use tokio::{net::TcpListener, sync::watch};

pub use self::{
    executed::{
        Executed, Execution, ResendExecuted, ResendExecution, TwilioExecuted, TwilioExecution,
        TwilioKind,
    },
    faults::{Faults, RatesTooHigh},
    journal::{Requests, SeenRequest},
    resend::ResendSettings,
    twilio::TwilioSettings,
};
use crate::outside::Clock;

/// How a sandbox behaves from its start, and again from each reset.
#[derive(Clone)]
pub struct Settings {
    /// The one key that Stripe accepts.
    pub secret: String,
    /// How long an idempotency key is remembered.
    pub idempotency_window: Duration,
    /// How long after its creation an object of Stripe's is found by search.
    pub search_delay: Duration,
    /// How long after it happened an event of Stripe's is listed.
    pub events_delay: Duration,
    /// How long a call runs before it takes effect; its idempotency key is taken all the while.
    pub latency: Duration,
    /// What goes wrong. Rates that add up to more than a million leave no call untouched.
    pub faults: Faults,
    /// Makes faults and ids repeatable.
    pub seed: Option<u64>,
    /// What is Twilio's own.
    pub twilio: TwilioSettings,
    /// What is Resend's own.
    pub resend: ResendSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            secret: "sk_test_sandbox".to_owned(),
            idempotency_window: Duration::from_hours(24),
            search_delay: Duration::from_secs(2),
            events_delay: Duration::ZERO,
            latency: Duration::ZERO,
            faults: Faults::default(),
            seed: None,
            twilio: TwilioSettings::default(),
            resend: ResendSettings::default(),
        }
    }
}

/// The fake vendors; clones share one state.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    initial: Settings,
    state: Mutex<engine::State>,
    latency: watch::Sender<Duration>,
    hold: watch::Sender<bool>,
    held: AtomicUsize,
}

impl Sandbox {
    /// A sandbox that knows nothing yet.
    #[must_use]
    pub fn new(settings: Settings, clock: Clock) -> Self {
        Self {
            shared: Arc::new(Shared {
                clock,
                state: Mutex::new(engine::State::new(&settings, 0)),
                latency: watch::Sender::new(settings.latency),
                hold: watch::Sender::new(false),
                held: AtomicUsize::new(0),
                initial: settings,
            }),
        }
    }

    /// The vendors' endpoints and the control endpoints.
    ///
    /// A lost answer is a body that fails at once: hyper closes an HTTP/1.1 connection before it
    /// has written a byte. A server that flushes heads early would show the head.
    pub fn router(&self) -> axum::Router {
        control::router(self.clone())
    }

    /// Serves HTTP/1.1 on the listener until `stop`, and then cuts all connections.
    ///
    /// # Errors
    /// None so far; connections that fail end alone.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        server::serve(self, listener, stop).await
    }

    /// What was executed, and the money that it committed.
    #[must_use]
    pub fn executed(&self) -> Executed {
        let state = self.lock();
        Executed {
            twilio: state.twilio.executed(self.now()),
            resend: state.resend.executed(),
            ..state.stripe.executed()
        }
    }

    /// What arrived.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.lock().journal.requests()
    }

    /// Sets what goes wrong from now on.
    ///
    /// # Errors
    /// Where the rates add up to more than a million; nothing changes then.
    pub fn set_faults(&self, faults: Faults) -> Result<(), RatesTooHigh> {
        self.lock().faults = faults.checked()?;
        Ok(())
    }

    /// Moves the sandbox's clock, and all clones of it.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
    }

    /// Sets how long calls run. Calls that are running take effect at once.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.latency.send_replace(latency);
    }

    /// Rolls Stripe's key: the old one is refused from now on.
    pub fn set_secret(&self, secret: String) {
        self.lock().stripe.secret = secret;
    }

    /// How Twilio behaves now.
    #[must_use]
    pub fn twilio(&self) -> TwilioSettings {
        self.lock().twilio.settings.clone()
    }

    /// Sets how Twilio behaves from now on. What exists keeps its price, and shows it after the new
    /// delay.
    pub fn set_twilio(&self, settings: TwilioSettings) {
        self.lock().twilio.settings = settings;
    }

    /// How Resend behaves now.
    #[must_use]
    pub fn resend(&self) -> ResendSettings {
        self.lock().resend.settings.clone()
    }

    /// Sets how Resend behaves from now on.
    pub fn set_resend(&self, settings: ResendSettings) {
        self.lock().resend.settings = settings;
    }

    /// Forgets everything and returns to the first settings; held answers are let go. The clock
    /// stays where it is. Calls that are running end without effect and without an answer.
    pub fn reset(&self) {
        let mut state = self.lock();
        *state = state.anew(&self.shared.initial);
        drop(state);
        self.shared.latency.send_replace(self.shared.initial.latency);
        self.shared.hold.send_replace(false);
    }

    /// Whether answers to calls that may cost money, and that were executed or replayed, wait from now
    /// on.
    pub fn hold(&self, answers: bool) {
        self.shared.hold.send_replace(answers);
    }

    /// How many answers wait, on connections that are still open.
    #[must_use]
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, engine::State> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    fn latency(&self) -> Duration {
        *self.shared.latency.borrow()
    }

    /// Ends after the latency, or as soon as it is changed.
    async fn wait_latency(&self) {
        let mut changes = self.shared.latency.subscribe();
        let latency = *changes.borrow_and_update();
        tokio::select! {
            () = tokio::time::sleep(latency) => {}
            // The sender lives as long as the sandbox: this ends only with a change.
            _ = changes.changed() => {}
        }
    }

    /// Ends once answers are let go. Dropped with its connection, it is no longer counted.
    async fn while_held(&self) {
        let mut hold = self.shared.hold.subscribe();
        if !*hold.borrow_and_update() {
            return;
        }
        let counted = Counted::new(&self.shared.held);
        drop(hold.wait_for(|held| !held).await);
        drop(counted);
    }
}

/// One answer that waits.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
