//! What a run would ask and take, in the form that machines read (`plan --output json`); [`super::text`] shows it to people.
//!
//! Field names are part of the tool's contract: fields are added, never renamed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use ctct_extract::Authority;
use ctct_load::{Commit, LoadError, PartitionBy, Window, WriteMode, refuse_storage_mode};
use futures::future::join_all;
use serde::Serialize;

use super::Requests;
use super::probe::{Counts, counts};
use super::stored_state::StoredState;
use crate::allowance::Allowance;
use crate::context::Context;
use crate::document::{Credentials, PaceConfig};
use crate::outcome::Outcome;
use crate::plan::fingerprint::OtherRows;
use crate::plan::{Ids, Plan, ReportPlan, Scope};
use crate::run_error::RunError;
use crate::source::identity;
use crate::summary::ErrorSummary;

/// What a run of a plan would ask, and what it takes.
#[derive(Debug, Clone, Serialize)]
pub struct PlanSummary {
    /// Name of the pipeline.
    pub pipeline: String,
    /// What the pipeline says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Account label.
    pub account: String,
    /// By which right the account is read.
    pub access: &'static str,
    /// The server, where it is not the vendor's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Where the tables are.
    pub destination: String,
    /// The moment that relative dates are counted from.
    pub now: DateTime<Utc>,
    /// Time zone of the pipeline's dates.
    pub timezone: String,
    /// `done`, or why there is no plan.
    pub outcome: Outcome,
    /// Exit code of the process.
    pub exit_code: u8,
    /// Requests per second.
    pub requests_per_second: f64,
    /// One entry per report, in the order in which they can run.
    pub reports: Vec<PlannedReport>,
    /// What all reports cost.
    pub cost: Cost,
    /// What is left of the day's requests; absent where the ledger cannot be read.
    pub quota: Option<Allowance>,
    /// Whether the run certainly fits into the day, may fit, or certainly does not.
    pub fits: Fits,
    /// Requests that a run sends to learn whose account a new token reads; they are in `cost`. Absent where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_requests: Option<AtLeastAtMost>,
    /// What the schedule makes of the cost; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<Scheduled>,
    /// Requests that were sent to make this plan.
    pub sent: u64,
    /// What could not be looked at, so that less is known than could be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorSummary>,
}

/// What a run would ask of one report, and what that takes.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedReport {
    /// The report.
    pub report: String,
    /// How rows meet those that are there.
    pub write_mode: WriteMode,
    /// Folders that rows are split into.
    pub partition_by: Vec<String>,
    /// The report of the plan that must be done before.
    pub after: Option<String>,
    /// Options and what they resolve to, for people.
    pub options: Vec<PlannedOption>,
    /// What the run starts from; absent where nothing was committed yet.
    pub last_commit: Option<LastCommit>,
    /// The span of time that is asked for.
    pub window: Window,
    /// Whether later runs start from a watermark.
    pub incremental: bool,
    /// How far a run goes back before the watermark, in minutes.
    pub overlap_minutes: i64,
    /// Whether everything is read to find out what was deleted.
    pub reconciles: bool,
    /// Path and query of what is asked, one entry per crawl; where each id has its own, the id is in braces.
    pub asks: Vec<String>,
    /// How the stored rows were chosen, as far as the pipeline now chooses others: a run is refused unless it reads
    /// everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_rows: Option<String>,
    /// Pages of an earlier run that the run continues after.
    pub kept_pages: u64,
    /// Ids that are asked for one by one: how many are left to read. Absent for a list, and where it is not known.
    pub ids: Option<u64>,
    /// Rows that match as the API counts them, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted: Option<u64>,
    /// Rows that a page holds at most; absent where one answer is all.
    pub page_rows: Option<u32>,
    /// How many requests.
    pub requests: Requests,
    /// Whether `--probe` can tell how many there are, and was not asked.
    pub countable: bool,
    /// The column and the report that ids come from, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids_from: Option<String>,
    /// Changes that runs do not find, each with what finds it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<String>,
    /// What somebody should know before a run, though nothing is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// An option of a report.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedOption {
    /// Its name.
    pub name: String,
    /// What it resolves to.
    pub value: String,
}

/// The commit that a run starts from.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct LastCommit {
    /// Its version.
    pub version: i64,
    /// When.
    pub committed_at: DateTime<Utc>,
    /// The watermark that it left.
    pub watermark: Option<DateTime<Utc>>,
}

/// What a plan costs: requests are the scarce thing.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cost {
    /// A run cannot be done with less.
    pub least: Price,
    /// A run is not expected to take more; absent where that is not known of every report.
    pub most: Option<Price>,
    /// Reports of which it is not known.
    pub open: Vec<String>,
}

