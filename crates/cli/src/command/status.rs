//! `ctct-etl status`: whether what is stored is as new as it should be.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use ctct_pipeline::maintain::{
    Expectation, FailedIdsSummary, Health, HolderSummary, LastError, ReportStatus, StatusSummary,
};

use super::{json, with_plan, worse};
use crate::args::{Global, Output, PipelineStatusArguments};
use crate::exit_code;
use crate::logging;
use crate::printer::print;
use crate::reporter;
use crate::reporter::ending::{Reason, give, together};
use crate::reporter::summary::{bytes, counted};
use crate::text_table::text_table;

/// Shows how the reports of all pipelines stand; the exit code is that of the worst.
pub(crate) fn status(global: &Global, arguments: &PipelineStatusArguments) -> u8 {
    logging::start(global, &reporter::canvas(global));
    let expectation = Expectation { max_age: arguments.max_age, grace: arguments.grace };
    let (mut worst, mut printed) = (exit_code::DONE, exit_code::DONE);
    for file in &arguments.pipelines.files {
        let code = with_plan(file, &arguments.only.reports, global, async |plan, context| {
            let summary = ctct_pipeline::maintain::status(plan, context, expectation).await;
            printed = worse(
                printed,
                match arguments.result.output {
                    Output::Text if global.quiet => exit_code::DONE,
                    Output::Text => print(&text(&summary)),
                    Output::Json => print(&json(&summary)),
                },
            );
            give_reasons(&summary);
            worst = worse_health(worst, summary.exit_code);
            exit_code::DONE
        });
        worst = worse_health(worst, code);
    }
    worse(worst, printed)
}

/// The worse of two exit codes: damage, a failure, staleness, and then whatever kept us from looking.
fn worse_health(one: u8, other: u8) -> u8 {
    let codes = [Health::Damaged, Health::Failed, Health::Stale].map(Health::exit_code);
    let rank = |code: u8| match codes.iter().position(|known| *known == code) {
        Some(position) => position,
        None if code == exit_code::DONE => codes.len() + 1,
        None => codes.len(),
    };
    if rank(other) < rank(one) { other } else { one }
}

fn text(summary: &StatusSummary) -> String {
    let StatusSummary { pipeline, account, destination, .. } = summary;
    let mut text = format!("{pipeline}: {} (account {account} in {destination})\n", word(summary.health));
    if !summary.reports.is_empty() {
        let mut table = text_table(["report", "status", "last success", "age", "watermark"]);
        for report in &summary.reports {
            let success = report.last_success.map_or_else(|| "never".to_owned(), instant);
            let age = report.age_seconds.map_or_else(|| "-".to_owned(), age);
            let watermark = report.watermark.map_or_else(|| "-".to_owned(), instant);
            table.add_row([report.report.clone(), word(report.health).to_owned(), success, age, watermark]);
        }
        text += &format!("{table}\n");
    }
    for report in &summary.reports {
        text += &notes(report, destination);
    }
    for failure in together(failed(summary)) {
        text += &format!("{}\nhelp: {}\n", failure.told(), failure.advice.join("\nhelp: "));
    }
    match (summary.next_due, summary.reports.iter().find_map(|report| report.due)) {
        (Some(next), _) => text += &format!("next due: {}\n", instant(next)),
        (None, None) if summary.error.is_none() => {
            text += "the pipeline has no `schedule`: use --max-age to check its age\n";
        }
        _ => {}
    }
    if let Some(quota) = summary.quota {
        text += &format!("quota: {} of {} requests left until {}\n", quota.left, quota.daily, instant(quota.resets_at));
    }
    text
}

/// The last errors of the reports.
fn failed(summary: &StatusSummary) -> impl Iterator<Item = Reason<'_>> {
    summary.reports.iter().filter_map(|report| {
        let LastError { message, advice, .. } = report.last_error.as_ref()?;
        Some(Reason { report: Some(&report.report), message, advice })
    })
}

