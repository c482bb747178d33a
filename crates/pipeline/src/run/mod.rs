//! A plan carried out: crawls, decoding and writing of several reports at once, and the summary of it all.
//!
//! [`run`] is the only place that knows all three stages. Reports run side by side under one client, so one limiter paces
//! them all; a report that takes its ids from another waits for that one's commit. One report's failure is its own.

mod borders;
mod census;
mod clocks;
mod crawl;
mod decode;
mod drift;
mod failures;
mod id_crawls;
mod ids;
pub(crate) mod lease;
mod letters;
mod new_keys;
pub(crate) mod rebuilt;
mod replay;
mod report;
mod resume;
mod state;
mod unit;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ctct_extract::{SPANS, Usage};
use ctct_load::{Destination, Held, StopFlag};
use futures::FutureExt;
use futures::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, Span, error_span};

pub use replay::{replay, replay_dead_letters};

use crate::after_run::{self, RunKind, notice};
use crate::context::Context;
use crate::event::Event;
use crate::forecast::quota_check;
use crate::outcome::Outcome;
use crate::plan::{Ids, Plan, ReportPlan};
use crate::run_error::RunError;
use crate::source::{self, identity};
use crate::summary::{ReportSummary, RunSummary, seconds_between};
pub(crate) use report::FIRST_PAGE_AT;
use report::ReportRun;
use write::ReportWriter;

/// Time that a request or a commit has to end once the run was asked to stop: a stop ends every phase within two seconds.
const GRACE: Duration = Duration::from_millis(1_500);

/// What a run did.
#[derive(Default)]
struct Work {
    reports: Vec<ReportSummary>,
    usage: Usage,
    /// What somebody should know of the run, not of one report.
    warnings: Vec<String>,
    /// What went wrong beside the reports.
    error: Option<RunError>,
}

/// Carries out a plan. Never fails itself: what goes wrong is in the summary.
pub async fn run(plan: &Plan, context: &Context) -> RunSummary {
    carried_out(plan, context, RunKind::Run, async |destination| carry_out(plan, context, destination).await).await
}

/// The result of `work`, and whether its time was up before it had one. From then on it is asked to stop.
async fn until_deadline<T>(context: &Context, mut work: impl Future<Output = T> + Unpin) -> (T, bool) {
    let Some(deadline) = context.deadline else { return (work.await, false) };
    let started = Instant::now();
    tokio::select! {
        biased;
        done = &mut work => return (done, false),
        // A run that somebody has stopped before is not ended by its deadline.
        () = async { sleep_until(deadline).await; if context.stop.is_cancelled() { pending::<()>().await; } } => {}
    }
    context.stop.cancel();
    context.events.emit(&Event::Stopping { after: started.elapsed() });
    (work.await, true)
}

/// The result of work that is asked to stop and has a little time then: what does not end by itself ends by the token.
async fn with_grace<T>(context: &Context, over: CancellationToken, work: impl Future<Output = T>) -> T {
    let late = async {
        context.stop.cancelled().await;
        sleep(GRACE).await;
        over.cancel();
        pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        done = work => done,
        never = late => match never {},
    }
}

