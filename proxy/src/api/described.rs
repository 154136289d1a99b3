//! What core's types look like in JSON. Core knows nothing of the description, so it is said here.

#![expect(dead_code, reason = "these types are described, never made")]

use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{ObjectBuilder, OneOfBuilder, Type},
    },
};

/// Dollars in an answer, exactly: two to six digits after the point.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^(0|[1-9][0-9]*)\.[0-9]{2,6}$", example = "49.50")]
pub(super) struct Usd(String);

/// Dollars in a request: a number or a string, plainly written, with at most six decimals.
pub(super) struct Dollars;

impl PartialSchema for Dollars {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new()
            .schema_type(Type::Number)
            .minimum(Some(0))
            .maximum(Some(9_223_372_036_854_i64))
            .multiple_of(Some(0.000_001));
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?$"));
        let described = OneOfBuilder::new().item(number).item(text);
        described
            .description(Some(
                "Dollars: a number or a string, plainly written, with at most six decimals. \
                 A string is read exactly; so is a number, but some clients round theirs.",
            ))
            .examples([json!("49.99"), json!(50)])
            .into()
    }
}

impl ToSchema for Dollars {}

/// A whole number and a unit: `s`, `m`, `h` or `d`.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[0-9]{1,12}[smhd]$", example = "2h")]
pub(super) struct Span(String);

/// `METHOD /path`. `{name}` stands for one segment, a final `*` for one or more.
#[derive(ToSchema)]
#[schema(
    value_type = String, pattern = "^(GET|POST|PUT|PATCH|DELETE) /", example = "POST /v1/charges"
)]
pub(super) struct Endpoint(String);

/// A run, as its engine knows it. No control characters.
#[derive(ToSchema)]
#[schema(
    value_type = String, min_length = 1, max_length = 512,
    pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$", example = "billing/run-42"
)]
pub(super) struct Label(String);

/// What a vault key is for: to make calls, or to read the audit rows of the runs whose label begins
/// with its own.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Scope {
    Spend,
    Audit,
}

/// Where the idempotency key of a write comes from: the caller, or the call's content.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum IdempotencyFrom {
    Caller,
    Content,
}

/// What to do about an object that a decline leaves committed.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum OnDecline {
    Keep,
    Cancel,
}

/// What an API key is for. Everything; issuing, refreshing and revoking; spending as a vault key
/// that it names; reading.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Role {
    Admin,
    Issuer,
    Caller,
    Auditor,
}

/// Whether a key works.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum KeyState {
    Live,
    Expired,
    Revoked,
}

/// Where a call's money stands.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum CallState {
    Held,
    Settled,
    Released,
    InDoubt,
}

/// What was decided on a call.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Verdict {
    Allowed,
    Denied,
    Replayed,
}

/// Why a run stands out.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum ReasonCode {
    CostAboveUsual,
    CapHit,
    Forbidden,
    ManyReplays,
    InDoubt,
}

/// Why a request was refused. What is at the top and in `error` is where vendors' SDKs look for
/// it; `keybrake` is ours.
#[derive(ToSchema)]
#[schema(as = Refusal)]
pub(super) struct RefusalBody {
    /// What a program decides by.
    code: String,
    /// What happened, whether anything was changed or sent, and what to do next.
    message: String,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// Where the code is explained.
    #[schema(format = "uri")]
    more_info: String,
    /// The status again.
    #[schema(rename = "statusCode", minimum = 400, maximum = 599)]
    status_code: u16,
    /// The code again.
    name: String,
    error: RefusalError,
    keybrake: RefusalDetails,
}

/// The refusal as Stripe would say it.
#[derive(ToSchema)]
pub(super) struct RefusalError {
    #[schema(rename = "type")]
    kind: RefusalKind,
    code: String,
    message: String,
    #[schema(format = "uri")]
    doc_url: String,
}

/// Stripe's kinds of errors.
#[derive(ToSchema)]
pub(super) enum RefusalKind {
    #[schema(rename = "invalid_request_error")]
    Request,
    #[schema(rename = "idempotency_error")]
    Idempotency,
    #[schema(rename = "api_error")]
    Api,
}

/// What is ours in a refusal: more members stand beside these, by code.
#[derive(ToSchema)]
pub(super) struct RefusalDetails {
    code: String,
    /// Whether the same request can't succeed later.
    terminal: bool,
    /// The audit row of a call that was refused.
    call_id: Option<String>,
}

/// A vault key in a path.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfKey {
    /// The vault key's id.
    #[param(pattern = "^vk_[0-7][0-9a-hjkmnp-tv-z]{12}$", example = "vk_01jd3k9w2m4qa")]
    pub(super) key_id: String,
}

/// A call in a path.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfCall {
    /// The call's id.
    #[param(pattern = "^call_[0-7][0-9a-hjkmnp-tv-z]{12}$", example = "call_01jd3k9w2m4qa")]
    pub(super) call_id: String,
}

/// An API key in a path.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfApiKey {
    /// The API key's id. It is a name, not the token.
    #[param(pattern = "^ak_[0-7][0-9a-hjkmnp-tv-z]{12}$", example = "ak_01jd3k9w2m4qa")]
    pub(super) api_key_id: String,
}

/// An issue request, as its example.
pub(super) fn issue_example() -> Value {
    json!({
        "vendor": "stripe",
        "total_usd_cap": 50,
        "allowed_endpoints": ["POST /v1/payment_intents", "GET /v1/payment_intents/*"],
        "expires_in": "2h",
        "agent_run_label": "billing/run-42",
    })
}
