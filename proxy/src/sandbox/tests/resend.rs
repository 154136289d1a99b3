//! Resend over a real socket: what it takes, what it refuses, and what it executes once.

use serde_json::json;

use super::*;

const KEY: &str = "Authorization: Bearer re_sandbox_key\r\nContent-Type: application/json\r\n";
const EMAILS: &str = "/emails";
const BATCH: &str = "/emails/batch";

fn mail() -> Value {
    json!({
        "from": "Acme <billing@example.com>",
        "to": ["ann@example.org"],
        "subject": "Your invoice",
        "text": "It is due.",
    })
}

/// The mail with these members in place of its own; `null` takes one away.
fn changed(more: &Value) -> Value {
    let mut mail = mail();
    let members = mail.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
    mail
}

impl Vendor {
    async fn try_resend(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: &Value,
    ) -> Option<Answer> {
        let key = key.map(|key| format!("Idempotency-Key: {key}\r\n")).unwrap_or_default();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send_raw(method, path, &format!("{KEY}{key}"), &body).await
    }

    async fn resend(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.try_resend(method, path, None, body).await.unwrap()
    }

    async fn send_as(&self, key: &str, path: &str, body: &Value) -> Answer {
        self.try_resend("POST", path, Some(key), body).await.unwrap()
    }

