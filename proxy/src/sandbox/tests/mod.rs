//! The sandbox over a real socket, byte by byte.

mod control;
mod errors;
mod faults;
mod idempotency;
mod money;
mod reading;
mod resend;
mod twilio;

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{Faults, Sandbox, Settings};
use crate::outside::Clock;

const MILLION: u32 = 1_000_000;
const PAY: &str = "amount=1099&currency=usd&payment_method=pm_card_visa&confirm=true";
const INTENTS: &str = "/v1/payment_intents";

struct Vendor {
    sandbox: Sandbox,
    address: SocketAddr,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    bytes: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    fn id(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.json());
        self.json()["id"].as_str().unwrap().to_owned()
    }

    fn error(&self, field: &str) -> Value {
        self.json()["error"][field].clone()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn ids(&self) -> Vec<String> {
        let json = self.json();
        let rows = json["data"].as_array().unwrap().iter();
        rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }
}

async fn start() -> Vendor {
    start_with(Settings::default()).await
}

async fn start_with(settings: Settings) -> Vendor {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sandbox = Sandbox::new(settings, Clock::default());
    tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));
    Vendor { sandbox, address }
}

/// A vendor at which one fault strikes every call.
async fn start_faulty(faults: Faults) -> Vendor {
    start_with(Settings { faults, ..Settings::default() }).await
}

impl Vendor {
    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "").await.unwrap()
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, "", body).await.unwrap()
    }

    async fn post_as(&self, key: &str, path: &str, body: &str) -> Answer {
        self.try_post_as(key, path, body).await.unwrap()
    }

    /// `None` where the connection closed without a byte.
    async fn try_post_as(&self, key: &str, path: &str, body: &str) -> Option<Answer> {
        let header = format!("Idempotency-Key: {key}\r\n");
        self.send("POST", path, &header, body).await
    }

    async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Option<Answer> {
        let all = format!("Authorization: Bearer sk_test_sandbox\r\n{FORM}{headers}");
        self.send_raw(method, path, &all, body).await
    }

    async fn send_raw(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Option<Answer> {
        let mut stream = self.open(method, path, headers, body).await;
        let mut bytes = Vec::new();
        let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes));
        // A connection that is reset is lost as well.
        drop(read.await.expect("the sandbox answers or closes"));
        if bytes.is_empty() { None } else { Some(parse(&bytes)) }
    }

    /// Sends a request and leaves the answer in the socket.
    async fn open(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n\
             {headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    fn total(&self) -> u64 {
        self.sandbox.executed().total_minor.get("usd").copied().unwrap_or(0)
    }
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_lowercase(), value.to_owned())
    });
    Answer { status, headers: headers.collect(), bytes: bytes[end + 4..].to_vec() }
}

/// Waits until something is so, and fails where it is not so in time.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.expect(what);
}
