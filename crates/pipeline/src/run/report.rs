//! One report of a run: ask, decode, write, commit. Whatever fails here ends this report alone.
//!
//! The run starts from the last commit's state and from the pages that a run after it had kept, and leaves the next state
//! in its own commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chrono::{DateTime, SecondsFormat, Utc};
use ctct_extract::Client;
use ctct_load::{
    Absent, Commit, IdsLeft, KeptPage, LoadError, LoadPlan, PageKeeper, PageTally, Progress, RawPages, Repeats,
    ReportLog, ReportState, Session, Window, WriteMode, distinct_ids,
};
use ctct_transform::PageDecoder;
use futures::lock::Mutex;
use tokio::sync::mpsc;

use super::census::{Census, RejectedRecords};
use super::crawl::{Crawls, Sinks};
use super::failures::First;
use super::ids::CrawledIds;
use super::resume::{Resumption, StalePages};
use super::unit::{ReadOutcome, Unit};
use super::write::{ReportWriter, Tally};
use crate::event::Event;
use crate::outcome::Outcome;
use crate::plan::fingerprint::OtherRows;
use crate::plan::{Ids, RequestPlan, Scope};
use crate::run_error::RunError;
use crate::summary::{IncompleteSummary, ReportSummary, table_summaries};

/// Name of the count that says when the first page of a resumed run came, in seconds since 1970.
pub(crate) const FIRST_PAGE_AT: &str = "first_page_at";
/// Units between asking and decoding. A list's page is some 700 kB, so this is the memory that waits there.
const UNITS_WAITING: usize = 4;

/// One report that is about to run.
pub(super) struct ReportRun<'a> {
    pub(super) writer: ReportWriter<'a>,
    /// With a meter of its own.
    pub(super) client: Client,
}

/// How a report was read.
struct Reading {
    tally: Tally,
    request: RequestPlan,
    /// Where its pages are kept, and what was kept there.
    pages: (String, PageTally),
    /// Pages of ids that were not read to their end.
    left_over: Vec<KeptPage>,
    /// Why it ended early, where what was read is complete in itself and worth a commit.
    unfinished: Option<RunError>,
}

