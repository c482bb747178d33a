//! A column that divides a report is held to be constant, and the API breaks that: the row moves, and is there once.

use ctct_pipeline::Outcome;
use serde_json::{Value, json};

use crate::harness::{Harness, report};
use crate::scripted::{Answer, Scripted};
use crate::tables::{self, Row};

fn id(number: u32) -> String {
    format!("{number:08x}-4752-11e9-9c8a-fa163e6b01c1")
}

fn contact(number: u32, created_at: Option<&str>, phone: &str) -> Value {
    let phone = json!({"phone_number_id": id(number + 100), "phone_number": phone, "kind": "home"});
    json!({
        "contact_id": id(number), "created_at": created_at, "updated_at": "2026-04-01T00:00:00Z", "phone_numbers": [phone],
        "list_memberships": [id(7), id(8)], "custom_fields": [], "street_addresses": [], "taggings": [], "notes": [],
    })
}

/// Rows that hold, with the month that their folder says.
fn open_rows(harness: &Harness, table: &str) -> Vec<(String, Row)> {
    let mut open = Vec::new();
    for file in tables::files(&harness.folder().join(table)) {
        let path = file.to_string_lossy().into_owned();
        let month = path.split("created_at_month=").nth(1).map(|rest| rest[..7].to_owned()).unwrap_or_default();
        let rows = tables::rows_of(&file).into_iter().filter(|row| row.get("_valid_to").is_none_or(Value::is_null));
        open.extend(rows.map(|row| (month.clone(), row)));
    }
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_changes_its_partition_moves_with_its_child_rows() {
    let [january, march, may] = ["2026-01-31T00:00:00Z", "2026-03-05T00:00:00Z", "2026-05-05T00:00:00Z"].map(Some);
    // What the first run reads of a contact, and what the second one reads, one version after the other.
    let cases: [(Option<&str>, Vec<Option<&str>>); 6] = [
        (january, vec![march]),
        (None, vec![march]),
        (january, vec![None]),
        (january, vec![march, may]),
        (january, vec![march, january]),
        (january, vec![january, march]),
    ];
    for history in [false, true] {
        for (before, after) in &cases {
            let reports = format!(
                "  - {{report: contacts, write_mode: merge, history: {history}, partition_by: [{{month: created_at}}]}}\n"
            );
            let first =
                json!({"contacts": [contact(1, *before, "1"), contact(2, january, "1"), contact(3, march, "1")]});
            let mut versions: Vec<Value> =
                (2..).zip(after).map(|(phone, at)| contact(1, *at, &format!("{phone}"))).collect();
            versions.push(contact(2, january, "1"));
            let second = json!({"contacts": versions});
            let server = Scripted::start([("/contacts", vec![Answer::json(&first), Answer::json(&second)])]).await;
            let harness = Harness::new(0).await;
            for number in 1..=3 {
                let summary = harness.run_at(server.base_url(), &reports).await;
                assert_eq!((summary.outcome, summary.exit_code), (Outcome::Done, 0), "run {number}: {summary:#?}");
                assert_eq!(report(&summary, "contacts").outdated, 0);
            }
            let last = after.last().copied().flatten();
            let month = last.map_or("__HIVE_".to_owned(), |at| at[..7].to_owned());
            for (table, count) in [("contacts", 1), ("contacts_phone_numbers", 1), ("contacts_list_memberships", 2)] {
                let open = open_rows(&harness, table);
                let of_one: Vec<_> = open.iter().filter(|(_, row)| row["contact_id"] == json!(id(1))).collect();
                let case = format!("{table} {before:?} {after:?} history {history}: {open:#?}");
                assert_eq!(of_one.len(), count, "{case}");
                assert!(of_one.iter().all(|(place, _)| *place == month), "{case}");
                assert_eq!(open.len(), 3 * count, "{case}");
            }
        }
    }
}
