//! Sign-in for hosts without a browser: the device gets a code, and a person types it in on this server's page.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, HOST};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;

use super::{ACTIVATE_PATH, OAuthError, Parameters, Service, authenticate, page, scopes};
use crate::gate::lock;
use crate::refusal::json;

/// What a device gets (RFC 8628, section 3.2).
#[derive(Serialize)]
struct Codes {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: String,
    expires_in: u64,
    interval: u64,
}

/// A device asks for a code.
pub(super) async fn start(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    uri: Uri,
    form: Bytes,
) -> Result<Response, OAuthError> {
    let parameters = Parameters::read(&uri, &form);
    authenticate(&service, &headers, &parameters)?;
    let scopes = scopes(&service, &parameters).ok_or(OAuthError::new(
        "invalid_scope",
        "One or more scopes are not configured for the authorization server resource.",
    ))?;
    let quirks = &service.config.quirks;
    let (device_code, user_code) = lock(&service.gate.grants).device(scopes, quirks, service.time());
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let verification_uri = format!("http://{host}{ACTIVATE_PATH}");
    let codes = Codes {
        verification_uri_complete: format!("{verification_uri}?user_code={user_code}"),
        device_code,
        user_code,
        verification_uri,
        expires_in: quirks.device_code_lifetime.as_secs(),
        interval: quirks.device_interval.as_secs(),
    };
    let mut response = json(StatusCode::OK, &codes);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Shows the page where the code is typed in.
pub(super) async fn ask(State(service): State<Arc<Service>>, uri: Uri) -> Response {
    let parameters = Parameters::read(&uri, &[]);
    let users = lock(&service.gate.grants).users();
    page::activation(users, parameters.get("user_code").unwrap_or_default())
}

/// Takes the code and what the person chose.
pub(super) async fn decide(State(service): State<Arc<Service>>, form: Bytes) -> Response {
    let form = Parameters::read(&Uri::default(), &form);
    let mut grants = lock(&service.gate.grants);
    let user = form.get("user").and_then(|number| grants.user(number));
    let (user, said) = match (form.get("decision"), user) {
        (Some("allow"), Some(user)) => (Some(user), "The device is connected. This page can be closed."),
        (Some("deny"), _) => (None, "The device is not connected. This page can be closed."),
        _ => {
            let why = "The form lacks a decision, or names a user that is not there.";
            return page::message(StatusCode::BAD_REQUEST, "400 Bad Request", why);
        }
    };
    if grants.decide(form.get("user_code").unwrap_or_default(), user, service.time()) {
        page::message(StatusCode::OK, "Done", said)
    } else {
        let why = "No device waits with this code: it was mistyped, is used, or is too old.";
        page::message(StatusCode::BAD_REQUEST, "400 Bad Request", why)
    }
}
