//! A plan as lines of plain text, for `plan` and `run --dry-run`.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

use super::{AtLeastAtMost, Basis, Cost, Fits, PlanSummary, PlannedOption, PlannedReport, Price, Requests, Scheduled};
use crate::allowance::Allowance;
use crate::document::dates::wire;

impl fmt::Display for PlanSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.description {
            Some(description) => writeln!(f, "{}: {description}", self.pipeline)?,
            None => writeln!(f, "{}", self.pipeline)?,
        }
        writeln!(f, "  account      {} ({})", self.account, self.access)?;
        if let Some(server) = &self.server {
            writeln!(f, "  server       {server}")?;
        }
        write!(f, "  pace         {} requests per second", self.requests_per_second)?;
        match &self.quota {
            Some(quota) => writeln!(f, ", {} per day", grouped(quota.daily))?,
            None => writeln!(f)?,
        }
        writeln!(f, "  destination  {}", self.destination)?;
        writeln!(f, "  now          {}, dates in {}", wire(self.now), self.timezone)?;
        for report in &self.reports {
            write!(f, "\n{report}")?;
        }
        self.write_cost(f)?;
        match self.identity_requests {
            Some(AtLeastAtMost { least: 0, .. }) => {
                write!(f, "\nplus 1 request with a new token, to learn whose account it reads")?;
            }
            Some(_) => write!(f, "\nincluding 1 request to learn whose account the token reads")?,
            None => {}
        }
        self.write_schedule(f)?;
        self.write_quota(f)?;
        if self.sent > 0 {
            write!(f, "\nsent to count rows: {}", requests(self.sent))?;
        }
        for unknown in &self.unknown {
            write!(f, "\nunknown: {unknown}")?;
        }
        Ok(())
    }
}

impl PlanSummary {
    /// What a run costs. Where that is not known of a report, none is shown that would look like it.
    fn write_cost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown: Vec<&PlannedReport> =
            self.reports.iter().filter(|report| report.requests.most.is_none()).collect();
        if unknown.iter().all(|report| report.has_floor()) {
            write!(f, "\n{}", self.cost)?;
            if unknown.is_empty() {
                return Ok(());
            }
            write!(f, "\nunknown: how many more for {}", names(&unknown))?;
        } else {
            write!(f, "\nunknown: how many requests for {}", names(&unknown))?;
        }
        let countable: Vec<&PlannedReport> = unknown.into_iter().filter(|report| report.countable).collect();
        match countable.as_slice() {
            [] => Ok(()),
            reports => write!(f, "; `--probe` counts {}", names(reports)),
        }
    }

    fn write_schedule(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Scheduled { runs, least, most, share_of_day }) = self.scheduled else { return Ok(()) };
        let (number, share) = match most {
            Some(most) => (range(least, most), share_of_day * 100.0),
            None => (format!("at least {}", grouped(least)), share_of_day * 100.0),
        };
        let runs = if runs == 1 { "1 run".to_owned() } else { format!("{} runs", grouped(runs)) };
        write!(f, "\nschedule: {runs} in the next 24 hours, {number} requests, {share:.2} % of a day's quota")?;
        if share_of_day > 1.0 { write!(f, "; more than a day allows, so run less often") } else { Ok(()) }
    }

    fn write_quota(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(quota) = &self.quota else { return Ok(()) };
        let Allowance { daily, left, resets_at, .. } = quota;
        let ends = instant(*resets_at);
        write!(f, "\ntoday: {} of {} left, until {ends}", grouped(*left), requests(*daily))?;
        let days = |price: Price| price.days.unwrap_or(1);
        let (least, most) = (days(self.cost.least), self.cost.most.map(days));
        match self.fits {
            Fits::No => {
                let days = range(least, most.unwrap_or(least));
                write!(f, "\nexceeds what is left today; use `--over-days` to spread it over {days} days")
            }
            Fits::Maybe if most.is_some() => {
                let days = range(least, most.unwrap_or(least));
                write!(f, "\nmay exceed what is left today; the next run then resumes, {days} days in all")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for PlannedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.report, self.write_mode.name())?;
        if !self.partition_by.is_empty() {
            write!(f, ", partitioned by {}", self.partition_by.join(", "))?;
        }
        if let Some(source) = &self.after {
            write!(f, ", after {source}")?;
        }
        writeln!(f)?;
        let width = self.options.iter().map(|option| option.name.len()).max().unwrap_or(0).max("last commit".len());
        let mut line = |name: &str, value: &str| writeln!(f, "  {name:width$}  {value}");
        for PlannedOption { name, value } in &self.options {
            line(name, value)?;
        }
        if let Some(last) = &self.last_commit {
            let watermark = last.watermark.map(|at| format!(", watermark {}", instant(at))).unwrap_or_default();
            line("last commit", &format!("{}, {}{watermark}", last.version, instant(last.committed_at)))?;
        }
        if let Some(stored) = &self.other_rows {
            let refused = format!("a run without --full-refresh, since the stored rows were chosen by `{stored}`");
            line("refused", &refused)?;
        }
        if self.reconciles {
            line("reads", "everything, to find deleted rows")?;
        }
        for (at, request) in self.asks.iter().enumerate() {
            line(if at == 0 { "request" } else { "and" }, &format!("GET {request}"))?;
        }
        if self.incremental && self.last_commit.is_none() {
            let overlap = shortest(self.overlap_minutes);
            line("then", &format!("from the watermark of the last commit less {overlap}, once there is one"))?;
        }
        if self.kept_pages > 0 {
            let pages = if self.kept_pages == 1 { "1 page" } else { &format!("{} pages", grouped(self.kept_pages)) };
            line("resumes", &format!("from an earlier run ({pages} reused)"))?;
        }
        line("requests", &self.expectation())?;
        for gap in &self.gaps {
            line("misses", gap)?;
        }
        for warning in &self.warnings {
            line("warning", warning)?;
        }
        Ok(())
    }
}

