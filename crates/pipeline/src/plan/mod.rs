//! What a run will ask: every date resolved, every parameter spelt out, reports in the order in which they can run.
//! Making a plan sends nothing.

mod command_line;
pub(crate) mod fingerprint;
mod periods;
pub(crate) mod request_plan;
mod resolve;
mod shard;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use ctct_catalog::{Gap, IdSource, Meaning, Report};
use ctct_load::{PartitionBy, WriteMode};

pub use command_line::CommandLine;
pub use fingerprint::QueryFingerprint;
pub use request_plan::{Query, RequestPlan, Scope};
pub use shard::{NoShard, Shard};

use crate::document::dates::When;
use crate::document::error::ConfigErrors;
use crate::document::{Delivery, Pipeline};
use crate::run_error::RunError;
use crate::summary::ErrorSummary;

/// A pipeline resolved at one moment.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The pipeline that it was made from.
    pub pipeline: Pipeline,
    /// Label of the account; of several accounts, until [`Plan::by_account`] makes a plan for each, all of them.
    pub account: String,
    /// Where the Parquet goes, as the pipeline says.
    pub destination: String,
    /// The moment that relative dates are counted from.
    pub now: DateTime<Utc>,
    /// Reports in an order in which each comes after the one that it takes its ids from.
    pub reports: Vec<ReportPlan>,
    /// Whether a run that does not fit into what is left of the day does what fits, and the rest on the days after.
    pub over_days: bool,
    /// Whether this run may remove any share of the stored rows.
    pub allow_removal: bool,
    /// Whether the run waits for another one that holds its reports.
    pub waits: bool,
    /// How the run was started, for advice.
    pub command: CommandLine,
}

/// One report of a plan.
#[derive(Debug, Clone)]
pub struct ReportPlan {
    /// What the API offers.
    pub report: Arc<Report>,
    /// Parameters that every request carries, by their names on the wire, in the order of the catalog. Without the
    /// page size, the parameter that [`Ids`] fills, and the window's.
    pub params: Vec<(String, String)>,
    /// What the pipeline asks for, as it says it.
    pub fingerprint: QueryFingerprint,
    /// Which rows stay, where the request asks for more than the pipeline: rows that change would otherwise leave the responses
    /// without a word. Empty: all of them.
    pub keeps: Vec<Meaning>,
    /// Where responses come from, as a text: those of one source are of no use to a run that reads another.
    pub source: String,
    /// What the run is for.
    pub scope: Scope,
    /// From where the tables begin, where the pipeline says so: the lower end of the first window.
    pub since: Option<DateTime<Utc>>,
    /// The same as the pipeline says it.
    pub begins: Option<When>,
    /// Whether the report is read once, or once for each of some ids.
    pub ids: Ids,
    /// How rows meet those that are there.
    pub write_mode: WriteMode,
    /// Folders that rows are split into, from the outside in.
    pub partition_by: Vec<PartitionBy>,
    /// How rows are read again from run to run, and what is kept beside the tables.
    pub delivery: Delivery,
    /// Options and what they resolved to, for people.
    pub resolved: Vec<(String, String)>,
    /// What somebody should know before a run, though nothing is wrong.
    pub warnings: Vec<String>,
}

/// The ids that a report is read for, one crawl each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ids {
    /// None: one crawl reads all of it.
    None,
    /// These.
    List {
        /// The parameter that takes the id.
        param: String,
        /// The ids.
        ids: Vec<String>,
    },
    /// Those that a column of another report's table holds.
    From {
        /// The parameter that takes the id.
        param: String,
        /// The report and its column.
        source: IdSource,
    },
}

