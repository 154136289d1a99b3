//! How a request to the proxy can end without what was asked for, as an engine must act on it.
//!
//! One classification serves every engine. It errs to the side of money: whatever may have
//! happened at the vendor is [`Failure::Unknown`], and only the same idempotency key again, never a
//! new one, is safe then.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// No answer of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The same request will not succeed later. Not to be retried.
    Terminal {
        /// Which kind of end it is.
        reason: Reason,
        /// What the proxy or the vendor said.
        told: Box<Told>,
    },
    /// Nothing was done, and the same request can succeed later.
    Retryable {
        /// How long to wait at least, where the answer says so.
        after: Option<Duration>,
        /// What the proxy or the vendor said.
        told: Box<Told>,
    },
    /// The vendor may or may not have done it. To be repeated with the *same* idempotency key.
    Unknown {
        /// How long to wait at least, where the answer says so.
        after: Option<Duration>,
        /// What the proxy or the vendor said.
        told: Box<Told>,
    },
}

/// Why something ended for good. The names are those that engines match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// What is spent leaves no room under a cap.
    CapExhausted,
    /// The vault key's time is over, and it could not be refreshed.
    KeyExpired,
    /// The vault key or its run was revoked.
    KeyRevoked,
    /// The proxy does not allow this call.
    CallRefused,
    /// The activity's own input can't be used. Nothing was asked of the proxy.
    InvalidInput,
    /// The vendor's own final no, such as a declined card.
    VendorDeclined,
}

/// What is known of a failure. It stands in journals and logs, so it holds no credential.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The proxy's code, such as `cap_exhausted`, or the vendor's, such as `card_declined`.
    pub code: String,
    /// What happened, whether anything was sent or charged, and what to do next.
    pub message: String,
    /// The HTTP status of the answer; 0 where there was none.
    #[serde(default)]
    pub status: u16,
    /// The proxy's audit row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// The vendor's id of what an earlier attempt made, where the answer itself is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_object_id: Option<String>,
    /// What the same call had done before its key was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<Prior>,
}

/// What an earlier call under the same idempotency key did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prior {
    /// Its audit row.
    pub call_id: String,
    /// Where its money stands: `held`, `in_doubt` or `settled`.
    pub state: String,
    /// What it moved, or what is set aside for it, in dollars.
    pub amount_usd: String,
    /// The vendor's id of what it made.
    #[serde(default)]
    pub vendor_object_id: Option<String>,
}

/// A failure as a value, for callers in any language: in a journal, a queue or an HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The name that engines match on, such as `CapExhausted`; see [`Failure::name`].
    pub error: String,
    /// Whether the same request can't succeed later.
    pub terminal: bool,
    /// The rest.
    #[serde(flatten)]
    pub told: Told,
}

impl Reason {
    /// The name that engines match on.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CapExhausted => "CapExhausted",
            Self::KeyExpired => "KeyExpired",
            Self::KeyRevoked => "KeyRevoked",
            Self::CallRefused => "CallRefused",
            Self::InvalidInput => "InvalidInput",
            Self::VendorDeclined => "VendorDeclined",
        }
    }

    /// The kind of end that a terminal refusal of the proxy is.
    fn of_refusal(code: &str) -> Self {
        match code {
            "cap_exhausted" => Self::CapExhausted,
            "key_expired" => Self::KeyExpired,
            "key_revoked" | "run_revoked" => Self::KeyRevoked,
            _ => Self::CallRefused,
        }
    }
}

impl Failure {
    /// The activity's input can't be used: `field` says where, `problem` what is wrong with it.
    #[must_use]
    pub fn invalid_input(field: &str, problem: impl fmt::Display) -> Self {
        let message = format!("{field}: {problem}; nothing was sent; correct the input");
        let code = "invalid_input".to_owned();
        let told = Box::new(Told { code, message, status: 400, ..Told::default() });
        Self::Terminal { reason: Reason::InvalidInput, told }
    }

