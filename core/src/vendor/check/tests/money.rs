//! What can be wrong with prices, with what is read of answers, and with look-ups.

use super::{WHOLE, assert_told};
use crate::vendor::definition::Definition;

#[test]
fn prices_that_are_not_whole_or_are_ignored_are_told() {
    let units = "items = [\"media\"]";
    let about = "about = { kind = \"payment\", id = \"id\", releases = true }";
    assert_told(&[
        (
            "card = \"sms\"",
            "card = \"mms\"",
            "there is no [[card]] with the name \"mms\": there are \"sms\"",
        ),
        (
            "kind = \"payment\"\nget",
            "kind = \"pay\"\nget",
            "makes = |there is no [[object]] with the kind \"payment\": there are \"pay\"",
        ),
        (about, "about = { kind = \"pay\", id = \"id\" }", "there is no [[object]]"),
        (
            about,
            "about = { kind = \"payment\", id = \"id\", releases = true, adds = true }",
            "not both",
        ),
        (about, "makes = \"payment\"\n»about = { kind = \"payment\", id = \"id\" }", "not both"),
        (about, "amount = \"amount\"", "endpoint = \"POST /v1/payments/{id}/cancel|or whom to ask"),
        (
            about,
            "amount = \"amount\"\ncurrency = \"currency\"",
            "endpoint = \"POST /v1/payments/{id}/cancel|settled, or silent",
        ),
        (
            about,
            "about = { kind = \"payment\", id = \"id\" }\n»ask = [{ get = \"/v1/x\", amount = \"/a\", currency = \"/c\" }]",
            "ask would be ignored",
        ),
        (
            "endpoint = \"POST /v1/messages\"\n",
            "endpoint = \"POST /v1/messages\"\n»amount = \"amount\"\n",
            "amount would be ignored",
        ),
        (
            "endpoint = \"POST /v1/payments/{id}/refunds\"\namount = \"amount\"",
            "endpoint = \"POST /v1/payments/{id}/refunds\"\n»times = \"count\"",
            "without amount it says nothing",
        ),
        (
            "endpoint = \"POST /v1/payments/{id}/refunds\"\namount = \"amount\"",
            "endpoint = \"POST /v1/payments/{id}/refunds\"\n»signed = true",
            "without amount it says nothing",
        ),
        ("times = \"lines[*][count]\"", "times = \"count\"", "another group"),
        (
            "currency = \"currency\"\ncustomer",
            "currency = \"rows[*][currency]\"\ncustomer",
            "another group",
        ),
        ("customer = \"customer\"\nask", "customer = \"to[*]\"\nask", "it has no *"),
        ("by = \"to\"\n", "", "[[priced.units]]|one price: each, or a card with by"),
        ("by = \"to\"", "by = \"to[*]\"", "no * can stand in it"),
        ("[[priced.units]]\neach = \"0.02\"\n", "[[»priced.units]]\n", "one price: each"),
        (
            "[[priced.units]]\neach = \"0.02\"\n",
            "[[»priced.units]]\neach = \"0.02\"\nbytes = true\n",
            "a unit counts one thing",
        ),
        (units, "items = [\"media\"]\n»default = 1", "default is for segments"),
    ]);
}

#[test]
fn answers_and_objects_that_say_nothing_are_told() {
    let cases = "{ at = \"/status\", is = [\"void\"], for = [], final = true }";
    assert_told(&[
        ("each = \"0.01\"\nnumber", "each = \"0.01\"\n»numbers", "unknown field"),
        (
            "object = \"/id\"\n[[priced.settled.units]]",
            "amount = \"/a\"\ncurrency = \"/c\"\nobject = \"/id\"\n[[»priced.settled.units]]",
            "amount or counts units, not both",
        ),
        (
            "currency = \"/currency\"\nobject",
            "object",
            "[priced.settled]|an amount without its currency says nothing",
        ),
        ("status = \"/status\"\n", "", "[priced.settled]|status and nothing belong together"),
        (
            "amount = \"/amount\", currency = \"/currency\" },\n]\naccount",
            "amount = \"/amount\" },\n]\naccount",
            "an amount without its currency",
        ),
        ("[priced.lookup.list]", "[priced.x]", "unknown field"),
        (cases, "{ is = [\"void\"], for = [] }", "at and is belong together"),
        (cases, "{ for = [] }", "put it last"),
        ("\"+1\" = \"0.01\"", "", "[card.prices]|prices nothing"),
    ]);
}

