//! Telephone calls: they wait, they last, and they are billed by the begun minute.

use std::time::Duration;

use keybrake_core::time::Timestamp;
use serde_json::{Value, json};

use super::{
    engine::{Ticket, Twilio},
    errors::{self, ApiError},
    form::{Form, Known},
    numbers,
    pages::{List, PAGING, Span},
    settings::TwilioSettings,
    text,
};
use crate::sandbox::{
    executed::{TwilioExecution, TwilioKind},
    table::Keyed,
};

const MAX_TWIML_CHARS: usize = 4_000;
const MAX_SECONDS: u64 = 14_400;

const CREATE: Known = Known {
    fields: &[
        "ApplicationSid",
        "CallReason",
        "FallbackMethod",
        "FallbackUrl",
        "From",
        "MachineDetection",
        "MachineDetectionTimeout",
        "Method",
        "Record",
        "RecordingChannels",
        "RecordingStatusCallback",
        "RecordingStatusCallbackEvent",
        "RecordingStatusCallbackMethod",
        "RecordingTrack",
        "StatusCallback",
        "StatusCallbackEvent",
        "StatusCallbackMethod",
        "TimeLimit",
        "Timeout",
        "To",
        "Trim",
        "Twiml",
        "Url",
    ],
    repeated: &["RecordingStatusCallbackEvent", "StatusCallbackEvent"],
    not_imitated: &[
        "AsyncAmd",
        "AsyncAmdStatusCallback",
        "AsyncAmdStatusCallbackMethod",
        "Byoc",
        "CallToken",
        "CallerId",
        "ClientNotificationUrl",
        "MachineDetectionSilenceTimeout",
        "MachineDetectionSpeechEndThreshold",
        "MachineDetectionSpeechThreshold",
        "Passports",
        "RecordingConfigurationId",
        "SendDigits",
        "SipAuthPassword",
        "SipAuthUsername",
    ],
};

const FILTERS: &[&str] = &["To", "From", "Status", "StartTime", "StartTime<", "StartTime>"];

const LIST: Known = Known {
    fields: &[
        "To",
        "From",
        "Status",
        "StartTime",
        "StartTime<",
        "StartTime>",
        PAGING[0],
        PAGING[1],
        PAGING[2],
    ],
    repeated: &[],
    not_imitated: &["EndTime", "EndTime<", "EndTime>", "ParentCallSid"],
};

/// A telephone call.
pub(super) struct TelephoneCall {
    sid: String,
    to: String,
    from: String,
    seconds: u64,
    detects_machines: bool,
    price_micro_usd: u64,
    created: Timestamp,
    started: Timestamp,
    ended: Timestamp,
}

impl Keyed for TelephoneCall {
    fn id(&self) -> &str {
        &self.sid
    }
}

impl TelephoneCall {
    fn has_started(&self, now: Timestamp) -> bool {
        now > self.started
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        now > self.ended
    }

    fn status(&self, now: Timestamp) -> &'static str {
        match (self.has_started(now), self.has_ended(now)) {
            (_, true) => "completed",
            (true, false) => "in-progress",
            (false, false) => "queued",
        }
    }
}

