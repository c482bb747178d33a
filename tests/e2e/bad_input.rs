//! What the world does wrong, and what a run makes of it: every line of "bad input" has a test here.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use arrow_schema::DataType;
use ctct_pipeline::Outcome;
use ctct_pipeline::after_run::RUNS_TABLE;
use ctct_sandbox::{Faults, Quirks, SandboxConfig};
use serde_json::{Value, json};

use crate::harness::{Harness, message, pipeline_at, report, sandbox_of};
use crate::program;
use crate::scripted::{Answer, Scripted};
use crate::tables::{self, Row};
use crate::truth::{Tables, add, comparable};

const LISTS: &str = "  - report: contact_lists\n";
const CONTACTS: &str = "  - report: contacts\n";
const CAMPAIGNS: &str = "  - report: email_campaigns\n";
const EVENTS: &str = "  - report: contact_activity_details\n    contact_id: {from: contacts}\n";

fn id(number: u32) -> String {
    format!("{number:08x}-4752-11e9-9c8a-fa163e6b01c1")
}

fn contact(number: u32) -> Value {
    json!({"contact_id": id(number), "first_name": "Ann", "created_at": "2026-01-31T00:00:00Z"})
}

fn contacts(rows: &[Value]) -> Answer {
    Answer::json(&json!({"contacts": rows}))
}

fn one_list() -> Answer {
    Answer::json(&json!({"lists": [{"list_id": id(1), "name": "News"}]}))
}

/// A run of contacts and lists against a server that answers the contacts so.
async fn contacts_answered(harness: &Harness, answers: Vec<Answer>) -> (ctct_pipeline::RunSummary, Scripted) {
    let server = Scripted::start([("/contacts", answers), ("/contact_lists", vec![one_list()])]).await;
    let text = pipeline_at(server.base_url(), &format!("{CONTACTS}{LISTS}")) + "retry: {attempts: 2}\n";
    (harness.run_text(&text).await, server)
}

