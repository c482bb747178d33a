//! One chain of pages, from the first request to the page that links no further.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use ctct_catalog::Report;
use tracing::{Instrument, error_span};
use url::Url;

use crate::http::bounds::Bounds;
use crate::http::envelope::Envelope;
use crate::http::progress::Progress;
use crate::http::transport::origin;
use crate::{Client, ExtractError, Reply, Request, RequestPlace};

/// Target of the spans whose fields every log line within them has: the run, the report, the page.
pub const SPANS: &str = "ctct_span";

/// One response of the API, complete and as it came.
#[derive(Clone)]
pub struct Page {
    /// The body: JSON that holds the report's rows.
    pub body: Bytes,
    /// The parameters that the first page was asked for with, as [`Request::params`].
    pub params: Arc<[(String, String)]>,
    /// Number of the page in its crawl, from 1.
    pub number: u32,
    /// `x-amzn-requestid`: what the vendor's support looks up.
    pub request_id: Option<String>,
    /// When it had come, by the client's clock.
    pub received_at: DateTime<Utc>,
    /// When it was sent, by the server's clock (`Date`).
    pub server_date: Option<DateTime<Utc>>,
    /// Rows in all pages, where they were asked to be counted.
    pub count: Option<u64>,
    /// The link to the next page as it stands, relative as a rule. It holds the cursor and the filters.
    pub next: Option<String>,
    /// Whether it links no further.
    pub last: bool,
    /// Where rows surely come newest first: when the last of them is of, as the API spells it.
    pub oldest: Option<String>,
}

/// Where an earlier crawl had come to.
#[derive(Clone, PartialEq, Eq)]
pub struct PageMark {
    /// Number of the last page that was read.
    pub number: u32,
    /// [`Page::next`] of it.
    pub next: String,
}

/// A chain of pages that is read one after the other.
///
/// A crawl stays where it is when [`next`](Crawl::next) fails or is dropped: calling it again asks for the same page.
pub struct Crawl {
    client: Client,
    request: Request,
    params: Arc<[(String, String)]>,
    step: Step,
    pages: u32,
    /// URLs of the pages that were read.
    seen: HashSet<Url>,
    progress: Progress,
}

/// What to ask for next.
enum Step {
    First,
    /// The link of a page that an earlier crawl read.
    Resume {
        href: String,
    },
    /// The link as the page before has it, and what that page said of itself.
    Follow {
        href: String,
        from: Box<Reply>,
    },
    /// There is a link that leads nowhere new.
    Stuck {
        reason: String,
        from: Box<Reply>,
    },
    Done,
}

impl Crawl {
    pub(crate) fn new(client: Client, request: Request, after: Option<PageMark>) -> Self {
        let params = request.params.clone().into();
        let (pages, step) = match after {
            Some(PageMark { number, next }) => (number, Step::Resume { href: next }),
            None => (0, Step::First),
        };
        Self { client, request, params, step, pages, seen: HashSet::new(), progress: Progress::default() }
    }

    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// Any [`ExtractError`]. A page whose link is bad comes first, and the error with the call after it.
    pub async fn next(&mut self) -> Result<Option<Page>, ExtractError> {
        let resumes = matches!(self.step, Step::Resume { .. });
        match self.page().await {
            // Whatever came of a link that an earlier run left: it is the link that may be of no use.
            Err(error) if resumes && error.may_be_the_links() => {
                Err(ExtractError::StaleCursor { error: Box::new(error) })
            }
            page => page,
        }
    }

    async fn page(&mut self) -> Result<Option<Page>, ExtractError> {
        let url = match &self.step {
            Step::First => self.request.url(self.client.base_url())?,
            Step::Resume { href } => {
                // Of the pages that were read earlier, only the first one's URL is known again.
                self.seen.insert(self.request.url(self.client.base_url())?);
                self.follow(href, &Reply { status: 200, ..Reply::default() })?
            }
            Step::Follow { href, from } => self.follow(href, from)?,
            Step::Stuck { reason, from } => {
                let (place, reply, reason) = (self.place(), from.clone(), reason.clone());
                return Err(ExtractError::NoProgress { place, reply, reason });
            }
            Step::Done => return Ok(None),
        };
        let place = self.place();
        let report = &self.request.report;
        let bounds = Bounds::of(report, &self.params);
        let span = error_span!(target: SPANS, "page", page = self.pages + 1);
        let read = |body: &[u8]| Envelope::read(report, bounds, body);
        let (answer, envelope) =
            self.client.fetch(&place, &report.scope, &url, bounds.bytes(), read).instrument(span).await?;
        self.pages += 1;
        self.seen.insert(url);
        let server_date = answer.server_date();
        let request_id = answer.reply.request_id.clone();
        let next = envelope.next.clone();
        let stuck = next.as_ref().and_then(|_| self.progress.page(&envelope).err());
        self.step = match (envelope.next, stuck) {
            (None, _) => Step::Done,
            (Some(_), Some(reason)) => Step::Stuck { reason, from: answer.reply },
            (Some(href), None) => Step::Follow { href, from: answer.reply },
        };
        Ok(Some(Page {
            body: answer.body,
            params: Arc::clone(&self.params),
            number: self.pages,
            request_id,
            received_at: self.client.clock().now(),
            server_date,
            count: envelope.count,
            last: next.is_none(),
            next,
            oldest: envelope.oldest,
        }))
    }

    /// The URL that a link names, if the token may go there. Links are relative to the host and hold the cursor, the
    /// filters and the page size (vendor's OpenAPI description and recordings), so nothing is added.
    fn follow(&self, href: &str, from: &Reply) -> Result<Url, ExtractError> {
        let base = self.client.base_url();
        let foreign = |host| ExtractError::ForeignLink { place: self.place(), reply: Box::new(from.clone()), host };
        let url = base.join(href).map_err(|_| foreign("no URL".to_owned()))?;
        let names_user = !url.username().is_empty() || url.password().is_some();
        if url.origin() != base.origin() || names_user {
            return Err(foreign(origin(&url)));
        }
        if self.seen.contains(&url) {
            return Err(ExtractError::RepeatedCursor { place: self.place(), reply: Box::new(from.clone()) });
        }
        Ok(url)
    }

    /// With the path as the catalog has it: the id in it is a cell's value.
    fn place(&self) -> RequestPlace {
        let report = &self.request.report;
        let base = self.client.base_url();
        let path = format!("{}/{}", base.path().trim_end_matches('/'), report.path.trim_start_matches('/'));
        let task = format!("{} page {}", report.name, self.pages + 1);
        RequestPlace { request: format!("GET {path}").into(), ..RequestPlace::new(task, "GET", base) }
    }
}

impl Page {
    /// Checks a page that was kept earlier as one is checked that has just come: by this version's bounds.
    ///
    /// # Errors
    /// Why it is not a page of the report, without a word of its content.
    pub fn check(&self, report: &Report) -> Result<(), String> {
        Envelope::read(report, Bounds::of(report, &self.params), &self.body).map(drop)
    }
}

/// Without the body and the parameters, which hold personal data.
impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("number", &self.number)
            .field("bytes", &self.body.len())
            .field("request_id", &self.request_id)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

/// Without the cursor, which holds the filters.
impl fmt::Debug for PageMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageMark").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Without the cursors, which hold the filters.
impl fmt::Debug for Crawl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crawl").field("request", &self.request).field("pages", &self.pages).finish_non_exhaustive()
    }
}
