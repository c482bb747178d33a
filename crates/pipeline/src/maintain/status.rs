//! Whether what is stored is as new as it should be, for monitors and for people who look in the morning. Reads only, and
//! sends no API requests: commit logs, the table of runs, the ledger.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ctct_catalog::Report;
use ctct_load::{Commit, Destination, LOST_FILES, LoadError, ReportLog, leases};
use serde::Serialize;

use super::unfinished::{failed_ids, holder_of};
use super::{FailedIdsSummary, FileGroupSummary, HolderSummary, failed, is_zero};
use crate::after_run::runs_table::{RunEnd, last_runs};
use crate::allowance::Allowance;
use crate::context::Context;
use crate::forecast::quota_check;
use crate::outcome::Outcome;
use crate::plan::{Plan, ReportPlan};
use crate::run::FIRST_PAGE_AT;
use crate::run_error::RunError;
use crate::summary::ErrorSummary;

/// Commits that are looked at for the last one of a complete run; others are joins, replays, backfills and parts.
const HISTORY: usize = 30;
/// Runs that are looked at for the last error.
const RUNS: usize = 30;

/// By what a report counts as stale.
#[derive(Debug, Clone, Copy)]
pub struct Expectation {
    /// A last success that is older than this is too old; where absent, the pipeline's schedule says.
    pub max_age: Option<Duration>,
    /// How long after it was due a run may take until its report counts as stale.
    pub grace: Duration,
}

/// How things stand, from good to bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As new as it should be.
    #[default]
    Fresh,
    /// It could not be looked at.
    Unknown,
    /// Older than it should be, or never read.
    Stale,
    /// The last run failed, and trying again alone will not fix that.
    Failed,
    /// The stored state contradicts itself.
    Damaged,
}

impl Health {
    /// Exit code of the process; 0 for what could not be looked at, whose reason has its own.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Fresh | Self::Unknown => Outcome::Done.policy().exit_code,
            Self::Stale => 20,
            Self::Failed => 21,
            Self::Damaged => Outcome::Damaged.policy().exit_code,
        }
    }
}

/// How a pipeline's account stands.
#[derive(Debug, Clone, Serialize)]
pub struct StatusSummary {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Account label.
    pub account: String,
    /// Where the tables are.
    pub destination: String,
    /// The worst of all reports.
    pub health: Health,
    /// Exit code of the process where this is its only pipeline.
    pub exit_code: u8,
    /// When it was looked at.
    pub now: DateTime<Utc>,
    /// When the pipeline is due next by its schedule.
    pub next_due: Option<DateTime<Utc>>,
    /// What is left of the day's requests; absent for the embedded API, whose quota begins with the run.
    pub quota: Option<Allowance>,
    /// One entry per report, in the order of the plan.
    pub reports: Vec<ReportStatus>,
    /// Why something could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorSummary>,
}

/// How one report stands.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ReportStatus {
    /// The report.
    pub report: String,
    /// How it stands.
    pub health: Health,
    /// When a run last committed all of it, or when the run that it resumed began to read; absent where none did.
    pub last_success: Option<DateTime<Utc>>,
    /// Seconds since then.
    pub age_seconds: Option<i64>,
    /// When the last success must be at the earliest for the report to be fresh; absent where nothing says so.
    pub due: Option<DateTime<Utc>>,
    /// What changed before it is stored.
    pub watermark: Option<DateTime<Utc>>,
    /// Whether a run ended in order before all ids were read, so that the next one continues there.
    pub in_progress: bool,
    /// Reads of everything, one after the other, that brought less than the API counts; the next run reads all again.
    #[serde(skip_serializing_if = "is_zero")]
    pub incomplete: u32,
    /// Since when records come that cannot be used and that runs ask for again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected_since: Option<DateTime<Utc>>,
    /// Ids that could not be read and are requested again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_ids: Option<FailedIdsSummary>,
    /// The run or command that is at work on it at this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<HolderSummary>,
    /// Pages that the next run continues from.
    pub kept_pages: FileGroupSummary,
    /// How the last run failed, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
}

/// How a run failed.
#[derive(Debug, Clone, Serialize)]
pub struct LastError {
    /// When.
    pub at: DateTime<Utc>,
    /// The run; absent where the stored state itself is the trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The exit code that says how.
    pub exit_code: u8,
    /// What and where.
    pub message: String,
    /// What to do next.
    pub advice: String,
}

