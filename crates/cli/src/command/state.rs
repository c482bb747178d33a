//! `ctct-etl state`: what is stored of each report; `state rebuild`, which repairs a damaged log; and `state adopt`, which says
//! that stored rows are another account's.

use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{CellAlignment, Table};
use ctct_pipeline::TableSummary;
use ctct_pipeline::maintain::{
    AdoptSummary, AdoptedReport, CommitSummary, FailedIdsSummary, FileGroupSummary, LossSummary, RebuildResult,
    RebuildSummary, ReportRebuild, StateSummary, StoredReport,
};

use super::status::{failed_ids, held_by};
use super::{json, with_plan, worse};
use crate::args::{AdoptArguments, Global, Output, RebuildArguments, StateAction, StateArguments};
use crate::exit_code;
use crate::logging;
use crate::printer::{print, print_done};
use crate::reporter;
use crate::reporter::ending::{Reason, give};
use crate::reporter::summary::{bytes, counted};
use crate::text_table::text_table;

/// Shows the state of a pipeline's reports, or rebuilds it.
pub(crate) fn state(global: &Global, arguments: &StateArguments) -> u8 {
    logging::start(global, &reporter::canvas(global));
    match (&arguments.action, &arguments.file) {
        (Some(StateAction::Rebuild(arguments)), _) => rebuild(global, arguments),
        (Some(StateAction::Adopt(arguments)), _) => adopt(global, arguments),
        (None, Some(file)) => with_plan(file, &arguments.only.reports, global, async |plan, context| {
            let summary = ctct_pipeline::maintain::state(plan, context).await;
            let shown = match arguments.result.output {
                Output::Text => text(&summary),
                Output::Json => json(&summary),
            };
            let printed = print(&shown);
            let reports = summary.reports.iter();
            let reports = reports.filter_map(|report| Some(Reason::of(&report.report, report.error.as_ref()?)));
            give(summary.exit_code, summary.error.iter().map(Reason::of_all).chain(reports));
            worse(summary.exit_code, printed)
        }),
        // clap asks for a file where there is no subcommand.
        (None, None) => exit_code::CONFIGURATION,
    }
}

fn rebuild(global: &Global, arguments: &RebuildArguments) -> u8 {
    with_plan(&arguments.pipeline.file, &arguments.only.reports, global, async |plan, context| {
        let summary = ctct_pipeline::maintain::rebuild(plan, context, arguments.dry_run).await;
        let shown = match arguments.result.output {
            Output::Text => rebuild_text(&summary),
            Output::Json => json(&summary),
        };
        print_done(&shown);
        let reports = summary.reports.iter();
        let reports = reports.filter_map(|report| Some(Reason::of(&report.report, report.error.as_ref()?)));
        give(summary.exit_code, summary.error.iter().map(Reason::of_all).chain(reports));
        summary.exit_code
    })
}

fn adopt(global: &Global, arguments: &AdoptArguments) -> u8 {
    let all = arguments.only.reports.is_empty();
    with_plan(&arguments.pipeline.file, &arguments.only.reports, global, async |plan, context| {
        let summary = ctct_pipeline::maintain::adopt(plan, context, all).await;
        let shown = match arguments.result.output {
            Output::Text => adopt_text(&arguments.pipeline.file, &summary),
            Output::Json => json(&summary),
        };
        print_done(&shown);
        let reports = summary.reports.iter();
        let reports = reports.filter_map(|report| Some(Reason::of(&report.report, report.error.as_ref()?)));
        give(summary.exit_code, summary.error.iter().map(Reason::of_all).chain(reports));
        summary.exit_code
    })
}

