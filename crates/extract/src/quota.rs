//! The requests of a UTC day: counted here, and shut off once the API says that they are used up.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, NaiveDate, Utc};

use crate::clock::next_midnight;
use crate::{Clock, ExtractError, QuotaLimit};

/// Counts the requests of the day. Once the API has refused one for its quota, every later one is refused here.
#[derive(Debug)]
pub(crate) struct Quota {
    daily_requests: u64,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    day: NaiveDate,
    sent: u64,
    used_up: Option<UsedUp>,
}

#[derive(Debug, Clone)]
struct UsedUp {
    resets_at: DateTime<Utc>,
    limit: QuotaLimit,
}

impl Quota {
    pub(crate) fn new(daily_requests: u64, clock: Clock) -> Self {
        let state = State { day: clock.now().date_naive(), sent: 0, used_up: None };
        Self { daily_requests, clock, state: Mutex::new(state) }
    }

    /// Whether a request may be sent.
    pub(crate) fn check(&self) -> Result<(), ExtractError> {
        self.admit().map(drop)
    }

    /// Counts a request that is about to be sent.
    pub(crate) fn take(&self) -> Result<(), ExtractError> {
        self.admit()?.sent += 1;
        Ok(())
    }

    /// Refuses every request from now on: the API said `quota_exceeded` at `at`. Gives the error that they all get.
    pub(crate) fn shut(&self, at: DateTime<Utc>, request_id: Option<String>) -> ExtractError {
        let used_up = UsedUp { resets_at: next_midnight(at), limit: QuotaLimit::Api { request_id } };
        self.lock().used_up.get_or_insert(used_up).error()
    }

    fn admit(&self) -> Result<MutexGuard<'_, State>, ExtractError> {
        let now = self.clock.now();
        let mut state = self.lock();
        if let Some(used_up) = &state.used_up {
            return Err(used_up.error());
        }
        if state.day != now.date_naive() {
            state.day = now.date_naive();
            state.sent = 0;
        }
        if state.sent >= self.daily_requests {
            let limit = QuotaLimit::Configured { daily_requests: self.daily_requests };
            return Err(ExtractError::Quota { resets_at: next_midnight(now), limit });
        }
        Ok(state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held, and a count is never half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UsedUp {
    fn error(&self) -> ExtractError {
        ExtractError::Quota { resets_at: self.resets_at, limit: self.limit.clone() }
    }
}
