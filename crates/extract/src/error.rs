//! Everything that can go wrong between a catalogue entry and its pages.
//!
//! No message holds a token, a query value or a part of a body: cursors and filters may hold e-mail addresses.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use url::Url;

use crate::Reply;
use crate::api_error::printable;

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
    /// The HTTP client could not be set up, for want of certificates perhaps.
    #[error("cannot set up the HTTP client; are the system's CA certificates installed?")]
    Setup {
        /// What it said.
        #[source]
        source: reqwest::Error,
    },
    /// A parameter that the catalogue does not know, that is missing, or whose value fits nowhere.
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
    #[error("{place}: the sign-in is not valid any more ({reply}); pass a new access token")]
    SignIn {
        /// Which request.
        place: Place,
        /// What the API said.
        reply: Box<Reply>,
    },
    /// The token is good but may not read this.
    #[error(
        "{place}: not allowed ({reply}); the token needs the scope `{scope}`, and its user the privilege to see this data"
    )]
    Forbidden {
        /// Which request.
        place: Place,
        /// What the API said.
        reply: Box<Reply>,
        /// Scope that the report needs.
        scope: String,
    },
    /// No more requests today.
    #[error("{limit}; come back after {}", resets_at.format("%Y-%m-%d %H:%M UTC"))]
    Quota {
        /// When requests are taken again: the next midnight, UTC.
        resets_at: DateTime<Utc>,
        /// Whose limit it was.
        limit: QuotaLimit,
    },
    /// It failed each time that it was tried; it may well work later.
    #[error("{place}: {gave_up}{}; try again later", last_said(.reply.as_deref()))]
    Transient {
        /// Which request.
        place: Place,
        /// Why no more was tried.
        gave_up: GaveUp,
        /// The last answer, if one came.
        reply: Option<Box<Reply>>,
        /// Why no answer came.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// The API does not take the request.
    #[error("{place}: the API rejects the request ({reply})")]
    Rejected {
        /// Which request.
        place: Place,
        /// What the API said; its status tells an unknown id (404) from a bad parameter (400).
        reply: Box<Reply>,
    },
    /// The API does not take the link with which a crawl went on after an earlier run's page.
    #[error(
        "{place}: the API does not take the link of an earlier run any more ({reply}); ask again from the first page"
    )]
    StaleCursor {
        /// Which request.
        place: Place,
        /// What the API said.
        reply: Box<Reply>,
    },
    /// The answer is no page of the report (or, from the token endpoint, no token).
    #[error("{place}: the answer cannot be used: {reason} ({reply})")]
    NotAPage {
        /// Which request.
        place: Place,
        /// What the answer said of itself.
        reply: Box<Reply>,
        /// What is wrong with it, without a word of its content.
        reason: String,
    },
    /// The link to the next page leads away from the API.
    #[error("{place}: the link to the next page leads to {host}, where the token must not go ({reply})")]
    ForeignLink {
        /// Which page was to be asked for.
        place: Place,
        /// What the page with the link said of itself.
        reply: Box<Reply>,
        /// Scheme, host and port that it names.
        host: String,
    },
    /// The API answered with a redirect; none is documented, and the token must not follow one.
    #[error("{place}: the API redirects to {host}; no redirect is followed, check `base_url` ({reply})")]
    Redirect {
        /// Which request.
        place: Place,
        /// What the answer said of itself.
        reply: Box<Reply>,
        /// Scheme, host and port that it names.
        host: String,
    },
    /// The link to the next page leads to a page that was read already: following it would never end.
    #[error("{place}: the link to the next page repeats an earlier one; start the crawl over ({reply})")]
    RepeatedCursor {
        /// Which page was to be asked for.
        place: Place,
        /// What the page with the link said of itself.
        reply: Box<Reply>,
    },
    /// The body is larger than the configured bound.
    #[error(
        "{place}: the body is larger than {max_body_bytes} bytes ({reply}); ask for fewer sub-resources or a smaller page"
    )]
    BodyTooLarge {
        /// Which request.
        place: Place,
        /// What the answer said of itself.
        reply: Box<Reply>,
        /// The bound.
        max_body_bytes: u64,
    },
}

impl ExtractError {
    /// HTTP status of the answer, where one came.
    pub fn status(&self) -> Option<u16> {
        self.reply().map(|reply| reply.status)
    }

    /// What the API said, where an answer came.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::SignIn { reply, .. }
            | Self::Forbidden { reply, .. }
            | Self::Rejected { reply, .. }
            | Self::StaleCursor { reply, .. }
            | Self::NotAPage { reply, .. }
            | Self::ForeignLink { reply, .. }
            | Self::Redirect { reply, .. }
            | Self::RepeatedCursor { reply, .. }
            | Self::BodyTooLarge { reply, .. } => Some(reply),
            Self::Transient { reply, .. } => reply.as_deref(),
            Self::Config { .. } | Self::Setup { .. } | Self::Parameter { .. } | Self::Quota { .. } => None,
        }
    }
}

