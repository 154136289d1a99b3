//! Lookup: what is known of a number. Each field that is asked for is billed.

use keybrake_core::time::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::{
    engine::{Ticket, Twilio},
    errors::{self, ApiError},
    form::Known,
    numbers,
};
use crate::sandbox::executed::{TwilioExecution, TwilioKind};

const ONE: Known = Known {
    fields: &["CountryCode", "Fields"],
    repeated: &[],
    not_imitated: &[
        "AddressCountryCode",
        "AddressLine1",
        "AddressLine2",
        "City",
        "DateOfBirth",
        "FirstName",
        "LastName",
        "LastVerifiedDate",
        "NationalId",
        "PartnerSubId",
        "PostalCode",
        "State",
        "VerificationSid",
    ],
};

/// The fields of an answer that is not asked for more. Those that are asked for and that the sandbox
/// does not imitate are refused.
const FIELDS: [&str; 13] = [
    "call_forwarding",
    "caller_name",
    "identity_match",
    "line_status",
    "line_type_intelligence",
    "phone_number_quality_score",
    "pre_fill",
    "reassigned_number",
    "sim_swap",
    "sms_pumping_risk",
    "validation_errors",
    "calling_country_code",
    "country_code",
];

pub(super) fn one(twilio: &mut Twilio, ticket: &Ticket, now: Timestamp) -> Result<Value, ApiError> {
    ticket.form.check(&ONE)?;
    let number = percent_decode_str(&ticket.id).decode_utf8_lossy().into_owned();
    let valid = numbers::is_e164(&number);
    let asked = ticket.form.text("Fields").unwrap_or_default();
    let mut answer: Map<String, Value> =
        FIELDS.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
    let mut billed = 0_u64;
    for field in asked.split(',').map(str::trim).filter(|field| !field.is_empty()) {
        let known = match field {
            "validation" => continue,
            "caller_name" => {
                json!({"caller_name": "SANDBOX", "caller_type": "BUSINESS", "error_code": null})
            }
            "line_type_intelligence" => json!({
                "carrier_name": "Sandbox", "error_code": null, "mobile_country_code": "310",
                "mobile_network_code": "000", "type": "mobile",
            }),
            "sms_pumping_risk" => json!({
                "carrier_risk_category": "low", "error_code": null, "number_blocked": false,
                "number_blocked_date": null, "number_blocked_last_3_months": false,
                "sms_pumping_risk_score": 0,
            }),
            _ => return Err(errors::invalid(format!("The sandbox does not imitate {field}"))),
        };
        answer.insert(field.to_owned(), if valid { known } else { Value::Null });
        // A number that can't be is not billed.
        billed = billed.saturating_add(u64::from(valid));
    }
    let errors = if valid { json!([]) } else { json!(["NOT_A_NUMBER"]) };
    answer.insert("validation_errors".to_owned(), errors);
    answer.insert("national_format".to_owned(), json!(valid.then_some(&number)));
    answer.insert("phone_number".to_owned(), json!(number));
    answer.insert("valid".to_owned(), json!(valid));
    answer.insert(
        "url".to_owned(),
        json!(format!("https://lookups.twilio.com/v2/PhoneNumbers/{number}")),
    );
    let execution = TwilioExecution {
        kind: TwilioKind::Lookup,
        sid: number.clone(),
        to: number,
        quantity: billed,
        price_micro_usd: twilio.settings.lookup_field_price.saturating_mul(billed),
        price_shown: false,
        at: now.as_seconds(),
    };
    twilio.record(execution, None);
    Ok(Value::Object(answer))
}
