//! Pages that an earlier run fetched and did not commit. What they hold is written again, and the crawls continue after them.
//!
//! Pages of one crawl follow each other by number. A page that does not, because another run kept it too, is passed over.

use std::collections::HashMap;

use ctct_catalog::Report;
use ctct_extract::{Page, PageMark};
use ctct_load::{KeptPage, KeptPages, LoadError, PageTally, ReportLog};
use tokio::sync::mpsc;

use super::unit::Unit;
use super::write::ReportWriter;
use crate::run_error::RunError;

/// Kept pages that wait to be written again.
pub(super) struct Resumption {
    /// Read ahead, to learn what the earlier run had asked.
    first: Vec<KeptPage>,
    rest: Option<KeptPages>,
    next_sequence: u64,
}

/// Kept pages that lead no further. They stay until the API has answered what is asked in their place: an outage is no
/// reason to throw them away.
pub(super) struct StalePages<'a> {
    pub(super) writer: ReportWriter<'a>,
    pub(super) base: i64,
    pub(super) fingerprint: String,
}

impl StalePages<'_> {
    /// Drops them.
    pub(super) async fn discard(&self) -> Result<(), RunError> {
        let discarded = async {
            let log = ReportLog::new(self.writer.destination, &self.writer.plan.account, self.writer.name())?;
            log.discard_pages(self.base, &self.fingerprint, self.writer.report_plan.delivery.keep_raw).await
        };
        discarded.await.map_err(|error| self.writer.load(error))
    }
}

/// How far the crawls of an earlier run had come.
#[derive(Debug, Default)]
pub(super) struct Resumed {
    chains: HashMap<String, Chain>,
    /// Pages that need not be asked for again.
    pub(super) pages: u64,
    /// All that was read of what the earlier runs had kept.
    pub(super) tally: PageTally,
}

/// Pages of one crawl, in order.
#[derive(Debug)]
pub(super) struct Chain {
    /// The parameters that the earlier run had asked with.
    pub(super) params: Vec<(String, String)>,
    number: u32,
    next: Option<String>,
    /// Pages of an id that is not complete yet.
    pub(super) waiting: Unit,
}

impl Chain {
    /// Where the crawl goes on; `None` where it is complete.
    pub(super) fn mark(&self) -> Option<PageMark> {
        self.next.clone().map(|next| PageMark { number: self.number, next })
    }
}

impl Resumption {
    /// Looks at the first of the kept pages.
    pub(super) async fn open(mut rest: KeptPages) -> Result<Self, LoadError> {
        let first = rest.next().await?.unwrap_or_default();
        let next_sequence = rest.next_sequence();
        Ok(Self { first, rest: Some(rest), next_sequence })
    }

    /// Takes none of them up.
    pub(super) fn none(rest: &KeptPages) -> Self {
        Self { first: Vec::new(), rest: None, next_sequence: rest.next_sequence() }
    }

    /// The parameters that the earlier run had asked with first.
    pub(super) fn params(&self) -> Option<&[(String, String)]> {
        self.first.first().map(|page| page.params.as_slice())
    }

    /// The number that pages are kept under from here on.
    pub(super) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Sends the pages on: each as its own unit, or with `by_id` all pages of an id as one once they are complete.
    /// A kept page that is not a page of `report`, by this version's bounds, is skipped with those after it: the crawl asks
    /// for it again.
    pub(super) async fn replay(
        mut self,
        units: &mpsc::Sender<Unit>,
        report: &Report,
        by_id: bool,
    ) -> Result<Resumed, LoadError> {
        let mut resumed = Resumed::default();
        let mut pages = std::mem::take(&mut self.first);
        while !pages.is_empty() {
            for page in pages {
                if let Err(reason) = self::page(page.clone()).check(report) {
                    let (report, page) = (&report.name, page.number);
                    tracing::warn!(report, page, reason, "a saved page cannot be used; it is requested again");
                    continue;
                }
                let Some(unit) = resumed.take(page, by_id) else { continue };
                if units.send(unit).await.is_err() {
                    return Ok(resumed);
                }
            }
            pages = match &mut self.rest {
                Some(rest) => rest.next().await?.unwrap_or_default(),
                None => Vec::new(),
            };
        }
        resumed.tally = self.rest.as_ref().map(KeptPages::tally).unwrap_or_default();
        Ok(resumed)
    }
}

impl Resumed {
    /// The chain of a crawl, where the earlier run had begun it.
    pub(super) fn remove(&mut self, crawl: &str) -> Option<Chain> {
        self.chains.remove(crawl)
    }

    /// The parameters of every crawl that the earlier runs had begun.
    pub(super) fn params(&self) -> impl Iterator<Item = Vec<(String, String)>> {
        self.chains.values().map(|chain| chain.params.clone())
    }

    /// What is left, by crawl.
    pub(super) fn into_chains(self) -> HashMap<String, Chain> {
        self.chains
    }

    /// Adds a page to its chain, and returns the unit that it completes.
    fn take(&mut self, kept: KeptPage, by_id: bool) -> Option<Unit> {
        // The read of an id that a run had to begin again.
        if by_id && kept.number == 1 && self.chains.get(&kept.crawl).is_some_and(|chain| chain.next.is_some()) {
            self.chains.remove(&kept.crawl);
        }
        let follows = match self.chains.get(&kept.crawl) {
            None => kept.number == 1,
            Some(chain) => chain.next.is_some() && kept.number == chain.number + 1,
        };
        if !follows {
            return None;
        }
        self.pages += 1;
        let params = || Chain { params: kept.params.clone(), number: 0, next: None, waiting: Unit::new() };
        let chain = self.chains.entry(kept.crawl.clone()).or_insert_with(params);
        chain.number = kept.number;
        chain.next.clone_from(&kept.next);
        let complete = kept.next.is_none();
        let page = page(kept);
        if !by_id {
            return Some(vec![page]);
        }
        chain.waiting.push(page);
        complete.then(|| std::mem::take(&mut chain.waiting))
    }
}

/// The page as it was when it had been asked for.
pub(super) fn page(kept: KeptPage) -> Page {
    let KeptPage { params, number, next, request_id, received_at, server_date, count, body, crawl: _ } = kept;
    let last = next.is_none();
    Page { body, params: params.into(), number, request_id, received_at, server_date, count, next, last, oldest: None }
}

/// The page in the form in which it is kept.
pub(super) fn kept(crawl: &str, page: &Page) -> KeptPage {
    KeptPage {
        crawl: crawl.to_owned(),
        params: page.params.to_vec(),
        number: page.number,
        next: page.next.clone(),
        request_id: page.request_id.clone(),
        received_at: page.received_at,
        server_date: page.server_date,
        count: page.count,
        body: page.body.clone(),
    }
}
