//! Of several versions of a contact the one counts that is newer, whatever the server says of their dates, and each keeps the lists
//! that came with it. A list that did not come says nothing.

use std::collections::BTreeSet;

use ctct_pipeline::plan::Scope;
use ctct_pipeline::{Outcome, RunSummary};
use serde_json::{Value, json};

use crate::harness::{Harness, pipeline_at, report};
use crate::scripted::{Answer, Scripted};
use crate::tables::Row;

fn id(number: u32) -> String {
    format!("{number:08x}-4752-11e9-9c8a-fa163e6b01c1")
}

/// A contact with phones of these numbers; without phones where there are none to tell of.
fn contact(number: u32, name: &str, updated_at: &Value, phones: Option<&[u32]>) -> Value {
    let mut contact = json!({
        "contact_id": id(number), "first_name": name, "updated_at": updated_at, "created_at": "2026-01-05T00:00:00Z",
        "list_memberships": [id(7)], "custom_fields": [], "street_addresses": [], "taggings": [], "notes": [],
    });
    if let Some(phones) = phones {
        let phone =
            |phone: &u32| json!({"phone_number_id": id(*phone), "phone_number": phone.to_string(), "kind": "home"});
        contact["phone_numbers"] = phones.iter().map(phone).collect();
    }
    contact
}

fn page(contacts: &[Value], next: bool) -> Answer {
    let mut page = json!({"contacts": contacts});
    if next {
        page["_links"] = json!({"next": {"href": "/v3/contacts?cursor=2"}});
    }
    Answer::json(&page).dated("Sun, 01 Mar 2026 12:00:00 GMT")
}

/// Runs of these answers, one after the other, each to its end.
async fn runs(harness: &Harness, reports: &str, answers: Vec<Answer>, number: usize, scope: &Scope) -> Vec<RunSummary> {
    let server = Scripted::start([("/contacts", answers)]).await;
    let mut summaries = Vec::new();
    for number in 0..number {
        let plan = harness.plan(&pipeline_at(server.base_url(), reports));
        let plan = if number == 0 { plan } else { plan.with_scope(*scope).unwrap() };
        let summary = ctct_pipeline::run(&plan, &harness.context(&format!("run-{number}"))).await;
        assert_eq!(summary.outcome, Outcome::Done, "{reports}: {summary:#?}");
        summaries.push(summary);
    }
    summaries
}

/// Rows that hold.
fn open(harness: &Harness, table: &str) -> Vec<Row> {
    let mut rows = harness.rows(table);
    rows.retain(|row| row.get("_valid_to").is_none_or(Value::is_null));
    rows
}

/// For each version of a contact its name and the phones that came with it, found as the views find them.
fn versions(harness: &Harness) -> BTreeSet<String> {
    let phones = open(harness, "contacts_phone_numbers");
    let version = |row: &Row| {
        let same =
            |phone: &&Row| ["contact_id", "_commit", "_extracted_at"].iter().all(|name| phone[*name] == row[*name]);
        let phones: BTreeSet<&str> =
            phones.iter().filter(same).map(|phone| phone["phone_number"].as_str().unwrap()).collect();
        format!("{} {phones:?}", row["first_name"].as_str().unwrap())
    };
    open(harness, "contacts").iter().map(version).collect()
}

fn told(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_of_one_second_keep_the_lists_that_came_with_each() {
    let at = json!("2026-02-01T00:00:00Z");
    let old = contact(1, "Old", &at, Some(&[1, 2]));
    let new = contact(1, "New", &at, Some(&[3]));
    let two = || vec![page(std::slice::from_ref(&old), true), page(std::slice::from_ref(&new), false)];
    for (mode, pages, expected) in [
        ("append", vec![page(&[old.clone(), new.clone()], false)], vec![r#"New {"3"}"#]),
        ("append", two(), vec![r#"New {"3"}"#, r#"Old {"1", "2"}"#]),
        ("merge", two(), vec![r#"New {"3"}"#]),
        ("replace", two(), vec![r#"New {"3"}"#]),
        ("replace", vec![page(&[old.clone(), new.clone()], false)], vec![r#"New {"3"}"#]),
    ] {
        let harness = Harness::new(0).await;
        runs(&harness, &format!("  - {{report: contacts, write_mode: {mode}}}\n"), pages, 1, &Scope::Live).await;
        assert_eq!(versions(&harness), told(&expected), "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_that_tells_nothing_keeps_no_version_back() {
    // What is stored first, what comes then, and which of them counts.
    let cases = [
        ("2026-02-01T00:00:00Z", json!("2026-02-02T00:00:00Z"), "New"),
        ("2026-02-02T00:00:00Z", json!("2026-02-01T00:00:00Z"), "Old"),
        ("2026-02-01T00:00:00Z", Value::Null, "New"),
        ("2026-02-01T00:00:00Z", json!("soon"), "New"),
        ("2099-01-01T00:00:00Z", json!("2026-02-02T00:00:00Z"), "New"),
        ("2026-02-01T00:00:00Z", json!("2099-01-01T00:00:00Z"), "New"),
    ];
    for keys in ["", ", history: true", ", partition_by: [{month: created_at}]"] {
        for (before, after, expected) in &cases {
            let reports = format!("  - {{report: contacts, write_mode: merge{keys}}}\n");
            let harness = Harness::new(0).await;
            let old = page(&[contact(1, "Old", &json!(before), Some(&[1]))], false);
            let new = page(&[contact(1, "New", after, Some(&[1]))], false);
            let summaries = runs(&harness, &reports, vec![old, new], 2, &Scope::Live).await;
            let names: Vec<Value> = open(&harness, "contacts").iter().map(|row| row["first_name"].clone()).collect();
            assert_eq!(names, [json!(expected)], "{keys}: {before} then {after}");
            let outdated = report(&summaries[1], "contacts").outdated;
            assert_eq!(outdated > 0, *expected == "Old", "{keys}: {before} then {after}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_did_not_come_stays_whatever_takes_the_place_of_the_rows() {
    let at = json!("2026-02-01T00:00:00Z");
    let ways = [
        ("replace", Scope::Live),
        ("partition, partition_by: [{month: created_at}]", Scope::Live),
        ("merge", Scope::Live),
        ("merge", Scope::Everything),
        ("merge, history: true", Scope::Everything),
    ];
    for (mode, scope) in ways {
        let harness = Harness::new(0).await;
        let before = page(&[contact(1, "A", &at, Some(&[1, 2])), contact(2, "B", &at, Some(&[3]))], false);
        // The phones of the first did not come, and the second has none any more.
        let after = page(&[contact(1, "A2", &at, None), contact(2, "B2", &at, Some(&[]))], false);
        let reports = format!("  - {{report: contacts, write_mode: {mode}}}\n");
        let summaries = runs(&harness, &reports, vec![before, after], 3, &scope).await;
        let absent: Vec<&String> = report(&summaries[2], "contacts").absent.keys().collect();
        assert_eq!(absent, ["contacts_phone_numbers"], "{mode} {scope:?}");
        let phones: BTreeSet<String> = open(&harness, "contacts_phone_numbers")
            .iter()
            .map(|row| format!("{} {}", row["contact_id"].as_str().unwrap(), row["phone_number"].as_str().unwrap()))
            .collect();
        let kept = [1, 2].map(|phone| format!("{} {phone}", id(1)));
        assert_eq!(phones, kept.into(), "{mode} {scope:?}");
        let found = versions(&harness);
        if mode != "merge" && mode != "merge, history: true" {
            assert!(found.contains(r#"A2 {"1", "2"}"#), "{mode} {scope:?}: as views find them: {found:?}");
        }
    }
}
