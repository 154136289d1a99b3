//! Messages: what they take, and how they go on their way.

use std::time::Duration;

use keybrake_core::time::Timestamp;
use serde_json::{Value, json};

use super::{
    engine::{Ticket, Twilio},
    errors::{self, ApiError},
    form::{Form, Known},
    numbers,
    pages::{List, PAGING, Span},
    segments, text,
};
use crate::sandbox::{
    executed::{TwilioExecution, TwilioKind},
    table::Keyed,
};

const MAX_CHARS: usize = 1_600;
const MAX_MEDIA: usize = 10;

const CREATE: Known = Known {
    fields: &[
        "ApplicationSid",
        "Attempt",
        "Body",
        "ContentSid",
        "ContentVariables",
        "From",
        "MediaUrl",
        "MessagingServiceSid",
        "PersistentAction",
        "ProvideFeedback",
        "StatusCallback",
        "To",
        "ValidityPeriod",
    ],
    repeated: &["MediaUrl", "PersistentAction"],
    not_imitated: &[
        "AddressRetention",
        "ContentRetention",
        "ForceDelivery",
        "MaxPrice",
        "RiskCheck",
        "ScheduleType",
        "SendAsMms",
        "SendAt",
        "ShortenUrls",
        "SmartEncoded",
        "TrafficType",
    ],
};

const FILTERS: &[&str] = &["To", "From", "DateSent", "DateSent<", "DateSent>"];

const LIST: Known = Known {
    fields: &["To", "From", "DateSent", "DateSent<", "DateSent>", PAGING[0], PAGING[1], PAGING[2]],
    repeated: &[],
    not_imitated: &[],
};

/// A message.
pub(super) struct Message {
    sid: String,
    to: String,
    from: Option<String>,
    service: Option<String>,
    body: String,
    media: usize,
    segments: u64,
    price_micro_usd: u64,
    created: Timestamp,
}

impl Keyed for Message {
    fn id(&self) -> &str {
        &self.sid
    }
}

/// Where a message is on its way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Status {
    Queued,
    Sending,
    Sent,
    Delivered,
}

impl Message {
    /// Each state lasts one step. The answer to the request itself shows the first.
    fn status(&self, step: Duration, now: Timestamp) -> Status {
        let passed = |steps| now > self.created.after(step.saturating_mul(steps));
        match (passed(1), passed(2), passed(3)) {
            (_, _, true) => Status::Delivered,
            (_, true, _) => Status::Sent,
            (true, _, _) => Status::Sending,
            (false, false, false) => Status::Queued,
        }
    }

    fn sent(&self, step: Duration, now: Timestamp) -> Option<Timestamp> {
        let is_sent = self.status(step, now) >= Status::Sent;
        is_sent.then(|| self.created.after(step.saturating_mul(2)))
    }
}

pub(super) fn create(
    twilio: &mut Twilio,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<Value, ApiError> {
    let form = &ticket.form;
    form.check(&CREATE)?;
    let to =
        form.text("To").ok_or_else(|| ApiError::new(21604, "A 'To' phone number is required."))?;
    numbers::check_recipient(to)?;
    let (from, service) = sender(form, to)?;
    check_content(form)?;
    form.integer("ValidityPeriod", 1..=36_000)?;
    let media = form.all("MediaUrl").len();
    let body = form.text("Body").unwrap_or_default();
    let settings = &twilio.settings;
    let one_price = media > 0 || numbers::is_whatsapp(to) || body.is_empty();
    let segments = if one_price { 1 } else { segments::count(body) };
    let price_micro_usd = if media > 0 {
        settings.media_price
    } else {
        settings.segment_price.saturating_mul(segments)
    };
    let message = Message {
        sid: twilio.ids.sid(if media > 0 { "MM" } else { "SM" }),
        to: to.to_owned(),
        from: from.map(str::to_owned),
        service: service.map(str::to_owned),
        body: body.to_owned(),
        media,
        segments,
        price_micro_usd,
        created: now,
    };
    let execution = TwilioExecution {
        kind: TwilioKind::Message,
        sid: message.sid.clone(),
        to: message.to.clone(),
        quantity: segments,
        price_micro_usd,
        price_shown: false,
        at: now.as_seconds(),
    };
    twilio.record(execution, Some(now));
    let answer = render(twilio, &message, now);
    twilio.messages.push(message);
    Ok(answer)
}

/// The number or the service that sends; exactly one of them suffices, and both are allowed.
fn sender<'a>(form: &'a Form, to: &str) -> Result<(Option<&'a str>, Option<&'a str>), ApiError> {
    let (from, service) = (form.text("From"), form.text("MessagingServiceSid"));
    if from.is_none() && service.is_none() {
        return Err(ApiError::new(21603, "A 'From' phone number is required."));
    }
    if let Some(service) = service
        && !text::is_sid(service, "MG")
    {
        return Err(ApiError::new(21701, "The Messaging Service does not exist"));
    }
    if let Some(from) = from {
        numbers::check_sender(from, to)?;
    }
    Ok((from, service))
}

