//! Twilio over a real socket: what it takes, what it refuses, what it executes and what that costs.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;

use super::*;
use crate::sandbox::{TwilioKind, TwilioSettings};

const ACCOUNT: &str = "AC5a4d8b0c000000000000000000000000";
const SMS: &str = "To=%2B14155552345&From=%2B14155550100&Body=hello";
const CALL: &str = "To=%2B14155552345&From=%2B14155550100&Twiml=%3CResponse%2F%3E";
const SERVICE: &str = "/v2/Services/VA00000000000000000000000000000000";

fn path(rest: &str) -> String {
    format!("/2010-04-01/Accounts/{ACCOUNT}/{rest}")
}

fn headers(account: &str, token: &str) -> String {
    let credential = BASE64_STANDARD.encode(format!("{account}:{token}"));
    format!("Authorization: Basic {credential}\r\n{FORM}")
}

impl Vendor {
    async fn try_twilio(&self, method: &str, path: &str, body: &str) -> Option<Answer> {
        let headers = headers(ACCOUNT, "twilio_sandbox_token");
        self.send_raw(method, path, &headers, body).await
    }

    async fn twilio(&self, method: &str, path: &str, body: &str) -> Answer {
        self.try_twilio(method, path, body).await.unwrap()
    }

    async fn text(&self, body: &str) -> Answer {
        self.twilio("POST", &path("Messages.json"), body).await
    }

    async fn listed(&self, query: &str) -> Value {
        let answer = self.twilio("GET", &path(&format!("Messages.json?{query}")), "").await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()
    }
}

fn sid(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()["sid"].as_str().unwrap().to_owned()
}

fn picked(object: &Value, fields: &[&str]) -> Vec<Value> {
    fields.iter().map(|field| object[field].clone()).collect()
}

#[tokio::test]
async fn a_message_goes_its_way_by_the_clock_and_shows_its_price_late() {
    let vendor = start().await;
    let made = vendor.text(SMS).await;
    let resource = path(&format!("Messages/{}.json", sid(&made)));
    let fields = ["status", "price", "price_unit", "num_segments", "num_media"];
    assert_eq!(
        picked(&made.json(), &fields),
        [json!("queued"), Value::Null, Value::Null, json!("1"), json!("0")]
    );
    assert_eq!(made.json()["uri"], resource);
    assert!(made.json()["date_created"].as_str().unwrap().ends_with(" +0000"));

    vendor.sandbox.advance(Duration::from_mins(2));
    let later = vendor.twilio("GET", &resource, "").await.json();
    assert_eq!(
        picked(&later, &fields),
        [json!("delivered"), json!("-0.00830"), json!("USD"), json!("1"), json!("0")]
    );
    let executed = vendor.sandbox.executed().twilio;
    assert_eq!((executed.data[0].price_micro_usd, executed.data[0].price_shown), (8_300, true));
}

#[tokio::test]
async fn the_same_message_twice_is_two_messages() {
    let vendor = start().await;
    let header = headers(ACCOUNT, "twilio_sandbox_token") + "Idempotency-Key: k\r\n";
    for _ in 0..2 {
        let sent = vendor.send_raw("POST", &path("Messages.json"), &header, SMS).await.unwrap();
        assert_eq!(sent.status, 201);
    }
    let executed = vendor.sandbox.executed().twilio;
    assert_eq!((executed.messages, executed.segments, executed.price_micro_usd), (2, 2, 16_600));
    assert_ne!(executed.data[0].sid, executed.data[1].sid);
}

#[tokio::test]
async fn a_message_is_billed_by_its_segments_and_a_picture_by_itself() {
    let vendor = start().await;
    let long = "a".repeat(161);
    let base = "To=%2B14155552345&From=%2B14155550100";
    for (more, kind, segments, media, price) in [
        (format!("&Body={long}"), "SM", "2", "0", 16_600),
        ("&Body=%F0%9F%91%8D".to_owned(), "SM", "1", "0", 8_300),
        (
            "&MediaUrl=https://a.example/1&MediaUrl=https://a.example/2".to_owned(),
            "MM",
            "1",
            "2",
            22_000,
        ),
    ] {
        let before = vendor.sandbox.executed().twilio.price_micro_usd;
        let made = vendor.text(&format!("{base}{more}")).await;
        assert!(sid(&made).starts_with(kind), "{more}");
        assert_eq!(picked(&made.json(), &["num_segments", "num_media"]), [segments, media]);
        assert_eq!(vendor.sandbox.executed().twilio.price_micro_usd - before, price, "{more}");
    }
}

