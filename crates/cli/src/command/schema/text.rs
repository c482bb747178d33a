//! Tables for people.

use arrow::datatypes::DataType;

use crate::text_table::text_table;
use ctct_pipeline::stored_table::{Column, StoredTable};

pub(super) fn text(tables: &[StoredTable<'_>]) -> String {
    tables.iter().map(table_text).collect::<Vec<_>>().join("\n\n")
}

/// One table: its name and key, then a line a column.
pub(crate) fn table_text(table: &StoredTable<'_>) -> String {
    let mut columns = text_table(["column", "Arrow", "Parquet", "", "what it is"]);
    let of_files = table.columns.iter().map(|column| (column, parquet(column)));
    let of_folders = table.folders.iter().map(|column| (column, "(folder)"));
    for (column, parquet) in of_files.chain(of_folders) {
        let null = if column.is_nullable() { "" } else { "required" };
        columns.add_row([column.name(), column.arrow(), parquet, null, column.comment()]);
    }
    let location = table.location.as_ref().map(|location| format!("\n{location}")).unwrap_or_default();
    format!("{}: {}{location}\n{columns}", table.name(), table.comment())
}

/// The type as it stands in the Parquet file.
pub(super) fn parquet(column: &Column) -> &'static str {
    match column.data_type() {
        DataType::Timestamp(..) => "INT64 TIMESTAMP(MICROS, adjusted to UTC)",
        DataType::Int64 => "INT64",
        DataType::Float64 => "DOUBLE",
        DataType::Boolean => "BOOLEAN",
        _ => "BYTE_ARRAY STRING",
    }
}
