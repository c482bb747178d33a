//! The border between tokio and rayon: pages are decoded on rayon's threads, several jobs at once, in order.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use ctct_extract::Page;
use ctct_load::{StopFlag, on_rayon};
use ctct_transform::{DecodedPage, Occurrences, PageDecoder, PageInput};
use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc;

use super::clocks::Moment;
use super::unit::Unit;
use crate::run_error::RunError;

/// A job takes small pages together until it has this many bytes, so that a page of five rows does not cost a hand-over.
const JOB_BYTES: usize = 256 * 1024;

/// What one job brought.
pub(super) struct Decoded {
    /// The pages, each with what it became.
    pub(super) pages: Vec<(PageFacts, DecodedPage)>,
    /// Ids whose pages cannot be decoded.
    pub(super) failed: Vec<Undecodable>,
}

/// An id whose pages cannot be decoded: the parameters of its crawl, and why.
pub(super) type Undecodable = (Arc<[(String, String)]>, RunError);

/// What is left of a page when its body is decoded.
pub(super) struct PageFacts {
    /// Number of the page within its crawl, from 1.
    pub(super) number: u32,
    pub(super) request_id: Option<String>,
    pub(super) count: Option<u64>,
    /// When it came.
    pub(super) moment: Moment,
    /// The parameters of its crawl.
    pub(super) params: Arc<[(String, String)]>,
    /// Whether the crawl ends with it.
    pub(super) last: bool,
}

/// Decodes everything that arrives, keeping the order, up to `jobs` jobs at once.
pub(super) fn decoded(
    units: mpsc::Receiver<Unit>,
    decoder: Arc<PageDecoder>,
    report: Arc<str>,
    commit: i64,
    (by_id, jobs): (bool, usize),
    stop: &StopFlag,
) -> impl Stream<Item = Result<Decoded, RunError>> {
    stream::unfold((units, Instants::default()), async |(mut units, mut instants)| {
        let pages = next_job(&mut units).await?;
        let pages = pages.into_iter().map(|page| (instants.of(&page), page)).collect();
        Some((pages, (units, instants)))
    })
    .map(move |pages| spawn(pages, Arc::clone(&decoder), Arc::clone(&report), commit, by_id, stop.clone()))
    .buffered(jobs)
}

/// When pages were read, each of one read at an instant of its own: a version of a row and its child rows belong together by the
/// row's key, the commit and this, and the clock of a server counts in seconds. Kept pages come to the same instants again.
#[derive(Default)]
struct Instants {
    /// How many pages of the read came at an instant.
    pages: HashMap<DateTime<Utc>, u32>,
}

impl Instants {
    fn of(&mut self, page: &Page) -> DateTime<Utc> {
        if page.number == 1 {
            self.pages.clear();
        }
        let instant = Moment::of(page).instant();
        let pages = self.pages.entry(instant).or_default();
        let own = instant.checked_add_signed(TimeDelta::microseconds((*pages).into())).unwrap_or(instant);
        *pages += 1;
        own
    }
}

/// The pages of the next job; `None` when all is read.
async fn next_job(units: &mut mpsc::Receiver<Unit>) -> Option<Vec<Page>> {
    let mut pages = units.recv().await?;
    let mut bytes: usize = pages.iter().map(|page| page.body.len()).sum();
    while bytes < JOB_BYTES
        && let Ok(unit) = units.try_recv()
    {
        bytes += unit.iter().map(|page| page.body.len()).sum::<usize>();
        pages.extend(unit);
    }
    Some(pages)
}

async fn spawn(
    pages: Vec<(DateTime<Utc>, Page)>,
    decoder: Arc<PageDecoder>,
    report: Arc<str>,
    commit: i64,
    by_id: bool,
    stop: StopFlag,
) -> Result<Decoded, RunError> {
    let name = Arc::clone(&report);
    let work = move || decode(pages, &decoder, &name, commit, by_id, &stop);
    let done = on_rayon(format!("decode pages of `{report}`"), work).await;
    done.map_err(|_| RunError::WorkerDied { report: report.to_string() })?
}

/// Decodes pages in their order. Those of one id are all in one job, and where one of them cannot be decoded the id has none.
fn decode(
    pages: Vec<(DateTime<Utc>, Page)>,
    decoder: &PageDecoder,
    report: &str,
    commit: i64,
    by_id: bool,
    stop: &StopFlag,
) -> Result<Decoded, RunError> {
    let mut done = Decoded { pages: Vec::with_capacity(pages.len()), failed: Vec::new() };
    let mut occurrences = Occurrences::default();
    // Where the pages of the id begin that come at the moment, and whether they are of no use.
    let (mut first, mut lost) = (0, false);
    for (read_at, page) in pages {
        if page.number == 1 {
            (first, lost) = (done.pages.len(), false);
            occurrences = Occurrences::default();
        }
        if lost {
            continue;
        }
        stop.check().map_err(|_| RunError::Stopped { report: report.to_owned() })?;
        match decode_page((read_at, &page), decoder, report, commit, &mut occurrences) {
            Ok(rows) => {
                let (moment, is_last) = (Moment::of(&page), page.next.is_none());
                let Page { number, request_id, count, params, .. } = page;
                done.pages.push((PageFacts { number, request_id, count, moment, params, last: is_last }, rows));
            }
            Err(error) if by_id => {
                done.pages.truncate(first);
                done.failed.push((page.params, error));
                lost = true;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Decodes a page that was read at an instant, after those of its read that `occurrences` has counted.
pub(super) fn decode_page(
    (extracted_at, page): (DateTime<Utc>, &Page),
    decoder: &PageDecoder,
    report: &str,
    commit: i64,
    occurrences: &mut Occurrences,
) -> Result<DecodedPage, RunError> {
    let input = PageInput { body: &page.body, bound: &page.params, extracted_at, commit };
    let rows = decoder.decode(&input).and_then(|mut rows| {
        occurrences.number(decoder.report(), &mut rows.tables)?;
        Ok(rows)
    });
    rows.map_err(|source| RunError::Transform {
        report: report.to_owned(),
        page: page.number,
        request_id: page.request_id.clone().unwrap_or_else(|| "without id".to_owned()),
        source,
    })
}