#[test]
fn templates_and_pointers_that_point_nowhere_are_told() {
    let ask = "get = \"/v1/payments/{id}\", amount";
    let bill = "bill = { get = \"/v1/messages/{id}\", price = \"/price\"";
    assert_told(&[
        (
            "get = \"/v1/payments/{id}\"\n",
            "get = \"/v1/payments/{ID}\"\n",
            "nothing fills {ID} here: the blanks that are filled are \"id\"",
        ),
        ("get = \"/v1/payments/{id}\"\n", "get = \"/v1/payments\"\n", "it has to name {id}"),
        ("get = \"/v1/payments/{id}\"\n", "get = \"v1/payments/{id}\"\n", "begins with a slash"),
        ("get = \"/v1/payments/{id}\"\n", "get = \"/v1/payments/{id\"\n", "a name in braces"),
        (
            "cancel = \"/v1/payments/{id}/cancel\"",
            "cancel = \"/v1/payments/{payment}/cancel\"",
            "nothing fills {payment}",
        ),
        (ask, "get = \"v1/payments/{id}\", amount", "begins with a slash"),
        (ask, "get = \"/v1/payments/{}\", amount", "a name in braces"),
        (bill, "bill = { get = \"/v1/messages/{sid}\", price = \"/price\"", "nothing fills {sid}"),
        (bill, "bill = { get = \"/v1/messages/{id}\", price = \"price\"", "write \"/price\""),
        ("id = \"/id\"\n", "id = \"$.data.id\"\n", "write \"/data/id\""),
        (
            "currency = \"/currency\"\nstands",
            "currency = \"/cur~rency\"\nstands",
            "not a JSON pointer",
        ),
        ("{ for = [\"/amount\"] }", "{ for = [\"amount\"] }", "write \"/amount\""),
        ("number = \"/count\"", "number = \"count\"", "write \"/count\""),
        ("object = \"/error/payment\"", "object = \"error.payment\"", "write \"/error/payment\""),
        ("status = \"/status\"\nnothing", "status = \"status\"\nnothing", "write \"/status\""),
        (
            "object = \"/id\"\n[[priced.settled.units]]",
            "status = \"/s\"\nnothing = [\"x\"]\n[[priced.settled.units]]",
            "bill|which no answer tells",
        ),
    ]);
}

#[test]
fn look_ups_that_find_or_prove_nothing_are_told() {
    let list = "get = \"/v1/refunds?customer={customer}&since={since}\"";
    let tag = "tag = \"/metadata/keybrake_call\"";
    let events = "[lookup.events]\nlist = \"/v1/events?type={type}&since={since}\"\nnext = \"&after={last}\"\nidempotency_key = \"/request/key\"\nobject = \"/data/id\"\n";
    assert_told(&[
        ("gives_up_after = \"24h\"", "gives_up_after = \"1m\"", "longer span than visible_after"),
        ("search = \"query={query}\"", "search = \"q={search}\"", "nothing fills {search}"),
        ("search_query = \"'{call}'\"", "search_query = \"'x'\"", "it has to name {call}"),
        ("search = \"query={query}\"\n", "", "[lookup]|search and search_query belong together"),
        (
            "list = \"/v1/events?type={type}&since={since}\"",
            "list = \"/v1/events?kind={kind}\"",
            "nothing fills {kind}",
        ),
        ("next = \"&after={last}\"\nid", "next = \"&page=2\"\nid", "it has to name {last}"),
        (
            "idempotency_key = \"/request/key\"",
            "idempotency_key = \"request\"",
            "not a JSON pointer",
        ),
        (
            events,
            "",
            "lookup = { events|where events are read stands in [lookup.events], which is missing",
        ),
        (
            "events = [\"payment.made\"], search = \"/v1/payments/search\"",
            "object = \"/v1/payments/{id}\"",
            "can prove nothing",
        ),
        ("search = \"/v1/payments/search\"", "search = \"/v1/{x}/search\"", "nothing fills {x}"),
        (tag, "", "[priced.lookup.list]|tag, or alike, one of them"),
        (tag, "tag = \"/t\"\nalike = { a = \"/a\" }", "[priced.lookup.list]|one of them"),
        (tag, "alike = { amount = \"amount\" }", "write \"/amount\""),
        (tag, "tag = \"metadata.keybrake_call\"", "write \"/metadata/keybrake_call\""),
        (list, "get = \"/v1/refunds?payment={payment}\"", "nothing fills {payment}"),
        ("customer = \"customer\"\nask", "ask", "get = \"/v1/refunds|nothing fills {customer}"),
        ("next = \"&after={last}\"\ntag", "next = \"after\"\ntag", "it has to name {last}"),
        ("object = \"/v1/refunds/{id}\"\n", "", "[priced.lookup|read at its own path"),
        (
            "object = \"/id\"\nstatus",
            "status",
            "[priced.lookup|read by its id, which nothing tells",
        ),
    ]);
    let untagged = WHOLE.replace(
        "endpoint = \"POST /v1/payments/{id}/refunds\"",
        "endpoint = \"POST /v1/payments/{id}/refunds\"\nuntagged = true",
    );
    let error = Definition::parse(&untagged).unwrap_err().to_string();
    assert!(error.contains("no tag of ours is in these objects"), "{error}");
    let begin = WHOLE.find("[lookup]").unwrap();
    let end = WHOLE.find("[[object]]").unwrap();
    let without = WHOLE.replace(&WHOLE[begin..end], "");
    let error = Definition::parse(&without).unwrap_err().to_string();
    assert!(error.contains("a look-up needs [lookup]"), "{error}");
}
