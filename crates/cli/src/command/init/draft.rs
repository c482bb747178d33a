//! A pipeline in the making: what is known of it, and its text. The text is checked by the loader that reads every pipeline,
//! so that what `init` writes is what `run` takes.

use chrono::Utc;
use ctct_catalog::{Catalog, OptionKind, Report, ReportOption};
use ctct_extract::RateLimit;
use ctct_load::PartitionBy;
use ctct_pipeline::document::ConfigErrors;
use ctct_pipeline::{Environment, Pipeline, Plan};

/// Where a comment begins, if what it is about is not longer.
const COMMENTS_AT: usize = 36;

/// What is known of a pipeline. Texts are as the user gave them; [`Draft::check`] says what is wrong with them.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// Names the pipeline.
    pub(super) name: String,
    /// The account; the embedded API where absent.
    pub(super) account: Option<String>,
    /// Path or URL of the destination.
    pub(super) destination: String,
    /// Names of reports.
    pub(super) reports: Vec<String>,
    /// One of the write modes.
    pub(super) write_mode: String,
    /// Where tables begin: a date, a timestamp, or `90d`; empty for the beginning.
    pub(super) since: String,
    /// A cron expression or a span of time; empty for none.
    pub(super) schedule: String,
}

impl Draft {
    /// Whether the text is a pipeline of which a plan can be made. `file` names it in messages.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(super) fn check(&self, file: &str, catalog: &Catalog) -> Result<(), ConfigErrors> {
        let pipeline = Pipeline::parse(&self.text(catalog), file, catalog, &Environment::process())?;
        Plan::new(&pipeline, Utc::now()).map(|_| ())
    }

    /// Whether a report of the draft can begin at a date.
    pub(super) fn can_begin(&self, catalog: &Catalog) -> bool {
        self.names(catalog).iter().any(|name| catalog.get(name).is_some_and(|report| report.beginning().is_some()))
    }

    /// The reports, each once, with those that others take their ids from before them.
    pub(super) fn names(&self, catalog: &Catalog) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.reports.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
            let options = catalog.get(name).map(|report| report.options.as_slice()).unwrap_or_default();
            let sources = options.iter().filter(|option| option.required).filter_map(|option| option.from.as_ref());
            let with_sources = sources.map(|source| source.report.as_str()).chain([name]);
            for name in with_sources {
                if !names.iter().any(|other| other == name) {
                    names.push(name.to_owned());
                }
            }
        }
        names
    }

    /// The pipeline's text.
    pub(super) fn text(&self, catalog: &Catalog) -> String {
        let mut lines = vec![
            "# yaml-language-server: $schema=pipeline.schema.json".to_owned(),
            "# Edit as you like: `ctct-etl validate` checks this file, `ctct-etl plan` shows the requests of a run."
                .to_owned(),
            "version: 1".to_owned(),
            with_comment(&format!("name: {}", scalar(&self.name)), "name in runs, commit records and log lines"),
            "source:".to_owned(),
        ];
        match &self.account {
            Some(account) => lines.push(with_comment(
                &format!("  account: {}", scalar(account)),
                "signed in by `ctct-etl auth login`; also a folder name",
            )),
            None => lines.extend([
                with_comment("  sandbox:", "the embedded API: no account and no network needed"),
                "    contacts: 1000".to_owned(),
                with_comment(
                    "    requests_per_second: 5000",
                    &format!("the real API allows {}", RateLimit::default().requests_per_second),
                ),
                "    burst: 5000".to_owned(),
                with_comment(
                    "    daily_requests: 1000000",
                    &format!("the real API allows {}", RateLimit::default().daily_requests),
                ),
            ]),
        }
        lines.push("destination:".to_owned());
        let places = "a path, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX";
        lines.push(with_comment(&format!("  url: {}", scalar(&self.destination)), places));
        lines.push("reports:".to_owned());
        for name in self.names(catalog) {
            lines.extend(self.report(&name, catalog.get(&name).map(AsRef::as_ref)));
        }
        lines.push(schedule(self.schedule.trim()));
        lines.join("\n") + "\n"
    }

    /// One entry of `reports`. Of a report that is not known there is no more to say than its name.
    fn report(&self, name: &str, report: Option<&Report>) -> Vec<String> {
        let mut lines = vec![format!("  - report: {}", scalar(name))];
        let Some(report) = report else { return lines };
        lines.insert(0, format!("  # {}", report.doc));
        lines.extend(report.options.iter().filter_map(|option| needed(report, option)));
        let since = self.since.trim();
        if let (Some(option), false) = (report.beginning(), since.is_empty()) {
            let key = format!("    {}: {}", option.name, moment(since));
            lines.push(with_comment(&key, "start of the table; later runs continue from the last one"));
        }
        let mode = format!("    write_mode: {}", scalar(&self.write_mode));
        lines.push(with_comment(&mode, what_it_does(&self.write_mode)));
        if self.write_mode == "partition" {
            lines.extend(partition(report).map(|by| format!("    partition_by: {by}")));
        }
        if self.write_mode == "merge" && report.count.is_some() && !report.gaps.is_empty() {
            lines.push(if since.is_empty() {
                with_comment("    reconcile: {every: 7d}", "reads everything once a week to find deletions and changes that no filter finds")
            } else {
                "    # Without a start date, `reconcile: {every: 7d}` would find deletions and changes that no filter finds.".to_owned()
            });
        }
        // The other form of a period would need other options instead.
        let named = |option: &&ReportOption| {
            !matches!(option.kind, OptionKind::RangeStart | OptionKind::RangeEnd)
                && !lines.iter().any(|line| line.trim_start().starts_with(&format!("{}:", option.name)))
        };
        let others: Vec<&str> = report.options.iter().filter(named).map(|option| option.name.as_str()).collect();
        if !others.is_empty() {
            lines.push(format!("    # more: {} (`ctct-etl reports {name}` explains them)", others.join(", ")));
        }
        lines
    }
}

