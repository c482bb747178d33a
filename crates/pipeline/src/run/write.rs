//! The writing side of one report: units of pages in, rows in a session out, counted on the way. A run that asks and a replay
//! of kept pages both end here.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::pin::pin;
use std::sync::Arc;
use std::thread;

use chrono::{DateTime, Utc};
use ctct_catalog::Report;
use ctct_load::{Commit, DeadLetterLine, Destination, LoadError, LoadPlan, Repeats, ReportState, Session, WriteMode};
use ctct_transform::{Fit, PageDecoder, TableRows, fitting};
use futures::StreamExt;
use tokio::sync::mpsc;

use super::census::RejectedRecords;
use super::clocks::Moment;
use super::decode::{Decoded, PageFacts, Undecodable, decoded};
use super::drift::Drift;
use super::new_keys::NewKeys;
use super::unit::Unit;
use crate::context::Context;
use crate::event::Event;
use crate::plan::fingerprint::OtherRows;
use crate::plan::{Ids, Plan, ReportPlan, Scope};
use crate::run_error::RunError;
use crate::source::identity::Reader;
use crate::summary::ReportSummary;

/// One report and where its rows go.
#[derive(Clone, Copy)]
pub(super) struct ReportWriter<'a> {
    pub(super) plan: &'a Plan,
    pub(super) report_plan: &'a ReportPlan,
    pub(super) context: &'a Context,
    pub(super) destination: &'a Destination,
    pub(super) reader: &'a Reader,
}

/// What is counted on the way.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) pages: u64,
    /// Pages that an earlier run had fetched.
    pub(super) resumed_pages: u64,
    pub(super) rows: u64,
    pub(super) dead_letters: u64,
    /// The same, each counted once.
    pub(super) letters: RejectedRecords,
    /// Rows that the pipeline does not keep.
    pub(super) outside: u64,
    pub(super) drift: Drift,
    /// Of the list that comes at the moment.
    new_keys: NewKeys,
    /// By table, records whose list of it was asked for and did not come.
    pub(super) absent: BTreeMap<String, u64>,
    /// Ids whose pages cannot be decoded.
    pub(super) failed: Vec<Undecodable>,
    /// When the first page came.
    pub(super) first: Option<Moment>,
    /// What somebody should know though nothing failed.
    pub(super) warnings: Vec<String>,
    /// The id whose pages come at the moment.
    of_id: Option<ReadOfId>,
    /// Rows in all as the API counts them, and whether two pages ever said otherwise.
    pub(super) counted: Option<u64>,
    pub(super) recounted: bool,
    /// Records of the last page, and the most that any page held.
    pub(super) last_page: u64,
    pub(super) largest_page: u64,
    /// The first of those counts, and whether a later one was below it.
    pub(super) first_counted: Option<u64>,
    pub(super) fell: bool,
}

impl Tally {
    /// Whether the last page was as full as a page gets, by the report or by what this server sends.
    pub(super) fn ended_full(&self, report: &Report) -> bool {
        let limit = report.page_rows().map_or(u64::MAX, u64::from);
        self.last_page >= limit || (self.pages > 1 && self.last_page > 0 && self.last_page >= self.largest_page)
    }
}

/// How an id was read so far.
struct ReadOfId {
    /// When its first page came.
    at: DateTime<Utc>,
    /// Whether all of its records could be used.
    complete: bool,
}

