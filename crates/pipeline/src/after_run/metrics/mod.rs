//! The numbers of a run, for dashboards and alarms: every metric is declared once, with its unit and its meaning, and goes
//! to text files for Prometheus, to a collector by OTLP, or to both. All are gauges of the last run, since each run is a
//! process of its own. Labels are names out of the pipeline file alone, so that their number is bounded.

mod otlp;
mod textfile;

use std::path::PathBuf;

use url::Url;

use crate::context::Context;
use crate::document::Otlp;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::summary::{ReportSummary, RunSummary};

/// Names the folder of text files where the pipeline names none.
const TEXTFILE: &str = "CTCT_METRICS_TEXTFILE";
/// Names the endpoint of a collector where the pipeline names none.
const OTLP: &str = "CTCT_METRICS_OTLP";

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name, with its unit at the end.
    pub name: &'static str,
    /// Its unit by UCUM: `s`, `By`, `1` for what has none.
    pub unit: &'static str,
    /// What it is.
    pub help: &'static str,
    value: Of,
}

/// What a metric is of, and its value where there is one.
#[derive(Debug)]
enum Of {
    /// The run; labels `pipeline` and `account`.
    Run(fn(&RunSummary) -> Option<f64>),
    /// One report of it; the label `report` too.
    Report(fn(&ReportSummary) -> Option<f64>),
}

impl Metric {
    /// Labels of its samples.
    pub fn labels(&self) -> &'static [&'static str] {
        match self.value {
            Of::Run(_) => &["pipeline", "account"],
            Of::Report(_) => &["pipeline", "account", "report"],
        }
    }

    /// Whether the value of an earlier run holds until there is another.
    fn stays(&self) -> bool {
        self.name.contains("last_success")
    }
}

const fn run(
    name: &'static str,
    unit: &'static str,
    value: fn(&RunSummary) -> Option<f64>,
    help: &'static str,
) -> Metric {
    Metric { name, unit, help, value: Of::Run(value) }
}

const fn report(
    name: &'static str,
    unit: &'static str,
    value: fn(&ReportSummary) -> Option<f64>,
    help: &'static str,
) -> Metric {
    Metric { name, unit, help, value: Of::Report(value) }
}

/// All metrics. Their names are part of the tool's contract: metrics are added, never renamed.
pub const METRICS: &[Metric] = &[
    run("ctct_etl_run_end_timestamp_seconds", "s", |run| Some(ended(run)), "When the last run ended."),
    run(
        "ctct_etl_run_last_success_timestamp_seconds",
        "s",
        |run| Some(ended(run)).filter(|_| run.outcome == Outcome::Done),
        "When the last run ended that ended with exit code 0.",
    ),
    run("ctct_etl_run_exit_code", "1", |run| Some(f64::from(run.exit_code)), "Exit code of the last run."),
    run("ctct_etl_run_duration_seconds", "s", |run| Some(run.seconds), "How long the last run took."),
    report(
        "ctct_etl_report_end_timestamp_seconds",
        "s",
        |report| Some(report_ended(report)),
        "When the report ended in the last run.",
    ),
    report(
        "ctct_etl_report_last_success_timestamp_seconds",
        "s",
        |report| Some(report_ended(report)).filter(|_| report.outcome == Outcome::Done),
        "When the report ended in the last run in which all went well with it.",
    ),
    report(
        "ctct_etl_report_exit_code",
        "1",
        |report| Some(f64::from(report.outcome.policy().exit_code)),
        "How the report ended in the last run, as an exit code.",
    ),
    report("ctct_etl_report_duration_seconds", "s", |report| Some(report.seconds), "How long the report took."),
    report(
        "ctct_etl_report_watermark_timestamp_seconds",
        "s",
        |report| report.watermark_after.map(|at| number(at.timestamp().unsigned_abs())),
        "Watermark after the last run: what changed before it is stored.",
    ),
    report("ctct_etl_report_pages", "1", |report| Some(number(report.pages)), "Pages read, including saved ones."),
    report("ctct_etl_report_rows", "1", |report| Some(number(report.rows)), "Rows of the report's own table read."),
    report(
        "ctct_etl_report_written_rows",
        "1",
        |report| Some(number(report.tables.iter().map(|table| table.rows).sum())),
        "Rows written, over all tables of the report.",
    ),
    report(
        "ctct_etl_report_written_files",
        "1",
        |report| Some(number(report.tables.iter().map(|table| table.files).sum())),
        "Files written.",
    ),
    report(
        "ctct_etl_report_written_bytes",
        "By",
        |report| Some(number(report.tables.iter().map(|table| table.bytes).sum())),
        "Bytes of Parquet written.",
    ),
    report("ctct_etl_report_requests", "1", |report| Some(number(report.api.requests)), "Requests sent to the API."),
    report("ctct_etl_report_retries", "1", |report| Some(number(report.api.retries)), "Retries of requests."),
    report(
        "ctct_etl_report_throttled",
        "1",
        |report| Some(number(report.api.throttled)),
        "Responses with 429 throttled.",
    ),
    report(
        "ctct_etl_report_read_bytes",
        "By",
        |report| Some(number(report.api.bytes)),
        "Bytes of the API's responses, decompressed.",
    ),
    report(
        "ctct_etl_report_paced_seconds",
        "s",
        |report| Some(report.api.paced_seconds),
        "Time that requests waited for the rate limit, summed over requests.",
    ),
    report(
        "ctct_etl_report_backed_off_seconds",
        "s",
        |report| Some(report.api.backed_off_seconds),
        "Time that requests waited before retries, summed over requests.",
    ),
    report(
        "ctct_etl_report_dead_letters",
        "1",
        |report| Some(number(report.dead_letters)),
        "Records that could not be typed.",
    ),
    report(
        "ctct_etl_report_drift_fields",
        "1",
        |report| Some(number(report.drift_fields())),
        "Fields that the catalog does not know.",
    ),
];