/// The line of an option that must be given, or goes with one that must: ids of the report that has them, the day before the
/// run. Days of a run a day add up; longer periods that end with the run would hold the same activity several times.
fn needed(report: &Report, option: &ReportOption) -> Option<String> {
    let (value, comment) = match option.kind {
        OptionKind::Ids if option.required => {
            let source = option.from.as_ref()?;
            (format!("{{from: {}}}", source.report), "one request per id; or one id, or a list of ids".to_owned())
        }
        OptionKind::Duration => {
            let ends = [OptionKind::RangeStart, OptionKind::RangeEnd];
            let ends: Vec<&str> =
                report.options.iter().filter(|end| ends.contains(&end.kind)).map(|end| &*end.name).collect();
            ("single_date".to_owned(), format!("or date_range, with {}", ends.join(" and ")))
        }
        OptionKind::Day => {
            let comment = "the day before the run: with one run per day, the days add up";
            ("{days_back: 1}".to_owned(), comment.to_owned())
        }
        _ => return None,
    };
    Some(with_comment(&format!("    {}: {value}", option.name), &comment))
}

fn what_it_does(write_mode: &str) -> &'static str {
    match write_mode {
        "append" => "every version of a row that a run read",
        "replace" => "each run's snapshot replaces the last one",
        "partition" => "partitions that a run touches are replaced, the others stay",
        _ => "current state (upsert): one row per key; or append, replace, partition",
    }
}

/// What a report can be divided by: the day that it counts, the month in which rows came to be, or a part of the key.
fn partition(report: &Report) -> Option<String> {
    let day = report.options.iter().find(|option| option.kind == OptionKind::Day).and_then(|day| day.params.first());
    let counted = report.columns.iter().find(|column| day.is_some() && column.bound.as_ref() == day);
    if let Some(column) = counted.filter(|column| PartitionBy::Day(column.name.clone()).validate(report).is_ok()) {
        return Some(format!("[{{day: {}}}]", column.name));
    }
    let is_month = |column: &&str| PartitionBy::Month((*column).to_owned()).validate(report).is_ok();
    if let Some(column) = report.creation().filter(is_month) {
        return Some(format!("[{{month: {column}}}]"));
    }
    let fits = |column: &&String| PartitionBy::Bucket { column: (*column).clone(), count: 4 }.validate(report).is_ok();
    report.key.iter().find(fits).map(|column| format!("[{{bucket: {{column: {column}, count: 4}}}}]"))
}

/// `schedule`, or how it would look.
fn schedule(when: &str) -> String {
    let is_span = when.starts_with(|first: char| first.is_ascii_digit()) && !when.contains(' ');
    match when {
        "" => "# schedule: {cron: \"0 6 * * *\"}    # when to run, or {every: 1h}; a scheduler starts it".to_owned(),
        span if is_span => with_comment(&format!("schedule: {{every: {}}}", scalar(span)), "a scheduler starts it"),
        cron => with_comment(&format!("schedule: {{cron: {}}}", quoted(cron)), "a scheduler starts it"),
    }
}

/// `90d` as days back, anything else as it is.
fn moment(when: &str) -> String {
    match when.strip_suffix('d') {
        Some(days) if !days.is_empty() && days.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{{days_back: {days}}}")
        }
        _ => scalar(when),
    }
}

