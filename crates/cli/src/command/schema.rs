//! `ctct-etl schema`: the tables of a pipeline or of the catalog, column by column, for people, programs, SQL and
//! documentation; or the JSON Schema of pipeline files.

mod text;

use ctct_catalog::{Catalog, Report};
use ctct_pipeline::Pipeline;
use ctct_pipeline::stored_table::{Layout, StoredTable};
use ctct_readers::dictionary::{self, markdown};
use ctct_readers::{Dialect, ddl};

use super::{catalog, pipeline};
use crate::args::{Format, SchemaArguments};
use crate::exit_code;
use crate::printer::{complain, print};

pub(crate) use text::table_text;

/// Prints the schemas.
pub(crate) fn schema(arguments: &SchemaArguments) -> u8 {
    let printed = catalog().and_then(|catalog| {
        if arguments.editor {
            return Ok(format!("{:#}", ctct_pipeline::document::schema(&catalog)));
        }
        let (format, dialect) = form(arguments)?;
        match &arguments.file {
            Some(file) => of_pipeline(&pipeline(file, &catalog)?, &arguments.reports, format, dialect),
            None => of_catalog(&catalog, &arguments.reports, format, dialect),
        }
    });
    printed.map_or_else(|code| code, |text| print(&text))
}

/// Format and dialect, where they go together. A dialect alone means DDL.
fn form(arguments: &SchemaArguments) -> Result<(Format, Dialect), u8> {
    match (arguments.format, arguments.dialect) {
        (Some(Format::Ddl) | None, Some(dialect)) => Ok((Format::Ddl, dialect)),
        (Some(_), Some(_)) => Err(refused("--dialect requires --format ddl")),
        (format, None) => Ok((format.unwrap_or(Format::Text), Dialect::DuckDb)),
    }
}

fn refused(reason: &str) -> u8 {
    complain(&format!("error: {reason}"));
    exit_code::CONFIGURATION
}

/// The tables that a pipeline writes, for all of its reports or those that are named.
fn of_pipeline(pipeline: &Pipeline, only: &[String], format: Format, dialect: Dialect) -> Result<String, u8> {
    let known: Vec<&str> = pipeline.reports.iter().map(|config| config.report.name.as_str()).collect();
    check(only, &known, pipeline.file())?;
    let base = pipeline.folder();
    let wanted = pipeline.reports.iter().filter(|config| only.is_empty() || only.contains(&config.report.name));
    let tables: Vec<StoredTable<'_>> =
        wanted.flat_map(|config| StoredTable::of_pipeline(pipeline, config, base)).collect();
    Ok(match format {
        Format::Markdown => markdown::pipeline(&pipeline.name, pipeline.description.as_deref(), &tables),
        Format::Text => text::text(&tables),
        Format::Json => dictionary::json(&tables),
        Format::Ddl => {
            let account_column = pipeline.destination.files.account_column;
            let runs = only
                .is_empty()
                .then(|| Layout::of_runs(&ctct_pipeline::stored_table::root(pipeline, base), account_column));
            ddl(&tables.iter().map(StoredTable::layout).chain(runs).collect::<Vec<_>>(), dialect)
        }
    })
}

/// The tables of all reports, or of those that are named.
fn of_catalog(catalog: &Catalog, only: &[String], format: Format, dialect: Dialect) -> Result<String, u8> {
    let known: Vec<&str> = catalog.reports().map(|report| report.name.as_str()).collect();
    check(only, &known, "the catalog")?;
    let is_wanted = |report: &&Report| only.is_empty() || only.contains(&report.name);
    let reports: Vec<&Report> = catalog.reports().map(AsRef::as_ref).filter(is_wanted).collect();
    let tables: Vec<StoredTable<'_>> = reports.iter().flat_map(|report| StoredTable::of_report(report)).collect();
    Ok(match format {
        Format::Markdown if only.is_empty() => {
            let pages: Vec<String> = reports.iter().map(|report| markdown::report(report)).collect();
            format!("# Tables\n\n{}\n\n{}", markdown::overview(&tables), pages.join("\n\n"))
        }
        Format::Markdown => reports.iter().map(|report| markdown::report(report)).collect::<Vec<_>>().join("\n\n"),
        Format::Text => text::text(&tables),
        Format::Json => dictionary::json(&tables),
        Format::Ddl => ddl(&tables.iter().map(StoredTable::layout).collect::<Vec<_>>(), dialect),
    })
}

fn check(only: &[String], known: &[&str], place: &str) -> Result<(), u8> {
    match only.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(refused(&format!("{place} has no report `{name}`\nnext: use one of {}", known.join(", ")))),
        None => Ok(()),
    }
}
