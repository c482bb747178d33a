//! What a run has spent so far, for its summary.

use std::collections::VecDeque;
use std::iter::successors;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Counters of a run, at one moment. What several requests wait for at the same time counts once, so that no wait is longer
/// than the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests sent to the API, the retries included. Those to the token endpoint are not.
    pub requests: u64,
    /// Requests retried after a failure.
    pub retries: u64,
    /// Answers `throttled` (HTTP 429).
    pub throttled: u64,
    /// Answers that were still being worked out (HTTP 202).
    pub pending: u64,
    /// Requests sent to the token endpoint.
    pub sign_ins: u64,
    /// Bytes of bodies received, after decompression.
    pub bytes: u64,
    /// Time in which a request waited for the limiter.
    pub paced: Duration,
    /// Time in which a request waited after a failure or a 202.
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
    paced: Waits,
    backed_off: Waits,
}

/// Spans of time in which somebody waited, as one span where they overlap.
#[derive(Debug, Default)]
struct Waits(Mutex<Spans>);

#[derive(Debug, Default)]
struct Spans {
    /// Apart from each other, in order.
    recent: VecDeque<(Instant, Instant)>,
    /// Of spans that are too long ago for a wait to have begun before their end.
    earlier: Duration,
}

/// Spans that are kept apart. A wait that began before so many others ended is counted in part only.
const RECENT: usize = 1_024;

impl Waits {
    /// Adds a wait that ends now.
    fn add(&self, wait: Duration) {
        let end = Instant::now();
        let mut start = end.checked_sub(wait).unwrap_or(end);
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((earlier, _)) = spans.recent.pop_back_if(|(_, ended)| *ended >= start) {
            start = start.min(earlier);
        }
        spans.recent.push_back((start, end));
        if spans.recent.len() > RECENT
            && let Some((start, end)) = spans.recent.pop_front()
        {
            spans.earlier += end - start;
        }
    }

    fn total(&self) -> Duration {
        let spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.earlier + spans.recent.iter().map(|(start, end)| *end - *start).sum::<Duration>()
    }
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
        self.wait(wait, |meter| &meter.paced);
    }

    /// Waits before something is retried.
    pub(crate) async fn back_off(&self, wait: Duration) {
        sleep(wait).await;
        self.wait(wait, |meter| &meter.backed_off);
    }

    fn wait(&self, wait: Duration, waits: impl Fn(&Self) -> &Waits) {
        if wait.is_zero() {
            return;
        }
        for meter in successors(Some(self), |meter| meter.whole.as_deref()) {
            waits(meter).add(wait);
        }
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
            paced: self.paced.total(),
            backed_off: self.backed_off.total(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_at_the_same_time_count_once() {
        // By seconds from the start: when a wait ends and how long it was, in order of their ends; and the time in all.
        let table: [(&[(u64, u64)], u64); 5] = [
            (&[(1, 1), (2, 1)], 2),
            (&[(10, 10), (10, 10), (10, 3)], 10),
            (&[(6, 1), (10, 10)], 10),
            (&[(1, 1), (5, 1), (6, 3)], 4),
            (&[(1, 1), (3, 1), (9, 1), (10, 8)], 9),
        ];
        for (waits, total) in table {
            let run = Arc::new(Meter::default());
            let part = Meter::part_of(&run);
            let start = Instant::now();
            for (end, wait) in waits {
                tokio::time::sleep_until(start + Duration::from_secs(*end)).await;
                part.paced(Duration::from_secs(*wait));
            }
            assert_eq!(run.snapshot().paced.as_secs(), total, "{waits:?}");
            assert_eq!(part.snapshot().paced, run.snapshot().paced);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_waits_take_bounded_memory_and_none_is_forgotten() {
        let meter = Meter::default();
        for _ in 0..3 * RECENT {
            tokio::time::sleep(Duration::from_secs(2)).await;
            meter.paced(Duration::from_secs(1));
        }
        assert_eq!(meter.snapshot().paced.as_secs(), 3 * RECENT as u64);
        assert!(meter.paced.0.lock().unwrap().recent.len() <= RECENT);
    }
}
