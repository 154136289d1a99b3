//! A mail as a request describes it, checked whole before anything is made.

use std::time::Duration;

use keybrake_core::time::Timestamp;
use serde_json::Value;

use super::{
    addresses,
    errors::{self, ApiError},
    fields::Fields,
};

const FIELDS: [&str; 12] = [
    "attachments",
    "bcc",
    "cc",
    "from",
    "headers",
    "html",
    "reply_to",
    "scheduled_at",
    "subject",
    "tags",
    "text",
    "to",
];
/// Fields that would change what is sent.
const NOT_IMITATED: [&str; 2] = ["template", "topic_id"];
const ATTACHMENT: [&str; 5] = ["content", "content_id", "content_type", "filename", "path"];
const MAX_TAG_CHARS: usize = 256;
/// How far ahead a mail may be scheduled.
const MAX_AHEAD: Duration = Duration::from_hours(30 * 24);

/// A mail to be made.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) cc: Vec<String>,
    pub(super) bcc: Vec<String>,
    pub(super) reply_to: Vec<String>,
    pub(super) subject: String,
    pub(super) html: Option<String>,
    pub(super) text: Option<String>,
    pub(super) tags: Vec<Value>,
    pub(super) scheduled: Option<Timestamp>,
}

impl Draft {
    /// Reads a mail whose sender is of this domain.
    pub(super) fn read(mail: &Value, domain: &str, now: Timestamp) -> Result<Self, ApiError> {
        let fields = Fields::of(mail)?;
        fields.check(&FIELDS, &NOT_IMITATED)?;
        let from = fields.required("from")?;
        check_sender(from, domain)?;
        let to = fields.addresses("to")?;
        if to.is_empty() {
            return Err(errors::missing("to"));
        }
        let subject = fields.required("subject")?;
        let (html, text) = (fields.text("html")?, fields.text("text")?);
        if html.is_none() && text.is_none() {
            return Err(errors::missing("html"));
        }
        check_headers(fields)?;
        check_tags(fields)?;
        check_attachments(fields)?;
        let scheduled = fields.text("scheduled_at")?;
        Ok(Self {
            from: from.to_owned(),
            to,
            cc: fields.addresses("cc")?,
            bcc: fields.addresses("bcc")?,
            reply_to: fields.addresses("reply_to")?,
            subject: subject.to_owned(),
            html: html.map(str::to_owned),
            text: text.map(str::to_owned),
            tags: fields.list("tags")?.to_vec(),
            scheduled: scheduled.map(|at| schedule(at, now)).transpose()?,
        })
    }

    /// Reads a mail of a batch, which may do less.
    pub(super) fn of_batch(mail: &Value, domain: &str, now: Timestamp) -> Result<Self, ApiError> {
        let fields = Fields::of(mail)?;
        for name in ["attachments", "scheduled_at"] {
            if fields.get(name).is_some() {
                return Err(errors::invalid(format!("`{name}` is not possible in a batch")));
            }
        }
        Self::read(mail, domain, now)
    }

    /// How many it goes to.
    pub(super) fn recipients(&self) -> usize {
        [&self.to, &self.cc, &self.bcc].into_iter().map(Vec::len).sum()
    }
}

/// A time to which a mail may be put off.
pub(super) fn schedule(text: &str, now: Timestamp) -> Result<Timestamp, ApiError> {
    let at = Timestamp::parse(text)
        .ok_or_else(|| errors::invalid("`scheduled_at` must be a time such as ISO 8601 has it"))?;
    if at <= now || at > now.after(MAX_AHEAD) {
        return Err(errors::invalid("`scheduled_at` must be within the next 30 days"));
    }
    Ok(at)
}

fn check_sender(from: &str, domain: &str) -> Result<(), ApiError> {
    let address = addresses::plain(from).ok_or_else(errors::invalid_sender)?;
    match address.split_once('@') {
        Some((_, of)) if of.eq_ignore_ascii_case(domain) => Ok(()),
        Some((_, of)) => Err(errors::unverified_domain(of)),
        None => Err(errors::invalid_sender()),
    }
}

fn check_headers(fields: Fields<'_>) -> Result<(), ApiError> {
    let texts =
        |headers: &Value| headers.as_object().is_some_and(|all| all.values().all(Value::is_string));
    match fields.get("headers") {
        Some(headers) if !texts(headers) => {
            Err(errors::invalid("`headers` must be an object of strings"))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_tags(fields: Fields<'_>) -> Result<(), ApiError> {
    let fits = |text: &str| {
        (1..=MAX_TAG_CHARS).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    for tag in fields.list("tags")? {
        let tag = Fields::of(tag)?;
        tag.check(&["name", "value"], &[])?;
        if !fits(tag.required("name")?) || !fits(tag.required("value")?) {
            return Err(errors::invalid("A tag has up to 256 ASCII letters, digits, _ and -"));
        }
    }
    Ok(())
}

fn check_attachments(fields: Fields<'_>) -> Result<(), ApiError> {
    for attachment in fields.list("attachments")? {
        let attachment = Fields::of(attachment)?;
        attachment.check(&ATTACHMENT, &[])?;
        for name in ATTACHMENT {
            attachment.text(name)?;
        }
        if attachment.get("content").is_some() == attachment.get("path").is_some() {
            return Err(errors::invalid_attachment("An attachment has `content` or `path`"));
        }
    }
    Ok(())
}
