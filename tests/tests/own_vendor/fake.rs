//! The three vendors of the guide, as one small strict server: it takes its own secret only, in its
//! own place only, and keeps all that it was sent.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The secrets that it takes, by the beginning of the paths that they are for.
pub(crate) const SECRETS: [(&str, &str); 3] = [
    ("POSTCHECK", "postcheck_secret_of_the_tests"),
    ("WORDY", "wordy_secret_of_the_tests"),
    ("PARCEL", "parcel_secret_of_the_tests"),
];

/// One request that it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// The server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fake {
    seen: Arc<Mutex<Vec<Seen>>>,
    labels: Arc<Mutex<Vec<Value>>>,
}

impl Fake {
    /// Serves on a free port, for as long as the test runs. Gives its address.
    pub(crate) async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    /// All that it was sent.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The method and path of each request.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    /// What was made of labels.
    pub(crate) fn labels(&self) -> Vec<Value> {
        self.labels.lock().unwrap().clone()
    }

    fn label(&self, headers: &HeaderMap, body: &str) -> Response {
        if headers.get("idempotency-key").is_none() {
            return error(StatusCode::BAD_REQUEST, "no idempotency key");
        }
        let given = |name: &str| {
            let mut pairs = form_urlencoded::parse(body.as_bytes());
            pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
        };
        let rate = given("rate").unwrap();
        let mut labels = self.labels.lock().unwrap();
        let label = json!({
            "id": format!("lbl_{}", labels.len() + 1), "status": "bought", "rate": rate,
            "price": "7.40", "currency": "USD",
            "metadata": { "keybrake_call": given("metadata[keybrake_call]") },
        });
        labels.push(label.clone());
        match rate.as_str() {
            // It was made, and nobody is told.
            "rate_lost" => error(StatusCode::INTERNAL_SERVER_ERROR, "lost"),
            _ => Json(label).into_response(),
        }
    }
}

fn error(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

/// Whether the credential is the one of this path's vendor, and the only one.
fn is_authentic(path: &str, headers: &HeaderMap) -> bool {
    let text = |name: &str| {
        let values = headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let [(_, postcheck), (_, wordy), (_, parcel)] = SECRETS;
    let (authorization, key) = match path {
        "/v1/checks" => (vec![format!("Bearer {postcheck}")], vec![]),
        "/v1/messages" => (vec![], vec![wordy.to_owned()]),
        _ => {
            use base64::Engine;
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{parcel}:"));
            (vec![format!("Basic {pair}")], vec![])
        }
    };
    text("authorization") == authorization && text("x-api-key") == key
}

async fn answer(
    State(fake): State<Fake>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let line = format!("{method} {uri}");
    fake.seen.lock().unwrap().push(Seen { line, headers: headers.clone(), body: body.clone() });
    let path = uri.path();
    if !is_authentic(path, &headers) {
        return error(StatusCode::UNAUTHORIZED, "not this vendor's secret");
    }
    match (method.as_str(), path) {
        ("POST", "/v1/checks") => Json(json!({ "id": "chk_1", "valid": true })).into_response(),
        ("POST", "/v1/messages") => Json(json!({
            "id": "msg_1", "text": "Yes.", "usage": { "input_tokens": 20, "output_tokens": 4 },
        }))
        .into_response(),
        ("GET", "/v1/rates/rate_1" | "/v1/rates/rate_lost") => {
            Json(json!({ "price": "7.45", "currency": "USD" })).into_response()
        }
        ("POST", "/v1/labels") => fake.label(&headers, &body),
        ("POST", "/v1/addresses") => Json(json!({ "id": "adr_1" })).into_response(),
        ("GET", "/v1/labels") => {
            Json(json!({ "labels": fake.labels(), "next": null })).into_response()
        }
        ("GET", path) => {
            let labels = fake.labels();
            let named =
                |label: &&Value| path == format!("/v1/labels/{}", label["id"].as_str().unwrap());
            match labels.iter().find(named) {
                Some(label) => Json(label.clone()).into_response(),
                None => error(StatusCode::NOT_FOUND, "no such object"),
            }
        }
        _ => error(StatusCode::NOT_FOUND, "no such endpoint"),
    }
}
