//! One API key in one run: every request goes through here, is paced, signed, counted and, where that helps, repeated.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::AUTHORIZATION;
use secrecy::SecretString;
use tokio::time::Instant;
use tracing::{debug, info};
use url::Url;

use crate::auth::credentials::{Credentials, Renewal};
use crate::error::{GaveUp, millis, wrong_scheme};
use crate::http::limiter::Limiter;
use crate::http::meter::Meter;
use crate::http::policy::{Verdict, verdict};
use crate::http::retries::Retries;
use crate::http::transport::{MAX_ERROR_BYTES, NoResponse, RawResponse, Transport};
use crate::{AccessToken, ClientConfig, Clock, Crawl, ExtractError, PageMark, Reply, Request, RequestPlace, Usage};

/// A client for one API key in one run. Clones share its limiter, its retries, its quota and its meter.
#[derive(Debug, Clone)]
pub struct Client(Arc<ClientInner>, Arc<Meter>);

#[derive(Debug)]
struct ClientInner {
    base_url: Url,
    credentials: Credentials,
    limiter: Limiter,
    run: Arc<Run>,
}

/// What every request of the run shares, those to the token endpoint included.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) transport: Transport,
    pub(crate) meter: Arc<Meter>,
    pub(crate) clock: Clock,
    retries: Retries,
}

/// Why a request may have to be retried.
pub(crate) enum Failure {
    RawResponse(Box<RawResponse>),
    /// A success whose body is not what was asked for, and why.
    NotAPage(Box<RawResponse>, String),
    /// With what the response said of itself, where only its body did not come.
    NoResponse(reqwest::Error, Option<Box<Reply>>),
}

impl Client {
    /// A client that has not sent anything yet.
    ///
    /// # Errors
    /// [`ExtractError::Config`]: a setting cannot work. [`ExtractError::Setup`]: TLS is not available.
    pub fn new(config: ClientConfig) -> Result<Self, ExtractError> {
        config.check()?;
        let run = Run {
            transport: Transport::new(&config)?,
            meter: Arc::default(),
            clock: config.clock.clone(),
            retries: Retries::new(config.retry, config.pending, config.seed),
        };
        let meter = Arc::clone(&run.meter);
        let inner = ClientInner {
            base_url: config.base_url,
            credentials: Credentials::new(config.token, &run.clock)?,
            limiter: Limiter::new(config.pace, config.ledger, config.clock),
            run: Arc::new(run),
        };
        Ok(Self(Arc::new(inner), meter))
    }

    /// The same client with a meter of its own: what it spends is counted there, and in the run's meter too.
    #[must_use]
    pub fn metered(&self) -> Self {
        Self(Arc::clone(&self.0), Arc::new(Meter::part_of(&self.1)))
    }

    /// Follows the pages of one request. Nothing is sent before the first [`Crawl::next`].
    pub fn crawl(&self, request: Request) -> Crawl {
        Crawl::new(self.clone(), request, None)
    }

    /// Resumes after a page of the same request that was read earlier, by another run perhaps: the next page is the one
    /// that the mark's link leads to, numbered on from it. That link is checked like any other.
    ///
    /// The API takes its cursors for a while only, and does not always say so. Where this one leads to no page after all
    /// attempts, [`Crawl::next`] fails with [`ExtractError::StaleCursor`]: ask the same request from its first page.
    pub fn resume(&self, request: Request, after: PageMark) -> Crawl {
        Crawl::new(self.clone(), request, Some(after))
    }

    /// What has been spent so far.
    pub fn meter(&self) -> Usage {
        self.1.snapshot()
    }

    /// The refresh token to use next time, where the client was given one: the API may have rotated it. Waits for an
    /// exchange that is under way.
    pub async fn refresh_token(&self) -> Option<SecretString> {
        self.0.credentials.refresh_token().await
    }

    /// Waits for a renewal that is under way, and stores new tokens that could not be stored so far. Call it before the
    /// process ends: tokens that are not stored end with it.
    ///
    /// # Errors
    /// [`ExtractError::TokenStore`]: they still cannot be stored.
    pub async fn settle(&self) -> Result<(), ExtractError> {
        self.0.credentials.settle().await
    }

