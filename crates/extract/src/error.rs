//! Everything that can go wrong between a catalog entry and its pages.
//!
//! No message holds a token, a query value or a part of a body: cursors and filters may hold email addresses.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use url::Url;

use crate::scrub::printable;
use crate::{Claim, Reply, SignInFailure};

/// Why no page came. [`retry`](ExtractError::retry) and [`ends_run`](ExtractError::ends_run) say what that means for the
/// caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// The configuration cannot work.
    #[error("`{key}` {reason}")]
    Config {
        /// What is wrong.
        key: &'static str,
        /// What would be right.
        reason: String,
    },
    /// A certificate is not trusted.
    #[error("{place}: the certificate of {host} {reason}")]
    Certificate {
        /// Which request.
        place: RequestPlace,
        /// Scheme, host and port.
        host: String,
        /// What is wrong with it, and what to do.
        reason: &'static str,
    },
    /// The HTTP client could not be set up, for want of certificates perhaps.
    #[error("cannot set up the HTTP client; are the system's CA certificates installed?")]
    Setup {
        /// What it said.
        #[source]
        source: reqwest::Error,
    },
    /// A parameter that the catalog does not know, that is missing, or whose value fits nowhere.
    #[error("{report}: parameter `{name}` {reason}")]
    Parameter {
        /// The report.
        report: String,
        /// The parameter.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The access token, or the refresh token, is not accepted.
    #[error("{place}: the sign-in is no longer valid ({reply})")]
    SignIn {
        /// Which request.
        place: RequestPlace,
        /// What the API said.
        reply: Box<Reply>,
    },
    /// Nobody has signed in to the account yet.
    #[error("account `{account}` is not signed in ({path})")]
    NotSignedIn {
        /// The account.
        account: String,
        /// Where its sign-in would be.
        path: String,
    },
    /// The account's refresh token is not accepted any more, or it has none.
    #[error("{place}: {why}{}", never_stored(.unfinished))]
    LoginNeeded {
        /// Which request.
        place: RequestPlace,
        /// The account.
        account: String,
        /// What the token endpoint said.
        why: Box<NoRenewal>,
        /// Who sent the token before and never stored a response, oldest first.
        unfinished: Vec<Claim>,
    },
    /// The API key or its secret is not accepted.
    #[error("{place}: the API key of account `{account}` or its secret is not accepted ({reply})")]
    ClientRefused {
        /// Which request.
        place: RequestPlace,
        /// The account.
        account: String,
        /// What the token endpoint said.
        reply: Box<Reply>,
    },
    /// Others than its owner may read a file or a folder of tokens.
    #[error("others than its owner may read {} (mode {mode:o}, which should be {tight:o})", .path.display())]
    TokensOpen {
        /// The file or the folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// What its mode should be.
        tight: u32,
    },
    /// A stored sign-in cannot be read.
    #[error("the sign-in of account `{account}` in {path} cannot be used: {reason}")]
    TokensDamaged {
        /// The account.
        account: String,
        /// The file or the object.
        path: String,
        /// What is wrong with it, without a word of its content.
        reason: String,
    },
    /// The key does not fit a sign-in in an object store.
    #[error("the sign-in of account `{account}` in {path} cannot be decrypted with this token key")]
    TokenKey {
        /// The account.
        account: String,
        /// The object.
        path: String,
    },
    /// The token store does not answer, or does not take what is written to it.
    #[error("cannot {action} {path}; {}", store_advice(.source))]
    TokenStore {
        /// What was tried.
        action: &'static str,
        /// The file or the object.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The token is good but may not read this.
    #[error(
        "{place}: not allowed ({reply}); the token needs the scope `{scope}`, and its user the privilege to see this data"
    )]
    Forbidden {
        /// Which request.
        place: RequestPlace,
        /// What the API said.
        reply: Box<Reply>,
        /// Scope that the report needs.
        scope: String,
    },
    /// No more requests today.
    #[error("{limit}; it resets at {}", resets_at.format("%Y-%m-%d %H:%M UTC"))]
    Quota {
        /// When requests are taken again: the next midnight, UTC.
        resets_at: DateTime<Utc>,
        /// Whose limit it was.
        limit: QuotaLimit,
    },
    /// The file in which the requests of an API key are counted cannot be used.
    #[error("cannot use the quota ledger {}", path.display())]
    LedgerFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The object store in which hosts count the requests of an API key cannot be used.
    #[error("cannot use the quota ledger at {path} in the object store after {attempts} attempts; try again later")]
    LedgerStore {
        /// The object, or the prefix of objects.
        path: String,
        /// How often it was tried.
        attempts: u32,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// It failed each time that it was tried; it may well work later.
    #[error("{place}: {gave_up}{}", last_said(.place, .reply.as_deref(), .source.as_ref()))]
    Transient {
        /// Which request.
        place: RequestPlace,
        /// Why no more was tried.
        gave_up: GaveUp,
        /// The last answer, if one came.
        reply: Option<Box<Reply>>,
        /// Why no response came.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// The API does not take the request.
    #[error("{place}: the API rejects the request ({reply})")]
    Rejected {
        /// Which request.
        place: RequestPlace,
        /// What the API said; its status tells an unknown id (404) from a bad parameter (400).
        reply: Box<Reply>,
    },
    /// The link with which a crawl resumed after an earlier run's page leads to no page, for whatever reason: most likely
    /// the API does not take it any more.
    #[error("the link from an earlier run does not lead to a page ({error}); start again from the first page")]
    StaleCursor {
        /// What came of it.
        error: Box<ExtractError>,
    },
    /// The response is not a page of the report (or, from the token endpoint, not a token).
    #[error("{place}: {}the response cannot be used: {reason} ({reply})", tried(*.gave_up))]
    NotAPage {
        /// Which request.
        place: RequestPlace,
        /// What the response said of itself.
        reply: Box<Reply>,
        /// What is wrong with it, without a word of its content.
        reason: String,
        /// Why it was not asked for again; absent where asking again is no use.
        gave_up: Option<GaveUp>,
    },
    /// The link to the next page leads away from the API.
    #[error("{place}: the link to the next page leads to {host}, where the token must not go ({reply})")]
    ForeignLink {
        /// Which page was to be asked for.
        place: RequestPlace,
        /// What the page with the link said of itself.
        reply: Box<Reply>,
        /// Scheme, host and port that it names.
        host: String,
    },
    /// The API answered with a redirect; none is documented, and the token must not follow one.
    #[error("{place}: the API redirects to {host}; no redirect is followed, check `base_url` ({reply})")]
    Redirect {
        /// Which request.
        place: RequestPlace,
        /// What the response said of itself.
        reply: Box<Reply>,
        /// Scheme, host and port that it names.
        host: String,
    },
    /// The link to the next page leads to a page that was read already: following it would never end.
    #[error("{place}: the link to the next page repeats an earlier one; start the crawl over ({reply})")]
    RepeatedCursor {
        /// Which page was to be asked for.
        place: RequestPlace,
        /// What the page with the link said of itself.
        reply: Box<Reply>,
    },
    /// The pages bring nothing new, and each links to another: following them would use up the day.
    #[error("{place}: {reason}; the crawl stops here, report it to the API's support ({reply})")]
    NoProgress {
        /// Which page was to be asked for.
        place: RequestPlace,
        /// What the page with the link said of itself.
        reply: Box<Reply>,
        /// What they brought.
        reason: String,
    },
    /// A person tried to sign in, and it came to nothing.
    #[error(transparent)]
    SigningIn(#[from] SignInFailure),
    /// The file of an application profile.
    #[error("application profile {}: {reason}", path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
        /// What the system said.
        #[source]
        source: Option<io::Error>,
    },
    /// The body is larger than the configured bound.
    #[error(
        "{place}: the body is larger than {max_body_bytes} bytes, which no response should be ({reply}); list fewer sub-resources \
         in `include_subresources` where the report has that option, else report it to the API's support"
    )]
    BodyTooLarge {
        /// Which request.
        place: RequestPlace,
        /// What the response said of itself.
        reply: Box<Reply>,
        /// The bound.
        max_body_bytes: u64,
    },
}

