//! Whether a run fits into what is left of the day. A key's requests are few, and a run that is known not to fit is better
//! refused before it spends them.

use chrono::{DateTime, NaiveTime, Utc};
use ctct_extract::Today;
use ctct_load::Destination;
use serde::Serialize;

use crate::identity;
use crate::plan::{Ids, Plan, Standing};
use crate::run::{Context, RunError, client};

/// Requests of a key that are left today (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Allowance {
    /// Requests a day that the pipeline may use.
    pub daily: u64,
    /// Requests that were sent today, by all that share the key and its ledger.
    pub spent: u64,
    /// Requests that are left today.
    pub left: u64,
    /// When the next day's requests begin.
    pub resets_at: DateTime<Utc>,
}

impl Allowance {
    /// What is left at `now` of so many requests a day.
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

    /// What is left today for a plan.
    pub(crate) async fn of(plan: &Plan, context: &Context) -> Result<Self, RunError> {
        let now = context.clock.now();
        let today = match client::ledger(plan, context).await? {
            Some(ledger) => ledger.today(now).await?,
            None => Today { day: now.date_naive(), spent: 0, shut_until: None },
        };
        let pace = plan.pipeline.pace();
        Ok(Self::new(u64::from(pace.daily_requests - pace.reserve), today, now))
    }
}

/// Refuses a plan that certainly takes more requests than are left today. Where it is not known how many it takes, it runs.
///
/// # Errors
/// [`RunError::DoesNotFit`], and the ledger's.
pub(crate) async fn check(plan: &Plan, context: &Context, destination: &Destination) -> Result<(), RunError> {
    if plan.over_days {
        return Ok(());
    }
    let allowance = Allowance::of(plan, context).await?;
    if at_least_at_most(plan).is_some_and(|bound| bound <= allowance.left) {
        return Ok(());
    }
    let needed = least(plan, context, destination).await;
    if needed <= allowance.left { Ok(()) } else { Err(RunError::DoesNotFit { needed, allowance }) }
}

/// The least number of requests that the plan takes. What cannot be read counts nothing: the run itself says why.
pub(crate) async fn least(plan: &Plan, context: &Context, destination: &Destination) -> u64 {
    let now = context.clock.now();
    let source = identity::foresee(plan, context, Some(destination)).await.reader.source;
    let mut least = 0;
    for report in &plan.reports {
        if let Ok(standing) = Standing::read(plan, report, destination, &source, now).await {
            least += standing.requests(report, None, now).least;
        }
    }
    least
}

/// A number that [`least`] does not exceed, where one is known without looking at the destination: most runs need no more.
fn at_least_at_most(plan: &Plan) -> Option<u64> {
    let bound = |ids: &Ids| match ids {
        // A first page of each query.
        Ids::None => Some(2),
        Ids::List { ids, .. } => Some(ids.len() as u64),
        Ids::From { .. } => None,
    };
    plan.reports.iter().map(|report| bound(&report.ids)).sum()
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
