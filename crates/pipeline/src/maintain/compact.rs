//! Joins the small files of a pipeline's reports, each report in a commit of its own. Sends no API requests.

use ctct_load::{Compaction, Destination, LoadError, TableCompaction, WriteMode};

use crate::context::Context;
use crate::outcome::Outcome;
use crate::plan::{Plan, ReportPlan};
use crate::run::lease;
use crate::run_error::RunError;
use crate::summary::ErrorSummary;

/// What compacting the reports of a pipeline came to.
#[derive(Debug, Clone)]
pub struct CompactSummary {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Where the tables are.
    pub destination: String,
    /// Whether nothing was to be changed.
    pub dry_run: bool,
    /// One entry per report, in the order of the plan.
    pub reports: Vec<CompactedReport>,
}

/// What compacting one report came to.
#[derive(Debug, Clone)]
pub struct CompactedReport {
    /// The report.
    pub report: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How its tables are written; absent where nothing is stored.
    pub write_mode: Option<WriteMode>,
    /// Version of the commit; absent where there was nothing to join, or nothing was to be changed.
    pub commit: Option<i64>,
    /// Tables in which small files are joined.
    pub tables: Vec<TableCompaction>,
    /// What went wrong.
    pub error: Option<ErrorSummary>,
}

impl CompactSummary {
    /// The outcome of all of them.
    pub fn outcome(&self) -> Outcome {
        Outcome::of_parts(&self.reports.iter().map(|report| report.outcome).collect::<Vec<_>>())
    }
}

/// Joins the small files of every report of the plan; with `dry_run`, only says which. One report's failure is its own.
///
/// # Errors
/// The destination cannot be used.
pub async fn compact(plan: &Plan, context: &Context, dry_run: bool) -> Result<CompactSummary, RunError> {
    let unusable = |error: LoadError| RunError::Destination(Box::new(error));
    let destination = context.open_destination(&plan.pipeline)?;
    if !dry_run {
        destination.probe().await.map_err(unusable)?;
    }
    let holding = if dry_run { None } else { lease::of_plan(plan, context, &destination).await? };
    let mut reports = Vec::with_capacity(plan.reports.len());
    for report_plan in &plan.reports {
        if context.stop.is_cancelled() {
            break;
        }
        reports.push(compact_report(plan, report_plan, context, &destination, dry_run).await);
    }
    if let Some(holding) = holding {
        holding.release().await;
    }
    let (pipeline, destination) = (plan.pipeline.name.clone(), destination.url().to_owned());
    Ok(CompactSummary { pipeline, destination, dry_run, reports })
}

async fn compact_report(
    plan: &Plan,
    report_plan: &ReportPlan,
    context: &Context,
    destination: &Destination,
    dry_run: bool,
) -> CompactedReport {
    let report = &report_plan.report;
    let mut compacted = CompactedReport {
        report: report.name.clone(),
        outcome: Outcome::Done,
        write_mode: None,
        commit: None,
        tables: Vec::new(),
        error: None,
    };
    let attempt = async {
        let compaction = Compaction::plan(destination, &plan.account, report, &destination.file_options()).await?;
        let Some(compaction) = compaction else { return Ok(()) };
        compacted.write_mode = Some(compaction.write_mode());
        compacted.tables = compaction.tables();
        if !dry_run && !compacted.tables.is_empty() {
            let done = Box::pin(compaction.carry_out(&context.run_id, context.clock.now())).await?;
            compacted.commit = Some(done.version);
            compacted.tables = done.tables;
        }
        Ok::<(), LoadError>(())
    };
    if let Err(source) = attempt.await {
        let error = RunError::Load { report: report.name.clone(), source: Box::new(source) };
        compacted.outcome = error.outcome();
        compacted.error = Some(plan.told(&error));
    }
    compacted
}
