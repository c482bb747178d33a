//! How the rows of a run meet those that are there, and what always holds of the folders: over two runs and more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ctct_pipeline::Outcome;
use ctct_pipeline::after_run::RUNS_TABLE;
use serde_json::{Value, json};

use crate::harness::{Harness, sandbox_of};
use crate::scripted::{Answer, Scripted};
use crate::tables::{self, Row};
use crate::truth::{Tables, add, comparable};

const CONTACTS: &str = "  - report: contacts\n";
const LISTS: &str = "  - report: contact_lists\n";
const SNAPSHOT: &str = "
  - {report: contacts, write_mode: replace, max_removed: 100%}
  - {report: contact_lists, write_mode: replace, max_removed: 100%}
  - {report: contact_activity_details, contact_id: {from: contacts}, write_mode: replace, max_removed: 100%}
";

/// Contacts and their child tables, as the harness's sandbox knows them.
fn truth(harness: &Harness) -> Tables {
    let account = harness.sandbox.account();
    let mut tables = Tables::new();
    for index in 0..account.contacts() {
        add(&mut tables, "contacts", &account.contact(index), &["contact_id"]);
    }
    tables
}

fn equals(harness: &Harness, truth: &Tables) {
    for (table, expected) in truth {
        assert_eq!(comparable(&harness.rows(table)), comparable(expected), "{table}");
    }
}

/// Rows by their commit.
fn by_commit(rows: &[Row]) -> BTreeMap<i64, usize> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row["_commit"].as_i64().unwrap()).or_default() += 1;
    }
    counts
}