    async fn shown(&self, id: &str) -> Value {
        let answer = self.resend("GET", &format!("/emails/{id}"), &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()
    }

    /// The time so many hours from now.
    fn later(&self, hours: u64) -> String {
        self.sandbox.now().after(Duration::from_hours(hours)).to_string()
    }

    fn mails(&self) -> u64 {
        self.sandbox.executed().resend.mails
    }
}

/// Status and name of an error, whose body has Resend's shape.
fn error(answer: &Answer) -> (u16, String) {
    let json = answer.json();
    assert_eq!(json["statusCode"], answer.status, "{json}");
    assert!(json["message"].is_string(), "{json}");
    (answer.status, json["name"].as_str().unwrap().to_owned())
}

fn is(status: u16, name: &str) -> (u16, String) {
    (status, name.to_owned())
}

#[tokio::test]
async fn a_mail_is_made_shown_and_counted_by_its_recipients() {
    let vendor = start().await;
    let body = changed(&json!({
        "to": "Ann <ann@example.org>, bob@example.org", "cc": ["cy@example.org"],
        "bcc": "dee@example.org", "tags": [{"name": "run", "value": "r-1"}],
        "headers": {"X-Run": "r-1"}, "attachments": [{"filename": "a.txt", "content": "YQ=="}],
    }));
    let id = vendor.resend("POST", EMAILS, &body).await.id();
    let shown = vendor.shown(&id).await;
    assert_eq!(shown["to"], json!(["Ann <ann@example.org>", "bob@example.org"]));
    assert_eq!((&shown["cc"], &shown["reply_to"]), (&json!(["cy@example.org"]), &Value::Null));
    assert_eq!((&shown["object"], &shown["last_event"]), (&json!("email"), &json!("sent")));
    vendor.sandbox.advance(Duration::from_mins(1));
    assert_eq!(vendor.shown(&id).await["last_event"], "delivered");

    let executed = vendor.sandbox.executed().resend;
    assert_eq!((executed.mails, executed.recipients), (1, 4));
    assert_eq!((&executed.data[0].id, &executed.data[0].idempotency_key), (&id, &None));
    assert_eq!(vendor.sandbox.requests().by_endpoint["POST /emails"], 1);
}

#[tokio::test]
async fn the_same_key_is_one_mail_and_the_same_answer_for_a_day() {
    let vendor = start().await;
    let first = vendor.send_as("k", EMAILS, &mail()).await;
    let again = vendor.send_as("k", EMAILS, &mail()).await;
    assert_eq!((first.id(), first.bytes), (again.id(), again.bytes));
    assert_eq!((vendor.mails(), vendor.sandbox.requests().replayed), (1, 1));

    let other = changed(&json!({"subject": "Another"}));
    for (path, body) in [(EMAILS, other), (BATCH, json!([mail()]))] {
        let refused = vendor.send_as("k", path, &body).await;
        assert_eq!(error(&refused), is(409, "invalid_idempotent_request"), "{path}");
    }
    vendor.sandbox.advance(Duration::from_hours(24));
    vendor.send_as("k", EMAILS, &mail()).await.id();
    assert_eq!(vendor.mails(), 2);
}

#[tokio::test]
async fn a_key_in_use_is_told_so_and_its_mail_is_made_once() {
    let vendor = start().await;
    vendor.sandbox.set_latency(Duration::from_hours(1));
    let headers = format!("{KEY}Idempotency-Key: k\r\n");
    let mut first = vendor.open("POST", EMAILS, &headers, &mail().to_string()).await;
    until("it runs", || vendor.sandbox.requests().received == 1).await;
    let second = vendor.send_as("k", EMAILS, &mail()).await;
    assert_eq!(error(&second), is(409, "concurrent_idempotent_requests"));
    vendor.sandbox.set_latency(Duration::ZERO);
    let mut bytes = Vec::new();
    first.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(vendor.send_as("k", EMAILS, &mail()).await.id(), parse(&bytes).id());
    assert_eq!(vendor.mails(), 1);
}

#[tokio::test]
async fn a_key_has_from_1_to_256_characters_and_a_refusal_does_not_take_it() {
    let vendor = start().await;
    let (longest, longer) = ("k".repeat(256), "k".repeat(257));
    for key in ["", longer.as_str()] {
        let refused = vendor.send_as(key, EMAILS, &mail()).await;
        assert_eq!(error(&refused), is(400, "invalid_idempotency_key"));
    }
    let refused = vendor.send_as(&longest, EMAILS, &changed(&json!({"to": []}))).await;
    assert_eq!(error(&refused), is(422, "missing_required_field"));
    vendor.send_as(&longest, EMAILS, &mail()).await.id();
    assert_eq!(vendor.mails(), 1);
}

#[tokio::test]
async fn wrong_mails_are_refused_by_resends_names_and_not_executed() {
    let vendor = start().await;
    let many: Vec<String> = (0..51).map(|n| format!("{n}@example.org")).collect();
    let far = vendor.later(31 * 24);
    for (change, status, name) in [
        (json!({"from": null}), 422, "missing_required_field"),
        (json!({"to": null}), 422, "missing_required_field"),
        (json!({"subject": null}), 422, "missing_required_field"),
        (json!({"text": null}), 422, "missing_required_field"),
        (json!({"from": "Acme"}), 403, "invalid_from_address"),
        (json!({"from": "a@other.example"}), 403, "validation_error"),
        (json!({"to": "Ann"}), 400, "validation_error"),
        (json!({"to": 5}), 400, "validation_error"),
        (json!({"to": many}), 400, "validation_error"),
        (json!({"cc": ["ann@example.org", 5]}), 400, "validation_error"),
        (json!({"text": 5}), 400, "validation_error"),
        (json!({"headers": {"a": 1}}), 400, "validation_error"),
        (json!({"tags": [{"name": "a b", "value": "c"}]}), 400, "validation_error"),
        (json!({"tags": [{"name": "a"}]}), 422, "missing_required_field"),
        (json!({"attachments": [{"filename": "a"}]}), 422, "invalid_attachment"),
        (json!({"scheduled_at": "in an hour"}), 400, "validation_error"),
        (json!({"scheduled_at": "2020-01-01T00:00:00Z"}), 400, "validation_error"),
        (json!({"scheduled_at": far}), 400, "validation_error"),
        (json!({"template": {"id": "t"}}), 400, "validation_error"),
        (json!({"replyTo": "a@example.org"}), 400, "validation_error"),
    ] {
        let refused = vendor.resend("POST", EMAILS, &changed(&change)).await;
        assert_eq!(error(&refused), is(status, name), "{change}");
    }
    assert_eq!(vendor.mails(), 0);
}

#[tokio::test]
async fn a_batch_is_made_whole_or_not_at_all() {
    let vendor = start().await;
    let made = vendor.send_as("k", BATCH, &json!([mail(), mail(), mail()])).await;
    assert_eq!((made.ids().len(), vendor.mails()), (3, 3));
    assert_eq!(
        vendor.send_as("k", BATCH, &json!([mail(), mail(), mail()])).await.ids(),
        made.ids()
    );
    vendor.shown(&made.ids()[2]).await;

    let at = vendor.later(1);
    for (body, status, name) in [
        (json!([]), 400, "validation_error"),
        (json!(mail()), 400, "validation_error"),
        (json!(vec![mail(); 101]), 400, "validation_error"),
        (json!([mail(), changed(&json!({"to": null}))]), 422, "missing_required_field"),
        (json!([changed(&json!({"scheduled_at": at}))]), 400, "validation_error"),
        (json!([changed(&json!({"attachments": [{"content": "YQ=="}]}))]), 400, "validation_error"),
    ] {
        let refused = vendor.resend("POST", BATCH, &body).await;
        assert_eq!(error(&refused), is(status, name));
    }
    assert_eq!(vendor.mails(), 3);
}

#[tokio::test]
async fn a_permissive_batch_makes_what_is_right_and_tells_what_is_not() {
    let vendor = start().await;
    let body = json!([mail(), changed(&json!({"to": null})), mail()]).to_string();
    let batch = async |validation: &str| {
        let headers = format!("{KEY}X-Batch-Validation: {validation}\r\n");
        vendor.send_raw("POST", BATCH, &headers, &body).await.unwrap()
    };
    assert_eq!(error(&batch("strict").await), is(422, "missing_required_field"));
    assert_eq!(error(&batch("lenient").await), is(400, "validation_error"));
    assert_eq!(vendor.mails(), 0);
    let made = batch("permissive").await;
    assert_eq!((made.ids().len(), vendor.mails()), (2, 2));
    assert_eq!(made.json()["errors"][0]["index"], 1);
}

#[tokio::test]
async fn a_scheduled_mail_is_moved_and_called_off_until_it_goes() {
    let vendor = start().await;
    let later = |at: u64| changed(&json!({"scheduled_at": vendor.later(at)}));
    let [kept, dropped] = [
        vendor.resend("POST", EMAILS, &later(1)).await.id(),
        vendor.resend("POST", EMAILS, &later(1)).await.id(),
    ];
    let path = format!("/emails/{kept}");
    let moved =
        vendor.resend("PATCH", &path, &json!({"id": kept, "scheduled_at": vendor.later(3)})).await;
    assert_eq!(moved.json(), json!({"object": "email", "id": kept}));
    let cancelled = vendor.resend("POST", &format!("/emails/{dropped}/cancel"), &Value::Null).await;
    assert_eq!(cancelled.json(), json!({"object": "email", "id": dropped}));
    for (advance, event) in [(2, "scheduled"), (2, "delivered")] {
        vendor.sandbox.advance(Duration::from_hours(advance));
        assert_eq!(vendor.shown(&kept).await["last_event"], event);
        assert_eq!(vendor.shown(&dropped).await["last_event"], "canceled");
    }
    for id in [&kept, &dropped] {
        let late = vendor.resend("POST", &format!("/emails/{id}/cancel"), &json!({})).await;
        assert_eq!(error(&late), is(400, "validation_error"));
    }
}

#[tokio::test]
async fn mails_are_listed_newest_first_in_pages_of_either_direction() {
    let vendor = start().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.insert(0, vendor.resend("POST", EMAILS, &mail()).await.id());
    }
    let list = async |query: String| {
        let answer = vendor.resend("GET", &format!("/emails?{query}"), &Value::Null).await;
        (answer.ids(), answer.json()["has_more"].as_bool().unwrap())
    };
    assert_eq!(list(String::new()).await, (made.clone(), false));
    assert_eq!(list("limit=2".to_owned()).await, (made[..2].to_vec(), true));
    assert_eq!(list(format!("limit=2&after={}", made[1])).await, (made[2..4].to_vec(), true));
    assert_eq!(list(format!("limit=2&after={}", made[3])).await, (made[4..].to_vec(), false));
    assert_eq!(list(format!("limit=2&before={}", made[3])).await, (made[1..3].to_vec(), true));
    for wrong in
        ["limit=0", "limit=101", "limit=x", "page=2", "limit=1&limit=1", "after=a&before=b"]
    {
        let answer = vendor.resend("GET", &format!("/emails?{wrong}"), &Value::Null).await;
        assert_eq!(error(&answer), is(400, "validation_error"), "{wrong}");
    }
    let domains = vendor.resend("GET", "/domains", &Value::Null).await.json();
    assert_eq!(domains["data"][0]["name"], "example.com");
}