/// Why something could not be looked at.
struct Unopened {
    outcome: Outcome,
    error: ErrorSummary,
}

impl Unopened {
    fn by(plan: &Plan, error: &RunError) -> Self {
        Self { outcome: error.outcome(), error: plan.told(error) }
    }
}

/// Looks at how the reports of a plan stand.
pub async fn status(plan: &Plan, context: &Context, expectation: Expectation) -> StatusSummary {
    let now = context.clock.now();
    let zone = plan.pipeline.timezone;
    let mut summary = StatusSummary {
        pipeline: plan.pipeline.name.clone(),
        account: plan.account.clone(),
        destination: plan.destination.clone(),
        health: Health::Fresh,
        exit_code: 0,
        now,
        next_due: plan.pipeline.schedule.as_ref().and_then(|schedule| schedule.next_after(now, zone)),
        quota: None,
        reports: Vec::new(),
        error: None,
    };
    match quota(plan, context).await {
        Ok(quota) => summary.quota = quota,
        Err(unopened) => summary.is_unknown(unopened),
    }
    match look(plan, context, &mut summary, expectation.due(plan, now)).await {
        Ok(()) => {}
        Err(unopened) => summary.is_unknown(unopened),
    }
    let worst = summary.reports.iter().map(|report| report.health).max().unwrap_or_default();
    summary.health = summary.health.max(worst);
    if summary.health > Health::Unknown {
        summary.exit_code = summary.health.exit_code();
    }
    summary
}

impl Expectation {
    /// The earliest last success that is new enough.
    fn due(self, plan: &Plan, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let before = |span| now.checked_sub_signed(TimeDelta::from_std(span).ok()?);
        match self.max_age {
            Some(age) => before(age),
            None => plan.pipeline.schedule.as_ref()?.last_before(before(self.grace)?, plan.pipeline.timezone),
        }
    }
}

impl StatusSummary {
    fn is_unknown(&mut self, Unopened { outcome, error }: Unopened) {
        self.health = Health::Unknown;
        self.exit_code = outcome.policy().exit_code;
        self.error.get_or_insert(error);
    }
}

/// What is left of the day.
async fn quota(plan: &Plan, context: &Context) -> Result<Option<Allowance>, Unopened> {
    if matches!(plan.pipeline.source.credentials, crate::document::Credentials::Sandbox(_)) {
        return Ok(None);
    }
    let left = quota_check::allowance(plan, context).await;
    left.map(Some).map_err(|error| Unopened::by(plan, &error))
}

async fn look(
    plan: &Plan,
    context: &Context,
    summary: &mut StatusSummary,
    due: Option<DateTime<Utc>>,
) -> Result<(), Unopened> {
    let destination = context.open_destination(&plan.pipeline).map_err(|error| Unopened::by(plan, &error))?;
    destination.url().clone_into(&mut summary.destination);
    let unopened = |error| {
        let (outcome, error) = failed(plan, "_runs", error);
        Unopened { outcome, error }
    };
    let runs = last_runs(&destination, &plan.account, RUNS).await.map_err(unopened)?;
    let held = leases(&destination, &plan.account, summary.now).await.map_err(unopened)?;
    for report in &plan.reports {
        let name = &report.report.name;
        let last = runs.iter().find(|run| run.pipeline == plan.pipeline.name && &run.report == name);
        match report_status(plan, report, &destination, last, due, summary.now).await {
            Ok(status) => {
                let held_by = holder_of(name, &held);
                summary.reports.push(ReportStatus { held_by, ..status });
            }
            Err(error) => {
                let (outcome, error) = failed(plan, name, error);
                if outcome != Outcome::Damaged {
                    return Err(Unopened { outcome, error });
                }
                let last_error = Some(LastError {
                    at: summary.now,
                    run_id: None,
                    exit_code: outcome.policy().exit_code,
                    message: error.message,
                    advice: error.advice,
                });
                let (report, health) = (name.clone(), Health::Damaged);
                summary.reports.push(ReportStatus { report, health, due, last_error, ..ReportStatus::default() });
            }
        }
    }
    Ok(())
}

