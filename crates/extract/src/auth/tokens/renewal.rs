//! Renewing one account's tokens so that no crash, no other process and no full disk can lose them.
//!
//! The order is what makes it safe. The claim is durable before the token is sent; the new tokens are durable before they
//! are used; the old refresh token stays beside them until the new access token has worked. Whoever finds the claim of a
//! process that died sends the same token again: the server may never have seen it. Only where the server then refuses it
//! is a token lost, and the claim tells who lost it.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::exchange::{Exchanged, exchange};
use super::renewal_lock::{Claimed, RenewalLock};
use super::{Accounts, Claim, Record};
use crate::error::NoRenewal;
use crate::http::client::{Failure, Run};
use crate::{ExtractError, GaveUp, Reply, RequestPlace};

/// How long a process looks for the tokens of another that sent the same one, before it says that they are lost.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// Renews one account's tokens, one renewal at a time.
#[derive(Debug)]
pub(crate) struct Renewer {
    accounts: Accounts,
    account: String,
    /// The generation that this process made last.
    made: Option<u64>,
    /// What the server refused for good. It would say so again.
    refused: Option<Refusal>,
    /// New tokens that could not be stored. The lock keeps others away from the token that they came for.
    unsaved: Option<(Box<RenewalLock>, Record)>,
}

#[derive(Debug)]
struct Refusal {
    generation: u64,
    /// Whether it was the client that was refused, not the token.
    client: bool,
    reply: Box<Reply>,
    unfinished: Vec<Claim>,
}

impl Renewer {
    pub(crate) fn new(accounts: Accounts, account: String) -> Self {
        Self { accounts, account, made: None, refused: None, unsaved: None }
    }

    /// Tokens of another generation than `used`: those that another process stored, or new ones. Where it is not urgent,
    /// nothing is repeated and nobody is waited for: `None` where another process is at it.
    ///
    /// # Errors
    /// None are available.
    pub(crate) async fn renew(
        &mut self,
        used: Option<u64>,
        urgent: bool,
        run: &Run,
    ) -> Result<Option<Record>, ExtractError> {
        self.save().await?;
        loop {
            let record = self.accounts.record(&self.account).await?.ok_or_else(|| self.not_signed_in())?;
            if Some(record.sign_in.generation) != used && record.is_usable(run.clock.now()) {
                return Ok(Some(record));
            }
            let place = RequestPlace::new("access token".to_owned(), "POST", &record.sign_in.token_url);
            let generation = record.sign_in.generation;
            if let Some(refusal) = self.refused.as_ref().filter(|refusal| refusal.generation == generation) {
                return Err(self.refusal(refusal, place));
            }
            if record.sign_in.refresh_token.is_none() {
                let (why, account) = (Box::new(NoRenewal::NoRefreshToken), self.account.clone());
                return Err(ExtractError::LoginNeeded { place, account, why, unfinished: Vec::new() });
            }
            let within = run.transport.request_timeout;
            match self.accounts.claim(&self.account, generation, urgent, within, &run.clock).await? {
                Claimed::Newer => {}
                Claimed::Busy => return Ok(None),
                Claimed::Mine(lock) => {
                    if let Some(record) = self.take(lock, urgent, &place, run).await? {
                        return Ok(Some(record));
                    }
                }
            }
        }
    }

    /// Stores the new tokens that could not be stored before, where there are any.
    ///
    /// # Errors
    /// They still cannot be stored; they are kept.
    pub(crate) async fn save(&mut self) -> Result<(), ExtractError> {
        let Some((lock, record)) = &self.unsaved else { return Ok(()) };
        self.accounts.save(lock, record).await?;
        info!(account = self.account, "the new token is stored now");
        self.unsaved = None;
        Ok(())
    }

    /// Whether there are tokens that could not be stored.
    pub(crate) fn has_unsaved(&self) -> bool {
        self.unsaved.is_some()
    }

    /// Whether these tokens are what this process got last.
    pub(crate) fn has_made(&self, record: &Record) -> bool {
        self.made == Some(record.sign_in.generation)
    }

    /// Drops what was kept in case that a generation would not work.
    pub(crate) async fn confirm(&self, generation: u64) -> Result<(), ExtractError> {
        if self.has_unsaved() { Ok(()) } else { self.accounts.confirm(&self.account, generation).await }
    }

    /// The refresh token to use next time.
    pub(crate) async fn refresh_token(&self) -> Option<SecretString> {
        match &self.unsaved {
            Some((_, record)) => record.sign_in.refresh_token.clone(),
            None => self.accounts.record(&self.account).await.ok()??.sign_in.refresh_token,
        }
    }

