//! Verify: a code is sent, perhaps again, and checked. One verification per address is pending.

use std::time::Duration;

use axum::http::StatusCode;
use keybrake_core::time::Timestamp;
use serde_json::{Value, json};

use super::{
    engine::{Ticket, Twilio},
    errors::{self, ApiError},
    form::Known,
    numbers, text,
};
use crate::sandbox::{
    executed::{TwilioExecution, TwilioKind},
    table::Keyed,
};

/// How long a code is good for.
const GOOD_FOR: Duration = Duration::from_mins(10);
const MAX_ATTEMPTS: usize = 5;
const MAX_CHECKS: u32 = 5;

const CREATE: Known = Known {
    fields: &["Channel", "CustomFriendlyName", "Locale", "Tags", "To"],
    repeated: &[],
    not_imitated: &[
        "Amount",
        "AppHash",
        "ChannelConfiguration",
        "CustomCode",
        "CustomMessage",
        "DeviceIp",
        "EnableSnaClientToken",
        "Payee",
        "RateLimits",
        "RiskCheck",
        "SendDigits",
        "TemplateCustomSubstitutions",
        "TemplateSid",
        "Templates",
    ],
};

const CHECK: Known = Known {
    fields: &["Code", "To", "VerificationSid"],
    repeated: &[],
    not_imitated: &["Amount", "Payee", "SnaClientToken"],
};

/// A verification of an address.
pub(super) struct Verification {
    sid: String,
    service: String,
    to: String,
    channel: String,
    attempts: Vec<Attempt>,
    checks: u32,
    approved: bool,
    created: Timestamp,
    updated: Timestamp,
}

struct Attempt {
    sid: String,
    channel: String,
    at: Timestamp,
}

impl Keyed for Verification {
    fn id(&self) -> &str {
        &self.sid
    }
}

impl Verification {
    fn is_pending(&self, now: Timestamp) -> bool {
        !self.approved && now < self.created.after(GOOD_FOR)
    }

    fn render(&self, account: &str) -> Value {
        let attempt = |attempt: &Attempt| {
            json!({
                "attempt_sid": attempt.sid,
                "channel": attempt.channel,
                "time": text::iso_8601(attempt.at),
            })
        };
        json!({
            "account_sid": account,
            "amount": null,
            "channel": self.channel,
            "date_created": text::iso_8601(self.created),
            "date_updated": text::iso_8601(self.updated),
            "lookup": {},
            "payee": null,
            "send_code_attempts": self.attempts.iter().map(attempt).collect::<Vec<_>>(),
            "service_sid": self.service,
            "sid": self.sid,
            "sna": null,
            "status": if self.approved { "approved" } else { "pending" },
            "to": self.to,
            "url": format!(
                "https://verify.twilio.com/v2/Services/{}/Verifications/{}",
                self.service, self.sid
            ),
            "valid": self.approved,
        })
    }
}

fn invalid_parameter(name: &str) -> ApiError {
    ApiError::new(60200, format!("Invalid parameter `{name}`"))
}

fn check_service(ticket: &Ticket) -> Result<(), ApiError> {
    if text::is_sid(&ticket.owner, "VA") { Ok(()) } else { Err(errors::not_found(&ticket.path)) }
}

