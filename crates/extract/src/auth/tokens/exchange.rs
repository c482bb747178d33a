//! One request to the token endpoint: a refresh token for new tokens (vendor's guide, "OAuth 2.0", refresh).

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use oauth2::basic::{BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse};
use oauth2::{
    AsyncHttpClient, ClientId, ClientSecret, EndpointNotSet, HttpRequest, HttpResponse, RefreshToken,
    RequestTokenError, StandardRevocableToken, TokenUrl,
};
use secrecy::{ExposeSecret, SecretString};

use super::Record;
use crate::auth::token_reply::TokenReply;
use crate::http::client::{Failure, Run, too_large};
use crate::http::policy::{Verdict, verdict};
use crate::http::transport::{NoResponse, RawResponse};
use crate::scrub::hidden;
use crate::{AccessToken, ExtractError, Reply, RequestPlace, SignIn};

/// What came of one exchange.
pub(super) enum Exchanged {
    /// New tokens.
    Fresh(Box<Fresh>),
    /// `invalid_grant`: this refresh token will never work again.
    TokenRefused(Box<Reply>),
    /// `invalid_client`: the API key or its secret is wrong.
    ClientRefused(Box<Reply>),
    /// Sending it again may help. `unsent`: the server has certainly not used the token up.
    Failed { failure: Failure, unsent: bool },
    /// Sending it again would not help. `unsent` as above.
    Useless { error: ExtractError, unsent: bool },
}

/// New tokens.
pub(super) struct Fresh {
    access_token: SecretString,
    refresh_token: Option<SecretString>,
    scopes: Option<Vec<String>>,
    lifetime: Option<Duration>,
    expires_at: Option<DateTime<Utc>>,
    renewed_at: DateTime<Utc>,
}

impl Fresh {
    /// The generation after `old`. What the reply left out stays as it was.
    pub(super) fn after(self, old: &Record) -> Record {
        let sign_in = SignIn {
            generation: old.sign_in.generation + 1,
            access_token: Some(self.access_token.into()),
            expires_at: self.expires_at,
            scopes: self.scopes.unwrap_or_else(|| old.sign_in.scopes.clone()),
            refresh_token: self.refresh_token.or_else(|| old.sign_in.refresh_token.clone()),
            renewed_at: self.renewed_at,
            ..old.sign_in.clone()
        };
        let previous = old.sign_in.refresh_token.clone();
        Record { sign_in, lifetime: self.lifetime, previous, seed: old.seed.clone(), claims: Vec::new() }
    }
}

/// Sends a refresh token of an account, once.
pub(super) async fn exchange(sign_in: &SignIn, token: &SecretString, place: &RequestPlace, run: &Run) -> Exchanged {
    let mut client = TokenClient::new(ClientId::new(sign_in.client_id.clone()))
        .set_token_uri(TokenUrl::from_url(sign_in.token_url.clone()));
    if let Some(secret) = &sign_in.client_secret {
        client = client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()));
    }
    let endpoint = TokenEndpoint { run, date: Mutex::new(None) };
    let token = RefreshToken::new(token.expose_secret().to_owned());
    run.meter.sign_in();
    match client.exchange_refresh_token(&token).request_async(&endpoint).await {
        Ok(reply) => {
            let date = *endpoint.date.lock().unwrap_or_else(PoisonError::into_inner);
            match Fresh::of(reply, date, run.clock.now()) {
                Some(fresh) => Exchanged::Fresh(Box::new(fresh)),
                None => unusable(place, "its access token fits no header"),
            }
        }
        Err(RequestTokenError::Request(NoToken::NoResponse(NoResponse::Failed { error, reply }))) => {
            let unsent = error.is_connect();
            Exchanged::Failed { failure: Failure::NoResponse(error, reply), unsent }
        }
        Err(RequestTokenError::Request(NoToken::NoResponse(NoResponse::TooLarge(reply, bytes)))) => {
            Exchanged::Useless { error: too_large(place.clone(), reply, bytes), unsent: false }
        }
        // No connection, so nothing was sent.
        Err(RequestTokenError::Request(NoToken::NoResponse(NoResponse::Unusable(unusable)))) => {
            Exchanged::Useless { error: unusable.at(place.clone()), unsent: true }
        }
        Err(RequestTokenError::Request(NoToken::Refused(answer))) => refused(answer, sign_in, place),
        // `oauth2` quotes the body in these, and it may hold a token.
        Err(_) => unusable(place, "it holds no access token"),
    }
}

/// What a response without tokens means. Only `invalid_grant` and `invalid_client` need a person; a gateway in between
/// may say anything.
fn refused(answer: Box<RawResponse>, sign_in: &SignIn, place: &RequestPlace) -> Exchanged {
    let reply = &answer.reply;
    if reply.has("invalid_grant") {
        return Exchanged::TokenRefused(answer.reply);
    }
    if reply.has("invalid_client") || reply.has("unauthorized_client") || reply.status == 401 {
        return Exchanged::ClientRefused(answer.reply);
    }
    match verdict(reply) {
        Verdict::Redirect => {
            Exchanged::Useless { error: answer.redirect(place.clone(), &sign_in.token_url), unsent: true }
        }
        Verdict::Rejected if matches!(reply.status, 400 | 404 | 405) => {
            let error = ExtractError::Rejected { place: place.clone(), reply: answer.reply };
            Exchanged::Useless { error, unsent: true }
        }
        // A server that fails may have used the token up before it did.
        _ => Exchanged::Failed { unsent: reply.status < 500, failure: Failure::RawResponse(answer) },
    }
}

