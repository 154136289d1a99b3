//! A database of a million calls: an export streams it in little memory.
#![expect(clippy::print_stdout, reason = "what a question takes is told, not judged")]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use keybrake::store::sqlite::{Durability, SqliteStore};
use keybrake_tests::{
    API_KEY,
    process::{self, Process},
    rig::read,
};
use reqwest::Response;
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

const CALLS: usize = 1_000_000;
/// Each with its budget and a run of its own: one more than are compared with one another.
const KEYS: usize = 100_001;
/// What the peak memory may grow by, in KiB, while all is exported in both formats.
const GROWTH: u64 = 64 * 1024;
/// What the database may take of the disk.
const DISK: u64 = 512 << 20;
/// What one export may take, in a debug build on a busy machine.
const EXPORTED_WITHIN: Duration = Duration::from_mins(5);

/// Fills an empty database, in one transaction, as `schema.sql` has it.
fn fill(directory: &Path) {
    drop(SqliteStore::open(directory, Durability::Relaxed).unwrap());
    let database = Connection::open(directory.join("keybrake.sqlite3")).unwrap();
    // No log beside it, which would take its size again; the process turns it on as it starts.
    database.pragma_update(None, "journal_mode", "OFF").unwrap();
    database.pragma_update(None, "synchronous", "OFF").unwrap();
    let numbers = |count| {
        format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
        )
    };
    let policy = r#"{"vendor":"stripe","allowed_endpoints":["POST /v1/charges"]}"#;
    let second = 1_000_000_i64;
    let (begin, day) = (1_700_000_000 * second, 86_400 * second);
    database
        .execute_batch(&format!(
            "BEGIN;
             {budgets} INSERT INTO budgets (id, total_cap, anchor, window, window_spent, total_spent, in_doubt, held,
               calls) SELECT i, 50000000, {begin}, 0, 10000000, 10000000, 0, 0, 10 FROM n;
             {budgets} INSERT INTO vault_keys (id, token_hash, budget, policy, label, issued_at, expires_at)
               SELECT i, randomblob(32), i, '{policy}', 'run/' || i, {begin}, {begin} + {day} FROM n;
             {calls} INSERT INTO calls (id, at, vault_key, budget, vendor, method, path, context, idempotency_key,
               binding, fingerprint, verdict, state, hold, settled, amount, currency, tagged, attempt, begun_at,
               sent_at, finished_at, vendor_status, request_id, object_id, cap_usage_after)
               SELECT i, {begin} + i, 1 + i % {KEYS}, 1 + i % {KEYS}, 'stripe', 'POST', '/v1/charges', 'agent=billing',
               'key-' || i, random(), randomblob(32), 'allowed', 'settled', 1000000, 1000000, 100, 'usd', 1, 1,
               {begin} + i, {begin} + i, {begin} + i, 200, 'req_' || i, 'ch_' || i, 1000000 FROM n;
             INSERT OR REPLACE INTO meta (name, value) VALUES ('clock', {begin} + {day});
             COMMIT;",
            budgets = numbers(KEYS),
            calls = numbers(CALLS),
        ))
        .unwrap();
    let size = fs::metadata(directory.join("keybrake.sqlite3")).unwrap().len();
    println!("{CALLS} calls of {KEYS} keys are {} MiB", size >> 20);
    assert!(size < DISK);
}

async fn get(proxy: &Process, path: &str) -> Response {
    let request = keybrake_tests::http().get(format!("{}{path}", proxy.url)).bearer_auth(API_KEY);
    let answer = request.timeout(EXPORTED_WITHIN).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer
}

/// How many lines an answer has, and its last one, with one chunk of it in memory at a time.
async fn lines(mut answer: Response) -> (usize, String) {
    let (mut count, mut last) = (0, Vec::new());
    while let Some(chunk) = answer.chunk().await.unwrap() {
        for byte in chunk {
            if last.last() == Some(&b'\n') {
                last.clear();
            }
            last.push(byte);
            count += usize::from(byte == b'\n');
        }
    }
    (count, String::from_utf8(last).unwrap())
}

/// The most memory that a process ever had, in KiB.
fn peak(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn timed(proxy: &Process, path: &str) {
    let begun = Instant::now();
    let answer: Value = get(proxy, path).await.json().await.unwrap();
    let rows = answer["data"].as_array().unwrap().len();
    println!("{:>6} ms  {rows:>3} rows  GET {path}", begun.elapsed().as_millis());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "fills 250 MiB of disk and takes a minute: run make test"]
async fn a_million_calls_are_exported_in_a_bounded_part_of_the_memory() {
    let directory = TempDir::new().unwrap();
    fill(directory.path());
    let proxy = process::proxy(directory.path(), "http://127.0.0.1:9", &[]);
    timed(&proxy, "/audit/calls?limit=1").await;
    let before = peak(&proxy);
    for (format, header) in [("csv", 1), ("jsonl", 0)] {
        let begun = Instant::now();
        let export = get(&proxy, &format!("/audit/export?format={format}")).await;
        let (count, last) = lines(export).await;
        let after = peak(&proxy);
        let taken = begun.elapsed();
        println!("{format}: {taken:?}, a peak of {after} KiB after {before} KiB");
        assert_eq!(count, CALLS + header, "{format}");
        assert!(last.contains(&format!("ch_{CALLS}")) && last.ends_with('\n'), "{last}");
        assert!(taken < EXPORTED_WITHIN);
        assert!(after - before < GROWTH, "{format}: {after} KiB, {before} KiB before");
    }
    for path in [
        "/audit/calls",
        "/audit/calls?agent_run_label=run/77",
        "/audit/calls?agent_run_label=none",
        "/audit/calls?key_id=vk_000000000002d",
        "/audit/calls?idempotency_key=key-77",
        "/audit/calls?idempotency_key=none",
        "/audit/calls?vendor_object_id=ch_77",
        "/audit/calls?state=in_doubt",
        "/reports/runs",
        "/reports/runs?agent_run_label=run/77",
        "/reports/agents",
        "/reports/vendors",
        "/reports/anomalies?since=2023-11-01T00:00:00Z&vendor=twilio",
        "/vault/keys",
        "/vault/keys?agent_run_label=run/77",
    ] {
        timed(&proxy, path).await;
    }
    let url = format!("{}/reports/anomalies?since=2023-11-01T00:00:00Z", proxy.url);
    let answer = read(keybrake_tests::http().get(url).bearer_auth(API_KEY)).await;
    assert_eq!(answer.status, 400, "{:?}", answer.body);
    assert!(answer.text("/message").contains("more than 100000 runs to compare"));
}
