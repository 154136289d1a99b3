//! What a look-up reads, and what can be concluded from it.

use super::*;
use crate::{
    call::Life,
    ids::{BudgetId, KeyId},
    ledger::rows::{self, Request, VendorAnswer},
    path::CanonicalPath,
    policy::{Method, RunLabel},
    rates::Rates,
    vendor::{STRIPE, built_in},
};

const SECOND: i64 = 1_000_000;
const CHARGES: &str = "/v1/charges";

fn cents(amount: u64) -> MicroUsd {
    MicroUsd::from_micros(amount * 10_000).unwrap()
}

/// A call in doubt that was sent at second 1000, for 5 dollars.
fn call(path: &str) -> Call {
    let sent = Timestamp::from_micros(1_000 * SECOND);
    Call {
        id: CallId::from_number(7),
        at: sent,
        key: KeyId::from_number(1),
        budget: BudgetId::from_number(1),
        label: RunLabel::try_from("run".to_owned()).unwrap(),
        request: Request {
            vendor: "stripe".to_owned(),
            method: Method::Post,
            path: path.to_owned(),
            context: None,
            idempotency_key: Some("ours".to_owned()),
            fingerprint: [0; 32],
            customer: None,
            account: None,
            likeness: None,
        },
        verdict: rows::Verdict::Allowed(Life::held(cents(500), false)),
        asked: None,
        object: None,
        awaits_bill: false,
        tagged: true,
        attempt: 1,
        begun_at: sent,
        sent_at: None,
        finished_at: None,
        answer: VendorAnswer::default(),
        cap_usage_after: cents(500),
        note: None,
    }
}

fn stripe() -> Definition {
    built_in().unwrap().remove(0)
}

/// How to find out about this call, asked at second 2000.
fn search<'a>(
    definition: &'a Definition,
    endpoint: &'a Endpoint,
    call: &'a Call,
) -> Option<Search<'a>> {
    let now = Timestamp::from_micros(2_000 * SECOND);
    definition.search_for(definition.rule(endpoint, &Params::none()), endpoint, call, now)
}

fn can_search(definition: &Definition, call: &Call) -> bool {
    search(definition, &endpoint(call), call).is_some()
}

fn endpoint(call: &Call) -> Endpoint {
    Endpoint {
        method: call.request.method,
        path: CanonicalPath::parse(&call.request.path).unwrap(),
    }
}

/// Dollars only.
fn exchange(rates: &Rates) -> Exchange<'_> {
    Exchange::new(rates, Timestamp::from_micros(0))
}

/// The pages that are asked for when each is answered so, and what they say together.
fn read_all(
    definition: &Definition,
    call: &Call,
    answer: impl Fn(&str) -> Value,
) -> (Vec<String>, Verdict) {
    let endpoint = endpoint(call);
    let mut search = search(definition, &endpoint, call).unwrap();
    let mut asked = Vec::new();
    while let Some(page) = search.next() {
        assert!(asked.len() < 1_000, "reads for ever: {page}");
        search.read(&answer(&page));
        asked.push(page);
    }
    (asked, search.verdict())
}

fn verdict(answer: impl Fn(&str) -> Value) -> Verdict {
    read_all(&stripe(), &call(CHARGES), answer).1
}

fn whole(data: &[Value]) -> Value {
    json!({ "data": data, "has_more": false })
}

fn event(idempotency_key: &str, object: &str) -> Value {
    json!({
        "id": format!("evt_{object}"),
        "request": { "idempotency_key": idempotency_key },
        "data": { "object": { "id": object } },
    })
}

/// Answers the search with `searched` and the list of successes with `listed`.
fn answers(searched: Value, listed: Value) -> impl Fn(&str) -> Value {
    move |page| {
        if page.contains("/search") {
            searched.clone()
        } else if page.contains("charge.succeeded") {
            listed.clone()
        } else {
            whole(&[])
        }
    }
}

