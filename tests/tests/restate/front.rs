//! Something that stands before the proxy, where a load balancer would.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::{body::Body, extract::Request, response::Response};

use crate::crashes::signal;

/// What is done at the watched moment, before anything is passed on.
pub(crate) type Then = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A moment: a request, as `METHOD /path` or its beginning with a `*`, that comes or is answered.
#[derive(Clone, Copy)]
pub(crate) enum Watched {
    /// It is there, and the proxy knows nothing of it.
    Request(&'static str),
    /// The proxy has done it, and the worker knows nothing of that.
    Answer(&'static str),
}

impl Watched {
    fn is_request(self, asked: &str) -> bool {
        matches!(self, Self::Request(pattern) if fits(pattern, asked))
    }

    fn is_answer(self, asked: &str) -> bool {
        matches!(self, Self::Answer(pattern) if fits(pattern, asked))
    }
}

fn fits(pattern: &str, asked: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == asked, |beginning| asked.starts_with(beginning))
}

/// Passes everything on to the proxy.
pub(crate) async fn pass_on(port: u16, proxy_url: &str) -> String {
    start(port, proxy_url, Watched::Request(""), Arc::new(|| Box::pin(async {}))).await
}

/// The same, but once the first answer to this request is there, it kills the victim: the proxy has done
/// it, and nobody else will ever know of that answer.
pub(crate) async fn killing(
    port: u16,
    proxy_url: &str,
    request: &'static str,
    victim: &Arc<AtomicU32>,
) -> String {
    let victim = Arc::clone(victim);
    let kill = move || -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let victim = victim.swap(0, Ordering::SeqCst);
        if victim != 0 {
            signal("-KILL", victim);
        }
        Box::pin(async {})
    };
    start(port, proxy_url, Watched::Answer(request), Arc::new(kill)).await
}

/// The same, with something else done at each watched moment.
pub(crate) async fn start(port: u16, proxy_url: &str, watched: Watched, then: Then) -> String {
    let http = keybrake_tests::http();
    let proxy_url = proxy_url.to_owned();
    let forward = move |request: Request| {
        let (http, proxy_url, then) = (http.clone(), proxy_url.clone(), Arc::clone(&then));
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let what = format!("{} {}", parts.method, parts.uri.path());
            if watched.is_request(&what) {
                then().await;
            }
            let asked = http.request(parts.method, format!("{proxy_url}{}", parts.uri));
            let answer = asked.headers(parts.headers).body(body).send().await.unwrap();
            let (status, headers) = (answer.status(), answer.headers().clone());
            let answer = answer.bytes().await.unwrap();
            if watched.is_answer(&what) {
                then().await;
            }
            let mut response = Response::new(Body::from(answer));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(forward);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}
