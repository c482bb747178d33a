//! What a run has spent so far, for its summary.

use std::iter::successors;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::sleep;

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

/// The counters behind [`Usage`]: those of a run, or of a part of it, whose counts are the run's too.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    whole: Option<Arc<Meter>>,
    requests: AtomicU64,
    retries: AtomicU64,
    throttled: AtomicU64,
    pending: AtomicU64,
    sign_ins: AtomicU64,
    bytes: AtomicU64,
    paced_micros: AtomicU64,
    backed_off_micros: AtomicU64,
}

impl Meter {
    /// Counters of a part, at zero.
    pub(crate) fn part_of(whole: &Arc<Self>) -> Self {
        Self { whole: Some(Arc::clone(whole)), ..Self::default() }
    }

    pub(crate) fn request(&self) {
        self.add(1, |meter| &meter.requests);
    }

    pub(crate) fn retry(&self) {
        self.add(1, |meter| &meter.retries);
    }

    pub(crate) fn throttled(&self) {
        self.add(1, |meter| &meter.throttled);
    }

    pub(crate) fn pending(&self) {
        self.add(1, |meter| &meter.pending);
    }

    pub(crate) fn sign_in(&self) {
        self.add(1, |meter| &meter.sign_ins);
    }

    pub(crate) fn read(&self, bytes: u64) {
        self.add(bytes, |meter| &meter.bytes);
    }

    pub(crate) fn paced(&self, wait: Duration) {
        self.add(micros(wait), |meter| &meter.paced_micros);
    }

    /// Waits before something is sent again.
    pub(crate) async fn back_off(&self, wait: Duration) {
        sleep(wait).await;
        self.add(micros(wait), |meter| &meter.backed_off_micros);
    }

    fn add(&self, count: u64, counter: impl Fn(&Self) -> &AtomicU64) {
        for meter in successors(Some(self), |meter| meter.whole.as_deref()) {
            counter(meter).fetch_add(count, Relaxed);
        }
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

fn micros(wait: Duration) -> u64 {
    u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)
}
