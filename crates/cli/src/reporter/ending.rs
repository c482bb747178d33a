//! How a run ended, on stderr: why it did not end well and what to do, each once, and as the last thing that is said of it.

use ctct_pipeline::policy::Severity;
use ctct_pipeline::{ErrorSummary, Outcome, RunSummary};
use serde_json::Value;

use super::summary::counted;
use crate::args::{Global, LogFormat};
use crate::{exit_code, printer};

/// What went wrong in a report, or before any report began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reason<'a> {
    pub(crate) report: Option<&'a str>,
    pub(crate) message: &'a str,
    pub(crate) advice: &'a str,
}

impl<'a> Reason<'a> {
    /// Of a command, rather than one report.
    pub(crate) fn of_all(error: &'a ErrorSummary) -> Self {
        Self { report: None, message: &error.message, advice: &error.advice }
    }

    /// Of one report.
    pub(crate) fn of(report: &'a str, error: &'a ErrorSummary) -> Self {
        Self { report: Some(report), ..Self::of_all(error) }
    }
}

/// What went wrong in the same way in some reports; in none of them where the command did not come that far.
pub(crate) struct Failure<'a> {
    reports: Vec<&'a str>,
    /// What happened, without which report and which request.
    what: String,
    /// The same as the first report tells it.
    message: &'a str,
    pub(crate) advice: Vec<&'a str>,
}

/// Says on stderr why a command ends with this code, equal failures once.
pub(crate) fn give<'a>(code: u8, reasons: impl IntoIterator<Item = Reason<'a>>) {
    if code == exit_code::DONE {
        return;
    }
    for failure in together(reasons) {
        let advice = failure.advice.join("\nhelp: ");
        printer::fail(Severity::of_exit_code(code), &failure.told(), Some(&advice), []);
    }
    printer::account_for(code);
}

/// Says how a run ended. Text says nothing of one that ended well, since its summary does.
pub(crate) fn tell(global: &Global, summary: &RunSummary) {
    if global.log_format == LogFormat::Text {
        return give(summary.exit_code, reasons(summary));
    }
    let failures = together(reasons(summary));
    let shown = summary.outcome != Outcome::Done || !global.quiet && tracing::enabled!(tracing::Level::INFO);
    if shown {
        printer::log(summary.outcome.severity(), "run done", fields(summary, &failures));
    }
}

fn reasons(summary: &RunSummary) -> Vec<Reason<'_>> {
    if let Some(error) = &summary.error {
        return vec![Reason::of_all(error)];
    }
    let reports = summary.reports.iter();
    reports.filter_map(|report| Some(Reason::of(&report.report, report.error.as_ref()?))).collect()
}

/// Says how several runs of one command ended, where not all of them ended well.
pub(crate) fn tell_all(outcomes: &[Outcome], worst: Outcome) {
    let failed = outcomes.iter().filter(|outcome| **outcome != Outcome::Done).count();
    if failed == 0 || outcomes.len() < 2 {
        return;
    }
    let mut kinds: Vec<Outcome> = outcomes.iter().copied().filter(|outcome| *outcome != Outcome::Done).collect();
    kinds.sort_unstable();
    let kinds: Vec<String> = kinds
        .chunk_by(|left, right| left == right)
        .filter_map(|alike| Some(format!("{} {}", alike.len(), alike.first()?)))
        .collect();
    let message =
        format!("{failed} of {} did not succeed: {}", counted(outcomes.len() as u64, "run"), kinds.join(", "));
    let fields = [("exit_code", worst.policy().exit_code.into()), ("outcome", worst.to_string().into())];
    printer::fail(worst.severity(), &message, Some("see the messages above for each run"), fields);
}

fn fields(summary: &RunSummary, failures: &[Failure<'_>]) -> Vec<(&'static str, Value)> {
    let mut fields: Vec<(&'static str, Value)> = vec![
        ("run_id", summary.run_id.as_str().into()),
        ("pipeline", summary.pipeline.as_str().into()),
        ("account", summary.account.as_str().into()),
        ("outcome", summary.outcome.to_string().into()),
        ("exit_code", summary.exit_code.into()),
        ("rows", summary.rows().into()),
        ("requests", summary.api.requests.into()),
        ("seconds", summary.seconds.into()),
    ];
    if !failures.is_empty() {
        let messages: Vec<String> = failures.iter().map(Failure::told).collect();
        let mut advice: Vec<&str> = failures.iter().flat_map(|failure| failure.advice.iter().copied()).collect();
        advice.dedup();
        fields.extend([("error", messages.join("; ").into()), ("next", advice.join("; ").into())]);
    }
    fields
}

/// Equal failures as one, in the order in which they came.
pub(crate) fn together<'a>(reasons: impl IntoIterator<Item = Reason<'a>>) -> Vec<Failure<'a>> {
    let mut failures: Vec<Failure<'_>> = Vec::new();
    for Reason { report, message, advice } in reasons {
        let what = report.map_or_else(|| message.to_owned(), |report| without_place(report, message));
        match failures.iter_mut().find(|failure| failure.what == what) {
            Some(failure) => {
                failure.reports.extend(report);
                if !failure.advice.contains(&advice) {
                    failure.advice.push(advice);
                }
            }
            None => {
                failures.push(Failure { reports: report.into_iter().collect(), what, message, advice: vec![advice] });
            }
        }
    }
    failures
}

impl Failure<'_> {
    /// What happened, with the reports that it hit.
    pub(crate) fn told(&self) -> String {
        match self.reports.as_slice() {
            [] | [_] => self.message.to_owned(),
            reports => format!("{}: {}", reports.join(", "), self.what),
        }
    }
}

/// A report's message without the report, the page and the request: `contacts page 3 (GET /v3/contacts): failed` is `failed`.
fn without_place(report: &str, message: &str) -> String {
    let rest = message.strip_prefix(report);
    let what = rest.and_then(|rest| match rest.strip_prefix(": ") {
        Some(what) => Some(what),
        None if rest.starts_with(' ') => rest.split_once("): ").map(|(_, what)| what),
        None => None,
    });
    let what = what.unwrap_or(message);
    match what.split_once(" [request id ") {
        Some((before, rest)) => format!("{before}{}", rest.split_once(']').map_or("", |(_, after)| after)),
        None => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_failures_are_told_once_with_the_reports_that_they_hit() {
        let down = "failed in each of 6 attempts, the last time with HTTP 503; try again later";
        let said = |id: &str| down.replace("503", &format!("503 [request id {id}]"));
        let (first, second) = (
            format!("contacts page 1 (GET /v3/contacts): {}", said("a-1")),
            format!("contact_lists page 3 (GET /v3/contact_lists): {}", said("b-2")),
        );
        let reason = |report, message, advice| Reason { report, message, advice };
        let reasons = [
            reason(Some("contacts"), first.as_str(), "run again"),
            reason(Some("contact_lists"), second.as_str(), "run again"),
            reason(Some("segments"), "segments: another run committed version 4", "wait"),
            reason(Some("contact_tags"), "contact_tags: another run committed version 4", "wait for it"),
            reason(Some("email_campaigns"), "an odd message", "report it"),
            reason(None, "of all", "do this"),
        ];
        let told: Vec<String> = together(reasons)
            .iter()
            .map(|failure| format!("{} -> {}", failure.told(), failure.advice.join(" / ")))
            .collect();
        assert_eq!(
            told,
            [
                format!("contacts, contact_lists: {down} -> run again"),
                "segments, contact_tags: another run committed version 4 -> wait / wait for it".to_owned(),
                "an odd message -> report it".to_owned(),
                "of all -> do this".to_owned(),
            ]
        );
    }
}