    /// The API's clock: the `Date` of its response to a bare, unsigned request, whatever its status. `None` where the
    /// server sends no date. It is paced and counted like every request.
    ///
    /// # Errors
    /// [`ExtractError::Transient`]: no response came. [`ExtractError::Quota`]: no request is left.
    pub async fn server_time(&self) -> Result<Option<DateTime<Utc>>, ExtractError> {
        let (ClientInner { base_url, limiter, run, .. }, meter) = (&*self.0, &*self.1);
        let place = RequestPlace::new("server time".to_owned(), "GET", base_url);
        let mut made = 0;
        loop {
            made += 1;
            meter.paced(limiter.acquire().await?);
            meter.request();
            let failure = match run.transport.send(run.transport.get(base_url), MAX_ERROR_BYTES).await {
                Ok(answer) => return Ok(answer.server_date()),
                Err(NoResponse::TooLarge(reply, bytes)) => return Err(too_large(place, reply, bytes)),
                Err(NoResponse::Unusable(unusable)) => return Err(unusable.at(place)),
                Err(NoResponse::Failed { error, reply }) => Failure::NoResponse(error, reply),
            };
            let wait = run.back_off(&place, made, failure, meter)?;
            meter.back_off(wait).await;
        }
    }

    /// The access token in force, which may be renewed first.
    pub(crate) async fn access_token(&self) -> Result<Option<AccessToken>, ExtractError> {
        let bearer = self.0.credentials.bearer(&self.0.run).await?;
        let token = bearer.header.to_str().ok().and_then(|header| header.strip_prefix("Bearer "));
        Ok(token.map(AccessToken::new))
    }

    pub(crate) fn base_url(&self) -> &Url {
        &self.0.base_url
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.run.clock
    }

    /// Gets one page's answer: a success that `read` can use, or an error after everything that may help was tried. What a
    /// gateway sends in place of a page passes as its errors do. `scope` is what a 403 hints at,
    /// `bound` the most bytes that the body may have.
    pub(crate) async fn fetch<T>(
        &self,
        place: &RequestPlace,
        scope: &str,
        url: &Url,
        bound: u64,
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<(RawResponse, T), ExtractError> {
        let (ClientInner { credentials, limiter, run, .. }, meter) = (&*self.0, &*self.1);
        let (mut made, mut pending, mut renewed) = (0, 0, false);
        loop {
            made += 1;
            // A token is at hand before a slot is taken, so that no slot is spent on waiting for one.
            credentials.bearer(run).await?;
            meter.paced(limiter.acquire().await?);
            let bearer = credentials.bearer(run).await?;
            let answer = match run.request(place, made, (url, bound), &bearer.header, meter).await {
                Ok(answer) => answer,
                Err(NoResponse::TooLarge(reply, bytes)) => return Err(too_large(place.clone(), reply, bytes)),
                Err(NoResponse::Unusable(unusable)) => return Err(unusable.at(place.clone())),
                Err(NoResponse::Failed { error, reply }) => {
                    let wait = run.back_off(place, made, Failure::NoResponse(error, reply), meter)?;
                    meter.back_off(wait).await;
                    continue;
                }
            };
            match verdict(&answer.reply) {
                Verdict::Page => match read(&answer.body) {
                    Ok(page) => {
                        credentials.worked(&bearer).await;
                        return Ok((answer, page));
                    }
                    Err(reason) => {
                        let failure = Failure::NotAPage(Box::new(answer), reason);
                        let wait = run.back_off(place, made, failure, meter)?;
                        meter.back_off(wait).await;
                    }
                },
                Verdict::Pending => {
                    made -= 1;
                    pending += 1;
                    let wait = run.pending(place, pending, answer.reply, meter)?;
                    meter.back_off(wait).await;
                }
                Verdict::Throttled => {
                    meter.throttled();
                    limiter.refused().await?;
                    let wait = run.back_off(place, made, Failure::RawResponse(Box::new(answer)), meter)?;
                    // The key is over its pace, whoever sent the request: all wait.
                    limiter.hold(wait).await?;
                    meter.back_off(wait).await;
                }
                Verdict::Trouble => {
                    let wait = run.back_off(place, made, Failure::RawResponse(Box::new(answer)), meter)?;
                    meter.back_off(wait).await;
                }
                Verdict::QuotaUsedUp => {
                    let at = answer.time(run.clock.now());
                    limiter.refused().await?;
                    return Err(limiter.shut(at, answer.reply.request_id).await);
                }
                Verdict::SignIn => {
                    let renewal = if renewed { Renewal::None } else { credentials.renew(&bearer, run).await? };
                    if renewal == Renewal::None {
                        return Err(ExtractError::SignIn { place: place.clone(), reply: answer.reply });
                    }
                    made -= 1;
                    // What others renewed may be old as well, and is no renewal of this request's.
                    renewed = renewal == Renewal::Made;
                }
                Verdict::Forbidden => {
                    let scope = scope.to_owned();
                    return Err(ExtractError::Forbidden { place: place.clone(), reply: answer.reply, scope });
                }
                Verdict::Redirect => return Err(answer.redirect(place.clone(), url)),
                Verdict::Rejected => return Err(ExtractError::Rejected { place: place.clone(), reply: answer.reply }),
            }
        }
    }
}

impl Run {
    /// Sends one signed request.
    async fn request(
        &self,
        place: &RequestPlace,
        attempt: u32,
        (url, bound): (&Url, u64),
        bearer: &reqwest::header::HeaderValue,
        meter: &Meter,
    ) -> Result<RawResponse, NoResponse> {
        meter.request();
        let start = Instant::now();
        let result = self.transport.send(self.transport.get(url).header(AUTHORIZATION, bearer), bound).await;
        let millis = millis(start.elapsed());
        match &result {
            Ok(answer) => {
                meter.read(answer.body.len() as u64);
                let Reply { status, request_id, .. } = &*answer.reply;
                let bytes = answer.body.len();
                debug!(%place, attempt, status, millis, bytes, request_id = request_id.as_deref(), "answered");
            }
            Err(error) => debug!(%place, attempt, millis, %error, "not answered"),
        }
        result
    }