impl PlannedReport {
    /// Whether the least number of requests says something of how many there will be: by ids that are known, or by rows that
    /// were counted. That a list takes one page at least does not.
    fn has_floor(&self) -> bool {
        self.ids.is_some() || self.requests.basis == Basis::Counted || self.counted.is_some()
    }

    fn expectation(&self) -> String {
        let Requests { least, most, basis } = self.requests;
        let how = match (&self.ids_from, self.ids, self.page_rows) {
            (Some(from), ..) => format!("one or more for each {from}"),
            (_, Some(_), _) => "one or more for each id".to_owned(),
            (None, None, Some(rows)) => format!("one for every {rows} rows"),
            (None, None, None) => String::new(),
        };
        let how = if how.is_empty() { how } else { format!(", {how}") };
        let number = match (most, basis) {
            (Some(most), Basis::Commits) => format!("about {} (based on previous runs)", range(least, most)),
            (Some(most), _) => range(least, most),
            (None, _) if self.has_floor() => format!("at least {}", grouped(least)),
            (None, _) if self.countable => "unknown (use `--probe` to count)".to_owned(),
            (None, _) => "unknown".to_owned(),
        };
        let counted = self.counted.map(|rows| format!("; the API counts {}", grouped(rows))).unwrap_or_default();
        format!("{number}{how}{counted}")
    }
}

fn names(reports: &[&PlannedReport]) -> String {
    reports.iter().map(|report| report.report.as_str()).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { least, most, .. } = self;
        let percent = |price: &Price| price.share_of_day * 100.0;
        match most {
            Some(most) if most.requests > least.requests => write!(
                f,
                "{} to {}: {} to {} at this pace, {:.2} to {:.2} % of a day's quota",
                grouped(least.requests),
                requests(most.requests),
                duration(least.seconds),
                duration(most.seconds),
                percent(least),
                percent(most)
            ),
            _ => {
                let at_least = if most.is_none() { "at least " } else { "" };
                let (requests, time) = (requests(least.requests), duration(least.seconds));
                write!(f, "{at_least}{requests}: {time} at this pace, {:.2} % of a day's quota", percent(least))
            }
        }
    }
}

/// `2 to 14`, or one number where both are the same.
fn range(least: u64, most: u64) -> String {
    if least == most { grouped(least) } else { format!("{} to {}", grouped(least), grouped(most)) }
}

fn requests(number: u64) -> String {
    format!("{} request{}", grouped(number), if number == 1 { "" } else { "s" })
}

fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 60.0 => format!("{seconds:.1} s"),
        seconds if seconds < 7_200.0 => format!("{:.1} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3_600.0),
    }
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A span of time as a pipeline writes it: `10m`, `1h`, `7d`.
fn shortest(minutes: i64) -> String {
    match (minutes % (24 * 60), minutes % 60) {
        (0, _) => format!("{}d", minutes / (24 * 60)),
        (_, 0) => format!("{}h", minutes / 60),
        _ => format!("{minutes}m"),
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
