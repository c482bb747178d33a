//! Reports that are read id by id: one crawl each, several at once. An id that fails costs itself; it is listed and asked
//! for after the others in the next run. Days that an earlier run had begun are finished before those of now.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use ctct_extract::{ExtractError, Page, SPANS};
use ctct_load::{DoneIds, FailedId, IdsLeft, Known, Progress};
use ctct_transform::{Occurrences, PageDecoder, parse_timestamp};
use futures::StreamExt;
use futures::lock::Mutex;
use futures::stream::FuturesUnordered;
use tracing::{Instrument, error_span};

use super::borders::Borders;
use super::crawl::{Crawls, ReadOutcome, Sinks, Unit};
use super::decode::decode_page;
use super::failures::{Failures, First, IN_A_ROW, failed_id, is_outage, is_the_ids};
use super::resume::{Chain, Resumed};
use crate::event::Event;
use crate::plan::fingerprint::crawl_of;
use crate::run_error::RunError;

/// Ids after the first gap that are told in the record: as many as are read at once.
const ALSO: usize = 64;

/// Parameters by their names on the wire.
type Params = Vec<(String, String)>;

/// The ids that a report is read for.
pub(super) struct CrawledIds<'a> {
    /// The parameter that takes the id.
    pub(super) param: &'a str,
    /// The ids, ascending.
    pub(super) ids: Vec<String>,
    /// The days that are asked for.
    now_days: Days,
    /// Those of an earlier run that committed a part.
    begun: Option<Days>,
    /// Those of earlier runs that only kept pages.
    kept: OnceLock<Vec<Days>>,
    /// Those that earlier runs could not read.
    earlier: Vec<Earlier>,
    pub(super) failures: Failures,
    /// Whether any id was read, by this run or an earlier one of the same progress.
    answered: AtomicBool,
    /// For each id, the instant before which its rows should be known from earlier runs. Rows come newest first.
    pub(super) known_before: HashMap<String, DateTime<Utc>>,
    /// What is stored.
    pub(super) known: Known,
    /// Decodes pages, to find out whether they hold anything new.
    pub(super) decoder: Arc<PageDecoder>,
    /// The time of the run.
    pub(super) now: DateTime<Utc>,
}

/// Days that ids are asked for.
struct Days {
    /// Parameters; empty where the report has none.
    period: Params,
    /// Whether the id at this place is dealt with: all of its pages were sent on, the API does not know it, or it is listed
    /// as failed.
    done: Vec<AtomicBool>,
}

impl Days {
    fn new(period: Params, ids: &[String], is_done: impl Fn(&str) -> bool) -> Self {
        Self { period, done: ids.iter().map(|id| AtomicBool::new(is_done(id))).collect() }
    }

    fn is_done(&self, at: usize) -> bool {
        self.done[at].load(Ordering::Relaxed)
    }

    /// The places of the ids that are left.
    fn left(&self) -> impl Iterator<Item = usize> {
        (0..self.done.len()).filter(|at| !self.is_done(*at))
    }
}

/// An id that earlier runs could not read.
struct Earlier {
    at: usize,
    failed: FailedId,
    /// Whether this run knows better.
    settled: AtomicBool,
}

/// One crawl: an id for some days.
#[derive(Debug, Clone, Copy)]
struct Job {
    at: usize,
    /// Its number among those that failed before.
    earlier: Option<usize>,
    days: Which,
}

/// Jobs of one kind begin when all those of the kinds before have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    /// The days that an earlier run had begun, by their number.
    Begun(usize),
    /// Those of the run.
    Now,
    /// Those for which the id had failed.
    Failed,
}

impl Job {
    /// Those that failed before come last, whatever their days.
    fn phase(self) -> Which {
        if self.earlier.is_some() { Which::Failed } else { self.days }
    }
}

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

