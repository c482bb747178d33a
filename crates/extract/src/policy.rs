//! The one table of what an answer means and what an error asks of the caller.

use std::io::ErrorKind;

use chrono::{DateTime, Utc};

use crate::{ExtractError, GaveUp, Reply};

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Read it.
    Page,
    /// The same request will have an answer in a while.
    Pending,
    /// Too many requests in this second: all of them wait.
    Throttled,
    /// Too many requests today: none is sent any more.
    QuotaUsedUp,
    /// The API's own trouble: wait and send it again.
    Trouble,
    /// A new access token may help, once.
    SignIn,
    /// The token may not read this.
    Forbidden,
    /// Refused, whatever it leads to.
    Redirect,
    /// Sending it again would change nothing.
    Rejected,
}

/// What an answer means. Statuses as in the vendor's OpenAPI description; the two kinds of 429 differ only in the key
/// of their error (vendor's guide, "Rate limits"), and one that has neither is taken for the harmless kind.
pub(crate) fn verdict(reply: &Reply) -> Verdict {
    match reply.status {
        202 => Verdict::Pending,
        200..=299 => Verdict::Page,
        300..=399 => Verdict::Redirect,
        401 => Verdict::SignIn,
        403 => Verdict::Forbidden,
        429 if reply.has("quota_exceeded") => Verdict::QuotaUsedUp,
        429 => Verdict::Throttled,
        500 | 502 | 503 | 504 => Verdict::Trouble,
        _ => Verdict::Rejected,
    }
}

/// When it makes sense to ask for the same page again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAdvice {
    /// In a while, with nothing changed.
    Later,
    /// From this moment on.
    After(DateTime<Utc>),
    /// Once somebody has signed in again.
    AfterSignIn,
    /// Not before the configuration, the pipeline or the API has changed.
    Never,
}

impl ExtractError {
    /// When it makes sense to ask for the same page again.
    pub fn retry(&self) -> RetryAdvice {
        match self {
            Self::Transient { .. } | Self::LedgerStore { .. } => RetryAdvice::Later,
            Self::Quota { resets_at, .. } => RetryAdvice::After(*resets_at),
            Self::SigningIn(failure) => failure.retry(),
            Self::SignIn { .. }
            | Self::NotSignedIn { .. }
            | Self::LoginNeeded { .. }
            | Self::ClientRefused { .. }
            | Self::TokensDamaged { .. } => RetryAdvice::AfterSignIn,
            // A full disk gets room, a store comes back; what may not be written stays so.
            Self::TokenStore { source, .. } => match source.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::Unsupported => {
                    RetryAdvice::Never
                }
                _ => RetryAdvice::Later,
            },
            Self::Config { .. }
            | Self::Setup { .. }
            | Self::Certificate { .. }
            | Self::LedgerFile { .. }
            | Self::Parameter { .. }
            | Self::TokensOpen { .. }
            | Self::TokenKey { .. }
            | Self::Forbidden { .. }
            | Self::Rejected { .. }
            | Self::StaleCursor { .. }
            | Self::NotAPage { .. }
            | Self::ForeignLink { .. }
            | Self::Redirect { .. }
            | Self::RepeatedCursor { .. }
            | Self::NoProgress { .. }
            | Self::BodyTooLarge { .. }
            | Self::Profile { .. } => RetryAdvice::Never,
        }
    }

    /// Whether every later request of the run would fail too. What else goes wrong concerns one crawl alone.
    pub fn ends_run(&self) -> bool {
        matches!(
            self,
            Self::Config { .. }
                | Self::Setup { .. }
                | Self::Certificate { .. }
                | Self::SignIn { .. }
                | Self::NotSignedIn { .. }
                | Self::LoginNeeded { .. }
                | Self::ClientRefused { .. }
                | Self::TokensOpen { .. }
                | Self::TokensDamaged { .. }
                | Self::TokenKey { .. }
                | Self::TokenStore { .. }
                | Self::Quota { .. }
                | Self::LedgerFile { .. }
                | Self::LedgerStore { .. }
                | Self::Transient { gave_up: GaveUp::Budget(_), .. }
        )
    }
}
