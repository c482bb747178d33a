//! Tables as `CREATE TABLE`.
//!
//! In DuckDB they are tables of its own, and a remark behind each says how to fill it from the Parquet. In Spark they
//! are the Parquet itself, where it is.

use arrow_schema::DataType;

use crate::dialect::Dialect;
use ctct_pipeline::stored_table::{Column, Layout};

/// The statements that create these tables.
pub fn ddl(tables: &[Layout], dialect: Dialect) -> String {
    let statements = tables.iter().map(|table| match dialect {
        Dialect::DuckDb => duckdb(table),
        Dialect::Spark => spark(table),
    });
    statements.collect::<Vec<_>>().join("\n\n")
}

fn duckdb(table: &Layout) -> String {
    let (quoted, literal) = (|name: &str| Dialect::DuckDb.name(name), |text: &str| Dialect::DuckDb.text(text));
    let name = quoted(&table.name);
    let column = |column: &Column| {
        format!("  {} {}{}", quoted(column.name()), duckdb_type(column.data_type()), not_null(column))
    };
    let columns: Vec<String> = table.all_columns().map(column).collect();
    let mut text = format!("CREATE TABLE {name} (\n{}\n);\n", columns.join(",\n"));
    text += &format!("COMMENT ON TABLE {name} IS {};", literal(&table.comment));
    for column in table.all_columns() {
        text += &format!("\nCOMMENT ON COLUMN {name}.{} IS {};", quoted(column.name()), literal(column.comment()));
    }
    if let Some(location) = &table.location {
        let types: Vec<String> = table
            .folders
            .iter()
            .map(|folder| format!("{}: {}", literal(folder.name()), duckdb_type(folder.data_type())))
            .collect();
        let files = literal(&format!("{location}/**/*.parquet"));
        text += &format!(
            "\n-- INSERT INTO {name} BY NAME SELECT * FROM read_parquet({files}, hive_partitioning = true, \
             hive_types = {{{}}});",
            types.join(", ")
        );
    }
    text
}

fn spark(table: &Layout) -> String {
    let ticked = |name: &str| Dialect::Spark.name(name);
    let name = ticked(&table.name);
    let column = |column: &Column| {
        let (name, data_type) = (ticked(column.name()), spark_type(column.data_type()));
        format!("  {name} {data_type}{} COMMENT {}", not_null(column), escaped(column.comment()))
    };
    let columns: Vec<String> = table.all_columns().map(column).collect();
    let folders: Vec<String> = table.folders.iter().map(|folder| ticked(folder.name())).collect();
    let mut text = format!(
        "CREATE TABLE {name} (\n{}\n)\nUSING PARQUET\nPARTITIONED BY ({})\n",
        columns.join(",\n"),
        folders.join(", ")
    );
    if let Some(location) = &table.location {
        text += &format!("LOCATION {}\n", escaped(location));
    }
    text += &format!("COMMENT {};", escaped(&table.comment));
    if table.location.is_some() {
        // Spark knows the folders that it was told of, and not those that came later.
        text += &format!("\n-- Also after each run that brings a new folder:\nMSCK REPAIR TABLE {name};");
    }
    text
}

fn duckdb_type(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Timestamp(..) => "TIMESTAMP WITH TIME ZONE",
        DataType::Date32 => "DATE",
        DataType::Int64 => "BIGINT",
        DataType::Int32 => "INTEGER",
        DataType::Float64 => "DOUBLE",
        DataType::Boolean => "BOOLEAN",
        _ => "VARCHAR",
    }
}

fn spark_type(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Timestamp(..) => "TIMESTAMP",
        DataType::Date32 => "DATE",
        DataType::Int64 => "BIGINT",
        DataType::Int32 => "INT",
        DataType::Float64 => "DOUBLE",
        DataType::Boolean => "BOOLEAN",
        _ => "STRING",
    }
}

fn not_null(column: &Column) -> &'static str {
    if column.is_nullable() { "" } else { " NOT NULL" }
}

/// A text as Spark quotes it, where its statements are read as they are.
fn escaped(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
