//! Faults: which request meets which is a matter of the seed, so a failing run can be run again.

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};

use crate::config::Faults;
use crate::draws::{Draws, Topic};
use crate::refusal::{Refusal, html, json};

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Error500,
    Error502,
    Error503,
    Error504,
    Throttled,
    Spurious401,
    TruncatedBody,
    HtmlWith200,
    OtherJson,
    Reset,
}

impl Faults {
    /// The fault of a request, by its number.
    pub(crate) fn of(&self, seed: u64, number: u64) -> Option<Fault> {
        let rates = [
            (self.error_500, Fault::Error500),
            (self.error_502, Fault::Error502),
            (self.error_503, Fault::Error503),
            (self.error_504, Fault::Error504),
            (self.throttled, Fault::Throttled),
            (self.spurious_401, Fault::Spurious401),
            (self.truncated_body, Fault::TruncatedBody),
            (self.html_with_200, Fault::HtmlWith200),
            (self.other_json, Fault::OtherJson),
            (self.reset, Fault::Reset),
        ];
        let mut drawn = Draws::new(seed, Topic::Faults, number).fraction();
        rates.into_iter().find_map(|(rate, fault)| {
            drawn -= rate;
            (drawn < 0.0).then_some(fault)
        })
    }
}

/// A connection that is closed before a response: marks the response for the request log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoAnswer;

impl Fault {
    /// The response, if it takes the place of the real one.
    pub(crate) fn answer(self, retry_after: Option<u64>) -> Option<Response> {
        let answer = match self {
            Self::Error500 => json(
                StatusCode::INTERNAL_SERVER_ERROR,
                &[serde_json::json!({"error_key": "contacts.api.internal.error", "error_message": "Internal error."})],
            ),
            Self::Error502 => json(StatusCode::BAD_GATEWAY, &serde_json::json!({"message": "Internal server error"})),
            Self::Error503 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            Self::Error504 => html(StatusCode::GATEWAY_TIMEOUT),
            Self::Throttled => Refusal::Throttled { retry_after, html: false }.into_response(),
            Self::Spurious401 => Refusal::Unauthorized.into_response(),
            Self::HtmlWith200 => html(StatusCode::OK),
            Self::OtherJson => json(StatusCode::OK, &serde_json::json!({"message": "ok", "items": [{"id": 1}]})),
            Self::Reset => reset(),
            Self::TruncatedBody => return None,
        };
        Some(answer)
    }

    /// What is left of the real answer.
    pub(crate) async fn spoil(self, response: Response) -> Response {
        if self == Self::TruncatedBody { truncated(response).await } else { response }
    }
}

/// Announces the length of the body, sends half of it, and closes the connection.
async fn truncated(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(whole) = to_bytes(body, usize::MAX).await else { return StatusCode::BAD_GATEWAY.into_response() };
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let half = whole.slice(..whole.len() / 2);
    Response::from_parts(parts, Body::from_stream(then_close(Some(half))))
}

/// Closes the connection before anything of the response is sent.
pub(crate) fn reset() -> Response {
    let mut response = Response::new(Body::from_stream(then_close(None)));
    response.extensions_mut().insert(NoAnswer);
    response
}

/// Bytes, then an error, on which the server drops the connection. What came before is given time to be sent.
fn then_close(bytes: Option<Bytes>) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    let pause = bytes.is_some();
    let sent = stream::iter(bytes.map(Ok));
    let closed = stream::once(async move {
        if pause {
            tokio::task::yield_now().await;
        }
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    });
    sent.chain(closed)
}
