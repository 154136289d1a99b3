//! What the vendors executed, as tests read it.

use std::collections::BTreeMap;

use serde::Serialize;

/// One execution of a Stripe call that changed something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Execution {
    /// Method and path, with `{id}` for ids.
    pub endpoint: String,
    /// The object that the call made or changed.
    pub object_id: String,
    /// The idempotency key it came with.
    pub idempotency_key: Option<String>,
    /// What the call asked for, in the currency's minor unit; not all of it need be committed.
    pub amount: u64,
    /// In lower case; empty where no money is involved.
    pub currency: String,
    /// The object's status right after the call.
    pub status: String,
    /// The object's metadata right after the call.
    pub metadata: BTreeMap<String, String>,
    /// How often calls under this key were executed by now: 1 unless the key expired in between.
    pub times_executed: u64,
    /// Seconds since the Unix epoch.
    pub at: i64,
}

/// All executions, in order, and the money they committed. Stripe's stand at the top.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Executed {
    /// One row per execution at Stripe, oldest first.
    pub data: Vec<Execution>,
    /// The money committed now at Stripe, by currency, in minor units.
    pub total_minor: BTreeMap<String, u64>,
    /// The most money that was ever committed at Stripe at one time.
    pub high_water_minor: BTreeMap<String, u64>,
    /// Stripe's keys under which more than one call was executed.
    pub duplicate_keys: Vec<String>,
    /// What Twilio executed.
    pub twilio: TwilioExecuted,
    /// What Resend executed.
    pub resend: ResendExecuted,
}

/// What one Twilio call was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TwilioKind {
    /// An SMS or MMS.
    Message,
    /// A telephone call.
    Call,
    /// A code that was sent.
    Verification,
    /// A right code that was checked: this is what Verify itself bills.
    VerificationCheck,
    /// A look-up of a number.
    Lookup,
}

/// One execution of a Twilio call that costs money, or that might have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TwilioExecution {
    /// What it was.
    pub kind: TwilioKind,
    /// The resource's `sid`; the number that was looked up, for look-ups.
    pub sid: String,
    /// Where it went.
    pub to: String,
    /// What is billed: segments, begun minutes, codes, checks, or fields looked up.
    pub quantity: u64,
    /// Its price in the end, in micro-dollars, also while the vendor does not say it yet.
    pub price_micro_usd: u64,
    /// Whether the resource shows its price by now. Verifications and look-ups never do.
    pub price_shown: bool,
    /// Seconds since the Unix epoch.
    pub at: i64,
}

/// What Twilio executed, and its price.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TwilioExecuted {
    /// One row per execution, oldest first. Twilio has no idempotency: twins are two rows.
    pub data: Vec<TwilioExecution>,
    /// Messages sent.
    pub messages: u64,
    /// Segments of all messages.
    pub segments: u64,
    /// Telephone calls made.
    pub calls: u64,
    /// Codes sent.
    pub verifications: u64,
    /// Numbers looked up.
    pub lookups: u64,
    /// The price of everything in the end, in micro-dollars.
    pub price_micro_usd: u64,
}

/// One mail that Resend made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResendExecution {
    /// Method and path.
    pub endpoint: String,
    /// The mail's id.
    pub id: String,
    /// The idempotency key that its request came with; all mails of a batch have the same.
    pub idempotency_key: Option<String>,
    /// To whom it goes, without copies.
    pub to: Vec<String>,
    /// Its subject.
    pub subject: String,
    /// What is billed: how many it goes to, copies included.
    pub recipients: u64,
    /// Whether it was put off. It stays here when it is called off.
    pub scheduled: bool,
    /// Seconds since the Unix epoch.
    pub at: i64,
}

/// What Resend executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ResendExecuted {
    /// One row per mail, oldest first.
    pub data: Vec<ResendExecution>,
    /// Mails made.
    pub mails: u64,
    /// Recipients of all mails.
    pub recipients: u64,
}