fn adopt_text(file: &Path, summary: &AdoptSummary) -> String {
    let AdoptSummary { pipeline, account, destination, .. } = summary;
    let mut text = format!("{pipeline}: account {account} in {destination}\n");
    let Some(owner) = &summary.owner else { return text };
    for AdoptedReport { report, version, from, error, .. } in &summary.reports {
        let from = from.as_deref().unwrap_or("an unknown account");
        text += &match (version, error) {
            (_, Some(_)) => format!("{report}: not adopted\n"),
            (Some(version), None) => format!("{report}: from {from} to {owner}, commit {version}\n"),
            (None, None) => format!("{report}: {owner} already\n"),
        };
    }
    if summary.reports.iter().any(|report| report.version.is_some() && report.error.is_none()) {
        text += &format!(
            "the stored rows stay, and the next run requests what changed since the last one; if {owner} is another company, \
             `ctct-etl run {file} --full-refresh` reads everything\n",
            file = file.display()
        );
    }
    if summary.reports.is_empty() {
        text += &format!("nothing is stored that could become {owner}'s\n");
    }
    text
}

fn text(summary: &StateSummary) -> String {
    let StateSummary { pipeline, account, destination, .. } = summary;
    let mut text = format!("{pipeline}: account {account} in {destination}\n");
    for report in &summary.reports {
        text += &report_text(report, destination);
    }
    text
}

fn report_text(report: &StoredReport, destination: &str) -> String {
    let mut text = format!("\n{}: {}\n", report.report, how_written(report, destination));
    if let Some(commit) = report.commits.first().filter(|_| report.write_mode.is_some()) {
        let CommitSummary { version, committed_at, run_id, .. } = commit;
        text += &format!("  last commit: {version}, {} (run {run_id})\n", instant(*committed_at));
    }
    if let Some(owner) = &report.owner {
        text += &format!("  rows of: {owner}\n");
    }
    if let Some(watermark) = report.watermark {
        let since = report.since.map(|since| format!(", rows since {}", instant(since))).unwrap_or_default();
        text += &format!("  watermark: {}{since}\n", instant(watermark));
    }
    if let Some(at) = report.reconciled_at {
        text += &format!("  reconciled: {}\n", instant(at));
    }
    if report.incomplete > 0 {
        text += "  incomplete: the API counts more than came; the next run reads everything again\n";
    }
    if let Some(since) = report.rejected_since {
        text +=
            &format!("  some records cannot be used, the first since {}; runs request them again\n", instant(since));
    }
    if let Some(FailedIdsSummary { ids, since, file }) = &report.failed_ids {
        text += &format!("  {}\n", failed_ids(*ids, *since, file.as_deref()));
    }
    if let Some(holder) = &report.held_by {
        text += &format!("  {}\n", held_by(holder));
    }
    if report.in_progress {
        text += "  partially complete; the next run resumes where this one stopped\n";
    }
    text += &pile("pages kept", report.pages);
    text += &pile("dead letters", report.dead_letters);
    for run in &report.staging {
        let fate =
            if run.dead { "it can no longer commit, the next run clears it away" } else { "it may still commit" };
        text += &format!(
            "  staged: {}, {} by run {}, begun at version {}; {fate}\n",
            counted(run.files, "file"),
            bytes(run.bytes),
            run.run_id,
            run.base
        );
    }
    if report.unpublished > 0 {
        text += &format!("  not published yet: {}, the next run does it\n", counted(report.unpublished, "file"));
    }
    if !report.commits.is_empty() || report.tables.iter().any(|table| table.files > 0) {
        text += &format!("{}\n", tables(&report.tables));
    }
    if !report.commits.is_empty() {
        text += &format!("{}\n", commits(&report.commits));
        let more = report.records.saturating_sub(report.commits.len() as u64);
        if more > 0 {
            text += &format!("and {} before them\n", counted(more, "commit record"));
        }
    }
    text
}

fn how_written(report: &StoredReport, destination: &str) -> String {
    let Some(mode) = report.write_mode else {
        let nothing = report.records == 0 && report.tables.iter().all(|table| table.files == 0);
        return if nothing {
            format!("nothing is stored in {destination}")
        } else {
            "its newest commit cannot be read".to_owned()
        };
    };
    let mode = serde_json::json!(mode);
    let history = if report.history { " with history" } else { "" };
    let partitions = match report.partition_by.as_slice() {
        [] => String::new(),
        levels => format!(", partitioned by {}", levels.join(", ")),
    };
    format!("{}{history}{partitions}", mode.as_str().unwrap_or_default())
}

