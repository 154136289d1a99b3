//! How the product is run: listeners, limits against slow and many clients, and what it measures.
//! Against the real process, on real sockets.

#![expect(clippy::unwrap_used, reason = "what is not there fails the test")]

mod failures;
mod limits;
mod listeners;
mod metrics;

use keybrake::{
    outside::Clock,
    sandbox::{Sandbox, Settings},
};
use keybrake_tests::{
    API_KEY, SECRET,
    process::{self, Process},
    rig::{Answer, read},
};
use reqwest::{Client, RequestBuilder};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

/// The real proxy before a sandbox in this process.
struct Served {
    sandbox: Sandbox,
    vendor_url: String,
    proxy: Process,
    http: Client,
    data: TempDir,
}

impl Served {
    async fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_before(Settings::default(), variables).await
    }

    async fn start_before(vendor: Settings, variables: &[(&str, &str)]) -> Self {
        let settings = Settings { secret: SECRET.into(), ..vendor };
        let sandbox = Sandbox::new(settings, Clock::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let vendor_url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));
        let data = tempfile::tempdir().unwrap();
        let proxy = process::proxy(data.path(), &vendor_url, variables);
        Self { sandbox, vendor_url, proxy, http: keybrake_tests::http(), data }
    }

    /// Stops the proxy and starts it again on its data.
    fn restart(self) -> Self {
        assert!(self.proxy.stop());
        let proxy = process::proxy(self.data.path(), &self.vendor_url, &[]);
        Self { proxy, ..self }
    }

    /// A connection of its own.
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.proxy.url.trim_start_matches("http://")).await.unwrap()
    }

    fn admin(&self, method: &str, url: &str) -> RequestBuilder {
        self.http.request(method.parse().unwrap(), url).bearer_auth(API_KEY)
    }

    /// Issues a key at this address of the admin API, and gives the whole answer.
    async fn issue_at(&self, url: &str) -> Answer {
        self.issue_as(url, "operation", None).await
    }

    /// The same for a run, below another key.
    async fn issue_as(&self, url: &str, label: &str, parent: Option<&str>) -> Answer {
        let mut order = json!({
            "vendor": "stripe", "total_usd_cap": "50", "expires_in": "1h",
            "agent_run_label": label, "allowed_endpoints": ["POST /v1/charges"],
        });
        if let (Some(parent), Some(order)) = (parent, order.as_object_mut()) {
            order.insert("parent_key_id".to_owned(), json!(parent));
        }
        let issued = read(self.admin("POST", &format!("{url}/vault/keys")).json(&order)).await;
        assert_eq!(issued.status, 201, "{:?}", issued.body);
        issued
    }

    /// Charges `cents` with this vault key.
    async fn charge(&self, token: &str, once: &str, cents: u64) -> Answer {
        let call = self.http.post(format!("{}/stripe/v1/charges", self.proxy.url));
        let call = call.bearer_auth(token).header("idempotency-key", once);
        let call = call.header("content-type", "application/x-www-form-urlencoded");
        read(call.body(format!("amount={cents}&currency=usd&source=tok_visa"))).await
    }
}
