//! The endpoints that this sandbox has, and the top-level parameters that each of them knows.

use axum::http::Method;

use super::{errors::ApiError, params::Params, schema};

/// An endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    CreateCustomer,
    ListCustomers,
    GetCustomer,
    CreateIntent,
    ListIntents,
    SearchIntents,
    GetIntent,
    UpdateIntent,
    ConfirmIntent,
    CaptureIntent,
    CancelIntent,
    CreateCharge,
    ListCharges,
    SearchCharges,
    GetCharge,
    CaptureCharge,
    CreateRefund,
    ListRefunds,
    GetRefund,
    ListEvents,
    GetEvent,
    GetBalance,
}

/// The endpoint of a request, and the id in its path.
pub(super) fn find<'a>(method: &Method, path: &'a str) -> Option<(Op, &'a str)> {
    let rest = path.strip_prefix("/v1/")?;
    let parts: Vec<&str> = rest.split('/').collect();
    let post = match *method {
        Method::POST => true,
        Method::GET => false,
        _ => return None,
    };
    if parts.iter().any(|part| part.is_empty()) {
        return None;
    }
    let found = match (post, parts.as_slice()) {
        (true, ["customers"]) => (Op::CreateCustomer, ""),
        (false, ["customers"]) => (Op::ListCustomers, ""),
        (false, ["customers", id]) => (Op::GetCustomer, *id),
        (true, ["payment_intents"]) => (Op::CreateIntent, ""),
        (false, ["payment_intents"]) => (Op::ListIntents, ""),
        (false, ["payment_intents", "search"]) => (Op::SearchIntents, ""),
        (false, ["payment_intents", id]) => (Op::GetIntent, *id),
        (true, ["payment_intents", id]) => (Op::UpdateIntent, *id),
        (true, ["payment_intents", id, "confirm"]) => (Op::ConfirmIntent, *id),
        (true, ["payment_intents", id, "capture"]) => (Op::CaptureIntent, *id),
        (true, ["payment_intents", id, "cancel"]) => (Op::CancelIntent, *id),
        (true, ["charges"]) => (Op::CreateCharge, ""),
        (false, ["charges"]) => (Op::ListCharges, ""),
        (false, ["charges", "search"]) => (Op::SearchCharges, ""),
        (false, ["charges", id]) => (Op::GetCharge, *id),
        (true, ["charges", id, "capture"]) => (Op::CaptureCharge, *id),
        (true, ["refunds"]) => (Op::CreateRefund, ""),
        (false, ["refunds"]) => (Op::ListRefunds, ""),
        (false, ["refunds", id]) => (Op::GetRefund, *id),
        (false, ["events"]) => (Op::ListEvents, ""),
        (false, ["events", id]) => (Op::GetEvent, *id),
        (false, ["balance"]) => (Op::GetBalance, ""),
        _ => return None,
    };
    Some(found)
}

impl Op {
    /// Method and path, with `{id}` for ids.
    pub(super) fn endpoint(self) -> &'static str {
        match self {
            Self::CreateCustomer => "POST /v1/customers",
            Self::ListCustomers => "GET /v1/customers",
            Self::GetCustomer => "GET /v1/customers/{id}",
            Self::CreateIntent => "POST /v1/payment_intents",
            Self::ListIntents => "GET /v1/payment_intents",
            Self::SearchIntents => "GET /v1/payment_intents/search",
            Self::GetIntent => "GET /v1/payment_intents/{id}",
            Self::UpdateIntent => "POST /v1/payment_intents/{id}",
            Self::ConfirmIntent => "POST /v1/payment_intents/{id}/confirm",
            Self::CaptureIntent => "POST /v1/payment_intents/{id}/capture",
            Self::CancelIntent => "POST /v1/payment_intents/{id}/cancel",
            Self::CreateCharge => "POST /v1/charges",
            Self::ListCharges => "GET /v1/charges",
            Self::SearchCharges => "GET /v1/charges/search",
            Self::GetCharge => "GET /v1/charges/{id}",
            Self::CaptureCharge => "POST /v1/charges/{id}/capture",
            Self::CreateRefund => "POST /v1/refunds",
            Self::ListRefunds => "GET /v1/refunds",
            Self::GetRefund => "GET /v1/refunds/{id}",
            Self::ListEvents => "GET /v1/events",
            Self::GetEvent => "GET /v1/events/{id}",
            Self::GetBalance => "GET /v1/balance",
        }
    }

    /// Refuses parameters that the endpoint does not know, and expansions that do not exist.
    pub(super) fn check(self, params: &Params) -> Result<(), ApiError> {
        params.refuse_unknown(self.known())?;
        for property in params.list("expand")? {
            let bare = property.strip_prefix("data.").unwrap_or(property);
            let first = bare.split('.').next().unwrap_or_default();
            if !schema::EXPANDABLE.contains(&first) {
                return Err(ApiError::invalid(format!(
                    "This property cannot be expanded ({property})."
                ))
                .param("expand"));
            }
        }
        Ok(())
    }

    fn known(self) -> &'static [&'static str] {
        match self {
            Self::CreateCustomer => schema::CREATE_CUSTOMER,
            Self::ListCustomers => &[
                "created",
                "email",
                "ending_before",
                "expand",
                "limit",
                "starting_after",
                "test_clock",
            ],
            Self::CreateIntent => schema::CREATE_INTENT,
            Self::ListIntents => &[
                "created",
                "customer",
                "customer_account",
                "ending_before",
                "expand",
                "limit",
                "starting_after",
            ],
            Self::SearchIntents | Self::SearchCharges => &["expand", "limit", "page", "query"],
            Self::GetIntent => &["client_secret", "expand"],
            Self::UpdateIntent => schema::UPDATE_INTENT,
            Self::ConfirmIntent => schema::CONFIRM_INTENT,
            Self::CaptureIntent => schema::CAPTURE_INTENT,
            Self::CancelIntent => &["cancellation_reason", "expand"],
            Self::CreateCharge => schema::CREATE_CHARGE,
            Self::ListCharges => &[
                "created",
                "customer",
                "ending_before",
                "expand",
                "limit",
                "payment_intent",
                "starting_after",
                "transfer_group",
            ],
            Self::CaptureCharge => schema::CAPTURE_CHARGE,
            Self::CreateRefund => schema::CREATE_REFUND,
            Self::ListRefunds => &[
                "charge",
                "created",
                "ending_before",
                "expand",
                "limit",
                "payment_intent",
                "starting_after",
            ],
            Self::ListEvents => &[
                "created",
                "delivery_success",
                "ending_before",
                "expand",
                "limit",
                "starting_after",
                "type",
                "types",
            ],
            Self::GetCustomer
            | Self::GetCharge
            | Self::GetRefund
            | Self::GetEvent
            | Self::GetBalance => &["expand"],
        }
    }
}