fn pile(name: &str, pile: FileGroupSummary) -> String {
    if pile.files == 0 {
        return String::new();
    }
    format!("  {name}: {}, {}\n", counted(pile.files, "file"), bytes(pile.bytes))
}

/// What tables hold.
fn tables(tables: &[TableSummary]) -> Table {
    let mut shown = text_table(["table", "files", "rows", "bytes"]);
    for TableSummary { table, rows, files, bytes: size, .. } in tables {
        shown.add_row([table.clone(), files.to_string(), rows.to_string(), bytes(*size)]);
    }
    right(shown, 1)
}

fn commits(commits: &[CommitSummary]) -> Table {
    let mut shown = text_table(["commit", "when", "mode", "read from", "watermark", "rows", "files", "run"]);
    for commit in commits {
        let mode = serde_json::json!(commit.write_mode);
        let mode = if commit.rebuilt { "state rebuild" } else { mode.as_str().unwrap_or_default() };
        let or_dash = |at: Option<DateTime<Utc>>| at.map_or_else(|| "-".to_owned(), instant);
        shown.add_row([
            commit.version.to_string(),
            instant(commit.committed_at),
            mode.to_owned(),
            or_dash(commit.after),
            or_dash(commit.watermark),
            commit.rows.to_string(),
            commit.files.to_string(),
            commit.run_id.clone(),
        ]);
    }
    for column in [0, 5, 6] {
        if let Some(column) = shown.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    shown
}

/// The table with its numbers, from this column on, to the right.
pub(super) fn right(mut table: Table, from: usize) -> Table {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn rebuild_text(summary: &RebuildSummary) -> String {
    let RebuildSummary { pipeline, account, destination, .. } = summary;
    let mut text = format!("{pipeline}: account {account} in {destination}\n");
    for report in &summary.reports {
        text += &rebuilt_text(report, destination, summary.dry_run);
    }
    for path in &summary.moved {
        text += &format!("\ndamaged file of the table of runs moved to: {path}\n");
    }
    text
}

fn rebuilt_text(report: &ReportRebuild, destination: &str, dry_run: bool) -> String {
    let name = &report.report;
    let version = report.version.unwrap_or_default();
    let mut text = match report.result {
        RebuildResult::Nothing => {
            format!("\n{name}: nothing is stored in {destination} that a log could be rebuilt from\n")
        }
        RebuildResult::Sound => format!("\n{name}: commit {version} matches the tables, nothing to rebuild\n"),
        RebuildResult::Failed | RebuildResult::Refused => format!("\n{name}: not rebuilt\n"),
        RebuildResult::Rebuilt => {
            let done = if dry_run { "would be rebuilt" } else { "rebuilt" };
            let watermark = report.watermark.map_or_else(|| "none, the next run reads everything".to_owned(), instant);
            format!("\n{name}: {done} as commit {version}\n  watermark: {watermark}\n")
        }
    };
    for path in &report.moved {
        text += &format!("  {}: {path}\n", if dry_run { "would be moved to" } else { "moved to" });
    }
    for LossSummary { path, reason } in &report.damaged {
        text += &format!("  replaced or not needed: `{path}`: {reason}\n");
    }
    for LossSummary { path, reason } in &report.lost {
        text += &format!("  lost: `{path}`: {reason}\n");
    }
    for LossSummary { path, reason } in &report.refused {
        text += &format!("  not from this program: `{path}`: {reason}\n");
    }
    if !report.tables.is_empty() {
        text += &format!("{}\n", tables(&report.tables));
    }
    if let Some(error) = report.error.as_ref().filter(|_| report.result == RebuildResult::Rebuilt) {
        text += &format!("note: {}\nhelp: {}\n", error.message, error.advice);
    }
    text
}
