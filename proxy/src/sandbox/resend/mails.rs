//! Mails: made at once or put off, moved or called off until they go, and shown.

use keybrake_core::time::Timestamp;
use serde_json::{Value, json};

use super::{
    draft::{self, Draft},
    engine::{Resend, Ticket},
    errors::{self, ApiError},
    fields::Fields,
    pages::Page,
};
use crate::sandbox::{executed::ResendExecution, table::Keyed};

const MAX_BATCH: usize = 100;

/// A mail.
pub(super) struct Mail {
    id: String,
    draft: Draft,
    created: Timestamp,
    scheduled: Option<Timestamp>,
    cancelled: bool,
}

impl Keyed for Mail {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Mail {
    fn waits(&self, now: Timestamp) -> bool {
        !self.cancelled && self.scheduled.is_some_and(|at| now < at)
    }

    fn last_event(&self, resend: &Resend, now: Timestamp) -> &'static str {
        let gone = self.scheduled.unwrap_or(self.created);
        if self.cancelled {
            "canceled"
        } else if self.waits(now) {
            "scheduled"
        } else if now > gone.after(resend.settings.status_step) {
            "delivered"
        } else {
            "sent"
        }
    }

    /// As it stands in a list.
    fn row(&self, resend: &Resend, now: Timestamp) -> Value {
        let list = |all: &[String]| if all.is_empty() { Value::Null } else { json!(all) };
        json!({
            "id": self.id,
            "message_id": format!("<{}@{}>", self.id, resend.settings.domain),
            "to": self.draft.to,
            "from": self.draft.from,
            "created_at": written(self.created),
            "subject": self.draft.subject,
            "bcc": list(&self.draft.bcc),
            "cc": list(&self.draft.cc),
            "reply_to": list(&self.draft.reply_to),
            "last_event": self.last_event(resend, now),
            "scheduled_at": self.scheduled.map(written),
            "topic_id": null,
        })
    }

    /// As it is shown alone.
    fn whole(&self, resend: &Resend, now: Timestamp) -> Value {
        let mut whole = self.row(resend, now);
        if let Value::Object(members) = &mut whole {
            members.extend([
                ("object".to_owned(), json!("email")),
                ("html".to_owned(), json!(self.draft.html)),
                ("text".to_owned(), json!(self.draft.text)),
                ("tags".to_owned(), json!(self.draft.tags)),
            ]);
        }
        whole
    }
}

/// Times as Resend writes them.
fn written(at: Timestamp) -> String {
    match jiff::Timestamp::from_microsecond(at.as_micros()) {
        Ok(at) => at.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string(),
        Err(_) => at.to_string(),
    }
}

pub(super) fn send(
    resend: &mut Resend,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<Value, ApiError> {
    let draft = Draft::read(&ticket.body, &resend.settings.domain, now)?;
    let id = make(resend, ticket, draft, now);
    Ok(json!({ "id": id }))
}

/// All of a batch, or nothing of it; of a permissive one what is right.
pub(super) fn send_batch(
    resend: &mut Resend,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<Value, ApiError> {
    let mails = ticket.body.as_array().map(Vec::as_slice).unwrap_or_default();
    if !(1..=MAX_BATCH).contains(&mails.len()) {
        return Err(errors::invalid("A batch is an array of 1 to 100 mails"));
    }
    let domain = resend.settings.domain.clone();
    let (mut drafts, mut wrong) = (Vec::new(), Vec::new());
    for (index, mail) in mails.iter().enumerate() {
        match Draft::of_batch(mail, &domain, now) {
            Ok(draft) => drafts.push(draft),
            Err(error) if ticket.permissive => {
                wrong.push(json!({ "index": index, "message": error.message() }));
            }
            Err(error) => return Err(error),
        }
    }
    let id = |draft| json!({ "id": make(resend, ticket, draft, now) });
    let ids: Vec<Value> = drafts.into_iter().map(id).collect();
    if ticket.permissive {
        return Ok(json!({ "data": ids, "errors": wrong }));
    }
    Ok(json!({ "data": ids }))
}

fn make(resend: &mut Resend, ticket: &Ticket, draft: Draft, now: Timestamp) -> String {
    let id = resend.ids.uuid();
    resend.record(ResendExecution {
        endpoint: ticket.op.endpoint().to_owned(),
        id: id.clone(),
        idempotency_key: ticket.key.clone(),
        to: draft.to.clone(),
        subject: draft.subject.clone(),
        recipients: u64::try_from(draft.recipients()).unwrap_or(u64::MAX),
        scheduled: draft.scheduled.is_some(),
        at: now.as_seconds(),
    });
    let scheduled = draft.scheduled;
    resend.mails.push(Mail { id: id.clone(), draft, created: now, scheduled, cancelled: false });
    id
}

pub(super) fn list(resend: &Resend, ticket: &Ticket, now: Timestamp) -> Result<Value, ApiError> {
    let page = Page::read(&ticket.query)?;
    let delay = resend.settings.list_delay;
    let listed = resend.mails.rows().iter().rev().filter(|mail| mail.created.after(delay) <= now);
    let rows: Vec<(&str, Value)> =
        listed.map(|mail| (mail.id.as_str(), mail.row(resend, now))).collect();
    page.of(&rows)
}

pub(super) fn one(resend: &Resend, ticket: &Ticket, now: Timestamp) -> Result<Value, ApiError> {
    Ok(found(resend, ticket)?.whole(resend, now))
}

/// Moves a mail that has not gone yet.
pub(super) fn update(
    resend: &mut Resend,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<Value, ApiError> {
    let fields = Fields::of(&ticket.body)?;
    // Python's SDK repeats the id here.
    fields.check(&["id", "scheduled_at"], &[])?;
    let at = draft::schedule(fields.required("scheduled_at")?, now)?;
    waiting(resend, ticket, now)?.scheduled = Some(at);
    Ok(json!({ "object": "email", "id": ticket.id }))
}

/// Calls a mail off that has not gone yet.
pub(super) fn cancel(
    resend: &mut Resend,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<Value, ApiError> {
    if !ticket.body.is_null() {
        Fields::of(&ticket.body)?.check(&[], &[])?;
    }
    waiting(resend, ticket, now)?.cancelled = true;
    Ok(json!({ "object": "email", "id": ticket.id }))
}

/// The domains that may send, of which there is one.
pub(super) fn domains(resend: &Resend, ticket: &Ticket) -> Result<Value, ApiError> {
    let row = json!({
        "id": "d0000000-0000-4000-8000-000000000001",
        "name": resend.settings.domain,
        "status": "verified",
        "created_at": "2026-01-01T00:00:00.000000+00:00",
        "region": "us-east-1",
    });
    Page::read(&ticket.query)?.of(&[("d0000000-0000-4000-8000-000000000001", row)])
}

fn found<'a>(resend: &'a Resend, ticket: &Ticket) -> Result<&'a Mail, ApiError> {
    if !is_uuid(&ticket.id) {
        return Err(errors::invalid_parameter("The `id` must be a valid UUID"));
    }
    resend.mails.get(&ticket.id).ok_or_else(|| errors::not_found("Email"))
}

fn waiting<'a>(
    resend: &'a mut Resend,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<&'a mut Mail, ApiError> {
    if !found(resend, ticket)?.waits(now) {
        return Err(errors::invalid("Only a scheduled mail can be changed"));
    }
    resend.mails.get_mut(&ticket.id).ok_or_else(errors::server_error)
}

fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}
