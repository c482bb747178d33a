//! Checks the stored files of a pipeline's reports, and on request counts rows against the API: one request per report.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use ctct_extract::{Client, Request};
use ctct_load::{Destination, Finding, Fix, LoadError, Verified, VerifyOptions, unreadable_leases};
use serde::Serialize;

use super::{OverReports, Part, failed, over_reports};
use crate::after_run::runs_table::{self, RUNS_TABLE};
use crate::context::Context;
use crate::outcome::Outcome;
use crate::plan::{Ids, Plan, ReportPlan};
use crate::policy::advice_on_finding;
use crate::run_error::RunError;
use crate::source;
use crate::source::identity;
use crate::summary::ErrorSummary;

/// What was found out about a pipeline's reports.
#[derive(Debug, Clone, Serialize)]
pub struct VerifySummary {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Account label.
    pub account: String,
    /// Where the tables are.
    pub destination: String,
    /// `done`, or `damaged` where something was found.
    pub outcome: Outcome,
    /// Exit code of the process.
    pub exit_code: u8,
    /// One entry per report, in the order of the plan.
    pub reports: Vec<ReportVerified>,
    /// What is wrong with files of the account that belong to no report: the table of runs and leases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingSummary>,
    /// Why nothing could be verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorSummary>,
}

/// What was found out about one report.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ReportVerified {
    /// The report.
    pub report: String,
    /// `done`, or `damaged` where something was found.
    pub outcome: Outcome,
    /// Version of the newest commit.
    pub version: Option<i64>,
    /// Commit records that were read.
    pub records: u64,
    /// Each table that has files.
    pub tables: Vec<VerifiedTableSummary>,
    /// Rows by the API and by the tables, where they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<CountSummary>,
    /// What is wrong.
    pub findings: Vec<FindingSummary>,
    /// Why the report could not be verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorSummary>,
}

/// One table that was checked.
#[derive(Debug, Clone, Serialize)]
pub struct VerifiedTableSummary {
    /// The table.
    pub table: String,
    /// Files.
    pub files: u64,
    /// Files whose checksum a commit record still tells; the others are checked by their footers.
    pub hashed: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Rows by the API and by the tables.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CountSummary {
    /// Rows that the API counts; absent where it did not say.
    pub api: Option<u64>,
    /// Current rows of the report's own table.
    pub stored: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, Serialize)]
pub struct FindingSummary {
    /// The record, file or folder.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl Part for ReportVerified {
    fn outcome(&self) -> Outcome {
        self.outcome
    }
}

/// Verifies the reports of a plan, one after the other; with `counts`, counts their rows by the API too.
pub async fn verify(plan: &Plan, context: &Context, counts: bool) -> VerifySummary {
    let mut findings = Vec::new();
    let work = async |destination: &Destination| {
        let (reports, beside) = verify_all(plan, context, destination, counts).await?;
        findings = beside;
        Ok(reports)
    };
    let OverReports { pipeline, account, destination, outcome, reports, error, .. } =
        over_reports(plan, context, work).await;
    let outcome = if findings.is_empty() { outcome } else { Outcome::of_parts(&[outcome, Outcome::Damaged]) };
    let exit_code = outcome.policy().exit_code;
    VerifySummary { pipeline, account, destination, outcome, exit_code, reports, findings, error }
}

async fn verify_all(
    plan: &Plan,
    context: &Context,
    destination: &Destination,
    counts: bool,
) -> Result<(Vec<ReportVerified>, Vec<FindingSummary>), RunError> {
    let source = if counts { Some(source::open(plan, context).await?) } else { None };
    if let Some(source) = &source {
        // What another account counts says nothing of these tables.
        identity::establish(plan, context, destination, source).await?;
    }
    let client = source.as_ref().map(|source| &source.client);
    let mut reports = Vec::new();
    for report in &plan.reports {
        reports.push(verify_report(plan, report, destination, client, context.clock.now()).await);
    }
    if let Some(source) = source {
        source.close().await?;
    }
    let findings = beside(plan, destination).await.map_err(|error| RunError::Destination(Box::new(error)))?;
    Ok((reports, findings))
}