pub(super) fn create(
    twilio: &mut Twilio,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<Value, ApiError> {
    check_service(ticket)?;
    let form = &ticket.form;
    form.check(&CREATE)?;
    let to = form.text("To").ok_or_else(|| invalid_parameter("To"))?;
    let channel = form.text("Channel").ok_or_else(|| invalid_parameter("Channel"))?;
    let fits = match channel {
        "sms" | "call" | "whatsapp" => numbers::is_e164(to),
        "email" => to.contains('@'),
        _ => return Err(invalid_parameter("Channel")),
    };
    if !fits {
        return Err(invalid_parameter("To"));
    }
    let sid = match pending(twilio, ticket, to, now) {
        Some(old) if old.attempts.len() >= MAX_ATTEMPTS => {
            return Err(ApiError::new(60203, "Max send attempts reached")
                .status(StatusCode::TOO_MANY_REQUESTS));
        }
        Some(old) => old.sid.clone(),
        None => begin(twilio, &ticket.owner, to, now),
    };
    let attempt = Attempt { sid: twilio.ids.sid("VL"), channel: channel.to_owned(), at: now };
    let execution = TwilioExecution {
        kind: TwilioKind::Verification,
        sid: sid.clone(),
        to: to.to_owned(),
        quantity: 1,
        price_micro_usd: twilio.settings.verification_channel_price,
        price_shown: false,
        at: now.as_seconds(),
    };
    twilio.record(execution, None);
    let account = twilio.settings.account_sid.clone();
    let made = twilio.verifications.get_mut(&sid).ok_or_else(errors::server_error)?;
    channel.clone_into(&mut made.channel);
    made.updated = now;
    made.attempts.push(attempt);
    Ok(made.render(&account))
}

/// A new verification, without an attempt yet.
fn begin(twilio: &mut Twilio, service: &str, to: &str, now: Timestamp) -> String {
    let sid = twilio.ids.sid("VE");
    twilio.verifications.push(Verification {
        sid: sid.clone(),
        service: service.to_owned(),
        to: to.to_owned(),
        channel: String::new(),
        attempts: Vec::new(),
        checks: 0,
        approved: false,
        created: now,
        updated: now,
    });
    sid
}

fn pending<'a>(
    twilio: &'a Twilio,
    ticket: &Ticket,
    to_or_sid: &str,
    now: Timestamp,
) -> Option<&'a Verification> {
    let fits = |one: &&Verification| {
        one.service == ticket.owner
            && (one.to == to_or_sid || one.sid == to_or_sid)
            && one.is_pending(now)
    };
    twilio.verifications.rows().iter().rev().find(fits)
}

pub(super) fn one(twilio: &Twilio, ticket: &Ticket, now: Timestamp) -> Result<Value, ApiError> {
    check_service(ticket)?;
    ticket.form.check(&Known { fields: &[], repeated: &[], not_imitated: &[] })?;
    // What is approved is found by its id alone.
    let by_sid = twilio.verifications.get(&ticket.id).filter(|one| one.service == ticket.owner);
    let found = by_sid.or_else(|| pending(twilio, ticket, &ticket.id, now));
    let found = found.ok_or_else(|| errors::not_found(&ticket.path))?;
    Ok(found.render(&twilio.settings.account_sid))
}

pub(super) fn check(
    twilio: &mut Twilio,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<Value, ApiError> {
    check_service(ticket)?;
    let form = &ticket.form;
    form.check(&CHECK)?;
    let code = form.text("Code").ok_or_else(|| invalid_parameter("Code"))?;
    let wanted = form.text("VerificationSid").or(form.text("To"));
    let wanted = wanted.ok_or_else(|| invalid_parameter("To"))?;
    let found = pending(twilio, ticket, wanted, now).map(|found| found.sid.clone());
    let sid = found.ok_or_else(|| errors::not_found(&ticket.path))?;
    let (account, price) =
        (twilio.settings.account_sid.clone(), twilio.settings.verification_price);
    let approved = code == twilio.settings.verification_code;
    let found = twilio.verifications.get_mut(&sid).ok_or_else(errors::server_error)?;
    if found.checks >= MAX_CHECKS {
        return Err(ApiError::new(60202, "Max check attempts reached")
            .status(StatusCode::TOO_MANY_REQUESTS));
    }
    found.checks = found.checks.saturating_add(1);
    found.approved = approved;
    found.updated = now;
    let (mut answer, to) = (found.render(&account), found.to.clone());
    if let Value::Object(fields) = &mut answer {
        fields.retain(|name, _| {
            !matches!(name.as_str(), "lookup" | "send_code_attempts" | "sna" | "url")
        });
        fields.insert("sna_attempts_error_codes".to_owned(), json!([]));
    }
    if approved {
        let execution = TwilioExecution {
            kind: TwilioKind::VerificationCheck,
            sid,
            to,
            quantity: 1,
            price_micro_usd: price,
            price_shown: false,
            at: now.as_seconds(),
        };
        twilio.record(execution, None);
    }
    Ok(answer)
}
