//! Reports that are read by id: from the pipeline, from this run's contacts, from those of an earlier run.

use std::collections::BTreeSet;
use std::fs;

use ctct_pipeline::Outcome;

use crate::harness::{Harness, message, pipeline_at, report, sandbox_of};
use crate::scripted::{Answer, Scripted};
use crate::truth::{Tables, add, comparable};

const UNKNOWN: &str = "00000000-4752-11e9-9c8a-fa163e6b01c1";
const FROM_CONTACTS: &str = "  - {report: contact_activity_details, contact_id: {from: contacts}}\n";

fn events_of(ids: &str) -> String {
    format!("  - report: contact_activity_details\n    contact_id: {ids}\n")
}

/// The events of these contacts, by index.
fn truth(harness: &Harness, contacts: impl IntoIterator<Item = u64>) -> Vec<String> {
    let mut tables = Tables::new();
    for index in contacts {
        for activity in harness.sandbox.account().activities(index) {
            add(&mut tables, "events", &activity, &["contact_id"]);
        }
    }
    comparable(&tables["events"])
}

fn found(harness: &Harness) -> Vec<String> {
    comparable(&harness.rows("contact_activity_details"))
}

/// Contacts of the account that have events, by index.
fn with_events(harness: &Harness) -> Vec<u64> {
    let account = harness.sandbox.account();
    (0..account.contacts()).filter(|index| !account.activities(*index).is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_and_a_list_of_ids_read_these_contacts_alone() {
    for count in [1, 3] {
        let harness = Harness::new(40).await;
        let chosen = &with_events(&harness)[..count];
        let ids: Vec<String> = chosen.iter().map(|index| harness.sandbox.account().contact_id(*index)).collect();
        let ids = if let [id] = ids.as_slice() { id.clone() } else { format!("[{}]", ids.join(", ")) };
        let summary = harness.run(&events_of(&ids)).await;
        assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
        assert_eq!(found(&harness), truth(&harness, chosen.iter().copied()));
        assert_eq!(report(&summary, "contact_activity_details").api.requests, count as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_of_this_run_are_read_whatever_the_order_in_the_file() {
    let harness = Harness::new(40).await;
    let summary = harness.run(&format!("{FROM_CONTACTS}  - report: contacts\n")).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    assert_eq!(found(&harness), truth(&harness, 0..40));
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_of_earlier_runs_are_read_once_each_and_of_this_account_alone() {
    let mut harness = Harness::new(20).await;
    // Read twice, and divided by the very column that is read.
    for _ in 0..2 {
        assert_eq!(harness.run("  - {report: contacts, partition_by: [contact_id]}\n").await.outcome, Outcome::Done);
    }
    let config = ctct_sandbox::SandboxConfig { seed: 8, ..sandbox_of(5) };
    let theirs = Harness::with(config).await;
    let text = theirs
        .pipeline("  - {report: contacts, partition_by: [contact_id]}\n")
        .replace("account: acme", "account: other");
    let text = text.replace("url: .", &format!("url: {}", harness.folder().display()));
    assert_eq!(theirs.run_text(&text).await.outcome, Outcome::Done);

    harness.serve(sandbox_of(20)).await;
    let summary = harness.run(FROM_CONTACTS).await;
    assert_eq!((summary.outcome, report(&summary, "contact_activity_details").ids_not_found), (Outcome::Done, 0));
    assert_eq!(found(&harness), truth(&harness, 0..20));
    let asked: Vec<String> = harness.sandbox.requests().latest.into_iter().map(|request| request.target).collect();
    assert_eq!(asked.len(), asked.iter().collect::<BTreeSet<_>>().len(), "an id was asked twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_table_to_take_ids_from_the_run_says_what_to_do_and_asks_nothing() {
    let harness = Harness::new(5).await;
    let summary = harness.run(FROM_CONTACTS).await;
    assert_eq!((summary.outcome, summary.exit_code), (Outcome::Configuration, 2));
    let error = report(&summary, "contact_activity_details").error.as_ref().unwrap();
    insta::assert_snapshot!(format!("{}\n{}", error.message, error.advice), @"
    contact_activity_details: takes its ids from `contacts`, a table that the destination does not have
    add the report `contacts` to the pipeline if it is missing, and run it first: `ctct-etl run test.yaml --report contacts`
    ");
    assert_eq!(harness.sandbox.requests().total, 1, "nothing but whose account it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_the_api_does_not_know_is_counted_and_the_others_land() {
    let harness = Harness::new(10).await;
    let known = with_events(&harness)[0];
    let ids = format!("[{UNKNOWN}, {}]", harness.sandbox.account().contact_id(known));
    let summary = harness.run(&events_of(&ids)).await;
    let events = report(&summary, "contact_activity_details");
    assert_eq!((summary.outcome, events.ids_not_found, events.commit), (Outcome::Done, 1, Some(1)), "{summary:#?}");
    assert_eq!(found(&harness), truth(&harness, [known]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_unknown_ids_alone_fails_and_says_so() {
    let harness = Harness::new(10).await;
    let summary = harness.run(&events_of(UNKNOWN)).await;
    let events = report(&summary, "contact_activity_details");
    assert_eq!((summary.exit_code, events.ids_not_found, events.commit), (14, 1, None), "{summary:#?}");
    let error = events.error.as_ref().unwrap();
    insta::assert_snapshot!(format!("{}\n{}", error.message, error.advice), @"
    contact_activity_details: the API knows none of the 1 requested ids
    check the ids, and that the token belongs to their account
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_source_failed_is_not_run_and_says_why() {
    let harness = Harness::new(10).await;
    harness.run("  - report: contacts\n").await;
    let server = Scripted::start([("/contacts", vec![Answer::body("<html>")])]).await;
    let reports = format!("  - report: contacts\n{FROM_CONTACTS}");
    let text = pipeline_at(server.base_url(), &reports) + "retry: {attempts: 1}\n";
    let summary = harness.run_text(&text).await;
    assert_eq!((summary.outcome, summary.exit_code), (Outcome::Transient, 12), "{summary:#?}");
    let events = report(&summary, "contact_activity_details");
    assert!(message(events).contains("skipped: needs ids from `contacts`"), "{}", message(events));
    assert_eq!(server.asked().len(), 1, "ids of an earlier run are not taken instead: {:?}", server.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_that_a_killed_run_committed_and_did_not_publish_are_read_too() {
    let harness = Harness::new(15).await;
    assert_eq!(harness.run("  - report: contacts\n").await.outcome, Outcome::Done);
    let log = harness.folder().join("_ctct/acme/contacts/commits/00000000000000000001.json");
    let record: serde_json::Value = serde_json::from_slice(&fs::read(log).unwrap()).unwrap();
    for file in record["files"].as_array().unwrap() {
        let at = |key: &str| harness.folder().join(file[key].as_str().unwrap());
        fs::create_dir_all(at("staged").parent().unwrap()).unwrap();
        fs::rename(at("path"), at("staged")).unwrap();
    }
    assert_eq!(harness.run(FROM_CONTACTS).await.outcome, Outcome::Done);
    assert_eq!(found(&harness), truth(&harness, 0..15));
    assert_eq!(harness.rows("contacts").len(), 15);
}
