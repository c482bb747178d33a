//! The wall clock, passed in so that a run can be repeated to the microsecond.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, NaiveTime, Utc};

/// Tells the time of day. Waiting goes by tokio's clock, never by this one.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// The clock of this machine.
    pub fn system() -> Self {
        Self::from_fn(Utc::now)
    }

    /// A clock that stands still.
    pub fn fixed(at: DateTime<Utc>) -> Self {
        Self::from_fn(move || at)
    }

    /// A clock that asks `now` each time.
    pub fn from_fn(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

/// The first midnight UTC after `at`: when the API forgets the day's requests (vendor's guide, "Rate limits").
pub(crate) fn next_midnight(at: DateTime<Utc>) -> DateTime<Utc> {
    at.date_naive().succ_opt().map_or(DateTime::<Utc>::MAX_UTC, |day| day.and_time(NaiveTime::MIN).and_utc())
}
