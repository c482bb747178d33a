//! The writing side of one report: units of pages in, rows in a session out, counted on the way. A run that asks and a replay
//! of kept pages both end here.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::pin::pin;
use std::sync::Arc;
use std::thread;

use chrono::{DateTime, TimeDelta, Utc};
use ctct_load::{DeadLetterLine, Destination, LoadError, LoadPlan, Repeats, Session, WriteMode};
use ctct_transform::PageDecoder;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::crawl::Unit;
use super::decode::{Decoded, decoded};
use super::{Context, RunError};
use crate::event::Event;
use crate::plan::{Ids, Plan, ReportPlan, Scope};
use crate::summary::ReportSummary;

/// The next watermark lies this far before the server's clock at the first page: a change that the API had accepted but did
/// not show yet is then read again, rather than missed.
pub(super) const SETTLE: TimeDelta = TimeDelta::seconds(60);

/// One report and where its rows go.
#[derive(Clone, Copy)]
pub(super) struct ReportWriter<'a> {
    pub(super) plan: &'a Plan,
    pub(super) report_plan: &'a ReportPlan,
    pub(super) context: &'a Context,
    pub(super) destination: &'a Destination,
}

/// What is counted on the way.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) pages: u64,
    /// Pages that an earlier run had paid for.
    pub(super) resumed_pages: u64,
    pub(super) rows: u64,
    pub(super) dead_letters: u64,
    pub(super) drift: BTreeMap<String, u64>,
    /// The server's clock at the first page.
    pub(super) first_seen: Option<DateTime<Utc>>,
    /// Rows in all as the API counts them, and whether two pages ever said otherwise.
    pub(super) counted: Option<u64>,
    pub(super) recounted: bool,
}

impl ReportWriter<'_> {
    pub(super) async fn write(
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
        for (facts, page) in batch.pages {
            if tally.first_seen.is_none() {
                tally.first_seen = Some(facts.server_time);
                session.remember_from(self.next_window(session, facts.server_time));
                if let Some(count) = facts.count {
                    self.context.events.emit(&Event::RowsExpected { report: self.name().to_owned(), rows: count });
                }
            }
            if let Some(count) = facts.count {
                tally.recounted |= tally.counted.is_some_and(|counted| counted != count);
                tally.counted = Some(count);
            }
            let (drift_fields, dead_letters) = (page.drift.len() as u64, page.dead_letters.len() as u64);
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
            let rows = page.tables.first().map_or(0, |table| table.batch.num_rows() as u64);
            session.write(page.tables).await.map_err(|error| self.load(error))?;
            tally.pages += 1;
            tally.rows += rows;
            self.context.events.emit(&Event::PageRead {
                report: self.name().to_owned(),
                page: facts.number,
                request_id: facts.request_id,
                rows,
                dead_letters,
                drift_fields,
            });
        }
        Ok(())
    }

    pub(super) fn load_plan(&self) -> LoadPlan {
        LoadPlan {
            pipeline: self.plan.pipeline.name.clone(),
            account: self.plan.account.clone(),
            report: Arc::clone(&self.report_plan.report),
            mode: self.report_plan.write_mode,
            history: self.report_plan.delivery.history,
            // What was appended stays: it may be the only copy of earlier versions.
            rebuild: self.report_plan.scope == Scope::Everything && self.report_plan.write_mode != WriteMode::Append,
            forgets_history: false,
            changed: self.report_plan.report.changed_columns().into_iter().map(str::to_owned).collect(),
            repeats: self.repeats(),
            partition_by: self.report_plan.partition_by.clone(),
            run_id: self.context.run_id.clone(),
            files: self.destination.file_options(),
        }
    }

    /// Which rows may come again that were written before.
    pub(super) fn repeats(&self) -> Repeats {
        let ReportPlan { report, ids, write_mode, delivery, .. } = self.report_plan;
        let newest_first = report.order.as_ref().filter(|order| order.certain);
        match (write_mode, ids, newest_first) {
            (WriteMode::Replace | WriteMode::Partition, _, _) => Repeats::None,
            (_, Ids::List { param, .. } | Ids::From { param, .. }, Some(order)) => {
                Repeats::NewestFirst { id: param.clone(), by: order.by.clone(), overlap: delivery.overlap }
            }
            (WriteMode::Append, Ids::None, _) => match &report.watermark {
                Some(watermark) if self.report_plan.has_window() => {
                    let also = watermark.also.iter().map(|also| also.column.clone());
                    Repeats::Since { columns: std::iter::once(watermark.column.clone()).chain(also).collect() }
                }
                _ => Repeats::All,
            },
            _ => Repeats::None,
        }
    }

    /// Where the window of the next run begins, by the server's clock at the first page of this one. A backfill moves
    /// nothing.
    fn next_window(&self, session: &Session, first_seen: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let watermark = match self.report_plan.scope {
            Scope::Between { .. } => session.previous().and_then(|commit| commit.state.watermark),
            Scope::Live | Scope::Everything => Some(first_seen - SETTLE),
        };
        watermark
            .filter(|_| self.report_plan.is_incremental())
            .map(|watermark| watermark - self.report_plan.delivery.overlap)
    }

    pub(super) fn query(&self) -> String {
        self.report_plan.chosen_by()
    }

    pub(super) fn load(&self, source: LoadError) -> RunError {
        RunError::Load { report: self.name().to_owned(), source: Box::new(source) }
    }

    pub(super) fn name(&self) -> &str {
        &self.report_plan.report.name
    }
}

impl Tally {
    /// Copies what summaries tell.
    pub(super) fn copy_to(&self, summary: &mut ReportSummary) {
        summary.pages = self.pages;
        summary.rows = self.rows;
        summary.dead_letters = self.dead_letters;
        summary.drift.clone_from(&self.drift);
    }
}
