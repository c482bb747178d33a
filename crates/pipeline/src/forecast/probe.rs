//! Has the API count rows where it can: one request per report, for one row.

use std::collections::BTreeMap;
use std::sync::Arc;

use ctct_extract::Request;

use super::stored_state::StoredState;
use crate::context::Context;
use crate::plan::{Ids, Plan, ReportPlan};
use crate::run_error::RunError;
use crate::source;

/// What the API counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Rows that match the first query of a report, by the report's name.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Requests that it took.
    pub(crate) requests: u64,
}

/// Counts the rows of every report of a plan that the API can count. `standings` are those of the plan's reports.
pub(crate) async fn counts(plan: &Plan, states: &[StoredState], context: &Context) -> Result<Counts, RunError> {
    let mut counts = Counts::default();
    let asked = plan.reports.iter().zip(states);
    let requests: Vec<_> = asked.filter_map(|(report, state)| counting(report, state)).collect();
    if requests.is_empty() {
        return Ok(counts);
    }
    let source = source::open(plan, context).await?;
    let mut counted = Ok(());
    for request in requests {
        let name = request.report.name.clone();
        match source.client.crawl(request).next().await {
            Ok(page) => counts.rows.extend(page.and_then(|page| page.count).map(|count| (name, count))),
            Err(error) => {
                counted = Err(error.into());
                break;
            }
        }
    }
    counts.requests = source.client.meter().requests;
    source.close().await?;
    counted.map(|()| counts)
}

/// The request that makes the API count what the first query matches.
fn counting(plan: &ReportPlan, state: &StoredState) -> Option<Request> {
    let report = &plan.report;
    let count = report.count.as_ref().filter(|_| matches!(plan.ids, Ids::None) && !plan.has_param_alone())?;
    let limit = report.paging.as_ref().and_then(|paging| paging.limit.as_ref());
    let query = state.request.queries.first()?;
    let mut params: Vec<(String, String)> =
        query.params.iter().filter(|(name, _)| *name != count.param).cloned().collect();
    params.push((count.param.clone(), "true".to_owned()));
    params.extend(limit.map(|limit| (limit.param.clone(), "1".to_owned())));
    Some(Request { report: Arc::clone(report), params })
}
