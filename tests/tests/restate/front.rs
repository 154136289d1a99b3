//! Something that stands before the proxy, where a load balancer would.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{body::Body, extract::Request, response::Response};

use crate::crashes::signal;

/// Passes everything on to the proxy. Once the first answer to this path is there, it kills the
/// victim, if there is one: the proxy has done it, and nobody else will ever know of that answer.
pub(crate) async fn start(
    port: u16,
    proxy_url: &str,
    path: &'static str,
    victim: &Arc<AtomicU32>,
) -> String {
    let http = keybrake_tests::http();
    let (proxy_url, victim) = (proxy_url.to_owned(), Arc::clone(victim));
    let forward = move |request: Request| {
        let (http, proxy_url, victim) = (http.clone(), proxy_url.clone(), Arc::clone(&victim));
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let asked = http.request(parts.method, format!("{proxy_url}{}", parts.uri));
            let answer = asked.headers(parts.headers).body(body).send().await.unwrap();
            let (status, headers) = (answer.status(), answer.headers().clone());
            let answer = answer.bytes().await.unwrap();
            let is_it = parts.uri.path() == path;
            let victim = if is_it { victim.swap(0, Ordering::SeqCst) } else { 0 };
            if victim != 0 {
                signal("-KILL", victim);
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
