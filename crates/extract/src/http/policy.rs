//! The one table of what a response means and what an error asks of the caller.

use std::io::ErrorKind;

use chrono::{DateTime, Utc};

use crate::{ExtractError, GaveUp, Reply};

/// What a response means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Read it.
    Page,
    /// The same request will have a response in a while.
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

/// What a response means. Statuses as in the vendor's OpenAPI description; the two kinds of 429 differ only in the key
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
        // Not done in time (408), sent to the wrong machine (421), too early (425): said of the moment, not of the request.
        // Those that HTTP does not define are inventions of proxies, most of them about connections.
        408 | 419 | 420 | 421 | 425 | 427 | 430 | 432..=450 | 452..=499 => Verdict::Trouble,
        400..=499 => Verdict::Rejected,
        _ => Verdict::Trouble,
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
            Self::Transient { .. } | Self::LedgerStore { .. } | Self::NotAPage { gave_up: Some(_), .. } => {
                RetryAdvice::Later
            }
            Self::StaleCursor { error } => error.retry(),
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
            | Self::NotAPage { .. }
            | Self::ForeignLink { .. }
            | Self::Redirect { .. }
            | Self::RepeatedCursor { .. }
            | Self::NoProgress { .. }
            | Self::BodyTooLarge { .. }
            | Self::Profile { .. } => RetryAdvice::Never,
        }
    }

    /// Whether it was not retried because the retries of the run are used up.
    pub fn is_out_of_retries(&self) -> bool {
        matches!(
            self,
            Self::Transient { gave_up: GaveUp::Budget(_), .. }
                | Self::NotAPage { gave_up: Some(GaveUp::Budget(_)), .. }
        )
    }

    /// Whether a link that an earlier run left may be the reason: not where no request of the run would do better.
    pub(crate) fn may_be_the_links(&self) -> bool {
        let unconnected = matches!(self, Self::Transient { source: Some(source), .. } if source.is_connect());
        !self.ends_run() && !unconnected && !matches!(self, Self::Parameter { .. })
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
        ) || self.is_out_of_retries()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_sent_again_whatever_a_gateway_calls_it() {
        let of = |status| verdict(&Reply { status, ..Reply::default() });
        for status in
            [408, 421, 425, 419, 430, 444, 449, 460, 499, 500, 501, 505, 508, 511, 520, 522, 530, 561, 599, 999]
        {
            assert_eq!(of(status), Verdict::Trouble, "{status}");
        }
        for status in [400, 402, 404, 405, 406, 409, 410, 413, 414, 415, 418, 422, 423, 424, 426, 428, 431, 451] {
            assert_eq!(of(status), Verdict::Rejected, "{status}");
        }
        for (status, verdict) in [(200, Verdict::Page), (204, Verdict::Page), (302, Verdict::Redirect)] {
            assert_eq!(of(status), verdict, "{status}");
        }
    }
}