impl ExtractError {
    /// Whether the address of the API has the wrong scheme.
    pub fn has_wrong_scheme(&self) -> bool {
        matches!(self, Self::Transient { source: Some(source), .. } if wrong_scheme(source).is_some())
    }

    /// The server that was asked, where it refused a path without the API's version: `base_url` lacks `/v3` then.
    pub fn lacks_version(&self) -> Option<&str> {
        let (place, status) = match self {
            Self::SignIn { place, reply }
            | Self::Rejected { place, reply }
            | Self::Forbidden { place, reply, .. }
            | Self::NotAPage { place, reply, .. } => (place, reply.status),
            _ => return None,
        };
        let path = place.request.strip_prefix("GET ")?;
        let refused = matches!(status, 200 | 401 | 403 | 404) && !path.split('/').any(|part| part == "v3");
        refused.then_some(&*place.server)
    }

    /// HTTP status of the response, where one came.
    pub fn status(&self) -> Option<u16> {
        self.reply().map(|reply| reply.status)
    }

    /// What the API said, where a response came.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::SignIn { reply, .. }
            | Self::ClientRefused { reply, .. }
            | Self::Forbidden { reply, .. }
            | Self::Rejected { reply, .. }
            | Self::NotAPage { reply, .. }
            | Self::ForeignLink { reply, .. }
            | Self::Redirect { reply, .. }
            | Self::RepeatedCursor { reply, .. }
            | Self::NoProgress { reply, .. }
            | Self::BodyTooLarge { reply, .. } => Some(reply),
            Self::Transient { reply, .. } => reply.as_deref(),
            Self::StaleCursor { error } => error.reply(),
            Self::SigningIn(failure) => failure.reply(),
            Self::LoginNeeded { why, .. } => match &**why {
                NoRenewal::Refused(reply) => Some(reply),
                NoRenewal::NoRefreshToken => None,
            },
            Self::Config { .. }
            | Self::Setup { .. }
            | Self::Certificate { .. }
            | Self::Parameter { .. }
            | Self::Quota { .. }
            | Self::LedgerFile { .. }
            | Self::LedgerStore { .. }
            | Self::Profile { .. }
            | Self::NotSignedIn { .. }
            | Self::TokensOpen { .. }
            | Self::TokensDamaged { .. }
            | Self::TokenKey { .. }
            | Self::TokenStore { .. } => None,
        }
    }
}

