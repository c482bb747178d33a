//! The bearer token in force: given once, or renewed when needed. When to renew is decided here, how in
//! [`Renewer`](crate::auth::tokens::Renewer).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::HeaderValue;
use secrecy::SecretString;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;
use tracing::{Instrument, debug, warn};

use crate::auth::tokens::{Accounts, Record, Renewer, ended};
use crate::http::client::Run;
use crate::{Clock, ExtractError, Token};

/// Longest time before its end at which a token is renewed.
const EARLY: Duration = Duration::from_hours(1);
/// The part of a token's lifetime, from its end, at which it is renewed where that is less.
const EARLY_PART: u32 = 10;
/// Least time between two tries to renew a token that is still good.
const LEAST_POSTPONED: Duration = Duration::from_secs(1);

/// Where the bearer token comes from.
#[derive(Debug)]
pub(crate) enum Credentials {
    /// From outside, for good.
    Fixed(Bearer),
    /// From a token store.
    Renewed(Arc<Grant>),
}

/// A header, and the generation of the account's tokens that it is of.
#[derive(Debug, Clone)]
pub(crate) struct Bearer {
    pub(crate) header: HeaderValue,
    generation: u64,
}

/// What came of asking for another token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// There is no other.
    None,
    /// Somebody else had renewed it: another request, another process.
    Found,
    /// It was renewed just now.
    Made,
}

/// The tokens of one account.
#[derive(Debug)]
pub(crate) struct Grant {
    held: RwLock<Option<Held>>,
    /// Whoever has it is renewing.
    renewer: Arc<Mutex<Renewer>>,
    /// The generation whose access token has worked, 0 for none.
    worked: AtomicU64,
    /// New tokens could not be stored so far.
    unsaved: AtomicBool,
}

/// A bearer token and its time, by tokio's clock: the wall clock may be set meanwhile.
#[derive(Debug, Clone)]
struct Held {
    bearer: Bearer,
    /// When to renew it although it is still good, and when it ends; `None` where nobody knows.
    time: Option<(Instant, Instant)>,
}

impl Credentials {
    pub(crate) fn new(token: Token, clock: &Clock) -> Result<Self, ExtractError> {
        let (accounts, account) = match token {
            Token::Bearer(token) => {
                let header = token.header().ok_or_else(|| ExtractError::Config {
                    key: "access_token",
                    reason: "holds characters that no header can carry (a line break perhaps)".to_owned(),
                })?;
                return Ok(Self::Fixed(Bearer { header, generation: 0 }));
            }
            Token::Refresh(grant) => {
                let sign_in = grant.sign_in("default", clock.now());
                (Accounts::in_memory(sign_in), "default".to_owned())
            }
            Token::Stored { accounts, account } => (accounts, account),
        };
        Ok(Self::Renewed(Arc::new(Grant {
            held: RwLock::new(None),
            renewer: Arc::new(Mutex::new(Renewer::new(accounts, account))),
            worked: AtomicU64::new(0),
            unsaved: AtomicBool::new(false),
        })))
    }

    /// The bearer token to use now.
    pub(crate) async fn bearer(&self, run: &Arc<Run>) -> Result<Bearer, ExtractError> {
        match self {
            Self::Fixed(bearer) => Ok(bearer.clone()),
            Self::Renewed(grant) => grant.bearer(run).await,
        }
    }

    /// Makes sure that the bearer token is another than `used`, which the API refused.
    pub(crate) async fn renew(&self, used: &Bearer, run: &Arc<Run>) -> Result<Renewal, ExtractError> {
        match self {
            Self::Fixed(_) => Ok(Renewal::None),
            Self::Renewed(grant) => Ok(grant.other_than(Some(used.generation), run).await?.1),
        }
    }

    /// Notes that the API took a token.
    pub(crate) async fn worked(&self, bearer: &Bearer) {
        if let Self::Renewed(grant) = self
            && grant.worked.swap(bearer.generation, Relaxed) != bearer.generation
            && let Ok(renewer) = grant.renewer.try_lock()
            && let Err(error) = renewer.confirm(bearer.generation).await
        {
            debug!(%error, "the old token stays beside the new one");
        }
    }

    /// Stores what could not be stored so far.
    pub(crate) async fn settle(&self) -> Result<(), ExtractError> {
        match self {
            Self::Fixed(_) => Ok(()),
            Self::Renewed(grant) => grant.save(Arc::clone(&grant.renewer).lock_owned().await).await,
        }
    }

