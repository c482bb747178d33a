//! The crawls of a report that is read id by id: several at once, each through all pages of its id.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use ctct_extract::{ExtractError, Page, SPANS};
use ctct_load::Known;
use ctct_transform::{Occurrences, PageDecoder, parse_timestamp};
use futures::StreamExt;
use futures::lock::Mutex;
use futures::stream::FuturesUnordered;
use tracing::{Instrument, error_span};

use super::borders::Borders;
use super::crawl::{Crawls, Sinks};
use super::decode::decode_page;
use super::failures::{IN_A_ROW, is_outage, is_the_ids};
use super::ids::{CrawledIds, Job, Params};
use super::resume::{Chain, Resumed};
use super::unit::{ReadOutcome, Unit};
use crate::event::Event;
use crate::run_error::RunError;

/// What was to be found out.
enum JobResult {
    /// What became of a job.
    Read(Job, Result<ReadOutcome, RunError>),
    /// Whether the API responds at all.
    Answers(bool),
}

/// What came of reading the pages of an id.
enum Pages {
    All(Unit),
    /// The API does not know the id.
    Gone,
    Stopped,
}

impl Crawls<'_> {
    /// Reads everything that `resumed` does not hold and sends it on; ends early when nobody receives any more.
    ///
    /// # Errors
    /// The first failure of a crawl; after it no other crawl is begun. Units that were sent are complete.
    pub(super) async fn read(self, resumed: Resumed, sinks: Sinks<'_>) -> Result<ReadOutcome, RunError> {
        match self.ids {
            None => self.read_lists(resumed, &sinks).await,
            Some(ids) => self.read_ids(ids, resumed, &sinks).await,
        }
    }

    pub(super) async fn read_ids(
        &self,
        ids: &CrawledIds<'_>,
        resumed: Resumed,
        sinks: &Sinks<'_>,
    ) -> Result<ReadOutcome, RunError> {
        ids.take_up(resumed.params());
        let resumed = Mutex::new(resumed);
        let jobs = ids.jobs();
        let mut waiting = jobs.iter().copied().peekable();
        // The kind of those that are under way, and their number: the next kind begins when all of them have ended.
        let (mut phase, mut of_phase) = (None, 0_usize);
        let mut under_way = FuturesUnordered::new();
        let (mut asked, mut ended) = (ReadOutcome::Complete, None);
        let (mut in_a_row, mut good, mut in_doubt) = (0, None, false);
        let read = async |job: Job| {
            let chain = resumed.lock().await.remove(&ids.crawl_name(job));
            // Messages name no id, so they have its place among all.
            let span = error_span!(target: SPANS, "id", ordinal = job.at + 1);
            JobResult::Read(job, self.read_id(ids, job, chain, sinks).instrument(span).await)
        };
        let answers = async |job: Job| {
            JobResult::Answers(match self.first_page(&self.params(ids, job)).await {
                Ok(_) => true,
                Err(error) => error.status() == Some(404),
            })
        };
        loop {
            while ended.is_none() && !in_doubt && under_way.len() < self.concurrency {
                let may_begin = |job: &Job| of_phase == 0 || phase == Some(job.phase());
                let Some(job) = waiting.next_if(may_begin) else { break };
                (phase, of_phase) = (Some(job.phase()), of_phase + 1);
                under_way.push(futures::future::Either::Left(read(job)));
            }
            let found = under_way.next().await;
            if let Some(JobResult::Read(..)) = &found {
                of_phase -= 1;
            }
            match found {
                None => break,
                Some(JobResult::Read(job, Ok(ReadOutcome::Complete))) => {
                    ids.settle(job);
                    ids.answered.store(true, Ordering::Relaxed);
                    (in_a_row, good) = (0, Some(job));
                }
                Some(JobResult::Read(_, Ok(ReadOutcome::Stopped))) => asked = ReadOutcome::Stopped,
                Some(JobResult::Read(job, Err(error))) if is_the_ids(&error) => {
                    ids.fail(job, error);
                    in_a_row += 1;
                    if is_outage(ids.failures.len(), ids.ids.len()) {
                        ended.get_or_insert_with(|| ids.outage(&self.report.name));
                    } else if in_a_row >= IN_A_ROW && !in_doubt && ended.is_none() {
                        // One that was read before tells bad ids from a bad API; where there is none, the last one does.
                        in_doubt = true;
                        let witness = good.or(jobs.last().copied()).unwrap_or(job);
                        under_way.push(futures::future::Either::Right(answers(witness)));
                    }
                }
                Some(JobResult::Read(_, Err(error))) => _ = ended.get_or_insert(error),
                Some(JobResult::Answers(answers)) => {
                    (in_doubt, in_a_row) = (false, 0);
                    if !answers {
                        ended.get_or_insert_with(|| ids.outage(&self.report.name));
                    }
                }
            }
            // Crawls that are under way are finished, since their requests are spent; no other is begun.
            if ended.is_some() {
                self.ended.store(true, Ordering::Relaxed);
            }
        }
        // What is kept of an id that was not come to is for the next run too.
        if ended.is_some() {
            let left = std::mem::take(&mut *resumed.lock().await);
            for (crawl, chain) in left.into_chains() {
                self.leave(&crawl, &chain.waiting).await;
            }
        }
        ended.map_or(Ok(asked), Err)
    }

    /// The parameters of a job.
    fn params(&self, ids: &CrawledIds<'_>, job: Job) -> Params {
        let mut params = self.queries.first().map(|query| query.params.clone()).unwrap_or_default();
        for (name, value) in &mut params {
            if let Some((_, day)) = ids.period(job).iter().find(|(of, _)| of == name) {
                value.clone_from(day);
            }
        }
        params.push((ids.param.to_owned(), ids.ids[job.at].clone()));
        params
    }

    async fn read_id(
        &self,
        ids: &CrawledIds<'_>,
        job: Job,
        chain: Option<Chain>,
        sinks: &Sinks<'_>,
    ) -> Result<ReadOutcome, RunError> {
        let params = self.params(ids, job);
        let kept = chain.as_ref().map(|chain| chain.waiting.clone()).unwrap_or_default();
        let name = ids.crawl_name(job);
        let pages = match self.pages(ids, job, &params, chain, sinks).await {
            // The link of an earlier run is of no use; once is enough to find that out.
            Err(RunError::Extract(error)) if matches!(*error, ExtractError::StaleCursor { .. }) => {
                tracing::warn!(report = self.report.name, %error, "reading this id again from its first page");
                let again = self.pages(ids, job, &params, None, sinks).await;
                if matches!(again, Err(_) | Ok(Pages::Stopped)) {
                    self.leave(&name, &kept).await;
                }
                again
            }
            pages => pages,
        };
        let mut unit = match pages? {
            Pages::All(unit) => unit,
            Pages::Gone => Unit::new(),
            Pages::Stopped => return Ok(ReadOutcome::Stopped),
        };
        if let Some(borders) = Borders::doubtful(self.report, &unit) {
            match self.unless_stopped(self.first_page(&params)).await {
                None => {
                    self.leave(&name, &unit).await;
                    return Ok(ReadOutcome::Stopped);
                }
                Some(Ok(page)) => borders.drop_pushed(&mut unit, page.as_ref()),
                // It went meanwhile, and what was read of it stays.
                Some(Err(error)) if error.status() == Some(404) => {}
                Some(Err(error)) => {
                    self.leave(&name, &unit).await;
                    return Err(error.into());
                }
            }
        }
        self.events.emit(&Event::CrawlDone { report: self.report.name.clone() });
        if !unit.is_empty() && sinks.units.send(unit).await.is_err() {
            return Ok(ReadOutcome::Stopped);
        }
        Ok(ReadOutcome::Complete)
    }

    async fn pages(
        &self,
        ids: &CrawledIds<'_>,
        job: Job,
        params: &Params,
        chain: Option<Chain>,
        sinks: &Sinks<'_>,
    ) -> Result<Pages, RunError> {
        let name = ids.crawl_name(job);
        let crawl = self.crawl(params, chain.as_ref());
        let mut unit = chain.map(|chain| chain.waiting).unwrap_or_default();
        let mut ends = ids.known_before.get(&ids.ids[job.at]).map(|before| KnownEnd::new(*before, ids));
        let Some(mut crawl) = crawl else { return Ok(Pages::All(unit)) };
        if self.ended.load(Ordering::Relaxed) {
            self.leave(&name, &unit).await;
            return Ok(Pages::Stopped);
        }
        loop {
            match self.unless_stopped(crawl.next()).await {
                None => {
                    self.leave(&name, &unit).await;
                    return Ok(Pages::Stopped);
                }
                Some(Ok(Some(page))) => {
                    let known = match &mut ends {
                        Some(end) => end.reached_by(&unit, &page).await?,
                        None => false,
                    };
                    // Where no more is wanted, a later run shall not go on either.
                    let wanted = Page { next: page.next.filter(|_| !known), ..page };
                    self.keep(&name, &wanted, sinks).await?;
                    unit.push(wanted);
                    if known {
                        return Ok(Pages::All(unit));
                    }
                }
                Some(Ok(None)) => return Ok(Pages::All(unit)),
                // Contacts come and go between the run that listed them and this one.
                Some(Err(error)) if error.status() == Some(404) => {
                    self.not_found.fetch_add(1, Ordering::Relaxed);
                    return Ok(Pages::Gone);
                }
                Some(Err(error @ ExtractError::StaleCursor { .. })) => return Err(error.into()),
                Some(Err(error)) => {
                    self.leave(&name, &unit).await;
                    return Err(error.into());
                }
            }
        }
    }
}

