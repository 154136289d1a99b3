//! Why a call was not made, or why its answer can't be given.
//!
//! One body serves every reader: `code`, `message`, `status` and `more_info` are where Twilio's
//! SDKs look, `statusCode` and `name` where Resend's do, `error` where Stripe's do (which take an
//! answer without it for a success), and `keybrake` is ours. Each message says what happened,
//! whether anything was sent or charged, and what to do next.

use serde_json::{Value, json};

use crate::{
    ids::{BudgetId, CallId, KeyId},
    money::MicroUsd,
    time::Timestamp,
};

/// What an earlier call under the same idempotency key and budget did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prior {
    /// The earlier call.
    pub call_id: CallId,
    /// Where its money stands.
    pub state: &'static str,
    /// What it moved, or what is set aside for it.
    pub amount: MicroUsd,
    /// The vendor's id of what it made.
    pub vendor_object_id: Option<String>,
}

/// Which cap of a budget a call would pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapKind {
    /// Per 24 hours from the moment of issue.
    Daily {
        /// When the window that is current now ends.
        resets_at: Timestamp,
    },
    /// For the life of the budget.
    Total,
}

/// A reason not to make a call, with what its reader needs to act on it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No credential, or one that is not known.
    #[error("this is not a valid vault key or API key; nothing was sent")]
    InvalidKey,
    /// Too many credentials that were not valid.
    #[error(
        "too many requests with invalid credentials came from this address or with this one; nothing was sent; check the key before you ask again"
    )]
    TooManyFailures,
    /// The vault key's time is over.
    #[error("the vault key expired at {at}; nothing was sent; refresh it on the same budget")]
    KeyExpired {
        /// When it expired.
        at: Timestamp,
    },
    /// The vault key's budget was revoked.
    #[error("the vault key was revoked at {at}; nothing was sent; the run is stopped for good")]
    KeyRevoked {
        /// When it was revoked.
        at: Timestamp,
        /// What the same call did before the revocation.
        prior: Option<Box<Prior>>,
    },
    /// The run was revoked, and issues nothing until an admin lifts that.
    #[error("this run was revoked at {at}; no vault key was issued; an admin can lift it")]
    RunRevoked {
        /// When it was revoked.
        at: Timestamp,
    },
    /// The API key's role or bounds do not allow it.
    #[error("{why}; nothing was changed")]
    NotPermitted {
        /// What stands in the way.
        why: String,
    },
    /// A write needs the caller's own idempotency key.
    #[error(
        "this vault key asks for an idempotency key with each write; nothing was sent; send one that is the same for each retry"
    )]
    IdempotencyKeyRequired,
    /// Not on the key's allowlist, or never allowed.
    #[error(
        "{attempted} is not on this vault key's allowlist; nothing was sent; issue a key that names it"
    )]
    EndpointNotAllowed {
        /// The endpoint that was asked for.
        attempted: String,
        /// The patterns of the allowlist.
        allowed: Vec<String>,
    },
    /// A parameter or header that this key may not use, or a value outside its limits.
    #[error(
        "{name} is not allowed here, or not with this value; nothing was sent; see the vault key's policy"
    )]
    ParameterNotAllowed {
        /// The parameter's or header's name.
        name: String,
    },
    /// A write whose price is not known.
    #[error("what {endpoint} costs is not known, so no cap can hold for it; nothing was sent")]
    UnpricedEndpoint {
        /// The endpoint that was asked for.
        endpoint: String,
    },
    /// A currency without a rate to the dollar.
    #[error(
        "what {currency:?} is in dollars is not known, since {why}, so no cap can hold for it; nothing was sent; use usd, or ask the operator for a rate"
    )]
    CurrencyNotPriced {
        /// The currency that was asked for.
        currency: String,
        /// Why it has no rate.
        why: String,
    },
    /// More than one call may cost.
    #[error(
        "this call needs {asked} USD and one call may cost {cap} USD at most; nothing was sent"
    )]
    PerCallCapExceeded {
        /// The largest hold of one call.
        cap: MicroUsd,
        /// What this call needs.
        asked: MicroUsd,
    },
    /// A path with more than one reading.
    #[error(
        "the path is not in canonical form; nothing was sent; send it without dot segments, doubled slashes, `;` or needless escapes"
    )]
    PathNotCanonical,
    /// The same idempotency key for another request.
    #[error(
        "this idempotency key was first used for another request; nothing was sent; use a new key for a new request"
    )]
    IdempotencyKeyReused,
    /// The call was made, but its answer is not kept any more.
    #[error(
        "this call was already made and its answer is no longer kept; nothing was sent again; look the object up at the vendor"
    )]
    AnswerPruned {
        /// The vendor's id of what the call made.
        vendor_object_id: Option<String>,
    },
    /// An amount that is not a plain integer.
    #[error(
        "{name} is not a plain amount in the currency's smallest unit; nothing was sent; write digits only"
    )]
    InvalidAmount {
        /// The parameter's name.
        name: String,
    },
    /// A parameter given twice.
    #[error("the parameter {name:?} is given more than once; nothing was sent; send it once")]
    DuplicateParameter {
        /// The parameter's name.
        name: String,
    },
    /// A request that can't be read.
    #[error("{why}; nothing was sent")]
    InvalidRequest {
        /// What is wrong with it and what would be right.
        why: String,
    },
    /// A body in an encoding that is not read.
    #[error("{why}; nothing was sent")]
    UnsupportedBody {
        /// What is wrong with it and what would be right.
        why: String,
    },
    /// The admin API does not know what was asked for.
    #[error("there is no {what}")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// The same call is in flight.
    #[error(
        "the same call is in flight; nothing was sent again; ask again with the same idempotency key"
    )]
    CallInProgress,
    /// A body over the bound.
    #[error("the body is over {limit} bytes; nothing was sent")]
    BodyTooLarge {
        /// The bound in bytes.
        limit: usize,
    },
    /// What is spent leaves no room for this call.
    #[error(
        "the cap of {cap} USD is exhausted: {spent} USD is spent and this call needs {asked} USD; nothing was sent; do not retry"
    )]
    CapExhausted {
        /// The budget in the chain that has no room.
        budget: BudgetId,
        /// Which of its caps.
        kind: CapKind,
        /// That cap.
        cap: MicroUsd,
        /// What is settled or in doubt against it.
        spent: MicroUsd,
        /// What this call needs.
        asked: MicroUsd,
    },
    /// As many calls were made as may be.
    #[error("all {max_calls} calls of the cap were made; nothing was sent; do not retry")]
    CallsExhausted {
        /// The budget in the chain that has no call left.
        budget: BudgetId,
        /// How many calls it has in all.
        max_calls: u32,
    },
    /// Only holds in flight stand in the way.
    #[error("calls in flight hold what is left of the cap; nothing was sent; retry in a moment")]
    CapContended {
        /// The budget in the chain that has no room now.
        budget: BudgetId,
    },
    /// No connection to the vendor.
    #[error("the vendor could not be reached; nothing was sent and nothing is held; retry")]
    VendorUnreachable,
    /// The vendor did not accept the real secret.
    #[error(
        "the vendor refused Keybrake's own credential; nothing was charged; its operator must set a valid secret"
    )]
    VendorRefusedSecret,
    /// The vendor's answer can't be passed on.
    #[error(
        "the vendor's answer contained Keybrake's credential and was withheld; the call itself is in the audit log"
    )]
    AnswerWithheld,
    /// The call may or may not have happened.
    #[error(
        "the vendor may or may not have made this call; its money stays booked until that is known; ask again with the same idempotency key, never with a new one"
    )]
    OutcomeUnknown {
        /// Whether a retry with the same key can learn more at once, because the vendor deduplicates.
        retry_helps: bool,
    },
    /// No ledger, no call.
    #[error("the ledger is not available; nothing was sent; retry")]
    LedgerUnavailable,
}