    /// The name that engines match on: a [`Reason`]'s, `OutcomeUnknown` or `Retryable`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Terminal { reason, .. } => reason.name(),
            Self::Retryable { .. } => "Retryable",
            Self::Unknown { .. } => "OutcomeUnknown",
        }
    }

    /// What is known of it.
    #[must_use]
    pub const fn told(&self) -> &Told {
        match self {
            Self::Terminal { told, .. }
            | Self::Retryable { told, .. }
            | Self::Unknown { told, .. } => told,
        }
    }

    /// Whether the same request can't succeed later.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal { .. })
    }

    /// How long to wait at least before asking again, where the answer says so.
    #[must_use]
    pub const fn after(&self) -> Option<Duration> {
        match self {
            Self::Terminal { .. } => None,
            Self::Retryable { after, .. } | Self::Unknown { after, .. } => *after,
        }
    }

    /// The HTTP status that says best what happened; 503 or 504 where there was no answer.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match (self.told().status, self) {
            (0, Self::Unknown { .. }) => 504,
            (0, Self::Terminal { .. } | Self::Retryable { .. }) => 503,
            (status, _) => status,
        }
    }

    /// The failure as it must be told once nobody tries again. That nothing was done is known of the
    /// last attempt alone: an earlier one's answer may have been lost.
    #[must_use]
    pub fn given_up(self) -> Self {
        match self {
            Self::Retryable { after, mut told } => {
                told.message.push_str(
                    "; that is of the last attempt, an earlier one may have been made; ask again with the same idempotency key, never with a new one",
                );
                Self::Unknown { after, told }
            }
            Self::Terminal { .. } | Self::Unknown { .. } => self,
        }
    }

    /// The failure as a value.
    #[must_use]
    pub fn report(&self) -> Report {
        let told = self.told().clone();
        Report { error: self.name().to_owned(), terminal: self.is_terminal(), told }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { code, message, .. } = self.told();
        write!(f, "{} ({code}): {message}", self.name())
    }
}

/// An answer that is not a success, as far as it was read.
pub(crate) struct Unsuccessful<'a> {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) call_id: Option<&'a str>,
    pub(crate) body: &'a Value,
}

/// What an answer that is not a success says.
pub(crate) fn classify(answer: &Unsuccessful<'_>) -> Failure {
    match answer.body.get("keybrake") {
        Some(ours) => refusal(answer, ours),
        None => vendors_own(answer),
    }
}

/// The proxy's refusal.
fn refusal(answer: &Unsuccessful<'_>, ours: &Value) -> Failure {
    let text = |name: &str| ours.get(name).and_then(Value::as_str).map(str::to_owned);
    let code = text("code").unwrap_or_else(|| "unknown_refusal".to_owned());
    let told = Box::new(Told {
        message: answer.body.get("message").and_then(Value::as_str).unwrap_or(&code).to_owned(),
        status: answer.status,
        call_id: text("call_id").or_else(|| answer.call_id.map(str::to_owned)),
        vendor_object_id: text("vendor_object_id"),
        prior: ours.get("prior").and_then(|prior| Prior::deserialize(prior).ok()),
        code,
    });
    let after = answer.retry_after;
    if ours.get("terminal") == Some(&Value::Bool(true)) {
        return Failure::Terminal { reason: Reason::of_refusal(&told.code), told };
    }
    match told.code.as_str() {
        // What is in flight under this key may end either way.
        "cap_contended" | "vendor_unreachable" | "ledger_unavailable" => {
            Failure::Retryable { after, told }
        }
        _ => Failure::Unknown { after, told },
    }
}

/// The vendor's error, or the word of something between us and the proxy.
fn vendors_own(answer: &Unsuccessful<'_>) -> Failure {
    let (status, after) = (answer.status, answer.retry_after);
    let told = Box::new(Told {
        code: vendor_code(answer.body).unwrap_or_else(|| format!("http_{status}")),
        message: vendor_message(answer),
        status,
        call_id: answer.call_id.map(str::to_owned),
        ..Told::default()
    });
    match status {
        429 => Failure::Retryable { after, told },
        // Without the proxy's word that nothing happened, it may have.
        300..=399 | 408 | 409 | 424 | 425 | 500.. => Failure::Unknown { after, told },
        // Not from the vendor: something on the way does not let us through.
        _ if answer.call_id.is_none() => Failure::Terminal { reason: Reason::CallRefused, told },
        _ => Failure::Terminal { reason: Reason::VendorDeclined, told },
    }
}

