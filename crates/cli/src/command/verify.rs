//! `ctct-etl verify`: what is stored, checked.

use ctct_pipeline::maintain::{CountSummary, FindingSummary, ReportVerified, VerifySummary};

use super::state::right;
use super::{json, with_plan, worse};
use crate::args::{Global, Output, VerifyArguments};
use crate::logging;
use crate::printer::print;
use crate::reporter;
use crate::reporter::ending::{Reason, give};
use crate::reporter::summary::{bytes, counted};
use crate::text_table::text_table;

/// Verifies a pipeline's reports.
pub(crate) fn verify(global: &Global, arguments: &VerifyArguments) -> u8 {
    logging::start(global, &reporter::canvas(global));
    with_plan(&arguments.pipeline.file, &arguments.only.reports, global, async |plan, context| {
        let summary = ctct_pipeline::maintain::verify(plan, context, arguments.counts).await;
        let shown = match arguments.result.output {
            Output::Text => text(&summary),
            Output::Json => json(&summary),
        };
        let printed = print(&shown);
        let firsts = first_findings(&summary);
        let found = firsts.iter().map(|(report, message, advice)| Reason { report: *report, message, advice });
        let unverified = summary.reports.iter().filter_map(|report| Some((report, report.error.as_ref()?)));
        give(
            summary.exit_code,
            (summary.error.iter().map(Reason::of_all))
                .chain(found)
                .chain(unverified.map(|(report, error)| Reason::of(&report.report, error))),
        );
        worse(summary.exit_code, printed)
    })
}

/// The first finding of each report, and of what belongs to none: the report, the file with what is wrong, and what to do.
fn first_findings(summary: &VerifySummary) -> Vec<(Option<&str>, String, &str)> {
    let of_reports = summary.reports.iter().filter_map(|report| {
        let FindingSummary { path, what, advice } = report.findings.first()?;
        Some((Some(report.report.as_str()), format!("{}: `{path}`: {what}", report.report), advice.as_str()))
    });
    let beside = summary.findings.first();
    let beside =
        beside.map(|FindingSummary { path, what, advice }| (None, format!("`{path}`: {what}"), advice.as_str()));
    of_reports.chain(beside).collect()
}

fn text(summary: &VerifySummary) -> String {
    let VerifySummary { pipeline, account, destination, .. } = summary;
    let mut text = format!("{pipeline}: account {account} in {destination}\n");
    let mut tables = text_table(["table", "files", "checksums", "rows", "bytes"]);
    for table in summary.reports.iter().flat_map(|report| &report.tables) {
        tables.add_row([
            table.table.clone(),
            table.files.to_string(),
            table.hashed.to_string(),
            table.rows.to_string(),
            bytes(table.bytes),
        ]);
    }
    if !tables.is_empty() {
        text += &format!("{}\n", right(tables, 1));
    }
    for report in &summary.reports {
        text += &report_text(report, destination);
    }
    if !summary.findings.is_empty() {
        text += &format!("outside of the reports: {}\n", counted(summary.findings.len() as u64, "finding"));
        text += &findings_text(&summary.findings);
    }
    text
}

fn report_text(report: &ReportVerified, destination: &str) -> String {
    let name = &report.report;
    let mut text = match (report.version, report.findings.len() as u64) {
        _ if report.error.is_some() && report.version.is_none() => format!("{name}: not verified\n"),
        (None, 0) => format!("{name}: nothing is stored in {destination}\n"),
        (Some(version), 0) => format!("{name}: commit {version}, nothing wrong\n"),
        (Some(version), findings) => format!("{name}: commit {version}, {}\n", counted(findings, "finding")),
        (None, findings) => format!("{name}: {}\n", counted(findings, "finding")),
    };
    if let Some(CountSummary { api, stored }) = report.count {
        let api = api.map_or_else(|| "did not say".to_owned(), |api| format!("counts {}", counted(api, "row")));
        text += &format!("  the API {api}, the table holds {} that are current\n", counted(stored, "row"));
    }
    text + &findings_text(&report.findings)
}

fn findings_text(findings: &[FindingSummary]) -> String {
    let shown = findings
        .iter()
        .map(|FindingSummary { path, what, advice }| format!("  `{path}`: {what}\n    help: {advice}\n"));
    shown.collect()
}
