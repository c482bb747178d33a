//! Arguments of `status`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Output, span};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl status acme.yaml                        against the pipeline's schedule
  ctct-etl status *.yaml --max-age 26h             against an age of your own
  ctct-etl status acme.yaml --output json          one line of JSON for each account

Exit codes, the worst of all reports:
  0 fresh    20 stale    21 the last run failed and needs manual action    15 state damaged
Where something could not be looked at: 2 configuration, 10 sign-in gone, 12 the store did not answer.

Asks the API nothing.")]
pub(crate) struct PipelineStatusArguments {
    /// Pipeline files.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Only this report of the pipelines; may be given several times.
    #[arg(long = "report", value_name = "NAME")]
    pub(crate) reports: Vec<String>,
    /// How old the last success may be, such as 90m, 26h or 2d; by default it must not be from before the schedule's last turn.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) max_age: Option<Duration>,
    /// How long after its turn a run may take until its reports count as stale.
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "1h", conflicts_with = "max_age")]
    pub(crate) grace: Duration,
    /// Form of the status on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}
