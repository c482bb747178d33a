//! The asking side of one report: crawls that send what they read to the decoding side and, so that nothing is asked twice,
//! to where pages are kept until they are committed.
//!
//! A list is one crawl for each of its queries, and each page is a unit. Where every id has its own crawl, the unit is the
//! id: all its pages go on together, so that whatever reaches the writer is whole.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use ctct_catalog::Report;
use ctct_extract::{Client, Crawl, ExtractError, Page, Request};
use ctct_load::{KeptPage, Known, PageQueue, Progress};
use ctct_transform::{Occurrences, PageDecoder, parse_timestamp};
use futures::lock::Mutex;
use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::RunError;
use super::borders::Borders;
use super::decode::decode_page;
use super::resume::{Chain, Resumed, kept};
use crate::event::{Event, Events};
use crate::plan::Query;

/// Time that a request has to end once the run was asked to stop: a stop ends every phase within two seconds.
const GRACE: Duration = Duration::from_millis(1_500);

/// Pages that belong together.
pub(super) type Unit = Vec<Page>;

/// How asking ended, when nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Every page was read.
    Whole,
    /// The run was asked to stop; what was sent on is whole in itself.
    Stopped,
}

/// The ids that a report is read for, one crawl each.
pub(super) struct CrawledIds<'a> {
    /// The parameter that takes the id.
    pub(super) param: &'a str,
    /// The ids, ascending.
    pub(super) ids: Vec<String>,
    /// Whether all pages of the id at this place were sent on, or it is not known to the API.
    pub(super) done: Vec<AtomicBool>,
    /// For each id, the instant before which its rows should be known from earlier runs. Rows come newest first.
    pub(super) known_before: HashMap<String, DateTime<Utc>>,
    /// What is stored.
    pub(super) known: Known,
    /// Decodes pages, to find out whether they hold anything new.
    pub(super) decoder: Arc<PageDecoder>,
}

impl<'a> CrawledIds<'a> {
    /// The ids, of which those of an earlier commit's progress are done already.
    pub(super) fn new(
        param: &'a str,
        mut ids: Vec<String>,
        progress: Option<&Progress>,
        known: Known,
        decoder: PageDecoder,
    ) -> Self {
        ids.sort_unstable();
        ids.dedup();
        let is_done = |id: &String| progress.is_some_and(|progress| progress.covers(id));
        let done = ids.iter().map(|id| AtomicBool::new(is_done(id))).collect();
        Self { param, ids, done, known_before: HashMap::new(), known, decoder: Arc::new(decoder) }
    }

    /// How far the ids are done; `None` where none is.
    pub(super) fn progress(&self) -> Option<Progress> {
        let is_done = |at: &usize| self.done[*at].load(Ordering::Relaxed);
        let prefix = (0..self.ids.len()).take_while(is_done).count();
        let also: Vec<String> = (prefix..self.ids.len()).filter(is_done).map(|at| self.ids[at].clone()).collect();
        let through = prefix.checked_sub(1).map(|at| self.ids[at].clone());
        (through.is_some() || !also.is_empty()).then_some(Progress { through, also, of: String::new() })
    }

    /// How many are still to be read.
    fn left(&self) -> u64 {
        self.done.iter().filter(|done| !done.load(Ordering::Relaxed)).count() as u64
    }
}

/// Everything that a report asks.
pub(super) struct Crawls<'a> {
    pub(super) report: &'a Arc<Report>,
    pub(super) queries: &'a [Query],
    pub(super) ids: Option<&'a CrawledIds<'a>>,
    pub(super) client: &'a Client,
    pub(super) concurrency: usize,
    pub(super) events: &'a Events,
    pub(super) stop: &'a CancellationToken,
    /// Whether the last page of all is kept too, after which nothing is left to ask.
    pub(super) keeps_last: bool,
    /// Counts the ids that the API does not know.
    pub(super) not_found: &'a AtomicU64,
    /// Takes the pages of ids that are not read to their end.
    pub(super) left_over: &'a Mutex<Vec<KeptPage>>,
    /// Set once a crawl has failed.
    pub(super) ended: AtomicBool,
}