/// Says on stderr why the exit code is not 0: in short, since the rest is what was asked for.
fn give_reasons(summary: &StatusSummary) {
    let of_health = |health: Health| {
        let reports = summary.reports.iter().filter(move |report| report.health == health);
        reports.map(|report| report.report.as_str()).collect::<Vec<_>>()
    };
    let stale = match summary.next_due {
        Some(_) => "run the pipeline; if a scheduler should have, check why it did not or why the run failed",
        None => "run the pipeline",
    };
    let mut told = Vec::new();
    for (health, advice) in [
        (Health::Damaged, "do not run again until the state is repaired; `ctct-etl verify` lists all problems"),
        (Health::Failed, "follow the advice that comes with each error"),
        (Health::Stale, stale),
    ] {
        let reports = of_health(health);
        if !reports.is_empty() {
            told.push((format!("{}: {} {}", summary.pipeline, reports.join(", "), is(health, reports.len())), advice));
        }
    }
    let told = told.iter().map(|(message, advice)| Reason { report: None, message, advice });
    give(summary.exit_code, summary.error.iter().map(Reason::of_all).chain(told));
}

fn is(health: Health, reports: usize) -> &'static str {
    match (health, reports) {
        (Health::Damaged, 1) => "is damaged",
        (Health::Damaged, _) => "are damaged",
        (Health::Failed, _) => "failed",
        (_, 1) => "is stale",
        (_, _) => "are stale",
    }
}

/// What a person should look at.
fn notes(report: &ReportStatus, destination: &str) -> String {
    let name = &report.report;
    let mut text = String::new();
    // No run stored it there; or the pipeline names another place than the run did.
    let begun = report.watermark.is_some() || report.in_progress || report.kept_pages.files > 0;
    if report.last_success.is_none() && !begun && report.health != Health::Damaged {
        text += &format!("{name}: nothing is stored in {destination}\n");
    }
    if let (Health::Stale, Some(due)) = (report.health, report.due) {
        text += &format!("{name}: stale: it should have been read since {}\n", instant(due));
    }
    if report.incomplete > 0 {
        text += &format!(
            "{name}: incomplete: the API counts more rows than it sent; the next run reads everything again\n"
        );
    }
    if let Some(since) = report.rejected_since {
        text += &format!(
            "{name}: some records cannot be used, the first since {}; runs request them again\n",
            instant(since)
        );
    }
    if let Some(FailedIdsSummary { ids, since, file }) = &report.failed_ids {
        text += &format!("{name}: {}\n", failed_ids(*ids, *since, file.as_deref()));
    }
    if let Some(holder) = &report.held_by {
        text += &format!("{name}: {}\n", held_by(holder));
    }
    if report.in_progress {
        text += &format!("{name}: partially complete; the next run resumes where this one stopped\n");
    }
    if report.kept_pages.files > 0 {
        let (files, size) = (counted(report.kept_pages.files, "file"), bytes(report.kept_pages.bytes));
        text += &format!("{name}: fetched pages are saved ({files}, {size}); the next run resumes from them\n");
    }
    text
}

/// What is said of ids that failed.
pub(super) fn failed_ids(ids: u64, since: Option<DateTime<Utc>>, file: Option<&str>) -> String {
    let since = since.map(|since| format!(", the first since {}", instant(since))).unwrap_or_default();
    let file = file.map(|file| format!(" ({file})")).unwrap_or_default();
    format!("{} failed{since}; the next run requests what failed again{file}", counted(ids, "id"))
}

/// What is said of a run that is at work.
pub(super) fn held_by(HolderSummary { run_id, pipeline, host, pid, until }: &HolderSummary) -> String {
    let until = instant(*until);
    format!(
        "held by run {run_id} (pipeline {pipeline}, process {pid} on {host}); its lease ends with it, or at {until}"
    )
}

fn word(health: Health) -> &'static str {
    match health {
        Health::Fresh => "fresh",
        Health::Unknown => "unknown",
        Health::Stale => "stale",
        Health::Failed => "failed",
        Health::Damaged => "damaged",
    }
}

/// A span of time in its two largest units.
fn age(seconds: i64) -> String {
    let span = TimeDelta::seconds(seconds.max(0));
    let (days, hours, minutes) = (span.num_days(), span.num_hours() % 24, span.num_minutes() % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min"),
        (0, hours) => format!("{hours} h {minutes} min"),
        (days, hours) => format!("{days} d {hours} h"),
    }
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_to_be_bad_counts_before_what_is_not_known() {
        for (codes, worst) in
            [(&[0, 0][..], 0), (&[0, 12], 12), (&[2, 12], 2), (&[12, 20, 0], 20), (&[20, 21], 21), (&[21, 15, 10], 15)]
        {
            assert_eq!(codes.iter().copied().fold(0, worse_health), worst, "{codes:?}");
        }
    }

    #[test]
    fn ages_have_two_units() {
        assert_eq!([59, 3_600, 90_061].map(age), ["0 min", "1 h 0 min", "1 d 1 h"]);
    }
}
