//! What is stored of each report: watermark, commits, tables, staging, damage. Reads only, and sends no API requests.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ctct_load::{Commit, Destination, FileGroup, LoadError, ReportLog, Survey, WriteMode, leases, survey};
use serde::Serialize;

use super::adopt::shown;
use super::unfinished::{failed_ids, holder_of};
use super::{FailedIdsSummary, HolderSummary, OverReports, Part, failed, is_zero, over_reports};
use crate::context::Context;
use crate::outcome::Outcome;
use crate::plan::{Plan, ReportPlan};
use crate::summary::{ErrorSummary, TableSummary};

/// Commits of the history that are shown.
const HISTORY: usize = 10;

/// The state of all reports of a pipeline; `damaged` where that of a report is.
pub type StateSummary = OverReports<StoredReport>;

/// The state of one report.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StoredReport {
    /// The report.
    pub report: String,
    /// `done`, or what `error` means.
    pub outcome: Outcome,
    /// From where the next run asks.
    pub watermark: Option<DateTime<Utc>>,
    /// Where the history of the tables begins; absent where everything was read.
    pub since: Option<DateTime<Utc>>,
    /// Whether a run ended in order before all ids were read, so that the next one continues there.
    pub in_progress: bool,
    /// Reads of everything, one after the other, that brought less than the API counts; the next run reads all again.
    #[serde(skip_serializing_if = "is_zero")]
    pub incomplete: u32,
    /// Since when records come that cannot be used and that runs ask for again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected_since: Option<DateTime<Utc>>,
    /// When a read of everything last showed what had been deleted.
    pub reconciled_at: Option<DateTime<Utc>>,
    /// Whose rows they are by the newest commit: the organization and the account's id, as people are shown them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How the stored tables are written.
    pub write_mode: Option<WriteMode>,
    /// Whether versions that were replaced stay in them.
    pub history: bool,
    /// How they are partitioned.
    pub partition_by: Vec<String>,
    /// The newest commits, the newest first.
    pub commits: Vec<CommitSummary>,
    /// Commit records that are kept.
    pub records: u64,
    /// What each table holds.
    pub tables: Vec<TableSummary>,
    /// Runs that have files in staging.
    pub staging: Vec<StagedSummary>,
    /// Files of the newest commit that wait to be published, which the next run does.
    pub unpublished: u64,
    /// Ids that could not be read and are requested again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_ids: Option<FailedIdsSummary>,
    /// The run or command that is at work on it at this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<HolderSummary>,
    /// Pages that are kept to continue from, or to replay.
    pub pages: FileGroupSummary,
    /// Files with records that could not be typed.
    pub dead_letters: FileGroupSummary,
    /// Why the next run would not begin, or why there was nothing to see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorSummary>,
}

/// One commit.
#[derive(Debug, Clone, Serialize)]
pub struct CommitSummary {
    /// Its version.
    pub version: i64,
    /// When.
    pub committed_at: DateTime<Utc>,
    /// The run.
    pub run_id: String,
    /// Name of its pipeline.
    pub pipeline: String,
    /// How its rows related to those that were stored.
    pub write_mode: WriteMode,
    /// Whether it was made from the files' footers by `state rebuild`.
    pub rebuilt: bool,
    /// Lower end of the span that it asked for; absent means open.
    pub after: Option<DateTime<Utc>>,
    /// Upper end of it; absent means open.
    pub before: Option<DateTime<Utc>>,
    /// Watermark that it left.
    pub watermark: Option<DateTime<Utc>>,
    /// Rows that it wrote, over all tables.
    pub rows: u64,
    /// Files that it wrote.
    pub files: u64,
    /// Files that it took away.
    pub removed: u64,
    /// Records of it that could not be typed.
    pub dead_letters: u64,
    /// Counts of the run.
    pub stats: BTreeMap<String, u64>,
}

/// A run with files in staging.
#[derive(Debug, Clone, Serialize)]
pub struct StagedSummary {
    /// The run.
    pub run_id: String,
    /// The version that it started from.
    pub base: i64,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
    /// Whether it can no longer commit; the next run clears it away.
    pub dead: bool,
}

