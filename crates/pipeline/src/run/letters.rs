//! Dead letters read in again: what the program can use now is written, and the rest stays. Sends no API requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use ctct_load::{
    Absent, Brake, DeadLetterLine, LetterFile, Letters, RawPages, Reach, ReportLog, ReportState, Session, Window,
    WriteMode,
};
use ctct_transform::{DecodedPage, PageDecoder, PageInput};
use serde_json::Value;
use serde_json::value::RawValue;

use super::clocks::Moment;
use super::write::ReportWriter;
use crate::run_error::RunError;
use crate::summary::{ReportSummary, table_summaries};

/// Records that are decoded at once: about a page.
const AT_ONCE: usize = 500;

/// Writes the dead letters of a report that can be used now, and leaves the others in one file.
pub(super) async fn replay_letters(writer: &ReportWriter<'_>, summary: &mut ReportSummary) -> Result<(), RunError> {
    let mode = writer.report_plan.write_mode;
    if matches!(mode, WriteMode::Replace | WriteMode::Partition) {
        return Err(RunError::LettersNotAdded { report: writer.name().to_owned(), mode: mode.name() });
    }
    let load = |error| writer.load(error);
    let mut session = Session::begin(writer.destination, writer.load_plan()).await.map_err(load)?;
    let log = ReportLog::new(writer.destination, &writer.plan.account, writer.name()).map_err(load)?;
    summary.replayed = Some(0);
    let files = log.letter_files().await.map_err(load)?;
    let Some(head) = session.previous().cloned().filter(|_| !files.is_empty()) else {
        session.abandon().await;
        return Ok(());
    };
    summary.watermark_before = head.state.watermark;
    summary.watermark_after = head.state.watermark;
    session.remember_from(writer.next_window(&session, Moment::by_host(writer.context.clock.now())));
    let replay = LetterReplay { writer, decoder: PageDecoder::new(Arc::clone(&writer.report_plan.report)) };
    let taken = match replay.all(&log, &files, &mut session).await {
        Ok(taken) if taken.records > 0 => taken,
        done => {
            session.abandon().await;
            return done.map(|taken| summary.dead_letters = taken.left);
        }
    };
    summary.rows = taken.records;
    summary.dead_letters = taken.left;
    session.take_letters_away(files.into_iter().map(|file| file.path).collect());
    // A commit that asked nothing names the pages of the one before it.
    if let Some(raw) = head.raw {
        session.name_raw_pages(RawPages { ..raw });
    }
    let rejected = head.state.rejected.filter(|_| taken.left > 0);
    let outcome = ctct_load::RunOutcome {
        committed_at: writer.context.clock.now(),
        state: ReportState { rejected, ..head.state },
        window: Window::default(),
        absent: Absent::Stay,
        carry_over: false,
        answers: false,
        supersedes: false,
        brake: Brake::Off,
        reach: Reach::default(),
        stats: BTreeMap::from([("replayed_dead_letters".to_owned(), taken.records)]),
    };
    let committed = Box::pin(session.commit(outcome)).await.map_err(load)?;
    summary.replayed = Some(taken.records);
    summary.commit = Some(committed.version);
    summary.seen_before = committed.repeated;
    summary.outdated = committed.outdated;
    summary.tables = table_summaries(committed);
    Ok(())
}

/// What became of dead letters.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    /// Records that can be used now.
    records: u64,
    /// Records that still cannot.
    left: u64,
}

struct LetterReplay<'a> {
    writer: &'a ReportWriter<'a>,
    decoder: PageDecoder,
}