/// Files of the account that belong to no report and cannot be read. Nothing depends on them but readers of `_runs`.
async fn beside(plan: &Plan, destination: &Destination) -> Result<Vec<FindingSummary>, LoadError> {
    let runs = runs_table::unreadable(destination, &plan.account).await?.into_iter().map(|path| FindingSummary {
        path: format!("{}/{path}", destination.url().trim_end_matches('/')),
        what: format!("this is not a file of the table `{RUNS_TABLE}`, and a query over that table fails on it"),
        advice: format!("`ctct-etl state rebuild {}` moves it away; no run depends on it", plan.pipeline.file()),
    });
    let leases = unreadable_leases(destination, &plan.account).await?.into_iter().map(|path| FindingSummary {
        path,
        what: "this lease cannot be read, so no run sees who holds it".to_owned(),
        advice: format!("`ctct-etl run {}` replaces it", plan.pipeline.file()),
    });
    Ok(runs.chain(leases).collect())
}

async fn verify_report(
    plan: &Plan,
    report_plan: &ReportPlan,
    destination: &Destination,
    client: Option<&Client>,
    now: DateTime<Utc>,
) -> ReportVerified {
    let report = &report_plan.report;
    let name = report.name.as_str();
    let client = client.filter(|_| report.count.is_some() && matches!(report_plan.ids, Ids::None));
    let options = VerifyOptions { count: client.is_some(), now: Some(now), ..VerifyOptions::default() };
    let empty = ReportVerified { report: name.to_owned(), ..ReportVerified::default() };
    let verified = match ctct_load::verify(destination, &plan.account, report, &options).await {
        Ok(verified) => verified,
        Err(error) => {
            let (outcome, error) = failed(plan, name, error);
            return ReportVerified { outcome, error: Some(error), ..empty };
        }
    };
    let Verified { version, since, records, tables, current_rows, findings } = verified;
    let mut summary = ReportVerified {
        version,
        records,
        tables: tables
            .into_iter()
            .map(|table| VerifiedTableSummary {
                table: table.table,
                files: table.files,
                hashed: table.hashed,
                rows: table.rows,
                bytes: table.bytes,
            })
            .collect(),
        findings: findings.into_iter().map(|finding| finding_summary(plan, name, finding)).collect(),
        ..empty
    };
    // Where nothing is stored there is nothing to compare with.
    if let (Some(client), Some(_)) = (client, version)
        && let Some(request) = counting(report_plan, since)
    {
        match client.crawl(request).next().await {
            Ok(page) => {
                let api = page.and_then(|page| page.count);
                summary.count = Some(CountSummary { api, stored: current_rows });
                if let Some(api) = api.filter(|api| *api != current_rows) {
                    let finding = Finding {
                        path: format!("{}/{name}", destination.url().trim_end_matches('/')),
                        what: format!("the API counts {api} rows of `{name}`, and the table holds {current_rows}"),
                        fix: Fix::Run,
                    };
                    summary.findings.push(finding_summary(plan, name, finding));
                }
            }
            Err(error) => {
                let error = RunError::from(error);
                summary.outcome = error.outcome();
                summary.error = Some(plan.told(&error));
            }
        }
    }
    if !summary.findings.is_empty() {
        summary.outcome = Outcome::Damaged;
    }
    summary
}

/// The request that makes the API count what the tables should hold: one row of it. `since` is where the tables'
/// history begins. `None` where no one request counts that: rows since then come from two queries.
fn counting(plan: &ReportPlan, since: Option<DateTime<Utc>>) -> Option<Request> {
    let report = &plan.report;
    // Where the tables keep only some of what is asked for, the API counts the others too.
    let count = report.count.as_ref().filter(|_| plan.keeps.is_empty())?;
    let limit = report.paging.as_ref().and_then(|paging| paging.limit.as_ref());
    let watermark = report.watermark.as_ref();
    if since.is_some() && watermark.is_some_and(|watermark| watermark.also.is_some()) {
        return None;
    }
    let option = watermark.and_then(|watermark| report.option(&watermark.option));
    let from = option.and_then(|option| option.params.first());
    let replaced = |name: &String| *name == count.param || Some(name) == from;
    let mut params: Vec<(String, String)> =
        plan.wire_params().into_iter().filter(|(name, _)| !replaced(name)).collect();
    params.extend(from.zip(since).map(|(name, since)| (name.clone(), plan.sent(name, since))));
    params.push((count.param.clone(), "true".to_owned()));
    params.extend(limit.map(|limit| (limit.param.clone(), "1".to_owned())));
    Some(Request { report: Arc::clone(report), params })
}

fn finding_summary(plan: &Plan, report: &str, Finding { path, what, fix }: Finding) -> FindingSummary {
    FindingSummary { path, what, advice: advice_on_finding(fix, plan.pipeline.file(), report) }
}