impl Plan {
    /// Resolves a pipeline at the moment `now`.
    ///
    /// # Errors
    /// A range that ends before it starts, now that relative dates have a day.
    pub fn new(pipeline: &Pipeline, now: DateTime<Utc>) -> Result<Self, ConfigErrors> {
        let mut reports = Vec::with_capacity(pipeline.reports.len());
        let mut errors = Vec::new();
        for config in &pipeline.reports {
            match resolve::report(config, &pipeline.source, now, pipeline.timezone) {
                Ok(mut report) => {
                    report.warnings.extend(periods::overlap(
                        config,
                        pipeline.schedule.as_ref(),
                        now,
                        pipeline.timezone,
                    ));
                    reports.push(report);
                }
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(pipeline.errors(errors));
        }
        Ok(Self {
            account: pipeline.source.accounts.label(),
            destination: pipeline.destination.url.clone(),
            pipeline: pipeline.clone(),
            now,
            reports: in_order(reports),
            over_days: false,
            allow_removal: false,
            waits: false,
            command: CommandLine::new(pipeline.file()),
        })
    }

    /// The same plan for another purpose than what changed since the last run.
    ///
    /// # Errors
    /// A backfill, and reports that the API has no filter on dates for.
    pub fn with_scope(mut self, scope: Scope) -> Result<Self, NoWindow> {
        let without: Vec<&ReportPlan> = self.reports.iter().filter(|report| !report.has_window()).collect();
        if matches!(scope, Scope::Between { .. }) && !without.is_empty() {
            let name = |report: &ReportPlan| report.report.name.clone();
            let reports = without.into_iter().map(name).collect();
            let others = self.reports.iter().filter(|report| report.has_window()).map(name).collect();
            return Err(NoWindow { reports, others });
        }
        for report in &mut self.reports {
            report.scope = scope;
        }
        Ok(self)
    }

    /// The same plan with the API's responses kept for good, for every report.
    #[must_use]
    pub fn with_raw_kept(mut self) -> Self {
        for report in &mut self.reports {
            report.delivery.keep_raw = true;
        }
        self
    }

    /// The same plan, which may take several days.
    #[must_use]
    pub fn with_over_days(self) -> Self {
        Self { over_days: true, ..self }
    }

    /// The same plan, whose run may remove any share of the stored rows.
    #[must_use]
    pub fn with_removal_allowed(self) -> Self {
        Self { allow_removal: true, ..self }
    }

    /// The same plan, whose run waits for another one that holds its reports.
    #[must_use]
    pub fn with_waiting(self) -> Self {
        Self { waits: true, ..self }
    }

    /// The same plan of a run that was started so.
    #[must_use]
    pub fn with_command(self, change: impl FnOnce(CommandLine) -> CommandLine) -> Self {
        Self { command: change(self.command), ..self }
    }

    /// What went wrong, with advice that repeats the command line in force.
    pub fn told(&self, error: &RunError) -> ErrorSummary {
        let ErrorSummary { message, advice } = error.summary(&self.command.to_string());
        ErrorSummary { message, advice: self.command.in_force(&advice) }
    }

    /// The report of this plan that must be done before `report`, since the ids come from it. A source that is not part
    /// of the plan is read from the destination.
    pub fn depends_on<'a>(&'a self, report: &ReportPlan) -> Option<&'a str> {
        let source = report.source()?;
        self.reports.iter().map(|other| other.report.name.as_str()).find(|name| *name == source)
    }
}

/// A backfill was asked for, and reports that have no filter on dates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot be read for a span of time", listed(.reports))]
pub struct NoWindow {
    /// The reports.
    pub reports: Vec<String>,
    /// Reports of the plan that have one.
    pub others: Vec<String>,
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl ReportPlan {
    /// Changes that runs of this plan do not find, and what finds them: none where everything is read, now and then or always.
    pub fn gaps(&self) -> &[Gap] {
        let finds_all = !self.is_incremental() || self.delivery.reconcile.is_some();
        if finds_all { &[] } else { &self.report.gaps }
    }

    /// The report that the ids come from.
    fn source(&self) -> Option<&str> {
        match &self.ids {
            Ids::From { source, .. } => Some(&source.report),
            Ids::None | Ids::List { .. } => None,
        }
    }
}

/// Each report after the one that it takes its ids from, otherwise in the order of the file.
fn in_order(mut waiting: Vec<ReportPlan>) -> Vec<ReportPlan> {
    let mut ordered: Vec<ReportPlan> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let waits = |report: &ReportPlan| {
            report.source().is_some_and(|source| waiting.iter().any(|other| other.report.name == source))
        };
        // Should reports ever wait for each other, the first goes ahead with what the destination holds.
        let next = waiting.iter().position(|report| !waits(report)).unwrap_or(0);
        ordered.push(waiting.remove(next));
    }
    ordered
}

#[cfg(test)]
mod tests;