async fn report_status(
    plan: &Plan,
    report: &ReportPlan,
    destination: &Destination,
    last: Option<&RunEnd>,
    due: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<ReportStatus, LoadError> {
    let log = ReportLog::new(destination, &plan.account, &report.report.name)?;
    let history = log.history(HISTORY).await?;
    let head = history.first();
    if let Some(head) = head {
        log.refuse_ahead(head, now)?;
    }
    let last_success = last_success(report, &history);
    // What was committed after it has overtaken it.
    let failed = last.filter(|run| run.exit_code != 0 && last_success.is_none_or(|success| run.finished_at >= success));
    // What it found damaged may be repaired since; a run then tells whether that was all. Every file is read, to know it.
    let damaged = failed.filter(|run| run.exit_code == i64::from(Health::Damaged.exit_code()));
    let repaired = match damaged {
        Some(_) => is_sound(&log, &report.report).await?,
        None => false,
    };
    let run_again = repaired.then(|| {
        format!(
            "what is stored is sound now: run `ctct-etl run {} --report {}`",
            plan.pipeline.file(),
            report.report.name
        )
    });
    let last_error = failed.map(|run| LastError {
        at: run.finished_at,
        run_id: Some(run.run_id.clone()),
        exit_code: u8::try_from(run.exit_code).unwrap_or(u8::MAX),
        message: run.error.clone().unwrap_or_else(|| "the run ended before this report".to_owned()),
        advice: run_again
            .or_else(|| run.advice.clone())
            .unwrap_or_else(|| format!("ctct-etl run {}", plan.pipeline.file())),
    });
    let is_old = match (last_success, due) {
        (None, _) => true,
        (Some(success), Some(due)) => success < due,
        (Some(_), None) => false,
    };
    let health = match last_error.as_ref().map(|error| error.exit_code) {
        Some(code) if code == Health::Damaged.exit_code() && !repaired => Health::Damaged,
        Some(code) if !passes(code) => Health::Failed,
        _ if is_old => Health::Stale,
        _ => Health::Fresh,
    };
    Ok(ReportStatus {
        report: report.report.name.clone(),
        health,
        last_success,
        age_seconds: last_success.map(|success| (now - success).num_seconds()),
        due,
        watermark: head.and_then(|head| head.state.watermark),
        in_progress: head.is_some_and(|head| head.state.progress.is_some()),
        incomplete: head.map_or(0, |head| head.state.incomplete),
        rejected_since: head.and_then(|head| head.state.rejected).map(|rejected| rejected.first_at),
        failed_ids: failed_ids(&log, head).await?,
        held_by: None,
        kept_pages: log.waiting_pages().await?.into(),
        last_error,
    })
}

/// Whether everything that is stored of a report is what was written.
///
/// # Errors
/// The store fails.
async fn is_sound(log: &ReportLog, report: &Report) -> Result<bool, LoadError> {
    match log.prove(report).await {
        Ok(()) => Ok(true),
        Err(LoadError::Damaged { .. } | LoadError::Lost { .. } | LoadError::Foreign { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// When a run last committed all that it was to read, unless a rebuild has found since that rows are lost. A backfill is about
/// the past and leaves the watermark where it is.
fn last_success(report: &ReportPlan, history: &[Commit]) -> Option<DateTime<Utc>> {
    let before = history.iter().skip(1).map(Some).chain([None]);
    let says = |(commit, before): (&Commit, Option<&Commit>)| {
        let of_a_run = commit.stats.contains_key("pages") && commit.state.progress.is_none();
        let moved = before.is_none_or(|before| before.state.watermark != commit.state.watermark);
        if of_a_run && (moved || !report.has_window()) {
            return Some(Some(as_of(commit)));
        }
        commit.stats.contains_key(LOST_FILES).then_some(None)
    };
    history.iter().zip(before).find_map(says).flatten()
}

/// When what a commit brought was so at the API: its run's time, or that of the run that it resumed.
fn as_of(commit: &Commit) -> DateTime<Utc> {
    let seconds = commit.stats.get(FIRST_PAGE_AT).and_then(|seconds| i64::try_from(*seconds).ok());
    let first_page = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    first_page.map_or(commit.committed_at, |first| first.min(commit.committed_at))
}

/// Whether what an exit code says passes by itself: no quota left, transient, held.
fn passes(exit_code: u8) -> bool {
    [Outcome::Quota, Outcome::Transient, Outcome::Held].iter().any(|outcome| outcome.policy().exit_code == exit_code)
}
