//! `ctct-etl init`, as clap sees it.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl init                                asks, on a terminal
  ctct-etl init --sandbox                      on the embedded API: no account needed
  ctct-etl init acme.yaml --account acme --since 90d --schedule 1d
  ctct-etl init --account acme --destination s3://bucket/prefix --reports contacts,contact_lists
  ctct-etl init --account acme --write-mode append --schedule '0 6 * * *'

On a terminal it asks for what is not given; elsewhere, or with --defaults, what is not given takes its default. \
Beside the pipeline it writes pipeline.schema.json, by which editors complete keys and mark mistakes.")]
pub(crate) struct InitArguments {
    /// File to write; it is named after the account by default.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Account to read, as `auth login` stores it. It may be signed in later.
    #[arg(long, value_name = "NAME", conflicts_with = "sandbox")]
    pub(crate) account: Option<String>,
    /// Read the embedded API instead of an account.
    #[arg(long)]
    pub(crate) sandbox: bool,
    /// Where the Parquet goes: a path, which starts from the pipeline's folder, or an address such as `s3://bucket/prefix`;
    /// ./data/NAME by default.
    #[arg(long, value_name = "URL")]
    pub(crate) destination: Option<String>,
    /// Reports to read, of those that `ctct-etl reports` lists; by default contacts with what their fields, tags and lists are
    /// called, and campaigns.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) reports: Vec<String>,
    /// How rows meet those that are stored; merge by default.
    #[arg(long, value_name = "MODE", value_parser = ["append", "merge", "replace", "partition"])]
    pub(crate) write_mode: Option<String>,
    /// Where tables begin that can begin somewhere: a date, a timestamp, or days back such as 90d; at the beginning by
    /// default.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// When it is due: a cron expression of five fields, or a span of time such as 15m, 1h or 1d.
    #[arg(long, value_name = "WHEN")]
    pub(crate) schedule: Option<String>,
    /// Ask nothing, on a terminal neither.
    #[arg(long)]
    pub(crate) defaults: bool,
    /// Overwrite files that are there.
    #[arg(long)]
    pub(crate) force: bool,
}
