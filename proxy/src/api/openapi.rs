//! The description of the admin API, made from its types.
//!
//! [`routes!`](utoipa_axum::routes) registers a handler and describes it in one step, so that no
//! route is served that is not described.

use std::{collections::BTreeMap, sync::OnceLock};

use axum::{
    body::{Body, Bytes},
    http::{Response, header::CONTENT_TYPE},
    response::IntoResponse,
};
use keybrake_core::{ids::KeyId, refusal::Refusal, time::Timestamp};
use utoipa::{
    IntoResponses, Modify, OpenApi,
    openapi::{
        Components, Content, ContentBuilder, Info, Ref, RefOr, ResponseBuilder,
        example::Example,
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::described::RefusalBody;

/// The description's frame: what is not said at a handler.
#[derive(OpenApi)]
#[openapi(
    modifiers(&Frame),
    components(schemas(RefusalBody)),
    security(("api_key" = [])),
    tags(
        (name = "vault keys", description = "What a run spends with: issue, look, refresh, revoke"),
        (name = "runs", description = "Stopping whole runs by their label"),
        (name = "audit", description = "What was called, what it cost, and who did what"),
        (name = "reports", description = "What it cost, and what stands out"),
        (name = "API keys", description = "Who may use this API"),
        (name = "operation", description = "Health, metrics and this description"),
    )
)]
pub(super) struct Description;

const ABOUT: &str = "\
The API of Keybrake, a spending cap between agents and paid APIs.

Calls to a vendor are not described here: they go to `/{vendor}/{path}` with a vault key, and are \
answered as the vendor answers them, or with a refusal.

Amounts in answers are decimal strings of dollars; instants are RFC 3339 in UTC. Bodies are JSON, \
whatever their content type. Unknown members and parameters are refused by name.";

/// Adds what the macros have no words for.
struct Frame;

impl Modify for Frame {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        api.info = Info::new("Keybrake", env!("CARGO_PKG_VERSION"));
        api.info.description = Some(ABOUT.to_owned());
        let bearer = |about: &str| {
            let mut scheme = Http::new(HttpAuthScheme::Bearer);
            scheme.description = Some(about.to_owned());
            SecurityScheme::Http(scheme)
        };
        let handle = ApiKeyValue::with_description(
            "X-Keybrake-Key-Id",
            "The vault key that an API key of the role `caller` speaks for",
        );
        let schemes = [
            ("api_key", bearer("An API key, `kb_api_…`; its role says what it may")),
            ("vault_key", bearer("A vault key's token; Basic works too")),
            ("handle", SecurityScheme::ApiKey(ApiKey::Header(handle))),
        ];
        let components = api.components.get_or_insert_with(Components::new);
        for (name, scheme) in schemes {
            components.add_security_scheme(name, scheme);
        }
        for (status, refusals) in by_status() {
            components.responses.insert(component(status), described(&refusals).into());
        }
    }
}

/// The refusals of the admin API.
fn refusals() -> [Refusal; 11] {
    let at = Timestamp::from_micros(1_769_860_800_000_000);
    [
        Refusal::InvalidRequest { why: "what is wrong, and what would be right".to_owned() },
        Refusal::IdempotencyKeyReused,
        Refusal::InvalidKey,
        Refusal::KeyExpired { at },
        Refusal::KeyRevoked { at, prior: None },
        Refusal::RunRevoked { at },
        Refusal::NotPermitted { why: "an API key of this role may not do this".to_owned() },
        Refusal::unknown_key(KeyId::from_number(1)),
        Refusal::BodyTooLarge { limit: super::MAX_BODY },
        Refusal::TooManyFailures,
        Refusal::LedgerUnavailable,
    ]
}

fn by_status() -> BTreeMap<u16, Vec<Refusal>> {
    let mut by_status = BTreeMap::<_, Vec<_>>::new();
    for refusal in refusals() {
        by_status.entry(refusal.status()).or_default().push(refusal);
    }
    by_status
}

fn component(status: u16) -> String {
    format!("Refused{status}")
}

/// One response for all refusals of a status: each with its example.
fn described(refusals: &[Refusal]) -> utoipa::openapi::Response {
    let codes: Vec<_> = refusals.iter().map(|refusal| format!("`{}`", refusal.code())).collect();
    let example = |refusal: &Refusal| {
        let mut example = Example::new();
        example.value = Some(refusal.body(None));
        (refusal.code(), example)
    };
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Refusal")))
        .examples_from_iter(refusals.iter().map(example));
    ResponseBuilder::new()
        .description(codes.join(", "))
        .content("application/json", Content::from(content))
        .build()
}

type Responses = BTreeMap<String, RefOr<utoipa::openapi::Response>>;

fn referred(statuses: &[u16]) -> Responses {
    let response = |status: &u16| Ref::from_response_name(component(*status)).into();
    statuses.iter().map(|status| (status.to_string(), response(status))).collect()
}

/// How a route refuses that takes a credential.
pub(super) struct Refused;

impl IntoResponses for Refused {
    fn responses() -> Responses {
        referred(&[400, 401, 403, 404, 413, 429, 503])
    }
}

/// How a route refuses that is for everybody: for its body alone.
pub(super) struct RefusedBody;

impl IntoResponses for RefusedBody {
    fn responses() -> Responses {
        referred(&[400, 413])
    }
}

/// This description
///
/// In `OpenAPI` 3.1. It is the same on every listener, whatever of it that one serves.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi",
    tag = "operation", security(()),
    responses((status = 200, description = "The description", body = Object), RefusedBody),
)]
pub(super) async fn show() -> Response<Body> {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text = TEXT.get_or_init(|| Bytes::from(super::description().to_json().unwrap_or_default()));
    ([(CONTENT_TYPE, "application/json")], text.clone()).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn description() -> Value {
        serde_json::to_value(super::super::description()).unwrap()
    }

    /// Each operation, as `METHOD /path`.
    fn operations(description: &Value) -> BTreeMap<String, &Value> {
        let paths = description["paths"].as_object().unwrap().iter();
        paths
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().iter();
                methods.map(move |(method, operation)| {
                    (format!("{} {path}", method.to_uppercase()), operation)
                })
            })
            .collect()
    }

    #[test]
    fn the_routes_are_those_of_the_table_of_security() {
        let table = include_str!("../../../SECURITY.md").lines();
        let rows = table.filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let table: BTreeSet<_> = rows.filter(|route| !route.contains("{vendor}")).collect();
        let description = description();
        let operations = operations(&description);
        assert_eq!(operations.keys().map(String::as_str).collect::<BTreeSet<_>>(), table);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    members.values().for_each(|member| references(member, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        let description = description();
        let mut found = Vec::new();
        references(&description, &mut found);
        assert!(found.len() > 50, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(description.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_operation_says_what_it_does_what_it_takes_and_who_may() {
        let description = description();
        let mut names = BTreeSet::new();
        for (route, operation) in operations(&description) {
            assert!(names.insert(operation["operationId"].as_str().unwrap()), "{route}");
            assert!(
                operation["summary"].is_string() && operation["tags"][0].is_string(),
                "{route}"
            );
            let is_open = ["/healthz", "/readyz", "/openapi.json"].iter();
            let is_open = is_open.into_iter().any(|open| route.ends_with(open));
            assert_eq!(operation["security"] == serde_json::json!([{}]), is_open, "{route}");
            let responses = operation["responses"].as_object().unwrap();
            assert_eq!(responses.contains_key("401"), !is_open, "{route}");
        }
    }
}
