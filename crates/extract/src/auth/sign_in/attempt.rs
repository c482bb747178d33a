//! One attempt of a person to sign an account in: authorization code with PKCE, and the exchange of what comes back.

use std::borrow::Cow;
use std::time::Duration;

use chrono::TimeDelta;
use oauth2::{
    AuthUrl, ClientId, ClientSecret, CsrfToken, DeviceAuthorizationUrl, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope, TokenUrl,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::endpoint::{OauthClient, SignInEndpoint};
use super::returned::{AuthorizationCode, code_in_pasted};
use super::{Application, Authority, SCOPES, SignInFailure};
use crate::auth::token_reply::TokenReply;
use crate::http::transport::Transport;
use crate::scrub::{hidden, hide};
use crate::{AccessToken, ClientConfig, Clock, ExtractError, Identity, SignIn, Token};

/// Time for a request to the authorization server: a person is waiting.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A token reply is a few kilobytes.
const MAX_BODY_BYTES: u64 = 1 << 20;

/// One attempt to sign an account in with an application.
#[derive(Debug)]
pub struct SignInAttempt {
    account: String,
    application: Application,
    pub(super) clock: Clock,
    pub(super) authority: Authority,
    pub(super) transport: Transport,
    /// The API that the tokens are for.
    server: Url,
}

/// What a browser was asked for: where it goes, and how its response is known to be one.
#[derive(Debug)]
pub struct Authorization {
    url: Url,
    redirect: RedirectUrl,
    pub(super) state: CsrfToken,
    verifier: PkceCodeVerifier,
}

impl SignInAttempt {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// [`ExtractError::Setup`]: TLS is not available.
    pub fn new(
        account: impl Into<String>,
        application: Application,
        authority: Authority,
        clock: Clock,
    ) -> Result<Self, ExtractError> {
        // The transport of a client that signs nothing.
        let nothing = Token::Bearer(AccessToken::new(""));
        let transport = Transport::new(&ClientConfig {
            request_timeout: REQUEST_TIMEOUT,
            max_body_bytes: MAX_BODY_BYTES,
            ..ClientConfig::new(authority.token_url.clone(), nothing)
        })?;
        let server = Authority::api_beside(&authority.token_url);
        if let Some(secret) = &application.client_secret {
            hide(secret.expose_secret());
        }
        Ok(Self { account: account.into(), application, clock, authority, transport, server })
    }

    /// The same attempt, which may also reach a server without TLS that is not this host.
    #[must_use]
    pub fn allowing_http(mut self) -> Self {
        self.transport.allow_http();
        self
    }

    /// The same attempt for tokens of another API than the one beside the authorization server.
    #[must_use]
    pub fn for_api(self, server: Url) -> Self {
        Self { server, ..self }
    }

    /// Begins with a browser: where to send it. `redirect_uri` must be registered for the application, exactly as written
    /// (vendor's guide, "Manage applications").
    ///
    /// # Errors
    /// [`SignInFailure::RedirectUri`]: it is no URL.
    pub fn authorize(&self, redirect_uri: &str) -> Result<Authorization, ExtractError> {
        let redirect = RedirectUrl::new(redirect_uri.to_owned()).map_err(|_| {
            let reason = "is no URL; give it as it is registered for the application";
            SignInFailure::RedirectUri { redirect_uri: redirect_uri.to_owned(), reason }
        })?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        hide(verifier.secret());
        let (url, state) = self
            .client(None)
            .authorize_url(CsrfToken::new_random)
            .add_scopes(scopes())
            .set_pkce_challenge(challenge)
            .set_redirect_uri(Cow::Borrowed(&redirect))
            .url();
        Ok(Authorization { url, redirect, state, verifier })
    }

    /// Exchanges the code that a browser brought for tokens.
    ///
    /// # Errors
    /// [`SignInFailure::Refused`], [`ExtractError::Transient`], or the reply is no token. The code is used up in any case.
    pub async fn redeem(&self, authorization: Authorization, code: AuthorizationCode) -> Result<SignIn, ExtractError> {
        let Authorization { redirect, verifier, .. } = authorization;
        let secret = self.application.client_secret.as_ref();
        let client = self.client(secret);
        let endpoint = SignInEndpoint::new(&self.transport);
        let reply = client
            .exchange_code(oauth2::AuthorizationCode::new(code.secret().to_owned()))
            .set_redirect_uri(Cow::Owned(redirect))
            .set_pkce_verifier(verifier)
            .request_async(&endpoint)
            .await;
        match reply {
            Ok(reply) => Ok(self.signed_in(reply, secret.cloned())),
            Err(_) => Err(endpoint.failure("sign-in", &self.authority.token_url, "access token")),
        }
    }

    /// What to store of the token endpoint's reply.
    pub(super) fn signed_in(&self, reply: TokenReply, client_secret: Option<SecretString>) -> SignIn {
        let now = self.clock.now();
        let lifetime = reply.lifetime(now).and_then(|life| TimeDelta::from_std(life).ok());
        let scopes = reply.scopes().unwrap_or_else(|| SCOPES.map(str::to_owned).to_vec());
        SignIn {
            account: self.account.clone(),
            application: self.application.name.clone(),
            client_id: self.application.client_id.clone(),
            client_secret,
            token_url: self.authority.token_url.clone(),
            scopes,
            access_token: Some(AccessToken::new(reply.access_token.into_secret())),
            expires_at: lifetime.and_then(|lifetime| now.checked_add_signed(lifetime)),
            refresh_token: reply.refresh_token.map(|token| hidden(token.into_secret())),
            server: Some(self.server.clone()),
            identity: Identity::default(),
            signed_in_at: now,
            renewed_at: now,
            generation: 0,
        }
    }

    /// The `oauth2` client: HTTP Basic where there is a secret, the client id in the form otherwise.
    pub(super) fn client(&self, secret: Option<&SecretString>) -> OauthClient {
        let Authority { authorize_url, token_url, device_url } = self.authority.clone();
        let client = oauth2::Client::new(ClientId::new(self.application.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(authorize_url))
            .set_token_uri(TokenUrl::from_url(token_url))
            .set_device_authorization_url(DeviceAuthorizationUrl::from_url(device_url));
        match secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned())),
            None => client,
        }
    }
}

impl Authorization {
    /// Where the person signs in.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The code in what a person pasted: the full address that the browser ended on, or the code alone.
    ///
    /// # Errors
    /// [`SignInFailure::OtherState`], [`SignInFailure::Denied`], [`SignInFailure::NoCode`].
    pub fn code_in(&self, pasted: &str) -> Result<AuthorizationCode, ExtractError> {
        Ok(code_in_pasted(pasted, &self.state)?)
    }
}

/// What is asked for, as `oauth2` takes it.
pub(super) fn scopes() -> impl Iterator<Item = Scope> {
    SCOPES.into_iter().map(|scope| Scope::new(scope.to_owned()))
}