#[tokio::test]
async fn strangers_and_other_paths_are_refused() {
    let vendor = start().await;
    let unknown = "/emails/00000000-0000-4000-a000-000000000000";
    let json = "Content-Type: application/json\r\n";
    let stranger = format!("Authorization: Bearer re_other\r\n{json}");
    let basic = "Authorization: Basic cmVfc2FuZGJveF9rZXk6\r\n";
    let form = "Authorization: Bearer re_sandbox_key\r\n".to_owned() + FORM;
    for (method, path, headers, status, name) in [
        ("POST", EMAILS, json, 401, "missing_api_key"),
        ("POST", EMAILS, stranger.as_str(), 403, "invalid_api_key"),
        ("GET", EMAILS, basic, 403, "invalid_api_key"),
        ("POST", EMAILS, form.as_str(), 400, "validation_error"),
        ("POST", "/emails?to=a", KEY, 400, "validation_error"),
        ("GET", unknown, KEY, 404, "not_found"),
        ("GET", "/emails/1", KEY, 422, "invalid_parameter"),
        ("GET", "/emails/1/attachments", KEY, 404, "not_found"),
        ("DELETE", EMAILS, KEY, 405, "method_not_allowed"),
        ("POST", "/domains", KEY, 405, "method_not_allowed"),
    ] {
        let answer = vendor.send_raw(method, path, headers, &mail().to_string()).await.unwrap();
        assert_eq!(error(&answer), is(status, name), "{method} {path}");
    }
    vendor.post("/sandbox/resend", r#"{"api_key":"re_rolled"}"#).await;
    let rolled = vendor.resend("POST", EMAILS, &mail()).await;
    assert_eq!(error(&rolled), is(403, "invalid_api_key"));
    assert_eq!(vendor.mails(), 0);
}

#[tokio::test]
async fn faults_strike_sends_and_the_key_tells_afterwards_what_was_made() {
    for (faults, status, executed) in [
        (Faults { request_lost: MILLION, ..Faults::default() }, None, 0),
        (Faults { answer_lost: MILLION, ..Faults::default() }, None, 1),
        (Faults { error_after_charge: MILLION, ..Faults::default() }, Some(500), 1),
        (Faults { server_error_before: MILLION, ..Faults::default() }, Some(500), 0),
        (Faults { rate_limited: MILLION, ..Faults::default() }, Some(429), 0),
    ] {
        let vendor = start_faulty(faults).await;
        let answer = vendor.try_resend("POST", EMAILS, Some("k"), &mail()).await;
        assert_eq!(answer.map(|answer| answer.status), status, "{faults:?}");
        assert_eq!(vendor.mails(), executed, "{faults:?}");
        assert_eq!(vendor.resend("GET", EMAILS, &Value::Null).await.status, 200);
        vendor.sandbox.set_faults(Faults::default()).unwrap();
        vendor.send_as("k", EMAILS, &mail()).await.id();
        assert_eq!(
            (vendor.mails(), vendor.sandbox.requests().replayed),
            (1, executed),
            "{faults:?}"
        );
    }
}

#[tokio::test]
async fn a_list_may_lag_behind_what_was_made() {
    let vendor = start().await;
    vendor.post("/sandbox/resend", r#"{"list_delay_ms":60000}"#).await;
    let id = vendor.resend("POST", EMAILS, &mail()).await.id();
    assert_eq!(vendor.resend("GET", EMAILS, &Value::Null).await.ids(), Vec::<String>::new());
    vendor.sandbox.advance(Duration::from_mins(1));
    assert_eq!(vendor.resend("GET", EMAILS, &Value::Null).await.ids(), [id]);
}
