//! What is still before a report's next run: ids that could not be read, and another run that is at work on it.

use chrono::{DateTime, Utc};
use ctct_load::{Commit, Held, LoadError, ReportLog};
use serde::Serialize;

/// Ids that runs could not read and that the next one requests again, after all others.
#[derive(Debug, Clone, Serialize)]
pub struct FailedIdsSummary {
    /// How many.
    pub ids: u64,
    /// When the first of them failed first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// Where they are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// A run or a command that holds a report.
#[derive(Debug, Clone, Serialize)]
pub struct HolderSummary {
    /// The run.
    pub run_id: String,
    /// Name of its pipeline.
    pub pipeline: String,
    /// Its host.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// When its lease lapses if it is not renewed.
    pub until: DateTime<Utc>,
}

/// The ids that failed by the time of a commit; `None` where there are none.
pub(super) async fn failed_ids(log: &ReportLog, head: Option<&Commit>) -> Result<Option<FailedIdsSummary>, LoadError> {
    let Some((head, listed)) =
        head.and_then(|head| Some((head, head.failed.as_ref()?))).filter(|(_, ids)| ids.rows > 0)
    else {
        return Ok(None);
    };
    let since = log.ids_left(head).await?.failed.iter().map(|failed| failed.since).min();
    Ok(Some(FailedIdsSummary { ids: listed.rows, since, file: log.failed_ids_file(head) }))
}

/// Who holds a report.
pub(super) fn holder_of(report: &str, held: &[Held]) -> Option<HolderSummary> {
    let Held { holder, until } = held.iter().find(|held| held.holder.reports.iter().any(|name| name == report))?;
    Some(HolderSummary {
        run_id: holder.run_id.clone(),
        pipeline: holder.pipeline.clone(),
        host: holder.host.clone(),
        pid: holder.pid,
        until: *until,
    })
}