/// A number of requests, and what sending them takes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Price {
    /// Requests.
    pub requests: u64,
    /// Seconds at the pipeline's pace.
    pub seconds: f64,
    /// Share of a day's requests, 1 for all of them.
    pub share_of_day: f64,
    /// Days that they take, today among them; absent where it is not known what is left of today.
    pub days: Option<u64>,
}

/// What runs by the schedule take in the 24 hours from now on.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Scheduled {
    /// Runs that are due.
    pub runs: u64,
    /// Requests that they cannot do with less than.
    pub least: u64,
    /// Requests that they are not expected to exceed; absent where that is not known of one run.
    pub most: Option<u64>,
    /// Share of a day's requests that `most` is, or `least` where that is not known; 1 for all of them.
    pub share_of_day: f64,
}

/// A number that is between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AtLeastAtMost {
    /// At least.
    pub least: u64,
    /// At most.
    pub most: u64,
}

impl From<(u64, u64)> for AtLeastAtMost {
    fn from((least, most): (u64, u64)) -> Self {
        Self { least, most }
    }
}

/// Whether a run fits into what is left of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fits {
    /// It does, as far as is known.
    Yes,
    /// It may not.
    Maybe,
    /// It does not: a run is refused unless it may take several days.
    No,
    /// The ledger cannot be read.
    Unknown,
}

/// Tells what a run would ask and take. Sends nothing, unless `probe`: then the API is asked how many rows there are, where
/// it can say, one request per report at most. Writes nothing.
pub async fn forecast(plan: &Plan, context: &Context, probe: bool) -> PlanSummary {
    let now = context.clock.now();
    let mut unknown = Vec::new();
    let stored = |why: &str| format!("what is stored, so bounds are those of a first run: {why}");
    let opened =
        context.open_destination(&plan.pipeline).map_err(|error| unknown.push(stored(&error.to_string()))).ok();
    let destination = opened.as_ref();
    let foreseen = identity::foresee(plan, context, destination).await;
    let source = foreseen.reader.source.as_str();
    let read = plan.reports.iter().map(|report| async move {
        match destination {
            Some(destination) => {
                StoredState::read(plan, report, destination, source, now)
                    .await?
                    .count_stored(plan, report, destination)
                    .await
            }
            None => Ok(StoredState::nothing(report, now)),
        }
    });
    let mut states = Vec::with_capacity(plan.reports.len());
    let mut error = foreseen.error;
    for (report, state) in plan.reports.iter().zip(join_all(read).await) {
        states.push(state.unwrap_or_else(|failed| {
            unknown.push(stored(&format!("{}: {failed}", report.report.name)));
            if matches!(failed, LoadError::Ahead { .. }) {
                error = Some(RunError::Load { report: report.report.name.clone(), source: Box::new(failed) });
            }
            StoredState::nothing(report, now)
        }));
    }
    let counted = if probe { counts(plan, &states, context).await } else { Ok(Counts::default()) };
    let counts = counted.unwrap_or_else(|failed| {
        error.get_or_insert(failed);
        Counts::default()
    });
    for (report, state) in plan.reports.iter().zip(&states) {
        if let Some(refused) = state.history.first().and_then(|commit| refusal(plan, report, commit)) {
            error.get_or_insert(refused);
        }
    }
    let allowance = match super::quota_check::allowance(plan, context).await {
        Ok(allowance) => Some(allowance),
        Err(failed) => {
            unknown.push(format!("what is left of the day: {failed}"));
            // Who is not signed in, or whose variable is not set, is not let run either.
            if matches!(failed.outcome(), Outcome::SignIn | Outcome::Configuration) {
                error.get_or_insert(failed);
            }
            None
        }
    };
    let mut summary = PlanSummary::new(plan, &states, &counts, allowance, now);
    if let Some(destination) = destination {
        destination.url().clone_into(&mut summary.destination);
    }
    if foreseen.requests != (0, 0) {
        summary.identity_requests = Some(foreseen.requests.into());
        summary.cost = cost(&summary.reports, foreseen.requests, plan.pipeline.pace(), allowance.as_ref());
        summary.fits = fits(&summary.cost, allowance.as_ref());
    }
    summary.scheduled = scheduled(plan, &summary, now);
    let vendors = Authority::api_beside(&Authority::vendor().token_url).to_string();
    summary.server = summary.server.or(foreseen.server.filter(|server| *server != vendors));
    summary.unknown = unknown;
    if let Some(error) = error {
        summary.outcome = error.outcome();
        summary.exit_code = summary.outcome.policy().exit_code;
        summary.error = Some(plan.told(&error));
    }
    summary
}

