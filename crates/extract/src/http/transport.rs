//! The HTTP client: TLS, timeouts, compression, a bound on bodies. It follows no redirect and logs no URL.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{ACCEPT, DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::redirect;
use rustls::crypto::{CryptoProvider, ring};
use url::{Host, Url};

use crate::config::{IN_CLEAR, is_in_clear};
use crate::scrub::printable;
use crate::{ApiError, ClientConfig, ExtractError, Reply, RequestPlace};

/// Clocks are this far apart at most where both are looked after.
const BELIEVED: TimeDelta = TimeDelta::minutes(10);
/// Most bytes of an error's body that are read.
pub(crate) const MAX_ERROR_BYTES: u64 = 64 << 10;
/// Most bytes of a token reply, which is a few kilobytes.
const MAX_TOKEN_BYTES: u64 = 1 << 20;
/// Most bytes that are set aside for a body because the server says that they come.
const MAX_EXPECTED: usize = 4 << 20;
/// How to have a certificate trusted. The variable is the one that OpenSSL reads too.
const UNKNOWN_AUTHORITY: &str = "is not trusted; set SSL_CERT_FILE to a PEM file with the certificate of its authority, \
                                 and check the address in `source`";

/// Sends requests and reads answers, within bounds. Each host has its own TLS and proxy: which of the two it needs is told
/// by its address alone, whatever the others are.
#[derive(Debug)]
pub(crate) struct Transport {
    /// For the host that the client is made for.
    own: reqwest::Client,
    /// For hosts of each [`Kind`] that come up later: a token endpoint is known when the account is.
    others: [OnceLock<reqwest::Client>; 4],
    connect_timeout: Duration,
    max_body_bytes: u64,
    pub(crate) request_timeout: Duration,
    allow_http: bool,
}

/// What a connection to a host takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    /// Certificates are needed.
    is_encrypted: bool,
    /// It is this host, which no proxy leads to.
    is_here: bool,
}

/// A response that was read to its end.
#[derive(Debug)]
pub(crate) struct RawResponse {
    pub(crate) reply: Box<Reply>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoResponse {
    /// Connection, timeout, or a body that broke off.
    #[error("no response")]
    Failed {
        #[source]
        error: reqwest::Error,
        /// What the response said of itself, where its body broke off.
        reply: Option<Box<Reply>>,
    },
    /// The body is over the bound, this many bytes.
    #[error("the body is too large")]
    TooLarge(Box<Reply>, u64),
    /// There can be no connection until somebody changes something.
    #[error("no connection")]
    Unusable(Unusable),
}

/// Why there can be no connection.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// There are no certificates to check others with.
    Setup(reqwest::Error),
    /// The host is not encrypted, and a token would leave this one.
    InClear { host: String },
    /// The host's certificate is not trusted.
    Certificate { host: String, reason: &'static str },
}

impl Unusable {
    /// The error of a request.
    pub(crate) fn at(self, place: RequestPlace) -> ExtractError {
        match self {
            Self::Setup(source) => ExtractError::Setup { source },
            Self::InClear { host } => ExtractError::Config { key: "token_url", reason: format!("({host}) {IN_CLEAR}") },
            Self::Certificate { host, reason } => ExtractError::Certificate { place, host, reason },
        }
    }
}

/// Gives the process its provider of TLS, where it has none yet. A client does so by itself.
pub fn install_tls() {
    if CryptoProvider::get_default().is_none() {
        // Fails only if another thread was faster, which is as good.
        _ = ring::default_provider().install_default();
    }
}

impl Transport {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, ExtractError> {
        install_tls();
        let (connect_timeout, request_timeout) = (config.connect_timeout, config.request_timeout);
        let own = Kind::of(&config.base_url).client(connect_timeout, request_timeout);
        Ok(Self {
            own: own.map_err(|source| ExtractError::Setup { source })?,
            others: Default::default(),
            connect_timeout,
            max_body_bytes: config.max_body_bytes,
            request_timeout,
            allow_http: config.allow_http,
        })
    }

    /// Lets tokens go where everybody on the way can read them.
    pub(crate) fn allow_http(&mut self) {
        self.allow_http = true;
    }

    /// A GET that is ready to be sent to the host that the client is made for.
    pub(crate) fn get(&self, url: &Url) -> reqwest::RequestBuilder {
        self.own.get(url.clone())
    }

    /// Sends a request and reads the response, up to `bound` bytes. A response that is no success keeps only its errors.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder, bound: u64) -> Result<RawResponse, NoResponse> {
        let mut response = request.send().await.map_err(|error| failed(error, None))?;
        let headers = std::mem::take(response.headers_mut());
        // Boxed, since errors carry it and must stay small.
        let mut reply = Box::new(Reply::new(response.status().as_u16(), &headers));
        let body = if response.status().is_success() {
            Self::read(&mut response, bound.min(self.max_body_bytes), &reply).await?
        } else {
            // What is wrong with an error's body must not hide the error.
            let body = Self::read(&mut response, MAX_ERROR_BYTES, &reply).await.unwrap_or_default();
            reply.errors = ApiError::in_body(&body);
            body
        };
        Ok(RawResponse { reply, headers, body })
    }

