//! The command line, as clap sees it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

/// Pulls a Constant Contact account through its v3 API into partitioned Parquet.
#[derive(Debug, Parser)]
#[command(
    name = "ctct-etl",
    version,
    propagate_version = true,
    after_help = "Examples:
  ctct-etl run pipelines/demo.yaml             the demo, on an embedded API: no account needed
  ctct-etl plan acme.yaml                      what a run would ask, and what it would cost
  ctct-etl run acme.yaml --output json         one JSON line on stdout, for schedulers
  ctct-etl reports contacts                    options and columns of a report

Exit codes:
  0 done                    10 sign-in needed           13 another run holds it
  1 bug                     11 daily quota used up      14 partial: some reports failed
  2 usage or configuration  12 transient, run again     15 state damaged"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the options of every command stand in help, so that they do not mix with the command's own.
const EVERYWHERE: &str = "Options of every command";

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Only errors on stderr: no progress, no log lines.
    #[arg(long, short, global = true, help_heading = EVERYWHERE, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// More log lines; twice for every request. `CTCT_LOG` takes a filter such as `ctct_extract=debug` instead.
    #[arg(long, short, global = true, help_heading = EVERYWHERE, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Form of the log lines on stderr.
    #[arg(long, global = true, help_heading = EVERYWHERE, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people; progress bars on a terminal.
    Text,
    /// One JSON object a line; no progress bars.
    Json,
}

/// Form of a result on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For machines.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run pipelines: ask the API, write Parquet, commit.
    Run(RunArguments),
    /// Show what a run would ask, with dates resolved. Sends nothing.
    Plan(PlanArguments),
    /// Check pipelines. Sends nothing.
    Validate(Files),
    /// Print the tables that a pipeline writes, column by column.
    Schema(SchemaArguments),
    /// List the reports that the API offers, or show one.
    Reports(ReportsArguments),
    /// Serve the embedded API, for trying things out.
    Sandbox(SandboxArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl run acme.yaml
  ctct-etl run acme.yaml --report contacts --report contact_lists
  ctct-etl run acme.yaml --dry-run
  ctct-etl run *.yaml --output json 2>run.log")]
pub(crate) struct RunArguments {
    /// Pipeline files, run one after the other.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Run only this report of the pipeline; may be given several times.
    #[arg(long = "report", value_name = "NAME")]
    pub(crate) reports: Vec<String>,
    /// Show the plan and send nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Form of the summary on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl plan acme.yaml
  ctct-etl plan acme.yaml --report contact_action_summary")]
pub(crate) struct PlanArguments {
    /// Pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only this report of the pipeline; may be given several times.
    #[arg(long = "report", value_name = "NAME")]
    pub(crate) reports: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl validate pipelines/*.yaml")]
pub(crate) struct Files {
    /// Pipeline files.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl schema acme.yaml
  ctct-etl schema acme.yaml --output json
  ctct-etl schema --editor > pipeline.schema.json")]
pub(crate) struct SchemaArguments {
    /// Pipeline file.
    #[arg(value_name = "FILE", required_unless_present = "editor")]
    pub(crate) file: Option<PathBuf>,
    /// Form of the schemas on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// Print the JSON Schema of pipeline files instead, for editors.
    #[arg(long, conflicts_with = "file")]
    pub(crate) editor: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl reports
  ctct-etl reports contact_activity_details")]
pub(crate) struct ReportsArguments {
    /// Report to show.
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl sandbox --port 8080 --contacts 100000
  curl -H 'Authorization: Bearer TOKEN' 'http://127.0.0.1:8080/v3/contacts?limit=1'

The address, an access token and what a pipeline needs to use it are printed at start. Ctrl-C stops it.")]
pub(crate) struct SandboxArguments {
    /// Port on 127.0.0.1; 0 picks a free one.
    #[arg(long, default_value_t = 8080, conflicts_with = "address")]
    pub(crate) port: u16,
    /// Address and port, where 127.0.0.1 will not do.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: Option<SocketAddr>,
    /// Contacts in the account.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) contacts: u64,
    /// Seed of everything that is made up.
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// Requests a second before `throttled`.
    #[arg(long, default_value_t = 4.0, value_parser = rate)]
    pub(crate) requests_per_second: f64,
    /// Requests a day before `quota_exceeded`.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) daily_requests: u64,
    /// Milliseconds that every answer takes.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub(crate) latency_ms: u64,
    /// Share of requests that fail with a 500, between 0 and 1.
    #[arg(long, default_value_t = 0.0, value_name = "RATE", value_parser = share)]
    pub(crate) error_rate: f64,
}

fn rate(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|rate| *rate > 0.0).ok_or("expected a number above 0")
}

fn share(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or("expected a number from 0 to 1")
}

/// The command line's definition, for tests and generated documentation.
pub fn command_line() -> clap::Command {
    Arguments::command()
}
