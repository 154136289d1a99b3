//! A vendor over TLS: with HTTP/2, with HTTP/1.1, and with a certificate that nobody vouches for.

#![expect(clippy::unwrap_used, reason = "what can't be set up fails the test")]

use std::{
    convert::Infallible,
    fs,
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, Version, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use keybrake_tests::{
    API_KEY, SECRET, process,
    rig::{Answer, eventually, read},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

/// A request as the vendor saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    version: Version,
    endpoint: String,
    secret: String,
    body: String,
}

/// A certificate authority of its own.
type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A vendor on loopback that makes the same PaymentIntent of every request.
struct Vendor {
    url: String,
    /// As many connections are answered as this has permits.
    connections: Arc<Semaphore>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Vendor {
    /// Speaks this protocol alone, with a certificate that this authority signed.
    async fn start(protocol: &str, authority: &Authority) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, authority).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let vendor = Self { url, connections: Arc::new(Semaphore::new(100)), seen: Arc::default() };
        let tls = TlsAcceptor::from(Arc::new(config));
        let (connections, seen) = (Arc::clone(&vendor.connections), Arc::clone(&vendor.seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, connections) = (tls.clone(), Arc::clone(&connections));
                tokio::spawn(serve(stream, tls, connections, Arc::clone(&seen)));
            }
        });
        vendor
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    stream: TcpStream,
    tls: TlsAcceptor,
    connections: Arc<Semaphore>,
    seen: Arc<Mutex<Vec<Seen>>>,
) {
    connections.acquire().await.unwrap().forget();
    // A client that does not trust the certificate, or does not wait, hangs up here.
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(|request| answer(request, Arc::clone(&seen)));
    let server = auto::Builder::new(TokioExecutor::new());
    // Ends in an error where the proxy is killed.
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    seen.lock().unwrap().push(Seen {
        version: head.version,
        endpoint: format!("{} {}", head.method, head.uri.path()),
        secret: head.headers.get("authorization").unwrap().to_str().unwrap().to_owned(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let intent = json!({
        "id": "pi_1", "object": "payment_intent", "amount": 100, "currency": "usd", "status": "succeeded",
    });
    let answer = Response::builder().header("content-type", "application/json");
    Ok(answer.body(Full::from(intent.to_string())).unwrap())
}

/// A run with a vault key, before a proxy process that trusts one authority alone.
struct Run {
    proxy: process::Process,
    http: reqwest::Client,
    token: String,
    key_id: String,
    _data: TempDir,
}

impl Run {
    async fn start(vendor: &Vendor, trusted: &Authority) -> Self {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("authority.pem");
        fs::write(&file, trusted.pem()).unwrap();
        let variables = [("SSL_CERT_FILE", file.to_str().unwrap())];
        let proxy = process::proxy(&data.path().join("data"), &vendor.url, &variables);
        let http = keybrake_tests::http();
        let issue = json!({
            "vendor": "stripe", "total_usd_cap": "5", "expires_in": "1h", "agent_run_label": "tls",
            "allowed_endpoints": ["POST /v1/payment_intents", "GET /*"],
        });
        let keys = format!("{}/vault/keys", proxy.url);
        let issued = read(http.post(keys).bearer_auth(API_KEY).json(&issue)).await;
        assert_eq!(issued.status, 201, "{:?}", issued.body);
        let text = |pointer: &str| issued.text(pointer).to_owned();
        Self { proxy, http, token: text("/vault_key"), key_id: text("/key_id"), _data: data }
    }

    async fn pay(&self) -> Answer {
        let intents = format!("{}/stripe/v1/payment_intents", self.proxy.url);
        let form = "amount=100&currency=usd";
        let pay = self.http.post(intents).bearer_auth(&self.token).body(form);
        read(pay.header("content-type", "application/x-www-form-urlencoded")).await
    }

    async fn revoke(&self) -> Answer {
        let key = format!("{}/vault/keys/{}", self.proxy.url, self.key_id);
        read(self.http.delete(key).bearer_auth(API_KEY)).await
    }

    async fn look(&self) -> Answer {
        let intent = format!("{}/stripe/v1/payment_intents/pi_1", self.proxy.url);
        read(self.http.get(intent).bearer_auth(&self.token)).await
    }

    /// The row of the one write, once it is in this state.
    async fn row_in(&self, state: &str) -> Value {
        eventually(state, || async {
            let rows = format!("{}/audit/calls?state={state}", self.proxy.url);
            let rows = read(self.http.get(rows).bearer_auth(API_KEY)).await;
            let rows = rows.body.pointer("/data").and_then(Value::as_array).cloned()?;
            rows.into_iter().find(|row| row["method"] == "POST")
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_is_spoken_to_in_the_protocol_that_it_chooses() {
    for (protocol, version) in [("h2", Version::HTTP_2), ("http/1.1", Version::HTTP_11)] {
        let authority = authority();
        let vendor = Vendor::start(protocol, &authority).await;
        let run = Run::start(&vendor, &authority).await;
        for answer in [run.pay().await, run.look().await] {
            assert_eq!((answer.status, answer.text("/id")), (200, "pi_1"), "{protocol}");
        }
        let settled = run.row_in("settled").await;
        assert_eq!(settled["settled_usd"], "1.00", "{protocol}");
        let seen = vendor.seen();
        let endpoints = seen.iter().map(|seen| seen.endpoint.as_str()).collect::<Vec<_>>();
        let expected = ["POST /v1/payment_intents", "GET /v1/payment_intents/pi_1"];
        assert_eq!(endpoints, expected, "{protocol}");
        for seen in &seen {
            assert_eq!((seen.version, &seen.secret), (version, &format!("Bearer {SECRET}")));
        }
        assert!(seen[0].body.starts_with("amount=100&currency=usd&"), "{}", seen[0].body);
        assert!(seen[1].body.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_whose_certificate_nobody_vouches_for_is_sent_nothing() {
    for protocol in ["h2", "http/1.1"] {
        let vendor = Vendor::start(protocol, &authority()).await;
        let run = Run::start(&vendor, &authority()).await;
        let refused = run.pay().await;
        assert_eq!((refused.status, refused.code()), (502, "vendor_unreachable"), "{protocol}");
        let released = run.row_in("released").await;
        assert_eq!(released["sent_at"], Value::Null, "{protocol}");
        assert_eq!(vendor.seen(), [], "{protocol}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn law_6_a_call_that_has_no_connection_yet_is_never_sent_once_a_revocation_has_answered() {
    for protocol in ["h2", "http/1.1"] {
        let authority = authority();
        let vendor = Vendor::start(protocol, &authority).await;
        let run = Arc::new(Run::start(&vendor, &authority).await);
        vendor.connections.forget_permits(100);
        let paying = tokio::spawn({
            let run = Arc::clone(&run);
            async move { run.pay().await }
        });
        run.row_in("held").await;
        let revoked = run.revoke().await;
        vendor.connections.add_permits(100);
        assert_eq!((revoked.status, revoked.text("/held_usd")), (200, "1.00"), "{protocol}");
        let refused = paying.await.unwrap();
        assert_eq!((refused.status, refused.code()), (502, "vendor_unreachable"), "{protocol}");
        run.row_in("released").await;
        assert_eq!(vendor.seen(), [], "{protocol}");
    }
}
