//! The command line, as clap sees it.

mod auth;
mod completions;
mod init;
mod schedule;
mod schema;
mod status;
mod views;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use ctct_pipeline::document::{When, parse_offset, parse_span};
use ctct_pipeline::plan::Shard;
use ctct_readers::Dialect;

pub(crate) use auth::{
    AuthAction, AuthArguments, ListArguments, LoginArguments, LogoutArguments, StateOption, StatusArguments,
};
pub(crate) use completions::CompletionsArguments;
pub(crate) use init::InitArguments;
pub(crate) use schedule::{ScheduleArguments, Target};
pub(crate) use schema::{Format, SchemaArguments};
pub(crate) use status::PipelineStatusArguments;
pub(crate) use views::ViewsArguments;

/// Pulls a Constant Contact account through its v3 API into partitioned Parquet.
#[derive(Debug, Parser)]
#[command(
    name = "ctct-etl",
    version,
    propagate_version = true,
    after_help = "Examples:
  ctct-etl init --sandbox                      a first pipeline, on an embedded API
  ctct-etl run sandbox.yaml                    runs it
  ctct-etl init --account acme                 a pipeline of your own
  ctct-etl plan acme.yaml                      requests that a run would send
  ctct-etl run acme.yaml --output json         one JSON line on stdout, for schedulers
  ctct-etl reports contacts                    options and columns of a report

Exit codes:
  0 success                 10 sign-in needed           13 another run is active
  1 bug                     11 daily quota used up      14 partial: some reports failed
  2 usage or configuration  12 temporary failure        15 state damaged"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The heading of the options of every command in help, so that they do not mix with the command's own.
const EVERYWHERE: &str = "Options of every command";

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Print only errors to stderr: no progress, no log lines.
    #[arg(long, short, global = true, help_heading = EVERYWHERE, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print more log lines; give it twice to log every request. `CTCT_LOG` takes a filter such as `ctct_extract=debug` instead.
    #[arg(long, short, global = true, help_heading = EVERYWHERE, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Format of log lines on stderr.
    #[arg(long, global = true, help_heading = EVERYWHERE, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// Folder for sign-ins and application profiles. Overrides `CTCT_CONFIG_DIR` and the platform's default.
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FOLDER")]
    pub(crate) config_dir: Option<PathBuf>,
    /// Folder for request counts of this host. Overrides `CTCT_STATE_DIR` and the platform's default.
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people, with progress bars on a terminal.
    Text,
    /// One JSON object per line, without progress bars.
    Json,
}