impl PlanSummary {
    /// The summary of a plan whose reports stand like this.
    pub(super) fn new(
        plan: &Plan,
        states: &[StoredState],
        counts: &Counts,
        quota: Option<Allowance>,
        now: DateTime<Utc>,
    ) -> Self {
        let pipeline = &plan.pipeline;
        let reports: Vec<PlannedReport> = plan
            .reports
            .iter()
            .zip(states)
            .map(|(report, state)| planned(plan, report, state, &counts.rows, now))
            .collect();
        let cost = cost(&reports, (0, 0), pipeline.pace(), quota.as_ref());
        let fits = fits(&cost, quota.as_ref());
        Self {
            pipeline: pipeline.name.clone(),
            description: pipeline.description.clone(),
            account: plan.account.clone(),
            access: match &pipeline.source.credentials {
                Credentials::Stored => "stored sign-in",
                Credentials::Seeded(_) => "a refresh token",
                Credentials::Token(_) => "a bearer token",
                Credentials::Sandbox(_) => "the embedded API",
            },
            server: pipeline.source.base_url.as_ref().map(ToString::to_string),
            destination: plan.destination.clone(),
            now: plan.now,
            timezone: pipeline.timezone.to_string(),
            outcome: Outcome::Done,
            exit_code: 0,
            requests_per_second: pipeline.pace().requests_per_second,
            reports,
            cost,
            quota,
            fits,
            identity_requests: None,
            scheduled: None,
            sent: counts.requests,
            unknown: Vec::new(),
            error: None,
        }
    }
}

fn planned(
    plan: &Plan,
    report: &ReportPlan,
    state: &StoredState,
    rows: &BTreeMap<String, u64>,
    now: DateTime<Utc>,
) -> PlannedReport {
    let counted = match &report.ids {
        Ids::From { source, .. } => rows.get(&source.report),
        Ids::None | Ids::List { .. } => rows.get(&report.report.name),
    };
    let asks = state.request.queries.iter().map(|query| {
        let pairs: Vec<String> = query.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        format!("{}{mark}{}", report.report.path, pairs.join("&"))
    });
    let last = |commit: &Commit| LastCommit {
        version: commit.version,
        committed_at: commit.committed_at,
        watermark: commit.state.watermark,
    };
    PlannedReport {
        report: report.report.name.clone(),
        write_mode: report.write_mode,
        partition_by: report.partition_by.iter().map(ToString::to_string).collect(),
        after: plan.depends_on(report).map(str::to_owned),
        options: report
            .resolved
            .iter()
            .map(|(name, value)| PlannedOption { name: name.clone(), value: value.clone() })
            .collect(),
        last_commit: state.history.first().map(last),
        window: state.request.window,
        incremental: report.is_incremental() && report.scope == Scope::Live,
        overlap_minutes: report.delivery.overlap.num_minutes(),
        reconciles: state.request.sweep,
        asks: asks.collect(),
        other_rows: state
            .history
            .first()
            .and_then(|commit| report.other_rows(commit, &plan.pipeline.name))
            .map(|other| other.stored),
        kept_pages: state.kept_pages(),
        ids: state.ids.map(|ids| ids.left - ids.kept),
        counted: counted.copied().filter(|_| matches!(report.ids, Ids::None)),
        page_rows: report.report.page_rows(),
        requests: state.requests(report, counted.copied(), now),
        countable: counted.is_none() && is_countable(plan, report),
        ids_from: match &report.ids {
            Ids::From { source, .. } => Some(format!("{} of {}", source.column, source.report)),
            Ids::None | Ids::List { .. } => None,
        },
        gaps: report.gaps().iter().map(ToString::to_string).collect(),
        warnings: state
            .history
            .first()
            .and_then(|commit| commit.told_of_columns(plan.pipeline.destination.files.account_column))
            .into_iter()
            .chain(small_partitions(plan, report, state, counted.copied(), now))
            .chain(report.warnings.iter().cloned())
            .collect(),
    }
}

/// A partition of fewer bytes than this is slower to read than one file of all.
const SMALL_PARTITION: u64 = 1_000_000;
/// Parquet bytes of a row, about: those of a contact.
const ROW_BYTES: u64 = 100;