impl ReportRun<'_> {
    /// Runs the report. `source` is how the report ended that this one takes its ids from.
    pub(super) async fn carry_out(&self, source: Outcome) -> ReportSummary {
        let clock = &self.writer.context.clock;
        let mut summary = ReportSummary::begun(self.writer.name(), clock);
        for warning in &self.writer.report_plan.warnings {
            summary.warnings.push(warning.clone());
        }
        if let Err(error) = Box::pin(self.attempt(source, &mut summary)).await {
            tracing::debug!(report = self.writer.name(), error = %error, "report failed");
            summary.outcome = error.outcome();
            summary.error = Some(self.writer.plan.told(&error));
        }
        summary.end(clock);
        summary.api = self.client.meter().into();
        summary
    }

    async fn attempt(&self, source: Outcome, summary: &mut ReportSummary) -> Result<(), RunError> {
        let ids = self.ids(source).await?;
        let warnings = summary.warnings.len();
        summary.warnings.extend(self.proven().await?);
        match Box::pin(self.pass(ids.clone(), true, summary)).await {
            Err(error) if error.is_of_kept_pages(summary.resumed_pages) => {
                tracing::warn!(report = self.writer.name(), %error, "saved pages cannot be continued; reading the window again");
                Box::pin(self.pass(ids, false, summary)).await
            }
            Err(error) if self.needs_no_state(&error) => {
                summary.warnings.truncate(warnings);
                summary.warnings.push(self.rebuilt(&error).await?);
                Box::pin(self.pass(ids, true, summary)).await
            }
            done => done,
        }
    }

    /// Reads and commits once, with `resumes` after the pages that an earlier run has kept.
    async fn pass(
        &self,
        ids: Option<(&str, Vec<String>)>,
        resumes: bool,
        summary: &mut ReportSummary,
    ) -> Result<(), RunError> {
        let load = |error| self.writer.load(error);
        let load_plan = self.load_plan().await.map_err(load)?;
        let begun = Box::pin(Session::begin(self.writer.destination, load_plan));
        let mut session = self.writer.destination.stop().unless_stopped(begun).await.map_err(load)?;
        self.refuse_ahead(&session)?;
        let previous = session.previous().map(|commit| commit.state.clone());
        self.writer.refuse_other_rows(session.previous())?;
        summary.warnings.extend(self.kept_beside(session.previous()));
        let columns = self.writer.destination.file_options().account_column;
        summary.warnings.extend(session.previous().and_then(|commit| commit.told_of_columns(columns)));
        summary.watermark_before = previous.as_ref().and_then(|state| state.watermark);
        summary.watermark_after = summary.watermark_before;

        let request = self.writer.report_plan.request_plan(previous.as_ref(), self.writer.context.clock.now());
        let request = request.of(&self.writer.reader.source);
        let progress = previous.as_ref().and_then(|state| self.writer.report_plan.progress(state));
        let decoder = || PageDecoder::new(Arc::clone(&self.writer.report_plan.report));
        let left = self.ids_left(ids.is_some(), session.previous()).await.map_err(load)?;
        let now = self.writer.context.clock.now();
        let mut ids =
            ids.map(|ids| CrawledIds::new(ids, (self.period(), progress), left, session.known(), decoder(), now));
        let live = self.writer.report_plan.scope == Scope::Live;
        if let (Some(ids), Repeats::NewestFirst { .. }, true) = (&mut ids, self.writer.repeats(), live) {
            let (overlap, fingerprint) =
                (self.writer.report_plan.delivery.overlap, self.writer.report_plan.chosen_by());
            // A mark that a wrong clock has set ahead of now tells nothing.
            let mark = |id: &String| session.mark(id, &fingerprint).filter(|mark| *mark <= now);
            let before = |id: &String| Some((id.clone(), mark(id)?.checked_sub_signed(overlap)?));
            ids.known_before = ids.ids.iter().filter_map(before).collect();
        }
        let not_found = AtomicU64::new(0);
        let fingerprint = request.fingerprint();
        let read = Box::pin(self.read(request, ids.as_ref(), resumes, &mut session, &not_found, summary)).await;
        summary.ids_not_found = not_found.into_inner();
        match read {
            Ok(reading) => Box::pin(self.commit(session, previous, ids.as_ref(), reading, summary)).await,
            Err(error) => {
                if error.spoils_kept_pages() {
                    self.forget_pages(session.pages_base(), &fingerprint).await;
                }
                session.abandon().await;
                Err(error)
            }
        }
    }

    /// Reads, decodes and writes until all is read.
    async fn read(
        &self,
        request: RequestPlan,
        ids: Option<&CrawledIds<'_>>,
        resumes: bool,
        session: &mut Session,
        not_found: &AtomicU64,
        summary: &mut ReportSummary,
    ) -> Result<Reading, RunError> {
        let (resumption, keeper) =
            self.kept(&request, resumes, session).await.map_err(|error| self.writer.load(error))?;
        // A window that an earlier run had begun with is finished, not begun again.
        let request = match resumption.params() {
            Some(params) => self.writer.report_plan.resumed(request, self.writer.report_plan.after_of(params)),
            None => request,
        };
        summary.window = request.window;
        let left_over = Mutex::default();
        let (base, fingerprint) = (session.pages_base(), request.fingerprint());
        let stale = (!resumes).then_some(StalePages { writer: self.writer, base, fingerprint });
        let crawls = Crawls {
            report: &self.writer.report_plan.report,
            queries: &request.queries,
            ids,
            client: &self.client,
            concurrency: concurrency(self.writer.plan.pipeline.pace().requests_per_second),
            events: &self.writer.context.events,
            stop: &self.writer.context.stop,
            keeps_last: self.writer.report_plan.delivery.keep_raw,
            not_found,
            left_over: &left_over,
            stale: stale.as_ref(),
            ended: AtomicBool::new(false),
        };
        told_to_the_log(request.window);
        let (report, crawls_to_do) = (self.writer.name().to_owned(), crawls.len());
        let started = Event::ReportStarted { report, crawls: crawls_to_do, window: request.window };
        self.writer.context.events.emit(&started);
        let (units, received) = mpsc::channel::<Unit>(UNITS_WAITING);
        let queue = keeper.spawn();
        let asked = async {
            let kept = resumption
                .replay(&units, &self.writer.report_plan.report, ids.is_some())
                .await
                .map_err(|error| self.writer.load(error))?;
            let (pages, tally) = (kept.pages, kept.tally);
            if pages > 0 {
                tracing::info!(
                    report = self.writer.name(),
                    pages,
                    "resuming after the pages that an earlier run saved"
                );
            }
            Ok::<_, RunError>((pages, tally, crawls.read(kept, Sinks { units, queue: &queue }).await))
        };
        let mut tally = Tally::beside(self.known_letters(session).await);
        let (asked, written) = futures::join!(asked, self.writer.write(received, session, &mut tally));
        let keeper = queue.finish().await;
        tally.copy_to(summary);
        if let Ok((resumed_pages, ..)) = &asked {
            summary.resumed_pages = *resumed_pages;
        }
        // When writing or keeping fails, asking ends because nobody listens: that error is the one to report.
        written?;
        let keeper = keeper.map_err(|error| self.writer.load(error))?;
        let (resumed_pages, before, asked) = asked?;
        tally.resumed_pages = resumed_pages;
        let unknown = not_found.load(Ordering::Relaxed);
        let failed = std::mem::take(&mut tally.failed);
        if let Some(ids) = ids {
            for (params, error) in failed {
                ids.cannot_be_decoded(&params, error);
            }
            let failed = ids.failed();
            summary.ids_failed = failed.len() as u64;
            summary.ids_failed_since = failed.iter().map(|failed| failed.since).min();
        }
        let asked_ids = ids.map_or(0, |ids| ids.ids.len() as u64);
        let unfinished = match asked {
            Ok(ReadOutcome::Complete) if asked_ids > 0 && unknown >= asked_ids && tally.pages == 0 => {
                return Err(RunError::NoneFound { report: self.writer.name().to_owned(), ids: asked_ids });
            }
            Ok(ReadOutcome::Complete) => match ids.and_then(|ids| ids.end(self.writer.name())) {
                Some(error) => return Err(error),
                None => None,
            },
            Ok(ReadOutcome::Stopped) => Some(RunError::Stopped { report: self.writer.name().to_owned() }),
            Err(error) => Some(error),
        };
        match unfinished {
            // Learning that the API does not know an id took a request too.
            Some(error) if tally.rows + unknown == 0 || !self.keeps_what_is_whole(&error) => Err(error),
            unfinished => {
                let pages = (keeper.folder().to_owned(), keeper.tally().and(before));
                let left_over = left_over.into_inner();
                Ok(Reading { tally, request, pages, left_over, unfinished })
            }
        }
    }

    /// The pages that an earlier run has kept for the same question, and where this run keeps its own.
    async fn kept(
        &self,
        request: &RequestPlan,
        resumes: bool,
        session: &Session,
    ) -> Result<(Resumption, PageKeeper), LoadError> {
        let log = ReportLog::new(self.writer.destination, &self.writer.plan.account, self.writer.name())?;
        let (base, raw) = (session.pages_base(), self.writer.report_plan.delivery.keep_raw);
        let fingerprint = request.fingerprint();
        let kept = log.kept_pages(base, &fingerprint, raw).await?;
        let resumption = if resumes { Resumption::open(kept).await? } else { Resumption::none(&kept) };
        let keeper = log.keeper(base, &fingerprint, &self.writer.context.run_id, raw, resumption.next_sequence());
        Ok((resumption, keeper))
    }

    /// Keeps pages for the run that starts from this commit: what was kept until now ends with it. What cannot be kept is
    /// asked for again.
    async fn keep_for_next(&self, version: i64, request: &RequestPlan, pages: Vec<KeptPage>) {
        if pages.is_empty() {
            return;
        }
        let log = ReportLog::new(self.writer.destination, &self.writer.plan.account, self.writer.name());
        let kept = async {
            let (log, fingerprint, raw) = (log?, request.fingerprint(), self.writer.report_plan.delivery.keep_raw);
            let sequence = log.kept_pages(version, &fingerprint, raw).await?.next_sequence();
            log.keeper(version, &fingerprint, &self.writer.context.run_id, raw, sequence).keep(pages).await
        };
        if let Err(error) = kept.await {
            tracing::warn!(report = self.writer.name(), %error, "pages of unfinished ids could not be saved");
        }
    }

    /// Drops what is kept for a question. What cannot be dropped now, a later commit drops.
    async fn forget_pages(&self, base: i64, fingerprint: &str) {
        let log = ReportLog::new(self.writer.destination, &self.writer.plan.account, self.writer.name());
        let dropped = async { log?.discard_pages(base, fingerprint, self.writer.report_plan.delivery.keep_raw).await };
        if let Err(error) = dropped.await {
            tracing::warn!(report = self.writer.name(), %error, "saved pages could not be deleted");
        }
    }

    /// Commits what was read, with the state that the next run starts from.
    async fn commit(
        &self,
        mut session: Session,
        previous: Option<ReportState>,
        ids: Option<&CrawledIds<'_>>,
        reading: Reading,
        summary: &mut ReportSummary,
    ) -> Result<(), RunError> {
        let census = self.census(&mut session, &reading).await?;
        let Reading { tally, request, pages, left_over, unfinished } = reading;
        if census.too_many_rejected(self.writer.report_plan.delivery.max_rejected) {
            return Err(Box::pin(self.reject(session, &request, census)).await);
        }
        let now = self.writer.context.clock.now();
        let complete = unfinished.is_none();
        let deleted = request.sweep && complete && self.proves_absence(census, &tally);
        let incomplete = census.incomplete();
        // What came as a dead letter, or did not come though it is counted, is not gone.
        let failed = ids.map(CrawledIds::failed);
        let shows_all = incomplete.is_none() && census.rejected == 0 && failed.as_ref().is_none_or(Vec::is_empty);
        let absent = match self.writer.report_plan.write_mode {
            WriteMode::Merge if deleted => Absent::Mark(now),
            WriteMode::Merge if self.writer.report_plan.scope == Scope::Everything && complete && shows_all => {
                Absent::Go
            }
            _ => Absent::Stay,
        };
        let brake = self.brake(session.previous(), census.records);
        let incomplete_before = previous.as_ref().map_or(0, |previous| previous.incomplete);
        let mut state = self.next_state(previous, &request, &tally, complete, now);
        if let Some(found) = incomplete {
            state.incomplete = incomplete_before.saturating_add(1);
            summary.incomplete = Some(found);
        }
        let short_again = incomplete.filter(|_| state.incomplete > 1);
        if let Some(rejected) = state.rejected.filter(|_| census.rejected > 0) {
            summary.warnings.push(self.told_of_rejected(rejected, census.rejected));
        }
        if request.sweep {
            state.reconcile_tried_at = Some(now);
            state.reconciled_at = if deleted { Some(now) } else { state.reconciled_at };
            summary.reconciled = Some(deleted);
        }
        let (progress, done) = ids.filter(|_| !complete).and_then(CrawledIds::progress).unzip();
        state.progress = progress.map(|progress: Progress| {
            let of = self.writer.report_plan.progress_of(&progress.period);
            Progress { of, ..progress }
        });
        let watermark = state.watermark;
        if self.writer.report_plan.delivery.keep_raw {
            let since = self.replayable_since(&session);
            let (folder, kept) = pages;
            session.name_raw_pages(RawPages { folder, since, kept: Some(kept) });
        }
        if let Some(failed) = failed {
            session.name_ids(IdsLeft { failed, done });
        }
        let outcome = ctct_load::RunOutcome {
            committed_at: now,
            answers: true,
            supersedes: request.sweep,
            state,
            window: request.window,
            absent,
            carry_over: !shows_all,
            brake,
            reach: self.reach(ids, request.window),
            stats: stats(summary, &tally),
        };
        let base = session.pages_base();
        let committed = match Box::pin(session.commit(outcome)).await {
            Ok(committed) => committed,
            Err(error) => {
                // Should the API have answered wrongly, the next run must not continue from those answers.
                if matches!(error, LoadError::TooMuchRemoved { .. }) {
                    self.forget_pages(base, &request.fingerprint()).await;
                }
                return Err(self.writer.load(error));
            }
        };
        self.keep_for_next(committed.version, &request, left_over).await;
        summary.watermark_after = watermark;
        summary.commit = Some(committed.version);
        summary.seen_before = committed.repeated;
        summary.removed = committed.removed;
        summary.outdated = committed.outdated;
        summary.not_in_folders.clone_from(&committed.not_in_folders);
        let failed_ids_file = committed.failed_ids_file.clone();
        summary.tables = table_summaries(committed);
        summary.failed_ids_file.clone_from(&failed_ids_file);
        if let Some(error) = unfinished {
            return Err(error);
        }
        if let Some((ids, First { ordinal, error })) = ids.and_then(|ids| Some((ids, ids.failures.take_first()?))) {
            let (report, failed, ids) = (self.writer.name().to_owned(), summary.ids_failed, ids.ids.len() as u64);
            let (first, file) = (Box::new(error), failed_ids_file);
            return Err(RunError::IdsFailed { report, failed, ids, ordinal, first, file });
        }
        short_again.map_or(Ok(()), |IncompleteSummary { read, counted }| {
            Err(RunError::Incomplete { report: self.writer.name().to_owned(), read, counted })
        })
    }

    /// What was read, by keys.
    async fn census(&self, session: &mut Session, reading: &Reading) -> Result<Census, RunError> {
        let Reading { tally, request, unfinished, .. } = reading;
        let counted = tally.first_counted.filter(|_| unfinished.is_none());
        let plan = &self.writer.report_plan;
        // The count may not know of the filters. Behind a page that is not full there is no more; behind a full one there may be.
        let says = plan.is_counted(request.window) && (!plan.has_filter() || tally.ended_full(&plan.report));
        let counted = counted.filter(|_| says);
        let rejected = tally.letters.distinct();
        // A window asks for those of earlier runs on purpose, and little may come beside them.
        let asks_again = self.writer.report_plan.is_incremental() || !matches!(self.writer.report_plan.ids, Ids::None);
        let weighed = if asks_again { tally.letters.fresh() } else { rejected };
        // To tell keys apart takes a moment where there are many.
        let records = if rejected > 0 || counted.is_some() || request.sweep {
            let counted = session.distinct_records();
            match self
                .writer
                .destination
                .stop()
                .unless_stopped(counted)
                .await
                .map_err(|error| self.writer.load(error))?
            {
                // Some ways of writing remember no keys.
                0 => tally.rows,
                records => records,
            }
        } else {
            tally.rows
        };
        Ok(Census { records, rejected, weighed, counted, fell: tally.fell })
    }

    /// The records that earlier runs could not use and that are asked for again. Where they cannot be read, none is known.
    async fn known_letters(&self, session: &Session) -> RejectedRecords {
        let mut letters = RejectedRecords::default();
        if session.previous().is_none_or(|commit| commit.state.rejected.is_none()) {
            return letters;
        }
        let read = async {
            let log = ReportLog::new(self.writer.destination, &self.writer.plan.account, self.writer.name())?;
            for file in log.letter_files().await?.iter().rev() {
                let mut lines = log.letters(file).await?;
                while let Some(line) = lines.next_line()? {
                    if !letters.know(&line.record) {
                        return Ok(());
                    }
                }
            }
            Ok::<(), LoadError>(())
        };
        if let Err(error) = read.await {
            tracing::warn!(report = self.writer.name(), %error, "dead letters of earlier runs could not be read");
        }
        letters
    }

    /// Ends the report without a commit, because too much of what came cannot be used. The same answers would lead here
    /// again, so the next run asks again.
    async fn reject(&self, session: Session, request: &RequestPlan, census: Census) -> RunError {
        self.forget_pages(session.pages_base(), &request.fingerprint()).await;
        let kept = Box::pin(session.reject()).await.unwrap_or_else(|error| {
            tracing::warn!(report = self.writer.name(), %error, "the records that cannot be used could not be kept");
            None
        });
        let Census { records, rejected, .. } = census;
        RunError::TooManyRejected { report: self.writer.name().to_owned(), rejected, records: records + rejected, kept }
    }

    /// What the session is to write. A full refresh of tables whose rows are named by other columns takes nothing of them over,
    /// whatever the mode.
    async fn load_plan(&self) -> Result<LoadPlan, LoadError> {
        let plan = self.writer.load_plan();
        if self.writer.report_plan.scope != Scope::Everything {
            return Ok(plan);
        }
        let log = ReportLog::new(self.writer.destination, &self.writer.plan.account, self.writer.name())?;
        let starts_over = log.head().await?.is_some_and(|commit| !commit.has_key_of(&plan.report));
        Ok(LoadPlan {
            rebuild: plan.rebuild || starts_over,
            forgets_history: plan.forgets_history || starts_over,
            ..plan
        })
    }

    /// The ids that earlier runs could not read, and those that they had done.
    async fn ids_left(&self, by_id: bool, previous: Option<&Commit>) -> Result<IdsLeft, LoadError> {
        let Some(previous) = previous.filter(|_| by_id) else { return Ok(IdsLeft::default()) };
        let log = ReportLog::new(self.writer.destination, &self.writer.plan.account, self.writer.name())?;
        log.ids_left(previous).await
    }

    /// The days that each id is asked for. A snapshot has no use for those of an earlier one.
    fn period(&self) -> Vec<(String, String)> {
        if self.writer.report_plan.write_mode == WriteMode::Replace {
            return Vec::new();
        }
        self.writer.report_plan.period()
    }

    /// Refuses to continue from a watermark that lies ahead of the time, unless everything is read anyway.
    fn refuse_ahead(&self, session: &Session) -> Result<(), RunError> {
        let Some(commit) = session.previous().filter(|_| self.writer.report_plan.scope != Scope::Everything) else {
            return Ok(());
        };
        let load = |error| self.writer.load(error);
        let log = ReportLog::new(self.writer.destination, &self.writer.plan.account, self.writer.name());
        log.map_err(load)?.refuse_ahead(commit, self.writer.context.clock.now()).map_err(load)
    }

    /// What to say where rows that were chosen in another way stay.
    fn kept_beside(&self, previous: Option<&Commit>) -> Option<String> {
        let name = self.writer.name();
        let OtherRows { stored, .. } =
            self.writer.report_plan.kept_beside(previous?, &self.writer.plan.pipeline.name)?;
        let warning = format!(
            "{name}: rows that were chosen by `{stored}` stay beside those of this run: append removes nothing; \
             `write_mode: merge` or `write_mode: replace` would"
        );
        Some(warning)
    }

    /// The parameter and the ids where each id has its own crawl.
    async fn ids(&self, source: Outcome) -> Result<Option<(&str, Vec<String>)>, RunError> {
        match &self.writer.report_plan.ids {
            Ids::None => Ok(None),
            Ids::List { param, ids } => Ok(Some((param, ids.clone()))),
            Ids::From { .. } if source == Outcome::Stopped => {
                Err(RunError::Stopped { report: self.writer.name().to_owned() })
            }
            Ids::From { source: from, .. } if source != Outcome::Done => {
                let (report, on) = (self.writer.name().to_owned(), from.report.clone());
                Err(RunError::SourceFailed { report, on, outcome: source })
            }
            Ids::From { param, source: from } => {
                // A run that was killed may have committed rows that readers do not see yet.
                let log = ReportLog::new(self.writer.destination, &self.writer.plan.account, &from.report);
                log.map_err(|error| self.writer.load(error))?
                    .recover()
                    .await
                    .map_err(|error| self.writer.load(error))?;
                let ids = distinct_ids(self.writer.destination, &self.writer.plan.account, &from.report, &from.column)
                    .await
                    .map_err(|error| self.writer.load(error))?;
                let ids = ids.ok_or_else(|| RunError::NoSource {
                    report: self.writer.name().to_owned(),
                    table: from.report.clone(),
                })?;
                Ok(Some((param, ids.iter().flatten().map(str::to_owned).collect())))
            }
        }
    }

    /// Whether the units read before `error` are worth a commit: each id is complete in itself, and no earlier row is replaced.
    fn keeps_what_is_whole(&self, error: &RunError) -> bool {
        let ended_in_order = matches!(error, RunError::Stopped { .. }) || error.outcome() == Outcome::Quota;
        let by_id = !matches!(self.writer.report_plan.ids, Ids::None);
        // A full refresh of merged tables takes the place of all rows: a part of it would take away the rest.
        let adds = match self.writer.report_plan.write_mode {
            WriteMode::Append => true,
            WriteMode::Merge => self.writer.report_plan.scope != Scope::Everything,
            _ => false,
        };
        ended_in_order && by_id && adds
    }
}

