//! Look-ups: each can find what it looks for, and none takes finding nothing for proof of nothing.

use super::{
    Faults, Place,
    templates::{optional, path, pointer, template},
};
use crate::vendor::definition::{Definition, List, Lookup, Priced, PricedLookup};

pub(super) fn check(definition: &Definition, faults: &mut Faults) {
    if let Some(lookup) = &definition.lookup {
        whole(definition, lookup, &Place::default().key("lookup"), faults);
    }
    for (index, priced) in definition.priced.iter().enumerate() {
        if let Some(lookup) = &priced.lookup {
            let at = Place::default().key("priced").item(index).key("lookup");
            one(definition, priced, lookup, &at, faults);
        }
    }
}

fn whole(definition: &Definition, lookup: &Lookup, at: &Place, faults: &mut Faults) {
    faults.say_if(
        lookup.gives_up_after <= lookup.visible_after,
        || at.key("gives_up_after"),
        "looking ends before an object has to be visible: write a longer span than visible_after",
    );
    faults.say_if(
        lookup.search.is_some() != lookup.search_query.is_some(),
        || at.clone(),
        "search and search_query belong together: the query with {query}, and what to search for with {call}",
    );
    if let Some(search) = &lookup.search {
        template(search, at.key("search"), &["query"], &["query"], faults);
    }
    if let Some(query) = &lookup.search_query {
        template(query, at.key("search_query"), &["call"], &["call"], faults);
    }
    if let Some(events) = &lookup.events {
        let at = at.key("events");
        path(&events.list, at.key("list"), &["type", "since", "until"], &["type"], faults);
        template(&events.next, at.key("next"), &["last"], &["last"], faults);
        pointer(&events.idempotency_key, at.key("idempotency_key"), faults);
        pointer(&events.object, at.key("object"), faults);
        faults.say_if(
            definition.idempotency.is_none(),
            || at.clone(),
            "events are recognised by an idempotency key, and this vendor is sent none: write [idempotency], or leave this out",
        );
    }
}

fn one(
    definition: &Definition,
    priced: &Priced,
    lookup: &PricedLookup,
    at: &Place,
    faults: &mut Faults,
) {
    let how = definition.lookup.as_ref();
    let finds = !lookup.events.is_empty() || lookup.search.is_some() || lookup.list.is_some();
    faults.say_if(
        how.is_none(),
        || at.clone(),
        "a look-up needs [lookup], with visible_after: how long after it was made an object may still be invisible",
    );
    faults.say_if(
        !finds && priced.about.is_none(),
        || at.clone(),
        "this look-up can prove nothing: say where to look by events, search or a list, or leave it out",
    );
    let has_events = how.is_some_and(|how| how.events.is_some());
    let why = "where events are read stands in [lookup.events], which is missing";
    faults.say_if(!lookup.events.is_empty() && !has_events, || at.key("events"), why);
    let tagged = definition.tags.is_some() && !priced.untagged && priced.about.is_none();
    let untagged = "no tag of ours is in these objects: [tags] is missing, or the call takes none";
    if let Some(search) = &lookup.search {
        path(search, at.key("search"), &[], &[], faults);
        let has_query = how.is_some_and(|how| how.search.is_some());
        let why = "how to search stands in [lookup], as search and search_query: they are missing";
        faults.say_if(!has_query, || at.key("search"), why);
        faults.say_if(!tagged, || at.key("search"), untagged);
    }
    if let Some(list) = &lookup.list {
        let at = at.key("list");
        self::list(priced, list, &at, faults);
        faults.say_if(list.tag.is_some() && !tagged, || at.key("tag"), untagged);
    }
    found(priced, lookup, at, finds, faults);
}

fn list(priced: &Priced, list: &List, at: &Place, faults: &mut Faults) {
    let names = priced.endpoint.get_ref().names();
    let customer = priced.customer.iter().map(|_| "customer");
    let known: Vec<_> = names.chain(["since", "until"]).chain(customer).collect();
    path(&list.get, at.key("get"), &known, &[], faults);
    if !list.items.is_empty() {
        pointer(&list.items, at.key("items"), faults);
    }
    optional(list.tag.as_ref(), at.key("tag"), faults);
    optional(list.made_at.as_ref(), at.key("made_at"), faults);
    for (name, shown) in &list.alike {
        pointer(shown, at.key("alike").key(name), faults);
    }
    let is_template = list.next.as_ref().filter(|next| !next.starts_with('/'));
    if let Some(next) = is_template {
        template(next, at.key("next"), &["last"], &["last"], faults);
    }
    faults.say_if(
        list.tag.is_some() != list.alike.is_empty(),
        || at.clone(),
        "a list says by what a call's own object is recognised: tag, or alike, one of them",
    );
}

/// What is read of an object that was found.
fn found(priced: &Priced, lookup: &PricedLookup, at: &Place, finds: bool, faults: &mut Faults) {
    let has_kind = priced.makes.is_some() || priced.about.is_some();
    let has_id = has_kind || priced.settled.as_ref().is_some_and(|it| it.object.is_some());
    let why =
        "what is found is read by its id, which nothing tells: write settled = { object = … }";
    faults.say_if(finds && !has_id, || at.clone(), why);
    let why = "what is found is read at its own path: write object, such as \"/v1/refunds/{id}\"";
    faults.say_if(finds && !has_kind && lookup.object.is_none(), || at.clone(), why);
    if let Some(object) = &lookup.object {
        let names: Vec<_> = priced.endpoint.get_ref().names().chain(["id"]).collect();
        path(object, at.key("object"), &names, &["id"], faults);
    }
    if let Some(declined) = &lookup.declined {
        pointer(&declined.code, at.key("declined").key("code"), faults);
        pointer(&declined.message, at.key("declined").key("message"), faults);
    }
}
