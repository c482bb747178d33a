//! Plain progress where there is no terminal: a line when a report begins and ends, and one every ten seconds between.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ctct_pipeline::policy::Severity;
use ctct_pipeline::{Event, Events, ReportSummary};

use super::STOPPING;
use super::bars::done;
use super::summary::warnings;
use crate::printer::complain;

/// Time between two lines about the same report.
const EVERY: Duration = Duration::from_secs(10);

/// A sink that writes lines for people.
pub(super) fn as_text() -> Events {
    let progress: Mutex<HashMap<String, Progress>> = Mutex::default();
    Events::to(move |event| {
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = line(&mut progress, event, Instant::now()) {
            complain(&line);
        }
    })
}

/// A sink that logs, for `--log-format json`. The spans around a line say of which run and report it is.
pub(super) fn as_logs() -> Events {
    Events::to(|event| match event {
        Event::RunStarted { reports, .. } => tracing::info!(reports = reports.len(), "run started"),
        Event::ReportStarted { report, crawls, .. } => tracing::info!(report, crawls, "report started"),
        Event::PageRead { report, page, request_id, rows, dead_letters, drift_fields } => {
            let request_id = request_id.as_deref();
            tracing::info!(report, page, request_id, rows, dead_letters, drift_fields, "page read");
        }
        Event::ReportDone(summary) => report_done(summary),
        Event::Stopping { .. } => tracing::info!("{STOPPING}"),
        _ => {}
    })
}

/// Logs how a report ended, and what somebody should know of it, as loud as that is.
fn report_done(summary: &ReportSummary) {
    let ReportSummary { report, outcome, rows, pages, commit, dead_letters, seconds, api, .. } = summary;
    for warning in warnings(summary) {
        tracing::warn!(report, "{warning}");
    }
    let error = summary.error.as_ref();
    macro_rules! at {
        ($level:ident) => {
            tracing::$level!(
                report,
                %outcome,
                exit_code = outcome.policy().exit_code,
                rows,
                pages,
                commit,
                dead_letters,
                drift_fields = summary.drift_fields(),
                requests = api.requests,
                retries = api.retries,
                paced_seconds = api.paced_seconds,
                backed_off_seconds = api.backed_off_seconds,
                seconds,
                error = error.map(|error| error.message.as_str()),
                next = error.map(|error| error.advice.as_str()),
                "report done"
            )
        };
    }
    match outcome.severity() {
        Severity::Info => at!(info),
        Severity::Warn => at!(warn),
        Severity::Error => at!(error),
    }
}

/// How far a report is.
struct Progress {
    rows: u64,
    expected: Option<u64>,
    crawls: u64,
    crawls_done: u64,
    told: Instant,
}

/// The line that an event makes at `now`, if it makes one.
fn line(progress: &mut HashMap<String, Progress>, event: &Event, now: Instant) -> Option<String> {
    match event {
        Event::RunStarted { pipeline, run_id, .. } => Some(format!("{pipeline}: run {run_id}")),
        Event::ReportStarted { report, crawls, .. } => {
            let begun = Progress { rows: 0, expected: None, crawls: *crawls, crawls_done: 0, told: now };
            progress.insert(report.clone(), begun);
            Some(if *crawls > 1 { format!("{report}: reading {crawls} ids") } else { format!("{report}: reading") })
        }
        Event::RowsExpected { report, rows } => {
            progress.get_mut(report)?.expected = Some(*rows);
            None
        }
        Event::PageRead { report, rows, .. } => {
            progress.get_mut(report)?.rows += rows;
            report_progress(progress, report, now)
        }
        Event::CrawlDone { report } => {
            progress.get_mut(report)?.crawls_done += 1;
            report_progress(progress, report, now)
        }
        Event::ReportDone(summary) => Some(done(summary)),
        Event::Stopping { .. } => Some(STOPPING.to_owned()),
        _ => None,
    }
}

fn report_progress(progress: &mut HashMap<String, Progress>, report: &str, now: Instant) -> Option<String> {
    let state = progress.get_mut(report)?;
    if now.duration_since(state.told) < EVERY {
        return None;
    }
    state.told = now;
    let mut line = format!("{report}: {}", state.rows);
    if let Some(expected) = state.expected {
        line += &format!(" of {expected}");
    }
    line += " rows";
    if state.crawls > 1 {
        line += &format!(", {} of {} ids", state.crawls_done, state.crawls);
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use ctct_load::Window;

    use super::*;

    fn read(rows: u64) -> Event {
        let (page, request_id, dead_letters, drift_fields) = (1, None, 0, 0);
        Event::PageRead { report: "contacts".to_owned(), page, request_id, rows, dead_letters, drift_fields }
    }

    #[test]
    fn a_line_comes_every_ten_seconds_and_no_oftener() {
        let (start, mut progress) = (Instant::now(), HashMap::new());
        let mut at = |seconds: u64, event: &Event| line(&mut progress, event, start + Duration::from_secs(seconds));
        let begun = Event::ReportStarted { report: "contacts".to_owned(), crawls: 1, window: Window::default() };
        assert_eq!(at(0, &begun).as_deref(), Some("contacts: reading"));
        assert_eq!(at(1, &Event::RowsExpected { report: "contacts".to_owned(), rows: 2_000 }), None);
        assert_eq!(at(9, &read(500)), None);
        assert_eq!(at(10, &read(500)).as_deref(), Some("contacts: 1000 of 2000 rows"));
        assert_eq!(at(11, &read(500)), None);
        assert_eq!(at(21, &read(500)).as_deref(), Some("contacts: 2000 of 2000 rows"));
    }
}
