//! The main job: all five reports, every table equal to the sandbox's truth.

use ctct_pipeline::Outcome;
use serde_json::json;

use crate::harness::{Harness, now};
use crate::truth::{Tables, add, comparable};

const ALL: &str = "
  - report: contacts
    partition_by: [{month: created_at}]
    write_mode: replace
  - report: contact_lists
  - report: email_campaigns
  - report: contact_action_summary
    contact_id: {from: contacts}
    duration: date_range
    start_date: {days_back: 90}
    end_date: {days_back: 0}
  - report: contact_activity_details
    contact_id: {from: contacts}
";

/// Everything that the sandbox knows, as tables.
fn truth(harness: &Harness) -> Tables {
    let account = harness.sandbox.account();
    let mut tables = Tables::new();
    let (start, end) = (now() - chrono::TimeDelta::hours(12 + 90 * 24), now() + chrono::TimeDelta::hours(12));
    for index in 0..account.contacts() {
        add(&mut tables, "contacts", &account.contact(index), &["contact_id"]);
        for summary in account.activity_summary(index, start.timestamp_millis(), end.timestamp_millis() - 1) {
            let mut summary = serde_json::to_value(summary).unwrap();
            summary["contact_id"] = json!(account.contact_id(index));
            add(&mut tables, "contact_action_summary", &summary, &["contact_id"]);
        }
        for activity in account.activities(index) {
            add(&mut tables, "contact_activity_details", &activity, &["contact_id"]);
        }
    }
    for (list, members) in account.lists().iter().zip(&account.census().lists) {
        let mut list = serde_json::to_value(list).unwrap();
        list["membership_count"] = json!(members.all);
        add(&mut tables, "contact_lists", &list, &["list_id"]);
    }
    for campaign in account.campaigns() {
        add(&mut tables, "email_campaigns", campaign, &["campaign_id"]);
    }
    tables
}

#[tokio::test(flavor = "multi_thread")]
async fn five_reports_equal_the_truth() {
    let harness = Harness::new(1_200).await;
    let summary = harness.run(ALL).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    let truth = truth(&harness);
    assert!(truth.len() == 13, "the sandbox fills every table: {:?}", truth.keys());
    for (table, expected) in &truth {
        let mut rows = harness.rows(table);
        for row in &mut rows {
            // The period is what was asked, not what the API sent.
            row.remove("period_start");
            row.remove("period_end");
        }
        let (found, expected) = (comparable(&rows), comparable(expected));
        assert_eq!(found.len(), expected.len(), "rows of {table}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "in {table}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_summary_counts_what_was_written() {
    let harness = Harness::new(700).await;
    let summary = harness.run(ALL).await;
    for report in &summary.reports {
        assert_eq!((report.commit, report.dead_letters, report.drift.len()), (Some(1), 0, 0), "{}", report.report);
        for table in &report.tables {
            assert_eq!(table.rows, harness.rows(&table.table).len() as u64, "{}", table.table);
        }
    }
    // Two pages of contacts, one of lists and of campaigns, and one or more for each contact of the two others.
    let log = harness.sandbox.requests();
    assert_eq!(summary.api.requests, log.with_status(200));
    assert!(summary.api.requests >= 4 + 2 * 700, "{}", summary.api.requests);
}
