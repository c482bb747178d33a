//! The asking side of one report: crawls that send what they read to the decoding side and, so that nothing is asked twice,
//! to where pages are kept until they are committed.
//!
//! A list is one crawl for each of its queries, and each page is a unit. Where every id has its own crawl, the unit is the
//! id: all its pages go on together, so that whatever reaches the writer is complete.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use ctct_catalog::Report;
use ctct_extract::{Client, Crawl, ExtractError, Page, Request};
use ctct_load::{KeptPage, PageQueue};
use futures::lock::Mutex;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::GRACE;
use super::ids::CrawledIds;
use super::resume::{Chain, Resumed, StalePages, kept};
use super::unit::{ReadOutcome, Unit};
use crate::event::Events;
use crate::plan::Query;
use crate::run_error::RunError;

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
    /// Pages of an earlier run that lead no further, where this read begins again.
    pub(super) stale: Option<&'a StalePages<'a>>,
    /// Set once a crawl has failed.
    pub(super) ended: AtomicBool,
}

/// Where pages go.
pub(super) struct Sinks<'a> {
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

    pub(super) async fn read_lists(&self, mut resumed: Resumed, sinks: &Sinks<'_>) -> Result<ReadOutcome, RunError> {
        let mut stale = self.stale;
        for (at, query) in self.queries.iter().enumerate() {
            let Some(mut crawl) = self.crawl(&query.params, resumed.remove(&query.name).as_ref()) else { continue };
            let last_query = at + 1 == self.queries.len();
            loop {
                let page = match self.unless_stopped(crawl.next()).await {
                    None => return Ok(ReadOutcome::Stopped),
                    Some(page) => page?,
                };
                let Some(page) = page else { break };
                // The API responds, so pages that cannot be continued are of no use any more.
                if let Some(stale) = stale.take() {
                    stale.discard().await?;
                }
                let nothing_left = page.last && last_query;
                if !nothing_left || self.keeps_last {
                    self.keep(&query.name, &page, sinks).await?;
                }
                if sinks.units.send(vec![page]).await.is_err() {
                    return Ok(ReadOutcome::Stopped);
                }
            }
        }
        Ok(ReadOutcome::Complete)
    }

    /// The crawl for these parameters, after what is kept of it; `None` where that is all.
    pub(super) fn crawl(&self, params: &[(String, String)], chain: Option<&Chain>) -> Option<Crawl> {
        let request =
            |params: &[(String, String)]| Request { report: Arc::clone(self.report), params: params.to_vec() };
        match chain {
            None => Some(self.client.crawl(request(params))),
            Some(chain) => chain.mark().map(|mark| self.client.resume(request(&chain.params), mark)),
        }
    }

    /// The first page as it is now.
    pub(super) async fn first_page(&self, params: &[(String, String)]) -> Result<Option<Page>, ExtractError> {
        let request = Request { report: Arc::clone(self.report), params: params.to_vec() };
        self.client.crawl(request).next().await
    }

    /// Leaves the pages of an id that is not read to its end for the next run.
    pub(super) async fn leave(&self, id: &str, unit: &Unit) {
        self.left_over.lock().await.extend(unit.iter().map(|page| kept(id, page)));
    }

    /// Hands a page over to be kept.
    pub(super) async fn keep(&self, crawl: &str, page: &Page, sinks: &Sinks<'_>) -> Result<(), RunError> {
        if sinks.queue.push(kept(crawl, page)).await {
            return Ok(());
        }
        // Why the queue takes no more is told when it is closed.
        Err(RunError::WorkerDied { report: self.report.name.clone() })
    }

    /// The result of `work`, or `None` once the run was asked to stop. A request that is under way then has a little time
    /// left, since it is counted; one that waits to be retried has not.
    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        if self.stop.is_cancelled() {
            return None;
        }
        tokio::select! {
            result = work => Some(result),
            () = async { self.stop.cancelled().await; sleep(GRACE).await } => None,
        }
    }
}