/// Format of a result on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For machines.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a pipeline file, from options or interactively.
    Init(InitArguments),
    /// Run pipelines: read from the API, write Parquet, commit.
    Run(RunArguments),
    /// Rebuild tables from saved responses. Makes no API requests.
    Replay(ReplayArguments),
    /// Show which requests one run would send, and how many. Makes no API requests, except with `--probe`.
    Plan(PlanArguments),
    /// Check pipeline files. Makes no API requests.
    Validate(ValidateArguments),
    /// Print the columns of tables, as text, JSON, SQL or Markdown.
    Schema(SchemaArguments),
    /// List the reports that the API offers, or show one.
    Reports(ReportsArguments),
    /// Compact tables: merge small files into larger ones. Makes no API requests.
    Compact(CompactArguments),
    /// Show what is stored: watermarks, commits, tables, damage. Makes no API requests.
    State(StateArguments),
    /// Check data freshness and the remaining daily quota. Makes no API requests.
    Status(PipelineStatusArguments),
    /// Check stored files against the commit log, and rows for duplicates.
    Verify(VerifyArguments),
    /// Print SQL views over the tables, for DuckDB or Spark. Makes no API requests.
    Views(ViewsArguments),
    /// Generate a cron, systemd or Airflow entry that runs a pipeline on its schedule.
    Schedule(ScheduleArguments),
    /// Sign in to accounts, and show which are signed in.
    Auth(AuthArguments),
    /// Serve the embedded API, for trials and tests.
    Sandbox(SandboxArguments),
    /// Print a shell completion script.
    Completions(CompletionsArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl run acme.yaml
  ctct-etl run acme.yaml --report contacts --report contact_lists
  ctct-etl run acme.yaml --full-refresh --dry-run
  ctct-etl run acme.yaml --report contacts --from 2026-01-01 --to 2026-01-31
  ctct-etl run acme.yaml --deadline 50m        for a scheduler that kills after an hour
  ctct-etl run acme.yaml --over-days           daily, until it exits with 0
  ctct-etl run *.yaml --output json 2>run.log")]
#[expect(clippy::struct_excessive_bools, reason = "each flag is its own yes or no")]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) pipelines: PipelineFiles,
    #[command(flatten)]
    pub(crate) only: OnlyReports,
    #[command(flatten)]
    pub(crate) scope: ScopeArguments,
    /// Keep the API's responses permanently, so that `replay` can rebuild the tables; sets `keep_raw` for every report.
    #[arg(long)]
    pub(crate) keep_raw: bool,
    /// Allow this run to remove any share of the stored rows, even above `max_removed`.
    #[arg(long)]
    pub(crate) allow_removal: bool,
    /// Run only this part of the pipeline's accounts, such as 1/4 to 4/4 on four hosts. An account's part does not depend on
    /// the other accounts.
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
    /// Run only this one of the pipeline's accounts; can be repeated.
    #[arg(long = "account", value_name = "NAME", conflicts_with_all = ["shard", "dry_run"])]
    pub(crate) accounts: Vec<String>,
    /// Show the plan without making any requests.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Run even if today's quota is too small: do what fits today and exit with 11. The next run continues.
    #[arg(long)]
    pub(crate) over_days: bool,
    /// Wait for another run of the same report instead of exiting with 13.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) wait: bool,
    /// Stop after this duration, such as 90s, 50m or 2h, save the fetched pages, and exit with 12. The next run resumes.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) deadline: Option<Duration>,
    #[command(flatten)]
    pub(crate) result: ResultFormat,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl run acme.yaml --full-refresh --keep-raw   read everything and keep the API's responses
  ctct-etl replay acme.yaml                          rebuild the tables from them
  ctct-etl replay acme.yaml --report contacts

The rows of all saved responses, in the order in which they were read, replace the contents of the tables. The watermark does not
change.")]
pub(crate) struct ReplayArguments {
    #[command(flatten)]
    pub(crate) pipeline: PipelineFile,
    #[command(flatten)]
    pub(crate) only: OnlyReports,
    /// Read dead letters instead: records that this version can use are added or merged, the others stay.
    #[arg(long)]
    pub(crate) dead_letters: bool,
    #[command(flatten)]
    pub(crate) result: ResultFormat,
}

/// The pipeline of a command.
#[derive(Debug, Args)]
pub(crate) struct PipelineFile {
    /// Pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// The pipelines of a command.
#[derive(Debug, Args)]
pub(crate) struct PipelineFiles {
    /// Pipeline files.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// Which reports of a pipeline a command is for; all of them unless some are named.
#[derive(Debug, Args)]
pub(crate) struct OnlyReports {
    /// Only this report of the pipeline; can be repeated.
    #[arg(long = "report", value_name = "NAME")]
    pub(crate) reports: Vec<String>,
}

/// How a command shows its result.
#[derive(Debug, Args)]
pub(crate) struct ResultFormat {
    /// Format of the result on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// What a run is for, where it is not what changed since the last one.
#[derive(Debug, Args)]
pub(crate) struct ScopeArguments {
    /// Full refresh: read everything, as in a first run. Merged and replaced tables then hold exactly what was read; appended
    /// tables get all rows that they lack.
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub(crate) full_refresh: bool,
    /// Backfill: read what changed since this date or timestamp. The watermark does not change.
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub(crate) from: Option<When>,
    /// End of the backfill: a timestamp, or a date (inclusive).
    #[arg(long, value_name = "WHEN", value_parser = moment, requires = "from")]
    pub(crate) to: Option<When>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl plan acme.yaml
  ctct-etl plan acme.yaml --probe              with row counts from the API, for exact numbers
  ctct-etl plan acme.yaml --report contact_action_summary --output json

Estimates are based on the destination: watermarks, ids, requests of previous runs, saved pages.")]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) pipeline: PipelineFile,
    #[command(flatten)]
    pub(crate) only: OnlyReports,
    /// Show only this part of the pipeline's accounts.
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
    #[command(flatten)]
    pub(crate) scope: ScopeArguments,
    /// Request row counts from the API, where it has them: at most one request per report.
    #[arg(long)]
    pub(crate) probe: bool,
    #[command(flatten)]
    pub(crate) result: ResultFormat,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl validate pipelines/*.yaml")]
pub(crate) struct ValidateArguments {
    #[command(flatten)]
    pub(crate) pipelines: PipelineFiles,
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
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  ctct-etl state acme.yaml
  ctct-etl state acme.yaml --report contacts --output json
  ctct-etl state rebuild acme.yaml --dry-run
  ctct-etl state adopt acme.yaml

Exit code 15 means that the state of a report is damaged."
)]
pub(crate) struct StateArguments {
    #[command(subcommand)]
    pub(crate) action: Option<StateAction>,
    /// Pipeline file.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) only: OnlyReports,
    #[command(flatten)]
    pub(crate) result: ResultFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateAction {
    /// Rebuild damaged commit logs from the footers of the Parquet files. Makes no API requests.
    Rebuild(RebuildArguments),
    /// Accept that stored rows belong to the account that the pipeline reads now: one request per account.
    Adopt(AdoptArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl state adopt acme.yaml
  ctct-etl state adopt acme.yaml --report contacts

A run refuses to add rows of one Constant Contact account to those of another. If that is what you want, for example because
the vendor moved or renamed the account, this command records the new account in a commit that changes nothing else, and
prints both. Without --report it covers every report that is stored under the account's label.")]
pub(crate) struct AdoptArguments {
    #[command(flatten)]
    pub(crate) pipeline: PipelineFile,
    #[command(flatten)]
    pub(crate) only: OnlyReports,
    #[command(flatten)]
    pub(crate) result: ResultFormat,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl state rebuild acme.yaml --dry-run
  ctct-etl state rebuild acme.yaml --report contacts

A log that agrees with its tables is not changed. Damaged records are moved aside, never deleted.
The watermark moves back to before anything that is lost, so that the next run reads it again.")]
pub(crate) struct RebuildArguments {
    #[command(flatten)]
    pub(crate) pipeline: PipelineFile,
    #[command(flatten)]
    pub(crate) only: OnlyReports,
    /// Show what would be done without writing anything.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) result: ResultFormat,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl verify acme.yaml
  ctct-etl verify acme.yaml --report contacts --counts
  ctct-etl verify acme.yaml --output json

Every stored file is read. Exit code 15 means that there are findings; each says what to do.")]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub(crate) pipeline: PipelineFile,
    #[command(flatten)]
    pub(crate) only: OnlyReports,
    /// Compare with row counts from the API, where it has them: one request per report.
    #[arg(long)]
    pub(crate) counts: bool,
    #[command(flatten)]
    pub(crate) result: ResultFormat,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl compact acme.yaml --dry-run
  ctct-etl compact acme.yaml --report contacts

Rows do not change. Runs that append compact small files automatically; this command compacts all of them at once, with
one commit per report. A run of the same report that is in progress cannot commit and must be started again. While the
files of a commit are swapped, readers may miss rows for a moment; they never see a row twice.")]
pub(crate) struct CompactArguments {
    #[command(flatten)]
    pub(crate) pipeline: PipelineFile,
    #[command(flatten)]
    pub(crate) only: OnlyReports,
    /// Show which files would be compacted without changing anything.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl sandbox --port 8080 --contacts 100000
  curl -H 'Authorization: Bearer TOKEN' 'http://127.0.0.1:8080/v3/contacts?limit=1'
  ctct-etl sandbox --users 3 --token-lifetime 60s     several users whose tokens expire soon

At start it prints the address, an access token, and how to use it in a pipeline or sign in. Press Ctrl-C to stop it.")]
pub(crate) struct SandboxArguments {
    /// Port on 127.0.0.1; 0 picks a free one.
    #[arg(long, default_value_t = 8080, conflicts_with = "address")]
    pub(crate) port: u16,
    /// Address and port to listen on, instead of 127.0.0.1.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: Option<SocketAddr>,
    /// Number of contacts in the account.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) contacts: u64,
    /// Seed of the generated data.
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// Last day of the account's history; today by default.
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub(crate) today: Option<NaiveDate>,
    /// Days of further changes after that day: contacts are added, changed and deleted; nothing else changes. Changes are
    /// dated from the start of that day, so if a run has read the account before, give a `--today` in the future.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) days_later: u32,
    /// Requests per second before `throttled`.
    #[arg(long, default_value_t = 4.0, value_parser = rate)]
    pub(crate) requests_per_second: f64,
    /// Requests per day before `quota_exceeded`.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) daily_requests: u64,
    /// Latency of every response, in milliseconds.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub(crate) latency_ms: u64,
    /// Clock error in the Date header of every response, such as 2h or -3d.
    #[arg(long, default_value = "0s", value_name = "SPAN", value_parser = offset, allow_hyphen_values = true)]
    pub(crate) wrong_date: TimeDelta,
    /// Share of requests that fail with a 500, between 0 and 1.
    #[arg(long, default_value_t = 0.0, value_name = "RATE", value_parser = share)]
    pub(crate) error_rate: f64,
    /// Shuffle the keys of objects, and lists within a record, at each request.
    #[arg(long)]
    pub(crate) reorder: bool,
    /// Share of records with an unexpected value in an optional field, between 0 and 1.
    #[arg(long, default_value_t = 0.0, value_name = "RATE", value_parser = share)]
    pub(crate) unfit: f64,
    /// Number of users who can sign in; all of them read the same account.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) users: u32,
    /// Lifetime of access tokens, such as 60s, 30m or 24h.
    #[arg(long, default_value = "24h", value_name = "SPAN", value_parser = lifetime)]
    pub(crate) token_lifetime: Duration,
    /// Refresh token that the token endpoint returns.
    #[arg(long, value_enum, default_value_t = RefreshTokens::Rotating, value_name = "KIND")]
    pub(crate) refresh_tokens: RefreshTokens,
}

/// What the embedded API's token endpoint does with refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RefreshTokens {
    /// A new one: each works once.
    Rotating,
    /// The same one.
    LongLived,
    /// None: the old one stays valid.
    Omitted,
}

/// Names of the SQL engines, each with its line of help.
fn dialects(duckdb: &'static str, spark: &'static str) -> impl TypedValueParser<Value = Dialect> {
    let named = [(Dialect::DuckDb, duckdb), (Dialect::Spark, spark)];
    PossibleValuesParser::new(named.map(|(dialect, help)| PossibleValue::new(dialect.word()).help(help)))
        .map(|word| if word == Dialect::Spark.word() { Dialect::Spark } else { Dialect::DuckDb })
}

fn moment(text: &str) -> Result<When, &'static str> {
    When::parse(text).ok_or("expected a date such as 2026-01-31, or a timestamp such as 2026-01-31T08:00:00Z")
}

/// A duration such as `90s`, `50m` or `2h`.
fn span(text: &str) -> Result<Duration, &'static str> {
    let longest = 366 * 86_400;
    parse_span(text, "smhd")
        .filter(|span| (1..=longest).contains(&span.as_secs()))
        .ok_or("expected a whole number of seconds, minutes, hours or days: 90s, 50m, 2h, 1d")
}

fn rate(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|rate| *rate > 0.0).ok_or("expected a number above 0")
}

fn lifetime(text: &str) -> Result<Duration, &'static str> {
    parse_span(text, "smh")
        .filter(|span| u32::try_from(span.as_secs()).is_ok())
        .ok_or("expected a whole number of seconds, minutes or hours, such as 60s, 30m or 24h")
}

fn offset(text: &str) -> Result<TimeDelta, &'static str> {
    parse_offset(text).ok_or("expected a duration such as 90s, 2h or -3d")
}

fn day(text: &str) -> Result<NaiveDate, &'static str> {
    text.parse().map_err(|_| "expected a day such as 2026-01-31")
}

fn share(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or("expected a number from 0 to 1")
}

/// The command line's definition, for tests and generated documentation.
pub fn command_line() -> clap::Command {
    Arguments::command()
}