/// Which request it was: what for, and the path without its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What the request was for, such as `contacts page 3`.
    pub task: String,
    /// Method and path.
    pub request: String,
}

impl Place {
    pub(crate) fn new(task: String, method: &str, url: &Url) -> Self {
        Self { task, request: format!("{method} {}", printable(url.path())) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.task, self.request)
    }
}

/// Whose limit on requests a day was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaLimit {
    /// The API said `quota_exceeded`. The key's other users count too.
    Api {
        /// `x-amzn-requestid` of the answer.
        request_id: Option<String>,
    },
    /// This run has sent as many requests today as it may.
    Configured {
        /// [`Pace::daily_requests`](crate::Pace::daily_requests).
        daily_requests: u64,
    },
}

impl fmt::Display for QuotaLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api { request_id: Some(id) } => {
                write!(f, "the API key's requests of the day are used up [request id {id}]")
            }
            Self::Api { request_id: None } => f.write_str("the API key's requests of the day are used up"),
            Self::Configured { daily_requests } => {
                write!(f, "the {daily_requests} requests that this run may send a day (`daily_requests`) are used up")
            }
        }
    }
}

/// Why a request was not sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaveUp {
    /// It was sent this often.
    Attempts(u32),
    /// The run has used all its retries, this many.
    Budget(u32),
    /// The answer was still being worked out after this many repeats.
    Pending(u32),
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attempts(attempts) => write!(f, "failed in each of {attempts} attempts"),
            Self::Budget(budget) => write!(f, "failed, and the {budget} retries of the run are used up"),
            Self::Pending(repeats) => write!(f, "the API is still working it out after {repeats} repeats"),
        }
    }
}

/// The last answer, for a message's end.
fn last_said(reply: Option<&Reply>) -> String {
    reply
        .map_or_else(|| ", the last time without an answer".to_owned(), |reply| format!(", the last time with {reply}"))
}

/// A wait in a log line: milliseconds.
pub(crate) fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiError;

    #[test]
    fn every_error_says_what_where_and_what_next() {
        let place = || Place { task: "contacts page 3".to_owned(), request: "GET /v3/contacts".to_owned() };
        let reply = |status, key: &str| {
            Box::new(Reply {
                status,
                request_id: Some("0a1b".to_owned()),
                tracking_id: Some("2c3d".to_owned()),
                errors: vec![ApiError { key: key.to_owned(), message: "What the API says.".to_owned() }],
            })
        };
        let bare = |status| Box::new(Reply { status, ..Reply::default() });
        let resets_at = "2026-02-01T00:00:00Z".parse().unwrap();
        let host = || "https://elsewhere.example".to_owned();
        let unusable = reqwest::Client::builder().user_agent("\n").build().unwrap_err();
        let transient = |gave_up, reply| ExtractError::Transient { place: place(), gave_up, reply, source: None };
        let errors = [
            ExtractError::Config { key: "requests_per_second", reason: "must be between 0.001 and 1000000".to_owned() },
            ExtractError::Setup { source: unusable },
            ExtractError::Parameter { report: "contacts".to_owned(), name: "x".to_owned(), reason: "is required" },
            ExtractError::SignIn { place: place(), reply: reply(401, "unauthorized") },
            ExtractError::Forbidden { place: place(), reply: bare(403), scope: "contact_data".to_owned() },
            ExtractError::Quota { resets_at, limit: QuotaLimit::Api { request_id: Some("0a1b".to_owned()) } },
            ExtractError::Quota { resets_at, limit: QuotaLimit::Configured { daily_requests: 10_000 } },
            transient(GaveUp::Attempts(6), None),
            transient(GaveUp::Budget(200), Some(bare(503))),
            transient(GaveUp::Pending(20), Some(bare(202))),
            ExtractError::Rejected { place: place(), reply: reply(400, "contacts.api.validation.error") },
            ExtractError::StaleCursor { place: place(), reply: bare(410) },
            ExtractError::NotAPage { place: place(), reply: bare(200), reason: "it has no `contacts`".to_owned() },
            ExtractError::ForeignLink { place: place(), reply: bare(200), host: host() },
            ExtractError::Redirect { place: place(), reply: bare(302), host: host() },
            ExtractError::RepeatedCursor { place: place(), reply: reply(200, "x") },
            ExtractError::BodyTooLarge { place: place(), reply: bare(200), max_body_bytes: 67_108_864 },
        ];
        let table = errors.map(|error| format!("{:?}, ends run: {}\n  {error}", error.retry(), error.ends_run()));
        insta::assert_snapshot!(table.join("\n"));
    }
}
