//! What Prometheus is told: exact after known calls, bounded, and without secrets.

use std::{collections::BTreeMap, process::Stdio};

use keybrake::sandbox::Faults;
use keybrake_tests::{
    API_KEY, SECRET,
    process::free_port,
    rig::{eventually, read},
    sdk,
};
use tokio::io::AsyncWriteExt;

use super::Served;

/// Each sample's value by its name and labels.
pub(super) type Samples = BTreeMap<String, f64>;

pub(super) async fn scrape(served: &Served) -> String {
    let request = served.admin("GET", &format!("{}/metrics", served.proxy.url));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let kind = answer.headers().get("content-type").unwrap().to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    answer.text().await.unwrap()
}

pub(super) fn samples(text: &str) -> Samples {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    lines.map(sample).collect()
}

/// The samples once this one has this value: what ends a call is committed after its answer.
async fn samples_when(served: &Served, name: &str, value: f64) -> Samples {
    eventually(name, || async {
        let found = samples(&scrape(served).await);
        found.get(name).is_some_and(|found| same(*found, value)).then_some(found)
    })
    .await
}

/// All values here are short decimals.
fn same(a: f64, b: f64) -> bool {
    a.to_string() == b.to_string()
}

fn assert_samples(samples: &Samples, wanted: &[(&str, f64)]) {
    for (name, value) in wanted {
        let found = samples.get(*name);
        assert!(
            found.is_some_and(|found| same(*found, *value)),
            "{name} is {found:?}, not {value}"
        );
    }
}

const SETTLED: &str = r#"keybrake_calls_total{vendor="stripe",verdict="allowed",state="settled"}"#;
const IN_DOUBT: &str =
    r#"keybrake_calls_total{vendor="stripe",verdict="allowed",state="in_doubt"}"#;

