//! The view of a table's files themselves, every version in them.

use arrow_schema::{DataType, Field};
use ctct_pipeline::stored_table::Layout;

use super::script::{Script, typed};
use crate::dialect::{Dialect, SqlType, ViewColumn};

/// Writes the view of a table. Without a file it is empty: engines refuse to read a folder that is not there.
pub(crate) fn view(script: &mut Script, layout: &Layout, has_files: bool) {
    let dialect = script.dialect;
    let columns: Vec<ViewColumn> = layout.all_columns().map(|of| column(of.field())).collect();
    let folders: Vec<ViewColumn> = layout.folders.iter().map(|of| column(of.field())).collect();
    let folder = layout.location.as_deref().unwrap_or_default();
    match dialect {
        Dialect::DuckDb => {
            let select =
                if has_files { read_by_duckdb(&columns, &folders, folder) } else { nothing(dialect, &columns) };
            script.view(&layout.name, &layout.comment, &columns, &select);
        }
        Dialect::Spark if script.stays() => {
            let shown = script.name(&layout.name);
            let folders: Vec<String> = folders.iter().map(|column| dialect.name(&column.name)).collect();
            script.statement(&format!("DROP TABLE IF EXISTS {shown}"));
            script.statement(&format!(
                "CREATE TABLE {shown} (\n{}\n) USING parquet\nPARTITIONED BY ({})\nCOMMENT {}\nLOCATION {}",
                typed(dialect, &columns),
                folders.join(", "),
                dialect.doc(&layout.comment),
                dialect.text(folder)
            ));
            if has_files {
                script.statement(&format!("MSCK REPAIR TABLE {shown}"));
            }
        }
        Dialect::Spark if has_files => {
            let shown = script.name(&layout.name);
            script.statement(&format!(
                "CREATE OR REPLACE TEMPORARY VIEW {shown} (\n{}\n) USING parquet\nOPTIONS (path {})",
                typed(dialect, &columns),
                dialect.text(folder)
            ));
        }
        Dialect::Spark => script.view(&layout.name, &layout.comment, &columns, &nothing(dialect, &columns)),
    }
}

/// The columns are joined to the files' by name, so that they are there, with their types, whatever files there are.
fn read_by_duckdb(columns: &[ViewColumn], folders: &[ViewColumn], folder: &str) -> String {
    let dialect = Dialect::DuckDb;
    let types: Vec<String> =
        folders.iter().map(|column| format!("{}: {}", dialect.text(&column.name), dialect.kind(column.kind))).collect();
    let names: Vec<String> = columns.iter().map(|column| dialect.name(&column.name)).collect();
    format!(
        "SELECT\n  {}\nFROM (\n  SELECT * FROM read_parquet({}, union_by_name = true, hive_partitioning = true,\n    \
         hive_types = {{{}}})\n  UNION ALL BY NAME\n  {}\n)",
        names.join(",\n  "),
        dialect.text(&format!("{folder}/**/*.parquet")),
        types.join(", "),
        nothing(dialect, columns).replace('\n', "\n  ")
    )
}

/// No row of these columns.
fn nothing(dialect: Dialect, columns: &[ViewColumn]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| dialect.null(column)).collect();
    format!("SELECT\n  {}\nWHERE FALSE", columns.join(",\n  "))
}

/// A column of a table, as views have it.
pub(crate) fn column(field: &Field) -> ViewColumn {
    let kind = match field.data_type() {
        DataType::Timestamp(..) => SqlType::Instant,
        DataType::Date32 => SqlType::Day,
        DataType::Int64 => SqlType::Whole,
        DataType::Int32 => SqlType::Small,
        DataType::Float64 => SqlType::Real,
        DataType::Boolean => SqlType::Flag,
        _ => SqlType::Text,
    };
    ViewColumn::new(field.name(), kind, field.metadata().get("comment").map_or("", String::as_str))
}
