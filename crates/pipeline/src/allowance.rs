//! What is left of a day's requests, as plain numbers.

use chrono::{DateTime, NaiveTime, Utc};
use ctct_extract::Today;
use serde::Serialize;

/// Requests of a key that are left today (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Allowance {
    /// Requests per day that the pipeline may use.
    pub daily: u64,
    /// Requests that were sent today, by all that share the key and its ledger.
    pub spent: u64,
    /// Requests that are left today.
    pub left: u64,
    /// When the next day's requests begin.
    pub resets_at: DateTime<Utc>,
}

impl Allowance {
    /// What is left at `now` of so many requests per day.
    pub fn new(daily: u64, today: Today, now: DateTime<Utc>) -> Self {
        let shut_until = today.shut_until.filter(|until| *until > now);
        let midnight =
            now.date_naive().succ_opt().map_or(DateTime::<Utc>::MAX_UTC, |day| day.and_time(NaiveTime::MIN).and_utc());
        let left = if shut_until.is_some() { 0 } else { daily.saturating_sub(today.spent) };
        Self { daily, spent: today.spent, left, resets_at: shut_until.unwrap_or(midnight) }
    }

    /// Days, today among them, that so many requests take.
    pub fn days(&self, requests: u64) -> u64 {
        1 + requests.saturating_sub(self.left).div_ceil(self.daily.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_left_ends_with_the_day_or_when_the_api_says_so() {
        let now = at("2026-02-10T12:30:00Z");
        let today = Today { day: now.date_naive(), spent: 9_990, shut_until: None };
        let allowance = Allowance::new(10_000, today, now);
        assert_eq!((allowance.left, allowance.resets_at), (10, at("2026-02-11T00:00:00Z")));
        let over = Allowance::new(5_000, today, now);
        assert_eq!(over.left, 0, "another pipeline may use more of the day");
        let until = at("2026-02-11T00:00:07Z");
        let shut = Allowance::new(10_000, Today { shut_until: Some(until), ..today }, now);
        assert_eq!((shut.left, shut.resets_at), (0, until));
        let past = Allowance::new(10_000, Today { shut_until: Some(at("2026-02-10T00:00:00Z")), ..today }, now);
        assert_eq!(past, allowance);
    }

    #[test]
    fn days_are_counted_from_today() {
        let now = at("2026-02-10T12:30:00Z");
        let allowance = Allowance::new(100, Today { day: now.date_naive(), spent: 90, shut_until: None }, now);
        let days = [0, 10, 11, 110, 111, 1_010].map(|requests| allowance.days(requests));
        assert_eq!(days, [1, 1, 2, 2, 3, 11]);
    }
}