/// Contacts failed alone: nothing of them is there, and the lists are committed.
fn only_contacts_failed(harness: &Harness, summary: &ctct_pipeline::RunSummary) {
    assert_eq!((summary.outcome, summary.exit_code), (Outcome::Partial, 14), "{summary:#?}");
    // Pages that came before stay for the next run.
    let commits = ["contacts", "contact_lists"].map(|name| report(summary, name).commit);
    assert_eq!(commits, [None, Some(1)], "{summary:#?}");
    assert_eq!(harness.rows("contact_lists").len(), 1);
    assert!(!harness.folder().join("contacts").exists(), "a table of a report that was not committed");
    for state in ["staging", "commits"] {
        let state = harness.folder().join("_ctct/acme/contacts").join(state);
        assert!(!state.exists(), "{} of a report that was not committed", state.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_account_gives_every_table_in_full_schema_and_no_row() {
    let empty = SandboxConfig { lists: 0, campaigns: 0, tags: 0, custom_fields: 0, ..sandbox_of(0) };
    let plain = format!("{CONTACTS}{LISTS}{CAMPAIGNS}{EVENTS}");
    let partitioned = "
  - {report: contacts, write_mode: partition, partition_by: [{month: created_at}]}
  - {report: contact_lists, write_mode: replace, partition_by: [{year: created_at}]}
  - {report: email_campaigns, partition_by: [{bucket: {column: campaign_id, count: 4}}, current_status]}
  - {report: contact_activity_details, contact_id: {from: contacts}, partition_by: tracking_activity_type}
";
    for reports in [plain.as_str(), partitioned] {
        let harness = Harness::with(empty.clone()).await;
        let summary = harness.run(reports).await;
        assert_eq!((summary.outcome, summary.exit_code, summary.rows()), (Outcome::Done, 0, 0), "{summary:#?}");
        for written in &summary.reports {
            for table in harness.catalog.get(&written.report).unwrap().tables() {
                let files = tables::files(&harness.folder().join(&table.name));
                assert_eq!(files.len(), 1, "{}", table.name);
                assert_eq!(tables::rows_of(&files[0]), Vec::<Row>::new(), "{}", table.name);
                let schema = tables::schema(&files[0]);
                // A partition column is not repeated inside the files.
                let folders = files[0].to_string_lossy().into_owned();
                let expected =
                    table.schema.fields().iter().filter(|field| !folders.contains(&format!("/{}=", field.name())));
                let expected: Vec<_> = expected.map(|field| (field.name(), plain_type(field.data_type()))).collect();
                let found: Vec<_> =
                    schema.fields().iter().map(|field| (field.name(), plain_type(field.data_type()))).collect();
                assert_eq!(found, expected, "{}", table.name);
            }
        }
    }
}

/// Texts alike, whichever way the reader likes to hold them.
fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_page_ends_its_report_alone_and_names_the_request() {
    let whole = contacts(&[contact(1)]);
    let cut = Answer::body(r#"{"contacts": [{"contact_id": "1618ae62-4752-11e9"#);
    let html = Answer::body("<html><body>Sorry, we are down for maintenance.</body></html>");
    let other = Answer::json(&json!({"message": "ok", "items": [{"id": 1}]}));
    let array = Answer::json(&json!([{"contact_id": id(1)}]));
    let wrong = Answer::json(&json!({"contacts": {"contact_id": id(1)}}));
    for answer in [cut, html, other, array, wrong, Answer::body("")] {
        let harness = Harness::new(0).await;
        let (summary, server) = contacts_answered(&harness, vec![answer.clone()]).await;
        only_contacts_failed(&harness, &summary);
        let failed = report(&summary, "contacts");
        let asked = server.asked().iter().rposition(|uri| uri.starts_with("/v3/contacts?")).unwrap() + 1;
        assert!(message(failed).contains(&format!("request id scripted-{asked}]")), "{}", message(failed));

        // The same on a later page: what came before it is not committed either.
        let harness = Harness::new(0).await;
        let linked = json!({"contacts": [contact(1)], "_links": {"next": {"href": "/v3/contacts?cursor=b"}}});
        let (summary, _server) = contacts_answered(&harness, vec![Answer::json(&linked), answer]).await;
        only_contacts_failed(&harness, &summary);
        assert!(message(report(&summary, "contacts")).starts_with("contacts page 2"), "{summary:#?}");
    }
    let harness = Harness::new(0).await;
    let (summary, _server) = contacts_answered(&harness, vec![whole]).await;
    assert_eq!(summary.outcome, Outcome::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_asked_for_again() {
    let harness = Harness::new(0).await;
    let whole = contacts(&[contact(1)]);
    let (summary, _server) = contacts_answered(&harness, vec![whole.clone().breaking_off(), whole]).await;
    assert_eq!((summary.outcome, summary.api.retries), (Outcome::Done, 1), "{summary:#?}");
    assert_eq!(harness.rows("contacts").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_always_breaks_off_ends_its_report_alone_and_names_the_request() {
    let harness = Harness::new(0).await;
    let broken = contacts(&[contact(1)]).breaking_off();
    let server = Scripted::start([("/contacts", vec![broken]), ("/contact_lists", vec![one_list()])]).await;
    let text = pipeline_at(server.base_url(), &format!("{CONTACTS}{LISTS}")) + "retry: {attempts: 2}\n";
    let summary = harness.run_text(&text).await;
    only_contacts_failed(&harness, &summary);
    let message = message(report(&summary, "contacts"));
    assert!(message.contains("request id scripted-"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_taken_asks_for_a_sign_in() {
    let harness = Harness::new(0).await;
    let refused = || vec![Answer::refusal(401, "unauthorized")];
    let server = Scripted::start([("/contacts", refused()), ("/contact_lists", refused())]).await;
    let summary = harness.run_at(server.base_url(), &format!("{CONTACTS}{LISTS}{EVENTS}")).await;
    assert_eq!((summary.outcome, summary.exit_code), (Outcome::SignIn, 10), "{summary:#?}");
    assert_eq!(server.asked().len(), 2, "a refused token is not tried again: {:?}", server.asked());
    assert!(report(&summary, "contacts").error.as_ref().unwrap().advice.contains("access token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_not_granted_fails_its_report_and_is_named() {
    let granted_scopes = vec!["contact_data".to_owned()];
    let quirks = Quirks { granted_scopes, ..Quirks::default() };
    let harness = Harness::with(SandboxConfig { quirks, ..sandbox_of(20) }).await;
    let summary = harness.run(&format!("{LISTS}{CAMPAIGNS}")).await;
    assert_eq!(summary.exit_code, 10);
    assert_eq!(report(&summary, "contact_lists").commit, Some(1));
    assert!(message(report(&summary, "email_campaigns")).contains("`campaign_data`"), "{summary:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_quota_keeps_the_ids_that_are_whole_and_says_when_to_come_back() {
    let harness = Harness::with(SandboxConfig { daily_requests: 30, ..sandbox_of(60) }).await;
    let summary = harness.run(&format!("{CONTACTS}{EVENTS}")).await;
    assert_eq!((summary.outcome, summary.exit_code), (Outcome::Quota, 11), "{summary:#?}");
    assert_eq!(report(&summary, "contacts").commit, Some(1));
    let events = report(&summary, "contact_activity_details");
    assert_eq!(events.commit, Some(1));
    assert!(message(events).contains("it resets at 2026-03-02 00:00 UTC"), "{}", message(events));

    // Each contact that has rows has all of them.
    let rows = harness.rows("contact_activity_details");
    let account = harness.sandbox.account();
    let mut whole = Tables::new();
    for index in (0..account.contacts())
        .filter(|index| rows.iter().any(|row| row["contact_id"] == json!(account.contact_id(*index))))
    {
        for activity in account.activities(index) {
            add(&mut whole, "contact_activity_details", &activity, &["contact_id"]);
        }
    }
    assert!(rows.len() > 20, "{}", rows.len());
    assert_eq!(comparable(&rows), comparable(&whole["contact_activity_details"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_quota_leaves_a_snapshot_as_it_was() {
    let mut harness = Harness::new(40).await;
    let replace = format!("{CONTACTS}    write_mode: replace\n{EVENTS}    write_mode: replace\n");
    assert_eq!(harness.run(&replace).await.outcome, Outcome::Done);
    let before = comparable(&harness.rows("contact_activity_details"));
    harness.serve(SandboxConfig { daily_requests: 20, ..sandbox_of(40) }).await;
    let summary = harness.run(&replace).await;
    assert_eq!(summary.exit_code, 11);
    assert_eq!(report(&summary, "contact_activity_details").commit, None);
    assert_eq!(comparable(&harness.rows("contact_activity_details")), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn storms_of_faults_are_sat_out_and_the_tables_hold_the_truth() {
    let faults = Faults {
        error_500: 0.1,
        error_502: 0.03,
        error_503: 0.02,
        error_504: 0.03,
        throttled: 0.04,
        truncated_body: 0.05,
        reset: 0.03,
        ..Faults::default()
    };
    let harness = Harness::with(SandboxConfig { faults, ..sandbox_of(60) }).await;
    let summary = harness.run(&format!("{CONTACTS}{LISTS}{CAMPAIGNS}{EVENTS}")).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    assert!(summary.api.retries >= 5 && summary.api.throttled >= 1, "{:?}", summary.api);
    let account = harness.sandbox.account();
    let mut truth = Tables::new();
    for index in 0..account.contacts() {
        add(&mut truth, "contacts", &account.contact(index), &["contact_id"]);
        for activity in account.activities(index) {
            add(&mut truth, "contact_activity_details", &activity, &["contact_id"]);
        }
    }
    for (table, expected) in &truth {
        assert_eq!(comparable(&harness.rows(table)), comparable(expected), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_cannot_be_written_is_said_before_the_first_request() {
    let harness = Harness::new(10).await;
    fs::write(harness.folder().join("taken"), "a file").unwrap();
    for url in ["./taken", "./taken/below/it"] {
        let summary = harness.run_text(&harness.pipeline(CONTACTS).replace("url: .", &format!("url: {url}"))).await;
        assert_eq!((summary.outcome, summary.exit_code), (Outcome::Configuration, 2), "{summary:#?}");
        let message = summary.error.unwrap().message;
        assert!(message.contains("taken") && message.contains("a file is where a folder must be"), "{message}");
    }
    assert_eq!(harness.sandbox.requests().total, 0);
    assert_eq!(fs::read_to_string(harness.folder().join("taken")).unwrap(), "a file");
}

/// Values that have hurt other tools as folder names.
fn hostile_values() -> Vec<String> {
    let values = [
        "../../x",
        "..",
        ".",
        "",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "C:\\x",
        "a=b",
        "a%2Fb",
        "%",
        "  ",
        "a\nb",
        "a\u{0}b",
        "😀 👩‍👩‍👧",
        "שלום",
        "\u{202e}evil",
        "__HIVE_DEFAULT_PARTITION__",
        "NULL",
        "~",
        "-rf",
        "*?<>|\":",
        "é",
        "e\u{301}",
    ];
    values.map(str::to_owned).into_iter().chain(["x".repeat(10_240), "é".repeat(150)]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_leaves_its_table_or_is_lost_as_a_partition() {
    let values = hostile_values();
    let rows: Vec<Value> = (0..)
        .zip(&values)
        .map(|(number, value)| json!({"contact_id": id(number), "first_name": value, "taggings": [id(number)]}))
        .collect();
    let server = Scripted::start([("/contacts", vec![contacts(&rows)])]).await;
    for mode in ["append", "replace"] {
        let harness = Harness::new(0).await;
        let reports = format!("{CONTACTS}    partition_by: first_name\n    write_mode: {mode}\n");
        let text = pipeline_at(server.base_url(), &reports).replace("url: .", "url: deep/er");
        for _ in 0..2 {
            let summary = harness.run_text(&text).await;
            assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
        }
        let table = harness.folder().join("deep/er/contacts/account=acme");
        let mut found = Vec::new();
        let told = harness.folder().join("deep/er").join(RUNS_TABLE);
        for file in tables::files(harness.folder()).into_iter().filter(|file| !file.starts_with(&told)) {
            let below = file.strip_prefix(harness.folder().join("deep/er")).unwrap().to_str().unwrap().to_owned();
            let levels: Vec<&str> = below.split('/').collect();
            assert!(levels.len() == 4 && levels[0].starts_with("contacts") && levels[1] == "account=acme", "{below}");
            if !file.starts_with(&table) {
                continue;
            }
            let folder = levels[2].strip_prefix("first_name=").unwrap_or_else(|| panic!("{below}"));
            for row in tables::rows_of(&file) {
                assert_eq!(row.get("first_name"), None, "the column is the folder");
                let value = match row.get("_extra") {
                    Some(extra) => serde_json::from_str::<Value>(extra.as_str().unwrap()).unwrap()["first_name"]
                        .as_str()
                        .unwrap()
                        .to_owned(),
                    None => value_of(folder),
                };
                assert_eq!(
                    row["contact_id"],
                    json!(id(u32::try_from(values.iter().position(|known| *known == value).unwrap()).unwrap()))
                );
                found.push(value);
            }
        }
        let mut expected = values.clone();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{mode}");
        assert_eq!(tables::rows(&harness.folder().join("deep/er/contacts_taggings")).len(), expected.len());
        let beside: Vec<_> = fs::read_dir(harness.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(beside, ["deep"], "something left the destination");
    }
}

/// The value that a folder stands for: `%XX` is a byte of its UTF-8.
fn value_of(folder: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = folder.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_is_data_and_stays_as_it_is() {
    let values = hostile_values();
    let rows: Vec<Value> =
        (0..).zip(&values).map(|(number, value)| json!({"contact_id": id(number), "first_name": value})).collect();
    let server = Scripted::start([("/contacts", vec![contacts(&rows)])]).await;
    let harness = Harness::new(0).await;
    let summary = harness.run_at(server.base_url(), CONTACTS).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    let found: Vec<Value> =
        harness.rows("contacts").into_iter().map(|mut row| row.remove("first_name").unwrap()).collect();
    assert_eq!(found, values.iter().map(|value| json!(value)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_of_ten_megabytes_and_one_of_5000_custom_fields_land() {
    let fields: Vec<Value> =
        (0..5_000).map(|number| json!({"custom_field_id": id(number), "value": format!("{number}")})).collect();
    let large = json!({"contact_id": id(1), "notes": [{"note_id": id(2), "content": "n".repeat(10 << 20)}]});
    let wide = json!({"contact_id": id(3), "custom_fields": fields});
    let server = Scripted::start([("/contacts", vec![contacts(&[large, wide, contact(4)])])]).await;
    let harness = Harness::new(0).await;
    let summary = harness.run_at(server.base_url(), CONTACTS).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    assert_eq!(harness.rows("contacts").len(), 3);
    assert_eq!(harness.rows("contacts_notes")[0]["content"].as_str().unwrap().len(), 10 << 20);
    let rows = harness.rows("contacts_custom_fields");
    assert_eq!(rows.len(), 5_000);
    assert!(
        rows.iter()
            .zip(0_u32..)
            .all(|(row, number)| { (&row["_ordinal"], &row["value"]) == (&json!(number), &json!(number.to_string())) })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_network_is_transient_for_all_reports_and_names_the_cause() {
    // A port that was free a moment ago refuses connections.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let harness = Harness::new(0).await;
    let reports = format!("{CONTACTS}{LISTS}{EVENTS}");
    let text = pipeline_at(&format!("http://127.0.0.1:{port}/v3"), &reports) + "retry: {attempts: 2}\n";
    let summary = harness.run_text(&text).await;
    assert_eq!((summary.outcome, summary.exit_code), (Outcome::Transient, 12), "{summary:#?}");
    // Nobody knows whose account it is, so no report begins.
    let message = &summary.error.as_ref().unwrap().message;
    assert!(message.to_lowercase().contains("connection refused"), "{message}");
    assert_eq!(summary.reports.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_another_host_is_not_followed() {
    let elsewhere = Scripted::start([("/contacts", vec![contacts(&[contact(2)])])]).await;
    for href in [
        format!("{}/contacts?cursor=b", elsewhere.base_url()),
        "//elsewhere.example/v3/contacts?cursor=secret".to_owned(),
    ] {
        let harness = Harness::new(0).await;
        let page = json!({"contacts": [contact(1)], "_links": {"next": {"href": href}}});
        let (summary, _server) = contacts_answered(&harness, vec![Answer::json(&page)]).await;
        only_contacts_failed(&harness, &summary);
        let message = message(report(&summary, "contacts"));
        assert!(
            message.contains("the link to the next page leads to http://") && !message.contains("cursor"),
            "{message}"
        );
    }
    assert_eq!(elsewhere.asked(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_repeats_ends_the_report_instead_of_reading_for_ever() {
    let harness = Harness::new(0).await;
    let page = |number, cursor| {
        Answer::json(
            &json!({"contacts": [contact(number)], "_links": {"next": {"href": format!("/v3/contacts?cursor={cursor}")}}}),
        )
    };
    let (summary, server) = contacts_answered(&harness, vec![page(1, "b"), page(2, "c"), page(3, "b")]).await;
    only_contacts_failed(&harness, &summary);
    assert!(message(report(&summary, "contacts")).contains("repeats an earlier one"), "{summary:#?}");
    assert_eq!(server.asked().len(), 4, "{:?}", server.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_the_catalogue_does_not_know_is_kept_and_reported() {
    let quirks = Quirks { unknown_field: true, ..Quirks::default() };
    let harness = Harness::with(SandboxConfig { quirks, ..sandbox_of(30) }).await;
    let summary = harness.run(CONTACTS).await;
    assert_eq!(summary.outcome, Outcome::Done);
    let drift: Vec<_> = report(&summary, "contacts").drift.iter().collect();
    assert_eq!(drift, [(&"loyalty".to_owned(), &30)]);
    for row in harness.rows("contacts") {
        let extra: Value = serde_json::from_str(row["_extra"].as_str().unwrap()).unwrap();
        assert_eq!(extra, json!({"loyalty": {"tier": "gold", "points": 120}}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_a_usable_key_is_kept_aside_and_the_rest_lands() {
    let harness = Harness::new(0).await;
    let rows = [
        contact(1),
        json!({"contact_id": id(2), "created_at": "yesterday", "taggings": [id(9)]}),
        json!({"first_name": "nobody"}),
        json!({"contact_id": [id(4)], "taggings": [id(9)]}),
        contact(5),
    ];
    let (summary, _server) = contacts_answered(&harness, vec![contacts(&rows)]).await;
    assert_eq!((summary.outcome, summary.exit_code), (Outcome::Done, 0), "{summary:#?}");
    let contacts = report(&summary, "contacts");
    assert_eq!((contacts.rows, contacts.dead_letters), (3, 2));
    assert_eq!(contacts.drift.iter().collect::<Vec<_>>(), [(&"created_at".to_owned(), &1)]);
    let mut ids: Vec<Value> =
        harness.rows("contacts").into_iter().map(|mut row| row.remove("contact_id").unwrap()).collect();
    ids.sort_by_key(ToString::to_string);
    assert_eq!(ids, [1, 2, 5].map(|number| json!(id(number))));
    assert_eq!(harness.rows("contacts_taggings").len(), 1, "no child of a record that did not land");
    let letters = fs::read_dir(harness.folder().join("_ctct/acme/contacts/dead_letters")).unwrap();
    assert_eq!(letters.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_in_another_form_do_not_empty_a_table() {
    let harness = Harness::new(0).await;
    let lists = |favorite: Value, created_at: &str| {
        let list =
            |number| json!({"list_id": id(number), "name": "News", "favorite": favorite, "created_at": created_at});
        Answer::json(&json!({"lists": (1..=30).map(list).collect::<Vec<_>>()}))
    };
    let answers = vec![lists(json!(true), "2024-01-02T00:00:00Z"), lists(json!(1), "01/02/2024")];
    let server = Scripted::start([("/contact_lists", answers)]).await;
    let replaced = "  - {report: contact_lists, write_mode: replace}\n";
    assert_eq!(harness.run_at(server.base_url(), replaced).await.exit_code, 0);
    let summary = harness.run_at(server.base_url(), replaced).await;
    assert_eq!((summary.outcome, summary.exit_code), (Outcome::Done, 0), "{summary:#?}");
    let read = report(&summary, "contact_lists");
    assert_eq!((read.rows, read.dead_letters), (30, 0));
    let drift = [("created_at".to_owned(), 30), ("favorite".to_owned(), 30)];
    assert_eq!(read.drift, drift.into());
    let rows = harness.rows("contact_lists");
    assert_eq!(rows.len(), 30);
    for row in rows {
        assert_eq!(row["_extra"], json!(r#"{"created_at":"01/02/2024","favorite":1}"#));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_values_take_no_record_away() {
    let odd = Harness::with(SandboxConfig { unfit: 0.4, ..sandbox_of(60) }).await;
    let plain = Harness::with(sandbox_of(60)).await;
    let reports = format!("{CONTACTS}{LISTS}{CAMPAIGNS}{EVENTS}");
    let summary = odd.run(&reports).await;
    assert_eq!((summary.outcome, summary.exit_code), (Outcome::Done, 0), "{summary:#?}");
    plain.run(&reports).await;
    for (table, key) in [("contacts", "contact_id"), ("contact_lists", "list_id"), ("email_campaigns", "campaign_id")] {
        let read = report(&summary, table);
        assert_eq!(read.dead_letters, 0, "{table}");
        assert!(!read.drift.is_empty(), "{table}");
        let keys = |harness: &Harness| {
            let mut keys: Vec<String> = harness.rows(table).iter().map(|row| row[key].to_string()).collect();
            keys.sort();
            keys
        };
        assert_eq!(keys(&odd), keys(&plain), "{table}");
    }
    assert_eq!(odd.rows("contact_activity_details").len(), plain.rows("contact_activity_details").len());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_raw_byte_takes_no_page_away() {
    let harness = Harness::new(0).await;
    let body = [
        format!(r#"{{"contacts": [{{"contact_id": "{}", "first_name": "Andr"#, id(1)).as_bytes(),
        b"\xe9",
        format!(r#"", "taggings": ["\ud83d"]}}, {{"contact_id": "{}"}}]}}"#, id(2)).as_bytes(),
    ]
    .concat();
    let (summary, _server) = contacts_answered(&harness, vec![Answer::body(body)]).await;
    assert_eq!((summary.outcome, summary.exit_code), (Outcome::Done, 0), "{summary:#?}");
    let drift = [("first_name".to_owned(), 1), ("taggings".to_owned(), 1)];
    assert_eq!(report(&summary, "contacts").drift, drift.into());
    let names: Vec<Value> =
        harness.rows("contacts").into_iter().filter_map(|mut row| row.remove("first_name")).collect();
    assert!(names.contains(&json!("Andr\u{FFFD}")), "{names:?}");
    assert_eq!(harness.rows("contacts_taggings").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_was_asked_for_and_did_not_come_is_told() {
    let harness = Harness::new(0).await;
    let whole = json!({"contact_id": id(1), "custom_fields": [], "phone_numbers": [], "street_addresses": [],
        "list_memberships": [], "taggings": [], "notes": []});
    let mut without = whole.clone();
    without.as_object_mut().unwrap().remove("list_memberships");
    without["contact_id"] = json!(id(2));
    let (summary, _server) = contacts_answered(&harness, vec![contacts(&[whole, without])]).await;
    assert_eq!(summary.exit_code, 0);
    assert_eq!(report(&summary, "contacts").absent, [("contacts_list_memberships".to_owned(), 1)].into());
}

const SECRET: &str = "Xyzzy-Plugh";

#[tokio::test(flavor = "multi_thread")]
async fn no_value_of_a_cell_and_no_token_is_said_anywhere() {
    let address = format!("{SECRET}@example.com");
    let spoilt = json!({"contact_id": id(2), "first_name": SECRET, "created_at": address, "notes": SECRET});
    let rows = [
        json!({"contact_id": id(1), "first_name": SECRET, "email_address": {"address": address}, "novelty": SECRET}),
        spoilt,
        json!(SECRET),
    ];
    let link = format!("/v3/contacts?cursor={SECRET}");
    let page = json!({"contacts": rows, "_links": {"next": {"href": link}}});
    let server = Scripted::start([
        ("/contacts", vec![Answer::json(&page), contacts(&rows)]),
        ("/contact_lists", vec![Answer::body(format!("<html>{SECRET}</html>"))]),
        ("/emails", vec![Answer::body(format!(r#"{{"campaigns": [{{"name": "{SECRET}", {SECRET}"#))]),
    ])
    .await;
    let folder = tempfile::TempDir::new().unwrap();
    let reports = format!("{CONTACTS}    partition_by: first_name\n{LISTS}{CAMPAIGNS}");
    fs::write(folder.path().join("p.yaml"), pipeline_at(server.base_url(), &reports)).unwrap();
    for format in ["text", "json"] {
        let arguments = ["run", "p.yaml", "--output", format, "--log-format", format];
        let token = "t0k3n-of-the-account";
        let said =
            program::said(program::command(folder.path(), &arguments).env("CTCT_LOG", "trace").env("TOKEN", token));
        assert_eq!(said.code, Some(14), "{said:?}");
        for text in [&said.stdout, &said.stderr] {
            assert!(!text.contains(SECRET), "a cell's value:\n{text}");
            assert!(!text.contains(token), "the token:\n{text}");
        }
        assert!(said.stdout.contains("novelty"), "{}", said.stdout);
        assert!(
            said.stderr.to_lowercase().contains("debug"),
            "the log is as deep as it was asked to be:\n{}",
            said.stderr
        );
    }
}
