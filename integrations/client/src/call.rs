//! A request to a vendor, and its answer.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{failure::Failure, idempotency::IdempotencyKey};

/// A request to a vendor's API, to be made through the proxy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VendorCall {
    /// Such as `stripe`.
    pub vendor: String,
    /// Such as `POST`.
    pub method: String,
    /// The vendor's own path, such as `/v1/refunds`, with a query where it needs one.
    pub path: String,
    /// The body as JSON. The proxy makes a form of it for vendors that take forms.
    #[serde(default)]
    pub params: Option<Value>,
    /// The one of the vendor's accounts that it is for (`Stripe-Account`).
    #[serde(default)]
    pub account: Option<String>,
    /// Goes into the audit row and not to the vendor, such as `agent=billing,step=charge`.
    #[serde(default)]
    pub context: Option<String>,
}

/// The vendor's answer, or the stored one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The vendor's status, from 200 to 299.
    pub status: u16,
    /// The vendor's body; null where it is not JSON.
    pub body: Value,
    /// The proxy's audit row.
    pub call_id: Option<String>,
    /// What is left of the cap, in dollars.
    pub remaining_usd: Option<String>,
    /// Whether it is the stored answer of an earlier call, so that nothing was sent now.
    pub replayed: bool,
}

impl VendorCall {
    /// Where it goes, below the proxy's address: `/{vendor}{path}`.
    pub(crate) fn target(&self) -> Result<String, Failure> {
        let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if self.vendor.is_empty() || !self.vendor.bytes().all(name) {
            return Err(Failure::invalid_input("vendor", "is not a vendor's name, such as stripe"));
        }
        if !self.path.starts_with('/') {
            return Err(Failure::invalid_input("path", "does not begin with a slash"));
        }
        Ok(format!("/{}{}", self.vendor, self.path))
    }

    pub(crate) fn method(&self) -> Result<reqwest::Method, Failure> {
        let known = ["GET", "POST", "PUT", "PATCH", "DELETE"];
        let upper = self.method.to_ascii_uppercase();
        known.contains(&upper.as_str()).then(|| upper.parse().ok()).flatten().ok_or_else(|| {
            Failure::invalid_input("method", format!("is none of {}", known.join(", ")))
        })
    }
}

/// A call with the key that makes it happen once. Reads need none.
#[derive(Clone, Copy, Debug)]
pub struct KeyedCall<'a> {
    /// The call.
    pub call: &'a VendorCall,
    /// What makes each repetition the same call.
    pub idempotency_key: Option<&'a IdempotencyKey>,
}
