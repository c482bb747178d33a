//! Progress bars: one per report, with what is done, what is left where that is known, and the time it will take.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::summary::{counted, ended};
use ctct_pipeline::{Event, Events, ReportSummary};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::STOPPING;

const UNKNOWN: &str = "{prefix:28} {spinner} {pos} rows  {elapsed}";
const ROWS: &str = "{prefix:28} [{bar:24}] {pos}/{len} rows  {elapsed} (about {eta} left)";
const CRAWLS: &str = "{prefix:28} [{bar:24}] {pos}/{len} ids  {elapsed} (about {eta} left)";

/// A sink that draws on `canvas`.
pub(super) fn on(canvas: MultiProgress) -> Events {
    let bars: Mutex<HashMap<String, Bar>> = Mutex::default();
    Events::to(move |event| {
        // A sink that panicked once leaves bars that are still good to draw.
        let mut bars = bars.lock().unwrap_or_else(PoisonError::into_inner);
        draw(&canvas, &mut bars, event);
    })
}

struct Bar {
    bar: ProgressBar,
    /// Whether it counts ids rather than rows.
    by_id: bool,
}

fn draw(canvas: &MultiProgress, bars: &mut HashMap<String, Bar>, event: &Event) {
    match event {
        Event::ReportStarted { report, crawls, .. } => {
            let by_id = *crawls > 1;
            let bar = if by_id { ProgressBar::new(*crawls) } else { ProgressBar::no_length() };
            let bar = canvas.add(bar.with_style(style(if by_id { CRAWLS } else { UNKNOWN })));
            bar.set_prefix(report.clone());
            bar.enable_steady_tick(Duration::from_millis(200));
            bars.insert(report.clone(), Bar { bar, by_id });
        }
        Event::RowsExpected { report, rows } => {
            if let Some(Bar { bar, by_id: false }) = bars.get(report) {
                bar.set_length(*rows);
                bar.set_style(style(ROWS));
            }
        }
        Event::PageRead { report, rows, .. } => {
            if let Some(Bar { bar, by_id: false }) = bars.get(report) {
                bar.inc(*rows);
            }
        }
        Event::CrawlDone { report } => {
            if let Some(Bar { bar, by_id: true }) = bars.get(report) {
                bar.inc(1);
            }
        }
        Event::ReportDone(summary) => {
            if let Some(Bar { bar, .. }) = bars.remove(&summary.report) {
                bar.finish_and_clear();
            }
            // Best effort: a terminal that went away takes the line with it.
            let _ = canvas.println(done(summary));
        }
        Event::Stopping { .. } => drop(canvas.println(STOPPING)),
        _ => {}
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants, and a test draws each.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// One line about a report that ended.
pub(super) fn done(summary: &ReportSummary) -> String {
    let ReportSummary { report, rows, pages, .. } = summary;
    let (rows, pages) = (counted(*rows, "row"), counted(*pages, "page"));
    let mut line = format!("{report}: {}, {rows} from {pages}", ended(summary));
    if let Some(commit) = summary.commit {
        line += &format!(", commit {commit}");
    }
    if summary.dead_letters > 0 {
        line += &format!(", {}", counted(summary.dead_letters, "dead letter"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for template in [UNKNOWN, ROWS, CRAWLS] {
            ProgressStyle::with_template(template).expect(template);
        }
    }
}
