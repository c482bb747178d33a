//! The bearer token in force: given once, or exchanged for a refresh token when needed.
//!
//! A refresh token may work only once, so exchanges happen one at a time, and the last refresh token is kept.

use std::pin::Pin;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AsyncHttpClient, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, RefreshToken,
    RequestTokenError, StandardRevocableToken, TokenResponse, TokenUrl,
};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use url::Url;

use crate::client::{Failure, Run};
use crate::meter::count;
use crate::policy::{Verdict, verdict};
use crate::transport::{Answer, NoAnswer};
use crate::{AccessToken, ExtractError, Place, RefreshGrant, Reply, Token};

/// Where the bearer token comes from.
#[derive(Debug)]
pub(crate) enum Credentials {
    /// From outside, for good.
    Fixed(Bearer),
    /// From the token endpoint.
    Refreshed(Box<Grant>),
}

/// A header, and the exchange that it came from.
#[derive(Debug, Clone)]
pub(crate) struct Bearer {
    pub(crate) header: HeaderValue,
    exchange: u64,
}

/// A refresh token and the access token that it was last exchanged for.
#[derive(Debug)]
pub(crate) struct Grant {
    client: TokenClient,
    url: Url,
    bearer: RwLock<Option<Bearer>>,
    /// Whoever holds the lock is exchanging the token.
    refresh: Mutex<Refresh>,
}

#[derive(Debug)]
struct Refresh {
    token: RefreshToken,
    /// What the token endpoint said when it refused the token. It would say so again.
    refused: Option<Box<Reply>>,
}

type TokenClient = oauth2::Client<
    BasicErrorResponse,
    TokenReply,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// The token endpoint's reply. `oauth2`'s own type refuses one whose `expires_in` is a text, as some clients saw it; a
/// 401 tells when to exchange, so it is not read at all.
#[derive(Debug, Deserialize, Serialize)]
struct TokenReply {
    access_token: oauth2::AccessToken,
    token_type: BasicTokenType,
    refresh_token: Option<RefreshToken>,
}

