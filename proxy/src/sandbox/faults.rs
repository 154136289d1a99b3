//! What may go wrong between a caller and a vendor, at rates that tests choose.
//!
//! "Request lost" and "answer lost" look alike to the caller and differ in the money: only the
//! second one was executed. At most one fault strikes a request.

use rand::Rng;
use serde::Deserialize;

const MILLION: u32 = 1_000_000;

/// Rates in parts per million of the calls that may cost money, at whichever vendor: all POSTs, and
/// Twilio's look-ups. Their sum is at most a million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The connection closes and nothing was processed.
    pub request_lost: u32,
    /// Processed, and then the connection closes without a byte of the answer.
    pub answer_lost: u32,
    /// Processed with success, but a 500 is answered. Stripe keeps it under the idempotency key.
    pub error_after_charge: u32,
    /// 429: not processed and not kept.
    pub rate_limited: u32,
    /// The card is declined: processed as a decline and kept. Strikes only calls
    /// that charge a card.
    pub declined: u32,
    /// 500: not processed. Stripe keeps it under the idempotency key.
    pub server_error_before: u32,
    /// Processed, and then the answer waits for `answer_delay_ms`.
    pub answer_delayed: u32,
    /// How long a delayed answer waits, in milliseconds. Not a rate.
    pub answer_delay_ms: u64,
}

/// The rates of the faults add up to more than a million parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rates of the faults add up to more than 1000000 parts per million")]
pub struct RatesTooHigh;

/// The fault that strikes one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    RequestLost,
    AnswerLost,
    ErrorAfterCharge,
    RateLimited,
    Declined,
    ServerErrorBefore,
    AnswerDelayed,
}

impl Fault {
    pub(super) const ALL: [Self; 7] = [
        Self::RequestLost,
        Self::AnswerLost,
        Self::ErrorAfterCharge,
        Self::RateLimited,
        Self::Declined,
        Self::ServerErrorBefore,
        Self::AnswerDelayed,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RequestLost => "request_lost",
            Self::AnswerLost => "answer_lost",
            Self::ErrorAfterCharge => "error_after_charge",
            Self::RateLimited => "rate_limited",
            Self::Declined => "declined",
            Self::ServerErrorBefore => "server_error_before",
            Self::AnswerDelayed => "answer_delayed",
        }
    }
}

/// What was drawn for one request, and whether it came to it.
#[derive(Debug)]
pub(super) struct Fate {
    drawn: Option<Fault>,
    struck: bool,
}

impl Fate {
    pub(super) fn of(drawn: Option<Fault>) -> Self {
        Self { drawn, struck: false }
    }

    /// Whether this fault was drawn; it need not come to it.
    pub(super) fn threatens(&self, fault: Fault) -> bool {
        self.drawn == Some(fault)
    }

    /// Whether this fault strikes, here and now.
    pub(super) fn strikes(&mut self, fault: Fault) -> bool {
        let strikes = self.threatens(fault);
        self.struck |= strikes;
        strikes
    }

    pub(super) fn struck(&self) -> Option<Fault> {
        self.drawn.filter(|_| self.struck)
    }
}

impl Faults {
    /// These rates, if they can be drawn from.
    pub(super) fn checked(self) -> Result<Self, RatesTooHigh> {
        let sum: u64 = Fault::ALL.iter().map(|f| u64::from(self.rate(*f))).sum();
        if sum <= u64::from(MILLION) { Ok(self) } else { Err(RatesTooHigh) }
    }

    /// The fault of the next request, if any. Always takes one draw, so that a seed gives the same
    /// fates to the same requests whatever the rates were before.
    pub(super) fn draw(&self, random: &mut impl Rng) -> Option<Fault> {
        let mut left = random.random_range(0..MILLION);
        for fault in Fault::ALL {
            let rate = self.rate(fault);
            if left < rate {
                return Some(fault);
            }
            left = left.saturating_sub(rate);
        }
        None
    }

    fn rate(&self, fault: Fault) -> u32 {
        match fault {
            Fault::RequestLost => self.request_lost,
            Fault::AnswerLost => self.answer_lost,
            Fault::ErrorAfterCharge => self.error_after_charge,
            Fault::RateLimited => self.rate_limited,
            Fault::Declined => self.declined,
            Fault::ServerErrorBefore => self.server_error_before,
            Fault::AnswerDelayed => self.answer_delayed,
        }
    }
}
