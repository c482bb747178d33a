//! One report of a run: ask, decode, write, commit. Whatever fails here ends this report alone.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use chrono::{DateTime, TimeDelta, Utc};
use ctct_extract::Client;
use ctct_load::{
    Committed, DeadLetterLine, Destination, LoadError, LoadPlan, ReportLog, Session, Window, WriteMode, distinct_ids,
};
use ctct_transform::PageDecoder;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::crawl::{Asked, Crawls, Unit};
use super::decode::{Decoded, decoded};
use super::{Context, RunError};
use crate::event::Event;
use crate::plan::{Ids, Plan, ReportPlan};
use crate::policy::Outcome;
use crate::summary::{ReportSummary, TableSummary};

/// Units between asking and decoding. A list's page is some 700 kB, so this is the memory that waits there.
const UNITS_WAITING: usize = 4;

/// The next watermark lies this far before the server's clock at the first page: a change that the API had accepted but did
/// not show yet is then read again, rather than missed.
const SETTLE: TimeDelta = TimeDelta::seconds(60);

/// One report that is about to run.
pub(super) struct ReportRun<'a> {
    pub(super) plan: &'a Plan,
    pub(super) report_plan: &'a ReportPlan,
    pub(super) context: &'a Context,
    pub(super) destination: &'a Destination,
    pub(super) client: &'a Client,
}

/// What is counted on the way.
#[derive(Default)]
struct Tally {
    pages: u64,
    rows: u64,
    dead_letters: u64,
    drift: BTreeMap<String, u64>,
    /// The server's clock at the first page.
    first_seen: Option<DateTime<Utc>>,
}

