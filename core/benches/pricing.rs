//! What it costs to decide on one call: which rule it meets, what it costs, whether its key may make
//! it. The parameters are parsed already. Each is to stay under 20 µs.

#![expect(clippy::unwrap_used, reason = "a bench that can't be set up fails")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use keybrake_core::{
    params::Params,
    path::CanonicalPath,
    policy::{Endpoint, Method, Policy},
    rates::Rates,
    refusal::Refusal,
    time::Timestamp,
    vendor::{
        amount::Exchange,
        built_in,
        definition::{Definition, Rule},
        price::Price,
    },
};

/// One call, as far as it is read.
struct Request {
    name: &'static str,
    vendor: &'static str,
    endpoint: Endpoint,
    params: Params,
}

fn request(name: &'static str, vendor: &'static str, path: &str, params: Params) -> Request {
    let path = CanonicalPath::parse(path).unwrap();
    Request { name, vendor, endpoint: Endpoint { method: Method::Post, path }, params }
}

fn form(text: &str) -> Params {
    Params::from_form(text).unwrap()
}

fn requests() -> Vec<Request> {
    let lines = (0..20).map(|line| {
        format!(
            "line_items[{line}][quantity]=2&line_items[{line}][price_data][currency]=usd\
             &line_items[{line}][price_data][unit_amount]=1099\
             &line_items[{line}][price_data][product_data][name]=Thing"
        )
    });
    let session = lines.chain(["mode=payment&success_url=x".to_owned()]).collect::<Vec<_>>();
    let message = |text: &str| {
        let body = text.repeat(1_600 / text.chars().count());
        form(&format!("To=%2B14155550100&From=%2B14155550101&Body={body}"))
    };
    let messages = "/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json";
    let mail = r#"{"from":"a@x.example","to":["b@x.example"],"subject":"s","html":"<p>h</p>"}"#;
    let batch = format!("[{}]", vec![mail; 100].join(","));
    vec![
        request(
            "a payment intent",
            "stripe",
            "/v1/payment_intents",
            form(
                "amount=1099&currency=usd&confirm=true&customer=cus_1&payment_method=pm_1&metadata[order]=7",
            ),
        ),
        request(
            "a checkout session of 20 lines",
            "stripe",
            "/v1/checkout/sessions",
            form(&session.join("&")),
        ),
        request("a message of 1600 letters", "twilio", messages, message("sixteen_letters_")),
        request(
            "a message of 1600 other signs",
            "twilio",
            messages,
            message("漢字かな交じり文です"),
        ),
        request(
            "a batch of 100 mails",
            "resend",
            "/emails/batch",
            Params::from_json_document(&batch).unwrap(),
        ),
        request("a write that is not listed", "stripe", "/v1/no/such/endpoint", form("amount=1")),
    ]
}

/// As the pipeline does: which rule, and its price.
fn price(definition: &Definition, request: &Request, rates: &Rates) -> Result<u64, Refusal> {
    let Rule::Priced(priced) = definition.rule(&request.endpoint, &request.params) else {
        return Err(Refusal::UnpricedEndpoint { endpoint: request.endpoint.to_string() });
    };
    let exchange = Exchange::new(rates, Timestamp::from_micros(0));
    match definition.price(priced, &request.endpoint, &request.params, &exchange)? {
        Price::Known(quote) => Ok(quote.hold.as_micros()),
        Price::Ask(question) => Ok(question.path_and_query.len().try_into().unwrap_or(u64::MAX)),
    }
}

fn pricing(criterion: &mut Criterion) {
    let (vendors, rates) = (built_in().unwrap(), Rates::none());
    let mut group = criterion.benchmark_group("price");
    for request in requests() {
        let definition = vendors.iter().find(|known| known.name() == request.vendor).unwrap();
        let is_listed = !request.name.contains("not listed");
        assert_eq!(price(definition, &request, &rates).is_ok(), is_listed, "{}", request.name);
        group.bench_function(request.name, |bencher| {
            bencher.iter(|| price(definition, black_box(&request), &rates));
        });
    }
    group.finish();
}

fn permitting(criterion: &mut Criterion) {
    let vendors = built_in().unwrap();
    let definition = vendors.first().unwrap();
    let pattern = |index: usize| format!("POST /v1/things_{index}/{{id}}/*").parse().unwrap();
    let mut patterns: Vec<_> = (0..19).map(pattern).collect();
    patterns.push("POST /v1/payment_intents".parse().unwrap());
    let policy = Policy::allowing("stripe".to_owned(), patterns);
    let mut group = criterion.benchmark_group("permit");
    let requests = requests();
    for (name, index) in [("by the last of 20 patterns", 0), ("by none of 20 patterns", 5)] {
        let request = requests.get(index).unwrap();
        group.bench_function(name, |bencher| {
            let permit =
                || definition.permit(&policy, black_box(&request.endpoint), &request.params);
            bencher.iter(permit);
        });
    }
    group.finish();
}

criterion_group!(benches, pricing, permitting);
criterion_main!(benches);
