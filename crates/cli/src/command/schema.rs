//! `ctct-etl schema`: the tables that a pipeline writes, or the JSON Schema of pipeline files.

use arrow::datatypes::{DataType, Field};
use ctct_catalog::{Report, Table};
use serde_json::{Value, json};

use super::{catalog, pipeline};
use crate::args::{Global, Output, SchemaArguments};
use crate::printer::print;
use crate::text_table::text_table;

/// Prints the schemas.
pub(crate) fn schema(_global: &Global, arguments: &SchemaArguments) -> u8 {
    let catalog = match catalog() {
        Ok(catalog) => catalog,
        Err(code) => return code,
    };
    let Some(file) = &arguments.file else {
        return print(&format!("{:#}", ctct_pipeline::schema(&catalog)));
    };
    match pipeline(file, &catalog) {
        Err(code) => code,
        Ok(pipeline) => {
            let reports: Vec<&Report> = pipeline.reports.iter().map(|spec| spec.report.as_ref()).collect();
            let text = match arguments.output {
                Output::Text => text(&reports),
                Output::Json => json(&reports).to_string(),
            };
            print(&text)
        }
    }
}

fn text(reports: &[&Report]) -> String {
    reports.iter().flat_map(|report| report.tables()).map(table_text).collect::<Vec<_>>().join("\n\n")
}

/// One table: its name and key, then a line a column.
pub(crate) fn table_text(table: &Table) -> String {
    let mut columns = text_table(["column", "Arrow", "Parquet", "", "what it is"]);
    for field in table.schema.fields() {
        let (arrow, parquet) = types(field);
        let null = if field.is_nullable() { "" } else { "required" };
        columns.add_row([field.name().as_str(), arrow, parquet, null, comment(field)]);
    }
    format!("{}: {} Key: {}.\n{columns}", table.name, table.doc, table.key.join(" + "))
}

fn json(reports: &[&Report]) -> Value {
    let tables = reports.iter().flat_map(|report| report.tables()).map(|table| {
        let columns: Vec<Value> = table
            .schema
            .fields()
            .iter()
            .map(|field| {
                let (arrow, parquet) = types(field);
                json!({
                    "name": field.name(), "arrow": arrow, "parquet": parquet, "nullable": field.is_nullable(),
                    "comment": comment(field),
                })
            })
            .collect();
        json!({ "table": table.name, "comment": table.doc, "key": table.key, "columns": columns })
    });
    Value::Array(tables.collect())
}

/// The column's type as Arrow readers see it, and as it stands in the Parquet file.
fn types(field: &Field) -> (&'static str, &'static str) {
    match field.data_type() {
        DataType::Timestamp(..) => ("timestamp[us, UTC]", "INT64 TIMESTAMP(MICROS, adjusted to UTC)"),
        DataType::Int64 => ("int64", "INT64"),
        DataType::Float64 => ("float64", "DOUBLE"),
        DataType::Boolean => ("bool", "BOOLEAN"),
        _ => ("string", "BYTE_ARRAY STRING"),
    }
}

fn comment(field: &Field) -> &str {
    field.metadata().get("comment").map_or("", String::as_str)
}
