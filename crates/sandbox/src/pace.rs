//! The limits of one API key: a token bucket and a daily quota. Time comes in as arguments.

use chrono::NaiveDate;
use tokio::time::Instant;

/// What is left of both limits.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: f64,
    burst: f64,
    daily: u64,
    count_throttled: bool,
    left: f64,
    filled: Instant,
    day: NaiveDate,
    used: u64,
}

/// What the limits say to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admitted,
    /// Too fast.
    Throttled,
    /// Too many today.
    QuotaExceeded,
}

impl Pace {
    /// Full limits. A rate that is not finite is no limit.
    pub(crate) fn new(
        per_second: f64,
        burst: u32,
        daily: u64,
        count_throttled: bool,
        now: Instant,
        today: NaiveDate,
    ) -> Self {
        let burst = f64::from(burst.max(1));
        Self { per_second, burst, daily, count_throttled, left: burst, filled: now, day: today, used: 0 }
    }

    /// Takes one request from the limits.
    pub(crate) fn take(&mut self, now: Instant, today: NaiveDate) -> Verdict {
        if today != self.day {
            self.day = today;
            self.used = 0;
        }
        if self.used >= self.daily {
            return Verdict::QuotaExceeded;
        }
        let verdict = self.take_from_bucket(now);
        if verdict == Verdict::Admitted || self.count_throttled {
            self.used += 1;
        }
        verdict
    }

    fn take_from_bucket(&mut self, now: Instant) -> Verdict {
        if !self.per_second.is_finite() {
            return Verdict::Admitted;
        }
        let refill = now.saturating_duration_since(self.filled).as_secs_f64() * self.per_second;
        self.left = (self.left + refill).min(self.burst);
        self.filled = now;
        if self.left < 1.0 {
            return Verdict::Throttled;
        }
        self.left -= 1.0;
        Verdict::Admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY_ONE: NaiveDate = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    const DAY_TWO: NaiveDate = NaiveDate::from_ymd_opt(2026, 1, 2).unwrap();

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut pace = Pace::new(4.0, 4, 10_000, true, start, DAY_ONE);
        let verdicts: Vec<_> = (0..5).map(|_| pace.take(start, DAY_ONE)).collect();
        assert_eq!(verdicts, [Verdict::Admitted; 4].into_iter().chain([Verdict::Throttled]).collect::<Vec<_>>());
        assert_eq!(pace.take(start + Duration::from_millis(249), DAY_ONE), Verdict::Throttled);
        assert_eq!(pace.take(start + Duration::from_millis(251), DAY_ONE), Verdict::Admitted);
        assert_eq!(pace.take(start + Duration::from_millis(252), DAY_ONE), Verdict::Throttled);
    }

    #[test]
    fn the_quota_starts_anew_with_the_day() {
        let start = Instant::now();
        let mut pace = Pace::new(f64::INFINITY, 1, 2, true, start, DAY_ONE);
        let verdicts: Vec<_> = (0..3).map(|_| pace.take(start, DAY_ONE)).collect();
        assert_eq!(verdicts, [Verdict::Admitted, Verdict::Admitted, Verdict::QuotaExceeded]);
        assert_eq!(pace.take(start, DAY_TWO), Verdict::Admitted);
    }

    #[test]
    fn a_throttled_request_counts_unless_told_otherwise() {
        let start = Instant::now();
        for (counts, last) in [(true, Verdict::QuotaExceeded), (false, Verdict::Throttled)] {
            let mut pace = Pace::new(1.0, 1, 2, counts, start, DAY_ONE);
            assert_eq!(pace.take(start, DAY_ONE), Verdict::Admitted);
            assert_eq!(pace.take(start, DAY_ONE), Verdict::Throttled);
            assert_eq!(pace.take(start, DAY_ONE), last);
        }
    }
}
