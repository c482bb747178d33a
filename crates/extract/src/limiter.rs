//! One gate for every request of an API key: evenly spaced slots, first come, first served.

use std::sync::{Mutex as Cell, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::ExtractError;
use crate::quota::Quota;

/// A slot that is taken this late still counts as on time, so that the next one follows at its full pace. It absorbs
/// the millisecond of a timer; longer idleness is never saved up, so there are no bursts.
const LATENESS: Duration = Duration::from_millis(5);

/// Spaces requests `1 / rate` apart.
#[derive(Debug)]
pub(crate) struct Limiter {
    spacing: Duration,
    /// When the next request may go. Whoever holds the lock is at the head of the queue, and moves it only when it
    /// goes: a waiter that is dropped leaves no hole.
    next: Mutex<Instant>,
    /// No request before this, after the API said `throttled`.
    held_until: Cell<Option<Instant>>,
    quota: Quota,
}

impl Limiter {
    pub(crate) fn new(requests_per_second: f64, quota: Quota) -> Self {
        Self {
            spacing: Duration::from_secs_f64(1.0 / requests_per_second),
            next: Mutex::new(Instant::now()),
            held_until: Cell::new(None),
            quota,
        }
    }

    /// Waits for a slot and takes it from the day's quota; tells how long it waited. Refuses at once, without waiting,
    /// when the quota is used up.
    pub(crate) async fn acquire(&self) -> Result<Duration, ExtractError> {
        let start = Instant::now();
        let mut next = self.next.lock().await;
        loop {
            self.quota.check()?;
            let slot = self.held_until().map_or(*next, |held| held.max(*next));
            let now = Instant::now();
            if slot <= now {
                let taken = if now - slot <= LATENESS { slot } else { now };
                self.quota.take()?;
                *next = taken + self.spacing;
                return Ok(now - start);
            }
            sleep_until(slot).await;
        }
    }

    /// Lets no request out for this long.
    pub(crate) fn hold(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut held = self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(held.map_or(until, |earlier| earlier.max(until)));
    }

    /// The quota that its requests are counted against.
    pub(crate) fn quota(&self) -> &Quota {
        &self.quota
    }

    fn held_until(&self) -> Option<Instant> {
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;
    use tokio::time::{advance, sleep, timeout};

    use super::*;
    use crate::Clock;

    fn limiter(requests_per_second: f64) -> Arc<Limiter> {
        Arc::new(Limiter::new(requests_per_second, Quota::new(1_000_000, Clock::system())))
    }

    /// Lets tasks share a limiter until `total` slots are taken, each slot followed by `latency`.
    async fn spend(limiter: &Arc<Limiter>, tasks: usize, total: usize, latency: Duration) -> Duration {
        let start = Instant::now();
        let mut set = JoinSet::new();
        for _ in 0..tasks {
            let limiter = Arc::clone(limiter);
            set.spawn(async move {
                for _ in 0..total / tasks {
                    limiter.acquire().await.unwrap();
                    sleep(latency).await;
                }
            });
        }
        set.join_all().await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn ten_tasks_take_a_hundred_slots_at_exactly_the_pace() {
        assert_eq!(spend(&limiter(4.0), 10, 100, Duration::ZERO).await, Duration::from_millis(24_750));
    }

    #[tokio::test(start_paused = true)]
    async fn two_streams_with_latency_leave_no_slot_unused() {
        let latency = Duration::from_millis(300);
        let elapsed = spend(&limiter(4.0), 2, 400, latency).await;
        let best = Duration::from_millis(250) * 399 + latency;
        assert!(best.as_secs_f64() / elapsed.as_secs_f64() >= 0.98, "{elapsed:?} instead of {best:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn idleness_is_not_saved_up() {
        let limiter = limiter(4.0);
        limiter.acquire().await.unwrap();
        sleep(Duration::from_mins(1)).await;
        let start = Instant::now();
        for _ in 0..3 {
            limiter.acquire().await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::from_millis(500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_timer_costs_no_slot() {
        // Slots half a millisecond apart and a clock that moves by whole ones: the pace holds all the same.
        let limiter = limiter(2000.0);
        let mut taken = 0;
        for _ in 0..1000 {
            while timeout(Duration::ZERO, limiter.acquire()).await.is_ok() {
                taken += 1;
            }
            advance(Duration::from_millis(1)).await;
        }
        assert!((1990..=2010).contains(&taken), "{taken} slots in a second");
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_leaves_takes_no_slot_with_it() {
        let limiter = limiter(4.0);
        limiter.acquire().await.unwrap();
        let start = Instant::now();
        for _ in 0..5 {
            timeout(Duration::from_millis(10), limiter.acquire()).await.unwrap_err();
        }
        limiter.acquire().await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_millis(250));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_keeps_everybody_who_waits_already() {
        let limiter = limiter(4.0);
        limiter.acquire().await.unwrap();
        let waiting = tokio::spawn({
            let limiter = Arc::clone(&limiter);
            async move { limiter.acquire().await.unwrap() }
        });
        sleep(Duration::from_millis(100)).await;
        limiter.hold(Duration::from_secs(2));
        limiter.hold(Duration::from_secs(1));
        assert_eq!(waiting.await.unwrap(), Duration::from_millis(2100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_that_is_used_up_sends_the_queue_home_at_once() {
        let limiter = limiter(1.0);
        limiter.acquire().await.unwrap();
        let start = Instant::now();
        let mut queue = JoinSet::new();
        for _ in 0..100 {
            let limiter = Arc::clone(&limiter);
            queue.spawn(async move { limiter.acquire().await.is_err() });
        }
        sleep(Duration::from_millis(10)).await;
        limiter.quota().shut("2026-01-31T12:00:00Z".parse().unwrap(), None);
        assert!(queue.join_all().await.into_iter().all(|refused| refused));
        assert_eq!(start.elapsed(), Duration::from_secs(1), "only the head of the queue waits for its slot");
    }
}
