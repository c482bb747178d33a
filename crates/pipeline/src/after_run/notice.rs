//! The notice of a failure: JSON to the webhook of `on_failure`, after a run that ended with another exit code than 0 and
//! 13. Another run that holds the report is no failure: it does the work.

use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::after_run::push::post;
use crate::context::Context;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::summary::{ErrorSummary, RunSummary};

/// Warns before the run where the notice of a failure could not be sent.
pub(crate) fn check(plan: &Plan, context: &Context) {
    let Some(on_failure) = &plan.pipeline.on_failure else { return };
    if let Err(error) = on_failure.url(&context.environment, &context.base_dir) {
        tracing::warn!(%error, "a failure of this run would not be reported");
    }
}

/// Sends the notice, where the pipeline asks for it and the run did not end well.
pub(crate) async fn send(plan: &Plan, context: &Context, summary: &RunSummary) {
    let Some(on_failure) = &plan.pipeline.on_failure else { return };
    if matches!(summary.outcome, Outcome::Done | Outcome::Held) {
        return;
    }
    let url = match on_failure.url(&context.environment, &context.base_dir) {
        Ok(url) => url,
        Err(error) => {
            tracing::warn!(%error, "the failure was not reported");
            return;
        }
    };
    let body = Bytes::from(notice(summary).to_string());
    match post(&url, "application/json", HeaderMap::new(), body).await {
        Ok(()) => tracing::info!("the failure was reported to the webhook"),
        Err(error) => tracing::warn!(%error, "the failure could not be reported to the webhook"),
    }
}

/// What is sent. `text` is the line that Slack, Mattermost and Teams show; the rest is for programs. It holds no secret and
/// no cell's value: neither do messages.
fn notice(summary: &RunSummary) -> Value {
    let said = |error: &Option<ErrorSummary>| {
        let error = error.as_ref()?;
        Some(json!({"message": error.message, "advice": error.advice}))
    };
    let reports = summary.reports.iter().map(|report| {
        json!({
            "report": report.report,
            "outcome": report.outcome,
            "exit_code": report.outcome.policy().exit_code,
            "commit": report.commit,
            "rows": report.rows,
            "dead_letters": report.dead_letters,
            "watermark": report.watermark_after,
            "error": said(&report.error),
        })
    });
    json!({
        "text": text(summary),
        "pipeline": summary.pipeline,
        "account": summary.account,
        "run_id": summary.run_id,
        "destination": summary.destination,
        "outcome": summary.outcome,
        "exit_code": summary.exit_code,
        "advice": summary.outcome.policy().advice,
        "stopped": summary.stopped,
        "started_at": summary.started_at,
        "seconds": summary.seconds,
        "error": said(&summary.error),
        "reports": reports.collect::<Vec<_>>(),
    })
}

/// One line for people.
fn text(summary: &RunSummary) -> String {
    let RunSummary { pipeline, account, outcome, exit_code, .. } = summary;
    let failed = summary.reports.iter().filter_map(|report| report.error.as_ref());
    let first = summary.error.as_ref().into_iter().chain(failed).next();
    let why = first.map(|error| format!(": {}. Next: {}", error.message, error.advice)).unwrap_or_default();
    format!("ctct-etl: {pipeline} (account {account}): {outcome}, exit code {exit_code}{why}")
}
