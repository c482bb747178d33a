//! What requests are signed with, as the caller gives it. None of it is ever printed.

use std::fmt;

use chrono::{DateTime, Utc};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::auth::claims::Claims;
use crate::scrub::hidden;
use crate::{Accounts, Identity, SignIn};

/// An access token. It can neither be displayed nor serialised, and `Debug` hides it:
///
/// ```compile_fail,E0277
/// let token = ctct_extract::AccessToken::new("secret");
/// println!("{token}");
/// ```
/// ```compile_fail,E0277
/// fn serialised(_: impl serde::Serialize) {}
/// serialised(ctct_extract::AccessToken::new("secret"));
/// ```
#[derive(Clone)]
pub struct AccessToken(SecretString);

impl AccessToken {
    /// Takes the token's text, as it goes into the header.
    pub fn new(token: impl Into<String>) -> Self {
        Self(hidden(token.into()))
    }

    /// The API key that it was issued to, where it says so.
    pub fn api_key(&self) -> Option<String> {
        Claims::of(self.0.expose_secret()).cid
    }

    /// The token, for the token store.
    pub(crate) fn secret(&self) -> &SecretString {
        &self.0
    }

    /// The `Authorization` header, marked so that no HTTP library prints it.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let mut header = HeaderValue::try_from(format!("Bearer {}", self.0.expose_secret())).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

impl From<SecretString> for AccessToken {
    fn from(token: SecretString) -> Self {
        Self(hidden(token))
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(...)")
    }
}

/// How requests are signed.
#[derive(Debug, Clone)]
pub enum Token {
    /// This access token, until it expires.
    Bearer(AccessToken),
    /// Access tokens exchanged for a refresh token, whenever one is needed. A rotated one lives as long as the client.
    Refresh(RefreshGrant),
    /// The tokens of an account that is signed in, renewed in the token store.
    Stored {
        /// The token store.
        accounts: Accounts,
        /// The account.
        account: String,
    },
}

impl Token {
    /// The token endpoint, where it is given here.
    pub(crate) fn url(&self) -> Option<&Url> {
        match self {
            Self::Bearer(_) | Self::Stored { .. } => None,
            Self::Refresh(grant) => Some(&grant.token_url),
        }
    }
}

/// What it takes to exchange a refresh token for an access token.
#[derive(Debug, Clone)]
pub struct RefreshGrant {
    /// The token endpoint.
    pub token_url: Url,
    /// The API key.
    pub client_id: String,
    /// The key's secret, sent by HTTP Basic; apps that sign in with PKCE or on a device have none.
    pub client_secret: Option<SecretString>,
    /// The refresh token.
    pub refresh_token: SecretString,
}

impl RefreshGrant {
    /// The sign-in that it makes.
    pub(crate) fn sign_in(&self, account: &str, now: DateTime<Utc>) -> SignIn {
        SignIn {
            account: account.to_owned(),
            application: String::new(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone().map(hidden),
            token_url: self.token_url.clone(),
            scopes: Vec::new(),
            access_token: None,
            expires_at: None,
            refresh_token: Some(hidden(self.refresh_token.clone())),
            server: None,
            identity: Identity::default(),
            signed_in_at: now,
            renewed_at: now,
            generation: 0,
        }
    }
}
