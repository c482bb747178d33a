//! Whole runs: whatever the store, the tables hold the truth, after the first run and after the next.

use std::collections::BTreeMap;

use ctct_pipeline::{Outcome, RunSummary};

use crate::harness::Harness;
use crate::store::Store;
use crate::truth::{Tables, add, comparable};

const MODES: [&str; 4] = ["append", "merge", "replace", "partition"];

pub(crate) fn contacts(mode: &str) -> String {
    format!(
        "  - report: contacts\n    write_mode: {mode}\n    partition_by: [{{bucket: {{column: contact_id, count: 2}}}}]\n"
    )
}

pub(crate) async fn run(harness: &Harness, store: &Store, run_id: &str, reports: &str) -> RunSummary {
    ctct_pipeline::run(&harness.plan(&store.pipeline(harness, reports)), &store.context(harness, run_id)).await
}

/// What the tables of contacts must hold.
pub(crate) fn truth(harness: &Harness) -> Tables {
    let account = harness.sandbox.account();
    let mut tables = Tables::new();
    for index in 0..account.contacts() {
        add(&mut tables, "contacts", &account.contact(index), &["contact_id"]);
    }
    tables
}

/// Compares every table with the truth.
pub(crate) async fn holds(store: &Store, truth: &Tables, what: &str) {
    for (table, rows) in truth {
        let mut expected: BTreeMap<String, usize> = BTreeMap::new();
        for row in comparable(rows) {
            *expected.entry(row).or_default() += 1;
        }
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for row in comparable(&store.rows(table).await) {
            *found.entry(row).or_default() += 1;
        }
        assert!(found == expected, "{table} on {}, {what}: {} rows, not {}", store.name, found.len(), expected.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_leave_the_truth_on_every_store() {
    let harness = Harness::new(60).await;
    let truth = truth(&harness);
    assert!(truth.len() > 5, "the account has child tables: {:?}", truth.keys());
    for mode in MODES {
        for store in Store::all(mode) {
            for number in ["first", "second"] {
                let summary = run(&harness, &store, number, &contacts(mode)).await;
                assert_eq!(summary.outcome, Outcome::Done, "{mode} on {}: {summary:#?}", store.name);
                holds(&store, &truth, mode).await;
            }
            let state = store.keys("_ctct").await;
            let lasts =
                |key: &String| ["/commits/", "/manifest/", "/seen/", "/.probe/"].iter().any(|part| key.contains(part));
            assert!(state.iter().all(lasts), "{mode} on {} leaves nothing else: {state:?}", store.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_takes_its_ids_from_a_table_in_any_store() {
    let harness = Harness::new(20).await;
    let reports = "  - {report: contacts, write_mode: replace}\n  - {report: contact_activity_details, contact_id: {from: contacts}}\n";
    for store in Store::all("ids") {
        let summary = run(&harness, &store, "run", reports).await;
        assert_eq!(summary.outcome, Outcome::Done, "{}: {summary:#?}", store.name);
        assert!(!store.rows("contact_activity_details").await.is_empty(), "{}", store.name);
    }
}
