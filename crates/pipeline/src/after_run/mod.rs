//! What follows a run, whatever its outcome: rows in the table of runs, numbers for dashboards, a notice where it failed.
//! All of it is made from the summary that the stream of events ends with. What fails here is warned of and changes neither
//! the outcome nor the exit code.

mod metrics;
pub(crate) mod notice;
mod push;
pub(crate) mod runs_table;

use std::time::Duration;

use chrono::TimeDelta;
use ctct_load::Destination;

use crate::outcome::Outcome;
use crate::plan::{Plan, ReportPlan, Scope};
pub use metrics::{METRICS, Metric};
pub use runs_table::RUNS_TABLE;
use runs_table::{RunRow, add_run};

use crate::context::Context;
use crate::summary::{ErrorSummary, ReportSummary, RunSummary, TableSummary};

/// Time that what follows has where the run was told to stop: whoever stops it waits for its end.
const STOPPED: Duration = Duration::from_secs(2);

/// What a run does with the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunKind {
    /// It asks.
    Run,
    /// It reads the pages again that earlier runs had kept.
    Replay,
}

/// Tells all that the pipeline names how a run ended. `destination` is absent where it takes nothing.
pub(crate) async fn tell(
    plan: &Plan,
    context: &Context,
    kind: RunKind,
    destination: Option<&Destination>,
    summary: &RunSummary,
) {
    let row = async {
        let Some(destination) = destination else { return };
        let rows = rows(plan, kind, summary);
        // A read of everything leaves nothing that is damaged, here either.
        if plan.reports.iter().any(|report| report.scope == Scope::Everything)
            && let Err(error) = runs_table::set_aside(destination, &plan.account).await
        {
            tracing::warn!(%error, "damaged files of the table of runs are still where they were");
        }
        if let Err(error) = add_run(destination, &plan.account, &summary.run_id, &rows).await {
            tracing::warn!(%error, "the run has no row in the table of runs");
        }
    };
    let told =
        async { futures::join!(row, metrics::export(plan, context, summary), notice::send(plan, context, summary)) };
    if summary.outcome != Outcome::Stopped {
        told.await;
    } else if tokio::time::timeout(STOPPED, told).await.is_err() {
        tracing::warn!("the run was stopped, and its row, metrics and notice did not all arrive within two seconds");
    }
}

/// One row for each report of the plan. Those that a run did not come to have its outcome.
fn rows(plan: &Plan, kind: RunKind, summary: &RunSummary) -> Vec<RunRow> {
    let found = |name: &str| summary.reports.iter().find(|report| report.report == name);
    let refused = |name: &str| ReportSummary {
        report: name.to_owned(),
        outcome: if summary.error.is_some() { summary.outcome } else { Outcome::Stopped },
        started_at: summary.started_at,
        seconds: summary.seconds,
        error: summary.error.clone(),
        ..ReportSummary::default()
    };
    let row = |report_plan: &ReportPlan| {
        let name = report_plan.report.name.as_str();
        let report = found(name).cloned().unwrap_or_else(|| refused(name));
        row(report_plan, kind, summary, report)
    };
    plan.reports.iter().map(row).collect()
}

fn row(plan: &ReportPlan, kind: RunKind, run: &RunSummary, report: ReportSummary) -> RunRow {
    let drift_fields = report.drift_fields();
    let (error, advice) = report.error.map(|ErrorSummary { message, advice }| (message, advice)).unzip();
    let total = |of: fn(&TableSummary) -> u64| report.tables.iter().map(of).sum();
    #[expect(clippy::cast_possible_truncation, reason = "a run takes less than 300,000 years")]
    let took = TimeDelta::microseconds((report.seconds * 1e6) as i64);
    RunRow {
        run_id: run.run_id.clone(),
        pipeline: run.pipeline.clone(),
        report: report.report,
        started_at: report.started_at,
        finished_at: report.started_at + took,
        scope: match (kind, plan.scope) {
            (RunKind::Replay, _) => "replay",
            (RunKind::Run, Scope::Live) => "incremental",
            (RunKind::Run, Scope::Everything) => "full",
            (RunKind::Run, Scope::Between { .. }) => "backfill",
        },
        write_mode: plan.write_mode,
        window: report.window,
        watermark_before: report.watermark_before,
        watermark_after: report.watermark_after,
        commit: report.commit,
        pages: report.pages,
        resumed_pages: report.resumed_pages,
        rows: report.rows,
        written_rows: total(|table| table.rows),
        written_files: total(|table| table.files),
        written_bytes: total(|table| table.bytes),
        requests: report.api.requests,
        retries: report.api.retries,
        throttled: report.api.throttled,
        read_bytes: report.api.bytes,
        paced_seconds: report.api.paced_seconds,
        backed_off_seconds: report.api.backed_off_seconds,
        drift_fields,
        dead_letters: report.dead_letters,
        outcome: report.outcome.to_string(),
        exit_code: report.outcome.policy().exit_code,
        error,
        advice,
        program_version: env!("CARGO_PKG_VERSION"),
    }
}
