//! The page of this host that a browser comes back to once a person has signed in.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use oauth2::CsrfToken;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;
use url::{Host, Url};

use super::returned::code_in_query;
use super::{Authorization, AuthorizationCode, SignInFailure};
use crate::ExtractError;

/// How long it waits for the browser: as long as a code lives, and a person has to find a password.
const PATIENCE: Duration = Duration::from_mins(5);
/// How long a browser may take to read the last page.
const LAST_PAGE: Duration = Duration::from_secs(2);

/// Listens for the browser, on this host alone.
#[derive(Debug)]
pub struct Loopback {
    listener: TcpListener,
    redirect_uri: String,
    path: String,
}

/// A browser that came back with a code and waits to be told how it went.
#[derive(Debug)]
pub struct Visitor {
    code: AuthorizationCode,
    page: oneshot::Sender<BrowserPage>,
    server: LoopbackServer,
}

/// The task that serves the pages.
#[derive(Debug)]
struct LoopbackServer {
    task: JoinHandle<()>,
    end: oneshot::Sender<()>,
}

/// What a browser shows in the end.
#[derive(Debug)]
struct BrowserPage {
    status: StatusCode,
    title: &'static str,
    text: String,
}

/// A response of the authorization server, and where its page goes.
type Arrival = (Result<AuthorizationCode, SignInFailure>, oneshot::Sender<BrowserPage>);

struct Reception {
    path: String,
    state: CsrfToken,
    arrivals: mpsc::Sender<Arrival>,
}

impl Loopback {
    /// Listens where a redirect URI leads: `http://127.0.0.1:8765/callback`, say. Port 0 takes any free port.
    ///
    /// # Errors
    /// [`SignInFailure::RedirectUri`]: it leads to another host than this one. [`SignInFailure::Port`]: it is not free.
    pub async fn listen(redirect_uri: &str) -> Result<Self, ExtractError> {
        let unfit = |reason| SignInFailure::RedirectUri { redirect_uri: redirect_uri.to_owned(), reason };
        let url: Url =
            redirect_uri.parse().map_err(|_| unfit("is no URL; give it as it is registered for the application"))?;
        let here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip == Ipv4Addr::LOCALHOST,
            Some(Host::Ipv6(_)) | None => false,
        };
        if url.scheme() != "http" || !here {
            return Err(unfit("does not lead back to this program; use --paste with it").into());
        }
        let port = url.port_or_known_default().unwrap_or_default();
        let taken = |source| SignInFailure::Port { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(taken)?;
        let redirect_uri = match port {
            0 => {
                let free = listener.local_addr().map_err(taken)?.port();
                redirect_uri.replacen(":0", &format!(":{free}"), 1)
            }
            _ => redirect_uri.to_owned(),
        };
        Ok(Self { listener, redirect_uri, path: url.path().to_owned() })
    }

    /// The redirect URI, as the application must have it registered, exactly as written.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Waits for the browser to come back, five minutes at most. Whoever comes with another `state`, or asks for something
    /// else, is told so and not counted.
    ///
    /// # Errors
    /// [`SignInFailure::Denied`], [`SignInFailure::NoCode`], [`SignInFailure::NobodyCame`].
    pub async fn visitor(self, authorization: &Authorization) -> Result<Visitor, ExtractError> {
        let (arrivals, mut arrived) = mpsc::channel(1);
        let reception = Arc::new(Reception { path: self.path, state: authorization.state.clone(), arrivals });
        let server = LoopbackServer::start(self.listener, reception);
        let arrival = timeout(PATIENCE, arrived.recv()).await;
        let (failure, page) = match arrival {
            Ok(Some((Ok(code), page))) => return Ok(Visitor { code, page, server }),
            Ok(Some((Err(failure), page))) => (failure, Some(page)),
            // The server keeps a sender for as long as it runs.
            Ok(None) | Err(_) => (SignInFailure::NobodyCame { minutes: PATIENCE.as_secs() / 60 }, None),
        };
        if let Some(page) = page {
            drop(page.send(BrowserPage::failed(failure.to_string())));
        }
        server.stop().await;
        Err(failure.into())
    }
}

impl Visitor {
    /// What it brought.
    pub fn code(&self) -> AuthorizationCode {
        self.code.clone()
    }

    /// Shows the browser that it worked, and closes.
    pub async fn welcome(self, text: &str) {
        let page = BrowserPage { status: StatusCode::OK, title: "Signed in", text: text.to_owned() };
        self.show(page).await;
    }

    /// Shows the browser what went wrong, and closes.
    pub async fn turn_away(self, text: &str) {
        self.show(BrowserPage::failed(text.to_owned())).await;
    }

    async fn show(self, page: BrowserPage) {
        // A browser that was closed meanwhile needs no page.
        drop(self.page.send(page));
        self.server.stop().await;
    }
}

impl LoopbackServer {
    fn start(listener: TcpListener, reception: Arc<Reception>) -> Self {
        let (end, ended) = oneshot::channel::<()>();
        let router = Router::new().fallback(receive).with_state(reception);
        let server = axum::serve(listener, router).with_graceful_shutdown(async { drop(ended.await) });
        let task = tokio::spawn(async { drop(server.await) });
        Self { task, end }
    }

    /// Answers what is under way and closes.
    async fn stop(mut self) {
        drop(self.end);
        if timeout(LAST_PAGE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

async fn receive(State(reception): State<Arc<Reception>>, method: Method, uri: Uri) -> BrowserPage {
    if uri.path() != reception.path {
        return BrowserPage {
            status: StatusCode::NOT_FOUND,
            title: "Not found",
            text: "There is nothing here.".to_owned(),
        };
    }
    if method != Method::GET {
        let text = "This page is for browsers that come back from signing in.".to_owned();
        return BrowserPage { status: StatusCode::METHOD_NOT_ALLOWED, title: "Not taken", text };
    }
    let result = code_in_query(uri.query().unwrap_or_default(), &reception.state);
    if let Err(failure @ SignInFailure::OtherState) = &result {
        warn!("a browser came back from another sign-in and was turned away");
        return BrowserPage { status: StatusCode::BAD_REQUEST, ..BrowserPage::failed(failure.to_string()) };
    }
    let (page, shown) = oneshot::channel();
    let already = || BrowserPage {
        status: StatusCode::CONFLICT,
        title: "Already answered",
        text: "This sign-in has already been completed. The terminal shows the result.".to_owned(),
    };
    if reception.arrivals.try_send((result, page)).is_err() {
        return already();
    }
    shown.await.unwrap_or_else(|_| already())
}

impl BrowserPage {
    fn failed(text: String) -> Self {
        Self { status: StatusCode::OK, title: "Not signed in", text }
    }
}

impl IntoResponse for BrowserPage {
    fn into_response(self) -> Response {
        let (title, text) = (self.title, escaped(&self.text));
        let html = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
             <style>body {{ font: 1.1rem/1.5 sans-serif; max-width: 36rem; margin: 4rem auto; padding: 0 1rem }}</style>\n\
             </head><body><h1 id=\"title\">{title}</h1><p id=\"text\">{text}</p></body></html>\n"
        );
        let headers = [
            (header::CACHE_CONTROL, "no-store"),
            // The address of this page holds the code.
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
            (header::CONNECTION, "close"),
        ]
        .map(|(name, value)| (name, HeaderValue::from_static(value)));
        (self.status, headers, Html(html)).into_response()
    }
}

/// Text within HTML. Some of it comes from the address that the browser was sent to.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
