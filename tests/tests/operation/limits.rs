//! Slow and many clients. Nothing here says how soon a limit strikes, but that it does.

use std::{io::ErrorKind, time::Duration};

use keybrake::sandbox::Settings;
use keybrake_tests::{process::free_port, rig::read};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::Served;

/// How long is waited for what should come.
const BOUND: Duration = Duration::from_secs(30);
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
const LONG: &str = "600";

/// Reads one answer with a JSON body, to the end of the body.
async fn answer(socket: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4_096];
    while !text.ends_with('}') {
        let read = timeout(BOUND, socket.read(&mut bytes)).await.unwrap().unwrap();
        assert!(read > 0, "closed after {text:?}");
        text.push_str(&String::from_utf8_lossy(bytes.get(..read).unwrap()));
    }
    text
}

async fn ask_health(socket: &mut TcpStream) {
    socket.write_all(HEALTH.as_bytes()).await.unwrap();
    assert!(answer(socket).await.starts_with("HTTP/1.1 200"));
}

/// Whether the other side closes, while `trickle` is sent again and again.
async fn is_closed(socket: &mut TcpStream, trickle: &[u8]) -> bool {
    let closing = async {
        let mut bytes = [0; 64];
        loop {
            if socket.write_all(trickle).await.is_err() {
                return true;
            }
            match timeout(Duration::from_millis(100), socket.read(&mut bytes)).await {
                Ok(Ok(0) | Err(_)) => return true,
                Ok(Ok(_)) => return false,
                Err(_) => {}
            }
        }
    };
    timeout(BOUND, closing).await.unwrap_or(false)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_trickles_in_is_cut_off() {
    let limits = [("KEYBRAKE_LIMITS_HEAD_SECONDS", "1"), ("KEYBRAKE_LIMITS_IDLE_SECONDS", LONG)];
    let served = Served::start(&limits).await;
    let mut first = served.connect().await;
    first.write_all(b"POST /stripe/v1/charges HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    let mut later = served.connect().await;
    ask_health(&mut later).await;
    later.write_all(b"POST /stripe/v1/charges HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    let mut silent = served.connect().await;
    let (first, later) = tokio::join!(is_closed(&mut first, b"x"), is_closed(&mut later, b"x"));
    assert!(first, "a first head");
    assert!(later, "a later head");
    assert!(is_closed(&mut silent, b"").await, "no head at all");
    assert_eq!(served.sandbox.requests().received, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_is_refused_and_recorded_and_not_sent() {
    let served = Served::start(&[("KEYBRAKE_LIMITS_BODY_SECONDS", "1")]).await;
    let url = served.proxy.url.clone();
    let issued = served.issue_at(&url).await;
    for (path, credential, says) in [
        ("/stripe/v1/charges", issued.text("/vault_key"), "did not arrive within 1 s"),
        ("/vault/keys", keybrake_tests::API_KEY, "did not arrive in time"),
    ] {
        let mut slow = served.connect().await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {credential}\r\ncontent-length: 23\r\n\r\namount=100&cur"
        );
        slow.write_all(head.as_bytes()).await.unwrap();
        let answer = answer(&mut slow).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(says), "{answer}");
        assert!(is_closed(&mut slow, b"").await);
    }
    let rows = read(served.admin("GET", &format!("{url}/audit/calls"))).await;
    assert_eq!(rows.body.pointer("/data/1"), None);
    assert_eq!(rows.text("/data/0/code"), "invalid_request");
    assert!(rows.text("/data/0/reason").contains("did not arrive"), "{:?}", rows.body);
    assert_eq!(served.sandbox.requests().received, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let limits = [("KEYBRAKE_LIMITS_IDLE_SECONDS", "1"), ("KEYBRAKE_LIMITS_HEAD_SECONDS", LONG)];
    let vendor = Settings { latency: Duration::from_secs(4), ..Settings::default() };
    let served = Served::start_before(vendor, &limits).await;
    let issued = served.issue_at(&served.proxy.url).await;
    let mut idle = served.connect().await;
    ask_health(&mut idle).await;
    let charge = served.charge(issued.text("/vault_key"), "k", 100);
    let (closed, charged) = tokio::join!(is_closed(&mut idle, b""), charge);
    assert!(closed);
    assert_eq!(charged.status, 200, "{:?}", charged.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_waits_until_another_closes() {
    let admin = format!("127.0.0.1:{}", free_port());
    let limits = [("KEYBRAKE_LIMITS_OPEN_CONNECTIONS", "3"), ("KEYBRAKE_ADMIN_LISTEN", &admin)];
    let served = Served::start(&limits).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut socket = served.connect().await;
        ask_health(&mut socket).await;
        open.push(socket);
    }
    let mut waiting = served.connect().await;
    waiting.write_all(HEALTH.as_bytes()).await.unwrap();
    for _ in 0..30 {
        for socket in &mut open {
            ask_health(socket).await;
        }
    }
    let nothing = waiting.try_read(&mut [0; 1]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    // Whoever has to stop a run is not kept out by its callers.
    assert_eq!(served.issue_at(&format!("http://{admin}")).await.status, 201);
    drop(open.pop());
    assert!(answer(&mut waiting).await.starts_with("HTTP/1.1 200"));
    for socket in &mut open {
        ask_health(socket).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_client_is_told_how_many_requests_it_may_have_open() {
    const MAX_CONCURRENT_STREAMS: u16 = 3;
    let served = Served::start(&[("KEYBRAKE_LIMITS_HTTP2_STREAMS", "17")]).await;
    let mut socket = served.connect().await;
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let settings = async {
        let mut head = [0; 9];
        socket.read_exact(&mut head).await.unwrap();
        let [_, high, low, kind, ..] = head;
        assert_eq!(kind, 4, "the first frame holds settings");
        let mut settings = vec![0; u16::from_be_bytes([high, low]).into()];
        socket.read_exact(&mut settings).await.unwrap();
        settings
    };
    let settings = timeout(BOUND, settings).await.unwrap();
    let wanted = [&MAX_CONCURRENT_STREAMS.to_be_bytes()[..], &17_u32.to_be_bytes()].concat();
    assert!(settings.chunks(6).any(|setting| setting == wanted), "{settings:?}");
}

/// A client that is refused before it has sent its whole body can send the rest and read why. Were
/// its socket closed on it, its writing would fail, and most clients then never read an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_still_sending_when_it_is_refused_can_end_and_read_why() {
    let served = Served::start(&[]).await;
    let length = 4 * 1024 * 1024;
    for (path, credential, status) in [
        ("/stripe/v1/charges", "nobody", "HTTP/1.1 401"),
        ("/vault/keys", keybrake_tests::API_KEY, "HTTP/1.1 413"),
    ] {
        let mut client = served.connect().await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {credential}\r\ncontent-length: {length}\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..16 {
            client.write_all(&vec![b'a'; length / 16]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let answer = answer(&mut client).await;
        assert!(answer.starts_with(status), "{answer}");
        assert!(is_closed(&mut client, b"").await);
    }
}