    /// Takes a retry for a request that was sent `made` times: how long to wait before it is retried.
    pub(crate) fn back_off(
        &self,
        place: &RequestPlace,
        made: u32,
        failure: Failure,
        meter: &Meter,
    ) -> Result<Duration, ExtractError> {
        let (retry_after, reply, source, reason) = match failure {
            Failure::RawResponse(answer) => (answer.retry_after(self.clock.now()), Some(answer.reply), None, None),
            Failure::NotAPage(answer, reason) => {
                (answer.retry_after(self.clock.now()), Some(answer.reply), None, Some(reason))
            }
            Failure::NoResponse(error, reply) => (None, reply, Some(error), None),
        };
        // The same request would meet the same server.
        if let Some(error) = source.as_ref().filter(|error| wrong_scheme(error).is_some()) {
            debug!(%place, %error, "the scheme is wrong");
            return Err(ExtractError::Transient { place: place.clone(), gave_up: GaveUp::Attempts(1), reply, source });
        }
        let throttled = reply.as_ref().is_some_and(|reply| reply.status == 429);
        match self.retries.take(made, retry_after, throttled) {
            Ok(wait) => {
                meter.retry();
                let request_id = reply.as_ref().and_then(|reply| reply.request_id.as_deref());
                let said = reply.as_ref().map_or_else(|| "no response".to_owned(), ToString::to_string);
                let said = reason.map_or(said.clone(), |reason| format!("{said}: {reason}"));
                info!(%place, attempt = made, said, wait_millis = millis(wait), request_id, "will be retried");
                Ok(wait)
            }
            Err(gave_up) => Err(match (reason, reply) {
                (Some(reason), Some(reply)) => {
                    ExtractError::NotAPage { place: place.clone(), reply, reason, gave_up: Some(gave_up) }
                }
                (_, reply) => ExtractError::Transient { place: place.clone(), gave_up, reply, source },
            }),
        }
    }

    /// How long to wait before a request is repeated after its `seen`-th 202.
    fn pending(
        &self,
        place: &RequestPlace,
        seen: u32,
        reply: Box<Reply>,
        meter: &Meter,
    ) -> Result<Duration, ExtractError> {
        meter.pending();
        match self.retries.pending(seen) {
            Ok(wait) => {
                debug!(%place, seen, wait_millis = millis(wait), "still being worked out");
                Ok(wait)
            }
            Err(gave_up) => {
                let (reply, source) = (Some(reply), None);
                Err(ExtractError::Transient { place: place.clone(), gave_up, reply, source })
            }
        }
    }
}

/// The error for a body of more bytes than it may have.
pub(crate) fn too_large(place: RequestPlace, reply: Box<Reply>, max_body_bytes: u64) -> ExtractError {
    ExtractError::BodyTooLarge { place, reply, max_body_bytes }
}
