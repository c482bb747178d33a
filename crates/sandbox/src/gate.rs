//! What stands before every endpoint: latency, access token, scope, limits, faults; and what marks every answer: the
//! headers of the gateway and the request log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, DATE, VIA};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use crate::account::random_id;
use crate::config::SandboxConfig;
use crate::draws::{Draws, Topic};
use crate::faults::{Fault, NoAnswer};
use crate::grants::Grants;
use crate::log::RequestLog;
use crate::pace::{Pace, Verdict};
use crate::refusal::Refusal;
use crate::server::{Service, TOKEN_PATH};
use crate::user::{READ_CONTACTS, READ_REPORTS};

/// State of the gate.
pub(crate) struct Gate {
    pub(crate) grants: Mutex<Grants>,
    pace: Mutex<Pace>,
    /// The limit of the token endpoint, if it has one.
    token_pace: Option<Mutex<Pace>>,
    log: Mutex<RequestLog>,
    /// Requests that the limits let through; the number decides about faults.
    admitted: AtomicU64,
    /// All requests; the number makes their ids.
    answered: AtomicU64,
}

/// Prefix of the paths that take an access token.
pub(crate) const API: &str = "/v3/";

impl Gate {
    /// A gate that opens at `at`, by the server's clock.
    pub(crate) fn new(config: &SandboxConfig, at: DateTime<Utc>) -> Self {
        let (now, today) = (Instant::now(), at.date_naive());
        let counted = config.quirks.count_throttled;
        let pace = Pace::new(config.requests_per_second, config.burst, config.daily_requests, counted, now, today);
        let per_second = config.quirks.token_requests_per_second;
        Self {
            grants: Mutex::new(Grants::new(config.seed, config.users, &config.quirks, at)),
            pace: Mutex::new(pace),
            token_pace: per_second.map(|rate| Mutex::new(Pace::new(rate, 1, u64::MAX, counted, now, today))),
            log: Mutex::new(RequestLog::default()),
            admitted: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        }
    }

    /// What was asked so far.
    pub(crate) fn log(&self) -> RequestLog {
        lock(&self.log).clone()
    }
}

/// A lock whose holder panicked still guards consistent values: every holder leaves them so.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The middleware.
pub(crate) async fn pass(State(service): State<Arc<Service>>, mut request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let target = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    if !service.config.latency.is_zero() {
        tokio::time::sleep(service.config.latency).await;
    }
    let mut date = service.time();
    let mut response = match admit(&service, &mut request) {
        Err(refusal) => refusal.into_response(),
        Ok(None) => match service.before(request.uri().path()) {
            Ok(()) => {
                // What the response shows is never older than its date, whatever happens while it is written.
                date = service.time();
                next.run(request).await
            }
            Err(refusal) => refusal.into_response(),
        },
        Ok(Some(fault)) => match fault.answer(retry_after(&service, 1)) {
            Some(answer) => answer,
            None => fault.spoil(next.run(request).await).await,
        },
    };
    stamp(&service, response.headers_mut(), date);
    let closed = response.extensions().get::<NoAnswer>().is_some();
    lock(&service.gate.log).add(method, target, (!closed).then(|| response.status()));
    response
}

/// Lets a request through, perhaps with a fault, or refuses it. Endpoints of the API are told which [`User`](crate::user::User) asks.
fn admit(service: &Service, request: &mut Request) -> Result<Option<Fault>, Refusal> {
    let now = service.time();
    let path = request.uri().path();
    if !path.starts_with(API) {
        let Some(pace) = service.gate.token_pace.as_ref().filter(|_| path == TOKEN_PATH) else { return Ok(None) };
        return verdict(service, lock(pace).take(Instant::now(), now.date_naive()), now).map(|()| None);
    }
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    let user = {
        let grants = lock(&service.gate.grants);
        let grant = token.and_then(|token| grants.holder(token, now)).ok_or(Refusal::Unauthorized)?;
        let privileged = |privilege| grant.user.privileges(&service.config).any(|has| has == privilege);
        if !(scope(path).is_none_or(|scope| grant.has(scope)) && privilege(path).is_none_or(privileged)) {
            return Err(Refusal::Forbidden);
        }
        grant.user
    };
    let said = lock(&service.gate.pace).take(Instant::now(), now.date_naive());
    verdict(service, said, now)?;
    request.extensions_mut().insert(user);
    let number = service.gate.admitted.fetch_add(1, Ordering::Relaxed);
    Ok(service.config.faults.of(service.config.seed, number))
}

fn verdict(service: &Service, verdict: Verdict, now: DateTime<Utc>) -> Result<(), Refusal> {
    let html = service.config.quirks.throttled_as_html;
    match verdict {
        Verdict::Admitted => Ok(()),
        Verdict::Throttled => Err(Refusal::Throttled { retry_after: retry_after(service, 1), html }),
        Verdict::QuotaExceeded => {
            let midnight = now.date_naive().and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::days(1);
            let seconds = u64::try_from((midnight - now).num_seconds()).unwrap_or_default() + 1;
            Err(Refusal::QuotaExceeded { retry_after: retry_after(service, seconds), html })
        }
    }
}

fn retry_after(service: &Service, seconds: u64) -> Option<u64> {
    service.config.quirks.retry_after.then_some(seconds)
}

/// The token of a bearer header. The scheme is read without regard to case, as HTTP wants.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// The scope that the vendor's description asks for; privileges take any token.
fn scope(path: &str) -> Option<&'static str> {
    match path.strip_prefix(API)?.split('/').collect::<Vec<_>>().as_slice() {
        ["account", "user", ..] => None,
        ["account", ..] => Some("account_read"),
        ["emails", ..] => Some("campaign_data"),
        _ => Some("contact_data"),
    }
}

/// The privilege that a user needs besides the scope; none for the account's own data and for campaigns.
fn privilege(path: &str) -> Option<&'static str> {
    match path.strip_prefix(API)?.split('/').next()? {
        "account" | "emails" => None,
        "reports" => Some(READ_REPORTS),
        _ => Some(READ_CONTACTS),
    }
}

/// Headers as recorded.
fn stamp(service: &Service, headers: &mut HeaderMap, date: DateTime<Utc>) {
    let off = service.config.quirks.wrong_date;
    let date = date.checked_add_signed(off).unwrap_or(date).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    set(headers, DATE, &date);
    if !service.config.quirks.edge_headers {
        return;
    }
    let number = service.gate.answered.fetch_add(1, Ordering::Relaxed);
    let mut draws = Draws::new(service.config.seed, Topic::RequestIds, number);
    let cache = if headers.contains_key("x-amzn-errortype") { "Error from cloudfront" } else { "Miss from cloudfront" };
    set(headers, HeaderName::from_static("x-amzn-requestid"), &random_id(&mut draws));
    set(headers, HeaderName::from_static("x-eig-tracking-id"), &random_id(&mut draws));
    set(headers, HeaderName::from_static("x-cache"), cache);
    set(headers, VIA, "1.1 sandbox.cloudfront.net (CloudFront)");
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Every value here is printable ASCII.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
