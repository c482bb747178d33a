//! A server on this host that takes whatever a run tells it, and answers as the test says.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

/// What the server does with a request.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// This status, without a body.
    Status(u16),
    /// To itself, under another path.
    Redirect,
    /// Never.
    Silence,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// The server. It ends with the test's runtime.
#[derive(Debug)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    log: Arc<Log>,
}

#[derive(Debug)]
struct Log {
    /// What is still to be answered so; after these, the last one holds.
    answers: Vec<Answer>,
    received: Mutex<Vec<Received>>,
}

impl Listener {
    /// Answers the first request with the first of these, and so on, and all others with the last.
    pub async fn start(answers: &[Answer]) -> Self {
        let log = Arc::new(Log { answers: answers.to_vec(), received: Mutex::default() });
        let socket = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&log));
        tokio::spawn(async move { axum::serve(socket, router).await });
        Self { address, log }
    }

    /// An address of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.log.received.lock().unwrap().clone()
    }
}

async fn answer(State(log): State<Arc<Log>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let at = {
        let mut received = log.received.lock().unwrap();
        received.push(Received { method, path: uri.path().to_owned(), headers, body });
        received.len() - 1
    };
    match log.answers.get(at).or(log.answers.last()).copied() {
        Some(Answer::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some(Answer::Redirect) => (StatusCode::TEMPORARY_REDIRECT, [("location", "/elsewhere")]).into_response(),
        Some(Answer::Silence) | None => std::future::pending().await,
    }
}
