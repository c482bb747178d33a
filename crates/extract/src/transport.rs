//! The HTTP client: TLS, timeouts, compression, a bound on bodies. It follows no redirect and logs no URL.

use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{ACCEPT, DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::redirect;
use rustls::crypto::{CryptoProvider, ring};
use url::{Host, Url};

use crate::{ApiError, ClientConfig, ExtractError, Place, Reply};

/// Clocks are this far apart at most where both are looked after.
const BELIEVED: TimeDelta = TimeDelta::minutes(10);
/// Most bytes of an error's body that are read.
const MAX_ERROR_BYTES: u64 = 64 << 10;

/// Sends requests and reads answers, within bounds.
#[derive(Debug)]
pub(crate) struct Transport {
    http: reqwest::Client,
    pub(crate) max_body_bytes: u64,
    pub(crate) request_timeout: Duration,
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Box<Reply>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// Connection, timeout, or a body that broke off.
    #[error("no answer")]
    Failed {
        #[source]
        error: reqwest::Error,
        /// What the answer said of itself, where its body broke off.
        reply: Option<Box<Reply>>,
    },
    /// The body is over the bound.
    #[error("the body is too large")]
    TooLarge(Box<Reply>),
}

impl Transport {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, ExtractError> {
        if CryptoProvider::get_default().is_none() {
            // Fails only if another thread was faster, which is as good.
            _ = ring::default_provider().install_default();
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("ctct-etl/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .gzip(true)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(config.connect_timeout)
            .timeout(config.request_timeout);
        let urls = || std::iter::once(&config.base_url).chain(config.token.url());
        if urls().all(|url| url.scheme() == "http") {
            // Needs no certificates, and a bare container has none: the default would fail there.
            builder = builder.tls_certs_only([]);
        }
        if urls().all(is_loopback) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|source| ExtractError::Setup { source })?;
        Ok(Self { http, max_body_bytes: config.max_body_bytes, request_timeout: config.request_timeout })
    }

    /// A GET that is ready to be sent.
    pub(crate) fn get(&self, url: &Url) -> reqwest::RequestBuilder {
        self.http.get(url.clone())
    }

    /// Sends a request and reads the answer. An answer that is no success keeps only its errors.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, NoAnswer> {
        let mut response = request.send().await.map_err(|error| failed(error, None))?;
        let headers = std::mem::take(response.headers_mut());
        // Boxed, since errors carry it and must stay small.
        let mut reply = Box::new(Reply::new(response.status().as_u16(), &headers));
        let body = if response.status().is_success() {
            self.read(&mut response, self.max_body_bytes, &reply).await?
        } else {
            // What is wrong with an error's body must not hide the error.
            let body = self.read(&mut response, MAX_ERROR_BYTES, &reply).await.unwrap_or_default();
            reply.errors = ApiError::in_body(&body);
            body
        };
        Ok(Answer { reply, headers, body })
    }

    /// Sends a request of the `oauth2` crate, for a token.
    pub(crate) async fn send_oauth(&self, request: oauth2::HttpRequest) -> Result<Answer, NoAnswer> {
        let (parts, body) = request.into_parts();
        // `oauth2` made the URL from one that was parsed, so this cannot fail; if it did, reqwest says so on sending.
        let request = self.http.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
        self.send(request).await
    }

    async fn read(&self, response: &mut reqwest::Response, bound: u64, reply: &Reply) -> Result<Bytes, NoAnswer> {
        let too_large = || NoAnswer::TooLarge(Box::new(reply.clone()));
        if response.content_length().is_some_and(|length| length > bound) {
            return Err(too_large());
        }
        // The length is the server's word, checked against the bound; a body that was compressed grows beyond it.
        let expected = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
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

impl Answer {
    /// The server's clock, from `Date`.
    pub(crate) fn server_date(&self) -> Option<DateTime<Utc>> {
        http_date(self.headers.get(DATE)?)
    }

    /// The time at the server, at `now` by this host's clock. A clock that is further off than any that is looked after says
    /// nothing about the server's day, which is UTC as ours is.
    pub(crate) fn time(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.server_date().filter(|date| (*date - now).abs() <= BELIEVED).unwrap_or(now)
    }

    /// How long the server asks to wait, from `Retry-After` in either of its forms.
    pub(crate) fn retry_after(&self, now: DateTime<Utc>) -> Option<Duration> {
        let value = self.headers.get(RETRY_AFTER)?;
        match value.to_str().ok()?.trim().parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => (http_date(value)? - self.server_date().unwrap_or(now)).to_std().ok(),
        }
    }

    /// The error for a redirect, which names only where it leads.
    pub(crate) fn redirect(self, place: Place, from: &Url) -> ExtractError {
        let target = self.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let target = target.and_then(|target| from.join(target).ok());
        let host = target.map_or_else(|| "nowhere".to_owned(), |url| origin(&url));
        ExtractError::Redirect { place, reply: self.reply, host }
    }
}

/// Scheme, host and port of a URL: all of it that may be said.
pub(crate) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Drops the URL from the error: its query may hold a cursor.
fn failed(error: reqwest::Error, reply: Option<Box<Reply>>) -> NoAnswer {
    NoAnswer::Failed { error: error.without_url(), reply }
}

fn http_date(value: &HeaderValue) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(value.to_str().ok()?).ok().map(|date| date.to_utc())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}
