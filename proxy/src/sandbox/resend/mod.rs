//! Resend: mails, one by one and in batches, and what becomes of those that are scheduled.
//!
//! **Imitated**: Bearer authentication by one API key; JSON bodies whose unknown, wrong and missing
//! fields are refused by Resend's error names; recipients in `to`, `cc` and `bcc`, at most 50 each;
//! senders of the one verified domain; batches of at most 100 mails, all of which are made or none,
//! unless `x-batch-validation: permissive` asks for those that are right; scheduled mails, which are
//! moved and called off until their time; lists by `limit`, `after` and `before`.
//! **Idempotency keys** of 1 to 256 characters are kept for a while: the same request gets the same
//! answer, another one is refused, and one that comes while the first runs is told so.
//!
//! **Not imitated**: deliveries that fail, webhooks, templates, topics, times in words, attachments'
//! contents, quotas, restricted API keys, and all that is not about mails or the list of domains.
//! Fields that would matter and are not imitated are refused, not ignored.
//!
//! Readings of ours: only what was executed stays under its idempotency key, so that a mail which
//! was made is told by the next request although the first got a 500; one text may have several
//! addresses, parted by commas, and each is a recipient; two requests are the same where their JSON
//! is, in whatever order its members stand.

mod addresses;
mod draft;
mod engine;
mod errors;
mod fields;
mod mails;
mod pages;
mod routes;
mod settings;

pub use self::settings::ResendSettings;
pub(super) use self::{
    engine::{Resend, Ticket},
    routes::owns,
};
