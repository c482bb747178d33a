//! A plan as lines of plain text, for `plan` and `run --dry-run`.

use std::fmt;

use chrono::TimeDelta;
use ctct_load::WriteMode;

use super::{Cost, Ids, Plan, Query, ReportPlan, Scope};
use crate::dates::wire;
use crate::document::Access;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pipeline = &self.pipeline;
        match &pipeline.description {
            Some(description) => writeln!(f, "{}: {description}", pipeline.name)?,
            None => writeln!(f, "{}", pipeline.name)?,
        }
        let right = match &pipeline.source.access {
            Access::Stored => "stored sign-in",
            Access::Token(_) => "a bearer token",
            Access::Sandbox(_) => "the embedded API",
        };
        let pace = pipeline.pace();
        let daily = grouped(pace.daily_requests.into());
        writeln!(f, "  account      {} ({right})", self.account)?;
        if let Some(base_url) = &pipeline.source.base_url {
            writeln!(f, "  server       {base_url}")?;
        }
        writeln!(f, "  pace         {} requests a second, {daily} a day", pace.requests_per_second)?;
        writeln!(f, "  destination  {}", self.destination)?;
        writeln!(f, "  now          {}, dates in {}", wire(self.now), pipeline.timezone)?;
        for report in &self.reports {
            writeln!(f)?;
            self.write_report(report, f)?;
        }
        write!(f, "\n{}", self.cost(|_| None))
    }
}

impl Plan {
    fn write_report(&self, report: &ReportPlan, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", report.report.name, mode(report.write_mode))?;
        if !report.partition_by.is_empty() {
            let folders: Vec<String> = report.partition_by.iter().map(ToString::to_string).collect();
            write!(f, ", partitioned by {}", folders.join(", "))?;
        }
        if let Some(source) = self.depends_on(report) {
            write!(f, ", after {source}")?;
        }
        writeln!(f)?;
        let width = report.resolved.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max("requests".len());
        for (name, value) in &report.resolved {
            writeln!(f, "  {name:width$}  {value}")?;
        }
        for (at, query) in report.ask(None, self.now).queries.iter().enumerate() {
            let label = if at == 0 { "asks" } else { "and" };
            writeln!(f, "  {label:width$}  GET {}{}", report.report.path, shown(query))?;
        }
        if report.is_incremental() && report.scope == Scope::Live {
            let overlap = shortest(report.delivery.overlap);
            writeln!(
                f,
                "  {:width$}  from the watermark of the last commit less {overlap}, once there is one",
                "then"
            )?;
        }
        writeln!(f, "  {:width$}  {}", "requests", report.expectation())
    }
}

fn shown(query: &Query) -> String {
    let pairs: Vec<String> = query.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// A span of time as a pipeline writes it: `10m`, `1h`, `7d`.
fn shortest(span: TimeDelta) -> String {
    let minutes = span.num_minutes();
    match (minutes % (24 * 60), minutes % 60) {
        (0, _) => format!("{}d", span.num_days()),
        (_, 0) => format!("{}h", span.num_hours()),
        _ => format!("{minutes}m"),
    }
}

/// The mode's name in a pipeline; the two are alike but for the capital.
fn mode(mode: WriteMode) -> String {
    format!("{mode:?}").to_lowercase()
}

impl ReportPlan {
    fn expectation(&self) -> String {
        let pages = self.report.page_rows().map(|rows| format!("one for every {rows} rows")).unwrap_or_default();
        match &self.ids {
            Ids::None if pages.is_empty() => "1".to_owned(),
            Ids::None => format!("{pages}, 1 at least"),
            Ids::List { ids, .. } => format!("{} at least, one for each id", grouped(ids.len() as u64)),
            Ids::From { source, .. } => format!("one at least for each {} of {}", source.column, source.report),
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, seconds, share_of_day, open } = self;
        let plural = if *requests == 1 { "" } else { "s" };
        let time = if *seconds < 60.0 { format!("{seconds:.1} s") } else { format!("{:.1} min", seconds / 60.0) };
        let percent = share_of_day * 100.0;
        write!(
            f,
            "at least {} request{plural}: {time} at this pace, {percent:.2} % of the day's quota",
            grouped(*requests)
        )?;
        if open.is_empty() { Ok(()) } else { write!(f, "; not counted: {}, by id", open.join(", ")) }
    }
}

/// `10000` as `10,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
