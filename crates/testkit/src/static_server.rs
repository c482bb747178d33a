//! A server that answers with pages it holds in memory: the peer that is never the bottleneck.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use tokio::net::TcpListener;

/// Serves `/v3/contacts` from memory; `cursor` is the number of the page.
#[derive(Debug)]
pub struct StaticServer {
    address: SocketAddr,
}

impl StaticServer {
    /// Listens on a free port of this host and serves on the current runtime.
    ///
    /// # Panics
    /// The port cannot be opened.
    pub async fn start(pages: Vec<Bytes>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let router = Router::new().route("/v3/contacts", get(page)).with_state(Arc::new(pages));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address }
    }

    /// What a pipeline's `base_url` is.
    pub fn base_url(&self) -> String {
        format!("http://{}/v3", self.address)
    }
}

async fn page(State(pages): State<Arc<Vec<Bytes>>>, Query(query): Query<Vec<(String, String)>>) -> Response {
    let cursor = query.iter().find(|(name, _)| name == "cursor").map_or("0", |(_, value)| value);
    match cursor.parse().ok().and_then(|number: usize| pages.get(number)) {
        Some(page) => ([(header::CONTENT_TYPE, "application/json")], page.clone()).into_response(),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}
