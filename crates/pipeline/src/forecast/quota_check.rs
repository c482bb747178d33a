//! Whether a run fits into what is left of the day. A key's requests are few, and a run that is known not to fit is better
//! refused before it spends them.

use ctct_extract::Today;
use ctct_load::Destination;

use super::stored_state::StoredState;
use crate::allowance::Allowance;
use crate::context::Context;
use crate::plan::{Ids, Plan};
use crate::run_error::RunError;
use crate::source::{self, identity};

/// What is left today for a plan.
///
/// # Errors
/// The sign-in or the ledger cannot be read.
pub(crate) async fn allowance(plan: &Plan, context: &Context) -> Result<Allowance, RunError> {
    let now = context.clock.now();
    let today = match source::ledger(plan, context).await? {
        Some(ledger) => ledger.today(now).await?,
        None => Today { day: now.date_naive(), spent: 0, shut_until: None },
    };
    let pace = plan.pipeline.pace();
    Ok(Allowance::new(u64::from(pace.daily_requests - pace.reserve), today, now))
}

/// Refuses a plan that certainly takes more requests than are left today. Where it is not known how many it takes, it runs.
///
/// # Errors
/// [`RunError::DoesNotFit`], and the ledger's.
pub(crate) async fn check(plan: &Plan, context: &Context, destination: &Destination) -> Result<(), RunError> {
    if plan.over_days {
        return Ok(());
    }
    let allowance = allowance(plan, context).await?;
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
        if let Ok(state) = StoredState::read(plan, report, destination, &source, now).await {
            least += state.requests(report, None, now).least;
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
