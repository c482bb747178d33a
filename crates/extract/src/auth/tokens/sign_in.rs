//! What is stored of one account's sign-in.

use std::fmt;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use url::Url;

use crate::{AccessToken, Authority, Identity};

/// One account's sign-in. Secrets in it are neither displayed nor serialised outside the token store.
#[derive(Clone)]
pub struct SignIn {
    /// Name of the account, as pipelines call it.
    pub account: String,
    /// Application profile that it was made with.
    pub application: String,
    /// The application's API key.
    pub client_id: String,
    /// The application's secret, where it has one.
    pub client_secret: Option<SecretString>,
    /// The token endpoint.
    pub token_url: Url,
    /// What was granted.
    pub scopes: Vec<String>,
    /// The access token in force, where there is one.
    pub access_token: Option<AccessToken>,
    /// When the access token ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// What the next access token is asked for with.
    pub refresh_token: Option<SecretString>,
    /// The API that the tokens are for. Absent in sign-ins of earlier versions, and in those that a pipeline's own refresh
    /// token began.
    pub server: Option<Url>,
    /// Whose account it is, as far as that was known when a person signed in.
    pub identity: Identity,
    /// When a person signed in.
    pub signed_in_at: DateTime<Utc>,
    /// When the tokens were last renewed.
    pub renewed_at: DateTime<Utc>,
    /// Counts the exchanges; the token store sets it.
    pub generation: u64,
}

impl SignIn {
    /// The API that the tokens are for: the one that was noted, or else the one beside the authorization server.
    pub fn api_url(&self) -> Url {
        self.server.clone().unwrap_or_else(|| Authority::api_beside(&self.token_url))
    }
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn")
            .field("account", &self.account)
            .field("application", &self.application)
            .field("generation", &self.generation)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
