//! `ctct-etl compact` as its users meet it: what it says, and that rows stay what they are.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::program::{Said, run};
use crate::tables;

/// Three runs that append lists, each of an account with more lists; contacts are replaced.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for lists in 1..=3 {
        write_pipeline(folder.path(), lists);
        let said = run(folder.path(), &["run", "p.yaml", "--report", "contacts", "--report", "contact_lists"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
    }
    folder
}

fn write_pipeline(folder: &Path, lists: u64) {
    let lists = 20 * lists;
    let text = format!(
        "
version: 1
name: small
source:
  sandbox: {{contacts: 30, lists: {lists}, today: 2026-03-01, requests_per_second: 5000, burst: 5000, daily_requests: 100000}}
destination: {{url: ./out}}
reports:
  - {{report: contacts, write_mode: replace}}
  - {{report: contact_lists, write_mode: append}}
  - {{report: email_campaigns}}
"
    );
    fs::write(folder.join("p.yaml"), text).unwrap();
}

/// What was said, without sizes and folders.
fn shown(folder: &Path, said: &Said) -> String {
    let text = said.stdout.replace(folder.to_str().unwrap(), "[folder]");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(words).collect::<Vec<_>>().join("\n")
}

fn filtered(name: &str, text: &str) {
    insta::with_settings!({filters => vec![(r"\d+(\.\d)? (kB|MB|B)\b", "[bytes]"), (r"[─═]{5,}", "────")], omit_expression => true}, {
        insta::assert_snapshot!(name, text);
    });
}

/// The rows of a table, in one order.
fn sorted_rows(folder: &Path, table: &str) -> Vec<String> {
    let rows = tables::rows(&folder.join("out").join(table));
    let mut rows: Vec<String> = rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
    rows.sort();
    rows
}

#[test]
fn compact_joins_small_files_and_rows_stay() {
    let folder = folder();
    let folder = folder.path();
    let files = |table: &str| fs::read_dir(folder.join("out").join(table).join("account=sandbox")).unwrap().count();
    assert_eq!((files("contacts"), files("contact_lists")), (1, 3));
    let before = sorted_rows(folder, "contact_lists");

    let dry = run(folder, &["compact", "p.yaml", "--dry-run"]);
    assert_eq!((dry.code, dry.stderr.as_str()), (Some(0), ""));
    filtered("compact_dry_run", &shown(folder, &dry));
    assert_eq!(files("contact_lists"), 3);

    let done = run(folder, &["compact", "p.yaml"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    filtered("compact", &shown(folder, &done));
    assert_eq!(files("contact_lists"), 1);
    assert_eq!(sorted_rows(folder, "contact_lists"), before);

    let again = run(folder, &["compact", "p.yaml", "--report", "contact_lists"]);
    assert_eq!(shown(folder, &again), "small: small files in [folder]/out\ncontact_lists: nothing to join");
    // The next run goes on from there.
    write_pipeline(folder, 4);
    assert_eq!(run(folder, &["run", "p.yaml", "--report", "contact_lists"]).code, Some(0));
    assert!(sorted_rows(folder, "contact_lists").len() > before.len());
}

#[test]
fn a_report_that_the_pipeline_lacks_is_refused() {
    let folder = TempDir::new().unwrap();
    write_pipeline(folder.path(), 1);
    let said = run(folder.path(), &["compact", "p.yaml", "--report", "contact_action_summary"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
}