fn check_content(form: &Form) -> Result<(), ApiError> {
    let body = form.text("Body");
    let media = form.all("MediaUrl");
    let template = form.text("ContentSid");
    if body.is_none() && media.is_empty() && template.is_none() {
        return Err(ApiError::new(21602, "Message body is required."));
    }
    if body.is_some_and(|body| body.chars().count() > MAX_CHARS) {
        return Err(ApiError::new(
            21617,
            "The concatenated message body exceeds the 1600 character limit",
        ));
    }
    if media.len() > MAX_MEDIA {
        return Err(ApiError::new(21623, "Number of media files exceeds allowed limit"));
    }
    let is_web = |url: &String| url.starts_with("https://") || url.starts_with("http://");
    if !media.iter().all(is_web) {
        return Err(ApiError::new(21620, "Invalid media URL(s)"));
    }
    if template.is_some_and(|sid| !text::is_sid(sid, "HX")) {
        return Err(ApiError::new(21655, "The ContentSid is Invalid"));
    }
    if template.is_some() && (body.is_some() || !media.is_empty()) {
        return Err(errors::invalid("The sandbox takes ContentSid without Body and MediaUrl"));
    }
    match form.text("ContentVariables").map(serde_json::from_str::<Value>) {
        None | Some(Ok(Value::Object(_))) => Ok(()),
        Some(_) => Err(ApiError::new(21656, "The ContentVariables Parameter is invalid")),
    }
}

pub(super) fn one(twilio: &Twilio, ticket: &Ticket, now: Timestamp) -> Result<Value, ApiError> {
    ticket.form.check(&Known { fields: &[], repeated: &[], not_imitated: &[] })?;
    let message = twilio.messages.get(&ticket.id);
    let message = message.ok_or_else(|| errors::not_found(&ticket.path))?;
    Ok(render(twilio, message, now))
}

pub(super) fn list(twilio: &Twilio, ticket: &Ticket, now: Timestamp) -> Result<Value, ApiError> {
    let form = &ticket.form;
    form.check(&LIST)?;
    let (to, from, sent) = (form.text("To"), form.text("From"), Span::read(form, "DateSent")?);
    let step = twilio.settings.status_step;
    let fits = |message: &&Message| {
        twilio.is_listed(message.created, now)
            && to.is_none_or(|to| message.to == to)
            && from.is_none_or(|from| message.from.as_deref() == Some(from))
            && sent.holds(message.sent(step, now))
    };
    let rows = twilio.messages.rows().iter().rev().filter(fits).collect();
    let list = List { rows, name: "messages", path: ticket.path.clone(), filters: FILTERS };
    list.page(form, |message| render(twilio, message, now))
}

fn render(twilio: &Twilio, message: &Message, now: Timestamp) -> Value {
    let account = &twilio.settings.account_sid;
    let step = twilio.settings.status_step;
    let uri = format!("/2010-04-01/Accounts/{account}/Messages/{}", message.sid);
    let status = message.status(step, now);
    // Until a service has chosen its sender, it can't count either.
    let is_counted = message.service.is_none() || status > Status::Queued;
    let priced = twilio.price_shows(message.created, now);
    json!({
        "account_sid": account,
        "api_version": "2010-04-01",
        "body": message.body,
        "date_created": text::rfc_2822(message.created),
        "date_sent": message.sent(step, now).map(text::rfc_2822),
        "date_updated": text::rfc_2822(message.sent(step, now).unwrap_or(message.created)),
        "direction": "outbound-api",
        "error_code": null,
        "error_message": null,
        "from": message.from,
        "messaging_service_sid": message.service,
        "num_media": message.media.to_string(),
        "num_segments": if is_counted { message.segments } else { 0 }.to_string(),
        "price": priced.then(|| text::price(message.price_micro_usd)),
        "price_unit": priced.then_some("USD"),
        "sid": message.sid,
        "status": match status {
            Status::Queued => "queued",
            Status::Sending => "sending",
            Status::Sent => "sent",
            Status::Delivered => "delivered",
        },
        "subresource_uris": {"media": format!("{uri}/Media.json")},
        "to": message.to,
        "uri": format!("{uri}.json"),
    })
}
