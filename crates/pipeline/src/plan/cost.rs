//! What a plan costs before the first request is sent. Requests are the scarce thing: one API key has a few a second
//! and some thousands a day.

use super::{Ids, Plan, ReportPlan};

/// The least that a plan costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// Requests.
    pub requests: u64,
    /// Seconds that sending them takes at the pipeline's pace.
    pub seconds: f64,
    /// Share of the day's requests, 1 for all of them.
    pub share_of_day: f64,
    /// Reports that take one request or more for each id of another report, where their number is not known.
    pub open: Vec<String>,
}

impl ReportPlan {
    /// Requests that the report takes at least. `rows` is how many rows it has, or for a report that is read by id how
    /// many ids there are, where that is known.
    pub fn requests(&self, rows: Option<u64>) -> u64 {
        match &self.ids {
            Ids::None => {
                let page = self.report.page_rows().map_or(u64::MAX, u64::from).max(1);
                rows.unwrap_or(0).div_ceil(page).max(1) + u64::from(self.asks_twice())
            }
            Ids::List { ids, .. } => ids.len() as u64,
            Ids::From { .. } => rows.unwrap_or(0),
        }
    }
}

impl Plan {
    /// What the plan costs at least. `rows` tells how many rows a report has, where that is known from an earlier run.
    pub fn cost(&self, rows: impl Fn(&str) -> Option<u64>) -> Cost {
        let known = |report: &ReportPlan| match &report.ids {
            Ids::From { source, .. } => rows(&source.report),
            Ids::None | Ids::List { .. } => rows(&report.report.name),
        };
        let requests: u64 = self.reports.iter().map(|report| report.requests(known(report))).sum();
        let is_open = |report: &&ReportPlan| matches!(report.ids, Ids::From { .. }) && known(report).is_none();
        let pace = self.pipeline.pace();
        #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
        let count = requests as f64;
        Cost {
            requests,
            seconds: count / pace.requests_per_second,
            share_of_day: count / f64::from(pace.daily_requests),
            open: self.reports.iter().filter(is_open).map(|report| report.report.name.clone()).collect(),
        }
    }
}
