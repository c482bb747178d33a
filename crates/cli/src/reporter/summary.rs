//! A run's summary as text for people.

use chrono::SecondsFormat;
use comfy_table::{CellAlignment, Table};
use ctct_catalog::{Catalog, Field, FieldType};
use ctct_pipeline::{IncompleteSummary, MergeSummary, Outcome, ReportSummary, RunSummary};

use crate::text_table::text_table;

/// The summary: one table of what was written, then what was asked, what is odd and what to try. Why a run did not end
/// well is not here but on stderr, see [`super::ending`].
pub(crate) fn text(summary: &RunSummary) -> String {
    let mut text = format!("{}: {} in {:.1} s", summary.pipeline, summary.outcome, summary.seconds);
    text += &format!(" (account {}, run {})\n", summary.account, summary.run_id);
    if summary.error.is_some() {
        return text;
    }
    let (quiet, told): (Vec<&ReportSummary>, Vec<&ReportSummary>) =
        summary.reports.iter().partition(|report| is_quiet(report));
    if !told.is_empty() {
        text += &format!("{}\n", tables(&told));
    }
    if !quiet.is_empty() {
        let names: Vec<&str> = quiet.iter().map(|report| report.report.as_str()).collect();
        text += &format!("nothing new: {}\n", names.join(", "));
    }
    text += &asked(summary);
    if summary.deadline {
        text += "the deadline ended the run; fetched pages are saved, and the next run resumes from there\n";
    }
    for warning in &summary.warnings {
        text += &format!("warning: {warning}\n");
    }
    for report in &summary.reports {
        text += &oddities(summary, report);
    }
    if summary.outcome == Outcome::Done && summary.rows() > 0 {
        text += &what_to_try(summary);
    }
    text
}

/// Whether a report ended well and brought nothing: neither a row nor a change of one.
fn is_quiet(report: &ReportSummary) -> bool {
    report.outcome == Outcome::Done && report.tables.iter().all(|table| table.rows == 0) && report.removed == 0
}

