//! What a response says beside its rows: status, ids for the vendor's support, and errors in any of their shapes.

use std::fmt;

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::scrub::{id, printable};

/// Errors taken from one body; a body with more is one mistake repeated.
const MAX_ERRORS: usize = 10;

/// One error of the API. Shapes that were seen: a list of `{error_key, error_message}` from the services, one such object
/// from the gateway, `{error, error_description}` from the token endpoint, `{errors: [...]}` from the statistics reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// Key such as `contacts.api.validation.error`; empty where the body had none.
    pub key: String,
    /// Text for people, fit to be shown: see [`printable`].
    pub message: String,
}

impl ApiError {
    /// The errors in a body; none in an empty one, in HTML or in anything else.
    pub(crate) fn in_body(body: &[u8]) -> Vec<Self> {
        match serde_json::from_slice(body) {
            Ok(Value::Array(list)) => list.iter().filter_map(Self::from_json).take(MAX_ERRORS).collect(),
            Ok(Value::Object(object)) => match object.get("errors").and_then(Value::as_array) {
                Some(list) => list.iter().filter_map(Self::from_json).take(MAX_ERRORS).collect(),
                None => Self::from_json(&Value::Object(object)).into_iter().collect(),
            },
            _ => Vec::new(),
        }
    }

    fn from_json(error: &Value) -> Option<Self> {
        let text = |names: &[&str]| names.iter().find_map(|name| error.get(name)?.as_str()).map(printable);
        let key = text(&["error_key", "error"]);
        let message = text(&["error_message", "error_description", "message", "Message"]);
        if key.is_none() && message.is_none() {
            return None;
        }
        Some(Self { key: key.unwrap_or_default(), message: message.unwrap_or_default() })
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.as_str(), self.message.as_str()) {
            (key, "") => f.write_str(key),
            ("", message) => f.write_str(message),
            (key, message) => write!(f, "{key}: {message}"),
        }
    }
}

/// What a response said of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `x-amzn-requestid`: what the vendor's support looks up.
    pub request_id: Option<String>,
    /// `x-eig-tracking-id`: the same, of the service behind the gateway.
    pub tracking_id: Option<String>,
    /// Errors that the body held.
    pub errors: Vec<ApiError>,
}

impl Reply {
    pub(crate) fn new(status: u16, headers: &HeaderMap) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).and_then(id);
        Self {
            status,
            request_id: header("x-amzn-requestid"),
            tracking_id: header("x-eig-tracking-id"),
            errors: Vec::new(),
        }
    }

    /// Whether one of the errors has this key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.errors.iter().any(|error| error.key == key)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        for (i, error) in self.errors.iter().enumerate() {
            write!(f, "{} {error}", if i == 0 { "," } else { ";" })?;
        }
        match (&self.request_id, &self.tracking_id) {
            (Some(request), Some(tracking)) => write!(f, " [request id {request}, tracking id {tracking}]"),
            (Some(request), None) => write!(f, " [request id {request}]"),
            (None, Some(tracking)) => write!(f, " [tracking id {tracking}]"),
            (None, None) => f.write_str(" [no request id]"),
        }
    }
}