    /// Sends a request of the `oauth2` crate, for a token.
    pub(crate) async fn send_oauth(&self, request: oauth2::HttpRequest) -> Result<RawResponse, NoResponse> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        // `oauth2` made the URL from one that was parsed, so this cannot fail; if it did, reqwest says so on sending.
        let client = match Url::parse(&url) {
            Ok(url) if !self.allow_http && is_in_clear(&url) => {
                return Err(NoResponse::Unusable(Unusable::InClear { host: origin(&url) }));
            }
            Ok(url) => self.client(Kind::of(&url))?,
            Err(_) => &self.own,
        };
        self.send(client.request(parts.method, url).headers(parts.headers).body(body), MAX_TOKEN_BYTES).await
    }

    fn client(&self, kind: Kind) -> Result<&reqwest::Client, NoResponse> {
        let [plain_here, tls_here, plain, tls] = &self.others;
        let client = match kind {
            Kind { is_here: true, is_encrypted: false } => plain_here,
            Kind { is_here: true, is_encrypted: true } => tls_here,
            Kind { is_here: false, is_encrypted: false } => plain,
            Kind { is_here: false, is_encrypted: true } => tls,
        };
        if let Some(client) = client.get() {
            return Ok(client);
        }
        let made = kind.client(self.connect_timeout, self.request_timeout);
        let made = made.map_err(|error| NoResponse::Unusable(Unusable::Setup(error)))?;
        Ok(client.get_or_init(|| made))
    }

    async fn read(response: &mut reqwest::Response, bound: u64, reply: &Reply) -> Result<Bytes, NoResponse> {
        let too_large = || NoResponse::TooLarge(Box::new(reply.clone()), bound);
        if response.content_length().is_some_and(|length| length > bound) {
            return Err(too_large());
        }
        // The length is the server's word, checked against the bound; a body that was compressed grows beyond it.
        let expected = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        let expected = expected.min(MAX_EXPECTED);
        let mut body = BytesMut::with_capacity(expected);
        let broke_off = |error| failed(error, Some(Box::new(reply.clone())));
        while let Some(chunk) = response.chunk().await.map_err(broke_off)? {
            if (body.len() + chunk.len()) as u64 > bound {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

impl RawResponse {
    /// The server's clock, from `Date`.
    pub(crate) fn server_date(&self) -> Option<DateTime<Utc>> {
        http_date(self.headers.get(DATE)?)
    }

    /// The time at the server, at `now` by this host's clock. A clock that is further off than any that is looked after says
    /// nothing about the server's day, which is UTC as ours is.
    pub(crate) fn time(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.server_date().filter(|date| (*date - now).abs() <= BELIEVED).unwrap_or(now)
    }

    /// How long the server asks to wait, from `RetrySettings-After` in either of its forms.
    pub(crate) fn retry_after(&self, now: DateTime<Utc>) -> Option<Duration> {
        let value = self.headers.get(RETRY_AFTER)?;
        match value.to_str().ok()?.trim().parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => (http_date(value)? - self.server_date().unwrap_or(now)).to_std().ok(),
        }
    }

    /// The error for a redirect, which names only where it leads.
    pub(crate) fn redirect(self, place: RequestPlace, from: &Url) -> ExtractError {
        let target = self.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let target = target.and_then(|target| from.join(target).ok());
        let host = target.map_or_else(|| "nowhere".to_owned(), |url| origin(&url));
        ExtractError::Redirect { place, reply: self.reply, host }
    }
}

impl Kind {
    fn of(url: &Url) -> Self {
        Self { is_encrypted: url.scheme() == "https", is_here: is_loopback(url) }
    }

    fn client(self, connect_timeout: Duration, request_timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("ctct-etl/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .gzip(true)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(connect_timeout)
            .timeout(request_timeout);
        if !self.is_encrypted {
            // Needs no certificates, and a bare container has none: the default would fail there.
            builder = builder.tls_certs_only([]);
        }
        if self.is_here {
            builder = builder.no_proxy();
        }
        builder.build()
    }
}

/// Scheme, host and port of a URL: all of it that may be said. A host may come from outside.
pub(crate) fn origin(url: &Url) -> String {
    printable(&url.origin().ascii_serialization())
}

/// Drops the URL from the error: its query may hold a cursor.
fn failed(error: reqwest::Error, reply: Option<Box<Reply>>) -> NoResponse {
    match untrusted(&error) {
        Some(reason) => {
            let host = error.url().map_or_else(|| "the server".to_owned(), origin);
            NoResponse::Unusable(Unusable::Certificate { host, reason })
        }
        None => NoResponse::Failed { error: error.without_url(), reply },
    }
}

/// What is wrong with the host's certificate, where that is why there was no connection.
fn untrusted(error: &reqwest::Error) -> Option<&'static str> {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    let refused = loop {
        let said = cause?.to_string();
        if said.starts_with("invalid peer certificate") {
            break said;
        }
        cause = cause?.source();
    };
    // The library's own types are the TLS library's, several layers down; its texts are as stable.
    Some(certificate_advice(&refused))
}

fn certificate_advice(refused: &str) -> &'static str {
    let is = |kind: &str| refused.contains(kind);
    if is("NotValidYet") || is("not valid yet") {
        "is not valid yet; set this host's clock, or have the certificate replaced"
    } else if is("Expired") || is("expired") {
        "has expired; have it renewed, or set this host's clock if that is wrong"
    } else if is("NotValidForName") || is("not valid for name") {
        "is for another host name; check the address in `source`"
    } else {
        UNKNOWN_AUTHORITY
    }
}

fn http_date(value: &HeaderValue) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(value.to_str().ok()?).ok().map(|date| date.to_utc())
}

/// Whether an address is this very host's.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}
