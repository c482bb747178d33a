//! The small reports that say what the others refer to: custom fields, tags, segments, the account.

use std::collections::BTreeSet;

use ctct_pipeline::Outcome;
use serde_json::{Value, json};

use crate::harness::Harness;
use crate::tables::Row;
use crate::truth::{Tables, add, comparable};

const REPORTS: &str = "
  - {report: contact_custom_fields, write_mode: merge}
  - {report: contact_tags, write_mode: merge}
  - {report: segments, write_mode: merge}
  - {report: account_summary, write_mode: merge}
";

fn truth(harness: &Harness) -> Tables {
    let account = harness.sandbox.account();
    let names = ["contact_custom_fields", "contact_custom_fields_choices", "contact_tags", "segments"];
    let mut tables: Tables = names.map(|name| (name.to_owned(), Vec::new())).into();
    for field in account.custom_fields() {
        let mut field = serde_json::to_value(field).unwrap();
        // Ids are text, as those of the choices that contacts have.
        for choice in field["choices"].as_array_mut().into_iter().flatten() {
            choice["choice_id"] = json!(choice["choice_id"].to_string());
        }
        add(&mut tables, "contact_custom_fields", &field, &["custom_field_id"]);
    }
    for (tag, contacts) in account.tags().iter().zip(&account.census().tags) {
        let mut tag = serde_json::to_value(tag).unwrap();
        tag["contacts_count"] = json!(contacts);
        add(&mut tables, "contact_tags", &tag, &["tag_id"]);
    }
    for segment in account.segments() {
        add(&mut tables, "segments", &serde_json::to_value(segment).unwrap(), &["segment_id"]);
    }
    tables
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_account_defines_is_in_the_tables_whole() {
    let harness = Harness::new(40).await;
    let summary = harness.run(REPORTS).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    for (table, expected) in truth(&harness) {
        assert!(!expected.is_empty(), "{table}");
        assert_eq!(comparable(&harness.rows(&table)), comparable(&expected), "{table}");
    }
    let rows = harness.rows("account_summary");
    let [row]: &[Row; 1] = rows.as_slice().try_into().unwrap();
    assert_eq!((&row["organization_name"], &row["physical_address_city"]), (&json!("Sandbox"), &json!("Waltham")));
    assert!(row.get("_extra").is_none_or(Value::is_null), "{row:?}");
    assert!(summary.reports.iter().all(|report| report.drift.is_empty()), "{summary:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_asks_once_each_and_writes_nothing() {
    let harness = Harness::new(40).await;
    harness.run(REPORTS).await;
    let before = harness.sandbox.requests().total;
    let summary = harness.run(REPORTS).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    assert_eq!(harness.sandbox.requests().total - before, 4);
    assert_eq!(summary.rows(), 0, "{summary:#?}");
}

/// Columns of what contacts have, and the columns of the definitions that they refer to.
const JOINS: [[&str; 3]; 4] = [
    ["contacts_custom_fields", "contact_custom_fields", "custom_field_id"],
    ["contacts_custom_fields_choice_ids", "contact_custom_fields_choices", "choice_id"],
    ["contacts_taggings", "contact_tags", "tag_id"],
    ["contacts_list_memberships", "contact_lists", "list_id"],
];

#[tokio::test(flavor = "multi_thread")]
async fn what_contacts_refer_to_is_found_by_its_id() {
    let harness = Harness::new(400).await;
    let summary = harness.run(&format!("{REPORTS}  - {{report: contacts}}\n  - {{report: contact_lists}}\n")).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    for [from, to, column] in JOINS {
        let ids = |table: &str| -> BTreeSet<String> {
            harness.rows(table).iter().map(|row| row[column].as_str().unwrap().to_owned()).collect()
        };
        let (asked, known) = (ids(from), ids(to));
        assert!(!asked.is_empty(), "{from}");
        assert!(asked.is_subset(&known), "{from}: {:?}", asked.difference(&known));
    }
}