/// Some files.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct FileGroupSummary {
    /// How many.
    pub files: u64,
    /// Bytes of them all.
    pub bytes: u64,
}

impl From<FileGroup> for FileGroupSummary {
    fn from(FileGroup { files, bytes }: FileGroup) -> Self {
        Self { files, bytes }
    }
}

impl Part for StoredReport {
    fn outcome(&self) -> Outcome {
        self.outcome
    }
}

/// Looks at the stored state of a plan's reports.
pub async fn state(plan: &Plan, context: &Context) -> StateSummary {
    let look = async |destination: &Destination| {
        let mut reports = Vec::with_capacity(plan.reports.len());
        for report in &plan.reports {
            let name = report.report.name.as_str();
            reports.push(match report_state(plan, report, destination, context.clock.now()).await {
                Ok(state) => state,
                Err(error) => {
                    let (outcome, error) = failed(plan, name, error);
                    StoredReport { report: name.to_owned(), outcome, error: Some(error), ..StoredReport::default() }
                }
            });
        }
        Ok(reports)
    };
    over_reports(plan, context, look).await
}

async fn report_state(
    plan: &Plan,
    report: &ReportPlan,
    destination: &Destination,
    now: DateTime<Utc>,
) -> Result<StoredReport, LoadError> {
    let name = report.report.name.as_str();
    let survey = survey(destination, &plan.account, &report.report, HISTORY).await?;
    let log = ReportLog::new(destination, &plan.account, name)?;
    let failed_ids = failed_ids(&log, survey.head.as_ref()).await?;
    let held_by = holder_of(name, &leases(destination, &plan.account, now).await?);
    Ok(StoredReport { failed_ids, held_by, ..of_survey(plan, name, survey) })
}

fn of_survey(plan: &Plan, name: &str, survey: Survey) -> StoredReport {
    let Survey { head, history, records, tables, staged, unpublished, pages, dead_letters, damage } = survey;
    let (outcome, error) = match damage {
        Some(damage) => {
            let (outcome, error) = failed(plan, name, damage);
            (outcome, Some(error))
        }
        None => (Outcome::Done, None),
    };
    let mut state = StoredReport {
        report: name.to_owned(),
        outcome,
        commits: history.iter().map(commit_summary).collect(),
        records: records as u64,
        tables: tables
            .into_iter()
            .map(|size| TableSummary {
                table: size.table,
                rows: size.rows,
                files: size.files,
                bytes: size.bytes,
                merged: None,
            })
            .collect(),
        staging: staged
            .into_iter()
            .map(|run| StagedSummary {
                run_id: run.run,
                base: run.base,
                files: run.group.files,
                bytes: run.group.bytes,
                dead: run.dead,
            })
            .collect(),
        unpublished: unpublished as u64,
        pages: pages.into(),
        dead_letters: dead_letters.into(),
        error,
        ..StoredReport::default()
    };
    if let Some(head) = head {
        state.owner = head.identity.account.is_some().then(|| shown(&head.identity));
        state.watermark = head.state.watermark;
        state.since = head.state.since;
        state.in_progress = head.state.progress.is_some();
        state.incomplete = head.state.incomplete;
        state.rejected_since = head.state.rejected.map(|rejected| rejected.first_at);
        state.reconciled_at = head.state.reconciled_at;
        state.write_mode = Some(head.write_mode);
        state.history = head.history;
        state.partition_by = head.partition_by;
    }
    state
}

fn commit_summary(commit: &Commit) -> CommitSummary {
    CommitSummary {
        version: commit.version,
        committed_at: commit.committed_at,
        run_id: commit.run_id.clone(),
        pipeline: commit.pipeline.clone(),
        write_mode: commit.write_mode,
        rebuilt: commit.rebuilt,
        after: commit.window.after,
        before: commit.window.before,
        watermark: commit.state.watermark,
        rows: commit.files.iter().map(|file| file.rows).sum(),
        files: commit.files.len() as u64,
        removed: commit.removed.len() as u64,
        dead_letters: commit.dead_letters.as_ref().map_or(0, |letters| letters.records),
        stats: commit.stats.clone(),
    }
}