/// Which request it was: what for, and the path without its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPlace {
    /// What the request was for, such as `contacts page 3`.
    pub task: String,
    /// Method and path.
    pub request: Box<str>,
    /// Host and port that were asked.
    pub server: Box<str>,
}

impl RequestPlace {
    pub(crate) fn new(task: String, method: &str, url: &Url) -> Self {
        let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
        let server = format!("{}{port}", url.host_str().unwrap_or_default());
        Self { task, request: format!("{method} {}", printable(url.path())).into(), server: server.into() }
    }
}

impl fmt::Display for RequestPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.task, self.request)
    }
}

/// Why a token cannot be renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRenewal {
    /// The token endpoint refused.
    Refused(Reply),
    /// There is nothing to renew it with: `offline_access` was not granted.
    NoRefreshToken,
}

impl fmt::Display for NoRenewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reply) => write!(f, "the refresh token is not accepted any more ({reply})"),
            Self::NoRefreshToken => f.write_str("the access token has ended and there is no refresh token"),
        }
    }
}

/// Whose limit on requests per day was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaLimit {
    /// The API said `quota_exceeded`. The key's other users count too.
    Api {
        /// `x-amzn-requestid` of the response.
        request_id: Option<String>,
    },
    /// As many requests were sent today as may be, by all who share the ledger.
    Configured {
        /// [`RateLimit::daily_requests`](crate::RateLimit::daily_requests).
        daily_requests: u64,
    },
    /// What is left of the day is kept for others.
    Reserved {
        /// [`RateLimit::daily_requests`](crate::RateLimit::daily_requests).
        daily_requests: u64,
        /// [`RateLimit::reserve`](crate::RateLimit::reserve).
        reserve: u64,
    },
}

