//! Tables made again from pages that were kept for good. Sends no API requests.
//!
//! All pages since the last read of everything are decoded in the order in which they were read, and their rows take the
//! place of what the tables hold, in one commit. The watermark stays: a replay is about the past.

use std::collections::{BTreeMap, HashMap};

use chrono::DateTime;
use ctct_load::{
    Absent, Brake, KeptPage, LoadError, LoadPlan, RawPages, Reach, Replay, ReportLog, ReportState, Session, Window,
    WriteMode,
};
use tokio::sync::mpsc;
use tracing::Instrument;

use super::letters::replay_letters;
use super::resume::page;
use super::unit::Unit;
use super::write::{ReportWriter, Tally};
use super::{Work, carried_out, lease, report_span};
use crate::after_run::RunKind;
use crate::context::Context;
use crate::event::Event;
use crate::plan::{Ids, Plan, ReportPlan, Scope};
use crate::run_error::RunError;
use crate::source::identity::Reader;
use crate::summary::{ReportSummary, RunSummary, table_summaries};

/// Units between reading and decoding.
const UNITS_WAITING: usize = 4;

/// Makes the tables of every report of the plan again from kept pages. Never fails itself: what goes wrong is in the
/// summary.
pub async fn replay(plan: &Plan, context: &Context) -> RunSummary {
    replayed(plan, context, async |writer, summary| Box::pin(replay_report(writer, summary)).await).await
}

/// Writes those dead letters of every report of the plan that can be used now. Never fails itself either.
pub async fn replay_dead_letters(plan: &Plan, context: &Context) -> RunSummary {
    replayed(plan, context, async |writer, summary| Box::pin(replay_letters(writer, summary)).await).await
}

async fn replayed(
    plan: &Plan,
    context: &Context,
    one: impl AsyncFn(&ReportWriter<'_>, &mut ReportSummary) -> Result<(), RunError>,
) -> RunSummary {
    carried_out(plan, context, RunKind::Replay, async |destination| {
        destination.probe().await.map_err(|error| RunError::Destination(Box::new(error)))?;
        let holding = lease::of_plan(plan, context, destination).await?;
        // Whose rows they are was written down when they were read.
        let reader = Reader::default();
        let mut reports = Vec::new();
        for report_plan in &plan.reports {
            // Like a backfill: no watermark moves.
            let scope = Scope::Between { from: DateTime::UNIX_EPOCH, to: None };
            let report_plan = &ReportPlan { scope, ..report_plan.clone() };
            let writer = ReportWriter { plan, report_plan, context, destination, reader: &reader };
            let mut summary = ReportSummary::begun(writer.name(), &context.clock);
            let span = report_span(writer.name());
            if let Err(error) = one(&writer, &mut summary).instrument(span.clone()).await {
                summary.outcome = error.outcome();
                summary.error = Some(plan.told(&error));
            }
            summary.end(&context.clock);
            span.in_scope(|| context.events.emit(&Event::ReportDone(Box::new(summary.clone()))));
            reports.push(summary);
        }
        if let Some(holding) = holding {
            holding.release().await;
        }
        Ok(Work { reports, ..Work::default() })
    })
    .await
}

async fn replay_report(writer: &ReportWriter<'_>, summary: &mut ReportSummary) -> Result<(), RunError> {
    let load = |error| writer.load(error);
    let log = ReportLog::new(writer.destination, &writer.plan.account, writer.name()).map_err(load)?;
    let sound = log.refuse_damage(writer.report_plan.report.tables());
    writer.destination.stop().unless_stopped(sound).await.map_err(load)?;
    let load_plan = LoadPlan { rebuild: true, forgets_history: true, ..writer.load_plan() };
    let begun = Session::begin(writer.destination, load_plan);
    let mut session = writer.destination.stop().unless_stopped(begun).await.map_err(load)?;
    let nothing =
        || RunError::NothingKept { report: writer.name().to_owned(), place: writer.destination.url().to_owned() };
    let head = session.previous().cloned().ok_or_else(nothing)?;
    // The pages are answers to the question of the record.
    writer.refuse_other_rows(Some(&head))?;
    let raw = head.raw.filter(|raw| raw.since.is_some()).ok_or_else(nothing)?;
    summary.watermark_before = head.state.watermark;
    summary.watermark_after = head.state.watermark;
    let by_id = !matches!(writer.report_plan.ids, Ids::None);
    let pages = log.replay(!by_id).await.map_err(load)?;

    let (report, window) = (writer.name().to_owned(), Window::default());
    writer.context.events.emit(&Event::ReportStarted { report, crawls: 1, window });
    let (units, received) = mpsc::channel::<Unit>(UNITS_WAITING);
    let mut tally = Tally::default();
    let (sent, written) = futures::join!(send(pages, units, by_id), writer.write(received, &mut session, &mut tally));
    tally.copy_to(summary);
    summary.resumed_pages = tally.pages;
    if let Err(error) = written.and(sent.map_err(load)) {
        session.abandon().await;
        return Err(error);
    }
    session.name_raw_pages(RawPages { ..raw });
    let merges = writer.report_plan.write_mode == WriteMode::Merge;
    // Kept responses do not say what was found gone, so the next sweep is due at once.
    let state = ReportState { reconciled_at: None, reconcile_tried_at: None, ..head.state };
    let outcome = ctct_load::RunOutcome {
        committed_at: writer.context.clock.now(),
        state,
        window: Window::default(),
        absent: if merges { Absent::Go } else { Absent::Stay },
        carry_over: false,
        answers: false,
        supersedes: false,
        brake: Brake::Off,
        reach: Reach::default(),
        stats: BTreeMap::from([("replayed_pages".to_owned(), tally.pages)]),
    };
    let committed = Box::pin(session.commit(outcome)).await.map_err(load)?;
    summary.commit = Some(committed.version);
    summary.seen_before = committed.repeated;
    summary.tables = table_summaries(committed);
    Ok(())
}

/// Sends every kept page on, with `by_id` all pages of one read of an id together; ends early when nobody receives any more.
async fn send(mut pages: Replay, units: mpsc::Sender<Unit>, by_id: bool) -> Result<(), LoadError> {
    let mut reads: HashMap<String, Unit> = HashMap::new();
    while let Some((_, kept)) = pages.next().await? {
        for kept in kept {
            let unit = if by_id { completed(&mut reads, kept) } else { Some(vec![page(kept)]) };
            if let Some(unit) = unit
                && units.send(unit).await.is_err()
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Adds a page to the read of its id, and gives the read once it is complete. What was not read to its end was not committed.
fn completed(reads: &mut HashMap<String, Unit>, kept: KeptPage) -> Option<Unit> {
    let (id, complete) = (kept.crawl.clone(), kept.next.is_none());
    let read = reads.entry(id.clone()).or_default();
    if kept.number == 1 {
        read.clear();
    }
    // A page that two runs have kept comes twice.
    if read.last().map_or(0, |page| page.number) + 1 == kept.number {
        read.push(page(kept));
    }
    if complete { reads.remove(&id).filter(|unit| !unit.is_empty()) } else { None }
}
