//! Rebuilds the commit logs of a pipeline's reports from the footers of their files. Sends no API requests.

use chrono::{DateTime, Utc};
use ctct_load::{Commit, Destination, Loss, Rebuilt, TableRebuilt};
use serde::Serialize;

use super::{OverReports, Part, failed, over_reports};
use crate::after_run::runs_table;
use crate::context::Context;
use crate::outcome::Outcome;
use crate::plan::{Plan, ReportPlan};
use crate::policy::{ADVICE_ON_REFUSED, advice_on_lost_rows};
use crate::run::lease;
use crate::run::rebuilt::rebuild_log;
use crate::run_error::RunError;
use crate::summary::{ErrorSummary, TableSummary};

/// What a rebuild of a pipeline's reports came to.
#[derive(Debug, Clone, Serialize)]
pub struct RebuildSummary {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Account label.
    pub account: String,
    /// Where the tables are.
    pub destination: String,
    /// The run that the new records name.
    pub run_id: String,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Exit code of the process.
    pub exit_code: u8,
    /// One entry per report, in the order of the plan.
    pub reports: Vec<ReportRebuild>,
    /// Where damaged files of the table of runs were moved to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<String>,
    /// Why nothing could be rebuilt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorSummary>,
}

/// What became of one report's log.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ReportRebuild {
    /// The report.
    pub report: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was done, or would be.
    pub result: RebuildResult,
    /// Version of the newest record.
    pub version: Option<i64>,
    /// From where the next run asks, with a new record.
    pub watermark: Option<DateTime<Utc>>,
    /// What the new record names.
    pub tables: Vec<TableSummary>,
    /// Where damaged records and files were moved to, and what is left of records that are lost in part.
    pub moved: Vec<String>,
    /// Files that are lost: what was in them must be read again.
    pub lost: Vec<LossSummary>,
    /// What else was damaged, and is made again or done without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<LossSummary>,
    /// Files that are in the way: the user must take them out of the table's folder.
    pub refused: Vec<LossSummary>,
    /// What went wrong, or what is left to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorSummary>,
}

/// What became of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RebuildResult {
    /// Something went wrong.
    #[default]
    Failed,
    /// There is nothing to rebuild from.
    Nothing,
    /// Log and tables go together: there was nothing to do.
    Sound,
    /// Files are in the way.
    Refused,
    /// There is a new record.
    Rebuilt,
}

/// A file and what is wrong with it.
#[derive(Debug, Clone, Serialize)]
pub struct LossSummary {
    /// The file.
    pub path: String,
    /// What is wrong.
    pub reason: String,
}

impl Part for ReportRebuild {
    fn outcome(&self) -> Outcome {
        self.outcome
    }
}

/// Rebuilds the logs of a plan's reports, one after the other; with `dry_run`, only tells what that comes to.
pub async fn rebuild(plan: &Plan, context: &Context, dry_run: bool) -> RebuildSummary {
    let mut aside = Ok(Vec::new());
    let work = async |destination: &Destination| {
        let holding = if dry_run { None } else { lease::of_plan(plan, context, destination).await? };
        let mut reports = Vec::with_capacity(plan.reports.len());
        for report in &plan.reports {
            let name = report.report.name.as_str();
            let rebuilt = match rebuild_log(plan, report, context, destination, dry_run).await {
                Ok(rebuilt) => report_rebuild(plan, report, rebuilt),
                Err(error) => {
                    let (outcome, error) = failed(plan, name, error);
                    ReportRebuild { outcome, error: Some(error), ..ReportRebuild::default() }
                }
            };
            reports.push(ReportRebuild { report: name.to_owned(), ..rebuilt });
        }
        if !dry_run {
            aside = runs_table::set_aside(destination, &plan.account).await;
        }
        if let Some(holding) = holding {
            holding.release().await;
        }
        Ok(reports)
    };
    let OverReports { pipeline, account, destination, outcome, exit_code, reports, error } =
        over_reports(plan, context, work).await;
    let run_id = context.run_id.clone();
    let mut summary = RebuildSummary {
        pipeline,
        account,
        destination,
        run_id,
        dry_run,
        outcome,
        exit_code,
        reports,
        moved: Vec::new(),
        error,
    };
    match aside {
        Ok(moved) => summary.moved = moved,
        Err(error) => {
            let error = RunError::Destination(Box::new(error));
            (summary.outcome, summary.error) = (error.outcome(), Some(plan.told(&error)));
            summary.exit_code = summary.outcome.policy().exit_code;
        }
    }
    summary
}

fn report_rebuild(plan: &Plan, report: &ReportPlan, rebuilt: Rebuilt) -> ReportRebuild {
    let report = &report.report;
    let name = &report.name;
    let losses =
        |losses: Vec<Loss>| losses.into_iter().map(|Loss { path, reason }| LossSummary { path, reason }).collect();
    let default = ReportRebuild::default();
    match rebuilt {
        Rebuilt::Nothing => ReportRebuild { result: RebuildResult::Nothing, ..default },
        Rebuilt::Sound { version, moved } => {
            ReportRebuild { result: RebuildResult::Sound, version: Some(version), moved, ..default }
        }
        Rebuilt::Refused(files) => ReportRebuild {
            result: RebuildResult::Refused,
            outcome: Outcome::Damaged,
            error: Some(ErrorSummary {
                message: format!("{name}: its tables hold files that no run of it wrote; nothing was changed"),
                advice: ADVICE_ON_REFUSED.to_owned(),
            }),
            refused: losses(files),
            ..default
        },
        Rebuilt::Done { record, tables, moved, lost, damaged } => {
            let Commit { version, state, .. } = *record;
            let error = (!lost.is_empty()).then(|| ErrorSummary {
                message: format!("{name}: rows are lost; the next run reads them again"),
                advice: advice_on_lost_rows(plan.pipeline.file(), name),
            });
            let order = |table: &TableSummary| report.tables().iter().position(|known| known.name == table.table);
            let table =
                |(table, TableRebuilt { files, rows, bytes })| TableSummary { table, rows, files, bytes, merged: None };
            let mut tables: Vec<TableSummary> = tables.into_iter().map(table).collect();
            tables.sort_by_key(|table| order(table).unwrap_or(usize::MAX));
            ReportRebuild {
                result: RebuildResult::Rebuilt,
                version: Some(version),
                watermark: state.watermark,
                tables,
                moved,
                lost: losses(lost),
                damaged: losses(damaged),
                error,
                ..default
            }
        }
    }
}