/// Does the work of a run at the plan's destination, sums it up, and tells whom the pipeline names.
async fn carried_out(
    plan: &Plan,
    context: &Context,
    kind: RunKind,
    work: impl AsyncFnOnce(&Destination) -> Result<Work, RunError>,
) -> RunSummary {
    let (run_id, pipeline) = (context.run_id.as_str(), plan.pipeline.name.as_str());
    let span = error_span!(target: SPANS, "run", run_id, pipeline, account = plan.account.as_str());
    let run = async {
        let started_at = context.clock.now();
        context.events.emit(&Event::RunStarted {
            pipeline: plan.pipeline.name.clone(),
            run_id: context.run_id.clone(),
            account: plan.account.clone(),
            reports: plan.reports.iter().map(|report| report.report.name.clone()).collect(),
        });
        notice::check(plan, context);
        let destination = context.open_destination(&plan.pipeline);
        let (done, time_was_up) = match &destination {
            Ok(destination) => {
                let over = CancellationToken::new();
                let stoppable = destination.clone().with_stop(StopFlag::on(over.clone()));
                let work = with_grace(context, over, caught(Box::pin(work(&stoppable))));
                let (done, time_was_up) = until_deadline(context, Box::pin(work)).await;
                let what = plan.pipeline.name.clone();
                (done.unwrap_or(Err(RunError::Panicked { what })), time_was_up)
            }
            Err(_) => (Ok(Work::default()), false),
        };
        let (destination, done) = match destination {
            Ok(destination) => (Some(destination), done),
            Err(error) => (None, Err(error)),
        };
        // A destination that takes nothing takes no row about it either.
        let takes_rows = !matches!(done, Err(RunError::Destination(_)));
        let shown = destination.as_ref().map_or(plan.destination.as_str(), Destination::url).to_owned();
        let summary = summed_up(plan, context, shown, started_at, done, time_was_up);
        context.events.emit(&Event::RunDone(Box::new(summary.clone())));
        // How it ended is told after a stop too.
        let destination = destination.filter(|_| takes_rows).map(|place| place.with_stop(StopFlag::default()));
        Box::pin(after_run::tell(plan, context, kind, destination.as_ref(), &summary)).await;
        summary
    };
    run.instrument(span).await
}

fn summed_up(
    plan: &Plan,
    context: &Context,
    destination: String,
    started_at: DateTime<Utc>,
    done: Result<Work, RunError>,
    time_was_up: bool,
) -> RunSummary {
    let Work { reports, usage, warnings, error } =
        done.unwrap_or_else(|error| Work { error: Some(error), ..Work::default() });
    let parts: Vec<_> = reports.iter().map(|report| report.outcome).collect();
    let outcome = if let Some(error) = &error {
        error.outcome()
    } else if context.stop.is_cancelled() {
        Outcome::of_stopped_parts(&parts)
    } else {
        Outcome::of_parts(&parts)
    };
    RunSummary {
        pipeline: plan.pipeline.name.clone(),
        account: plan.account.clone(),
        run_id: context.run_id.clone(),
        destination,
        outcome,
        exit_code: outcome.policy().exit_code,
        stopped: outcome != Outcome::Done && context.stop.is_cancelled(),
        deadline: outcome != Outcome::Done && time_was_up,
        started_at,
        seconds: seconds_between(started_at, context.clock.now()),
        api: usage.into(),
        warnings,
        reports,
        error: error.map(|error| plan.told(&error)),
    }
}

/// The span of a report: every log line within it has its name, and its window once that is known.
fn report_span(report: &str) -> Span {
    error_span!(target: SPANS, "report", report, window_from = Empty, window_to = Empty)
}

async fn carry_out(plan: &Plan, context: &Context, destination: &Destination) -> Result<Work, RunError> {
    // Before the first request: what was read and cannot be written would be requests wasted.
    let unusable = |error| RunError::Destination(Box::new(error));
    unless_stopped(plan, context, async { destination.probe().await.map_err(unusable) }).await?;
    let (holding, held) = lease::take(plan, context, destination).await.map_err(unusable)?;
    let work = match &holding {
        None => Ok(Work {
            reports: plan.reports.iter().map(|report| refused(plan, context, report, &held)).collect(),
            ..Work::default()
        }),
        Some(_) => Box::pin(read_all(plan, context, destination, &held)).await,
    };
    if let Some(holding) = holding {
        holding.release().await;
    }
    work
}

