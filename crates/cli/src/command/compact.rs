//! `ctct-etl compact`: joins the small files of a pipeline's tables. Makes no API requests.

use comfy_table::CellAlignment;
use ctct_load::WriteMode;
use ctct_pipeline::maintain::{CompactSummary, CompactedReport};
use ctct_pipeline::{Context, Plan};

use super::with_plan;
use crate::args::{CompactArguments, Global};
use crate::logging;
use crate::printer::print_done;
use crate::reporter;
use crate::reporter::ending::{Reason, give};
use crate::reporter::summary::bytes;
use crate::text_table::text_table;

/// Joins the files and says what became of them.
pub(crate) fn compact(global: &Global, arguments: &CompactArguments) -> u8 {
    logging::start(global, &reporter::canvas(global));
    let (file, reports) = (&arguments.pipeline.file, &arguments.only.reports);
    with_plan(file, reports, global, async |plan, context| carry_out(plan, context, global, arguments.dry_run).await)
}

async fn carry_out(plan: &Plan, context: &Context, global: &Global, dry_run: bool) -> u8 {
    let summary = match ctct_pipeline::maintain::compact(plan, context, dry_run).await {
        Ok(summary) => summary,
        Err(error) => {
            let (code, error) = (error.outcome().policy().exit_code, error.summary(plan.pipeline.file()));
            give(code, [Reason::of_all(&error)]);
            return code;
        }
    };
    if !global.quiet {
        print_done(&text(&summary));
    }
    let code = summary.outcome().policy().exit_code;
    let reports = summary.reports.iter();
    give(code, reports.filter_map(|report| Some(Reason::of(&report.report, report.error.as_ref()?))));
    code
}

fn text(summary: &CompactSummary) -> String {
    let what = if summary.dry_run { "small files that would be joined" } else { "small files" };
    let mut text = format!("{}: {what} in {}\n", summary.pipeline, summary.destination);
    let mut table = text_table(["table", "partitions", "files", "bytes", "joined into", "bytes", "commit"]);
    for report in &summary.reports {
        for joined in &report.tables {
            let done = report.commit.is_some();
            let or_dash = |text: String| if done { text } else { "-".to_owned() };
            table.add_row([
                joined.table.clone(),
                joined.partitions.to_string(),
                joined.files.to_string(),
                bytes(joined.bytes),
                or_dash(joined.joined_files.to_string()),
                or_dash(bytes(joined.joined_bytes)),
                report.commit.map_or_else(|| "-".to_owned(), |commit| commit.to_string()),
            ]);
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    if !table.is_empty() {
        text += &format!("{table}\n");
    }
    for report in &summary.reports {
        if let Some(why) = nothing_to_join(report, &summary.destination) {
            text += &format!("{}: {why}\n", report.report);
        }
    }
    text
}

/// Why nothing of a report is joined.
fn nothing_to_join(report: &CompactedReport, destination: &str) -> Option<String> {
    let why = match report.write_mode {
        _ if report.error.is_some() => "not changed, see the error",
        _ if !report.tables.is_empty() => return None,
        None => return Some(format!("nothing is stored yet in {destination}")),
        Some(WriteMode::Merge) => "nothing to join: a merged table has one file per partition",
        Some(_) => "nothing to join",
    };
    Some(why.to_owned())
}

#[cfg(test)]
mod tests {
    use ctct_load::TableCompaction;
    use ctct_pipeline::{ErrorSummary, Outcome};

    use super::*;

    fn report(name: &str, write_mode: Option<WriteMode>) -> CompactedReport {
        CompactedReport {
            report: name.to_owned(),
            outcome: Outcome::Done,
            write_mode,
            commit: None,
            tables: Vec::new(),
            error: None,
        }
    }

    fn summary(dry_run: bool) -> CompactSummary {
        let table = |table: &str, files, bytes| TableCompaction {
            table: table.to_owned(),
            partitions: 3,
            files,
            bytes,
            joined_files: if dry_run { 0 } else { 3 },
            joined_bytes: if dry_run { 0 } else { bytes / 2 },
        };
        let contacts = CompactedReport {
            commit: (!dry_run).then_some(31),
            tables: vec![table("contacts", 27, 810_000), table("contacts_taggings", 21, 210_000)],
            ..report("contacts", Some(WriteMode::Append))
        };
        let failed = CompactedReport {
            outcome: Outcome::Held,
            error: Some(ErrorSummary { message: "what".to_owned(), advice: "next".to_owned() }),
            ..report("contact_action_summary", Some(WriteMode::Append))
        };
        CompactSummary {
            pipeline: "acme".to_owned(),
            destination: "/data/acme".to_owned(),
            dry_run,
            reports: vec![
                contacts,
                report("contact_lists", Some(WriteMode::Merge)),
                report("email_campaigns", Some(WriteMode::Replace)),
                report("contact_activity_details", None),
                failed,
            ],
        }
    }

    #[test]
    fn a_dry_run_says_what_would_be_joined() {
        insta::assert_snapshot!(text(&summary(true)));
    }

    #[test]
    fn a_compaction_says_what_became_of_the_files() {
        insta::assert_snapshot!(text(&summary(false)));
    }
}