/// Where pages go.
pub(super) struct Outlets<'a> {
    /// To be decoded and written.
    pub(super) units: mpsc::Sender<Unit>,
    /// To be kept until they are committed.
    pub(super) queue: &'a PageQueue,
}

impl Crawls<'_> {
    /// How many ids are to be read; 1 for a list.
    pub(super) fn len(&self) -> u64 {
        self.ids.map_or(1, CrawledIds::left)
    }

    /// Reads everything that `resumed` does not hold and sends it on; ends early when nobody receives any more.
    ///
    /// # Errors
    /// The first failure of a crawl; after it no other crawl is begun. Units that were sent are whole.
    pub(super) async fn read(self, resumed: Resumed, outlets: Outlets<'_>) -> Result<Asked, RunError> {
        match self.ids {
            None => self.read_lists(resumed, &outlets).await,
            Some(ids) => self.read_ids(ids, resumed, &outlets).await,
        }
    }

    async fn read_lists(&self, mut resumed: Resumed, outlets: &Outlets<'_>) -> Result<Asked, RunError> {
        for (at, query) in self.queries.iter().enumerate() {
            let Some(mut crawl) = self.crawl(&query.params, resumed.remove(&query.name).as_ref()) else { continue };
            let last_query = at + 1 == self.queries.len();
            loop {
                let page = match self.unless_stopped(crawl.next()).await {
                    None => return Ok(Asked::Stopped),
                    Some(page) => page?,
                };
                let Some(page) = page else { break };
                let nothing_left = page.last && last_query;
                if !nothing_left || self.keeps_last {
                    self.keep(&query.name, &page, outlets).await?;
                }
                if outlets.units.send(vec![page]).await.is_err() {
                    return Ok(Asked::Stopped);
                }
            }
        }
        Ok(Asked::Whole)
    }

    async fn read_ids(&self, ids: &CrawledIds<'_>, resumed: Resumed, outlets: &Outlets<'_>) -> Result<Asked, RunError> {
        let resumed = Mutex::new(resumed);
        let left = (0..ids.ids.len()).filter(|at| !ids.done[*at].load(Ordering::Relaxed));
        let mut crawls = stream::iter(left)
            .map(async |at| {
                let chain = resumed.lock().await.remove(&ids.ids[at]);
                self.read_id(ids, at, chain, outlets).await
            })
            .buffer_unordered(self.concurrency);
        let (mut asked, mut failed) = (Asked::Whole, None);
        while let Some(crawl) = crawls.next().await {
            match crawl {
                Ok(Asked::Whole) => {}
                Ok(Asked::Stopped) => asked = Asked::Stopped,
                Err(error) => {
                    // Crawls that are under way are finished, since their requests are paid for; no other is begun.
                    self.ended.store(true, Ordering::Relaxed);
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(asked), Err)
    }

    async fn read_id(
        &self,
        ids: &CrawledIds<'_>,
        at: usize,
        chain: Option<Chain>,
        outlets: &Outlets<'_>,
    ) -> Result<Asked, RunError> {
        let id = &ids.ids[at];
        let mut params = self.queries.first().map(|query| query.params.clone()).unwrap_or_default();
        params.push((ids.param.to_owned(), id.clone()));
        let crawl = self.crawl(&params, chain.as_ref());
        let mut unit = chain.map(|chain| chain.waiting).unwrap_or_default();
        let mut ends = ids.known_before.get(id).map(|before| End::new(*before, ids));
        if let Some(mut crawl) = crawl {
            if self.ended.load(Ordering::Relaxed) {
                self.leave(id, &unit).await;
                return Ok(Asked::Stopped);
            }
            loop {
                match self.unless_stopped(crawl.next()).await {
                    None => {
                        self.leave(id, &unit).await;
                        return Ok(Asked::Stopped);
                    }
                    Some(Ok(Some(page))) => {
                        let known = match &mut ends {
                            Some(end) => end.reached_by(&unit, &page).await?,
                            None => false,
                        };
                        // Where no more is wanted, a later run shall not go on either.
                        let wanted = Page { next: page.next.filter(|_| !known), ..page };
                        self.keep(id, &wanted, outlets).await?;
                        unit.push(wanted);
                        if known {
                            break;
                        }
                    }
                    Some(Ok(None)) => break,
                    // Contacts come and go between the run that listed them and this one.
                    Some(Err(error)) if error.status() == Some(404) => {
                        self.not_found.fetch_add(1, Ordering::Relaxed);
                        unit.clear();
                        break;
                    }
                    Some(Err(error)) => {
                        self.leave(id, &unit).await;
                        return Err(error.into());
                    }
                }
            }
        }
        if let Some(borders) = Borders::doubtful(self.report, &unit) {
            match self.unless_stopped(self.first_page(&params)).await {
                None => {
                    self.leave(id, &unit).await;
                    return Ok(Asked::Stopped);
                }
                Some(Ok(page)) => borders.drop_pushed(&mut unit, page.as_ref()),
                // It went meanwhile, and what was read of it stays.
                Some(Err(error)) if error.status() == Some(404) => {}
                Some(Err(error)) => {
                    self.leave(id, &unit).await;
                    return Err(error.into());
                }
            }
        }
        self.events.emit(&Event::CrawlDone { report: self.report.name.clone() });
        if !unit.is_empty() && outlets.units.send(unit).await.is_err() {
            return Ok(Asked::Stopped);
        }
        ids.done[at].store(true, Ordering::Relaxed);
        Ok(Asked::Whole)
    }

    /// The crawl for these parameters, after what is kept of it; `None` where that is all.
    fn crawl(&self, params: &[(String, String)], chain: Option<&Chain>) -> Option<Crawl> {
        let request =
            |params: &[(String, String)]| Request { report: Arc::clone(self.report), params: params.to_vec() };
        match chain {
            None => Some(self.client.crawl(request(params))),
            Some(chain) => chain.mark().map(|mark| self.client.resume(request(&chain.params), mark)),
        }
    }

    /// The first page as it is now.
    async fn first_page(&self, params: &[(String, String)]) -> Result<Option<Page>, ExtractError> {
        let request = Request { report: Arc::clone(self.report), params: params.to_vec() };
        self.client.crawl(request).next().await
    }

    /// Leaves the pages of an id that is not read to its end for the next run.
    async fn leave(&self, id: &str, unit: &Unit) {
        self.left_over.lock().await.extend(unit.iter().map(|page| kept(id, page)));
    }

    /// Hands a page over to be kept.
    async fn keep(&self, crawl: &str, page: &Page, outlets: &Outlets<'_>) -> Result<(), RunError> {
        if outlets.queue.push(kept(crawl, page)).await {
            return Ok(());
        }
        // Why the queue takes no more is told when it is closed.
        Err(RunError::WorkerDied { report: self.report.name.clone() })
    }

    /// The result of `work`, or `None` once the run was asked to stop. A request that is under way then has a little time
    /// left, since it is paid for; one that waits to be sent again has not.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        if self.stop.is_cancelled() {
            return None;
        }
        tokio::select! {
            result = work => Some(result),
            () = async { self.stop.cancelled().await; sleep(GRACE).await } => None,
        }
    }
}

/// Where the read of an id may end that was read before: at a page that goes back to before the mark and holds nothing new.
struct End {
    known_before: DateTime<Utc>,
    known: Known,
    decoder: Arc<PageDecoder>,
    occurrences: Occurrences,
    /// Pages that are counted in `occurrences`.
    pages: usize,
}

impl End {
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
            let Ok(decoded) = decode_page(page, &self.decoder, "", 0, &mut self.occurrences) else { return Ok(false) };
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