/// What is said of a report that another run holds.
fn refused(plan: &Plan, context: &Context, report: &ReportPlan, held: &BTreeMap<String, Held>) -> ReportSummary {
    let report = report.report.name.clone();
    let mut summary = ReportSummary::begun(&report, &context.clock);
    let error = match held.get(&report) {
        Some(held) => RunError::Held { report, held: Box::new(held.clone()) },
        // A run that waits for all of its reports has none.
        None => RunError::Stopped { report },
    };
    (summary.outcome, summary.error) = (error.outcome(), Some(plan.told(&error)));
    context.events.emit(&Event::ReportDone(Box::new(summary.clone())));
    summary
}

async fn read_all(
    plan: &Plan,
    context: &Context,
    destination: &Destination,
    held: &BTreeMap<String, Held>,
) -> Result<Work, RunError> {
    let source = unless_stopped(plan, context, async {
        quota_check::check(plan, context, destination).await?;
        source::open(plan, context).await
    })
    .await?;
    let reader = match identity::establish(plan, context, destination, &source).await {
        Ok(reader) => reader,
        Err(error) => {
            let usage = source.client.meter();
            source.close().await?;
            return Ok(Work { usage, error: Some(error), ..Work::default() });
        }
    };

    let outcomes: HashMap<&str, watch::Sender<Option<Outcome>>> =
        plan.reports.iter().map(|report| (report.report.name.as_str(), watch::Sender::new(None))).collect();
    let reports = plan.reports.iter().map(|report_plan| {
        let writer = ReportWriter { plan, report_plan, context, destination, reader: &reader };
        let run = ReportRun { writer, client: source.client.metered() };
        let waits_for = match &report_plan.ids {
            Ids::From { source, .. } => outcomes.get(source.report.as_str()).map(watch::Sender::subscribe),
            Ids::None | Ids::List { .. } => None,
        };
        let done = outcomes.get(report_plan.report.name.as_str());
        async move {
            if held.contains_key(&report_plan.report.name) {
                let summary = refused(plan, context, report_plan, held);
                if let Some(done) = done {
                    done.send_replace(Some(summary.outcome));
                }
                return summary;
            }
            let source_outcome = match waits_for {
                Some(outcome) => settled(outcome).await,
                None => Outcome::Done,
            };
            let span = report_span(run.writer.name());
            let summary = caught(run.carry_out(source_outcome)).instrument(span.clone()).await;
            let summary = summary.unwrap_or_else(|| panicked(plan, context, run.writer.name()));
            if let Some(done) = done {
                done.send_replace(Some(summary.outcome));
            }
            span.in_scope(|| context.events.emit(&Event::ReportDone(Box::new(summary.clone()))));
            summary
        }
    });
    let reports = join_all(reports).await;
    let usage = source.client.meter();
    let error = source.close().await.err();
    Ok(Work { reports, usage, warnings: reader.warning.into_iter().collect(), error })
}

/// What comes of work before the first report, unless the run is asked to stop first. It is safe to leave: nothing is
/// fetched or written by then.
async fn unless_stopped<T>(
    plan: &Plan,
    context: &Context,
    work: impl Future<Output = Result<T, RunError>>,
) -> Result<T, RunError> {
    tokio::select! {
        biased;
        done = work => done,
        () = context.stop.cancelled() => Err(RunError::Stopped { report: plan.pipeline.name.clone() }),
    }
}

/// What comes of work; `None` where a mistake of this program ended it. Where that was is told by the process's hook.
async fn caught<T>(work: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(work).catch_unwind().await.ok()
}

/// The summary of a report that a mistake of this program ended. The others go on.
fn panicked(plan: &Plan, context: &Context, report: &str) -> ReportSummary {
    let mut summary = ReportSummary::begun(report, &context.clock);
    let error = RunError::Panicked { what: report.to_owned() };
    summary.outcome = error.outcome();
    summary.error = Some(error.summary(plan.pipeline.file()));
    summary
}

/// The outcome of a report, once it has one.
async fn settled(mut outcome: watch::Receiver<Option<Outcome>>) -> Outcome {
    match outcome.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.unwrap_or(Outcome::Bug),
        Err(_) => Outcome::Bug,
    }
}
