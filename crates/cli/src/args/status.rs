//! Arguments of `status`.

use std::time::Duration;

use clap::Args;

use super::{OnlyReports, PipelineFiles, ResultFormat, span};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl status acme.yaml                        against the pipeline's schedule
  ctct-etl status *.yaml --max-age 26h             against an age of your own
  ctct-etl status acme.yaml --output json          one line of JSON for each account

Exit codes; the worst result wins:
  0 fresh    20 stale    21 the last run failed and needs manual action    15 state damaged
If a check was not possible: 2 configuration, 10 sign-in needed, 12 the store did not respond.

Makes no API requests.")]
pub(crate) struct PipelineStatusArguments {
    #[command(flatten)]
    pub(crate) pipelines: PipelineFiles,
    #[command(flatten)]
    pub(crate) only: OnlyReports,
    /// Maximum age of the last success, such as 90m, 26h or 2d; by default, the time since the last scheduled run.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) max_age: Option<Duration>,
    /// How long after its scheduled time a run may take before its reports count as stale.
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "1h", conflicts_with = "max_age")]
    pub(crate) grace: Duration,
    #[command(flatten)]
    pub(crate) result: ResultFormat,
}