#[expect(clippy::cast_precision_loss, reason = "counts of a run are below 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

/// Seconds since 1970, with milliseconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^53")]
fn seconds(at: chrono::DateTime<chrono::Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1e3
}

fn ended(run: &RunSummary) -> f64 {
    (seconds(run.started_at) + run.seconds).round()
}

fn report_ended(report: &ReportSummary) -> f64 {
    (seconds(report.started_at) + report.seconds).round()
}

/// One value of a metric.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    /// Absent for a metric of the run.
    report: Option<String>,
    value: f64,
}

/// All samples of a run, metric by metric.
fn samples(summary: &RunSummary) -> Vec<(&'static Metric, Vec<Sample>)> {
    let of = |metric: &Metric| match metric.value {
        Of::Run(value) => value(summary).map(|value| Sample { report: None, value }).into_iter().collect(),
        Of::Report(value) => {
            let sample =
                |report: &ReportSummary| Some(Sample { report: Some(report.report.clone()), value: value(report)? });
            summary.reports.iter().filter_map(sample).collect()
        }
    };
    METRICS.iter().map(|metric| (metric, of(metric))).collect()
}

/// Hands the numbers of a run to all that the pipeline or the environment names. What fails is warned of.
pub(crate) async fn export(plan: &Plan, context: &Context, summary: &RunSummary) {
    let (named, environment) = (&plan.pipeline.metrics, &context.environment);
    let set = |name| environment.get(name).filter(|value| !value.is_empty());
    // A relative path in the environment belongs to the process, one in the pipeline to the pipeline.
    let of_process = || set(TEXTFILE).map(PathBuf::from);
    let folder = named.textfile.as_deref().map(|folder| context.base_dir.join(folder)).or_else(of_process);
    if let Some(folder) = folder
        && let Err(error) = textfile::write(&folder, plan, summary)
    {
        tracing::warn!(folder = %folder.display(), %error, "metrics could not be written");
    }
    let from_environment = || {
        let endpoint = Url::parse(set(OTLP)?).ok();
        if endpoint.is_none() {
            tracing::warn!("{OTLP} is not a valid address, so no metrics were sent");
        }
        Some(Otlp { endpoint: endpoint?, headers: Vec::new() })
    };
    let collector = named.otlp.clone().or_else(from_environment);
    if let Some(collector) = collector
        && let Err(error) = otlp::push(&collector, context, summary).await
    {
        tracing::warn!(%error, "metrics could not be sent");
    }
}
