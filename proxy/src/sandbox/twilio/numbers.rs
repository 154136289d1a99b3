//! Telephone numbers and other addresses of senders and recipients.

use super::errors::ApiError;

/// Numbers that Twilio documents as always refused, to test with.
const UNREACHABLE: &str = "+15005550001";
const BLOCKED: &str = "+15005550004";
const INCAPABLE: &str = "+15005550009";
const NOT_OWNED: &str = "+15005550007";
const FULL_QUEUE: &str = "+15005550008";

/// Whether this is a number in E.164: a plus and 8 to 15 digits, the first of them no zero.
pub(super) fn is_e164(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (8..=15).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0')
}

/// Whether it is a number on `WhatsApp`.
pub(super) fn is_whatsapp(text: &str) -> bool {
    text.strip_prefix("whatsapp:").is_some_and(is_e164)
}

/// Refuses a recipient that a message can't be sent to.
pub(super) fn check_recipient(to: &str) -> Result<(), ApiError> {
    if to == UNREACHABLE || !(is_e164(to) || is_whatsapp(to)) {
        return Err(invalid_to(to));
    }
    match to {
        BLOCKED => Err(ApiError::new(21610, "Attempt to send to unsubscribed recipient")),
        INCAPABLE => {
            Err(ApiError::new(21614, format!("'To' number is not a valid mobile number: {to}")))
        }
        _ => Ok(()),
    }
}

/// Refuses a number that can't be called.
pub(super) fn check_callee(to: &str) -> Result<(), ApiError> {
    if to == UNREACHABLE || !is_e164(to) { Err(invalid_to(to)) } else { Ok(()) }
}

/// Refuses a sender: a number, a short code or letters. A channel's sender needs its recipient there.
pub(super) fn check_sender(from: &str, to: &str) -> Result<(), ApiError> {
    if is_whatsapp(from) != is_whatsapp(to) {
        return Err(ApiError::new(
            21910,
            format!("Invalid From and To pair. From and To should be of the same channel: {from}"),
        ));
    }
    if !(is_e164(from) || is_whatsapp(from) || is_short(from)) {
        return Err(invalid_from(from));
    }
    check_owned(from)
}

/// Refuses a number that can't be called from.
pub(super) fn check_caller(from: &str) -> Result<(), ApiError> {
    if is_e164(from) { check_owned(from) } else { Err(invalid_from(from)) }
}

fn check_owned(from: &str) -> Result<(), ApiError> {
    match from {
        UNREACHABLE => Err(invalid_from(from)),
        NOT_OWNED => Err(ApiError::new(
            21606,
            format!("The From phone number {from} is not a valid number of your account"),
        )),
        FULL_QUEUE => {
            Err(ApiError::new(21611, format!("This From number {from} has a full queue")))
        }
        _ => Ok(()),
    }
}

/// A short code, or a sender of letters.
fn is_short(from: &str) -> bool {
    let code = (3..=8).contains(&from.len()) && from.bytes().all(|b| b.is_ascii_digit());
    let letters = (1..=11).contains(&from.len())
        && from.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ')
        && from.bytes().any(|b| b.is_ascii_alphabetic());
    code || letters
}

fn invalid_to(to: &str) -> ApiError {
    ApiError::new(21211, format!("Invalid 'To' Phone Number: {to}"))
}

fn invalid_from(from: &str) -> ApiError {
    ApiError::new(21212, format!("Invalid From Number (caller ID): {from}"))
}
