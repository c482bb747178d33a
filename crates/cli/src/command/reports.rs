//! `ctct-etl reports`: what the API offers, from the catalog.

use ctct_catalog::{Catalog, OptionKind, Report, ReportOption};
use ctct_pipeline::document::did_you_mean;
use ctct_pipeline::stored_table::StoredTable;

use super::catalog;
use crate::args::ReportsArguments;
use crate::exit_code;
use crate::printer::{complain, print};
use crate::text_table::text_table;

/// Lists all reports, or shows one with its options and tables.
pub(crate) fn reports(arguments: &ReportsArguments) -> u8 {
    let catalog = match catalog() {
        Ok(catalog) => catalog,
        Err(code) => return code,
    };
    let Some(name) = &arguments.name else { return print(&list(&catalog)) };
    if let Some(report) = catalog.get(name) {
        return print(&describe(report));
    }
    let names: Vec<&str> = catalog.reports().map(|report| report.name.as_str()).collect();
    let meant = did_you_mean(name, &names).map_or_else(String::new, |meant| format!("; {meant}"));
    complain(&format!("error: unknown report `{name}`{meant}\nnext: use one of {}", names.join(", ")));
    exit_code::CONFIGURATION
}

/// All reports, one line each.
pub(crate) fn list(catalog: &Catalog) -> String {
    let mut table = text_table(["report", "what it is", "tables", "request"]);
    for report in catalog.reports() {
        table.add_row([
            report.name.clone(),
            report.doc.clone(),
            report.tables().len().to_string(),
            format!("GET {}", report.path),
        ]);
    }
    format!("{table}\n\n`ctct-etl reports NAME` shows the options and columns of one.")
}

/// One report: where it comes from, what a pipeline may say, what it writes.
pub(crate) fn describe(report: &Report) -> String {
    let mut text = format!("{}: {}\n", report.name, report.doc);
    text += &format!("GET {} (scope {}), key {}", report.path, report.scope, report.key.join(" + "));
    match report.page_rows() {
        Some(rows) => text += &format!(", {rows} rows per page\n"),
        None => text += ", one page\n",
    }
    if !report.options.is_empty() {
        let mut options = text_table(["option", "values", "default", "what it does"]);
        for option in &report.options {
            let default = match option.default.as_slice() {
                [] if option.required => "required".to_owned(),
                [] => "-".to_owned(),
                values => values.join(", "),
            };
            options.add_row([option.name.as_str(), &values(option, report), &default, option.doc.as_str()]);
        }
        text += &format!("\n{options}\n");
    }
    text += &format!("\nIn a pipeline:\n\n{}\n", example(report));
    for ignored in &report.ignored {
        text += &format!("\nNot supported: {}: {}.", ignored.name, ignored.why);
    }
    for gap in &report.gaps {
        text += &format!("\nNot detected: {gap}.");
    }
    for table in &StoredTable::of_report(report) {
        text += &format!("\n\n{}\n", super::schema::table_text(table));
    }
    text
}

/// What an option takes.
fn values(option: &ReportOption, report: &Report) -> String {
    let param = option.params.first().and_then(|name| report.param(name));
    let closed = || param.map(|param| param.values.join(", ")).unwrap_or_default();
    let range = match param.map(|param| (param.min, param.max)) {
        Some((Some(min), Some(max))) => format!("a whole number from {min} to {max}"),
        _ => match param.and_then(|param| param.format.as_deref()) {
            Some("uuid") => "an id".to_owned(),
            _ => "text".to_owned(),
        },
    };
    match option.kind {
        OptionKind::Ids => match &option.from {
            Some(source) => format!("an id, a list of ids, or {{from: {}}}", source.report),
            None => "an id, or a list of ids".to_owned(),
        },
        OptionKind::Value => range,
        OptionKind::Values => format!("{range}, or a list"),
        OptionKind::Choice => format!("one of {}", closed()),
        OptionKind::Choices => format!("one or a list of {}", closed()),
        OptionKind::Subresources => format!("all, none, or a list of {}", closed()),
        OptionKind::Duration => "single_date or date_range".to_owned(),
        OptionKind::Instant => "a date, a timestamp, or {days_back: N}".to_owned(),
        OptionKind::Day | OptionKind::RangeStart | OptionKind::RangeEnd => "a date, or {days_back: N}".to_owned(),
    }
}

/// An entry of `reports` that a pipeline takes as it is: what must be said, and what is often said.
pub(crate) fn example(report: &Report) -> String {
    let mut text = format!("  - report: {}", report.name);
    for option in &report.options {
        let default = option.default.as_slice();
        let value = match option.kind {
            OptionKind::Ids if option.required => {
                option.from.as_ref().map(|source| format!("{{from: {}}}", source.report))
            }
            OptionKind::Duration => Some("single_date".to_owned()),
            OptionKind::Day => Some("{days_back: 1}".to_owned()),
            OptionKind::Instant if report.beginning().is_some_and(|first| first.name == option.name) => {
                Some("2026-01-01".to_owned())
            }
            OptionKind::Choices if !default.is_empty() => Some(format!("[{}]", default.join(", "))),
            OptionKind::Choice | OptionKind::Subresources => default.first().cloned(),
            _ => None,
        };
        text += &value.map(|value| format!("\n    {}: {value}", option.name)).unwrap_or_default();
    }
    let mode = if report.watermark.is_some() { "merge" } else { "replace" };
    text + &format!("\n    write_mode: {mode}")
}

#[cfg(test)]
mod tests {
    use ctct_pipeline::{Environment, Pipeline};

    use super::*;

    #[test]
    fn every_example_is_taken_as_it_is() {
        let catalog = Catalog::embedded().unwrap();
        for report in catalog.reports() {
            let text = format!(
                "version: 1\nname: a\nsource: {{account: a}}\ndestination: {{url: ./a}}\nreports:\n{}\n",
                example(report)
            );
            let parsed = Pipeline::parse(&text, "a.yaml", &catalog, &Environment::default());
            assert!(parsed.is_ok(), "{text}\n{}", parsed.unwrap_err().render(false));
            assert!(describe(report).contains(&example(report)));
        }
    }

    #[test]
    fn values_and_defaults_of_every_option_are_shown() {
        let catalog = Catalog::embedded().unwrap();
        for report in catalog.reports() {
            for option in &report.options {
                let shown = values(option, report);
                let param = option.params.first().and_then(|name| report.param(name));
                let closed = !matches!(option.kind, OptionKind::Duration | OptionKind::Ids);
                for value in param.iter().filter(|_| closed).flat_map(|param| &param.values) {
                    assert!(shown.contains(value.as_str()), "{}.{}: {shown}", report.name, option.name);
                }
            }
        }
    }
}
