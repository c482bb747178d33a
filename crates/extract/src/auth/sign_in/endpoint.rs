//! The HTTP side of the `oauth2` crate while a person signs in, and what a response that is no token means.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use oauth2::basic::{BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse};
use oauth2::{AsyncHttpClient, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, StandardRevocableToken};
use reqwest::StatusCode;
use url::Url;

use super::SignInFailure;
use crate::auth::token_reply::TokenReply;
use crate::http::client::too_large;
use crate::http::policy::{Verdict, verdict};
use crate::http::transport::{NoResponse, RawResponse, Transport};
use crate::{ExtractError, GaveUp, RequestPlace};

/// The `oauth2` crate's client, with the three endpoints that signing in needs.
pub(super) type OauthClient = oauth2::Client<
    BasicErrorResponse,
    TokenReply,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// Sends the requests of one exchange and keeps what the last one came to: `oauth2`'s own errors quote bodies, which may
/// hold a token, and drop what the vendor's support asks for.
pub(super) struct SignInEndpoint<'a> {
    transport: &'a Transport,
    last: Mutex<Option<Result<RawResponse, NoResponse>>>,
}

/// There was no response, or one that says nothing of the sign-in. [`SignInEndpoint::failure`] tells more.
#[derive(Debug, thiserror::Error)]
#[error("no response")]
pub(super) struct Unanswered;

impl<'a> SignInEndpoint<'a> {
    pub(super) fn new(transport: &'a Transport) -> Self {
        Self { transport, last: Mutex::new(None) }
    }

    /// Whether the last request met trouble, which may pass.
    pub(super) fn troubled(&self) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|last| last.as_ref().map_or(true, is_trouble))
    }

    /// What the last request came to, as an error: `what` is what its response should have held.
    pub(super) fn failure(self, task: &str, url: &Url, what: &str) -> ExtractError {
        let place = RequestPlace::new(task.to_owned(), "POST", url);
        let last = self.last.into_inner().unwrap_or_else(PoisonError::into_inner);
        let transient = |reply, source| {
            let gave_up = GaveUp::Attempts(1);
            ExtractError::Transient { place: place.clone(), gave_up, reply, source }
        };
        match last {
            // `oauth2` sends at least one request before it fails.
            None => transient(None, None),
            Some(Err(NoResponse::Failed { error, reply })) => transient(reply, Some(error)),
            Some(Err(NoResponse::TooLarge(reply, bytes))) => too_large(place, reply, bytes),
            Some(Err(NoResponse::Unusable(unusable))) => unusable.at(place),
            Some(Ok(answer)) if is_trouble(&answer) => transient(Some(answer.reply), None),
            Some(Ok(answer)) => match verdict(&answer.reply) {
                Verdict::Redirect => answer.redirect(place, url),
                Verdict::Page => {
                    let reason = format!("it holds no {what}");
                    ExtractError::NotAPage { place, reply: answer.reply, reason, gave_up: None }
                }
                _ => SignInFailure::Refused { place, reply: answer.reply }.into(),
            },
        }
    }
}

/// Whether a response says something of the server's state alone.
fn is_trouble(answer: &RawResponse) -> bool {
    matches!(verdict(&answer.reply), Verdict::Pending | Verdict::Throttled | Verdict::QuotaUsedUp | Verdict::Trouble)
}

impl<'c> AsyncHttpClient<'c> for SignInEndpoint<'_> {
    type Error = Unanswered;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Unanswered>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let mut result = self.transport.send_oauth(request).await;
            let response = match &mut result {
                Ok(answer) if !is_trouble(answer) => Ok(response(answer)),
                _ => Err(Unanswered),
            };
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            response
        })
    }
}

/// The response for `oauth2`, which takes its body.
fn response(answer: &mut RawResponse) -> HttpResponse {
    let mut response = HttpResponse::new(std::mem::take(&mut answer.body).into());
    // It was a status when it came.
    *response.status_mut() = StatusCode::from_u16(answer.reply.status).unwrap_or_default();
    *response.headers_mut() = answer.headers.clone();
    response
}
