//! `ctct-etl reports`: what the API offers, from the catalogue.

use ctct_catalog::{Catalog, Report};
use ctct_pipeline::StoredTable;
use ctct_pipeline::did_you_mean;

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
    complain(&format!(
        "error: there is no report `{name}`{meant}\nnext: ctct-etl reports lists them: {}",
        names.join(", ")
    ));
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
    format!("{table}\n\nctct-etl reports NAME shows one with its options and columns.")
}

/// One report: where it comes from, what a pipeline may say, what it writes.
pub(crate) fn describe(report: &Report) -> String {
    let mut text = format!("{}: {}\n", report.name, report.doc);
    text += &format!("GET {} (scope {}), key {}", report.path, report.scope, report.key.join(" + "));
    match report.page_rows() {
        Some(rows) => text += &format!(", {rows} rows a page\n"),
        None => text += ", one page\n",
    }
    if !report.options.is_empty() {
        let mut options = text_table(["option", "", "what it does"]);
        for option in &report.options {
            let needed = if option.required { "required" } else { "" };
            options.add_row([option.name.as_str(), needed, option.doc.as_str()]);
        }
        text += &format!("\n{options}\n");
    }
    for ignored in &report.ignored {
        text += &format!("\nRefused: {}: {}.", ignored.name, ignored.why);
    }
    for gap in &report.gaps {
        text += &format!("\nNot found: {gap}.");
    }
    for table in &StoredTable::of_report(report) {
        text += &format!("\n\n{}\n", super::schema::table_text(table));
    }
    text
}