impl TokenResponse for TokenReply {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &oauth2::AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &BasicTokenType {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        None
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    fn scopes(&self) -> Option<&Vec<oauth2::Scope>> {
        None
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
enum NoToken {
    #[error("the token endpoint did not answer")]
    NoAnswer(#[from] NoAnswer),
    #[error("the token endpoint refused")]
    Refused(Box<Answer>),
}

impl Credentials {
    pub(crate) fn new(token: Token) -> Result<Self, ExtractError> {
        match token {
            Token::Bearer(token) => {
                let header = token.header().ok_or_else(|| ExtractError::Config {
                    key: "access_token",
                    reason: "holds characters that no header can carry (a line break perhaps)".to_owned(),
                })?;
                Ok(Self::Fixed(Bearer { header, exchange: 0 }))
            }
            Token::Refresh(grant) => Ok(Self::Refreshed(Box::new(Grant::new(grant)))),
        }
    }

    /// The bearer token to use now; the first time, the one that a refresh token is exchanged for.
    pub(crate) async fn bearer(&self, run: &Run) -> Result<Bearer, ExtractError> {
        match self {
            Self::Fixed(bearer) => Ok(bearer.clone()),
            Self::Refreshed(grant) => match grant.bearer() {
                Some(bearer) => Ok(bearer),
                None => grant.exchange(None, run).await,
            },
        }
    }

    /// Makes sure that the bearer token is another than `used`, which the API refused. `false`: there is no other.
    pub(crate) async fn renew(&self, used: &Bearer, run: &Run) -> Result<bool, ExtractError> {
        match self {
            Self::Fixed(_) => Ok(false),
            Self::Refreshed(grant) => grant.exchange(Some(used.exchange), run).await.map(|_| true),
        }
    }

    /// The refresh token to use next time.
    pub(crate) async fn refresh_token(&self) -> Option<SecretString> {
        match self {
            Self::Fixed(_) => None,
            Self::Refreshed(grant) => Some(grant.refresh.lock().await.token.secret().as_str().into()),
        }
    }
}

impl Grant {
    fn new(grant: RefreshGrant) -> Self {
        let mut client = oauth2::Client::new(ClientId::new(grant.client_id))
            .set_token_uri(TokenUrl::from_url(grant.token_url.clone()));
        if let Some(secret) = grant.client_secret {
            client = client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()));
        }
        let token = RefreshToken::new(grant.refresh_token.expose_secret().to_owned());
        Self {
            client,
            url: grant.token_url,
            bearer: RwLock::new(None),
            refresh: Mutex::new(Refresh { token, refused: None }),
        }
    }

    fn bearer(&self) -> Option<Bearer> {
        self.bearer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Exchanges the refresh token, unless somebody else did so after exchange number `used`.
    async fn exchange(&self, used: Option<u64>, run: &Run) -> Result<Bearer, ExtractError> {
        let place = Place::new("access token".to_owned(), "POST", &self.url);
        let mut refresh = self.refresh.lock().await;
        if let Some(bearer) = self.bearer().filter(|bearer| Some(bearer.exchange) != used) {
            return Ok(bearer);
        }
        if let Some(reply) = &refresh.refused {
            return Err(ExtractError::SignIn { place, reply: reply.clone() });
        }
        let endpoint = Endpoint(run);
        let mut made = 0;
        let reply = loop {
            made += 1;
            count(&run.meter.sign_ins);
            let failure = match self.client.exchange_refresh_token(&refresh.token).request_async(&endpoint).await {
                Ok(reply) => break reply,
                Err(RequestTokenError::Request(NoToken::NoAnswer(NoAnswer::Failed { error, reply }))) => {
                    Failure::NoAnswer(error, reply)
                }
                Err(RequestTokenError::Request(NoToken::NoAnswer(NoAnswer::TooLarge(reply)))) => {
                    return Err(run.too_large(place, reply));
                }
                Err(RequestTokenError::Request(NoToken::Refused(answer))) => match verdict(&answer.reply) {
                    Verdict::Pending | Verdict::Throttled | Verdict::QuotaUsedUp | Verdict::Trouble => {
                        Failure::Answer(answer)
                    }
                    Verdict::Redirect => return Err(answer.redirect(place, &self.url)),
                    Verdict::Page | Verdict::SignIn | Verdict::Forbidden | Verdict::Rejected => {
                        let reply = answer.reply;
                        refresh.refused = Some(reply.clone());
                        return Err(ExtractError::SignIn { place, reply });
                    }
                },
                // `oauth2` quotes the body in these, and it may hold a token.
                Err(_) => return Err(no_token(place, "it holds no access token")),
            };
            let wait = run.back_off(&place, made, failure)?;
            run.sleep(wait).await;
        };
        if let Some(rotated) = reply.refresh_token {
            refresh.token = rotated;
        }
        let header = AccessToken::new(reply.access_token.into_secret()).header();
        let header = header.ok_or_else(|| no_token(place, "its access token fits no header"))?;
        let bearer = Bearer { header, exchange: used.map_or(1, |used| used + 1) };
        *self.bearer.write().unwrap_or_else(PoisonError::into_inner) = Some(bearer.clone());
        Ok(bearer)
    }
}

/// The HTTP side of the `oauth2` crate.
struct Endpoint<'a>(&'a Run);

impl<'c> AsyncHttpClient<'c> for Endpoint<'_> {
    type Error = NoToken;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, NoToken>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.0.transport.send_oauth(request).await?;
            if answer.reply.status != 200 {
                return Err(NoToken::Refused(Box::new(answer)));
            }
            let mut response = HttpResponse::new(answer.body.into());
            *response.headers_mut() = answer.headers;
            Ok(response)
        })
    }
}

fn no_token(place: Place, reason: &str) -> ExtractError {
    ExtractError::NotAPage {
        place,
        reply: Box::new(Reply { status: 200, ..Reply::default() }),
        reason: reason.to_owned(),
    }
}