#[tokio::test]
async fn a_messaging_service_counts_segments_only_once_it_has_a_sender() {
    let vendor = start().await;
    let service = "MG00000000000000000000000000000000";
    let made =
        vendor.text(&format!("To=%2B14155552345&MessagingServiceSid={service}&Body=hello")).await;
    assert_eq!(picked(&made.json(), &["num_segments", "from"]), [json!("0"), Value::Null]);
    vendor.sandbox.advance(Duration::from_secs(2));
    let resource = path(&format!("Messages/{}.json", sid(&made)));
    assert_eq!(vendor.twilio("GET", &resource, "").await.json()["num_segments"], "1");
    assert_eq!(vendor.sandbox.executed().twilio.segments, 1);
}

#[tokio::test]
async fn wrong_messages_are_refused_by_twilios_codes_and_not_executed() {
    let vendor = start().await;
    let to = "To=%2B14155552345";
    let whole = format!("{to}&From=%2B14155550100");
    let long = "a".repeat(1_601);
    for (body, code) in [
        ("From=%2B14155550100&Body=a".to_owned(), 21604),
        (format!("{to}&Body=a"), 21603),
        (whole.clone(), 21602),
        (format!("{whole}&Body={long}"), 21617),
        ("To=4155552345&From=%2B14155550100&Body=a".to_owned(), 21211),
        ("To=%2B15005550001&From=%2B14155550100&Body=a".to_owned(), 21211),
        ("To=%2B15005550004&From=%2B14155550100&Body=a".to_owned(), 21610),
        (format!("{to}&From=nobody%21&Body=a"), 21212),
        (format!("{to}&From=%2B15005550007&Body=a"), 21606),
        (format!("{to}&From=whatsapp%3A%2B14155550100&Body=a"), 21910),
        (format!("{to}&MessagingServiceSid=MG1&Body=a"), 21701),
        (format!("{whole}&MediaUrl=ftp%3A%2F%2Fa"), 21620),
        (format!("{whole}&Body=a&Bodi=b"), 20001),
        (format!("{whole}&Body=a&Body=b"), 20001),
        (format!("{whole}&Body=a&MaxPrice=1"), 20001),
        (format!("{whole}&Body=a&ValidityPeriod=-1"), 20001),
    ] {
        let answer = vendor.text(&body).await;
        let json = answer.json();
        assert_eq!((answer.status, &json["code"]), (400, &json!(code)), "{body}");
        assert_eq!(json["status"], 400);
        assert_eq!(json["more_info"], format!("https://www.twilio.com/docs/errors/{code}"));
    }
    assert_eq!(vendor.sandbox.executed().twilio.data, []);
}

#[tokio::test]
async fn strangers_other_accounts_and_other_paths_are_refused() {
    let vendor = start().await;
    let other = "AC00000000000000000000000000000001";
    let foreign = format!("/2010-04-01/Accounts/{other}/Messages.json");
    let messages = path("Messages.json");
    let token = "twilio_sandbox_token";
    for (method, at, credential, status, code) in [
        ("POST", &messages, String::new(), 401, 20003),
        ("POST", &messages, headers(ACCOUNT, "wrong"), 401, 20003),
        ("POST", &messages, headers(other, token), 401, 20003),
        (
            "POST",
            &messages,
            "Authorization: Bearer twilio_sandbox_token\r\n".to_owned(),
            401,
            20003,
        ),
        ("POST", &foreign, headers(ACCOUNT, token), 404, 20404),
        ("GET", &path("Messages/SM1.json"), headers(ACCOUNT, token), 404, 20404),
        ("GET", &path("Usage/Records.json"), headers(ACCOUNT, token), 404, 20404),
        ("DELETE", &messages, headers(ACCOUNT, token), 405, 20004),
        ("POST", &format!("{messages}?Body=a"), headers(ACCOUNT, token), 400, 20001),
    ] {
        let answer = vendor.send_raw(method, at, &credential, "").await.unwrap();
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (status, &json!(code)),
            "{method} {at}"
        );
    }
    let json = headers(ACCOUNT, token).replace("x-www-form-urlencoded", "json");
    let answer = vendor.send_raw("POST", &messages, &json, "{}").await.unwrap();
    assert_eq!(answer.status, 415);
}