fn tables(reports: &[&ReportSummary]) -> Table {
    let mut table = text_table(["table", "rows", "files", "bytes", "commit", "outcome"]);
    for report in reports {
        let commit = report.commit.map_or_else(|| "-".to_owned(), |commit| commit.to_string());
        let written = report.tables.iter().filter(|table| table.rows > 0 || table.files > 0);
        let mut written = written.peekable();
        if written.peek().is_none() {
            table.add_row([report.report.clone(), "-".into(), "-".into(), "-".into(), commit, ended(report)]);
            continue;
        }
        for written in written {
            table.add_row([
                written.table.clone(),
                written.rows.to_string(),
                written.files.to_string(),
                bytes(written.bytes),
                commit.clone(),
                ended(report),
            ]);
        }
    }
    for column in 1..=4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// How a report ended. One that failed for good committed nothing: it did not fail in part.
pub(super) fn ended(report: &ReportSummary) -> String {
    match report.outcome {
        Outcome::Partial if report.commit.is_none() => "failed".to_owned(),
        outcome => outcome.to_string(),
    }
}

fn asked(summary: &RunSummary) -> String {
    /// A shorter wait than this is not worth a word.
    const NOTICEABLE: f64 = 0.05;
    let api = &summary.api;
    let mut text = counted(api.requests, "request");
    let retried =
        [(api.retries, "retried"), (api.throttled, "throttled")].into_iter().filter(|(number, _)| *number > 0);
    let retried: Vec<String> = retried.map(|(number, what)| format!("{number} {what}")).collect();
    if !retried.is_empty() {
        text += &format!(" ({})", retried.join(", "));
    }
    text += &format!(", {} read", bytes(api.bytes));
    let waits = [(api.paced_seconds, "for the rate limit"), (api.backed_off_seconds, "before retries")];
    let waits: Vec<String> = waits
        .into_iter()
        .filter(|(seconds, _)| *seconds >= NOTICEABLE)
        .map(|(seconds, what)| format!("{seconds:.1} s {what}"))
        .collect();
    if !waits.is_empty() {
        text += &format!("; waited {}", waits.join(" and "));
    }
    text + "\n"
}

/// What somebody should know of a report though nothing failed, each in a line.
pub(super) fn warnings(report: &ReportSummary) -> Vec<String> {
    let absent = report.absent.iter().map(|(table, records)| {
        let records = counted(*records, "record");
        format!("{records} came without the list of `{table}`, which was requested; its stored rows stay")
    });
    let incomplete = report.incomplete.map(|IncompleteSummary { read, counted: expected }| {
        let read = counted(read, "record");
        format!("{read} read and {expected} counted by the API; the next run reads everything again")
    });
    absent.chain(incomplete).chain(report.warnings.iter().cloned()).collect()
}

/// What a person should look at: dead letters, drift, ids that are gone.
fn oddities(summary: &RunSummary, report: &ReportSummary) -> String {
    let name = &report.report;
    let mut text = String::new();
    if !is_quiet(report) {
        if let Some(after) = report.watermark_after.filter(|after| report.watermark_before != Some(*after)) {
            let before = report.watermark_before.map_or_else(|| "none".to_owned(), |before| before.to_rfc3339());
            text += &format!("{name}: watermark {before} -> {}\n", after.to_rfc3339());
        }
        if let Some(merged) = report.tables.first().and_then(|table| table.merged) {
            let MergeSummary { inserted, updated, unchanged, deleted } = merged;
            text +=
                &format!("{name}: {inserted} inserted, {updated} updated, {unchanged} unchanged, {deleted} deleted\n");
        }
        if report.seen_before > 0 {
            let again = counted(report.seen_before, "record");
            text += &format!("{name}: {again} read again unchanged, not written again\n");
        }
    }
    if let Some(since) = report.ids_failed_since {
        let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
        let ids = counted(report.ids_failed, "id");
        text += &format!("{name}: {ids} failed, the first since {since}; the next run requests what failed again\n");
    }
    if report.resumed_pages > 0 {
        text += &format!("{name}: resumed from an earlier run ({} reused)\n", counted(report.resumed_pages, "page"));
    }
    match report.reconciled {
        Some(true) => text += &format!("{name}: reconciled: everything was read, and deleted rows are marked\n"),
        Some(false) => {
            text +=
                &format!("{name}: not reconciled: the read was not proven complete, so nothing is marked as deleted\n");
        }
        None => {}
    }
    if report.ids_not_found > 0 {
        text += &format!("{name}: the API does not know {} of the ids\n", report.ids_not_found);
    }
    if let Some(replayed) = report.replayed {
        text += &format!("{name}: {} can be read now and are written\n", counted(replayed, "dead letter"));
    }
    if report.removed > 0 {
        text += &format!("{name}: {} removed or marked as deleted\n", counted(report.removed, "stored row"));
    }
    if report.outdated > 0 {
        text += &format!("{name}: {} older than what is stored, left out\n", counted(report.outdated, "record"));
    }
    // Where nothing was committed, the error says where they are.
    if report.dead_letters > 0 && report.error.is_none() {
        text += &format!(
            "{name}: {} without a usable key, kept in {}/_ctct/{}/{name}/dead_letters\n",
            counted(report.dead_letters, "record"),
            summary.destination,
            summary.account
        );
    }
    for (path, values) in &report.drift {
        text += &format!("{name}: drift: {}\n", drift(name, path, *values));
    }
    if report.drift_further > 0 {
        let further = counted(report.drift_further, "further field");
        text += &format!("{name}: drift: {further} not in the catalog; kept in _extra\n");
    }
    for (column, values) in &report.not_in_folders {
        let values = counted(*values, "value");
        text += &format!("{name}: `{column}`: {values} that a folder name cannot hold; kept in _extra\n");
    }
    for warning in warnings(report) {
        text += &format!("warning: {name}: {warning}\n");
    }
    text
}

/// What became of values that did not go as the catalog says.
fn drift(report: &str, path: &str, values: u64) -> String {
    let catalog = Catalog::embedded().ok();
    let fields = catalog.as_ref().and_then(|catalog| catalog.get(report)).map(|report| report.columns.as_slice());
    match fields.and_then(|fields| known(fields, path)) {
        None => format!("`{path}` is not in the catalog ({}); kept in _extra", counted(values, "row")),
        Some(FieldType::List) => {
            format!("`{path}`: the list does not fit in {}; what does not is kept in _extra", counted(values, "row"))
        }
        Some(FieldType::Id | FieldType::String) => format!(
            "`{path}`: {} {} not plain text; objects and lists are kept in _extra, and text that is not Unicode has U+FFFD in \
             that place",
            counted(values, "value"),
            if values == 1 { "is" } else { "are" }
        ),
        Some(_) if values == 1 => format!("`{path}`: 1 value does not fit the column; kept in _extra"),
        Some(_) => format!("`{path}`: {values} values do not fit the column; kept in _extra"),
    }
}

/// The type of the field at this path, if the catalog has it.
fn known(fields: &[Field], path: &str) -> Option<FieldType> {
    let (name, below) = path.split_once('.').map_or((path, None), |(name, below)| (name, Some(below)));
    let field = fields.iter().find(|field| field.name == name && field.bound.is_none())?;
    below.map_or(Some(field.kind), |below| known(&field.fields, below))
}

/// Where the Parquet is, and a first query over it.
fn what_to_try(summary: &RunSummary) -> String {
    let mut text = format!("\nParquet: {}\n", summary.destination);
    // Of the reports' own tables the largest: a child table says little alone.
    let own = summary.reports.iter().filter_map(|report| report.tables.first());
    let written = own.max_by_key(|table| table.rows);
    if let Some(table) = written {
        let root = summary.destination.trim_start_matches("file://");
        text += "Try it in DuckDB:\n";
        text += &format!(
            "  SELECT count(*) FROM read_parquet('{root}/{}/**/*.parquet', hive_partitioning = true);\n",
            table.table
        );
    }
    text
}

/// A number of things, in words that fit it.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Bytes for people, in powers of 1,000 as disks and networks count.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let scaled = UNITS.iter().find(|(_, unit)| bytes >= *unit).map(|(name, unit)| (bytes as f64 / *unit as f64, name));
    scaled.map_or_else(|| format!("{bytes} B"), |(value, name)| format!("{value:.1} {name}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::{DateTime, TimeDelta, Utc};
    use ctct_pipeline::{ApiSummary, ErrorSummary, TableSummary};

    use super::*;

    fn summary(reports: Vec<ReportSummary>) -> RunSummary {
        let outcome = Outcome::of_parts(&reports.iter().map(|report| report.outcome).collect::<Vec<_>>());
        RunSummary {
            pipeline: "acme".to_owned(),
            account: "acme".to_owned(),
            run_id: "run-1".to_owned(),
            destination: "/data/acme".to_owned(),
            outcome,
            exit_code: outcome.policy().exit_code,
            stopped: false,
            deadline: false,
            started_at: DateTime::UNIX_EPOCH,
            seconds: 61.25,
            api: ApiSummary { requests: 42, retries: 2, throttled: 1, bytes: 31_500_000, ..ApiSummary::default() },
            warnings: vec!["something to know".to_owned()],
            reports,
            error: None,
        }
    }

    fn report(name: &str, outcome: Outcome) -> ReportSummary {
        ReportSummary { report: name.to_owned(), outcome, ..ReportSummary::default() }
    }

    fn done() -> ReportSummary {
        let at = |minutes| Some(DateTime::<Utc>::UNIX_EPOCH + TimeDelta::minutes(minutes));
        let table =
            |table: &str, rows, bytes| TableSummary { table: table.to_owned(), rows, files: 1, bytes, merged: None };
        ReportSummary {
            commit: Some(7),
            pages: 3,
            rows: 1_200,
            dead_letters: 1,
            drift: [("email_address.verified", 1_200), ("email_address.created_at", 3), ("birthday_day", 1)]
                .into_iter()
                .chain([("taggings", 2), ("phone_numbers.kind", 1), ("created_at.more", 5)])
                .map(|(path, values)| (path.to_owned(), values))
                .collect(),
            not_in_folders: BTreeMap::from([("job_title".to_owned(), 1)]),
            absent: BTreeMap::from([("contacts_taggings".to_owned(), 2)]),
            incomplete: Some(IncompleteSummary { read: 1_199, counted: 1_200 }),
            removed: 4,
            outdated: 1,
            warnings: vec!["the server's clock is wrong".to_owned()],
            watermark_before: at(1),
            watermark_after: at(2),
            tables: vec![table("contacts", 1_199, 2_345_678), table("contacts_notes", 30, 999)],
            ..report("contacts", Outcome::Done)
        }
    }

    #[test]
    fn a_run_that_went_well_says_where_the_parquet_is() {
        insta::assert_snapshot!(text(&summary(vec![done()])));
    }

    #[test]
    fn a_run_that_failed_in_part_says_what_and_what_next() {
        let failed = ReportSummary {
            ids_not_found: 2,
            error: Some(ErrorSummary { message: "what and where".to_owned(), advice: "what to do".to_owned() }),
            ..report("contact_activity_details", Outcome::Partial)
        };
        insta::assert_snapshot!(text(&summary(vec![done(), failed])));
    }

    #[test]
    fn a_run_that_could_not_begin_says_only_why() {
        let error = ErrorSummary { message: "the folder cannot be written".to_owned(), advice: "fix it".to_owned() };
        let summary = RunSummary { error: Some(error), outcome: Outcome::Configuration, ..summary(Vec::new()) };
        insta::assert_snapshot!(text(&summary));
    }
}