impl ReportRun<'_> {
    /// Runs the report. `source` is how the report ended that this one takes its ids from.
    pub(super) async fn carry_out(&self, source: Outcome) -> ReportSummary {
        let mut summary = ReportSummary { report: self.name().to_owned(), ..ReportSummary::default() };
        if let Err(error) = self.attempt(source, &mut summary).await {
            tracing::debug!(report = self.name(), error = %error, "report failed");
            summary.outcome = error.outcome();
            summary.error = Some(error.summary());
        }
        summary
    }

    async fn attempt(&self, source: Outcome, summary: &mut ReportSummary) -> Result<(), RunError> {
        let ids = self.ids(source).await?;
        let mut session = Session::begin(self.destination, self.load_plan()).await.map_err(|error| self.load(error))?;
        let before = session.previous().and_then(|commit| commit.watermark);
        summary.watermark_before = before;
        summary.watermark_after = before;

        let not_found = AtomicU64::new(0);
        let mut tally = Tally::default();
        let read = self.read(ids, &mut session, &mut tally, &not_found).await;
        let Tally { pages, rows, dead_letters, drift, first_seen } = tally;
        summary.pages = pages;
        summary.rows = rows;
        summary.dead_letters = dead_letters;
        summary.drift = drift;
        summary.ids_not_found = not_found.into_inner();

        let unfinished = match read {
            Ok(()) => None,
            Err(error) if rows > 0 && self.keeps_what_is_whole(&error) => Some(error),
            Err(error) => {
                session.abandon().await;
                return Err(error);
            }
        };
        let watermark = match (&self.report_plan.report.watermark, &unfinished) {
            (Some(_), None) => first_seen.map(|seen| seen - SETTLE),
            _ => before,
        };
        let committed = session.commit(self.outcome(watermark, summary)).await.map_err(|error| self.load(error))?;
        summary.watermark_after = watermark;
        summary.commit = Some(committed.version);
        summary.tables = table_summaries(committed);
        unfinished.map_or(Ok(()), Err)
    }

    /// Reads, decodes and writes until all is read.
    async fn read(
        &self,
        ids: Option<(&str, Vec<String>)>,
        session: &mut Session,
        tally: &mut Tally,
        not_found: &AtomicU64,
    ) -> Result<(), RunError> {
        let asked_ids = ids.as_ref().map(|(_, ids)| ids.len() as u64);
        let crawls = Crawls {
            plan: self.report_plan,
            ids,
            client: self.client,
            concurrency: concurrency(self.plan.pipeline.pace().requests_per_second),
            events: &self.context.events,
            stop: &self.context.stop,
            not_found,
            ended: AtomicBool::new(false),
        };
        self.context.events.emit(&Event::ReportStarted { report: self.name().to_owned(), crawls: crawls.len() });
        let (sender, receiver) = mpsc::channel::<Unit>(UNITS_WAITING);
        let (asked, written) = futures::future::join(crawls.read(sender), self.write(receiver, session, tally)).await;
        // When writing fails, asking ends because nobody listens: the writer's error is the one to report.
        written?;
        match asked? {
            Asked::Whole if asked_ids.is_some_and(|ids| ids > 0 && ids == not_found.load(Ordering::Relaxed)) => {
                Err(RunError::NoneFound { report: self.name().to_owned(), ids: asked_ids.unwrap_or(0) })
            }
            Asked::Whole => Ok(()),
            Asked::Stopped => Err(RunError::Stopped { report: self.name().to_owned() }),
        }
    }

    async fn write(
        &self,
        units: mpsc::Receiver<Unit>,
        session: &mut Session,
        tally: &mut Tally,
    ) -> Result<(), RunError> {
        let decoder = Arc::new(PageDecoder::new(Arc::clone(&self.report_plan.report)));
        let jobs = thread::available_parallelism().map_or(1, NonZero::get);
        let mut batches = pin!(decoded(units, decoder, self.name().into(), session.version(), jobs));
        while let Some(batch) = batches.next().await {
            self.write_batch(batch?, session, tally).await?;
        }
        Ok(())
    }

    async fn write_batch(&self, batch: Decoded, session: &mut Session, tally: &mut Tally) -> Result<(), RunError> {
        let (mut pages, mut rows) = (0, 0);
        for (facts, page) in batch.pages {
            if tally.first_seen.is_none() {
                tally.first_seen = Some(facts.server_time);
                if let Some(count) = facts.count {
                    self.context.events.emit(&Event::RowsExpected { report: self.name().to_owned(), rows: count });
                }
            }
            for (field, count) in page.drift {
                *tally.drift.entry(field).or_default() += count;
            }
            for letter in page.dead_letters {
                tally.dead_letters += 1;
                let line = DeadLetterLine {
                    request_id: facts.request_id.clone(),
                    index: letter.index,
                    reason: letter.reason,
                    record: letter.record,
                };
                session.dead_letter(&line).await.map_err(|error| self.load(error))?;
            }
            pages += 1;
            rows += page.tables.first().map_or(0, |table| table.batch.num_rows() as u64);
            session.write(page.tables).await.map_err(|error| self.load(error))?;
        }
        tally.pages += pages;
        tally.rows += rows;
        self.context.events.emit(&Event::PagesRead { report: self.name().to_owned(), pages, rows });
        Ok(())
    }

    /// The parameter and the ids where each id has its own crawl.
    async fn ids(&self, source: Outcome) -> Result<Option<(&str, Vec<String>)>, RunError> {
        match &self.report_plan.ids {
            Ids::None => Ok(None),
            Ids::List { param, ids } => Ok(Some((param, ids.clone()))),
            Ids::From { source: from, .. } if source != Outcome::Done => {
                let (report, on) = (self.name().to_owned(), from.report.clone());
                Err(RunError::SourceFailed { report, on, outcome: source })
            }
            Ids::From { param, source: from } => {
                // A run that was killed may have committed rows that readers do not see yet.
                let log = ReportLog::new(self.destination, &self.plan.account, &from.report);
                log.map_err(|error| self.load(error))?.recover().await.map_err(|error| self.load(error))?;
                let ids = distinct_ids(self.destination, &self.plan.account, &from.report, &from.column)
                    .await
                    .map_err(|error| self.load(error))?;
                let ids = ids
                    .ok_or_else(|| RunError::NoSource { report: self.name().to_owned(), table: from.report.clone() })?;
                Ok(Some((param, ids.iter().flatten().map(str::to_owned).collect())))
            }
        }
    }

    /// Whether the units read before `error` are worth a commit: each id is whole in itself, and no earlier row is replaced.
    fn keeps_what_is_whole(&self, error: &RunError) -> bool {
        let ended_in_order = matches!(error, RunError::Stopped { .. }) || error.outcome() == Outcome::Quota;
        let by_id = !matches!(self.report_plan.ids, Ids::None);
        ended_in_order && by_id && matches!(self.report_plan.write_mode, WriteMode::Append)
    }

    fn load_plan(&self) -> LoadPlan {
        LoadPlan {
            pipeline: self.plan.pipeline.name.clone(),
            account: self.plan.account.clone(),
            report: Arc::clone(&self.report_plan.report),
            mode: self.report_plan.write_mode,
            partition_by: self.report_plan.partition_by.clone(),
            run_id: self.context.run_id.clone(),
            files: ctct_load::FileOptions::default(),
        }
    }

    fn outcome(&self, watermark: Option<DateTime<Utc>>, summary: &ReportSummary) -> ctct_load::Outcome {
        ctct_load::Outcome {
            committed_at: self.context.clock.now(),
            watermark,
            window: self.window(),
            stats: BTreeMap::from([
                ("pages".to_owned(), summary.pages),
                ("dead_letters".to_owned(), summary.dead_letters),
                ("ids_not_found".to_owned(), summary.ids_not_found),
            ]),
        }
    }

    /// The span of time that was asked for: its lower end alone, since requests leave the upper end open.
    fn window(&self) -> Window {
        let ReportPlan { report, params, .. } = self.report_plan;
        let option = report.watermark.as_ref().and_then(|watermark| report.option(&watermark.option));
        let asked = option.and_then(|option| params.iter().find(|(name, _)| option.params.contains(name)));
        let after = asked.and_then(|(_, value)| DateTime::parse_from_rfc3339(value).ok());
        Window { after: after.map(|after| after.to_utc()), before: None }
    }

    fn load(&self, source: LoadError) -> RunError {
        RunError::Load { report: self.name().to_owned(), source: Box::new(source) }
    }

    fn name(&self) -> &str {
        &self.report_plan.report.name
    }
}

/// Crawls at once: enough that requests of two seconds still fill the pace.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 4..64 before the cast")]
fn concurrency(requests_per_second: f64) -> usize {
    (requests_per_second * 2.0).ceil().clamp(4.0, 64.0) as usize
}

fn table_summaries(committed: Committed) -> Vec<TableSummary> {
    committed
        .tables
        .into_iter()
        .map(|table| TableSummary { table: table.table, rows: table.rows, files: table.files, bytes: table.bytes })
        .collect()
}