impl ReportWriter<'_> {
    pub(super) async fn write(
        &self,
        units: mpsc::Receiver<Unit>,
        session: &mut Session,
        tally: &mut Tally,
    ) -> Result<(), RunError> {
        let decoder = Arc::new(PageDecoder::new(Arc::clone(&self.report_plan.report)));
        let by_id = !matches!(self.report_plan.ids, Ids::None);
        let jobs = thread::available_parallelism().map_or(1, NonZero::get);
        let mut batches = pin!(decoded(
            units,
            decoder,
            self.name().into(),
            session.version(),
            (by_id, jobs),
            self.destination.stop()
        ));
        while let Some(batch) = batches.next().await {
            self.destination.stop().check().map_err(|error| self.load(error))?;
            self.write_batch(batch?, session, tally).await?;
        }
        Ok(())
    }

    async fn write_batch(&self, batch: Decoded, session: &mut Session, tally: &mut Tally) -> Result<(), RunError> {
        tally.failed.extend(batch.failed);
        for (facts, page) in batch.pages {
            if tally.first.is_none() {
                tally.first = Some(facts.moment);
                session.remember_from(self.next_window(session, facts.moment));
                if let Some(count) = facts.count {
                    self.context.events.emit(&Event::RowsExpected { report: self.name().to_owned(), rows: count });
                }
            }
            Self::mind_the_clocks(facts.moment, tally);
            self.mark(&facts, page.dead_letters.is_empty(), session, tally);
            if let Some(count) = facts.count {
                tally.recounted |= tally.counted.is_some_and(|counted| counted != count);
                tally.counted = Some(count);
                tally.fell |= count < *tally.first_counted.get_or_insert(count);
            }
            let (drift_fields, dead_letters) = (page.drift.len() as u64, page.dead_letters.len() as u64);
            for (field, count) in &page.drift {
                tally.drift.add(field, *count);
            }
            self.mind_the_keys(&facts, &page.tables, tally)?;
            for (table, rows) in self.report_plan.report.tables().iter().zip(&page.tables) {
                if !rows.absent.is_empty() {
                    *tally.absent.entry(table.name.clone()).or_default() += rows.absent.len() as u64;
                }
            }
            for letter in page.dead_letters {
                tally.dead_letters += 1;
                if !tally.letters.add(&self.report_plan.report, &letter.record) {
                    continue;
                }
                let line = DeadLetterLine {
                    request_id: facts.request_id.clone(),
                    index: letter.index,
                    reason: letter.reason,
                    bound: facts.params.iter().cloned().collect(),
                    extracted_at: Some(facts.moment.instant()),
                    record: letter.record,
                };
                session.dead_letter(&line).await.map_err(|error| self.load(error))?;
            }
            let rows = page.tables.first().map_or(0, |table| table.batch.num_rows() as u64);
            let fits = self.fits(&page.tables);
            tally.outside += fits.iter().filter(|fit| **fit == Fit::Fails).count() as u64;
            session.write_judged(page.tables, &fits).await.map_err(|error| self.load(error))?;
            tally.pages += 1;
            tally.last_page = rows + dead_letters;
            tally.largest_page = tally.largest_page.max(tally.last_page);
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

    /// Ends a list whose pages bring nothing new.
    fn mind_the_keys(&self, facts: &PageFacts, tables: &[TableRows], tally: &mut Tally) -> Result<(), RunError> {
        let (Ids::None, Some(own)) = (&self.report_plan.ids, tables.first()) else { return Ok(()) };
        if facts.number == 1 {
            tally.new_keys = NewKeys::default();
        }
        let ended = tally.new_keys.ended_with(&self.report_plan.report, &own.batch);
        // What cannot be compared here cannot be written either, which says more.
        if ended.unwrap_or(false) && !facts.last {
            return Err(RunError::NoProgress {
                report: self.name().to_owned(),
                page: facts.number,
                request_id: facts.request_id.clone().unwrap_or_else(|| "without id".to_owned()),
            });
        }
        Ok(())
    }

    /// Warns once per report where the clocks are apart.
    fn mind_the_clocks(moment: Moment, tally: &mut Tally) {
        if let Some(warning) = moment.warning().filter(|_| tally.warnings.is_empty()) {
            tally.warnings.push(warning);
        }
    }

    /// Remembers when an id was read, once all of its pages are here and none of their records is a dead letter.
    fn mark(&self, facts: &PageFacts, usable: bool, session: &mut Session, tally: &mut Tally) {
        let (Ids::List { param, .. } | Ids::From { param, .. }) = &self.report_plan.ids else { return };
        if facts.number == 1 {
            tally.of_id = Some(ReadOfId { at: facts.moment.begun(), complete: true });
        }
        let Some(read) = &mut tally.of_id else { return };
        read.complete &= usable;
        if facts.last && read.complete {
            let id = facts.params.iter().find(|(name, _)| name == param);
            if let Some((_, id)) = id {
                session.set_mark(id, &self.report_plan.chosen_by(), read.at);
            }
        }
    }

    /// For each record of a page, whether it is what the pipeline keeps; empty where it keeps all.
    pub(super) fn fits(&self, tables: &[TableRows]) -> Vec<Fit> {
        match tables.first() {
            Some(own) if !self.report_plan.keeps.is_empty() => fitting(&own.batch, &self.report_plan.keeps),
            _ => Vec::new(),
        }
    }

    pub(super) fn load_plan(&self) -> LoadPlan {
        LoadPlan {
            pipeline: self.plan.pipeline.name.clone(),
            account: self.plan.account.clone(),
            identity: self.reader.owner.clone(),
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
        let ReportPlan { report, ids, write_mode, .. } = self.report_plan;
        let newest_first = report.order.as_ref().filter(|order| order.certain);
        match (write_mode, ids, newest_first) {
            (WriteMode::Replace | WriteMode::Partition, _, _) => Repeats::None,
            (_, Ids::List { param, .. } | Ids::From { param, .. }, Some(order)) => {
                Repeats::NewestFirst { id: param.clone(), by: order.by.clone() }
            }
            (WriteMode::Append, ids, _) => match &report.watermark {
                Some(watermark) if self.report_plan.has_window() && matches!(ids, Ids::None) => {
                    let also = watermark.also.iter().map(|also| also.column.clone());
                    Repeats::Since { columns: std::iter::once(watermark.column.clone()).chain(also).collect() }
                }
                _ => Repeats::All,
            },
            _ => Repeats::None,
        }
    }

    /// Where the window of the next run begins, by when the first page of this one came. A backfill moves nothing.
    pub(super) fn next_window(&self, session: &Session, first: Moment) -> Option<DateTime<Utc>> {
        let last = session.previous().map(|commit| &commit.state);
        let watermark = match self.report_plan.scope {
            Scope::Between { .. } => last.and_then(|state| state.watermark),
            Scope::Live | Scope::Everything => self.next_watermark(last, first),
        };
        let begins = |watermark: DateTime<Utc>| watermark.checked_sub_signed(self.report_plan.delivery.overlap);
        watermark.filter(|_| self.report_plan.is_incremental()).and_then(begins)
    }

    /// The watermark that a run leaves that reads all it is to read, by when its first page came.
    pub(super) fn next_watermark(&self, last: Option<&ReportState>, first: Moment) -> Option<DateTime<Utc>> {
        // Who reads everything takes nothing over from a clock that was wrong.
        let last = last.filter(|state| !state.is_ahead_of(self.context.clock.now()));
        first.watermark(last.and_then(|state| state.watermark))
    }

    pub(super) fn query(&self) -> String {
        self.report_plan.query_text()
    }

    /// Refuses to add rows to tables whose earlier rows were chosen in another way: they would hold a mixture.
    pub(super) fn refuse_other_rows(&self, previous: Option<&Commit>) -> Result<(), RunError> {
        let pipeline = &self.plan.pipeline.name;
        match previous.and_then(|commit| self.report_plan.other_rows(commit, pipeline)) {
            Some(OtherRows { stored, wanted, owner }) => {
                Err(RunError::OtherRows { report: self.name().to_owned(), stored, wanted, owner })
            }
            None => Ok(()),
        }
    }

    pub(super) fn load(&self, source: LoadError) -> RunError {
        if matches!(source, LoadError::Stopped) {
            return RunError::Stopped { report: self.name().to_owned() };
        }
        RunError::Load { report: self.name().to_owned(), source: Box::new(source) }
    }

    pub(super) fn name(&self) -> &str {
        &self.report_plan.report.name
    }
}

impl Tally {
    /// Nothing yet, beside dead letters that are known from earlier runs.
    pub(super) fn beside(letters: RejectedRecords) -> Self {
        Self { letters, ..Self::default() }
    }

    /// Copies what summaries tell.
    pub(super) fn copy_to(&self, summary: &mut ReportSummary) {
        summary.pages = self.pages;
        summary.rows = self.rows;
        summary.dead_letters = self.dead_letters;
        summary.outside = self.outside;
        (summary.drift, summary.drift_further) = self.drift.told();
        summary.warnings.extend(self.warnings.iter().cloned());
        summary.absent.clone_from(&self.absent);
    }
}
