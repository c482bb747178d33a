//! What a run has spent so far, for its summary.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counters of a run, at one moment. Durations are summed over all crawls, so they can exceed the time that passed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests sent to the API, the retries included. Those to the token endpoint are not.
    pub requests: u64,
    /// Requests sent again after a failure.
    pub retries: u64,
    /// Answers `throttled` (HTTP 429).
    pub throttled: u64,
    /// Answers that were still being worked out (HTTP 202).
    pub pending: u64,
    /// Requests sent to the token endpoint.
    pub sign_ins: u64,
    /// Bytes of bodies received, after decompression.
    pub bytes: u64,
    /// Time that requests waited for the limiter.
    pub paced: Duration,
    /// Time that requests waited after a failure or a 202.
    pub backed_off: Duration,
}

/// The counters behind [`Usage`].
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) requests: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) throttled: AtomicU64,
    pub(crate) pending: AtomicU64,
    pub(crate) sign_ins: AtomicU64,
    pub(crate) bytes: AtomicU64,
    paced_micros: AtomicU64,
    backed_off_micros: AtomicU64,
}

impl Meter {
    pub(crate) fn paced(&self, wait: Duration) {
        self.paced_micros.fetch_add(micros(wait), Relaxed);
    }

    pub(crate) fn backed_off(&self, wait: Duration) {
        self.backed_off_micros.fetch_add(micros(wait), Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Usage {
        Usage {
            requests: self.requests.load(Relaxed),
            retries: self.retries.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
            pending: self.pending.load(Relaxed),
            sign_ins: self.sign_ins.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            paced: Duration::from_micros(self.paced_micros.load(Relaxed)),
            backed_off: Duration::from_micros(self.backed_off_micros.load(Relaxed)),
        }
    }
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

fn micros(wait: Duration) -> u64 {
    u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)
}
