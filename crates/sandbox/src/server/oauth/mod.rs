//! The authorization server: where people sign in, and clients trade what comes of it for tokens (vendor's guide,
//! "OAuth 2.0"). It knows one application.

mod authorize;
mod device;
mod page;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use url::form_urlencoded;

pub(super) use token::TokenEndpoint;

use super::{Sandbox, Service};
use crate::config::{ClientType, TokenAnswer};
use crate::cursor::Pairs;
use crate::gate::lock;
use crate::log::TokenRequests;
use crate::refusal::json;
use crate::user::User;

/// Path of the page where people sign in.
const AUTHORIZE_PATH: &str = "/oauth2/default/v1/authorize";
/// Path of the token endpoint.
pub(crate) const TOKEN_PATH: &str = "/oauth2/default/v1/token";
/// Path where devices ask for codes.
const DEVICE_PATH: &str = "/oauth2/default/v1/device/authorize";
/// Path of the page where the code of a device is typed in.
const ACTIVATE_PATH: &str = "/activate";

/// Secret of the one application.
const CLIENT_SECRET: &str = "sandbox-secret";

/// Scopes that exist (vendor's guide, "Scopes").
const SCOPES: [&str; 6] =
    ["contact_data", "campaign_data", "account_read", "account_update", "billing_data", "offline_access"];

/// All endpoints of the authorization server.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route(AUTHORIZE_PATH, get(authorize::ask).post(authorize::decide))
        .route(TOKEN_PATH, post(token::token))
        .route(DEVICE_PATH, post(device::start))
        .route(ACTIVATE_PATH, get(device::ask).post(device::decide))
}

impl Sandbox {
    /// Where the authorization server is: `http://127.0.0.1:PORT`.
    pub fn server_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The page where people sign in. A form of its `decision` (`allow` or `deny`) and `user` (a number), sent to the same
    /// URL with its query, does what a person would.
    pub fn authorize_url(&self) -> String {
        self.server_url() + AUTHORIZE_PATH
    }

    /// The token endpoint.
    pub fn token_url(&self) -> String {
        self.server_url() + TOKEN_PATH
    }

    /// Where devices ask for codes.
    pub fn device_url(&self) -> String {
        self.server_url() + DEVICE_PATH
    }

    /// The API key of the one application that the server knows.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Its secret, for clients that authenticate with one.
    pub fn client_secret(&self) -> &'static str {
        CLIENT_SECRET
    }

    /// The refresh token of the first user that the token endpoint takes at this moment; empty if there is none.
    pub fn refresh_token(&self) -> String {
        self.refresh_token_of(0).unwrap_or_default()
    }

    /// The refresh token of a user, counted from 0, that the token endpoint takes at this moment. `None`: there is no such
    /// user, or its last sign-in did not ask for one. Every user has signed in once before the server starts.
    pub fn refresh_token_of(&self, user: u32) -> Option<String> {
        lock(&self.service.gate.grants).refresh_token(User(user)).map(str::to_owned)
    }

    /// A new access token of the first user, as if it had been asked for.
    pub fn access_token(&self) -> String {
        // There is one user at least, and each of them has signed in.
        self.access_token_of(0).unwrap_or_default()
    }

    /// A new access token of a user, counted from 0, as if it had been asked for. `None`: there is no such user.
    pub fn access_token_of(&self, user: u32) -> Option<String> {
        let (quirks, now) = (&self.service.config.quirks, self.service.time());
        lock(&self.service.gate.grants).access_token(User(user), quirks, now)
    }

    /// Ends all that a user, counted from 0, has granted: its tokens work no more until it signs in again.
    pub fn revoke(&self, user: u32) {
        lock(&self.service.gate.grants).revoke(User(user));
    }

    /// Ends all access tokens. Refresh tokens stay good.
    pub fn expire_access_tokens(&self) {
        lock(&self.service.gate.grants).expire_access_tokens();
    }

    /// What the token endpoint does with its next requests, in place of what is left of such a script.
    pub fn script_token_answers(&self, answers: impl IntoIterator<Item = TokenAnswer>) {
        lock(&self.service.token_endpoint).script(answers);
    }

    /// What the token endpoint was asked so far.
    pub fn token_requests(&self) -> TokenRequests {
        lock(&self.service.token_endpoint).requests()
    }
}

/// Parameters of a request, from its query and its form. The vendor's examples send those of the token endpoint in the
/// query, most clients in the form; both work.
struct Parameters(Pairs);

impl Parameters {
    fn read(uri: &Uri, form: &[u8]) -> Self {
        let query = uri.query().unwrap_or_default().as_bytes();
        Self([query, form].into_iter().flat_map(|bytes| form_urlencoded::parse(bytes).into_owned()).collect())
    }

    /// The value of a parameter. An empty one counts as absent.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}

/// Errors of the authorization server: not the shape of API errors.
#[derive(Debug, Serialize)]
struct OAuthError {
    #[serde(skip)]
    status: StatusCode,
    error: &'static str,
    error_description: &'static str,
}

impl OAuthError {
    fn new(error: &'static str, error_description: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, error_description }
    }

    fn client(error_description: &'static str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, error: "invalid_client", error_description }
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        json(self.status, &self)
    }
}

/// Who sent a request, of the two kinds of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Confidential,
    Public,
}

/// Confidential clients send Basic credentials, public ones their id.
fn authenticate(service: &Service, headers: &HeaderMap, parameters: &Parameters) -> Result<Client, OAuthError> {
    let expected = lock(&service.gate.grants).client_id().to_owned();
    let basic = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let client = match basic {
        Some(credentials) => {
            let known = format!("{expected}:{CLIENT_SECRET}").into_bytes();
            STANDARD.decode(credentials).is_ok_and(|sent| sent == known).then_some(Client::Confidential)
        }
        None => (parameters.get("client_id") == Some(&expected)).then_some(Client::Public),
    };
    match (client, service.config.quirks.client) {
        (Some(client), ClientType::Any) => Ok(client),
        (Some(Client::Confidential), ClientType::Confidential) => Ok(Client::Confidential),
        (Some(Client::Public), ClientType::Public) => Ok(Client::Public),
        (Some(Client::Public), _) => Err(OAuthError::client(
            "Client authentication failed. Either the client or the client credentials are invalid.",
        )),
        _ => Err(OAuthError::client("The client secret supplied for a confidential client is invalid.")),
    }
}

/// The scopes to grant of those that are asked for: those that the application may have. `None`: one does not exist, or
/// none is named.
fn scopes(service: &Service, parameters: &Parameters) -> Option<Vec<String>> {
    let asked: Vec<&str> = parameters.get("scope")?.split_whitespace().collect();
    let exist = !asked.is_empty() && asked.iter().all(|scope| SCOPES.contains(scope));
    let may = service.config.quirks.granted_scopes.iter().filter(|scope| asked.contains(&scope.as_str()));
    exist.then(|| may.cloned().collect())
}