impl fmt::Display for QuotaLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api { request_id: Some(id) } => {
                write!(f, "the daily quota of the API key is exhausted [request id {id}]")
            }
            Self::Api { request_id: None } => f.write_str("the daily quota of the API key is exhausted"),
            Self::Configured { daily_requests } => {
                write!(f, "the {daily_requests} requests per day (`daily_requests`) are used up")
            }
            Self::Reserved { daily_requests, reserve } => {
                let share = daily_requests.saturating_sub(*reserve);
                write!(
                    f,
                    "{share} of {daily_requests} requests per day are used up, and {reserve} are reserved for others (`reserve`)"
                )
            }
        }
    }
}

/// Why a request was not retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaveUp {
    /// It was sent this often.
    Attempts(u32),
    /// The run has used all its retries, this many.
    Budget(u32),
    /// The response was still being worked out after this many repeats.
    Pending(u32),
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attempts(1) => f.write_str("failed"),
            Self::Attempts(attempts) => write!(f, "failed in each of {attempts} attempts"),
            Self::Budget(budget) => write!(f, "failed, and the {budget} retries of the run are used up"),
            Self::Pending(repeats) => write!(f, "the API was still processing the request after {repeats} retries"),
        }
    }
}

/// Who sent a refresh token and never stored what came of it.
fn never_stored(unfinished: &[Claim]) -> String {
    let Some((last, earlier)) = unfinished.split_last() else { return String::new() };
    let who: String = earlier.iter().map(|claim| format!("{claim}, then ")).chain([last.to_string()]).collect();
    format!("; it was sent by {who}, whose response was never stored: the token that came instead is lost")
}

/// What to do about a token store that does not do its part.
fn store_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free disk space, then run again",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "let this user read and write there",
        io::ErrorKind::TimedOut => "another process has locked it for minutes; stop that process if it hangs",
        io::ErrorKind::Unsupported => "keep the tokens at a place that can lock files or put an object only if absent",
        _ => "run again when it can be reached",
    }
}

/// The last answer, or who gave none, for a message's end.
fn last_said(place: &RequestPlace, reply: Option<&Reply>, source: Option<&reqwest::Error>) -> String {
    let server = &place.server;
    match (reply, source.and_then(wrong_scheme)) {
        (Some(reply), _) => format!(", the last time with {reply}; try again later"),
        (None, Some("http")) => format!(", since {server} does not speak TLS; write http:// instead of https://"),
        (None, Some(_)) => format!(", since {server} speaks TLS; write https:// instead of http://"),
        (None, None) => format!(", the last time without a response from {server}"),
    }
}

/// The scheme that the address should have had, where the response shows that it is the other one.
pub(crate) fn wrong_scheme(error: &reqwest::Error) -> Option<&'static str> {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        // What rustls says of a response that is not TLS, and hyper of one that is.
        if text.contains("InvalidContentType") {
            return Some("http");
        }
        if text.contains("invalid HTTP version") {
            return Some("https");
        }
        cause = error.source();
    }
    None
}

/// Why a response that cannot be used was not asked for again.
fn tried(gave_up: Option<GaveUp>) -> String {
    gave_up.map_or_else(String::new, |gave_up| format!("{gave_up}; "))
}

/// A wait in a log line: milliseconds.
pub(crate) fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
