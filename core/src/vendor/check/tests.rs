//! Every way in which a definition can be wrong, with the line and what is said about it.

use crate::vendor::definition::Definition;

mod money;

const WHOLE: &str = include_str!("whole.toml");
/// Names that a definition can't have.
const TAKEN: [(&str, &str); 2] = [("stripe", "it is built in"), ("vault", "it is Keybrake's own")];

/// A text in [`WHOLE`], what stands there instead, and what is then said: of the line with `»`, of
/// the first that begins with what stands before `|`, or else of the one that was changed.
type Case = (&'static str, &'static str, &'static str);

fn assert_told(cases: &[Case]) {
    let mut failed = Vec::new();
    for (from, to, says) in cases {
        assert_eq!(WHOLE.matches(from).count(), 1, "{from:?} does not stand there once");
        let marked = WHOLE.replace(from, to);
        let (begins, says) = says.split_once('|').unwrap_or(("", says));
        let (spoilt, at) = match marked.find('»') {
            Some(at) => (marked.replace('»', ""), at),
            None if begins.is_empty() => (marked, WHOLE.find(from).unwrap()),
            None => {
                let at = format!("\n{marked}").find(&format!("\n{begins}")).unwrap();
                (marked, at)
            }
        };
        let line = spoilt[..at].matches('\n').count() + 1;
        let told = match Definition::parse_beside(&spoilt, &TAKEN) {
            Ok(_) => Vec::new(),
            Err(invalid) => invalid.faults().to_vec(),
        };
        let found = told.iter().any(|fault| fault.line == line && fault.why.contains(says));
        if !found {
            failed.push(format!("{to:?}, line {line}: {says:?} is not among {told:?}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_whole_definition_is_valid() {
    Definition::parse_beside(WHOLE, &TAKEN).unwrap();
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_their_lines() {
    let spoilt = WHOLE.replace("\"acme\"", "\"Acme\"").replace("[402]", "[200]");
    let spoilt = spoilt.replace("\"/currency\"\nstands", "\"currency\"\nstands");
    let error = Definition::parse(&spoilt).unwrap_err();
    let lines: Vec<_> = error.faults().iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [2, 37, 63]);
    assert!(error.to_string().contains("line 2: "), "{error}");
}

#[test]
fn what_is_not_the_language_is_told() {
    assert_told(&[
        ("encoding = \"form\"", "encoding = xml", "string values must be quoted"),
        ("amounts = \"minor\"", "amounts = \"minor\"\n»amounts = \"minor\"", "duplicate key"),
        ("amounts = \"minor\"", "amount = \"minor\"", "unknown field `amount`, expected one of"),
        ("refused = [\"x-other\"]", "refuse = [\"x-other\"]", "unknown field `refuse`"),
        ("max_length = 255", "max_length = \"255\"", "expected usize"),
        ("encoding = \"form\"", "encoding = \"xml\"", "expected `form` or `json`"),
        ("credential_to = { header = \"x-api-key\" }", "credential_to = \"cookie\"", "`bearer`"),
        (
            "credential_to = { header = \"x-api-key\" }",
            "",
            "# A definition|missing field `credential_to`",
        ),
        ("window = \"24h\"", "window = \"a day\"", "30m, 2h or 7d"),
        ("window = \"24h\"\n", "", "[idempotency]|missing field `window`"),
        (
            "free = [\"POST /v1/customers\"]",
            "free = [\"/v1/customers\"]",
            "is not an endpoint: write a method and a path",
        ),
        ("never = [\"POST /v1/keys/*\"]", "never = [\"POST /v1/*/keys\"]", "is not an endpoint"),
        ("by = \"to\"", "by = \"[to]\"", "does not name a parameter"),
        ("when = [\"draft\"]", "when = [\"a b\"]", "does not name a parameter"),
        ("each = \"0.02\"", "each = 0.02", "expected dollars as text, such as \"0.0009\""),
        ("each = \"0.02\"", "each = \"-0.02\"", "\"-0.02\" is not an amount: write dollars"),
        ("\"+1\" = \"0.01\"", "\"+1\" = \"0.00000001\"", "at most six decimals"),
        ("why = \"unknown\"", "why = \"secret\"", "expected `unknown` or `unbounded`"),
    ]);
}

#[test]
fn names_and_addresses_that_can_not_be_used_are_told() {
    let base = "base_url = \"https://api.acme.example\"";
    assert_told(&[
        ("name = \"acme\"", "name = \"Acme-1\"", "lower-case letters, digits and _"),
        ("name = \"acme\"", "name = \"stripe\"", "\"stripe\" is taken: it is built in"),
        ("name = \"acme\"", "name = \"vault\"", "\"vault\" is taken: it is Keybrake's own"),
        ("[\"acme-v1\"]", "[\"stripe\"]", "\"stripe\" is taken"),
        ("[\"acme-v1\"]", "[\"acme\"]", "leave it out"),
        ("[\"acme-v1\"]", "[\"v1/x\"]", "not one segment"),
        ("json_prefixes = [\"v3\"]", "json_prefixes = [\"/v3\"]", "not one segment"),
        ("after = \"accounts\"", "after = \"/accounts/\"", "not one segment"),
        (base, "base_url = \"http://api.acme.example\"", "it is https://host"),
        (base, "base_url = \"https://api.acme.example/\"", "final slash"),
        (base, "base_url = \"https://api.acme.example/v1\"", "without a path"),
        (base, "base_url = \"https://a@api.acme.example\"", "it is https://host"),
        (base, "base_url = \"https://api.acme.example:x\"", "it is https://host"),
        (base, "base_url = \"https://localhost\"", "KEYBRAKE_VENDOR_ACME_BASE_URL"),
        (base, "base_url = \"https://10.1.2.3:8443\"", "base_url under [vendor.acme]"),
        (base, "base_url = \"https://169.254.169.254\"", "private"),
        (base, "base_url = \"https://[::ffff:127.0.0.1]\"", "private"),
        (base, "base_url = \"https://[fd00::1]\"", "private"),
        (base, "base_url = \"https://127.1\"", "private"),
        (base, "base_url = \"https://0x7f000001\"", "private"),
        (base, "base_url = \"https://db.internal\"", "private"),
        ("https://files.acme.example:8443", "http://files.acme.example", "it is https://host"),
        ("prefix = \"/v2/files\"", "prefix = \"v2/files/\"", "a slash in front and none behind"),
        (
            "  { prefix = \"/v2/files\"",
            "  { prefix = \"/v2\", base_url = \"https://b.acme.example\" },\n »{ prefix = \"/v2/files\"",
            "put the longer prefix first",
        ),
    ]);
}

#[test]
fn a_password_needs_the_account_that_is_its_user_name() {
    let without =
        WHOLE.replace("account = { after = \"accounts\", placeholders = [\"account\"] }", "");
    let spoilt = without.replace("{ header = \"x-api-key\" }", "\"basic_password\"");
    let error = Definition::parse(&spoilt).unwrap_err();
    let [fault] = error.faults() else { panic!("{error}") };
    assert!(fault.line == 11 && fault.why.contains("account = { after"), "{error}");
}

#[test]
fn endpoints_that_are_never_reached_or_reached_in_two_ways_are_told() {
    let free = "free = [\"POST /v1/customers\"]";
    let second = "[[priced]]\nendpoint = \"POST /v1/payments\"\namount = \"amount\"";
    let third = "endpoint = \"POST /v1/payments/{id}/cancel\"";
    assert_told(&[
        (free, "free = [\"POST /v1/customers\", \"POST /v1/customers\"]", "take one of them out"),
        (free, "free = [\"POST /v1/keys/new\"]", "never POST /v1/keys/* has all of its calls"),
        (free, "free = [\"POST /v1/messages\"]", "priced POST /v1/messages has all of its calls"),
        (
            free,
            "free = [\"POST /v1/*\"]",
            "  { endpoint = \"POST /v1/subs|free POST /v1/* has all of its calls",
        ),
        (
            "never = [\"POST /v1/keys/*\"]",
            "never = [\"POST /v1/messages\"]",
            "endpoint = \"POST /v1/messages|an endpoint stands in one list only",
        ),
        (
            second,
            "[[priced]]\n»endpoint = \"POST /v1/payments\"\nwhen = [\"x\", \"draft\"]\namount = \"amount\"",
            "put the one with more in its when first",
        ),
        (
            second,
            "[[priced]]\n»endpoint = \"POST /v1/payments\"\nwhen = [\"draft\"]\namount = \"amount\"",
            "never reached",
        ),
        (third, "endpoint = \"POST /v1/payments/{id}/{id}/cancel\"", "two segments with one name"),
        ("without = [\"balance\"]", "without = []", "the endpoint stands in free"),
    ]);
}

#[test]
fn headers_statuses_and_tags_that_can_not_hold_are_told() {
    let request = "request = [\"accept\"]";
    let response = "response = [\"content-type\", \"request-id\"]";
    assert_told(&[
        (request, "request = [\"Accept\"]", "write \"accept\""),
        (request, "request = [\"a b\"]", "not a header's name"),
        (request, "request = [\"cookie\"]", "carries credentials"),
        (request, "request = [\"transfer-encoding\"]", "Keybrake's own to set"),
        (request, "request = [\"x-keybrake-context\"]", "Keybrake's own to set"),
        (request, "request = [\"x-api-key\"]", "the vendor's secret goes into this header"),
        (
            request,
            "request = [\"idempotency-key\"]",
            "header = \"idem|Keybrake sets this header itself",
        ),
        (response, "response = [\"set-cookie\", \"request-id\"]", "carries credentials"),
        (
            response,
            "response = [\"content-type\"]",
            "request_id|one of the response headers that pass",
        ),
        ("header = \"x-api-key\"", "header = \"X-Api-Key\"", "write \"x-api-key\""),
        ("header = \"x-api-key\"", "header = \"authorization\"", "carries credentials"),
        ("header = \"x-api-key\"", "header = \"idempotency-key\"", "header = \"idem|Keybrake sets"),
        ("refused = [\"x-other\"]", "refused = [\"X-Other\"]", "lower case"),
        ("account = [\"acme-account\"]", "account = [\"\"]", "not a header's name"),
        ("replayed_header = \"replayed\"", "replayed_header = \"Replayed\"", "lower case"),
        (
            "declined = [402]",
            "declined = [400]",
            "both declined, which was processed, and not_executed",
        ),
        ("declined = [402]", "declined = [402, 402]", "twice"),
        ("declined = [402]", "declined = [500]", "does not prove"),
        ("not_executed = [400, 401]", "not_executed = [201]", "a success"),
        ("not_executed = [400, 401]", "not_executed = [408]", "in doubt until it is known"),
        ("not_executed = [400, 401]", "not_executed = [301]", "does not prove"),
        (
            "secret_refused = [401]",
            "secret_refused = [402]",
            "declined|both declined and secret_refused",
        ),
        ("window = \"24h\"", "window = \"0s\"", "a retry is sent within the window less one hour"),
        ("window = \"24h\"", "window = \"1h\"", "within this one never"),
        ("max_length = 255", "max_length = 40", "up to 68 characters"),
        ("reserved = \"metadata[keybrake_\"", "reserved = \"\"", "how the names of our own"),
        ("run = \"metadata[keybrake_run]\"", "run = \"run\"", "begins with reserved"),
        (
            "call = \"metadata[keybrake_call]\"",
            "call = \"metadata[keybrake_run]\"",
            "two parameters",
        ),
        ("max_length = 500", "max_length = 10", "18 characters"),
        ("encoding = \"form\"", "encoding = \"json\"", "json_prefixes|leave json_prefixes out"),
        ("encoding = \"form\"", "encoding = \"json\"", "[tags]|no tag is put into it"),
        ("encoding = \"form\"", "encoding = \"json\"", "parameter|nothing is taken out of it"),
    ]);
}