impl<'a> CrawledIds<'a> {
    /// The ids, of which those of an earlier commit's progress are done already and those that had failed come last.
    pub(super) fn new(
        (param, mut ids): (&'a str, Vec<String>),
        (period, progress): (Params, Option<&Progress>),
        IdsLeft { failed, done }: IdsLeft,
        known: Known,
        decoder: PageDecoder,
        now: DateTime<Utc>,
    ) -> Self {
        ids.sort_unstable();
        ids.dedup();
        let is_done = |id: &str| match &done {
            Some(done) => done.contains(id),
            None => progress.is_some_and(|progress| progress.covers(id)),
        };
        let earlier_days = progress.filter(|progress| !progress.period.is_empty() && progress.period != period);
        let begun = earlier_days.map(|progress| Days::new(progress.period.clone(), &ids, is_done));
        let is_of_now = progress.is_some() && begun.is_none();
        let now_days = Days::new(period, &ids, |id| is_of_now && is_done(id));
        // An id that is no longer requested has not failed.
        let earlier = failed.into_iter().filter_map(|failed| {
            let at = ids.binary_search(&failed.id).ok()?;
            Some(Earlier { at, failed, settled: AtomicBool::new(false) })
        });
        let earlier = earlier.collect();
        let answered = begun.iter().chain([&now_days]).any(|days| (0..ids.len()).any(|at| days.is_done(at)));
        let (failures, known_before, decoder) = (Failures::default(), HashMap::new(), Arc::new(decoder));
        let (kept, answered) = (OnceLock::new(), AtomicBool::new(answered));
        Self { param, ids, now_days, begun, kept, earlier, failures, answered, known_before, known, decoder, now }
    }

    /// Takes up the days for which earlier runs kept pages, given the parameters of each. Days that an id failed for were
    /// finished but for that.
    fn take_up(&self, kept: impl Iterator<Item = Params>) {
        if self.now_days.period.is_empty() {
            return;
        }
        let known = |period: &Params| {
            let begun = self.begun.iter().chain([&self.now_days]).any(|days| &days.period == period);
            begun || self.earlier.iter().any(|earlier| &earlier.failed.period == period)
        };
        let names = |(name, _): &(String, String)| self.now_days.period.iter().any(|(day, _)| day == name);
        let periods = kept.map(|params| params.into_iter().filter(names).collect());
        let periods: BTreeSet<Params> =
            periods.filter(|period: &Params| !period.is_empty() && !known(period)).collect();
        let days = periods.into_iter().map(|period| Days::new(period, &self.ids, |_| false)).collect();
        // They are taken up once per run.
        let _ = self.kept.set(days);
    }

    /// The days that earlier runs had begun, the first ones first.
    fn begun(&self) -> impl Iterator<Item = &Days> {
        self.begun.iter().chain(self.kept.get().into_iter().flatten())
    }

    fn days(&self, which: Which) -> &Days {
        match which {
            Which::Begun(number) => self.begun().nth(number).unwrap_or(&self.now_days),
            Which::Now | Which::Failed => &self.now_days,
        }
    }

    /// How far the ids are done, and which, for the first days that are not finished; `None` where none is.
    pub(super) fn progress(&self) -> Option<(Progress, DoneIds)> {
        let days = self.begun().find(|days| days.left().next().is_some()).unwrap_or(&self.now_days);
        let is_done = |at: &usize| days.is_done(*at);
        let prefix = (0..self.ids.len()).take_while(is_done).count();
        // The list of those that are done has them all: these are for the plan of an earlier version.
        let also = (prefix..self.ids.len()).filter(is_done).take(ALSO).map(|at| self.ids[at].clone()).collect();
        let through = prefix.checked_sub(1).map(|at| self.ids[at].clone());
        let done: DoneIds = (0..self.ids.len()).filter(is_done).map(|at| self.ids[at].as_str()).collect();
        let progress = Progress { through, also, of: String::new(), period: days.period.clone() };
        (!done.is_empty()).then_some((progress, done))
    }

    /// The ids that could not be read, by this run or by earlier ones that it did not come to.
    pub(super) fn failed(&self) -> Vec<FailedId> {
        let open = self.earlier.iter().filter(|earlier| !earlier.settled.load(Ordering::Relaxed));
        let mut failed = self.failures.list();
        failed.extend(open.map(|earlier| earlier.failed.clone()));
        failed.sort_by(|one, other| (&one.id, &one.period).cmp(&(&other.id, &other.period)));
        failed
    }

    /// How many are still to be read.
    pub(super) fn left(&self) -> u64 {
        self.jobs().len() as u64
    }

    /// Every crawl, in order: those that failed before come last.
    fn jobs(&self) -> Vec<Job> {
        let failed: BTreeSet<usize> = self.earlier.iter().map(|earlier| earlier.at).collect();
        let begun = self.begun().enumerate().flat_map(|(number, days)| {
            days.left().map(move |at| Job { at, earlier: None, days: Which::Begun(number) })
        });
        let (last, first): (Vec<usize>, Vec<usize>) = self.now_days.left().partition(|at| failed.contains(at));
        let of_now = |at| Job { at, earlier: None, days: Which::Now };
        let again = self.earlier.iter().enumerate().map(|(number, earlier)| {
            let days = if earlier.failed.period == self.now_days.period { Which::Now } else { Which::Failed };
            Job { at: earlier.at, earlier: Some(number), days }
        });
        let again: Vec<Job> = again.collect();
        let covered = |at: &usize| again.iter().any(|job| job.at == *at && job.days == Which::Now);
        let last = last.into_iter().filter(|at| !covered(at)).map(of_now);
        begun.chain(first.into_iter().map(of_now)).chain(last).chain(again.iter().copied()).collect()
    }

    /// The days that a job is about.
    fn period(&self, job: Job) -> &Params {
        match job.earlier {
            Some(number) if job.days == Which::Failed => &self.earlier[number].failed.period,
            _ => &self.days(job.days).period,
        }
    }

    /// The name of a job's crawl.
    fn crawl_name(&self, job: Job) -> String {
        crawl_of(&self.ids[job.at], self.period(job))
    }

    /// Notes what became of a job that is dealt with.
    fn settle(&self, job: Job) {
        if let Some(number) = job.earlier {
            self.earlier[number].settled.store(true, Ordering::Relaxed);
        }
        if job.days != Which::Failed {
            self.days(job.days).done[job.at].store(true, Ordering::Relaxed);
        }
    }

    fn fail(&self, job: Job, error: RunError) {
        let before = job.earlier.map(|number| &self.earlier[number].failed);
        let failed = failed_id(&self.ids[job.at], self.period(job).clone(), &error, before, self.now);
        self.settle(job);
        tracing::debug!(ordinal = job.at + 1, request_id = failed.request_id, %error, "id failed");
        self.failures.add(failed, job.at + 1, error);
    }

    /// Notes that the pages of an id cannot be decoded.
    pub(super) fn cannot_be_decoded(&self, params: &[(String, String)], error: RunError) {
        let Some((_, id)) = params.iter().find(|(name, _)| name == self.param) else { return };
        let Ok(at) = self.ids.binary_search(id) else { return };
        let names = |name: &String| self.now_days.period.iter().any(|(known, _)| known == name);
        let period: Params = params.iter().filter(|(name, _)| names(name)).cloned().collect();
        let before = self.earlier.iter().find(|earlier| earlier.at == at && earlier.failed.period == period);
        let failed = failed_id(id, period, &error, before.map(|earlier| &earlier.failed), self.now);
        self.failures.add(failed, at + 1, error);
    }

    /// Why nothing must be made of what was read, if so: nearly nothing could be read, or nothing at all.
    pub(super) fn end(&self, report: &str) -> Option<RunError> {
        let failed = self.failures.len();
        if is_outage(failed, self.ids.len()) {
            return Some(self.outage(report));
        }
        let nothing = failed > 0 && !self.answered.load(Ordering::Relaxed);
        nothing.then(|| self.failures.take_first()).flatten().map(|First { error, .. }| error)
    }

    fn outage(&self, report: &str) -> RunError {
        let (failed, ids) = (self.failures.len() as u64, self.ids.len() as u64);
        match self.failures.take_first() {
            Some(First { error, .. }) => {
                RunError::Outage { report: report.to_owned(), failed, ids, first: Box::new(error) }
            }
            None => RunError::WorkerDied { report: report.to_owned() },
        }
    }
}

impl Crawls<'_> {
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
