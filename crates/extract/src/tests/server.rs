//! A server on loopback that gives the responses of a script, in order, and keeps what it was asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use ctct_catalog::Catalog;
use tokio::net::TcpListener;
use tower_http::compression::CompressionLayer;

use crate::{
    AccessToken, Client, ClientConfig, Clock, Crawl, Pending, RateLimit, RefreshGrant, Request, RetrySettings, Token,
    Url,
};

/// What the tests look for where no secret may be.
pub(super) const ACCESS: &str = "s3cr3t-access";
pub(super) const REFRESH: &str = "s3cr3t-refresh";
pub(super) const CLIENT_SECRET: &str = "s3cr3t-client";

/// One answer of the script.
pub(super) struct Canned {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    form: Form,
}

enum Form {
    Whole,
    /// Does not say how long it is.
    Chunked,
    /// Promises one byte more than it sends.
    Truncated,
    /// Never comes.
    Hanging,
}

impl Canned {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), form: Form::Whole }
            .header("content-type", "application/json")
            .header("x-amzn-requestid", "req-1")
            .header("x-eig-tracking-id", "track-1")
    }

    /// A page of contacts with a link.
    pub(super) fn page(next: &str) -> Self {
        Self::new(200, format!(r#"{{"contacts":[{{"contact_id":"1"}}],"_links":{{"next":{{"href":"{next}"}}}}}}"#))
    }

    /// The last page of contacts.
    pub(super) fn last() -> Self {
        Self::new(200, r#"{"contacts":[]}"#)
    }

    pub(super) fn error(status: u16, key: &str) -> Self {
        Self::new(status, format!(r#"{{"error_key":"{key}","error_message":"Text."}}"#))
    }

    pub(super) fn token(access: &str, refresh: Option<&str>) -> Self {
        let refresh = refresh.map(|token| format!(r#","refresh_token":"{token}""#)).unwrap_or_default();
        let body = format!(r#"{{"token_type":"Bearer","expires_in":"86400","access_token":"{access}"{refresh}}}"#);
        Self::new(200, body)
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn chunked(mut self) -> Self {
        self.form = Form::Chunked;
        self
    }

    pub(super) fn truncated(mut self) -> Self {
        self.form = Form::Truncated;
        self
    }

    pub(super) fn hanging() -> Self {
        Self { form: Form::Hanging, ..Self::last() }
    }

    async fn response(self) -> Response<Body> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(*name, value);
        }
        let body = match self.form {
            Form::Whole => Body::from(self.body),
            Form::Chunked => stream(self.body),
            Form::Truncated => {
                response = response.header("content-length", self.body.len() + 1);
                stream(self.body)
            }
            Form::Hanging => std::future::pending().await,
        };
        response.body(body).unwrap()
    }
}

fn stream(body: Vec<u8>) -> Body {
    Body::from_stream(futures::stream::once(async move { Ok::<_, Infallible>(Bytes::from(body)) }))
}

/// One request that came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) uri: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Default)]
struct Script {
    api: Mutex<VecDeque<Canned>>,
    tokens: Mutex<VecDeque<Canned>>,
    seen: Mutex<Vec<Seen>>,
}

/// The server.
pub(super) struct Server {
    root: Url,
    script: Arc<Script>,
}

impl Server {
    /// Gives these answers below `/v3`.
    pub(super) async fn start(answers: impl IntoIterator<Item = Canned>) -> Self {
        Self::start_with(answers, [], false).await
    }

    /// Gives these answers below `/v3`, these at the token endpoint, and compresses them if told to.
    pub(super) async fn start_with(
        answers: impl IntoIterator<Item = Canned>,
        tokens: impl IntoIterator<Item = Canned>,
        gzip: bool,
    ) -> Self {
        let script = Arc::new(Script {
            api: Mutex::new(answers.into_iter().collect()),
            tokens: Mutex::new(tokens.into_iter().collect()),
            seen: Mutex::default(),
        });
        let mut router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        if gzip {
            router = router.layer(CompressionLayer::new());
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { root, script }
    }

    /// Adds answers below `/v3`, for a script that needs the server's address.
    pub(super) fn add(&self, answers: impl IntoIterator<Item = Canned>) {
        self.script.api.lock().unwrap().extend(answers);
    }

    pub(super) fn url(&self, path: &str) -> Url {
        self.root.join(path).unwrap()
    }

    /// Requests so far, those to the token endpoint left out.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.script.seen.lock().unwrap().iter().filter(|seen| seen.uri.starts_with("/v3")).cloned().collect()
    }

    /// Requests to the token endpoint so far.
    pub(super) fn exchanges(&self) -> Vec<Seen> {
        self.script.seen.lock().unwrap().iter().filter(|seen| seen.uri.starts_with("/oauth2")).cloned().collect()
    }

    /// A configuration for this server that waits milliseconds where the real one waits seconds.
    pub(super) fn config(&self) -> ClientConfig {
        ClientConfig {
            pace: RateLimit { requests_per_second: 1e6, daily_requests: 10_000, ..RateLimit::default() },
            retry: RetrySettings {
                attempts: 3,
                first_backoff: Duration::from_millis(1),
                max_backoff: Duration::from_millis(2),
                budget: 5,
            },
            pending: Pending { repeats: 2, first_wait: Duration::from_millis(1), max_wait: Duration::from_millis(2) },
            clock: Clock::fixed(noon()),
            ..ClientConfig::new(self.url("/v3"), Token::Bearer(AccessToken::new(ACCESS)))
        }
    }

    /// The same, signing in with a refresh token.
    pub(super) fn refreshing(&self, client_secret: Option<&str>) -> ClientConfig {
        let grant = RefreshGrant {
            token_url: self.url("/oauth2/default/v1/token"),
            client_id: "the-api-key".to_owned(),
            client_secret: client_secret.map(Into::into),
            refresh_token: REFRESH.into(),
        };
        ClientConfig { token: Token::Refresh(grant), ..self.config() }
    }

    pub(super) fn client(&self) -> Client {
        Client::new(self.config()).unwrap()
    }

    /// A crawl of contacts.
    pub(super) fn contacts(&self) -> Crawl {
        contacts(&self.client())
    }
}

async fn answer(State(script): State<Arc<Script>>, request: HttpRequest) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let uri = parts.uri.to_string();
    let queue = if uri.starts_with("/oauth2") { &script.tokens } else { &script.api };
    let canned = queue.lock().unwrap().pop_front();
    let body = String::from_utf8(body.to_vec()).unwrap();
    script.seen.lock().unwrap().push(Seen { uri, headers: parts.headers, body });
    canned.unwrap_or_else(|| Canned::error(418, "the script is over")).response().await
}

/// The time on the tests' clock.
pub(super) fn noon() -> DateTime<Utc> {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

/// A crawl of contacts.
pub(super) fn contacts(client: &Client) -> Crawl {
    crawl(client, "contacts", &[("status", "all")])
}

/// A crawl of a report with parameters.
pub(super) fn crawl(client: &Client, report: &str, params: &[(&str, &str)]) -> Crawl {
    client.crawl(request(report, params))
}

/// A request for a report with parameters.
pub(super) fn request(report: &str, params: &[(&str, &str)]) -> Request {
    let report = Arc::clone(Catalog::embedded().unwrap().get(report).unwrap());
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Request { report, params }
}
