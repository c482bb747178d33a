//! Tables for documentation: the data dictionary under `docs/tables/` is made here.

use std::fmt::Write;

use ctct_catalog::{Origin, Report};

use ctct_pipeline::stored_table::{Column, StoredTable};

/// What else to join on follows from how a pipeline writes.
const VERSIONS: &str = "where there are several versions of a record, [on more](../reference/tables.md#how-rows-join)";

/// The page of one report: what it is, how it is requested, and a section per table.
pub fn report(report: &Report) -> String {
    let tables = StoredTable::of_report(report);
    let rows = match report.page_rows() {
        Some(rows) => format!("{rows} rows per page"),
        None => "one response".to_owned(),
    };
    let asked = format!("`GET {}`, scope `{}`, {rows}.", report.path, report.scope);
    let made = format!("Made by `ctct-etl schema --report {} --format markdown`.", report.name);
    let gaps: Vec<String> = report.gaps.iter().map(|gap| format!("Not detected by runs: {gap}.\n\n")).collect();
    let gaps = gaps.concat();
    format!("# {}\n\n{}\n\n{asked} {made}\n\n{gaps}{}", report.name, report.doc, sections(&tables))
}

/// The tables of one pipeline.
pub fn pipeline(name: &str, description: Option<&str>, tables: &[StoredTable<'_>]) -> String {
    let description = description.map(|text| format!("{text}\n\n")).unwrap_or_default();
    format!("# Tables of {name}\n\n{description}{}", sections(tables))
}

/// Which tables there are, and which column of one holds ids of another.
pub fn overview(tables: &[StoredTable<'_>]) -> String {
    let mut text = "| table | report | what it holds | key | parent |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for table in tables {
        let parent = table.parent().map(|parent| code(&parent.name)).unwrap_or_default();
        let (name, report) = (code(table.name()), code(&table.report.name));
        let key = codes(table.table.key.iter().map(String::as_str));
        text += &format!("| {name} | {report} | {} | {key} | {parent} |\n", cell(&table.table.doc));
    }
    text += "\n| column | holds ids of |\n| --- | --- |\n";
    for table in tables {
        for reference in &table.table.references {
            let (from, to) =
                (format!("{}.{}", table.name(), reference.column), format!("{}.{}", reference.table, reference.to));
            text += &format!("| {} | {} |\n", code(&from), code(&to));
        }
    }
    text.trim_end().to_owned()
}

fn sections(tables: &[StoredTable<'_>]) -> String {
    tables.iter().map(section).collect::<Vec<_>>().join("\n\n")
}

fn section(table: &StoredTable<'_>) -> String {
    let mut text = format!("## Table `{}`\n\n{}\n\n", table.name(), table.table.doc);
    let row = match table.table.path.as_str() {
        "" => "one record of the report".to_owned(),
        path => format!("one element of {} of a record", code(path)),
    };
    let mut facts =
        vec![format!("A row: {row}"), format!("Key: {}", codes(table.table.key.iter().map(String::as_str)))];
    if let Some(parent) = table.parent() {
        let on = table.joins_on().into_iter().map(|(own, other)| {
            if own == other { code(own) } else { format!("{} = the parent's {}", code(own), code(other)) }
        });
        let mut on = on.collect::<Vec<_>>().join(", ");
        if table.location.is_none() {
            on += &format!(" ({VERSIONS})");
        }
        facts.push(format!("Parent: {}, joined on {on}", code(&parent.name)));
    }
    facts.extend(
        table.location.as_ref().map(|location| format!("Files: {}", code(&format!("{location}/**/*.parquet")))),
    );
    for fact in facts {
        text += &format!("- {fact}.\n");
    }
    text += "\n| column | type | null | what it is | from |\n| --- | --- | --- | --- | --- |\n";
    for column in &table.columns {
        text += &line(table, column, &origin(&column.origin));
    }
    for folder in &table.folders {
        text += &line(table, folder, "the folder's name");
    }
    text.trim_end().to_owned()
}

fn line(table: &StoredTable<'_>, column: &Column, origin: &str) -> String {
    let null = if column.is_nullable() { "yes" } else { "no" };
    let mut comment = cell(column.comment());
    if let Some(to) = table.refers(column.name()) {
        let _ = write!(comment, " Refers to {}.", code(&to));
    }
    format!("| {} | {} | {null} | {comment} | {origin} |\n", code(column.name()), column.arrow())
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Response(path) => code(path),
        Origin::Request(param) => format!("parameter {}", code(param)),
        Origin::Program => "ctct-etl".to_owned(),
    }
}

fn codes<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(code).collect::<Vec<_>>().join(", ")
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

/// Text within a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
