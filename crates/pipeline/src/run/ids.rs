//! The ids that a report is read for: which of them are done, left or failed. An id that fails costs itself; it is listed and
//! requested after the others in the next run. Days that an earlier run had begun are finished before those of now.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use ctct_load::{DoneIds, FailedId, IdsLeft, Known, Progress};
use ctct_transform::PageDecoder;

use super::failures::{Failures, First, failed_id, is_outage};
use crate::plan::fingerprint::crawl_of;
use crate::run_error::RunError;

/// Ids after the first gap that are told in the record: as many as are read at once.
const ALSO: usize = 64;

/// Parameters by their names on the wire.
pub(super) type Params = Vec<(String, String)>;

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
    pub(super) answered: AtomicBool,
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
pub(super) struct Job {
    pub(super) at: usize,
    /// Its number among those that failed before.
    earlier: Option<usize>,
    days: Which,
}

/// Jobs of one kind begin when all those of the kinds before have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Which {
    /// The days that an earlier run had begun, by their number.
    Begun(usize),
    /// Those of the run.
    Now,
    /// Those for which the id had failed.
    Failed,
}

impl Job {
    /// Those that failed before come last, whatever their days.
    pub(super) fn phase(self) -> Which {
        if self.earlier.is_some() { Which::Failed } else { self.days }
    }
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
    pub(super) fn take_up(&self, kept: impl Iterator<Item = Params>) {
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
    pub(super) fn jobs(&self) -> Vec<Job> {
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
    pub(super) fn period(&self, job: Job) -> &Params {
        match job.earlier {
            Some(number) if job.days == Which::Failed => &self.earlier[number].failed.period,
            _ => &self.days(job.days).period,
        }
    }

    /// The name of a job's crawl.
    pub(super) fn crawl_name(&self, job: Job) -> String {
        crawl_of(&self.ids[job.at], self.period(job))
    }

    /// Notes what became of a job that is dealt with.
    pub(super) fn settle(&self, job: Job) {
        if let Some(number) = job.earlier {
            self.earlier[number].settled.store(true, Ordering::Relaxed);
        }
        if job.days != Which::Failed {
            self.days(job.days).done[job.at].store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn fail(&self, job: Job, error: RunError) {
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

    pub(super) fn outage(&self, report: &str) -> RunError {
        let (failed, ids) = (self.failures.len() as u64, self.ids.len() as u64);
        match self.failures.take_first() {
            Some(First { error, .. }) => {
                RunError::Outage { report: report.to_owned(), failed, ids, first: Box::new(error) }
            }
            None => RunError::WorkerDied { report: report.to_owned() },
        }
    }
}