fn unusable(place: &RequestPlace, reason: &str) -> Exchanged {
    let (reply, reason) = (Box::new(Reply { status: 200, ..Reply::default() }), reason.to_owned());
    Exchanged::Useless {
        error: ExtractError::NotAPage { place: place.clone(), reply, reason, gave_up: None },
        unsent: false,
    }
}

type TokenClient<HasTokenUrl = EndpointNotSet> = oauth2::Client<
    BasicErrorResponse,
    TokenReply,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    HasTokenUrl,
>;

impl Fresh {
    /// The tokens of a reply; `None` where the access token fits no header. `date` is the server's clock, `now` this host's.
    fn of(reply: TokenReply, date: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<Self> {
        let issued = date.unwrap_or(now);
        let lifetime = reply.lifetime(issued);
        let expires_at = lifetime.and_then(|life| issued.checked_add_signed(TimeDelta::from_std(life).ok()?));
        let scopes = reply.scopes();
        let refresh_token = reply.refresh_token.map(RefreshToken::into_secret).filter(|token| !token.is_empty());
        let access_token = hidden(reply.access_token.into_secret());
        AccessToken::from(access_token.clone()).header()?;
        Some(Self {
            access_token,
            refresh_token: refresh_token.map(hidden),
            scopes,
            lifetime: lifetime.filter(|_| expires_at.is_some()),
            expires_at,
            renewed_at: now,
        })
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
enum NoToken {
    #[error("the token endpoint did not respond")]
    NoResponse(#[from] NoResponse),
    #[error("the token endpoint refused")]
    Refused(Box<RawResponse>),
}

/// The HTTP side of the `oauth2` crate.
struct TokenEndpoint<'a> {
    run: &'a Run,
    /// The server's clock when it answered.
    date: Mutex<Option<DateTime<Utc>>>,
}

impl<'c> AsyncHttpClient<'c> for TokenEndpoint<'_> {
    type Error = NoToken;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, NoToken>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.run.transport.send_oauth(request).await?;
            if answer.reply.status != 200 {
                return Err(NoToken::Refused(Box::new(answer)));
            }
            *self.date.lock().unwrap_or_else(PoisonError::into_inner) = answer.server_date();
            let mut response = HttpResponse::new(answer.body.into());
            *response.headers_mut() = answer.headers;
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn reply(json: &str) -> TokenReply {
        serde_json::from_str(json).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_lifetime_is_a_number_or_a_text_or_stands_in_the_token_or_is_unknown() {
        let now = at("2026-01-31T12:00:00Z");
        let jwt = |claims: &str| format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
        let issued = now.timestamp() - 40;
        let cases = [
            (r#""expires_in":86400"#.to_owned(), "opaque".to_owned(), Some(86400)),
            (r#""expires_in":" 86400 ""#.to_owned(), "opaque".to_owned(), Some(86400)),
            (r#""scope":"x""#.to_owned(), jwt(&format!(r#"{{"iat":{issued},"exp":{}}}"#, issued + 600)), Some(600)),
            (r#""scope":"x""#.to_owned(), jwt(&format!(r#"{{"exp":{}}}"#, issued + 600)), Some(560)),
            (r#""expires_in":null"#.to_owned(), jwt(&format!(r#"{{"exp":{issued}}}"#)), None),
            (r#""expires_in":"soon""#.to_owned(), "opaque".to_owned(), None),
            (r#""expires_in":-1"#.to_owned(), "a.b.c".to_owned(), None),
            (r#""expires_in":0"#.to_owned(), "opaque".to_owned(), None),
            (r#""expires_in":1e300"#.to_owned(), "opaque".to_owned(), None),
            (r#""expires_in":[1]"#.to_owned(), jwt("[]"), None),
        ];
        for (more, token, seconds) in cases {
            let fresh =
                Fresh::of(reply(&format!(r#"{{"token_type":"Bearer","access_token":"{token}",{more}}}"#)), None, now);
            let fresh = fresh.unwrap();
            assert_eq!(fresh.lifetime, seconds.map(Duration::from_secs), "{more} {token}");
            assert_eq!(fresh.expires_at, seconds.map(|seconds| now + Duration::from_secs(seconds)), "{more}");
        }
    }

    #[test]
    fn the_end_is_by_the_servers_clock_where_it_says_what_it_is() {
        let (date, now) = (at("2026-01-31T12:00:00Z"), at("2026-02-03T12:00:00Z"));
        let reply =
            reply(r#"{"token_type":"bearer","access_token":"a","expires_in":60,"refresh_token":"","scope":"a b"}"#);
        let fresh = Fresh::of(reply, Some(date), now).unwrap();
        assert_eq!((fresh.expires_at, fresh.renewed_at), (Some(date + Duration::from_mins(1)), now));
        assert_eq!(fresh.scopes.unwrap(), ["a", "b"]);
        assert!(fresh.refresh_token.is_none(), "an empty one is none");
    }
}
