//! The asking side of one report: crawls run side by side and send what they read to the decoding side.
//!
//! A list is one crawl, and each of its pages is a unit. Where every id has its own crawl, the unit is the id: all its pages
//! go on together, so that whatever reaches the writer is whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ctct_extract::{Client, ExtractError, Page, Request};
use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::event::{Event, Events};
use crate::plan::ReportPlan;

/// Time that a request has to end once the run was asked to stop. Schedulers kill after 30 seconds or so, and the commit of
/// what is whole must fit in before.
const GRACE: Duration = Duration::from_secs(5);

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

/// Everything that a report asks.
pub(super) struct Crawls<'a> {
    pub(super) plan: &'a ReportPlan,
    /// Parameter and values where each id has its own crawl.
    pub(super) ids: Option<(&'a str, Vec<String>)>,
    pub(super) client: &'a Client,
    pub(super) concurrency: usize,
    pub(super) events: &'a Events,
    pub(super) stop: &'a CancellationToken,
    /// Counts the ids that the API does not know.
    pub(super) not_found: &'a AtomicU64,
    /// Set once a crawl has failed.
    pub(super) ended: AtomicBool,
}

impl Crawls<'_> {
    /// How many crawls there are.
    pub(super) fn len(&self) -> u64 {
        self.ids.as_ref().map_or(1, |(_, ids)| ids.len() as u64)
    }

    /// Reads everything and sends it on; ends early when the receiver is gone.
    ///
    /// # Errors
    /// The first failure of a crawl; after it no other crawl is begun. Units that were sent are whole.
    pub(super) async fn read(self, units: mpsc::Sender<Unit>) -> Result<Asked, ExtractError> {
        match &self.ids {
            None => self.read_list(&units).await,
            Some((param, ids)) => self.read_ids(param, ids, &units).await,
        }
    }

    async fn read_list(&self, units: &mpsc::Sender<Unit>) -> Result<Asked, ExtractError> {
        let mut crawl = self.client.crawl(self.request(None));
        while let Some(page) = self.unless_stopped(crawl.next()).await.transpose()? {
            let Some(page) = page else { return Ok(Asked::Whole) };
            if units.send(vec![page]).await.is_err() {
                break;
            }
        }
        Ok(Asked::Stopped)
    }

    async fn read_ids(&self, param: &str, ids: &[String], units: &mpsc::Sender<Unit>) -> Result<Asked, ExtractError> {
        let mut crawls = stream::iter(ids)
            .map(|id| self.read_id(self.request(Some((param, id))), units))
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

    async fn read_id(&self, request: Request, units: &mpsc::Sender<Unit>) -> Result<Asked, ExtractError> {
        if self.ended.load(Ordering::Relaxed) {
            return Ok(Asked::Stopped);
        }
        let mut crawl = self.client.crawl(request);
        let mut unit = Unit::new();
        loop {
            match self.unless_stopped(crawl.next()).await {
                None => return Ok(Asked::Stopped),
                Some(Ok(Some(page))) => unit.push(page),
                Some(Ok(None)) => break,
                // Contacts come and go between the run that listed them and this one.
                Some(Err(error)) if error.status() == Some(404) => {
                    self.not_found.fetch_add(1, Ordering::Relaxed);
                    unit.clear();
                    break;
                }
                Some(Err(error)) => return Err(error),
            }
        }
        self.events.emit(&Event::CrawlDone { report: self.plan.report.name.clone() });
        if !unit.is_empty() && units.send(unit).await.is_err() {
            return Ok(Asked::Stopped);
        }
        Ok(Asked::Whole)
    }

    fn request(&self, id: Option<(&str, &str)>) -> Request {
        let mut params = self.plan.params.clone();
        params.extend(id.map(|(param, id)| (param.to_owned(), id.to_owned())));
        Request { report: Arc::clone(&self.plan.report), params }
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