/// What somebody should know where partitions hold less than a megabyte: by what is stored, or by how many rows there are.
fn small_partitions(
    plan: &Plan,
    report: &ReportPlan,
    state: &StoredState,
    counted: Option<u64>,
    now: DateTime<Utc>,
) -> Option<String> {
    let own = report.report.tables().first().filter(|_| !report.partition_by.is_empty())?;
    let stored = state.history.first().and_then(|head| head.inventory.tables.get(&own.name));
    let each = if let Some(stored) = stored {
        let files = state.history.iter().flat_map(|commit| &commit.files).filter(|file| file.table == own.name);
        let folders: BTreeSet<&str> = files.map(|file| file.partition.as_str()).collect();
        stored.bytes / (folders.len() as u64).max(1)
    } else {
        let embedded = match &plan.pipeline.source.credentials {
            Credentials::Sandbox(spec) if report.report.name == "contacts" => Some(spec.config(now).contacts),
            _ => None,
        };
        let buckets = report.partition_by.iter().map(|entry| match entry {
            PartitionBy::Bucket { count, .. } => u64::from(*count),
            _ => 1,
        });
        counted.or(embedded)?.saturating_mul(ROW_BYTES) / buckets.product::<u64>().max(1)
    };
    (each < SMALL_PARTITION).then(|| {
        format!(
            "partitions of `{}` hold less than 1 MB each (about {:.1} kB): reading is faster without `partition_by`, or with larger \
             partitions",
            own.name,
            f64::from(u32::try_from(each).unwrap_or(u32::MAX)) / 1_000.0
        )
    })
}

/// Whether the API can count the rows of a report, or of the one that its ids come from.
fn is_countable(plan: &Plan, report: &ReportPlan) -> bool {
    let counts = |report: &ReportPlan| {
        report.report.count.is_some() && matches!(report.ids, Ids::None) && !report.has_param_alone()
    };
    match &report.ids {
        Ids::None => counts(report),
        Ids::List { .. } => false,
        Ids::From { source, .. } => {
            plan.reports.iter().any(|other| other.report.name == source.report && counts(other))
        }
    }
}

/// Why a run would be refused by what is stored of a report.
fn refusal(plan: &Plan, report: &ReportPlan, commit: &Commit) -> Option<RunError> {
    let name = report.report.name.clone();
    let rebuilds = report.scope == Scope::Everything && report.write_mode != WriteMode::Append;
    if !rebuilds
        && let Err(source) = refuse_storage_mode(
            commit,
            &report.report,
            report.write_mode,
            report.delivery.history,
            &report.partition_by,
        )
    {
        return Some(RunError::Load { report: name, source: Box::new(source) });
    }
    let OtherRows { stored, wanted, owner } = report.other_rows(commit, &plan.pipeline.name)?;
    Some(RunError::OtherRows { report: name, stored, wanted, owner })
}

/// What the runs of the next 24 hours take. A report that has not been read yet takes less once it has: of it only what each
/// run asks at least is counted.
fn scheduled(plan: &Plan, summary: &PlanSummary, now: DateTime<Utc>) -> Option<Scheduled> {
    let (schedule, zone) = (plan.pipeline.schedule.as_ref()?, plan.pipeline.timezone);
    let end = now.checked_add_signed(TimeDelta::days(1))?;
    let due = std::iter::successors(schedule.next_after(now, zone), |last| schedule.next_after(*last, zone));
    let runs = due.take_while(|due| *due <= end).count() as u64;
    let is_first = |report: &PlannedReport| report.incremental && report.last_commit.is_none();
    let later = |report: &PlannedReport| {
        if is_first(report) { report.asks.len() as u64 } else { report.requests.least }
    };
    let least = runs.saturating_mul(summary.reports.iter().map(later).sum());
    let most = summary.cost.most.filter(|_| !summary.reports.iter().any(is_first));
    let most = most.map(|most| runs.saturating_mul(most.requests));
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
    let share_of_day = most.unwrap_or(least) as f64 / f64::from(plan.pipeline.pace().daily_requests);
    Some(Scheduled { runs, least, most, share_of_day })
}

fn cost(reports: &[PlannedReport], beside: (u64, u64), pace: PaceConfig, quota: Option<&Allowance>) -> Cost {
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
    let price = |requests: u64| Price {
        requests,
        seconds: requests as f64 / pace.requests_per_second,
        share_of_day: requests as f64 / f64::from(pace.daily_requests),
        days: quota.map(|quota| quota.days(requests)),
    };
    let most: Option<u64> = reports.iter().map(|report| report.requests.most).sum();
    let open = reports.iter().filter(|report| report.requests.most.is_none());
    Cost {
        least: price(beside.0 + reports.iter().map(|report| report.requests.least).sum::<u64>()),
        most: most.map(|most| price(beside.1 + most)),
        open: open.map(|report| report.report.clone()).collect(),
    }
}

fn fits(cost: &Cost, quota: Option<&Allowance>) -> Fits {
    let Some(quota) = quota else { return Fits::Unknown };
    match cost.most {
        _ if cost.least.requests > quota.left => Fits::No,
        Some(most) if most.requests <= quota.left => Fits::Yes,
        _ => Fits::Maybe,
    }
}