/// Every file below a folder.
fn all_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { all_files(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn replace_leaves_nothing_of_a_larger_snapshot() {
    let mut harness = Harness::new(300).await;
    assert_eq!(harness.run(SNAPSHOT).await.outcome, Outcome::Done);
    harness.serve(sandbox_of(20)).await;
    let summary = harness.run(SNAPSHOT).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    equals(&harness, &truth(&harness));
    assert_eq!(by_commit(&harness.rows("contacts")), BTreeMap::from([(2, 20)]));
    let known: BTreeSet<String> = (0..20).map(|index| harness.sandbox.account().contact_id(index)).collect();
    for row in harness.rows("contact_activity_details") {
        assert!(known.contains(row["contact_id"].as_str().unwrap()));
    }

    // Replaced by nothing: the tables are there and empty.
    harness.serve(sandbox_of(0)).await;
    assert_eq!(harness.run(SNAPSHOT).await.outcome, Outcome::Done);
    for table in ["contacts", "contacts_taggings", "contact_activity_details"] {
        assert_eq!(harness.rows(table).len(), 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replace_may_change_the_partitions_and_append_may_not() {
    let harness = Harness::new(40).await;
    let by = |mode: &str, by: &str| format!("{CONTACTS}    write_mode: {mode}\n    partition_by: {by}\n");
    for partition in
        ["{year: created_at}", "{bucket: {column: contact_id, count: 3}}", "email_address_permission_to_send"]
    {
        let summary = harness.run(&by("replace", partition)).await;
        assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
        assert_eq!(harness.rows("contacts").len(), 40, "{partition}");
        for (table, rows) in truth(&harness) {
            assert_eq!(harness.rows(&table).len(), rows.len(), "{table} by {partition}");
        }
    }
    let summary = harness.run(&by("append", "{year: created_at}")).await;
    assert_eq!(summary.exit_code, 2, "{summary:#?}");
    assert_eq!(harness.rows("contacts").len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_replaces_what_a_run_touches_and_nothing_else() {
    let harness = Harness::new(200).await;
    let by_year = format!("{CONTACTS}    write_mode: partition\n    partition_by: {{year: created_at}}\n");
    harness.run(&by_year).await;
    let summary = harness.run(&format!("{by_year}    created_after: 2026-01-01\n")).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    equals(&harness, &truth(&harness));
    let mut seen = BTreeSet::new();
    for table in harness.catalog.get("contacts").unwrap().tables() {
        for file in tables::files(&harness.folder().join(&table.name)) {
            let touched = file.to_string_lossy().contains("created_at_year=2026/");
            for row in tables::rows_of(&file) {
                let commit = row["_commit"].as_i64().unwrap();
                assert_eq!(commit, if touched { 2 } else { 1 }, "{}", file.display());
                seen.insert(commit);
            }
        }
    }
    assert_eq!(seen, BTreeSet::from([1, 2]), "the account has contacts of this year and of earlier ones");
}

#[tokio::test(flavor = "multi_thread")]
async fn child_rows_live_with_their_parents_and_every_key_closes() {
    let harness = Harness::new(150).await;
    let reports = "
  - {report: contacts, write_mode: replace, partition_by: [{year: created_at}, {bucket: {column: contact_id, count: 3}}]}
  - {report: contact_activity_details, contact_id: {from: contacts}}
";
    assert_eq!(harness.run(reports).await.outcome, Outcome::Done);
    let report = harness.catalog.get("contacts").unwrap();
    // For each table, its keys and the partition that each stands in.
    let mut keys: Vec<BTreeMap<String, PathBuf>> = Vec::new();
    for table in report.tables() {
        let root = harness.folder().join(&table.name);
        let mut found = BTreeMap::new();
        for file in tables::files(&root) {
            let partition = file.parent().unwrap().strip_prefix(&root).unwrap().to_owned();
            for row in tables::rows_of(&file) {
                let key = key_of(&row, table.key.iter().map(String::as_str));
                assert_eq!(found.insert(key, partition.clone()), None, "a key stands twice in {}", table.name);
                let parent = table.parent.map(|parent| &report.tables()[parent]);
                if let Some(parent) = parent {
                    // A list nested in a list names its parent's place among the columns that it carries.
                    let renamed =
                        |name: &str| if name == "_ordinal" { "_parent_ordinal".to_owned() } else { name.to_owned() };
                    let names: Vec<String> = parent.key.iter().map(|name| renamed(name)).collect();
                    let key = key_of(&row, names.iter().map(String::as_str));
                    let parents = &keys[table.parent.unwrap()];
                    assert_eq!(parents.get(&key), Some(&partition), "{}: no parent {key}", table.name);
                }
            }
        }
        keys.push(found);
    }
    assert!(keys.iter().all(|keys| !keys.is_empty()), "the account fills every table");
    for row in harness.rows("contact_activity_details") {
        assert!(keys[0].contains_key(&key_of(&row, ["contact_id"].into_iter())));
    }
}

fn key_of<'a>(row: &Row, names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| row.get(name).unwrap_or(&Value::Null).to_string()).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_hold_committed_files_only_and_all_else_stands_apart() {
    let harness = Harness::new(30).await;
    harness.run(&format!("{CONTACTS}{LISTS}")).await;
    harness.run(&format!("{CONTACTS}    write_mode: replace\n{LISTS}")).await;
    let tables: BTreeSet<&str> =
        harness.catalog.reports().flat_map(|report| report.tables()).map(|table| table.name.as_str()).collect();
    for file in all_files(harness.folder()) {
        let below = file.strip_prefix(harness.folder()).unwrap().to_str().unwrap();
        let levels: Vec<&str> = below.split('/').collect();
        if levels[0] == "_ctct" {
            assert!(
                below == "_ctct/.probe/created"
                    || levels[1] == ".leases"
                    || (levels[1] == "acme" && ["commits", "manifest", "seen"].contains(&levels[3])),
                "{below}"
            );
        } else {
            assert!(
                (tables.contains(levels[0]) || levels[0] == RUNS_TABLE)
                    && levels[1] == "account=acme"
                    && below.ends_with(".parquet"),
                "{below}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_share_tables_and_not_rows() {
    let mut harness = Harness::new(30).await;
    assert_eq!(harness.run(SNAPSHOT).await.outcome, Outcome::Done);
    let acme = truth(&harness);
    harness.serve(ctct_sandbox::SandboxConfig { seed: 8, ..sandbox_of(12) }).await;
    let other = |harness: &Harness| harness.pipeline(SNAPSHOT).replace("account: acme", "account: other");
    for _ in 0..2 {
        assert_eq!(harness.run_text(&other(&harness)).await.outcome, Outcome::Done);
    }
    for (account, rows) in [("acme", &acme["contacts"]), ("other", &truth(&harness)["contacts"])] {
        let found = tables::rows(&harness.folder().join(format!("contacts/account={account}")));
        assert_eq!(comparable(&found), comparable(rows), "{account}");
    }
    let ids: BTreeSet<String> =
        harness.rows("contact_activity_details").iter().map(|row| row["contact_id"].to_string()).collect();
    assert!(ids.len() > 30, "both accounts have events: {}", ids.len());
    assert_eq!(by_commit(&harness.rows("contacts")), BTreeMap::from([(1, 30), (2, 12)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_after_a_failed_report_brings_what_was_missing() {
    let harness = Harness::new(25).await;
    let bad = Scripted::start([
        ("/contacts", vec![Answer::refusal(400, "bad")]),
        ("/contact_lists", vec![Answer::json(&json!({"lists": [{"list_id": "1", "name": "Old"}]}))]),
    ])
    .await;
    let reports = format!("{CONTACTS}{LISTS}");
    assert_eq!(harness.run_at(bad.base_url(), &reports).await.exit_code, 14);
    let summary = harness.run(&reports).await;
    assert_eq!(summary.exit_code, 0, "{summary:#?}");
    let commits: Vec<_> = summary.reports.iter().map(|report| (report.report.as_str(), report.commit)).collect();
    assert_eq!(commits, [("contacts", Some(1)), ("contact_lists", Some(2))]);
    equals(&harness, &truth(&harness));

    // And one that fails later takes nothing away.
    assert_eq!(harness.run_at(bad.base_url(), &format!("{CONTACTS}    write_mode: replace\n")).await.exit_code, 14);
    equals(&harness, &truth(&harness));
}
