//! Rows cell by cell, worked out from the JSON by the rules of the documentation and none of the program's code, and read
//! from the tables that the program made of it.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use ctct_catalog::{Report, Table};
use ctct_transform::DecodedPage;
use serde_json::Value;

/// A cell: table, column, value.
pub(crate) type Cell = (String, String, String);

/// The cells that the records of a page must become, sorted.
pub(crate) fn of_records(report: &Report, records: &[Value]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for record in records {
        add_record(report, &report.name, "", record, &mut cells);
    }
    cells.sort();
    cells
}

/// The cells that a page became, sorted.
pub(crate) fn of_page(report: &Report, page: &DecodedPage) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (table, rows) in report.tables().iter().zip(&page.tables) {
        add_table(table, &rows.batch, report, &mut cells);
    }
    cells.sort();
    cells
}

/// Nested objects are joined by `_`, nested lists have tables of their own. What an element repeats of its parent's key is
/// there once: as the parent has it.
fn add_record(report: &Report, table: &str, prefix: &str, record: &Value, cells: &mut Vec<Cell>) {
    for (name, value) in record.as_object().unwrap() {
        let column = format!("{prefix}{name}");
        match value {
            Value::Null => {}
            _ if table != report.name && layout(report, table).key.contains(&column) => {}
            Value::Object(_) => add_record(report, table, &format!("{column}_"), value, cells),
            Value::Array(elements) => {
                let child = format!("{table}_{name}");
                for element in elements {
                    if element.is_object() {
                        add_record(report, &child, "", element, cells);
                    } else {
                        cells.push(cell(report, &child, item_of(name), element));
                    }
                }
            }
            value => cells.push(cell(report, table, &column, value)),
        }
    }
}

/// What one element of a list of bare ids is called.
fn item_of(list: &str) -> &str {
    match list {
        "list_memberships" => "list_id",
        "taggings" => "tag_id",
        "choice_ids" => "choice_id",
        other => panic!("no name for an element of {other}"),
    }
}

fn layout<'a>(report: &'a Report, table: &str) -> &'a Table {
    report.tables().iter().find(|layout| layout.name == table).unwrap_or_else(|| panic!("no {table}"))
}

fn cell(report: &Report, table: &str, column: &str, value: &Value) -> Cell {
    let field = layout(report, table).schema.field_with_name(column).unwrap_or_else(|_| panic!("no {table}.{column}"));
    let text = match (field.data_type(), value) {
        (DataType::Timestamp(..), Value::String(text)) => instant(text).to_rfc3339(),
        (_, Value::String(text)) => text.clone(),
        (_, value) => value.to_string(),
    };
    (table.to_owned(), column.to_owned(), text)
}

fn instant(text: &str) -> DateTime<Utc> {
    match text.parse::<NaiveDate>() {
        Ok(day) => day.and_time(NaiveTime::MIN).and_utc(),
        Err(_) => DateTime::parse_from_rfc3339(text).unwrap().to_utc(),
    }
}

/// Without what a table did not get from the record itself.
fn add_table(table: &Table, batch: &RecordBatch, report: &Report, cells: &mut Vec<Cell>) {
    let is_bound = |name: &str| report.columns.iter().any(|field| field.name == name && field.bound.is_some());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let name = field.name();
        let is_own = match table.parent {
            None => !is_bound(name),
            Some(_) => !table.key.contains(name),
        };
        if is_own && !name.starts_with('_') {
            let present = (0..column.len()).filter(|row| column.is_valid(*row));
            cells.extend(present.map(|row| (table.name.clone(), name.clone(), text_of(column, row))));
        }
    }
}

fn text_of(column: &dyn Array, row: usize) -> String {
    match column.data_type() {
        DataType::Utf8View => column.as_string_view().value(row).to_owned(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).to_string(),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        _ => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339()
        }
    }
}