    /// The refresh token to use next time.
    pub(crate) async fn refresh_token(&self) -> Option<SecretString> {
        match self {
            Self::Fixed(_) => None,
            Self::Renewed(grant) => grant.renewer.lock().await.refresh_token().await,
        }
    }
}

impl Grant {
    fn held(&self) -> Option<Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, held: Held) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }

    /// Tries the next early renewal half-way to the token's end, and the one after it half-way from there.
    fn postpone(&self, generation: u64, now: Instant) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(Held { bearer, time: Some((early, end)) }) = &mut *held
            && bearer.generation == generation
        {
            *early = now + (end.saturating_duration_since(now) / 2).max(LEAST_POSTPONED);
        }
    }

    async fn bearer(self: &Arc<Self>, run: &Arc<Run>) -> Result<Bearer, ExtractError> {
        if self.unsaved.load(Relaxed)
            && let Ok(renewer) = Arc::clone(&self.renewer).try_lock_owned()
            && let Err(error) = self.save(renewer).await
        {
            debug!(%error, "the new token still cannot be stored");
        }
        let Some(held) = self.held() else { return Ok(self.other_than(None, run).await?.0) };
        let Some((early, end)) = held.time else { return Ok(held.bearer) };
        let now = Instant::now();
        if now >= end {
            return Ok(self.other_than(Some(held.bearer.generation), run).await?.0);
        }
        if now >= early
            && let Ok(renewer) = Arc::clone(&self.renewer).try_lock_owned()
        {
            match self.renew(renewer, Some(held.bearer.generation), false, run).await {
                Ok(Some((bearer, _))) => return Ok(bearer),
                Ok(None) => {}
                Err(error) => warn!(%error, "the token could not be renewed early; it is good for a while yet"),
            }
            self.postpone(held.bearer.generation, now);
        }
        Ok(held.bearer)
    }

    /// A token of another generation than `used`, whoever renewed it.
    async fn other_than(
        self: &Arc<Self>,
        used: Option<u64>,
        run: &Arc<Run>,
    ) -> Result<(Bearer, Renewal), ExtractError> {
        let renewer = Arc::clone(&self.renewer).lock_owned().await;
        if let Some(held) = self.held().filter(|held| Some(held.bearer.generation) != used) {
            return Ok((held.bearer, Renewal::Found));
        }
        let token = self.renew(renewer, used, true, run).await?;
        // Only a renewal that is not urgent leaves it to others.
        token.ok_or_else(|| ExtractError::Config { key: "account", reason: "is being renewed".to_owned() })
    }

    /// Renews on a task of its own: a crawl that is dropped must not drop a token that is on its way.
    async fn renew(
        self: &Arc<Self>,
        mut renewer: OwnedMutexGuard<Renewer>,
        used: Option<u64>,
        urgent: bool,
        run: &Arc<Run>,
    ) -> Result<Option<(Bearer, Renewal)>, ExtractError> {
        let (grant, run) = (Arc::clone(self), Arc::clone(run));
        let task = async move {
            let record = renewer.renew(used, urgent, &run).await;
            grant.unsaved.store(renewer.has_unsaved(), Relaxed);
            let Some(record) = record? else { return Ok(None) };
            let held = Held::new(&record, &run.clock)?;
            let bearer = held.bearer.clone();
            grant.hold(held);
            Ok(Some((bearer, if renewer.has_made(&record) { Renewal::Made } else { Renewal::Found })))
        };
        ended(tokio::spawn(task.in_current_span())).await
    }

    async fn save(self: &Arc<Self>, mut renewer: OwnedMutexGuard<Renewer>) -> Result<(), ExtractError> {
        let grant = Arc::clone(self);
        let task = async move {
            let saved = renewer.save().await;
            grant.unsaved.store(renewer.has_unsaved(), Relaxed);
            saved
        };
        ended(tokio::spawn(task.in_current_span())).await
    }
}

impl Held {
    fn new(record: &Record, clock: &Clock) -> Result<Self, ExtractError> {
        let header = record.sign_in.access_token.as_ref().and_then(crate::AccessToken::header);
        let header = header.ok_or_else(|| ExtractError::Config {
            key: "account",
            reason: format!("`{}` has an access token that no header can carry", record.sign_in.account),
        })?;
        let time = record.remaining(clock.now()).zip(record.lifetime).map(|(remaining, lifetime)| {
            let now = Instant::now();
            (now + remaining.saturating_sub(EARLY.min(lifetime / EARLY_PART)), now + remaining)
        });
        Ok(Self { bearer: Bearer { header, generation: record.sign_in.generation }, time })
    }
}