/// Where the read of an id may end that was read before: at a page that goes back to before the mark and holds nothing new.
struct KnownEnd {
    known_before: DateTime<Utc>,
    known: Known,
    decoder: Arc<PageDecoder>,
    occurrences: Occurrences,
    /// Pages that are counted in `occurrences`.
    pages: usize,
}

impl KnownEnd {
    fn new(known_before: DateTime<Utc>, ids: &CrawledIds<'_>) -> Self {
        let (known, decoder) = (ids.known.clone(), Arc::clone(&ids.decoder));
        Self { known_before, known, decoder, occurrences: Occurrences::default(), pages: 0 }
    }

    /// Whether the read may end with this page, which comes after those of `unit`. Where the time of its last row cannot be
    /// read it may not. Pages by id have 100 rows at most, so they are decoded right here.
    async fn reached_by(&mut self, unit: &Unit, page: &Page) -> Result<bool, RunError> {
        let mut holds_all = false;
        for page in unit.iter().skip(self.pages).chain([page]) {
            // A body that cannot be decoded is refused where it is written.
            let Ok(decoded) = decode_page((page.received_at, page), &self.decoder, "", 0, &mut self.occurrences) else {
                return Ok(false);
            };
            let known = self.known.holds_all(self.decoder.report(), &decoded.tables);
            let report = || self.decoder.report().name.clone();
            let known = known.map_err(|source| RunError::Load { report: report(), source: Box::new(source) })?;
            holds_all = known && decoded.dead_letters.is_empty();
            self.pages += 1;
            tokio::task::yield_now().await;
        }
        let oldest = page.oldest.as_deref().and_then(parse_timestamp);
        Ok(holds_all && oldest.is_some_and(|oldest| oldest < self.known_before))
    }
}
