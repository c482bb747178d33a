//! What a sandbox was asked, for tests: every count, and the latest requests themselves.

use std::collections::{BTreeMap, VecDeque};

use axum::http::{Method, StatusCode};

/// Requests that are remembered one by one; older ones are only counted, so that memory does not grow with a run.
const REMEMBERED: usize = 10_000;

/// What a sandbox was asked so far.
#[derive(Debug, Clone, Default)]
pub struct RequestLog {
    /// All requests, those of the token endpoint included.
    pub total: u64,
    /// Requests by status of the response. A connection that was closed without one counts as 0.
    pub by_status: BTreeMap<u16, u64>,
    /// The latest 10,000 requests, oldest first.
    pub latest: VecDeque<RequestRecord>,
}

/// What the token endpoint was asked so far. Requests that a limit refused did not reach it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenRequests {
    /// Requests that bring an authorization code.
    pub authorization_code: u64,
    /// Requests that bring a refresh token.
    pub refresh_token: u64,
    /// Polls of devices.
    pub device_code: u64,
    /// Requests of any other kind.
    pub other: u64,
    /// How often tokens were issued, whether or not the response arrived.
    pub issued: u64,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// Method of the request.
    pub method: Method,
    /// Path with query, as it came.
    pub target: String,
    /// Status of the response; 0 if the connection was closed without one.
    pub status: u16,
}

impl RequestLog {
    /// Requests whose answer had this status.
    pub fn with_status(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or_default()
    }

    pub(crate) fn add(&mut self, method: Method, target: String, status: Option<StatusCode>) {
        let status = status.map_or(0, |status| status.as_u16());
        self.total += 1;
        *self.by_status.entry(status).or_default() += 1;
        if self.latest.len() == REMEMBERED {
            self.latest.pop_front();
        }
        self.latest.push_back(RequestRecord { method, target, status });
    }
}
