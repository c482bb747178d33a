//! A POST to a server of the user's choice, at the end of a run: a time limit, few tries, no redirects. What is sent there is
//! no secret, but its address may be one: no error holds it.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, StatusCode, redirect};
use rustls::crypto::{CryptoProvider, ring};
use tokio::time::sleep;
use url::Url;

use crate::causes::with_causes;

/// Time that one try may take. One that had no response by then is not repeated, since it may have arrived.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Waits before retries, one for each.
const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// Why a POST did not arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
    /// TLS is not available, or a header cannot be sent.
    #[error("it cannot be sent: {0}")]
    Setup(String),
    /// No response came.
    #[error("no response: {0}")]
    NoAnswer(String),
    /// No response came in time.
    #[error("no response within {} s", TIMEOUT.as_secs())]
    TimedOut,
    /// The server said something else than that all is well.
    #[error("the server responded with {0}")]
    Refused(StatusCode),
}

/// Sends a body.
///
/// # Errors
/// It did not arrive, or nobody knows.
pub(crate) async fn post(
    url: &Url,
    content_type: &'static str,
    mut headers: HeaderMap,
    body: Bytes,
) -> Result<(), PushError> {
    if CryptoProvider::get_default().is_none() {
        // Fails only if another thread was faster, which is as good.
        _ = ring::default_provider().install_default();
    }
    let client = Client::builder()
        .timeout(TIMEOUT)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("ctct-etl/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| PushError::Setup(with_causes(&error.without_url())))?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let mut waits = WAITS.into_iter();
    loop {
        let request = client.post(url.clone()).headers(headers.clone()).body(body.clone());
        let error = match request.send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => PushError::Refused(answer.status()),
            Err(error) if error.is_timeout() => PushError::TimedOut,
            Err(error) => PushError::NoAnswer(with_causes(&error.without_url())),
        };
        match waits.next().filter(|_| error.may_pass()) {
            Some(wait) => sleep(wait).await,
            None => return Err(error),
        }
    }
}

impl PushError {
    /// Whether another try may do better.
    fn may_pass(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Refused(status) => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Setup(_) | Self::TimedOut => false,
        }
    }
}