/// Where each code is explained.
const DOCUMENTATION: &str = "https://keybrake.com/docs/errors";

impl Refusal {
    /// That there is no such vault key, or none for this asker.
    #[must_use]
    pub fn unknown_key(key: KeyId) -> Self {
        Self::NotFound { what: format!("vault key {key}") }
    }

    /// The machine-readable code of the HTTP contract.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidKey => "invalid_key",
            Self::TooManyFailures => "too_many_failures",
            Self::KeyExpired { .. } => "key_expired",
            Self::KeyRevoked { .. } => "key_revoked",
            Self::RunRevoked { .. } => "run_revoked",
            Self::NotPermitted { .. } => "not_permitted",
            Self::IdempotencyKeyRequired => "idempotency_key_required",
            Self::EndpointNotAllowed { .. } => "endpoint_not_allowed",
            Self::ParameterNotAllowed { .. } => "parameter_not_allowed",
            Self::UnpricedEndpoint { .. } => "unpriced_endpoint",
            Self::CurrencyNotPriced { .. } => "currency_not_priced",
            Self::PerCallCapExceeded { .. } => "per_call_cap_exceeded",
            Self::PathNotCanonical => "path_not_canonical",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::AnswerPruned { .. } => "answer_pruned",
            Self::InvalidAmount { .. } => "invalid_amount",
            Self::DuplicateParameter { .. } => "duplicate_parameter",
            Self::InvalidRequest { .. } | Self::UnsupportedBody { .. } => "invalid_request",
            Self::NotFound { .. } => "not_found",
            Self::CallInProgress => "call_in_progress",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::CapExhausted { .. } | Self::CallsExhausted { .. } => "cap_exhausted",
            Self::CapContended { .. } => "cap_contended",
            Self::VendorUnreachable => "vendor_unreachable",
            Self::VendorRefusedSecret => "vendor_refused_secret",
            Self::AnswerWithheld => "answer_withheld",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::LedgerUnavailable => "ledger_unavailable",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::InvalidKey
            | Self::KeyExpired { .. }
            | Self::KeyRevoked { .. }
            | Self::RunRevoked { .. } => 401,
            Self::NotPermitted { .. }
            | Self::EndpointNotAllowed { .. }
            | Self::ParameterNotAllowed { .. }
            | Self::UnpricedEndpoint { .. }
            | Self::CurrencyNotPriced { .. }
            | Self::PerCallCapExceeded { .. }
            | Self::PathNotCanonical => 403,
            Self::IdempotencyKeyRequired
            | Self::IdempotencyKeyReused
            | Self::AnswerPruned { .. }
            | Self::InvalidAmount { .. }
            | Self::DuplicateParameter { .. }
            | Self::InvalidRequest { .. } => 400,
            Self::NotFound { .. } => 404,
            Self::CallInProgress => 409,
            Self::BodyTooLarge { .. } => 413,
            Self::UnsupportedBody { .. } => 415,
            Self::CapExhausted { .. }
            | Self::CallsExhausted { .. }
            | Self::CapContended { .. }
            | Self::TooManyFailures => 429,
            Self::VendorUnreachable | Self::VendorRefusedSecret | Self::AnswerWithheld => 502,
            Self::LedgerUnavailable => 503,
            Self::OutcomeUnknown { .. } => 504,
        }
    }

    /// Whether asking again with the same request can't help.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        !matches!(
            self,
            Self::CallInProgress
                | Self::CapContended { .. }
                | Self::VendorUnreachable
                | Self::OutcomeUnknown { .. }
                | Self::LedgerUnavailable
        )
    }

    /// The headers that tell SDKs whether, and after how many seconds, to ask again.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, &'static str)> {
        let again = if self.is_terminal() { "false" } else { "true" };
        match self {
            Self::CapExhausted { .. } | Self::CallsExhausted { .. } => {
                vec![("x-keybrake-cap-hit", "true"), ("stripe-should-retry", again)]
            }
            Self::TooManyFailures => vec![("stripe-should-retry", again), ("retry-after", "60")],
            Self::OutcomeUnknown { retry_helps: false } => vec![("stripe-should-retry", "false")],
            Self::CallInProgress | Self::CapContended { .. } | Self::LedgerUnavailable => {
                vec![("stripe-should-retry", again), ("retry-after", "1")]
            }
            Self::InvalidKey
            | Self::KeyExpired { .. }
            | Self::KeyRevoked { .. }
            | Self::RunRevoked { .. }
            | Self::NotPermitted { .. }
            | Self::EndpointNotAllowed { .. }
            | Self::ParameterNotAllowed { .. }
            | Self::UnpricedEndpoint { .. }
            | Self::CurrencyNotPriced { .. }
            | Self::PerCallCapExceeded { .. }
            | Self::PathNotCanonical
            | Self::IdempotencyKeyRequired
            | Self::IdempotencyKeyReused
            | Self::AnswerPruned { .. }
            | Self::InvalidAmount { .. }
            | Self::DuplicateParameter { .. }
            | Self::InvalidRequest { .. }
            | Self::UnsupportedBody { .. }
            | Self::NotFound { .. }
            | Self::BodyTooLarge { .. }
            | Self::VendorUnreachable
            | Self::VendorRefusedSecret
            | Self::AnswerWithheld
            | Self::OutcomeUnknown { retry_helps: true } => vec![("stripe-should-retry", again)],
        }
    }

    /// The body that every vendor's SDK and plain `fetch` code can read.
    #[must_use]
    pub fn body(&self, call: Option<CallId>) -> Value {
        let (code, message, status) = (self.code(), self.to_string(), self.status());
        let documentation = format!("{DOCUMENTATION}#{code}");
        let kind = if *self == Self::IdempotencyKeyReused {
            "idempotency_error"
        } else if status >= 500 {
            "api_error"
        } else {
            "invalid_request_error"
        };
        let mut keybrake = json!({ "code": code, "terminal": self.is_terminal() });
        if let (Value::Object(keybrake), Value::Object(details)) = (&mut keybrake, self.details()) {
            keybrake.extend(call.map(|call| ("call_id".to_owned(), json!(call.to_string()))));
            keybrake.extend(details);
        }
        json!({
            "code": code, "message": message, "status": status, "more_info": documentation,
            "statusCode": status, "name": code,
            "error": { "type": kind, "code": code, "message": message, "doc_url": documentation },
            "keybrake": keybrake,
        })
    }

    /// What the `keybrake` member says beside code, terminal and call.
    fn details(&self) -> Value {
        match self {
            Self::KeyExpired { at } => json!({ "expired_at": at.to_string() }),
            Self::KeyRevoked { at, prior } => {
                let mut details = json!({ "revoked_at": at.to_string() });
                if let (Some(prior), Value::Object(details)) = (prior, &mut details) {
                    details.insert("prior".to_owned(), prior.body());
                }
                details
            }
            Self::RunRevoked { at } => json!({ "revoked_at": at.to_string() }),
            Self::CallsExhausted { budget, max_calls } => {
                json!({ "budget_id": budget.to_string(), "max_calls": max_calls })
            }
            Self::EndpointNotAllowed { attempted, allowed } => {
                json!({ "attempted": attempted, "allowed_endpoints": allowed })
            }
            Self::ParameterNotAllowed { name }
            | Self::InvalidAmount { name }
            | Self::DuplicateParameter { name } => json!({ "parameter": name }),
            Self::UnpricedEndpoint { endpoint } => json!({ "attempted": endpoint }),
            Self::CurrencyNotPriced { currency, .. } => json!({ "currency": currency }),
            Self::PerCallCapExceeded { cap, asked } => {
                json!({ "cap_usd": cap.to_string(), "asked_usd": asked.to_string() })
            }
            Self::AnswerPruned { vendor_object_id } => {
                json!({ "vendor_object_id": vendor_object_id })
            }
            Self::CapExhausted { budget, kind, cap, spent, asked } => {
                let mut details = json!({
                    "budget_id": budget.to_string(), "cap_usd": cap.to_string(),
                    "spent_usd": spent.to_string(), "asked_usd": asked.to_string(),
                });
                if let (CapKind::Daily { resets_at }, Value::Object(details)) = (kind, &mut details)
                {
                    details.insert("resets_at".to_owned(), json!(resets_at.to_string()));
                }
                details
            }
            Self::CapContended { budget } => json!({ "budget_id": budget.to_string() }),
            Self::InvalidKey
            | Self::NotPermitted { .. }
            | Self::TooManyFailures
            | Self::PathNotCanonical
            | Self::IdempotencyKeyRequired
            | Self::IdempotencyKeyReused
            | Self::InvalidRequest { .. }
            | Self::UnsupportedBody { .. }
            | Self::NotFound { .. }
            | Self::CallInProgress
            | Self::BodyTooLarge { .. }
            | Self::VendorUnreachable
            | Self::VendorRefusedSecret
            | Self::AnswerWithheld
            | Self::OutcomeUnknown { .. }
            | Self::LedgerUnavailable => json!({}),
        }
    }
}