/// Adds the window to the fields that every log line of the report has.
fn told_to_the_log(window: Window) {
    let shown = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let span = tracing::Span::current();
    for (field, end) in [("window_from", window.after), ("window_to", window.before)] {
        if let Some(end) = end {
            span.record(field, shown(end));
        }
    }
}

/// Crawls at once: enough that requests of two seconds still fill the pace.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 4..64 before the cast")]
fn concurrency(requests_per_second: f64) -> usize {
    (requests_per_second * 2.0).ceil().clamp(4.0, 64.0) as usize
}

/// What the commit record tells of the run beside its rows.
fn stats(summary: &ReportSummary, tally: &Tally) -> BTreeMap<String, u64> {
    // What an earlier run read is as old as its first page.
    let first_page = tally.first.filter(|_| tally.resumed_pages > 0).map(|first| first.begun().timestamp());
    let first_page = first_page.and_then(|at| Some((FIRST_PAGE_AT.to_owned(), u64::try_from(at).ok()?)));
    let counts = [
        ("pages", summary.pages),
        ("resumed_pages", tally.resumed_pages),
        ("dead_letters", summary.dead_letters),
        ("ids_not_found", summary.ids_not_found),
        ("ids_failed", summary.ids_failed),
    ];
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).chain(first_page).collect()
}
