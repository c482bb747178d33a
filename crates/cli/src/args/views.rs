//! `ctct-etl views`, as clap sees it.

use std::path::PathBuf;

use clap::Args;
use ctct_readers::Dialect;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl views acme.yaml --dialect duckdb | duckdb acme.duckdb
  ctct-etl views acme.yaml --dialect spark > views.sql && spark-sql -i views.sql
  ctct-etl views acme.yaml --dialect spark --schema acme | spark-sql     tables and views that stay
  ctct-etl views acme.yaml --dialect duckdb --location /mnt/acme         where the reader sees the tables

Over each table NAME there are NAME_current, the newest version of each row, and, where versions are kept, NAME_as_of(when).
contacts_with_custom_fields has a typed column for each custom field: make the views again when fields were added.")]
pub(crate) struct ViewsArguments {
    /// Pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The engine that runs the SQL.
    #[arg(long, value_parser = super::dialects("DuckDB 1.4 or newer", "Spark 4.0 or newer"))]
    pub(crate) dialect: Dialect,
    /// Schema that the views are made in; it is made where there is none. Without it DuckDB has them in its own, and Spark
    /// for the session alone.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) schema: Option<String>,
    /// Only views over this report of the pipeline; may be given several times.
    #[arg(long = "report", value_name = "NAME")]
    pub(crate) reports: Vec<String>,
    /// Folder or URL of the tables as the reader sees them, where that is not the pipeline's destination.
    #[arg(long, value_name = "URL", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) location: Option<String>,
}