pub(super) fn create(
    twilio: &mut Twilio,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<Value, ApiError> {
    let form = &ticket.form;
    form.check(&CREATE)?;
    let to = form.text("To").ok_or_else(|| ApiError::new(21201, "No 'To' number is specified"))?;
    numbers::check_callee(to)?;
    let from =
        form.text("From").ok_or_else(|| ApiError::new(21213, "Caller phone number is required"))?;
    numbers::check_caller(from)?;
    check_instructions(form)?;
    form.integer("Timeout", 1..=600)?;
    form.integer("MachineDetectionTimeout", 3..=59)?;
    let limit = form.integer("TimeLimit", 1..=MAX_SECONDS)?.unwrap_or(MAX_SECONDS);
    let seconds = twilio.settings.call_duration.as_secs().min(limit);
    let record = form.boolean("Record")?;
    let detection = form.word("MachineDetection", &["Enable", "DetectMessageEnd"])?;
    let detects_machines = detection.is_some();
    let minutes = seconds.div_ceil(60);
    let price_micro_usd = price(&twilio.settings, minutes, record, detects_machines);
    let started = now.after(twilio.settings.status_step);
    let call = TelephoneCall {
        sid: twilio.ids.sid("CA"),
        to: to.to_owned(),
        from: from.to_owned(),
        seconds,
        detects_machines,
        price_micro_usd,
        created: now,
        started,
        ended: started.after(Duration::from_secs(seconds)),
    };
    let execution = TwilioExecution {
        kind: TwilioKind::Call,
        sid: call.sid.clone(),
        to: call.to.clone(),
        quantity: minutes,
        price_micro_usd,
        price_shown: false,
        at: now.as_seconds(),
    };
    twilio.record(execution, Some(call.ended));
    let answer = render(twilio, &call, now);
    twilio.calls.push(call);
    Ok(answer)
}

fn price(settings: &TwilioSettings, minutes: u64, record: bool, detects_machines: bool) -> u64 {
    let recorded = if record { settings.recording_minute_price } else { 0 };
    let detection = if detects_machines { settings.machine_detection_price } else { 0 };
    let minute = settings.call_minute_price.saturating_add(recorded);
    minute.saturating_mul(minutes).saturating_add(detection)
}

/// What the call shall say comes from one place.
fn check_instructions(form: &Form) -> Result<(), ApiError> {
    let places = ["Url", "Twiml", "ApplicationSid"];
    let given: Vec<&str> = places.into_iter().filter(|name| form.text(name).is_some()).collect();
    match given.as_slice() {
        [] => return Err(ApiError::new(21205, "Url parameter is required.")),
        [_] => {}
        _ => return Err(errors::invalid("Give one of Url, Twiml and ApplicationSid")),
    }
    let is_web = |url: &str| url.starts_with("https://") || url.starts_with("http://");
    if let Some(url) = form.text("Url").filter(|url| !is_web(url)) {
        return Err(ApiError::new(21205, format!("Url is not a valid URL: {url}")));
    }
    if form.text("Twiml").is_some_and(|twiml| twiml.chars().count() > MAX_TWIML_CHARS) {
        return Err(errors::invalid("Twiml has more than 4000 characters"));
    }
    if form.text("ApplicationSid").is_some_and(|sid| !text::is_sid(sid, "AP")) {
        return Err(ApiError::new(21218, "Invalid ApplicationSid"));
    }
    Ok(())
}

pub(super) fn one(twilio: &Twilio, ticket: &Ticket, now: Timestamp) -> Result<Value, ApiError> {
    ticket.form.check(&Known { fields: &[], repeated: &[], not_imitated: &[] })?;
    let call = twilio.calls.get(&ticket.id).ok_or_else(|| errors::not_found(&ticket.path))?;
    Ok(render(twilio, call, now))
}

pub(super) fn list(twilio: &Twilio, ticket: &Ticket, now: Timestamp) -> Result<Value, ApiError> {
    let form = &ticket.form;
    form.check(&LIST)?;
    let (to, from, status) = (form.text("To"), form.text("From"), form.text("Status"));
    let start = Span::read(form, "StartTime")?;
    let fits = |call: &&TelephoneCall| {
        twilio.is_listed(call.created, now)
            && to.is_none_or(|to| call.to == to)
            && from.is_none_or(|from| call.from == from)
            && status.is_none_or(|status| call.status(now) == status)
            && start.holds(call.has_started(now).then_some(call.started))
    };
    let rows = twilio.calls.rows().iter().rev().filter(fits).collect();
    let list = List { rows, name: "calls", path: ticket.path.clone(), filters: FILTERS };
    list.page(form, |call| render(twilio, call, now))
}

fn render(twilio: &Twilio, call: &TelephoneCall, now: Timestamp) -> Value {
    let account = &twilio.settings.account_sid;
    let uri = format!("/2010-04-01/Accounts/{account}/Calls/{}", call.sid);
    let (started, ended) = (call.has_started(now), call.has_ended(now));
    let priced = ended && twilio.price_shows(call.ended, now);
    let updated = match (started, ended) {
        (_, true) => call.ended,
        (true, false) => call.started,
        (false, false) => call.created,
    };
    json!({
        "account_sid": account,
        "answered_by": (started && call.detects_machines).then_some("human"),
        "api_version": "2010-04-01",
        "caller_name": null,
        "date_created": text::rfc_2822(call.created),
        "date_updated": text::rfc_2822(updated),
        "direction": "outbound-api",
        "duration": ended.then(|| call.seconds.to_string()),
        "end_time": ended.then(|| text::rfc_2822(call.ended)),
        "forwarded_from": null,
        "from": call.from,
        "from_formatted": call.from,
        "group_sid": null,
        "parent_call_sid": null,
        "phone_number_sid": null,
        "price": priced.then(|| text::price(call.price_micro_usd)),
        "price_unit": "USD",
        "queue_time": "0",
        "sid": call.sid,
        "start_time": started.then(|| text::rfc_2822(call.started)),
        "status": call.status(now),
        "subresource_uris": {"recordings": format!("{uri}/Recordings.json")},
        "to": call.to,
        "to_formatted": call.to,
        "trunk_sid": null,
        "uri": format!("{uri}.json"),
    })
}
