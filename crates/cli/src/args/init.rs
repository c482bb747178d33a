//! `ctct-etl init`, as clap sees it.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl init                                interactively, on a terminal
  ctct-etl init --sandbox                      on the embedded API: no account needed
  ctct-etl init acme.yaml --account acme --since 90d --schedule 1d
  ctct-etl init --account acme --destination s3://bucket/prefix --reports contacts,contact_lists
  ctct-etl init --account acme --write-mode append --schedule '0 6 * * *'

On a terminal it prompts for options that are not given; elsewhere, or with --defaults, they take their defaults. \
It also writes pipeline.schema.json next to the pipeline, with which editors complete keys and mark mistakes.")]
pub(crate) struct InitArguments {
    /// File to write; named after the account by default.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Account to read, as named in `auth login`. You can sign in later.
    #[arg(long, value_name = "NAME", conflicts_with = "sandbox")]
    pub(crate) account: Option<String>,
    /// Read the embedded API instead of an account.
    #[arg(long)]
    pub(crate) sandbox: bool,
    /// Where to write the Parquet: a path relative to the pipeline's folder, or a URL such as `s3://bucket/prefix`;
    /// ./data/NAME by default.
    #[arg(long, value_name = "URL")]
    pub(crate) destination: Option<String>,
    /// Reports to read, see `ctct-etl reports`; by default contacts, custom fields, tags, lists and campaigns.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) reports: Vec<String>,
    /// How new rows are combined with existing ones; merge (upsert) by default.
    #[arg(long, value_name = "MODE", value_parser = ["append", "merge", "replace", "partition"])]
    pub(crate) write_mode: Option<String>,
    /// Start date for reports that support one: a date, a timestamp, or days back such as 90d; by default everything is read.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// When to run: a cron expression of five fields, or an interval such as 15m, 1h or 1d.
    #[arg(long, value_name = "WHEN")]
    pub(crate) schedule: Option<String>,
    /// Never prompt, not even on a terminal; use defaults.
    #[arg(long)]
    pub(crate) defaults: bool,
    /// Overwrite existing files.
    #[arg(long)]
    pub(crate) force: bool,
}