/// A text as YAML, without quotes where none are needed. What could be read as a number, a truth or a null is quoted.
fn scalar(text: &str) -> String {
    let starts_well =
        text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/') || text.starts_with("./");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let word =
        ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    // A date or a span begins with a digit and can be nothing else.
    let is_moment = text.len() >= 2
        && text.contains(['-', 'm', 'h', 'd'])
        && text.bytes().all(|b| b.is_ascii_digit() || b"-mhd".contains(&b));
    let is_address = text.split_once("://").is_some_and(|(scheme, rest)| {
        scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && starts_plain(scheme)
            && !rest.is_empty()
            && rest.chars().all(plain)
    });
    if is_address || is_moment || (starts_well && !word && text.chars().all(plain)) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

fn starts_plain(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
}

/// A text between double quotes: YAML takes what JSON takes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn with_comment(line: &str, comment: &str) -> String {
    format!("{line:<COMMENTS_AT$} # {comment}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: [&str; 4] = ["append", "merge", "replace", "partition"];

    fn draft() -> Draft {
        Draft {
            name: "acme".to_owned(),
            account: Some("acme".to_owned()),
            destination: "./data/acme".to_owned(),
            reports: vec!["contacts".to_owned(), "contact_lists".to_owned()],
            write_mode: "merge".to_owned(),
            since: String::new(),
            schedule: String::new(),
        }
    }

    #[test]
    fn every_combination_is_a_pipeline_that_the_loader_takes() {
        let catalog = Catalog::embedded().unwrap();
        let all: Vec<String> = catalog.reports().map(|report| report.name.clone()).collect();
        // Each report alone, and all together.
        let choices: Vec<Vec<String>> = all.iter().map(|name| vec![name.clone()]).chain([all.clone()]).collect();
        for account in [None, Some("acme".to_owned()), Some("2024".to_owned()), Some("no".to_owned())] {
            for destination in
                ["./data/acme", "/tmp/with space/#1", "s3://bucket/a.b_c", "az://container/prefix", "123"]
            {
                for write_mode in MODES {
                    for (since, schedule) in [
                        ("", ""),
                        ("90d", "1d"),
                        ("2026-01-31", "0 6 * * *"),
                        ("2026-01-31T08:00:00Z", "*/15 9-17 * * mon-fri"),
                    ] {
                        for reports in &choices {
                            let draft = Draft {
                                name: account.clone().unwrap_or_else(|| "1e3".to_owned()),
                                account: account.clone(),
                                destination: destination.to_owned(),
                                reports: reports.clone(),
                                write_mode: write_mode.to_owned(),
                                since: since.to_owned(),
                                schedule: schedule.to_owned(),
                            };
                            let text = draft.text(&catalog);
                            let checked = draft.check("acme.yaml", &catalog);
                            assert!(checked.is_ok(), "{}\n{text}", checked.unwrap_err().render(false));
                            assert!(text.lines().all(|line| line.len() <= 160), "{text}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_pipeline_says_what_its_keys_are_for() {
        let catalog = Catalog::embedded().unwrap();
        let small = draft().text(&catalog);
        let reports = ["contacts", "contact_action_summary"].map(str::to_owned).into();
        let text = |name: &str| name.to_owned();
        let large = Draft {
            account: None,
            reports,
            write_mode: text("partition"),
            since: text("30d"),
            schedule: text("0 6 * * *"),
            ..draft()
        };
        insta::assert_snapshot!(format!("{small}\n{}", large.text(&catalog)));
    }

    #[test]
    fn a_report_brings_the_one_that_its_ids_come_from() {
        let catalog = Catalog::embedded().unwrap();
        let names = ["contact_activity_details", " contacts", "contacts", ""].map(str::to_owned).into();
        assert_eq!(Draft { reports: names, ..draft() }.names(&catalog), ["contacts", "contact_activity_details"]);
    }

    #[test]
    fn what_is_wrong_is_found_by_the_loader() {
        let catalog = Catalog::embedded().unwrap();
        let text = |text: &str| text.to_owned();
        for (wrong, said) in [
            (Draft { reports: vec![text("contcts")], ..draft() }, "did you mean `contacts`?"),
            (Draft { reports: vec![], ..draft() }, "reports"),
            (Draft { account: Some(text("a b")), ..draft() }, "a b"),
            (Draft { destination: text("ftp://host"), ..draft() }, "ftp"),
            (Draft { destination: text(""), ..draft() }, "empty"),
            (Draft { since: text("yesterday"), ..draft() }, "yesterday"),
            (Draft { schedule: text("1w"), ..draft() }, "1w"),
            (Draft { schedule: text("0 6 * *"), ..draft() }, "five fields"),
            (Draft { name: text("a\n: b"), ..draft() }, "name"),
        ] {
            let errors = wrong.check("acme.yaml", &catalog).unwrap_err().render(false);
            assert!(errors.contains(said), "{said}: {errors}");
        }
    }
}