/// Where Stripe, Twilio and Resend put their codes.
fn vendor_code(body: &Value) -> Option<String> {
    let pointers = ["/error/decline_code", "/error/code", "/error/type", "/code", "/name"];
    pointers.iter().find_map(|pointer| match body.pointer(pointer)? {
        Value::String(code) => Some(code.clone()),
        Value::Number(code) => Some(code.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

fn vendor_message(answer: &Unsuccessful<'_>) -> String {
    let said = ["/error/message", "/message"]
        .iter()
        .find_map(|pointer| answer.body.pointer(pointer)?.as_str())
        .unwrap_or("no further explanation");
    let said: String = said.chars().take(500).collect();
    match answer.call_id {
        Some(_) => format!("the vendor answered {}: {said}", answer.status),
        None => format!("an answer {} that is not the proxy's own: {said}", answer.status),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failure(status: u16, call_id: Option<&str>, body: &Value) -> Failure {
        classify(&Unsuccessful { status, retry_after: None, call_id, body })
    }

    fn refused(status: u16, code: &str, terminal: bool) -> Failure {
        let keybrake = json!({"code": code, "terminal": terminal, "call_id": "call_1"});
        failure(status, None, &json!({"message": "why", "keybrake": keybrake}))
    }

    #[test]
    fn each_refusal_has_the_name_that_engines_match_on() {
        for (status, code, terminal, name) in [
            (429, "cap_exhausted", true, "CapExhausted"),
            (401, "key_expired", true, "KeyExpired"),
            (401, "key_revoked", true, "KeyRevoked"),
            (401, "run_revoked", true, "KeyRevoked"),
            (403, "endpoint_not_allowed", true, "CallRefused"),
            (400, "answer_pruned", true, "CallRefused"),
            (502, "vendor_refused_secret", true, "CallRefused"),
            (418, "a_code_of_tomorrow", true, "CallRefused"),
            (429, "cap_contended", false, "Retryable"),
            (502, "vendor_unreachable", false, "Retryable"),
            (503, "ledger_unavailable", false, "Retryable"),
            (409, "call_in_progress", false, "OutcomeUnknown"),
            (504, "outcome_unknown", false, "OutcomeUnknown"),
            (503, "a_code_of_tomorrow", false, "OutcomeUnknown"),
        ] {
            let failure = refused(status, code, terminal);
            assert_eq!((failure.name(), failure.is_terminal()), (name, terminal), "{code}");
            assert_eq!(failure.told().call_id.as_deref(), Some("call_1"));
        }
    }

    #[test]
    fn what_a_vendor_may_have_done_is_unknown_and_its_no_is_final() {
        let body =
            json!({"error": {"type": "card_error", "code": "card_declined", "message": "no"}});
        for (status, name) in [
            (402, "VendorDeclined"),
            (400, "VendorDeclined"),
            (404, "VendorDeclined"),
            (429, "Retryable"),
            (302, "OutcomeUnknown"),
            (409, "OutcomeUnknown"),
            (424, "OutcomeUnknown"),
            (500, "OutcomeUnknown"),
            (503, "OutcomeUnknown"),
        ] {
            let failure = failure(status, Some("call_1"), &body);
            assert_eq!((failure.name(), failure.told().code.as_str()), (name, "card_declined"));
        }
    }

    #[test]
    fn what_is_given_up_may_have_been_done_by_an_earlier_attempt() {
        let given_up = refused(503, "ledger_unavailable", false).given_up();
        assert_eq!(given_up.name(), "OutcomeUnknown");
        assert!(given_up.told().message.contains("an earlier one may have been made"));
        assert_eq!(refused(429, "cap_exhausted", true).given_up().name(), "CapExhausted");
    }

    #[test]
    fn an_answer_of_something_between_is_never_taken_for_the_vendors() {
        assert_eq!(failure(403, None, &Value::Null).name(), "CallRefused");
        assert_eq!(failure(502, None, &Value::Null).name(), "OutcomeUnknown");
    }

    #[test]
    fn a_report_reads_back_with_what_a_revoked_run_did_before() {
        let prior = json!({"call_id": "call_0", "state": "settled", "amount_usd": "1.00", "vendor_object_id": "pi_1"});
        let keybrake = json!({"code": "key_revoked", "terminal": true, "prior": prior});
        let report = failure(401, None, &json!({"message": "why", "keybrake": keybrake})).report();

        let text = serde_json::to_string(&report).unwrap();
        let read: Report = serde_json::from_str(&text).unwrap();

        assert_eq!(read, report);
        assert_eq!(read.told.prior.unwrap().vendor_object_id.as_deref(), Some("pi_1"));
    }
}
