//! Twilio: messages, telephone calls, Verify and Lookup.
//!
//! **Imitated**: Basic authentication and the account in the path; forms whose unknown, repeated and
//! missing parameters are refused by Twilio's codes; messages with their segments, states and, after
//! a while, their price; calls that ring, last and are billed by the minute; lists with filters and
//! pages; Verify v2 with one verification per number, its attempts and its checks; Lookup v2.
//! **There is no idempotency**: whatever is posted twice is executed twice.
//!
//! **Not imitated**: webhooks, changing and deleting (redaction, cancelling, hanging up), schedules,
//! smart encoding, `MaxPrice`, content templates' texts (one segment), prices per country, failing
//! deliveries, SIP and other clients, API keys as user names, other channels than SMS, MMS and
//! `WhatsApp`. Parameters that would matter and are not imitated are refused, not ignored.
//!
//! Readings of ours: numbers must be E.164 although Twilio guesses national ones; a message shows no
//! `date_sent`, and no filter by it finds the message, until it is sent.

mod calls;
mod engine;
mod errors;
mod form;
mod lookups;
mod messages;
mod numbers;
mod pages;
mod routes;
mod segments;
mod settings;
mod text;
mod verify;

pub use self::settings::TwilioSettings;
pub(super) use self::{
    engine::{Ticket, Twilio},
    routes::owns,
};
