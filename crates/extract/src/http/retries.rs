//! How long to wait before a request is retried, and when to stop: attempts per request, a budget per run.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::{GaveUp, Pending, RetrySettings};

/// Longest that a `RetrySettings-After` is obeyed. The API documents none, so a larger one is more likely a mistake.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);

/// The retries that a run has left.
#[derive(Debug)]
pub(crate) struct Retries {
    retry: RetrySettings,
    pending: Pending,
    left: AtomicU32,
    jitter: Mutex<Pcg64Mcg>,
}

impl Retries {
    pub(crate) fn new(retry: RetrySettings, pending: Pending, seed: u64) -> Self {
        let jitter = Mutex::new(Pcg64Mcg::seed_from_u64(seed));
        Self { retry, pending, left: AtomicU32::new(retry.budget), jitter }
    }

    /// Takes one retry for a request that was sent `made` times, and tells how long to wait first: what the API asked
    /// for in `RetrySettings-After`, else a random part of a backoff that doubles each time ("full jitter"). Whoever was
    /// throttled waits the first backoff at least: the API counts by the second and would throttle again.
    pub(crate) fn take(&self, made: u32, retry_after: Option<Duration>, throttled: bool) -> Result<Duration, GaveUp> {
        if made >= self.retry.attempts {
            return Err(GaveUp::Attempts(made));
        }
        self.left
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
            .map_err(|_| GaveUp::Budget(self.retry.budget))?;
        Ok(match retry_after {
            Some(wait) => wait.min(MAX_RETRY_AFTER),
            None if throttled => self.backoff(made).max(self.retry.first_backoff),
            None => self.backoff(made),
        })
    }

    /// How long to wait before the request is repeated after its `seen`-th 202.
    pub(crate) fn pending(&self, seen: u32) -> Result<Duration, GaveUp> {
        if seen > self.pending.repeats {
            return Err(GaveUp::Pending(self.pending.repeats));
        }
        Ok(doubled(self.pending.first_wait, seen, self.pending.max_wait))
    }

    fn backoff(&self, made: u32) -> Duration {
        let part: f64 = self.jitter.lock().unwrap_or_else(PoisonError::into_inner).random();
        doubled(self.retry.first_backoff, made, self.retry.max_backoff).mul_f64(part)
    }
}

/// `first`, doubled for every time after the first, `most` at most.
fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    let factor = 2_u32.saturating_pow(times.saturating_sub(1));
    first.saturating_mul(factor).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(seed: u64) -> Retries {
        Retries::new(RetrySettings { budget: 1000, ..RetrySettings::default() }, Pending::default(), seed)
    }

    #[test]
    fn backoff_is_a_random_part_of_a_doubling_bound() {
        let retries = retries(7);
        for (made, bound) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16)] {
            let waits: Vec<_> = (0..100).map(|_| retries.take(made, None, false).unwrap().as_secs_f64()).collect();
            let bound = f64::from(bound);
            assert!(waits.iter().all(|wait| *wait < bound), "{waits:?}");
            assert!(waits.iter().any(|wait| *wait > bound * 0.9), "{waits:?}");
            assert!(waits.iter().any(|wait| *wait < bound * 0.1), "{waits:?}");
        }
        assert_eq!(retries.take(6, None, false), Err(GaveUp::Attempts(6)));
    }

    #[test]
    fn the_same_seed_waits_the_same() {
        let waits = |seed| (1..6).map(|made| retries(seed).take(made, None, false)).collect::<Vec<_>>();
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }

    #[test]
    fn retry_after_goes_first_up_to_five_minutes() {
        let wait = |seconds| retries(0).take(1, Some(Duration::from_secs(seconds)), true);
        assert_eq!(wait(7), Ok(Duration::from_secs(7)));
        assert_eq!(wait(u64::MAX), Ok(Duration::from_mins(5)));
    }

    #[test]
    fn throttled_waits_a_second_at_least() {
        let retries = retries(0);
        assert!((0..100).all(|_| retries.take(1, None, true) == Ok(Duration::from_secs(1))));
    }

    #[test]
    fn waits_for_a_pending_answer_grow_to_half_a_minute_and_end() {
        let retries = retries(0);
        let waits: Vec<_> = (1..=6).map(|seen| retries.pending(seen).unwrap().as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 30, 30]);
        assert_eq!(retries.pending(20), Ok(Duration::from_secs(30)));
        assert_eq!(retries.pending(21), Err(GaveUp::Pending(20)));
    }
}