#[tokio::test]
async fn messages_are_listed_newest_first_by_address_and_in_pages() {
    let vendor = start().await;
    for n in 0..5 {
        let to = if n == 2 { "%2B14155559999" } else { "%2B14155552345" };
        vendor.text(&format!("To={to}&From=%2B14155550100&Body={n}")).await;
    }
    let bodies = |list: &Value| -> Vec<String> {
        let rows = list["messages"].as_array().unwrap().iter();
        rows.map(|row| row["body"].as_str().unwrap().to_owned()).collect()
    };
    let first = vendor.listed("To=%2B14155552345&PageSize=3").await;
    assert_eq!(bodies(&first), ["4", "3", "1"]);
    vendor.text(SMS).await;
    let next = first["next_page_uri"].as_str().unwrap();
    let next = vendor.twilio("GET", next, "").await.json();
    assert_eq!((bodies(&next), &next["next_page_uri"]), (vec!["0".to_owned()], &Value::Null));
    assert_eq!(bodies(&vendor.listed("From=%2B14155550100&To=%2B14155559999").await), ["2"]);
    assert_eq!(bodies(&vendor.listed("From=%2B14155550199").await), Vec::<String>::new());
    let wrong = vendor.twilio("GET", &path("Messages.json?Limit=1"), "").await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn messages_are_found_by_when_they_were_sent() {
    let vendor = start().await;
    let made = vendor.text(SMS).await;
    let resource = path(&format!("Messages/{}.json", sid(&made)));
    let count = async |query: &str| {
        let list = vendor.listed(query).await;
        list["messages"].as_array().unwrap().len()
    };
    assert_eq!(count("DateSent%3E=2020-01-01").await, 0, "it is not sent yet");
    vendor.sandbox.advance(Duration::from_secs(10));
    let sent = vendor.twilio("GET", &resource, "").await.json()["date_sent"].clone();
    let sent = jiff::fmt::rfc2822::parse(sent.as_str().unwrap()).unwrap().timestamp();
    let (day, second) = (sent.strftime("%Y-%m-%d"), sent.strftime("%Y-%m-%dT%H:%M:%SZ"));
    for (query, found) in [
        (format!("DateSent={day}"), 1),
        (format!("DateSent={second}"), 1),
        (format!("DateSent%3E={second}"), 1),
        (format!("DateSent%3C={second}"), 1),
        (format!("DateSent%3E={day}&DateSent%3C={day}"), 1),
        ("DateSent%3E=2100-01-01".to_owned(), 0),
        ("DateSent%3C=2020-01-01".to_owned(), 0),
        ("DateSent=2020-01-01".to_owned(), 0),
    ] {
        assert_eq!(count(&query).await, found, "{query}");
    }
}

#[tokio::test]
async fn a_list_may_lag_behind_what_was_executed() {
    let twilio = TwilioSettings { list_delay: Duration::from_mins(1), ..Default::default() };
    let vendor = start_with(Settings { twilio, ..Settings::default() }).await;
    vendor.text(SMS).await;
    assert_eq!(vendor.listed("").await["messages"], json!([]));
    vendor.sandbox.advance(Duration::from_mins(1));
    assert_eq!(vendor.listed("").await["messages"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_call_lasts_and_is_billed_by_the_begun_minute() {
    let vendor = start().await;
    let order = r#"{"call_duration_ms":61000,"price_delay_ms":5000}"#;
    assert_eq!(vendor.post("/sandbox/twilio", order).await.status, 200);
    let made = vendor.twilio("POST", &path("Calls.json"), &format!("{CALL}&Record=true")).await;
    let resource = path(&format!("Calls/{}.json", sid(&made)));
    let fields = ["status", "duration", "price"];
    assert_eq!(picked(&made.json(), &fields), [json!("queued"), Value::Null, Value::Null]);
    for (seconds, shown) in [
        (2, [json!("in-progress"), Value::Null, Value::Null]),
        (61, [json!("completed"), json!("61"), Value::Null]),
        (10, [json!("completed"), json!("61"), json!("-0.03300")]),
    ] {
        vendor.sandbox.advance(Duration::from_secs(seconds));
        let answer = vendor.twilio("GET", &resource, "").await.json();
        assert_eq!(picked(&answer, &fields), shown);
    }
    let executed = vendor.sandbox.executed().twilio;
    assert_eq!((executed.calls, executed.data[0].quantity), (1, 2));
    assert_eq!(executed.price_micro_usd, 33_000);
    let ended = path("Calls.json?Status=completed&StartTime%3E=2020-01-01");
    let list = vendor.twilio("GET", &ended, "").await;
    assert_eq!(list.json()["calls"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_time_limit_ends_a_call() {
    let vendor = start().await;
    vendor.twilio("POST", &path("Calls.json"), &format!("{CALL}&TimeLimit=7")).await;
    vendor.sandbox.advance(Duration::from_secs(10));
    let list = vendor.twilio("GET", &path("Calls.json"), "").await.json();
    assert_eq!(list["calls"][0]["duration"], "7");
}

#[tokio::test]
async fn wrong_calls_are_refused_by_twilios_codes() {
    let vendor = start().await;
    let numbers = "To=%2B14155552345&From=%2B14155550100";
    for (body, code) in [
        ("From=%2B14155550100&Twiml=a".to_owned(), 21201),
        ("To=%2B14155552345&Twiml=a".to_owned(), 21213),
        ("To=1&From=%2B14155550100&Twiml=a".to_owned(), 21211),
        ("To=%2B14155552345&From=acme&Twiml=a".to_owned(), 21212),
        (numbers.to_owned(), 21205),
        (format!("{numbers}&Url=nowhere"), 21205),
        (format!("{numbers}&ApplicationSid=AP1"), 21218),
        (format!("{CALL}&Url=https://a.example"), 20001),
        (format!("{CALL}&TimeLimit=0"), 20001),
        (format!("{CALL}&Timeout=601"), 20001),
        (format!("{CALL}&MachineDetection=yes"), 20001),
        (format!("{CALL}&SendDigits=1"), 20001),
    ] {
        let answer = vendor.twilio("POST", &path("Calls.json"), &body).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(code)), "{body}");
    }
    assert_eq!(vendor.sandbox.executed().twilio.data, []);
}

#[tokio::test]
async fn a_verification_is_sent_again_checked_and_then_gone() {
    let vendor = start().await;
    let (begin, check) =
        (format!("{SERVICE}/Verifications"), format!("{SERVICE}/VerificationCheck"));
    let send = "To=%2B14155552345&Channel=sms";
    let first = vendor.twilio("POST", &begin, send).await;
    let again = vendor.twilio("POST", &begin, send).await;
    assert_eq!(sid(&first), sid(&again));
    assert_eq!(again.json()["send_code_attempts"].as_array().unwrap().len(), 2);

    let wrong = vendor.twilio("POST", &check, "To=%2B14155552345&Code=000000").await;
    assert_eq!((wrong.status, &wrong.json()["status"]), (200, &json!("pending")));
    let right = vendor.twilio("POST", &check, "To=%2B14155552345&Code=123456").await;
    assert_eq!(picked(&right.json(), &["status", "valid"]), [json!("approved"), json!(true)]);
    let gone = vendor.twilio("POST", &check, "To=%2B14155552345&Code=123456").await;
    assert_eq!((gone.status, &gone.json()["code"]), (404, &json!(20404)));

    let executed = vendor.sandbox.executed().twilio;
    assert_eq!((executed.verifications, executed.price_micro_usd), (2, 66_600));
    assert_eq!(executed.data[2].kind, TwilioKind::VerificationCheck);
}

#[tokio::test]
async fn a_verification_has_five_attempts() {
    let vendor = start().await;
    let begin = format!("{SERVICE}/Verifications");
    for _ in 0..5 {
        sid(&vendor.twilio("POST", &begin, "To=a%40b.example&Channel=email").await);
    }
    let sixth = vendor.twilio("POST", &begin, "To=a%40b.example&Channel=email").await;
    assert_eq!((sixth.status, &sixth.json()["code"]), (429, &json!(60203)));
    for wrong in ["To=a%40b.example&Channel=sms", "To=%2B14155552345&Channel=pigeon", "Channel=sms"]
    {
        let answer = vendor.twilio("POST", &begin, wrong).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(60200)), "{wrong}");
    }
}

#[tokio::test]
async fn a_look_up_is_billed_by_its_fields_although_it_is_a_read() {
    let vendor = start().await;
    let free = vendor.twilio("GET", "/v2/PhoneNumbers/%2B14155552345", "").await.json();
    assert_eq!(picked(&free, &["valid", "caller_name"]), [json!(true), Value::Null]);
    let fields = "/v2/PhoneNumbers/+14155552345?Fields=caller_name,line_type_intelligence";
    let paid = vendor.twilio("GET", fields, "").await.json();
    assert_eq!(paid["line_type_intelligence"]["type"], "mobile");
    let invalid = vendor.twilio("GET", "/v2/PhoneNumbers/12?Fields=caller_name", "").await.json();
    assert_eq!(invalid["valid"], false);
    let executed = vendor.sandbox.executed().twilio;
    assert_eq!((executed.lookups, executed.price_micro_usd), (3, 20_000));
    let unknown = vendor.twilio("GET", "/v2/PhoneNumbers/+14155552345?Fields=shoe_size", "").await;
    assert_eq!(unknown.status, 400);
}

#[tokio::test]
async fn faults_strike_messages_and_paid_reads_and_spare_other_reads() {
    let lookup = "/v2/PhoneNumbers/+14155552345?Fields=caller_name";
    let message = path("Messages.json");
    for (faults, status, code, executed) in [
        (Faults { request_lost: MILLION, ..Faults::default() }, None, None, 0),
        (Faults { answer_lost: MILLION, ..Faults::default() }, None, None, 1),
        (Faults { error_after_charge: MILLION, ..Faults::default() }, Some(500), Some(20500), 1),
        (Faults { server_error_before: MILLION, ..Faults::default() }, Some(500), Some(20500), 0),
        (Faults { rate_limited: MILLION, ..Faults::default() }, Some(429), Some(20429), 0),
    ] {
        let vendor = start_faulty(faults).await;
        for (method, at, body) in [("POST", message.as_str(), SMS), ("GET", lookup, "")] {
            let answer = vendor.try_twilio(method, at, body).await;
            assert_eq!(answer.as_ref().map(|answer| answer.status), status, "{faults:?} {at}");
            let said = answer.map(|answer| answer.json()["code"].clone());
            assert_eq!(said, code.map(|code| json!(code)));
        }
        let done = vendor.sandbox.executed().twilio;
        assert_eq!((done.messages, done.lookups), (executed, executed), "{faults:?}");
        assert_eq!(vendor.twilio("GET", &message, "").await.status, 200);
    }
}

#[tokio::test]
async fn held_messages_are_executed_and_answered_with_the_release() {
    let vendor = start().await;
    vendor.sandbox.hold(true);
    let credential = headers(ACCOUNT, "twilio_sandbox_token");
    let mut waiting = vendor.open("POST", &path("Messages.json"), &credential, SMS).await;
    until("it is held", || vendor.sandbox.held() == 1).await;
    assert_eq!(vendor.sandbox.executed().twilio.messages, 1);
    vendor.sandbox.hold(false);
    let mut bytes = Vec::new();
    waiting.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(parse(&bytes).status, 201);
}
