//! Rebuilds the commit logs of a pipeline's reports from the footers of their files. Asks the API nothing.

use chrono::{DateTime, Utc};
use ctct_load::{Commit, Loss, Rebuild, Rebuilt, TableRebuilt};
use serde::Serialize;

use super::{Unopened, failed, open};
use crate::after_run::runs_table;
use crate::context::Context;
use crate::outcome::Outcome;
use crate::plan::{Plan, ReportPlan};
use crate::run::lease;
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
    /// One entry a report, in the order of the plan.
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

/// Rebuilds the logs of a plan's reports, one after the other.
pub async fn rebuild(plan: &Plan, context: &Context, dry_run: bool) -> RebuildSummary {
    let mut summary = RebuildSummary {
        pipeline: plan.pipeline.name.clone(),
        account: plan.account.clone(),
        destination: plan.destination.clone(),
        run_id: context.run_id.clone(),
        dry_run,
        outcome: Outcome::Done,
        exit_code: 0,
        reports: Vec::new(),
        moved: Vec::new(),
        error: None,
    };
    match open(plan, context) {
        Ok(destination) => {
            destination.url().clone_into(&mut summary.destination);
            let holding = match if dry_run { Ok(None) } else { lease::of_plan(plan, context, &destination).await } {
                Ok(holding) => holding,
                Err(error) => {
                    (summary.outcome, summary.error) = (error.outcome(), Some(plan.told(&error)));
                    summary.exit_code = summary.outcome.policy().exit_code;
                    return summary;
                }
            };
            for report in &plan.reports {
                let name = report.report.name.as_str();
                let wanted = Rebuild {
                    pipeline: &plan.pipeline.name,
                    account: &plan.account,
                    report: &report.report,
                    run_id: &context.run_id,
                    at: context.clock.now(),
                    dry_run,
                };
                let rebuilt = match ctct_load::rebuild(&destination, &wanted).await {
                    Ok(rebuilt) => report_rebuild(plan, report, rebuilt),
                    Err(error) => {
                        let (outcome, error) = failed(plan, name, error);
                        ReportRebuild { outcome, error: Some(error), ..ReportRebuild::default() }
                    }
                };
                summary.reports.push(ReportRebuild { report: name.to_owned(), ..rebuilt });
            }
            let moved = if dry_run { Ok(Vec::new()) } else { runs_table::set_aside(&destination, &plan.account).await };
            if let Some(holding) = holding {
                holding.release().await;
            }
            summary.outcome = Outcome::of_parts(&summary.reports.iter().map(|r| r.outcome).collect::<Vec<_>>());
            match moved {
                Ok(moved) => summary.moved = moved,
                Err(error) => {
                    let error = RunError::Destination(Box::new(error));
                    (summary.outcome, summary.error) = (error.outcome(), Some(plan.told(&error)));
                }
            }
        }
        Err(Unopened { outcome, error }) => {
            summary.outcome = outcome;
            summary.error = Some(error);
        }
    }
    summary.exit_code = summary.outcome.policy().exit_code;
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
                message: format!("{name}: files stand in its tables that are none of its own; nothing was changed"),
                advice: "restore them from a backup or move them out of the table's folder, then rebuild again"
                    .to_owned(),
            }),
            refused: losses(files),
            ..default
        },
        Rebuilt::Done { record, tables, moved, lost, damaged } => {
            let Commit { version, state, .. } = *record;
            let error = (!lost.is_empty()).then(|| ErrorSummary {
                message: format!("{name}: rows are lost; the next run reads again from before them"),
                advice: format!(
                    "`ctct-etl run {} --report {name} --full-refresh` brings back all that the API still has",
                    plan.pipeline.file()
                ),
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