impl LetterReplay<'_> {
    async fn all(&self, log: &ReportLog, files: &[LetterFile], session: &mut Session) -> Result<Taken, RunError> {
        let mut taken = Taken::default();
        for file in files {
            let mut letters = log.letters(file).await.map_err(|error| self.writer.load(error))?;
            let mut ahead = None;
            while let Some(lines) = self.next_lines(&mut letters, file, &mut ahead)? {
                self.write(lines, session, &mut taken).await?;
            }
        }
        Ok(taken)
    }

    /// Lines that came with the same parameters at the same time, so that they can be decoded as one page. `ahead` holds
    /// the line that was read and did not belong to them.
    fn next_lines(
        &self,
        letters: &mut Letters,
        file: &LetterFile,
        ahead: &mut Option<DeadLetterLine>,
    ) -> Result<Option<Vec<DeadLetterLine>>, RunError> {
        let mut lines: Vec<DeadLetterLine> = ahead.take().into_iter().collect();
        let most = if self.writer.report_plan.report.rows.is_some() { AT_ONCE } else { 1 };
        while lines.len() < most {
            let Some(line) = letters.next_line().map_err(|error| self.writer.load(error))? else { break };
            let extracted_at = line.extracted_at.or(Some(file.written_at));
            let line = DeadLetterLine { extracted_at, ..line };
            let alike =
                lines.first().is_none_or(|first| first.bound == line.bound && first.extracted_at == line.extracted_at);
            if !alike {
                *ahead = Some(line);
                break;
            }
            lines.push(line);
        }
        Ok((!lines.is_empty()).then_some(lines))
    }

    /// Writes those of the lines that can be used, and keeps the others.
    async fn write(
        &self,
        lines: Vec<DeadLetterLine>,
        session: &mut Session,
        taken: &mut Taken,
    ) -> Result<(), RunError> {
        // One record that spoils its page must not spoil the others.
        let pages: Vec<Vec<DeadLetterLine>> = match self.decode(&lines, session.version()) {
            Some(page) => return self.write_page(lines, page, session, taken).await,
            None => lines.into_iter().map(|line| vec![line]).collect(),
        };
        for lines in pages {
            match self.decode(&lines, session.version()) {
                Some(page) => self.write_page(lines, page, session, taken).await?,
                None => self.keep(&lines, session, taken).await?,
            }
        }
        Ok(())
    }

    async fn write_page(
        &self,
        lines: Vec<DeadLetterLine>,
        page: DecodedPage,
        session: &mut Session,
        taken: &mut Taken,
    ) -> Result<(), RunError> {
        let left: Vec<DeadLetterLine> = page
            .dead_letters
            .into_iter()
            .filter_map(|letter| Some(DeadLetterLine { reason: letter.reason, ..lines.get(letter.index)?.clone() }))
            .collect();
        taken.records += (lines.len() - left.len()) as u64;
        let fits = self.writer.fits(&page.tables);
        session.write_judged(page.tables, &fits).await.map_err(|error| self.writer.load(error))?;
        self.keep(&left, session, taken).await
    }

    async fn keep(&self, lines: &[DeadLetterLine], session: &mut Session, taken: &mut Taken) -> Result<(), RunError> {
        for line in lines {
            session.dead_letter(line).await.map_err(|error| self.writer.load(error))?;
            taken.left += 1;
        }
        Ok(())
    }

    /// The lines as a page; `None` where that is not one.
    fn decode(&self, lines: &[DeadLetterLine], commit: i64) -> Option<DecodedPage> {
        let first = lines.first()?;
        let records: Option<Vec<&str>> =
            lines.iter().map(|line| serde_json::from_str::<&RawValue>(&line.record).ok().map(RawValue::get)).collect();
        let body = match &self.writer.report_plan.report.rows {
            Some(rows) => format!("{{{}:[{}]}}", Value::from(rows.as_str()), records?.join(",")),
            None => records?.concat(),
        };
        // Files of earlier versions do not say what was asked: then it was asked as it is now.
        let mut bound: Vec<(String, String)> = first.bound.clone().into_iter().collect();
        if bound.is_empty() {
            bound.clone_from(&self.writer.report_plan.params);
        }
        let extracted_at = first.extracted_at?;
        self.decoder.decode(&PageInput { body: body.as_bytes(), bound: &bound, extracted_at, commit }).ok()
    }
}
