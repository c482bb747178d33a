//! The token endpoint: trades authorization codes, refresh tokens and device codes for tokens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::Instant;

use super::{Client, OAuthError, Parameters, Service, authenticate};
use crate::config::{Quirks, TokenAnswer};
use crate::faults;
use crate::gate::lock;
use crate::grants::{BadCode, Issued, NotYet};
use crate::log::TokenRequests;
use crate::refusal::{Refusal, html, json};

/// The grant type of devices.
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What the endpoint was asked, and what it will do with the next requests.
pub(crate) struct TokenEndpoint {
    requests: TokenRequests,
    script: VecDeque<TokenAnswer>,
}

impl TokenEndpoint {
    pub(crate) fn new(quirks: &Quirks) -> Self {
        Self { requests: TokenRequests::default(), script: quirks.token_answers.iter().copied().collect() }
    }

    pub(super) fn script(&mut self, answers: impl IntoIterator<Item = TokenAnswer>) {
        self.script = answers.into_iter().collect();
    }

    pub(super) fn requests(&self) -> TokenRequests {
        self.requests
    }

    /// Counts a request, and says what to do with it.
    fn take(&mut self, grant_type: Option<&str>) -> TokenAnswer {
        let count = match grant_type {
            Some("authorization_code") => &mut self.requests.authorization_code,
            Some("refresh_token") => &mut self.requests.refresh_token,
            Some(DEVICE_CODE) => &mut self.requests.device_code,
            _ => &mut self.requests.other,
        };
        *count += 1;
        self.script.pop_front().unwrap_or_default()
    }
}

#[derive(Serialize)]
struct TokenReply {
    token_type: &'static str,
    expires_in: serde_json::Value,
    access_token: String,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

/// Answers one request.
pub(super) async fn token(State(service): State<Arc<Service>>, headers: HeaderMap, uri: Uri, form: Bytes) -> Response {
    let parameters = Parameters::read(&uri, &form);
    let answer = lock(&service.token_endpoint).take(parameters.get("grant_type"));
    let pause = service.config.quirks.token_latency / 2;
    wait(pause).await;
    if let Some(response) = instead(answer) {
        return response;
    }
    let issued = exchange(&service, &headers, &parameters);
    wait(pause).await;
    match issued {
        _ if answer == TokenAnswer::Lost => faults::reset(),
        Ok(issued) => reply(&service.config.quirks, issued),
        Err(error) if service.config.quirks.token_errors_as_html => html(error.status),
        Err(error) => error.into_response(),
    }
}

async fn wait(pause: Duration) {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
}

/// The response that takes the place of doing what is asked.
fn instead(answer: TokenAnswer) -> Option<Response> {
    match answer {
        TokenAnswer::Usual | TokenAnswer::Lost => None,
        TokenAnswer::Reset => Some(faults::reset()),
        TokenAnswer::Error500 => {
            let body = serde_json::json!({"error": "server_error", "error_description": "Internal server error"});
            Some(json(StatusCode::INTERNAL_SERVER_ERROR, &body))
        }
        TokenAnswer::Error503 => Some(StatusCode::SERVICE_UNAVAILABLE.into_response()),
        TokenAnswer::Throttled => Some(Refusal::Throttled { retry_after: None, html: false }.into_response()),
        TokenAnswer::HtmlWith200 => Some(html(StatusCode::OK)),
    }
}

fn exchange(service: &Service, headers: &HeaderMap, parameters: &Parameters) -> Result<Issued, OAuthError> {
    let client = authenticate(service, headers, parameters)?;
    let issued = match parameters.get("grant_type") {
        Some("authorization_code") => code(service, client, parameters),
        Some("refresh_token") => refresh(service, parameters),
        Some(DEVICE_CODE) => device(service, parameters),
        Some(_) => Err(OAuthError::new(
            "unsupported_grant_type",
            "The authorization grant type is not supported by the authorization server.",
        )),
        None => Err(missing("The token request must specify a 'grant_type'.")),
    }?;
    lock(&service.token_endpoint).requests.issued += 1;
    Ok(issued)
}

fn code(service: &Service, client: Client, parameters: &Parameters) -> Result<Issued, OAuthError> {
    let code = parameters.get("code").ok_or(missing("The token request must specify a 'code'."))?;
    let redirect_uri = parameters.get("redirect_uri");
    let redirect_uri = redirect_uri.ok_or(missing("The token request must specify a 'redirect_uri'."))?;
    let (verifier, public) = (parameters.get("code_verifier"), client == Client::Public);
    let (quirks, now) = (&service.config.quirks, service.time());
    let mut grants = lock(&service.gate.grants);
    grants.redeem(code, redirect_uri, verifier, public, quirks, now).map_err(|bad| {
        let why = match bad {
            BadCode::Invalid => "The authorization code is invalid or has expired.",
            BadCode::OtherRedirect => "The 'redirect_uri' is not the one that the code was asked for with.",
            BadCode::NotVerified => "PKCE verification failed.",
        };
        OAuthError::new("invalid_grant", why)
    })
}

fn refresh(service: &Service, parameters: &Parameters) -> Result<Issued, OAuthError> {
    let token = parameters.get("refresh_token");
    let token = token.ok_or(missing("The token request must specify a 'refresh_token'."))?;
    let issued = lock(&service.gate.grants).refresh(token, &service.config.quirks, service.time());
    issued.ok_or(OAuthError::new("invalid_grant", "The refresh token is invalid or expired."))
}

fn device(service: &Service, parameters: &Parameters) -> Result<Issued, OAuthError> {
    let code = parameters.get("device_code").ok_or(missing("The token request must specify a 'device_code'."))?;
    let mut grants = lock(&service.gate.grants);
    grants.poll(code, &service.config.quirks, Instant::now(), service.time()).map_err(|not_yet| match not_yet {
        NotYet::Pending => {
            OAuthError::new("authorization_pending", "The device authorization is pending. Please try again later.")
        }
        NotYet::SlowDown => OAuthError::new("slow_down", "The device is polling too frequently."),
        NotYet::Expired => OAuthError::new("expired_token", "The device code has expired."),
        NotYet::Denied => OAuthError::new("access_denied", "The resource owner denied the request."),
        NotYet::Unknown => OAuthError::new("invalid_grant", "The device code is invalid."),
    })
}

fn missing(description: &'static str) -> OAuthError {
    OAuthError::new("invalid_request", description)
}

fn reply(quirks: &Quirks, issued: Issued) -> Response {
    let seconds = quirks.access_token_lifetime.as_secs();
    let reply = TokenReply {
        token_type: "Bearer",
        expires_in: if quirks.expires_in_as_text { seconds.to_string().into() } else { seconds.into() },
        access_token: issued.access_token,
        scope: issued.scope,
        refresh_token: issued.refresh_token,
    };
    let mut response = json(StatusCode::OK, &reply);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
