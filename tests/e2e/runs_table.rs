//! The table of runs: one row for each report and run, whatever became of it, and nothing that rests on it.

use std::fs;

use ctct_pipeline::after_run::RUNS_TABLE;
use ctct_pipeline::{Context, Outcome};
use ctct_sandbox::Faults;
use serde_json::{Value, json};

use crate::harness::{Harness, report, sandbox_of, today};
use crate::program;
use crate::tables::{self, Row};

const REPORTS: &str =
    "  - report: contacts\n    write_mode: merge\n  - report: contact_lists\n    write_mode: replace\n";

/// Runs the reports under a name of the run's own.
async fn run(harness: &Harness, run_id: &str) -> ctct_pipeline::RunSummary {
    let text = harness.pipeline(REPORTS) + "retry: {attempts: 1}\n";
    ctct_pipeline::run(&harness.plan(&text), &harness.context(run_id)).await
}

/// All rows, by run and report.
fn rows(harness: &Harness) -> Vec<Row> {
    let mut rows = harness.rows(RUNS_TABLE);
    rows.sort_by_key(|row| (row["run_id"].to_string(), row["report"].to_string()));
    rows
}

fn cells(row: &Row, names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| row.get(*name).cloned().unwrap_or_default()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_says_what_the_summary_says() {
    let harness = Harness::new(40).await;
    let first = run(&harness, "019a").await;
    let second = run(&harness, "019b").await;
    assert_eq!((first.outcome, second.outcome), (Outcome::Done, Outcome::Done));
    let of_reports: u64 = first.reports.iter().map(|report| report.api.requests).sum();
    assert_eq!(of_reports + 1, first.api.requests, "and whose account it is");

    let rows = rows(&harness);
    let keys: Vec<_> = rows.iter().map(|row| cells(row, &["run_id", "report"])).collect();
    let key = |run, report| vec![json!(run), json!(report)];
    assert_eq!(
        keys,
        [key("019a", "contact_lists"), key("019a", "contacts"), key("019b", "contact_lists"), key("019b", "contacts")]
    );
    for (row, summary) in [(&rows[1], &first), (&rows[3], &second)] {
        let contacts = report(summary, "contacts");
        let written = |of: fn(&ctct_pipeline::TableSummary) -> u64| contacts.tables.iter().map(of).sum::<u64>();
        assert_eq!(
            cells(row, &["pipeline", "scope", "write_mode", "outcome", "exit_code", "error", "commit_version"]),
            [
                json!("test"),
                json!("incremental"),
                json!("merge"),
                json!("done"),
                json!(0),
                json!(null),
                json!(contacts.commit)
            ]
        );
        assert_eq!(
            cells(row, &["rows", "pages", "requests", "retries", "read_bytes", "dead_letters", "drift_fields"]),
            [
                json!(contacts.rows),
                json!(contacts.pages),
                json!(contacts.api.requests),
                json!(0),
                json!(contacts.api.bytes),
                json!(0),
                json!(contacts.drift.len())
            ]
        );
        assert_eq!(
            cells(row, &["written_rows", "written_files", "written_bytes"]),
            [json!(written(|t| t.rows)), json!(written(|t| t.files)), json!(written(|t| t.bytes))]
        );
    }
    assert!(rows[1]["requests"].as_u64() > Some(0) && rows[1]["rows"] == json!(40));
    let watermark = |row: &Row, name: &str| row.get(name).map(|at| at.as_str().unwrap()[..10].to_owned());
    assert_eq!(watermark(&rows[1], "watermark_before"), None);
    assert_eq!(watermark(&rows[3], "watermark_before"), Some(today().to_string()));
    assert!(rows[1].get("window_from").is_none() && rows[3].get("window_from").is_some(), "{:?}", rows[3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_has_its_rows_too() {
    let mut harness = Harness::new(40).await;
    run(&harness, "019a").await;
    harness
        .serve(ctct_sandbox::SandboxConfig {
            faults: Faults { other_json: 1.0, ..Faults::default() },
            ..sandbox_of(40)
        })
        .await;
    let failed = run(&harness, "019b").await;
    assert_eq!(failed.outcome, Outcome::Transient);
    let rows = rows(&harness);
    let row = rows.last().unwrap();
    let error = report(&failed, "contacts").error.as_ref().unwrap();
    assert_eq!(
        cells(row, &["run_id", "exit_code", "outcome", "error", "advice", "commit_version"]),
        [json!("019b"), json!(12), json!("temporary failure"), json!(error.message), json!(error.advice), json!(null)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_a_refused_run_did_not_come_to_have_its_error() {
    let harness = Harness::new(10).await;
    let text = harness.pipeline("  - report: contact_action_summary\n    contact_id: [1618ae62-4752-11e9-9c8a-fa163e6b01c1, 1618ae62-4752-11e9-9c8a-fa163e6b01c2, 1618ae62-4752-11e9-9c8a-fa163e6b01c3]\n    duration: single_date\n    report_date: 2026-01-01\n");
    let text = text.replace("daily_requests: 100000000", "daily_requests: 2");
    let summary = ctct_pipeline::run(&harness.plan(&text), &harness.context("019a")).await;
    assert_eq!((summary.outcome, summary.reports.len()), (Outcome::Quota, 0));
    let rows = rows(&harness);
    let expected = [json!("contact_action_summary"), json!(11), json!(summary.error.unwrap().message), json!(0)];
    assert_eq!(
        rows.iter().map(|row| cells(row, &["report", "exit_code", "error", "requests"])).collect::<Vec<_>>(),
        [expected]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_written_changes_nothing() {
    let harness = Harness::new(10).await;
    // A file stands where the folder would be.
    fs::write(harness.folder().join(RUNS_TABLE), "in the way").unwrap();
    let summary = run(&harness, "019a").await;
    assert_eq!((summary.outcome, summary.exit_code), (Outcome::Done, 0), "{summary:#?}");
    assert_eq!(harness.rows("contacts").len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_takes_the_rows_for_a_reports_table() {
    let harness = Harness::new(10).await;
    run(&harness, "019a").await;
    let (plan, context) = (harness.plan(&harness.pipeline(REPORTS)), harness.context("look"));
    let verified = ctct_pipeline::maintain::verify(&plan, &context, false).await;
    assert_eq!(verified.outcome, Outcome::Done, "{verified:#?}");
    let state = ctct_pipeline::maintain::state(&plan, &context).await;
    assert_eq!(state.outcome, Outcome::Done, "{state:#?}");
    fs::remove_dir_all(harness.folder().join("_ctct/acme/contacts")).unwrap();
    let rebuilt =
        ctct_pipeline::maintain::rebuild(&plan, &Context { run_id: "mend".to_owned(), ..context }, false).await;
    assert_eq!(rebuilt.outcome, Outcome::Done, "{rebuilt:#?}");
    assert_eq!(run(&harness, "019b").await.outcome, Outcome::Done);
    assert_eq!(rows(&harness).len(), 4);
}

#[test]
fn a_plan_leaves_no_row_and_a_run_of_the_program_does() {
    let folder = tempfile::TempDir::new().unwrap();
    let text = "version: 1\nname: demo\nsource:\n  sandbox: {contacts: 5}\ndestination:\n  url: ./out\nreports:\n  - report: contacts\n";
    fs::write(folder.path().join("p.yaml"), text).unwrap();
    for (arguments, runs) in
        [(&["plan", "p.yaml"][..], 0), (&["run", "p.yaml", "--dry-run"], 0), (&["run", "p.yaml"], 1)]
    {
        assert_eq!(program::run(folder.path(), arguments).code, Some(0), "{arguments:?}");
        let table = folder.path().join("out").join(RUNS_TABLE);
        assert_eq!(if table.exists() { tables::rows(&table).len() } else { 0 }, runs, "{arguments:?}");
    }
}
