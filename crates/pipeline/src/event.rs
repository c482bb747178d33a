//! What happens during a run, as one stream. Progress bars, plain lines and JSON logs are sinks of it; none of them is
//! known here. No event holds a cell's value.

use std::sync::Arc;
use std::time::Duration;

use crate::summary::{ReportSummary, RunSummary};

/// Something that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The run begins; nothing has been asked yet.
    RunStarted {
        /// Name of the pipeline.
        pipeline: String,
        /// The run.
        run_id: String,
        /// Reports in the order of the plan.
        reports: Vec<String>,
    },
    /// A report begins to ask.
    ReportStarted {
        /// The report.
        report: String,
        /// Crawls to do: one, or one per id.
        crawls: u64,
    },
    /// The API said how many rows there are.
    RowsExpected {
        /// The report.
        report: String,
        /// Rows that match.
        rows: u64,
    },
    /// Pages were decoded and handed to the writer.
    PagesRead {
        /// The report.
        report: String,
        /// Pages since the last such event.
        pages: u64,
        /// Rows of the parent table since the last such event.
        rows: u64,
    },
    /// One crawl of a report ended.
    CrawlDone {
        /// The report.
        report: String,
    },
    /// A report ended, well or not.
    ReportDone(Box<ReportSummary>),
    /// The run ended.
    RunDone(Box<RunSummary>),
    /// The run was asked to stop and ends at the next page.
    Stopping {
        /// Since when it runs.
        after: Duration,
    },
}

/// Where events go. Cheap to clone; sinks must not block.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(&Event) + Send + Sync>);

impl Events {
    /// Sends every event to `sink`.
    pub fn to(sink: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Drops every event.
    pub fn none() -> Self {
        Self::to(|_| ())
    }

    /// Hands one event to the sink.
    pub fn emit(&self, event: &Event) {
        (self.0)(event);
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}
