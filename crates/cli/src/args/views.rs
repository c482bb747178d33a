//! `ctct-etl views`, as clap sees it.

use clap::Args;
use ctct_readers::Dialect;

use super::{OnlyReports, PipelineFile};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl views acme.yaml --dialect duckdb | duckdb acme.duckdb
  ctct-etl views acme.yaml --dialect spark > views.sql && spark-sql -i views.sql
  ctct-etl views acme.yaml --dialect spark --schema acme | spark-sql     permanent tables and views
  ctct-etl views acme.yaml --dialect duckdb --location /mnt/acme         tables are mounted elsewhere

For each table NAME there is a view NAME_current with the newest version of each row and, if versions are kept, a function
NAME_as_of(when). contacts_with_custom_fields has a typed column per custom field: create the views again after fields are
added.")]
pub(crate) struct ViewsArguments {
    #[command(flatten)]
    pub(crate) pipeline: PipelineFile,
    /// SQL engine.
    #[arg(long, value_parser = super::dialects("DuckDB 1.4 or newer", "Spark 4.0 or newer"))]
    pub(crate) dialect: Dialect,
    /// Schema for the views; it is created if necessary. Without it, DuckDB uses its default schema, and Spark creates
    /// temporary views.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) schema: Option<String>,
    #[command(flatten)]
    pub(crate) only: OnlyReports,
    /// Folder or URL of the tables as the SQL engine sees them, if it differs from the pipeline's destination.
    #[arg(long, value_name = "URL", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) location: Option<String>,
}