/// A settled call below the root and one at it, a replay, a denial, a doubt and two strangers.
async fn known_calls(served: &Served) {
    let url = &served.proxy.url;
    let root = served.issue_as(url, "metrics/root", None).await;
    let child = served.issue_as(url, "metrics/child", Some(root.text("/key_id"))).await;
    let (root, child) = (root.text("/vault_key"), child.text("/vault_key"));
    assert_eq!(served.charge(root, "one", 100).await.status, 200);
    assert_eq!(served.charge(child, "two", 250).await.status, 200);
    samples_when(served, SETTLED, 2.0).await;
    let replay = served.charge(root, "one", 100).await;
    assert_eq!(replay.header("x-keybrake-replayed"), Some("true"));
    let elsewhere = served.http.post(format!("{url}/stripe/v1/refunds")).bearer_auth(root).body("");
    assert_eq!(read(elsewhere).await.code(), "endpoint_not_allowed");
    let lost = Faults { request_lost: 1_000_000, ..Faults::default() };
    served.sandbox.set_faults(lost).unwrap();
    assert_eq!(served.charge(child, "three", 400).await.code(), "outcome_unknown");
    for path in ["/stripe/v1/charges", "/vault/keys"] {
        let stranger = served.http.post(format!("{url}{path}")).bearer_auth("nobody").body("");
        assert_eq!(read(stranger).await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn known_calls_give_exact_values_and_amounts_outlive_a_restart() {
    let served = Served::start(&[]).await;
    known_calls(&served).await;
    let amounts = [
        ("keybrake_spent_usd", 7.5),
        ("keybrake_in_doubt_usd", 4.0),
        ("keybrake_held_usd", 0.0),
        ("keybrake_calls_in_doubt", 1.0),
    ];
    let samples = samples_when(&served, IN_DOUBT, 1.0).await;
    assert_samples(&samples, &amounts);
    assert_samples(
        &samples,
        &[
            (r#"keybrake_calls_total{vendor="stripe",verdict="allowed",state="held"}"#, 3.0),
            (SETTLED, 2.0),
            (r#"keybrake_calls_total{vendor="stripe",verdict="denied",state=""}"#, 1.0),
            (r#"keybrake_calls_total{vendor="stripe",verdict="replayed",state=""}"#, 1.0),
            (r#"keybrake_refusals_total{code="endpoint_not_allowed"}"#, 1.0),
            (r#"keybrake_refusals_total{code="outcome_unknown"}"#, 1.0),
            (r#"keybrake_refusals_total{code="invalid_key"}"#, 2.0),
            ("keybrake_strangers_total", 2.0),
            ("keybrake_begin_seconds_count", 5.0),
            (r#"keybrake_vendor_seconds_count{vendor="stripe"}"#, 3.0),
        ],
    );
    assert!(samples["keybrake_oldest_doubt_seconds"] > 0.0);
    assert!(samples["keybrake_vendor_seconds_sum{vendor=\"stripe\"}"] > 0.0);
    // Five begins, three ends, two keys, and the start's own; look-ups may add theirs.
    assert!(samples["keybrake_batch_commands_sum"] >= 11.0);
    assert!(samples["keybrake_batch_commands_count"] <= samples["keybrake_batch_commands_sum"]);

    let served = served.restart();
    let after = samples_when(&served, "keybrake_calls_in_doubt", 1.0).await;
    assert_samples(&after, &amounts);
    assert!(!after.contains_key(SETTLED), "counters begin anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_shows_while_a_call_is_in_flight() {
    let served = Served::start(&[]).await;
    let issued = served.issue_at(&served.proxy.url).await;
    served.sandbox.set_latency(std::time::Duration::from_secs(3));
    let charge = served.charge(issued.text("/vault_key"), "k", 125);
    let (charged, held) = tokio::join!(charge, samples_when(&served, "keybrake_held_usd", 1.25));
    assert_eq!(charged.status, 200);
    assert_samples(&held, &[("keybrake_spent_usd", 0.0)]);
    let settled = samples_when(&served, "keybrake_held_usd", 0.0).await;
    assert_samples(&settled, &[("keybrake_spent_usd", 1.25)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_connections_are_those_that_are_open() {
    const OPEN: &str = r#"keybrake_open_connections{listener="callers"}"#;
    let served = Served::start(&[]).await;
    // The scrape's own.
    samples_when(&served, OPEN, 1.0).await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(served.connect().await);
    }
    samples_when(&served, OPEN, 6.0).await;
    drop(open);
    samples_when(&served, OPEN, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_labels_nor_keys_nor_paths_make_new_series_and_no_secret_shows() {
    let served = Served::start(&[("KEYBRAKE_LIMITS_FAILURES_PER_MINUTE", "1000")]).await;
    known_calls(&served).await;
    served.sandbox.set_faults(Faults::default()).unwrap();
    let before = samples_when(&served, IN_DOUBT, 1.0).await;
    let url = &served.proxy.url;
    let mut unseen = vec![API_KEY.to_owned(), SECRET.to_owned(), "label-".into(), "path-".into()];
    for number in 0..100 {
        let issued = served.issue_as(url, &format!("label-{number}"), None).await;
        let token = issued.text("/vault_key");
        assert_eq!(served.charge(token, &format!("once-{number}"), 100).await.status, 200);
        for path in [format!("/stripe/v1/path-{number}"), format!("/path-{number}")] {
            let call = served.http.post(format!("{url}{path}")).bearer_auth(token).body("");
            assert!(read(call).await.status >= 400);
        }
        let stranger = served.http.get(format!("{url}/path-{number}"));
        let stranger = stranger.bearer_auth(format!("stranger-{number}"));
        assert_eq!(read(stranger).await.status, 401);
        unseen.extend([token.to_owned(), issued.text("/key_id").to_owned()]);
    }
    samples_when(&served, SETTLED, 102.0).await;
    let text = scrape(&served).await;
    let after = samples(&text);
    let new: Vec<_> = after.keys().filter(|name| !before.contains_key(*name)).collect();
    assert_eq!(new, [r#"keybrake_refusals_total{code="invalid_request"}"#]);
    for secret in unseen {
        assert!(!text.contains(&secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_take_an_api_key_on_every_listener() {
    let admin = format!("127.0.0.1:{}", free_port());
    let served = Served::start(&[("KEYBRAKE_ADMIN_LISTEN", &admin)]).await;
    let (admin, main) =
        (format!("http://{admin}/metrics"), format!("{}/metrics", served.proxy.url));
    let token = served.issue_at(admin.trim_end_matches("/metrics")).await;
    assert_eq!(read(served.http.get(&admin)).await.status, 401);
    let caller = served.http.get(&admin).bearer_auth(token.text("/vault_key"));
    assert_eq!(read(caller).await.status, 401);
    assert_eq!(read(served.admin("GET", &admin)).await.status, 200);
    assert_eq!(read(served.admin("GET", &main)).await.status, 404);
}

/// Reads what stands on its standard input as Prometheus does, strictly, and counts the families.
const PARSE: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
families = list(parse(sys.stdin.read()))
assert all(family.documentation for family in families)
print(sum(1 for family in families if family.samples))
";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Prometheus client: run make test"]
async fn prometheus_own_parser_reads_the_metrics() {
    let served = Served::start(&[]).await;
    known_calls(&served).await;
    samples_when(&served, IN_DOUBT, 1.0).await;
    let text = scrape(&served).await;
    let mut parser = tokio::process::Command::new(sdk::python())
        .args(["-c", PARSE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    parser.stdin.take().unwrap().write_all(text.as_bytes()).await.unwrap();
    let parsed = parser.wait_with_output().await.unwrap();
    assert!(parsed.status.success(), "{text}");
    assert_eq!(String::from_utf8(parsed.stdout).unwrap().trim(), "13");
}
