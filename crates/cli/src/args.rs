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
use ctct_pipeline::{Shard, When};
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
    /// Folder of sign-ins and application profiles, instead of `CTCT_CONFIG_DIR` or the platform's usual one.
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FOLDER")]
    pub(crate) config_dir: Option<PathBuf>,
    /// Folder of what is counted on this host, instead of `CTCT_STATE_DIR` or the platform's usual one.
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
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
    /// Write a first pipeline, from flags or by asking.
    Init(InitArguments),
    /// Run pipelines: ask the API, write Parquet, commit.
    Run(RunArguments),
    /// Make tables again from kept pages. Asks the API nothing.
    Replay(ReplayArguments),
    /// Show what a run would ask and what it would cost. Sends nothing, unless told to count.
    Plan(PlanArguments),
    /// Check pipelines. Sends nothing.
    Validate(Files),
    /// Print tables column by column, as text, JSON, SQL or Markdown.
    Schema(SchemaArguments),
    /// List the reports that the API offers, or show one.
    Reports(ReportsArguments),
    /// Join small files of the stored tables into larger ones. Sends nothing.
    Compact(CompactArguments),
    /// Show what is stored: watermarks, commits, tables, damage. Asks the API nothing.
    State(StateArguments),
    /// Show whether what is stored is as new as it should be, and what is left of the day. Asks the API nothing.
    Status(PipelineStatusArguments),
    /// Check what is stored: files against their records, rows against each other.
    Verify(VerifyArguments),
    /// Print SQL views over the tables, for DuckDB or Spark. Sends nothing.
    Views(ViewsArguments),
    /// Write the entry of cron, systemd or Airflow that runs a pipeline when it is due.
    Schedule(ScheduleArguments),
    /// Sign accounts in, and show who is.
    Auth(AuthArguments),
    /// Serve the embedded API, for trying things out.
    Sandbox(SandboxArguments),
    /// Print a script that completes commands and options in a shell.
    Completions(CompletionsArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl run acme.yaml
  ctct-etl run acme.yaml --report contacts --report contact_lists
  ctct-etl run acme.yaml --full-refresh --dry-run
  ctct-etl run acme.yaml --report contacts --from 2026-01-01 --to 2026-01-31
  ctct-etl run acme.yaml --deadline 50m        for a scheduler that kills after an hour
  ctct-etl run acme.yaml --over-days           again each day until it exits with 0
  ctct-etl run *.yaml --output json 2>run.log")]
#[expect(clippy::struct_excessive_bools, reason = "each flag is its own yes or no")]
pub(crate) struct RunArguments {
    /// Pipeline files, run one after the other.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Run only this report of the pipeline; may be given several times.
    #[arg(long = "report", value_name = "NAME")]
    pub(crate) reports: Vec<String>,
    #[command(flatten)]
    pub(crate) scope: ScopeArguments,
    /// Keep the API's answers for good, so that `replay` can rebuild the tables; `keep_raw` of every report.
    #[arg(long)]
    pub(crate) keep_raw: bool,
    /// Let this run remove any share of the stored rows, past `max_removed` too.
    #[arg(long)]
    pub(crate) allow_removal: bool,
    /// Of a pipeline with several accounts, run only this part of them: 1/4 to 4/4 on four hosts. An account stays in its
    /// part whatever other accounts there are.
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
    /// Of a pipeline with several accounts, run only this one; may be given several times.
    #[arg(long = "account", value_name = "NAME", conflicts_with_all = ["shard", "dry_run"])]
    pub(crate) accounts: Vec<String>,
    /// Show the plan and send nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Run even where the day's quota is certainly too small: do what fits today, exit with 11, and go on with the next run.
    #[arg(long)]
    pub(crate) over_days: bool,
    /// Where another run holds a report, wait for it instead of exiting with 13.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) wait: bool,
    /// Stop at a page after this time, such as 90s, 50m or 2h, keep what was paid for, and exit with 12. The next run goes on.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) deadline: Option<Duration>,
    /// Form of the summary on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl run acme.yaml --full-refresh --keep-raw   read everything and keep the API's answers
  ctct-etl replay acme.yaml                          make the tables again from them
  ctct-etl replay acme.yaml --report contacts

The rows of all kept pages, in the order in which they were read, take the place of what the tables hold. The watermark stays.")]
pub(crate) struct ReplayArguments {
    /// Pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only this report of the pipeline; may be given several times.
    #[arg(long = "report", value_name = "NAME")]
    pub(crate) reports: Vec<String>,
    /// Read dead letters in again instead: records that this version can use are added or merged, the others stay.
    #[arg(long)]
    pub(crate) dead_letters: bool,
    /// Form of the summary on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// What a run is for, where it is not what changed since the last one.
#[derive(Debug, Args)]
pub(crate) struct ScopeArguments {
    /// Read everything, as if for the first time: merged and replaced tables hold what is read, appended ones get it all
    /// again.
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub(crate) full_refresh: bool,
    /// Backfill: read what changed since this date or timestamp. The watermark stays where it is.
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub(crate) from: Option<When>,
    /// End of the backfill: a timestamp, or a date, which is included.
    #[arg(long, value_name = "WHEN", value_parser = moment, requires = "from")]
    pub(crate) to: Option<When>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl plan acme.yaml
  ctct-etl plan acme.yaml --probe              ask the API to count rows, for exact numbers
  ctct-etl plan acme.yaml --report contact_action_summary --output json

Numbers go by what the destination holds: its watermarks, its ids, what the last commits took, pages that are kept.")]
pub(crate) struct PlanArguments {
    /// Pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only this report of the pipeline; may be given several times.
    #[arg(long = "report", value_name = "NAME")]
    pub(crate) reports: Vec<String>,
    /// Of a pipeline with several accounts, show only this part of them.
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
    #[command(flatten)]
    pub(crate) scope: ScopeArguments,
    /// Ask the API how many rows there are, where it can say: one request a report at most.
    #[arg(long)]
    pub(crate) probe: bool,
    /// Form of the plan on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
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

Exit code 15 says that the state of a report is damaged."
)]
pub(crate) struct StateArguments {
    #[command(subcommand)]
    pub(crate) action: Option<StateAction>,
    /// Pipeline file.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) file: Option<PathBuf>,
    /// Only this report of the pipeline; may be given several times.
    #[arg(long = "report", value_name = "NAME")]
    pub(crate) reports: Vec<String>,
    /// Form of the state on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateAction {
    /// Rebuild damaged commit logs from the footers of the Parquet files. Asks the API nothing.
    Rebuild(RebuildArguments),
    /// Say that stored rows belong to the account that the pipeline reads now: one request an account.
    Adopt(AdoptArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl state adopt acme.yaml
  ctct-etl state adopt acme.yaml --report contacts

A run refuses to add rows of one Constant Contact account to those of another. Where that is what you want, because the
account was moved or renamed by the vendor for example, this command notes the new account in a commit that changes
nothing else, and prints both. Without --report it covers every report that is stored under the account's label.")]
pub(crate) struct AdoptArguments {
    /// Pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only this report of the pipeline; may be given several times.
    #[arg(long = "report", value_name = "NAME")]
    pub(crate) reports: Vec<String>,
    /// Form of the result on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl state rebuild acme.yaml --dry-run
  ctct-etl state rebuild acme.yaml --report contacts

A log that goes with its tables is left as it is. Damaged records are moved aside, never deleted.
The watermark goes back to before anything that is lost, so that the next run reads it again.")]
pub(crate) struct RebuildArguments {
    /// Pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only this report of the pipeline; may be given several times.
    #[arg(long = "report", value_name = "NAME")]
    pub(crate) reports: Vec<String>,
    /// Say what would be done and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Form of the result on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl verify acme.yaml
  ctct-etl verify acme.yaml --report contacts --counts
  ctct-etl verify acme.yaml --output json

Every stored file is read. Exit code 15 says that something was found; each finding says what to do.")]
pub(crate) struct VerifyArguments {
    /// Pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only this report of the pipeline; may be given several times.
    #[arg(long = "report", value_name = "NAME")]
    pub(crate) reports: Vec<String>,
    /// Ask the API how many rows there are, where it can say: one request a report.
    #[arg(long)]
    pub(crate) counts: bool,
    /// Form of the result on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl compact acme.yaml --dry-run
  ctct-etl compact acme.yaml --report contacts

Rows stay as they are. Appending runs join small files by themselves; this joins all of them at once, each report in a
commit of its own. A run of the same report that is on its way is fenced off and must be started again. While the files
of a commit change places, readers may miss rows for a moment; they never see one twice.")]
pub(crate) struct CompactArguments {
    /// Pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only this report of the pipeline; may be given several times.
    #[arg(long = "report", value_name = "NAME")]
    pub(crate) reports: Vec<String>,
    /// Show which files would be joined and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl sandbox --port 8080 --contacts 100000
  curl -H 'Authorization: Bearer TOKEN' 'http://127.0.0.1:8080/v3/contacts?limit=1'
  ctct-etl sandbox --users 3 --token-lifetime 60s     several accounts whose tokens end soon

The address, an access token and what a pipeline and a sign-in need to use it are printed at start. Ctrl-C stops it.")]
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
    /// The day that the account's dates lead up to; the day of the start where absent.
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub(crate) today: Option<NaiveDate>,
    /// Days that the account lived on since then: contacts come, change and go, the rest stays as it is. What changes is
    /// dated from that day's start on, so where a run read the account before, give a `--today` that is still to come.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) days_later: u32,
    /// Requests a second before `throttled`.
    #[arg(long, default_value_t = 4.0, value_parser = rate)]
    pub(crate) requests_per_second: f64,
    /// Requests a day before `quota_exceeded`.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) daily_requests: u64,
    /// Milliseconds that every answer takes.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub(crate) latency_ms: u64,
    /// How far the Date header of every answer is off the time, such as 2h or -3d.
    #[arg(long, default_value = "0s", value_name = "SPAN", value_parser = offset, allow_hyphen_values = true)]
    pub(crate) wrong_date: TimeDelta,
    /// Share of requests that fail with a 500, between 0 and 1.
    #[arg(long, default_value_t = 0.0, value_name = "RATE", value_parser = share)]
    pub(crate) error_rate: f64,
    /// Keys of objects, and lists within a record, come in another order at each request.
    #[arg(long)]
    pub(crate) reorder: bool,
    /// Share of records that have an odd value in an optional field, between 0 and 1.
    #[arg(long, default_value_t = 0.0, value_name = "RATE", value_parser = share)]
    pub(crate) unfit: f64,
    /// People who can sign in; all of them read the same account.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) users: u32,
    /// How long an access token is good for, such as 60s, 30m or 24h.
    #[arg(long, default_value = "24h", value_name = "SPAN", value_parser = lifetime)]
    pub(crate) token_lifetime: Duration,
    /// What comes back for a refresh token.
    #[arg(long, value_enum, default_value_t = RefreshTokens::Rotating, value_name = "KIND")]
    pub(crate) refresh_tokens: RefreshTokens,
}

/// What the embedded API's token endpoint does with refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RefreshTokens {
    /// Another one: each works once.
    Rotating,
    /// The same one.
    LongLived,
    /// None: the old one stays good.
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

/// A span of time such as `90s`, `50m` or `2h`.
fn span(text: &str) -> Result<Duration, &'static str> {
    let number = |unit| text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok());
    let seconds = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)]
        .into_iter()
        .find_map(|(unit, seconds)| number(unit)?.checked_mul(seconds));
    let longest = 366 * 86_400;
    seconds
        .filter(|seconds| (1..=longest).contains(seconds))
        .map(Duration::from_secs)
        .ok_or("expected a whole number of seconds, minutes, hours or days: 90s, 50m, 2h, 1d")
}

fn rate(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|rate| *rate > 0.0).ok_or("expected a number above 0")
}

fn lifetime(text: &str) -> Result<Duration, &'static str> {
    let units = [("s", 1), ("m", 60), ("h", 3_600)];
    let span =
        units.iter().find_map(|(unit, seconds)| text.strip_suffix(unit)?.parse::<u32>().ok().map(|n| (n, *seconds)));
    let (number, seconds) =
        span.ok_or("expected a whole number of seconds, minutes or hours, such as 60s, 30m or 24h")?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

fn offset(text: &str) -> Result<TimeDelta, &'static str> {
    ctct_pipeline::Sandbox::parse_offset(text).ok_or("expected a span of time such as 90s, 2h or -3d")
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
