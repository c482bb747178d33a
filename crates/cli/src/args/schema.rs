//! Arguments of `ctct-etl schema`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ctct_readers::Dialect;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl schema acme.yaml                            the tables that a pipeline writes
  ctct-etl schema acme.yaml --format ddl > acme.sql    as CREATE TABLE, with comments
  ctct-etl schema acme.yaml --dialect spark
  ctct-etl schema --report contacts --format markdown  the tables of a report
  ctct-etl schema --format json                        all tables there are
  ctct-etl schema --editor > pipeline.schema.json

With a pipeline, columns and folders are those that its `write_mode`, `history` and `partition_by` make.")]
pub(crate) struct SchemaArguments {
    /// Pipeline file; without it, the tables of the catalogue.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Only the tables of this report; may be given several times.
    #[arg(long = "report", value_name = "NAME")]
    pub(crate) reports: Vec<String>,
    /// Form of the schemas on stdout; `text`, or `ddl` where there is a dialect. `--output` says the same.
    #[arg(long, alias = "output", value_enum)]
    pub(crate) format: Option<Format>,
    /// Whose SQL the `ddl` is in; `duckdb` unless given.
    #[arg(long, value_parser = super::dialects(
        "DuckDB: tables of its own, and how to fill them",
        "Spark: tables over the Parquet where it is",
    ))]
    pub(crate) dialect: Option<Dialect>,
    /// Print the JSON Schema of pipeline files instead, for editors.
    #[arg(long, conflicts_with_all = ["file", "reports", "format", "dialect"])]
    pub(crate) editor: bool,
}

/// Form of schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For machines: one line.
    Json,
    /// `CREATE TABLE` statements.
    Ddl,
    /// For documentation: one section a table.
    Markdown,
}
