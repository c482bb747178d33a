//! What a run did, in the form that machines read (`--output json`) and the CLI renders for people.
//!
//! Field names are part of the tool's contract: fields are added, never renamed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ctct_extract::{Clock, Usage};
use ctct_load::{Committed, Window};
use serde::Serialize;

use crate::outcome::Outcome;

/// One run of one pipeline.
#[derive(Debug, Clone, Serialize)]
pub struct RunSummary {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Account label.
    pub account: String,
    /// The run; every file and commit record of it carries the same.
    pub run_id: String,
    /// Where the tables are.
    pub destination: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Exit code of the process where this is its only pipeline.
    pub exit_code: u8,
    /// Whether it ended early because somebody asked for it.
    pub stopped: bool,
    /// Whether its deadline was what asked.
    pub deadline: bool,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What was asked of the API.
    pub api: ApiSummary,
    /// What somebody should know though nothing failed. Holds no cell value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// One entry per report, in the order of the plan.
    pub reports: Vec<ReportSummary>,
    /// What went wrong before any report began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorSummary>,
}

impl RunSummary {
    /// Rows over all tables.
    pub fn rows(&self) -> u64 {
        self.reports.iter().flat_map(|report| &report.tables).map(|table| table.rows).sum()
    }
}

/// What was asked of the API.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ApiSummary {
    /// Requests sent, the refused ones included: each may count against the day's quota.
    pub requests: u64,
    /// Requests that were retried.
    pub retries: u64,
    /// Answers that said `throttled`.
    pub throttled: u64,
    /// Bytes of the bodies, decompressed.
    pub bytes: u64,
    /// Seconds that requests waited for the pace, added up.
    pub paced_seconds: f64,
    /// Seconds that requests waited before being retried, added up.
    pub backed_off_seconds: f64,
}

/// One report of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ReportSummary {
    /// The report.
    pub report: String,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Version of its commit; absent where nothing was committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<i64>,
    /// The span of time that was asked for.
    pub window: Window,
    /// Pages read, those that an earlier run had fetched included.
    pub pages: u64,
    /// Pages among them that an earlier run had fetched and kept.
    pub resumed_pages: u64,
    /// Rows of the parent table that were read.
    pub rows: u64,
    /// Records among them that an earlier run had written just so, and that were not written again.
    pub seen_before: u64,
    /// Where everything was read to find what was deleted: whether the read was proven complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconciled: Option<bool>,
    /// Ids that the API does not know (404), of those that were asked one by one.
    pub ids_not_found: u64,
    /// Ids that could not be read: the next run asks for them again, after the others.
    #[serde(skip_serializing_if = "is_zero")]
    pub ids_failed: u64,
    /// When the first of them failed first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids_failed_since: Option<DateTime<Utc>>,
    /// Where they are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_ids_file: Option<String>,
    /// Records that could not be typed.
    pub dead_letters: u64,
    /// Records of earlier dead letters that fit now and were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed: Option<u64>,
    /// Rows that came and are not among those that the pipeline keeps, since the request is for all: `contact_status` in a
    /// merge. Where such a row was stored, it has left the tables.
    pub outside: u64,
    /// Fields that the catalog does not know, and fields with values that do not fit their column, with the number of
    /// rows that had them: the first 50.
    pub drift: BTreeMap<String, u64>,
    /// How many further such fields there were.
    #[serde(skip_serializing_if = "is_zero")]
    pub drift_further: u64,
    /// Lists that were asked for and did not come, by table, with the number of records that lack them: what is stored of
    /// them stays.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub absent: BTreeMap<String, u64>,
    /// Values that no folder name can carry, by partition column: they are in `_extra`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub not_in_folders: BTreeMap<String, u64>,
    /// Stored rows that the run removed or marked as gone.
    pub removed: u64,
    /// Versions of rows that came and are older than what is stored, so that they were left out.
    pub outdated: u64,
    /// Where everything was read and the API counts more than came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<IncompleteSummary>,
    /// What somebody should know though nothing failed. Holds no cell value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Watermark of the commit before this run.
    pub watermark_before: Option<DateTime<Utc>>,
    /// Watermark of this run's commit.
    pub watermark_after: Option<DateTime<Utc>>,
    /// What was asked of the API for this report.
    pub api: ApiSummary,
    /// What was written, one entry per table.
    pub tables: Vec<TableSummary>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorSummary>,
}

/// A read of everything that did not bring all that the API counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IncompleteSummary {
    /// Keys that came.
    pub read: u64,
    /// What the API counts.
    pub counted: u64,
}

impl From<Usage> for ApiSummary {
    fn from(usage: Usage) -> Self {
        Self {
            requests: usage.requests,
            retries: usage.retries,
            throttled: usage.throttled,
            bytes: usage.bytes,
            paced_seconds: usage.paced.as_secs_f64(),
            backed_off_seconds: usage.backed_off.as_secs_f64(),
        }
    }
}

impl ReportSummary {
    /// A report that begins now.
    pub(crate) fn begun(report: &str, clock: &Clock) -> Self {
        Self { report: report.to_owned(), started_at: clock.now(), ..Self::default() }
    }

    /// How many fields drifted.
    pub fn drift_fields(&self) -> u64 {
        self.drift.len() as u64 + self.drift_further
    }

    /// Counts the time until now.
    pub(crate) fn end(&mut self, clock: &Clock) {
        self.seconds = seconds_between(self.started_at, clock.now());
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A span of time; 0 where the clock was set back.
pub(crate) fn seconds_between(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).to_std().map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

pub(crate) fn table_summaries(committed: Committed) -> Vec<TableSummary> {
    let summary = |table: ctct_load::TableTotals| TableSummary {
        table: table.table,
        rows: table.rows,
        files: table.files,
        bytes: table.bytes,
        merged: table.merge.map(|merge| MergeSummary {
            inserted: merge.inserted,
            updated: merge.updated,
            unchanged: merge.unchanged,
            deleted: merge.deleted,
        }),
    };
    committed.tables.into_iter().map(summary).collect()
}

/// What was written to one table.
#[derive(Debug, Clone, Serialize)]
pub struct TableSummary {
    /// The table.
    pub table: String,
    /// Rows.
    pub rows: u64,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
    /// What a merge did to its rows; absent in the other write modes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged: Option<MergeSummary>,
}

/// What a merge did to the rows of one table. The rows of a table's summary are all those of the files that it wrote.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct MergeSummary {
    /// Rows that were not there.
    pub inserted: u64,
    /// Rows that took the place of others.
    pub updated: u64,
    /// Rows that were read again and are as they were.
    pub unchanged: u64,
    /// Rows that went, ended, or were marked as deleted.
    pub deleted: u64,
}

/// What went wrong, and what to do.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorSummary {
    /// What and where. Holds no cell value.
    pub message: String,
    /// What to do next.
    pub advice: String,
}