fn found(id: &str) -> Verdict {
    Verdict::Found { id: id.to_owned(), path: format!("/v1/charges/{id}") }
}

fn list(kind: &str) -> String {
    format!("/v1/events?type={kind}&created[gte]=700&created[lte]=2300&limit=100")
}

const SEARCH: &str = "/v1/charges/search?query=metadata%5B%27keybrake%5Fcall%27%5D%3A%27call%5F0000000000007%27&limit=2";

#[test]
fn the_search_by_our_tag_and_every_list_of_events_are_read() {
    let mut call = call(CHARGES);
    let lists = ["charge.failed", "charge.pending", "charge.succeeded"].map(list);
    let (asked, _) = read_all(&stripe(), &call, |_| whole(&[]));
    assert_eq!(asked[0], SEARCH);
    assert_eq!(asked[1..], lists);
    call.tagged = false;
    let (asked, _) = read_all(&stripe(), &call, |_| whole(&[]));
    assert_eq!(asked, lists);
}

#[test]
fn a_call_that_the_vendor_can_not_be_asked_about_has_no_look_up() {
    let definition = stripe();
    assert!(can_search(&definition, &call("/v1/refunds")));
    assert!(!can_search(&definition, &call("/v1/customers")));
    let mut read = call(CHARGES);
    read.request.method = Method::Get;
    assert!(!can_search(&definition, &read));
    let mut without_key = call(CHARGES);
    without_key.request.idempotency_key = None;
    assert!(!can_search(&definition, &without_key));
    let mut silent = stripe();
    silent.lookup = None;
    assert!(!can_search(&silent, &call(CHARGES)));
}

#[test]
fn one_object_is_found_wherever_it_shows() {
    let object = || whole(&[json!({ "id": "ch_1" })]);
    let told = || whole(&[event("other", "ch_2"), event("ours", "ch_1")]);
    for (searched, listed) in [
        (object(), whole(&[])),
        (whole(&[]), told()),
        (object(), told()),
        // Nothing needs to be complete for what is there to be found.
        (object(), json!({ "error": {} })),
        (json!(null), told()),
    ] {
        let says = verdict(answers(searched.clone(), listed.clone()));
        assert_eq!(says, found("ch_1"), "{searched} {listed}");
    }
}

#[test]
fn two_candidates_prove_nothing() {
    let (first, second) = (json!({ "id": "ch_1" }), json!({ "id": "ch_2" }));
    let two = Verdict::Unclear { candidates: 2 };
    for (searched, listed) in [
        (whole(&[first.clone(), second]), whole(&[])),
        (whole(&[first]), whole(&[event("ours", "ch_2")])),
        (whole(&[]), whole(&[event("ours", "ch_1"), event("ours", "ch_2")])),
    ] {
        let says = verdict(answers(searched.clone(), listed.clone()));
        assert_eq!(says, two, "{searched} {listed}");
    }
}

#[test]
fn absence_is_proved_by_lists_that_were_all_read_to_their_end() {
    let other = whole(&[event("other", "ch_2")]);
    assert_eq!(verdict(answers(whole(&[]), other)), Verdict::Absent);
}

#[test]
fn a_page_that_can_not_be_read_proves_nothing() {
    let unclear = Verdict::Unclear { candidates: 0 };
    for malformed in [
        Value::Null,
        json!([]),
        json!({ "has_more": false }),
        json!({ "data": {}, "has_more": false }),
        json!({ "error": { "type": "api_error" } }),
    ] {
        let says = verdict(answers(whole(&[]), malformed.clone()));
        assert_eq!(says, unclear, "{malformed}");
        let says = verdict(answers(malformed.clone(), whole(&[])));
        assert_eq!(says, unclear, "{malformed}");
    }
}

#[test]
fn a_list_that_may_go_on_but_says_not_where_proves_nothing() {
    let unclear = Verdict::Unclear { candidates: 0 };
    for page in [
        json!({ "data": [] }),
        json!({ "data": [], "has_more": true }),
        json!({ "data": [], "has_more": "false" }),
        json!({ "data": [{ "id": 5 }], "has_more": true }),
    ] {
        let says = verdict(answers(whole(&[]), page.clone()));
        assert_eq!(says, unclear, "{page}");
    }
}