impl Prior {
    fn body(&self) -> Value {
        json!({
            "call_id": self.call_id.to_string(), "state": self.state,
            "amount_usd": self.amount.to_string(), "vendor_object_id": self.vendor_object_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exhausted() -> Refusal {
        let usd = |micros| MicroUsd::from_micros(micros).unwrap();
        Refusal::CapExhausted {
            budget: BudgetId::from_number(1),
            kind: CapKind::Daily { resets_at: Timestamp::from_micros(0) },
            cap: usd(50_000_000),
            spent: usd(49_500_000),
            asked: usd(1_000_000),
        }
    }

    #[test]
    fn one_body_serves_every_reader() {
        let body = exhausted().body(Some(CallId::from_number(7)));
        assert_eq!(body["code"], "cap_exhausted");
        assert_eq!(body["status"], 429);
        assert_eq!(body["statusCode"], 429);
        assert_eq!(body["name"], "cap_exhausted");
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert_eq!(body["error"]["code"], "cap_exhausted");
        assert_eq!(body["error"]["message"], body["message"]);
        assert_eq!(body["keybrake"]["terminal"], true);
        assert_eq!(body["keybrake"]["call_id"], "call_0000000000007");
        assert_eq!(body["keybrake"]["spent_usd"], "49.50");
        assert_eq!(body["keybrake"]["resets_at"], "1970-01-01T00:00:00Z");
    }

    #[test]
    fn only_an_exhausted_cap_is_a_cap_hit() {
        assert!(exhausted().headers().contains(&("x-keybrake-cap-hit", "true")));
        let contended = Refusal::CapContended { budget: BudgetId::from_number(1) };
        assert_eq!(contended.headers(), [("stripe-should-retry", "true"), ("retry-after", "1")]);
        assert_eq!(contended.status(), exhausted().status());
        assert!(!contended.is_terminal() && exhausted().is_terminal());
    }

    #[test]
    fn a_revoked_run_can_still_report_what_its_call_did() {
        let prior = Prior {
            call_id: CallId::from_number(7),
            state: "settled",
            amount: MicroUsd::ZERO,
            vendor_object_id: Some("pi_1".into()),
        };
        let refusal =
            Refusal::KeyRevoked { at: Timestamp::from_micros(0), prior: Some(Box::new(prior)) };
        let body = refusal.body(None);
        assert_eq!(body["keybrake"]["prior"]["vendor_object_id"], "pi_1");
        assert_eq!(body["keybrake"]["call_id"], Value::Null);
    }

    #[test]
    fn an_unknown_outcome_is_retried_only_where_the_vendor_deduplicates() {
        for (retry_helps, header) in [(true, "true"), (false, "false")] {
            let refusal = Refusal::OutcomeUnknown { retry_helps };
            assert_eq!(refusal.headers(), [("stripe-should-retry", header)]);
            assert!(!refusal.is_terminal());
        }
    }
}