    /// Sends the locked generation's token until something comes of it. `None`: another process came first, look again.
    async fn take(
        &mut self,
        mut lock: Box<RenewalLock>,
        urgent: bool,
        place: &RequestPlace,
        run: &Run,
    ) -> Result<Option<Record>, ExtractError> {
        for claim in lock.unfinished() {
            warn!(account = self.account, by = %claim, "the response to its exchange of this token was never stored; sending the token once more");
        }
        // Until a response is lost, the server has certainly not used the token up.
        let mut all_unsent = true;
        let mut made = 0;
        loop {
            made += 1;
            let sign_in = &lock.record.sign_in;
            let Some(token) = &sign_in.refresh_token else { return Ok(None) };
            let (failure, unsent) = match exchange(sign_in, token, place, run).await {
                Exchanged::Fresh(fresh) => {
                    let record = fresh.after(&lock.record);
                    return self.store(lock, record).await;
                }
                Exchanged::TokenRefused(reply) => {
                    return self.token_refused(lock, reply, !all_unsent, place, run).await;
                }
                Exchanged::ClientRefused(reply) => {
                    let generation = lock.record.sign_in.generation;
                    let refusal = Refusal { generation, client: true, reply, unfinished: Vec::new() };
                    self.give_up(lock, all_unsent).await;
                    return Err(self.refuse(refusal, place));
                }
                Exchanged::Useless { error, unsent } => {
                    self.give_up(lock, all_unsent && unsent).await;
                    return Err(error);
                }
                Exchanged::Failed { failure, unsent } => (failure, unsent),
            };
            all_unsent &= unsent;
            let wait = if urgent { run.back_off(place, made, failure, &run.meter) } else { Err(once(place, failure)) };
            let again = match wait {
                Ok(wait) => {
                    run.meter.back_off(wait).await;
                    self.accounts.claim_again(&mut lock).await
                }
                Err(error) => Err(error),
            };
            match again {
                Ok(true) => {}
                Ok(false) => {
                    self.give_up(lock, all_unsent).await;
                    return Ok(None);
                }
                Err(error) => {
                    self.give_up(lock, all_unsent).await;
                    return Err(error);
                }
            }
        }
    }

    /// Stores new tokens. Where that fails they are kept in memory: they are all that there is.
    async fn store(&mut self, lock: Box<RenewalLock>, record: Record) -> Result<Option<Record>, ExtractError> {
        let saved = self.accounts.save(&lock, &record).await;
        self.made = Some(record.sign_in.generation).filter(|_| !matches!(saved, Ok(false)));
        match saved {
            Ok(true) => Ok(Some(record)),
            Ok(false) => Ok(None),
            Err(failed) => {
                let cause = std::error::Error::source(&failed).map(ToString::to_string);
                error!(
                    account = self.account, error = %failed, cause,
                    "the new token could not be stored; it is lost if this process ends before it is"
                );
                self.unsaved = Some((lock, record.clone()));
                Ok(Some(record))
            }
        }
    }

    /// The server does not take the token: another process may just have used it, or the one before may still be good.
    /// `lost`: a response to this very process was lost.
    async fn token_refused(
        &mut self,
        lock: Box<RenewalLock>,
        reply: Box<Reply>,
        lost: bool,
        place: &RequestPlace,
        run: &Run,
    ) -> Result<Option<Record>, ExtractError> {
        let generation = lock.record.sign_in.generation;
        let mut unfinished = lock.unfinished();
        if !unfinished.is_empty() && self.accounts.is_shared() {
            // A process that was taken for dead may only have been slow.
            sleep(LAST_LOOK).await;
            if self.accounts.record(&self.account).await?.is_some_and(|now| now.sign_in.generation != generation) {
                return Ok(None);
            }
        }
        if lost {
            unfinished.push(lock.claim.clone());
        }
        if let Some(previous) = lock.record.previous.as_ref().filter(|_| unfinished.is_empty())
            && let Exchanged::Fresh(fresh) = exchange(&lock.record.sign_in, previous, place, run).await
        {
            warn!(account = self.account, "the newest refresh token was refused and the one before it still worked");
            let record = fresh.after(&lock.record);
            return self.store(lock, record).await;
        }
        // The response to this process was clear; those to the others are not known any better than before.
        self.give_up(lock, !lost).await;
        Err(self.refuse(Refusal { generation, client: false, reply, unfinished }, place))
    }

    async fn give_up(&self, lock: Box<RenewalLock>, unsent: bool) {
        if let Err(failed) = self.accounts.give_up(*lock, unsent).await {
            warn!(account = self.account, error = %failed, "the claim on the token stands until its time is over");
        }
    }

    fn refuse(&mut self, refusal: Refusal, place: &RequestPlace) -> ExtractError {
        let error = self.refusal(&refusal, place.clone());
        self.refused = Some(refusal);
        error
    }

    fn refusal(&self, refusal: &Refusal, place: RequestPlace) -> ExtractError {
        let (account, reply) = (self.account.clone(), refusal.reply.clone());
        if self.accounts.place(&account).is_none() {
            return ExtractError::SignIn { place, reply };
        }
        if refusal.client {
            return ExtractError::ClientRefused { place, account, reply };
        }
        let unfinished = refusal.unfinished.clone();
        ExtractError::LoginNeeded { place, account, why: Box::new(NoRenewal::Refused(*reply)), unfinished }
    }

    fn not_signed_in(&self) -> ExtractError {
        let path = self.accounts.place(&self.account).unwrap_or_default();
        ExtractError::NotSignedIn { account: self.account.clone(), path }
    }
}

/// The error of a request that is not repeated.
fn once(place: &RequestPlace, failure: Failure) -> ExtractError {
    let (reply, source) = match failure {
        Failure::RawResponse(answer) | Failure::NotAPage(answer, _) => (Some(answer.reply), None),
        Failure::NoResponse(error, reply) => (reply, Some(error)),
    };
    ExtractError::Transient { place: place.clone(), gave_up: GaveUp::Attempts(1), reply, source }
}