/// A list whose `n`th page says that there is more until the last, which tells of ours.
fn paged(pages: usize, last: &Value) -> impl Fn(&str) -> Value {
    move |page| {
        if page.contains("/search") || !page.contains("charge.succeeded") {
            return whole(&[]);
        }
        let after = page.split_once("&starting_after=evt_other");
        let number = after.map_or(1, |(_, number)| number.parse().unwrap());
        if number == pages {
            whole(std::slice::from_ref(last))
        } else {
            let next = format!("other{}", number + 1);
            json!({ "data": [event("x", "first"), event("x", &next)], "has_more": true })
        }
    }
}

#[test]
fn a_list_of_many_pages_is_read_to_its_end() {
    for pages in [1, 2, 3, MAX_PAGES] {
        let call = call(CHARGES);
        let definition = stripe();
        let (asked, says) = read_all(&definition, &call, paged(pages, &event("ours", "ch_1")));
        assert_eq!((asked.len(), says), (3 + pages, found("ch_1")));
        let (_, says) = read_all(&definition, &call, paged(pages, &event("x", "ch_1")));
        assert_eq!(says, Verdict::Absent, "{pages}");
    }
}

#[test]
fn a_list_that_is_too_long_is_left_and_proves_nothing() {
    let last = event("x", "ch_1");
    let (asked, says) = read_all(&stripe(), &call(CHARGES), paged(MAX_PAGES + 1, &last));
    let unclear = Verdict::Unclear { candidates: 0 };
    assert_eq!((asked.len(), says), (3 + MAX_PAGES, unclear));
}

#[test]
fn an_id_that_can_not_stand_in_a_path_is_not_asked_for() {
    for (id, plain) in [
        ("ch_1", true),
        ("CH-1", true),
        ("", false),
        ("ch_1/refunds", false),
        ("..", false),
        ("ch_1?expand[]=x", false),
        ("ch%2F1", false),
        ("çh", false),
    ] {
        let says = verdict(answers(whole(&[json!({ "id": id })]), whole(&[])));
        let unclear = Verdict::Unclear { candidates: 1 };
        assert_eq!(says, if plain { found(id) } else { unclear }, "{id}");
    }
}

