//! One gate for every request of a client: first come, first served, one of them at a time in the ledger's queue.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::{Clock, ExtractError, Ledger, RateLimit};

/// Lets requests out at the pace of the ledger.
#[derive(Debug)]
pub(crate) struct Limiter {
    pace: RateLimit,
    ledger: Ledger,
    clock: Clock,
    /// Whoever holds the lock waits in the ledger's queue for this client. Clients that share a ledger so take turns,
    /// however many requests each of them has waiting.
    queue: Mutex<()>,
}

impl Limiter {
    pub(crate) fn new(pace: RateLimit, ledger: Ledger, clock: Clock) -> Self {
        Self { pace, ledger, clock, queue: Mutex::new(()) }
    }

    /// Waits for a slot and counts a request of the day; tells how long it waited. Refuses at once, without waiting,
    /// when the quota is used up.
    pub(crate) async fn acquire(&self) -> Result<Duration, ExtractError> {
        let start = Instant::now();
        let _head = self.queue.lock().await;
        self.ledger.take(&self.pace, &self.clock).await?;
        Ok(start.elapsed())
    }

    /// Lets no request out for this long.
    pub(crate) async fn hold(&self, wait: Duration) -> Result<(), ExtractError> {
        self.ledger.hold(wait, &self.clock).await
    }

    /// The API refused a request (HTTP 429): where those do not count, it is given back.
    pub(crate) async fn refused(&self) -> Result<(), ExtractError> {
        if self.pace.count_refused { Ok(()) } else { self.ledger.give_back(&self.clock).await }
    }

    /// Refuses every request until the API's next midnight: it said `quota_exceeded` at `at`, by its clock. Gives the
    /// error that they all get.
    pub(crate) async fn shut(&self, at: DateTime<Utc>, request_id: Option<String>) -> ExtractError {
        self.ledger.shut(at, request_id, &self.clock).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;
    use tokio::time::{advance, sleep, timeout};

    use super::*;

    fn limiter(requests_per_second: f64) -> Arc<Limiter> {
        let pace = RateLimit { requests_per_second, daily_requests: 1_000_000, ..RateLimit::default() };
        Arc::new(Limiter::new(pace, Ledger::in_memory(), Clock::fixed("2026-01-31T12:00:00Z".parse().unwrap())))
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
        // Slots half a millisecond apart and a clock that moves by full milliseconds: the pace holds all the same.
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
        limiter.hold(Duration::from_secs(2)).await.unwrap();
        limiter.hold(Duration::from_secs(1)).await.unwrap();
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
        limiter.shut("2026-01-31T12:00:00Z".parse().unwrap(), None).await;
        assert!(queue.join_all().await.into_iter().all(|refused| refused));
        assert_eq!(start.elapsed(), Duration::from_secs(1), "only the head of the queue waits for its slot");
    }
}
