//! A server that gives one answer to whatever it is asked, and another at the token endpoint, and keeps who asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, DATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, post};
use ctct_extract::{AccessToken, ClientConfig, Clock, RateLimit, RefreshGrant, RetrySettings, Token, Url};

/// Sent with every answer.
pub(crate) const REQUEST_ID: &str = "0b7cf5d2-0000-4000-8000-000000000001";
/// The refresh token that a client begins with.
pub(crate) const REFRESH_TOKEN: &str = "the-first";

/// An answer: its status and body.
pub(crate) type Answer = (u16, Vec<u8>);

/// The server.
pub(crate) struct Scripted {
    root: Url,
    authorizations: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Answers the API with `api` and the token endpoint with `token`.
    pub(crate) async fn start(api: Answer, token: Answer) -> Self {
        let authorizations = Arc::default();
        let router = Router::new()
            .route("/token", post(async move || reply(token)))
            .fallback(any(async move |State(seen): State<Arc<Mutex<Vec<String>>>>, headers: HeaderMap| {
                let authorization = headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
                seen.lock().unwrap().extend(authorization);
                reply(api)
            }))
            .with_state(Arc::clone(&authorizations));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { root, authorizations }
    }

    /// A client that asks once, with a token.
    pub(crate) fn config(&self) -> ClientConfig {
        let clock = Clock::fixed("2026-01-31T12:00:00Z".parse().unwrap());
        let pace = RateLimit { requests_per_second: 1e6, daily_requests: 100, ..RateLimit::default() };
        let retry = RetrySettings { attempts: 1, max_backoff: Duration::from_millis(1), ..RetrySettings::default() };
        let token = Token::Bearer(AccessToken::new("a-token"));
        ClientConfig { clock, pace, retry, ..ClientConfig::new(self.root.join("/v3").unwrap(), token) }
    }

    /// A client that asks once, and for a token before.
    pub(crate) fn refreshing(&self) -> ClientConfig {
        let grant = RefreshGrant {
            token_url: self.root.join("/token").unwrap(),
            client_id: "the-key".to_owned(),
            client_secret: None,
            refresh_token: REFRESH_TOKEN.into(),
        };
        ClientConfig { token: Token::Refresh(grant), ..self.config() }
    }

    /// `Authorization` of every request to the API.
    pub(crate) fn authorizations(&self) -> Vec<String> {
        self.authorizations.lock().unwrap().clone()
    }
}

fn reply((status, body): Answer) -> impl IntoResponse {
    let content_type = if body.starts_with(b"<") { "text/html" } else { "application/json" };
    let date = "Sat, 31 Jan 2026 12:00:00 GMT";
    let headers = [("x-amzn-requestid", REQUEST_ID), (CONTENT_TYPE.as_str(), content_type), (DATE.as_str(), date)];
    (StatusCode::from_u16(status).unwrap(), headers, body)
}