#[test]
fn a_vendor_without_a_list_of_events_can_not_prove_absence() {
    let text =
        STRIPE.replace(r#"events = ["charge.succeeded", "charge.pending", "charge.failed"], "#, "");
    let definition = Definition::parse(&text).unwrap();
    let (asked, says) = read_all(&definition, &call(CHARGES), |_| whole(&[]));
    assert_eq!(asked, [SEARCH]);
    assert_eq!(says, Verdict::Unclear { candidates: 0 });
}

#[test]
fn lists_of_events_that_can_not_be_asked_for_prove_no_absence() {
    let (mut without_list, mut unknown_blank) = (stripe(), stripe());
    without_list.lookup.as_mut().unwrap().events = None;
    unknown_blank.lookup.as_mut().unwrap().events.as_mut().unwrap().list.push_str("{limit}");
    for definition in [without_list, unknown_blank] {
        let (asked, says) = read_all(&definition, &call(CHARGES), |_| whole(&[]));
        assert_eq!(asked, [SEARCH]);
        assert_eq!(says, Verdict::Unclear { candidates: 0 });
    }
}

#[test]
fn a_list_of_tags_proves_no_absence_of_a_call_that_carries_none() {
    let mut call = call("/v1/checkout/sessions");
    let absent = read_all(&stripe(), &call, |_| whole(&[])).1;
    assert_eq!(absent, Verdict::Absent);
    call.tagged = false;
    let definition = stripe();
    let endpoint = endpoint(&call);
    let rule = definition.rule(&endpoint, &Params::none());
    assert!(definition.search_for(rule, &endpoint, &call, call.at).is_none());
}

#[test]
fn in_a_list_of_tags_only_the_calls_own_is_found() {
    let call = call("/v1/checkout/sessions");
    let session = |id: &str, tag: &str| json!({ "id": id, "metadata": { "keybrake_call": tag } });
    let own = call.id.to_string();
    let listed = [session("cs_1", &own), session("cs_2", "call_other"), json!({ "id": "cs_3" })];
    let (_, says) = read_all(&stripe(), &call, |_| whole(&listed));
    assert!(matches!(says, Verdict::Found { id, .. } if id == "cs_1"));
}

/// What an object stands for, and what it means, for a call of 5 dollars that is about it.
fn about(object: &Value) -> (Option<String>, Option<MicroUsd>, Option<Effect>) {
    let (definition, mut call) = (stripe(), call("/v1/payment_intents/pi_1/confirm"));
    call.object = Some("pi_1".to_owned());
    let (endpoint, rates) = (endpoint(&call), Rates::none());
    let search = search(&definition, &endpoint, &call).unwrap();
    let found = search.found(object, &exchange(&rates));
    (
        search.object_path(),
        search.stands(object, &exchange(&rates)),
        found.map(|found| found.effect),
    )
}

#[test]
fn what_a_call_about_an_object_did_can_be_seen_at_the_object() {
    let path = Some("/v1/payment_intents/pi_1".to_owned());
    let confirmed = object("requires_payment_method");
    let stands = Effect::Stands(cents(400));
    assert_eq!(about(&confirmed), (path.clone(), Some(cents(400)), Some(stands)));
    let silent = json!({ "id": "pi_1", "currency": "usd", "status": "requires_action" });
    assert_eq!(about(&silent), (path, None, None), "the hold is no evidence of what it stands for");
    let (definition, call) = (stripe(), call(CHARGES));
    let endpoint = endpoint(&call);
    assert_eq!(search(&definition, &endpoint, &call).unwrap().object_path(), None);
}

#[test]
fn an_object_that_is_there_without_a_readable_id_is_not_absent() {
    let mut nameless = event("ours", "ch_1");
    nameless["data"]["object"]["id"] = Value::Null;
    for (searched, listed) in
        [(whole(&[]), whole(&[nameless])), (whole(&[json!({ "id": 5 })]), whole(&[]))]
    {
        let says = verdict(answers(searched.clone(), listed.clone()));
        let unclear = Verdict::Unclear { candidates: 0 };
        assert_eq!(says, unclear, "{searched} {listed}");
    }
}

/// What this object means for a call of 5 dollars there.
fn means(path: &str, object: &Value) -> Option<Found> {
    let (definition, call) = (stripe(), call(path));
    let (endpoint, rates) = (endpoint(&call), Rates::none());
    search(&definition, &endpoint, &call).unwrap().found(object, &exchange(&rates))
}

fn object(status: &str) -> Value {
    json!({
        "id": "ch_1", "object": "charge", "amount": 400, "captured": true, "amount_captured": 400,
        "amount_received": 0, "currency": "usd", "status": status,
        "failure_code": "card_declined", "failure_message": "Your card was declined.",
    })
}

#[test]
fn an_object_that_is_there_is_the_answer() {
    for (path, status, moved, is_final) in [
        (CHARGES, "succeeded", 400, true),
        (CHARGES, "pending", 400, true),
        ("/v1/payment_intents", "requires_payment_method", 400, false),
        ("/v1/payment_intents", "canceled", 0, true),
        ("/v1/refunds", "failed", 0, true),
    ] {
        let effect =
            if is_final { Effect::Moved(cents(moved)) } else { Effect::Stands(cents(moved)) };
        let answer = Found { effect, status: 200, answer: object(status) };
        assert_eq!(means(path, &object(status)), Some(answer), "{path} {status}");
    }
}

#[test]
fn a_declined_charge_reads_as_the_error_that_it_was() {
    let mut failed = object("failed");
    let error = |kind: &str| {
        json!({ "error": {
            "type": "card_error", "code": "card_declined",
            "message": "Your card was declined.", kind: "ch_1",
        }})
    };
    let declined = |answer| Found { effect: Effect::Moved(MicroUsd::ZERO), status: 402, answer };
    assert_eq!(means(CHARGES, &failed), Some(declined(error("charge"))));
    failed["object"] = Value::Null;
    assert_eq!(means(CHARGES, &failed), Some(declined(error("object"))));
}

#[test]
fn an_object_that_does_not_say_its_amount_settles_at_the_hold() {
    let mut silent = object("succeeded");
    silent["amount_captured"] = Value::Null;
    let found = means(CHARGES, &silent).unwrap();
    assert_eq!(found.effect, Effect::Moved(cents(500)));
}

#[test]
fn a_call_without_money_means_nothing() {
    let (definition, mut denied) = (stripe(), call(CHARGES));
    denied.verdict = rows::Verdict::Replayed { of: denied.id };
    let (endpoint, rates) = (endpoint(&denied), Rates::none());
    let search = search(&definition, &endpoint, &denied).unwrap();
    assert_eq!(search.found(&json!({ "id": "ch_1" }), &exchange(&rates)), None);
}

const MESSAGES: &str = "/2010-04-01/Accounts/AC1/Messages.json";

/// What a list of messages says of a message in doubt to a recipient, sent at second 1000.
fn told_by(to: &str, messages: &[Value], disowned: &[&str]) -> (Vec<String>, Verdict) {
    let one_page = |_| json!({ "messages": messages, "next_page_uri": null });
    told_by_pages(to, one_page, disowned)
}

/// The same for a list that is answered so, by the number of the page.
fn told_by_pages(
    to: &str,
    answer: impl Fn(usize) -> Value,
    disowned: &[&str],
) -> (Vec<String>, Verdict) {
    let twilio = built_in().unwrap().remove(1);
    let form = [("To", to), ("From", "+1555"), ("Body", "hello")];
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let params = Params::from_form(&form).unwrap();
    let mut call = call(MESSAGES);
    let endpoint = endpoint(&call);
    let rule = twilio.rule(&endpoint, &params);
    call.request.customer = Some(to.to_owned());
    call.request.likeness = twilio.likeness(rule, &params);
    call.tagged = false;
    let now = Timestamp::from_micros(2_000 * SECOND);
    let mut search = twilio.search_for(rule, &endpoint, &call, now).unwrap();
    let mut asked = Vec::new();
    while let Some(page) = search.next() {
        assert!(asked.len() < 1_000, "reads for ever: {page}");
        asked.push(page);
        search.read(&answer(asked.len()));
    }
    assert!(search.goes_by_likeness());
    search.disown(disowned.iter().copied());
    (asked, search.verdict())
}

fn message(sid: &str, body: &str, made_at: &str) -> Value {
    json!({ "sid": sid, "to": "+1777", "from": "+1555", "body": body, "date_created": made_at })
}

/// Seconds 1000 and 600 after 1970: the second is longer before the call than clocks differ.
const IN_TIME: &str = "Thu, 01 Jan 1970 00:16:40 +0000";
const BEFORE: &str = "Thu, 01 Jan 1970 00:10:00 +0000";

#[test]
fn without_tags_an_object_is_recognised_by_what_it_shows() {
    let (asked, verdict) = told_by("+1777", &[message("SM1", "hello", IN_TIME)], &[]);
    let path = "/2010-04-01/Accounts/AC1/Messages/SM1.json".to_owned();
    assert_eq!(verdict, Verdict::Found { id: "SM1".to_owned(), path });
    assert_eq!(asked, [format!("{MESSAGES}?To=%2B1777&PageSize=1000")]);
}

#[test]
fn the_candidates_are_those_that_could_be_the_calls_own() {
    let (stripe, call) = (stripe(), call(CHARGES));
    let endpoint = endpoint(&call);
    let mut search = search(&stripe, &endpoint, &call).unwrap();
    assert!(!search.goes_by_likeness(), "they carry tags");
    assert_eq!(search.candidates(), [""; 0]);
    search.read(&whole(&[json!({ "id": "ch_2" }), json!({ "id": "ch_1" })]));
    assert_eq!(search.candidates(), ["ch_1", "ch_2"]);
}

#[test]
fn a_list_that_names_its_next_page_is_read_until_it_names_none() {
    let page = |next: Option<Value>| match next {
        Some(next) => json!({ "messages": [], "next_page_uri": next }),
        None => json!({ "messages": [] }),
    };
    let next = "/2010-04-01/Accounts/AC1/Messages.json?Page=1";
    let unclear = Verdict::Unclear { candidates: 0 };
    for (end, verdict) in [
        (None, Verdict::Absent),
        (Some(Value::Null), Verdict::Absent),
        (Some(json!("")), Verdict::Absent),
        (Some(json!("https://elsewhere.example/")), unclear.clone()),
        (Some(json!("elsewhere")), unclear.clone()),
        (Some(json!(2)), unclear.clone()),
    ] {
        let answer = |number| page(if number == 1 { Some(json!(next)) } else { end.clone() });
        let (asked, says) = told_by_pages("+1777", answer, &[]);
        assert_eq!((asked.len(), asked[1].as_str()), (2, next), "{end:?}");
        assert_eq!(says, verdict, "{end:?}");
    }
    let (asked, says) = told_by_pages("+1777", |_| page(Some(json!(next))), &[]);
    assert_eq!((asked.len(), says), (MAX_PAGES, unclear), "a list without an end");
}

#[test]
fn without_tags_absence_is_proved_only_where_every_object_is_accounted_for() {
    let alike = message("SM1", "hello", IN_TIME);
    let other = message("SM2", "Trial - hello", IN_TIME);
    let undated = json!({ "sid": "SM3", "to": "+1777", "from": "+1555", "body": "x" });
    let unclear = |candidates| Verdict::Unclear { candidates };
    for (messages, disowned, verdict) in [
        (vec![], vec![], Verdict::Absent),
        (vec![message("SM1", "hello", BEFORE)], vec![], Verdict::Absent),
        (vec![alike.clone()], vec!["SM1"], Verdict::Absent),
        (vec![other.clone()], vec![], unclear(1)),
        (vec![other.clone()], vec!["SM2"], Verdict::Absent),
        (vec![undated], vec![], unclear(1)),
        (vec![alike.clone(), message("SM4", "hello", IN_TIME)], vec![], unclear(2)),
        (vec![json!({ "to": "+1777", "date_created": IN_TIME })], vec![], unclear(0)),
    ] {
        assert_eq!(told_by("+1777", &messages, &disowned).1, verdict, "{messages:?}");
    }
    let twins = [alike, message("SM4", "hello", IN_TIME)];
    let (_, verdict) = told_by("+1777", &twins, &["SM1"]);
    assert!(matches!(verdict, Verdict::Found { id, .. } if id == "SM4"));
}

#[test]
fn a_bill_is_read_at_the_object_that_the_call_made() {
    let [stripe, twilio, _] = <[Definition; 3]>::try_from(built_in().unwrap()).unwrap();
    let bill = |definition: &Definition, path: &str, object: Option<&str>| {
        let mut call = call(path);
        call.answer.object_id = object.map(str::to_owned);
        let endpoint = endpoint(&call);
        definition.bill_of(definition.rule(&endpoint, &Params::none()), &endpoint, &call)
    };
    let of_message = Some("/2010-04-01/Accounts/AC1/Messages/SM1.json".to_owned());
    assert_eq!(bill(&twilio, MESSAGES, Some("SM1")), of_message);
    assert_eq!(bill(&twilio, MESSAGES, Some("../SM1")), None, "not a plain id");
    assert_eq!(bill(&twilio, MESSAGES, None), None);
    assert_eq!(bill(&stripe, CHARGES, Some("ch_1")), None, "its price is known at once");
}

#[test]
fn a_bill_is_the_price_that_the_vendor_says_in_the_end() {
    let [stripe, twilio, _] = <[Definition; 3]>::try_from(built_in().unwrap()).unwrap();
    let rates = Rates::none();
    let billed = |definition: &Definition, path: &str, object: Value| {
        let endpoint = endpoint(&call(path));
        let rule = definition.rule(&endpoint, &Params::none());
        definition.billed(rule, &object, &exchange(&rates))
    };
    let price = |price: Value, unit: Value| json!({ "price": price, "price_unit": unit });
    for (object, expected) in [
        (price(json!("-0.0075"), json!("USD")), MicroUsd::from_micros(7_500)),
        (price(json!("0"), json!("USD")), Some(MicroUsd::ZERO)),
        (price(Value::Null, json!("USD")), None),
        (price(json!("-0.0075"), Value::Null), None),
        (price(json!("-0.0075"), json!("EUR")), None),
    ] {
        assert_eq!(billed(&twilio, MESSAGES, object.clone()), expected, "{object}");
    }
    assert_eq!(billed(&stripe, CHARGES, price(json!("1"), json!("USD"))), None);
}

#[test]
fn an_address_that_a_vendor_may_write_in_another_way_is_not_looked_up() {
    let can_look = |to: &str| {
        let twilio = built_in().unwrap().remove(1);
        let mut call = call(MESSAGES);
        call.request.customer = Some(to.to_owned());
        can_search(&twilio, &call)
    };
    assert!(can_look("+1777") && can_look("whatsapp:+1777"));
    assert!(!can_look("+1 (777)") && !can_look("client:J\u{f6}rg"));
}

#[test]
fn a_list_with_the_newest_first_is_read_until_an_object_is_too_old() {
    let resend = built_in().unwrap().remove(2);
    let mail = |id: &str, to: &str, made_at: &str| json!({ "id": id, "to": [to], "from": "a@b.example", "subject": "Due", "created_at": made_at });
    let (in_time, before) = ("1970-01-01T00:16:40.123456+00:00", "1970-01-01 00:10:00.5+00");
    let first = json!({ "has_more": true, "data": [mail("m3", "b@c.example", in_time)] });
    for (to, answered, verdict) in [
        ("to", mail("m2", "ann@c.example", in_time), "m2"),
        ("to[0]", mail("m2", "ann@c.example", in_time), "m2"),
        ("to", mail("m2", "bob@c.example", in_time), ""),
    ] {
        let form = [(to, "ann@c.example"), ("from", "a@b.example"), ("subject", "Due")];
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let params = Params::from_form(&form).unwrap();
        let mut call = call("/emails");
        let endpoint = endpoint(&call);
        let rule = resend.rule(&endpoint, &params);
        call.request.customer = Some("ann@c.example".to_owned());
        call.request.likeness = resend.likeness(rule, &params);
        call.tagged = false;
        let now = Timestamp::from_micros(2_000 * SECOND);
        let mut search = resend.search_for(rule, &endpoint, &call, now).unwrap();
        let rest = [answered, mail("m1", "ann@c.example", before)];
        let mut pages = [first.clone(), json!({ "has_more": true, "data": rest })].into_iter();
        let mut asked = Vec::new();
        while let Some(page) = search.next() {
            asked.push(page);
            search.read(&pages.next().unwrap());
        }
        assert_eq!(asked, ["/emails?limit=100", "/emails?limit=100&after=m3"]);
        let found = search.verdict();
        if verdict.is_empty() {
            assert_eq!(found, Verdict::Unclear { candidates: 2 });
            search.disown(["m2", "m3"]);
            assert_eq!(search.verdict(), Verdict::Absent);
        } else {
            let path = format!("/emails/{verdict}");
            assert_eq!(found, Verdict::Found { id: verdict.to_owned(), path });
        }
    }
}
