//! What happens during a run, as one stream. Progress bars, plain lines, JSON logs, metrics, the table of runs and the
//! notice of a failure are all made from it. No event holds a cell's value.

use std::sync::Arc;
use std::time::Duration;

use ctct_load::Window;

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
        /// Label of the account.
        account: String,
        /// Reports in the order of the plan.
        reports: Vec<String>,
    },
    /// A report begins to ask.
    ReportStarted {
        /// The report.
        report: String,
        /// Crawls to do: one, or one per id.
        crawls: u64,
        /// The span of time that it asks for.
        window: Window,
    },
    /// The API said how many rows there are.
    RowsExpected {
        /// The report.
        report: String,
        /// Rows that match.
        rows: u64,
    },
    /// A page was decoded and handed to the writer.
    PageRead {
        /// The report.
        report: String,
        /// Its number within its crawl, from 1.
        page: u32,
        /// The vendor's id of the request that brought it.
        request_id: Option<String>,
        /// Rows of the parent table in it.
        rows: u64,
        /// Records of it that could not be typed.
        dead_letters: u64,
        /// Fields of it that the catalog does not know.
        drift_fields: u64,
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

/// Takes events. Must not block.
type Sink = Arc<dyn Fn(&Event) + Send + Sync>;

/// Where events go: any number of sinks, each of which gets every event in turn. Cheap to clone.
#[derive(Clone, Default)]
pub struct Events(Vec<Sink>);

impl Events {
    /// Sends every event to `sink`.
    pub fn to(sink: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(vec![Arc::new(sink)])
    }

    /// Drops every event.
    pub fn none() -> Self {
        Self::default()
    }

    /// Sends every event to the sinks of both.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Hands one event to every sink.
    pub fn emit(&self, event: &Event) {
        for sink in &self.0 {
            sink(event);
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Events({} sinks)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn every_sink_gets_every_event() {
        let count = || {
            let count = Arc::new(AtomicU64::new(0));
            let counted = Arc::clone(&count);
            (Events::to(move |_| _ = counted.fetch_add(1, Ordering::Relaxed)), count)
        };
        let ((first, in_first), (second, in_second)) = (count(), count());
        let both = first.and(Events::none()).and(second);
        both.emit(&Event::CrawlDone { report: "contacts".to_owned() });
        both.clone().emit(&Event::Stopping { after: Duration::ZERO });
        assert_eq!((in_first.load(Ordering::Relaxed), in_second.load(Ordering::Relaxed)), (2, 2));
    }
}
