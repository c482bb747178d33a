//! Arguments of `ctct-etl schema`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ctct_readers::Dialect;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl schema acme.yaml                            tables of a pipeline
  ctct-etl schema acme.yaml --format ddl > acme.sql    as CREATE TABLE, with comments
  ctct-etl schema acme.yaml --dialect spark
  ctct-etl schema --report contacts --format markdown  tables of a report
  ctct-etl schema --format json                        all tables
  ctct-etl schema --editor > pipeline.schema.json

With a pipeline, the output has the columns and folders of its `write_mode`, `history` and `partition_by`.")]
pub(crate) struct SchemaArguments {
    /// Pipeline file; without it, all tables of the catalog.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Only the tables of this report; can be repeated.
    #[arg(long = "report", value_name = "NAME")]
    pub(crate) reports: Vec<String>,
    /// Output format; `text` by default, or `ddl` with --dialect. `--output` is an alias.
    #[arg(long, alias = "output", value_enum)]
    pub(crate) format: Option<Format>,
    /// SQL dialect of `ddl`; `duckdb` by default.
    #[arg(long, value_parser = super::dialects(
        "DuckDB: empty tables, and the statements that fill them",
        "Spark: tables over the Parquet files",
    ))]
    pub(crate) dialect: Option<Dialect>,
    /// Print the JSON Schema of pipeline files instead, for editors.
    #[arg(long, conflicts_with_all = ["file", "reports", "format", "dialect"])]
    pub(crate) editor: bool,
}

/// Format of schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs, in one line.
    Json,
    /// `CREATE TABLE` statements.
    Ddl,
    /// For documentation, with one section per table.
    Markdown,
}
