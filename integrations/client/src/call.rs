//! A request to a vendor, and its answer.

use keybrake_core::path::CanonicalPath;
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
        // Nothing that a URL parser would resolve into another path: this goes out with an API key.
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        if CanonicalPath::parse(path).is_err() {
            let problem = "is not a path in canonical form, such as /v1/refunds";
            return Err(Failure::invalid_input("path", problem));
        }
        if !query.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'#') {
            return Err(Failure::invalid_input("path", "has a query that is not URL-encoded"));
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(vendor: &str, path: &str) -> Result<String, Failure> {
        let call = json!({"vendor": vendor, "method": "POST", "path": path});
        serde_json::from_value::<VendorCall>(call).unwrap().target()
    }

    #[test]
    fn a_call_can_not_leave_its_vendor() {
        assert_eq!(target("stripe", "/v1/x?limit=3").unwrap(), "/stripe/v1/x?limit=3");
        for path in [
            "/../admin/api_keys",
            "/%2e%2e/vault/keys",
            "/v1/./x",
            "//admin/api_keys",
            "/..\\admin",
            "\\..\\admin",
            "v1/x",
            "/v1/x#y",
            "/v1/x?a=b#c",
            "/v1/x?a b",
        ] {
            assert!(target("stripe", path).is_err(), "{path}");
        }
        assert!(target("../admin", "/api_keys").is_err());
    }
}
