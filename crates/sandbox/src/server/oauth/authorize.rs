//! The page where a person signs in and lets the application read the account, and the redirect that comes of it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use url::{Host, Url};

use super::{Parameters, Service, page, scopes};
use crate::config::{ClientType, Quirks};
use crate::gate::lock;
use crate::grants::Challenge;

/// What the application asks a person for.
struct Ask {
    redirect_uri: String,
    state: String,
    scopes: Vec<String>,
    challenge: Option<Challenge>,
}

/// Why a person is not asked.
pub(super) enum Refused {
    /// It is not known where the browser may go, so the person is told.
    Page(&'static str),
    /// The application is told, by a redirect to this address.
    Redirect(String),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Page(why) => page::message(StatusCode::BAD_REQUEST, "400 Bad Request", why),
            Self::Redirect(location) => redirect(StatusCode::FOUND, &location),
        }
    }
}

/// Shows the page.
pub(super) async fn ask(State(service): State<Arc<Service>>, uri: Uri) -> Result<Response, Refused> {
    let ask = read(&service, &Parameters::read(&uri, &[]))?;
    Ok(page::consent(lock(&service.gate.grants).users(), &ask.scopes))
}

/// Takes what the person chose: the page sends its form to its own address, so that what is asked comes once more.
pub(super) async fn decide(State(service): State<Arc<Service>>, uri: Uri, form: Bytes) -> Result<Response, Refused> {
    let ask = read(&service, &Parameters::read(&uri, &[]))?;
    let form = Parameters::read(&Uri::default(), &form);
    let mut grants = lock(&service.gate.grants);
    let user = form.get("user").and_then(|number| grants.user(number));
    let location = match (form.get("decision"), user) {
        (Some("allow"), Some(user)) => {
            let (quirks, now) = (&service.config.quirks, service.time());
            let code = grants.code(user, ask.scopes, ask.redirect_uri.clone(), ask.challenge, quirks, now);
            back(&ask.redirect_uri, &[("code", &code), ("state", &ask.state)])
        }
        (Some("deny"), _) => {
            error(&ask.redirect_uri, "access_denied", "The resource owner denied the request.", Some(&ask.state))
        }
        _ => return Err(Refused::Page("The form lacks a decision, or names a user that is not there.")),
    };
    Ok(redirect(StatusCode::SEE_OTHER, &location))
}

fn read(service: &Service, parameters: &Parameters) -> Result<Ask, Refused> {
    let quirks = &service.config.quirks;
    if parameters.get("client_id") != Some(lock(&service.gate.grants).client_id()) {
        return Err(Refused::Page("The 'client_id' is not that of an application."));
    }
    let redirect_uri = parameters.get("redirect_uri").filter(|uri| registered(quirks, uri));
    let redirect_uri = redirect_uri.ok_or(Refused::Page(
        "The 'redirect_uri' parameter must be a redirect URI that is registered with the application.",
    ))?;
    let state = parameters.get("state");
    let refuse = |name, description| Err(Refused::Redirect(error(redirect_uri, name, description, state)));
    if parameters.get("response_type") != Some("code") {
        return refuse("unsupported_response_type", "The response type is not supported. Use 'code'.");
    }
    let Some(state) = state else {
        return refuse("invalid_request", "The authentication request has an invalid 'state' parameter.");
    };
    if parameters.get("prompt").is_some_and(|prompt| prompt != "login") {
        return refuse("invalid_request", "The 'prompt' parameter is not supported. Use 'login'.");
    }
    let Some(scopes) = scopes(service, parameters) else {
        return refuse("invalid_scope", "One or more scopes are not configured for the authorization server resource.");
    };
    let challenge = parameters.get("code_challenge");
    if challenge.is_none() && quirks.client == ClientType::Public {
        return refuse("invalid_request", "PKCE code challenge is required for a client without a secret.");
    }
    if challenge.is_some_and(|challenge| challenge.len() != 43) {
        return refuse("invalid_request", "The 'code_challenge' must be a SHA-256 in base64 without padding.");
    }
    if challenge.is_some() && parameters.get("code_challenge_method") != Some("S256") {
        return refuse("invalid_request", "The 'code_challenge_method' must be 'S256'.");
    }
    Ok(Ask {
        redirect_uri: redirect_uri.to_owned(),
        state: state.to_owned(),
        scopes,
        challenge: challenge.map(|challenge| Challenge(challenge.to_owned())),
    })
}

/// Whether the browser may be sent there.
fn registered(quirks: &Quirks, redirect_uri: &str) -> bool {
    quirks.redirect_uris.iter().any(|known| known == redirect_uri)
        || quirks.loopback_redirects && Url::parse(redirect_uri).is_ok_and(|url| is_loopback(&url))
}

fn is_loopback(url: &Url) -> bool {
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    here && url.scheme() == "http" && url.fragment().is_none()
}

/// Where to send the browser with an error (RFC 6749, section 4.1.2.1).
fn error(redirect_uri: &str, error: &str, description: &str, state: Option<&str>) -> String {
    let pairs = [("error", Some(error)), ("error_description", Some(description)), ("state", state)];
    let pairs: Vec<(&str, &str)> = pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    back(redirect_uri, &pairs)
}

/// The redirect URI with parameters, besides those that it has.
fn back(redirect_uri: &str, pairs: &[(&str, &str)]) -> String {
    // What is registered may be no URL; a browser then says so.
    Url::parse(redirect_uri).map_or_else(
        |_| redirect_uri.to_owned(),
        |mut url| {
            url.query_pairs_mut().extend_pairs(pairs);
            url.into()
        },
    )
}

fn redirect(status: StatusCode, location: &str) -> Response {
    // What `Url` writes is ASCII without control characters.
    let Ok(location) = HeaderValue::from_str(location) else { return StatusCode::BAD_REQUEST.into_response() };
    let mut response = status.into_response();
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
