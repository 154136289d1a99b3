use super::*;

#[tokio::test]
async fn lists_page_from_the_newest() {
    let vendor = start().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(vendor.post(INTENTS, "amount=100&currency=usd").await.id());
    }
    ids.reverse();
    let first = vendor.get(&format!("{INTENTS}?limit=2")).await;
    let second = vendor.get(&format!("{INTENTS}?limit=3&starting_after={}", ids[1])).await;
    let back = vendor.get(&format!("{INTENTS}?limit=2&ending_before={}", ids[3])).await;
    assert_eq!((first.ids(), first.json()["has_more"].clone()), (ids[..2].to_vec(), true.into()));
    assert_eq!(
        (second.ids(), second.json()["has_more"].clone()),
        (ids[2..].to_vec(), false.into())
    );
    assert_eq!((back.ids(), back.json()["has_more"].clone()), (ids[1..3].to_vec(), true.into()));
    assert_eq!(vendor.get(&format!("{INTENTS}?limit=101")).await.status, 400);
    assert_eq!(vendor.get(&format!("{INTENTS}?starting_after=pi_x")).await.status, 400);
    assert_eq!(
        vendor.get(&format!("{INTENTS}?nonsense=1")).await.error("code"),
        "parameter_unknown"
    );
}

#[tokio::test]
async fn lists_filter_by_customer_and_by_charge() {
    let vendor = start().await;
    let customer = vendor.post("/v1/customers", "email=a@example.com").await.id();
    let with = vendor.post(INTENTS, &format!("{PAY}&customer={customer}")).await;
    let other = vendor.post(INTENTS, PAY).await.id();
    let charge = with.json()["latest_charge"].as_str().unwrap().to_owned();
    let refund = vendor.post("/v1/refunds", &format!("charge={charge}&amount=1")).await.id();
    vendor.post("/v1/refunds", &format!("payment_intent={other}")).await;

    for (path, id) in [
        (format!("{INTENTS}?customer={customer}"), with.id()),
        (format!("/v1/charges?customer={customer}"), charge.clone()),
        (format!("/v1/refunds?charge={charge}"), refund.clone()),
        (format!("/v1/refunds?payment_intent={}", with.id()), refund),
        ("/v1/customers?email=a@example.com".to_owned(), customer.clone()),
    ] {
        assert_eq!(vendor.get(&path).await.ids(), [id], "{path}");
    }
}

#[tokio::test]
async fn search_finds_an_object_only_after_its_delay() {
    let vendor = start().await;
    let id = vendor.post(INTENTS, &format!("{PAY}&metadata[order]=it's")).await.id();
    let path = format!("{INTENTS}/search?query=metadata%5B%27order%27%5D:%27it%5C%27s%27");
    assert_eq!(vendor.get(&path).await.ids(), Vec::<String>::new());
    vendor.sandbox.advance(Duration::from_secs(2));
    assert_eq!(vendor.get(&path).await.ids(), [id]);
}

#[tokio::test]
async fn search_joins_clauses_and_pages() {
    let vendor = start().await;
    for n in 0..3 {
        vendor.post(INTENTS, &format!("{PAY}&metadata[a]=1&metadata[n]={n}")).await;
    }
    vendor.sandbox.advance(Duration::from_secs(2));
    let search = async |query: &str, rest: &str| {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        vendor.get(&format!("{INTENTS}/search?query={query}{rest}")).await
    };
    let all = search("metadata['a']:'1' AND status:\"succeeded\" AND amount>=1099", "").await;
    let some = search("metadata['a']:'1' AND -metadata['n']:'1'", "").await;
    assert_eq!((all.ids().len(), some.ids().len()), (3, 2));

    let first = search("metadata['a']:'1'", "&limit=2").await;
    let next = first.json()["next_page"].as_str().unwrap().to_owned();
    let second = search("metadata['a']:'1'", &format!("&limit=2&page={next}")).await;
    assert_eq!([first.ids(), second.ids()].concat(), all.ids());
    assert_eq!(second.json()["next_page"], Value::Null);
    for wrong in ["nonsense", "metadata['a']:'1' OR amount>1", "metadata['a']", ""] {
        assert_eq!(search(wrong, "").await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn events_name_the_request_that_caused_them() {
    let vendor = start().await;
    let intent = vendor.post_as("k", INTENTS, PAY).await;
    vendor.post_as("k", INTENTS, PAY).await;
    let events = vendor.get("/v1/events").await.json();
    let events = events["data"].as_array().unwrap();
    let kinds: Vec<&str> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["payment_intent.succeeded", "charge.succeeded", "payment_intent.created"]);
    for event in events {
        assert_eq!(event["request"]["idempotency_key"], "k");
        assert_eq!(event["request"]["id"], intent.header("request-id"));
    }
    assert_eq!(events[0]["data"]["object"]["id"], intent.json()["id"]);
    assert_eq!(events[2]["data"]["object"]["status"], "requires_confirmation");
}

#[tokio::test]
async fn events_are_filtered_by_type_and_time() {
    let vendor = start().await;
    let charge = vendor.post("/v1/charges", "amount=100&currency=usd&source=tok_visa").await;
    vendor.post("/v1/refunds", &format!("charge={}", charge.id())).await;
    let created = charge.json()["created"].as_i64().unwrap();
    for (query, count) in [
        ("type=refund.created".to_owned(), 1),
        ("type=charge.*".to_owned(), 2),
        ("types[]=refund.created&types[]=charge.succeeded".to_owned(), 2),
        (format!("created[gte]={created}"), 3),
        (format!("created[lte]={}", created - 1), 0),
    ] {
        let events = vendor.get(&format!("/v1/events?{query}")).await.ids();
        assert_eq!(events.len(), count, "{query}");
    }
}

#[tokio::test]
async fn events_show_after_their_delay() {
    let vendor =
        start_with(Settings { events_delay: Duration::from_secs(5), ..Settings::default() }).await;
    vendor.post("/v1/customers", "name=a").await;
    assert_eq!(vendor.get("/v1/events").await.ids().len(), 0);
    vendor.sandbox.advance(Duration::from_secs(5));
    let ids = vendor.get("/v1/events").await.ids();
    assert_eq!(vendor.get(&format!("/v1/events/{}", ids[0])).await.id(), ids[0]);
}
