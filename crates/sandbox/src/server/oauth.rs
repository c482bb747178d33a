//! The token endpoint. It knows one application and one user, and trades refresh tokens.
//!
//! Other grant types get a branch of their own in [`token`]; other endpoints of the authorisation server a route beside it.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use url::form_urlencoded;

use super::Service;
use crate::gate::lock;
use crate::refusal::json;

/// Path of the token endpoint.
pub(super) const TOKEN_PATH: &str = "/oauth2/default/v1/token";

/// Secret of the one application.
pub(super) const CLIENT_SECRET: &str = "sandbox-secret";

/// Errors of the token endpoint: not the shape of API errors.
#[derive(Debug, Serialize)]
pub(super) struct OAuthError {
    #[serde(skip)]
    status: StatusCode,
    error: &'static str,
    error_description: &'static str,
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        json(self.status, &self)
    }
}

#[derive(Serialize)]
struct TokenReply {
    token_type: &'static str,
    expires_in: u64,
    access_token: String,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

pub(super) async fn token(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, OAuthError> {
    // The vendor's examples send the parameters in the query, most clients in the body; both work.
    let query = uri.query().unwrap_or_default().as_bytes();
    let pairs: Vec<(String, String)> = [query, &body].into_iter().flat_map(form_urlencoded::parse).map(owned).collect();
    let parameter = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    authenticate(&service, &headers, parameter("client_id"))?;
    match parameter("grant_type") {
        Some("refresh_token") => refresh(&service, parameter("refresh_token")),
        Some(_) => {
            Err(bad_request("unsupported_grant_type", "The authorization grant type is not supported by the server."))
        }
        None => Err(bad_request("invalid_request", "The token request must specify a grant_type.")),
    }
}

fn owned((name, value): (Cow<'_, str>, Cow<'_, str>)) -> (String, String) {
    (name.into_owned(), value.into_owned())
}

/// Confidential clients send Basic credentials, public ones their id.
fn authenticate(service: &Service, headers: &HeaderMap, client_id: Option<&str>) -> Result<(), OAuthError> {
    let expected = lock(&service.gate.grants).client_id().to_owned();
    let basic = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let valid = match basic {
        Some(credentials) => {
            STANDARD.decode(credentials).is_ok_and(|sent| sent == format!("{expected}:{CLIENT_SECRET}").into_bytes())
        }
        None => client_id == Some(&expected),
    };
    if valid {
        return Ok(());
    }
    let error_description = "The client secret supplied for a confidential client is invalid.";
    Err(OAuthError { status: StatusCode::UNAUTHORIZED, error: "invalid_client", error_description })
}

fn refresh(service: &Service, refresh_token: Option<&str>) -> Result<Response, OAuthError> {
    let quirks = &service.config.quirks;
    let Some(refresh_token) = refresh_token else {
        return Err(bad_request("invalid_request", "The token request must specify a refresh_token."));
    };
    let issued = lock(&service.gate.grants).refresh(refresh_token, quirks, service.time());
    let issued = issued.ok_or_else(|| bad_request("invalid_grant", "The refresh token is invalid or expired."))?;
    let reply = TokenReply {
        token_type: "Bearer",
        expires_in: quirks.access_token_lifetime.as_secs(),
        access_token: issued.access_token,
        scope: quirks.granted_scopes.join(" "),
        refresh_token: issued.refresh_token,
    };
    let mut response = json(StatusCode::OK, &reply);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn bad_request(error: &'static str, error_description: &'static str) -> OAuthError {
    OAuthError { status: StatusCode::BAD_REQUEST, error, error_description }
}
