//! Servers, files and texts that mean no good: what they send is bounded, and what they cause is told and ends.

use std::panic::AssertUnwindSafe;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ctct_extract::Clock;
use ctct_pipeline::{Context, Outcome};
use futures::FutureExt;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Harness, message, now, pipeline_at, report};
use crate::program;
use crate::scripted::{Answer, Scripted};

const CONTACTS: &str = "  - report: contacts\n";

fn contact(number: usize, more: &Value) -> Value {
    let mut contact = json!({"contact_id": format!("{number:08}-0000-0000-0000-000000000000")});
    contact.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    contact
}

fn page(contacts: &[Value], next: Option<&str>) -> Value {
    let links = next.map_or(json!({}), |next| json!({"next": {"href": next}}));
    json!({"contacts": contacts, "_links": links})
}

/// A page of one contact whose member is this JSON.
fn with_member(member: &str) -> String {
    format!(r#"{{"contacts":[{{"contact_id":"00000000-0000-0000-0000-000000000000",{member}}}]}}"#)
}

#[tokio::test]
async fn what_is_no_page_of_a_report_costs_no_memory_and_is_told() {
    let harness = Harness::new(0).await;
    let many = |what: &str| format!("[{}]", vec![what; 700_000].join(","));
    let keys = (0..700_000).map(|key| format!(r#""k{key}":0"#)).collect::<Vec<_>>().join(",");
    let link = "a".repeat(1 << 20);
    for (what, body) in [
        ("records", format!(r#"{{"contacts":[{}]}}"#, vec!["0"; 1_001].join(","))),
        ("records by the hundred thousand", format!(r#"{{"contacts":{}}}"#, many("0"))),
        ("elements", with_member(&format!(r#""list_memberships":{}"#, many("0")))),
        ("elements that are objects", with_member(&format!(r#""street_addresses":{}"#, many("{}")))),
        ("elements of what is not known", with_member(&format!(r#""x":{}"#, many("[]")))),
        ("keys", with_member(&keys)),
        ("keys of the envelope", format!(r#"{{"contacts":[],{keys}}}"#)),
        ("levels", with_member(&format!(r#""x":{}"#, "[".repeat(700_000) + &"]".repeat(700_000)))),
        ("a link of a megabyte", page(&[], Some(&link)).to_string()),
        ("a link twice", r#"{"contacts":[],"_links":{"next":{"href":"/v3/contacts?a"},"next":null}}"#.to_owned()),
    ] {
        let server = Scripted::start([("/contacts", vec![Answer::body(body)])]).await;
        let summary = harness.run_text(&once(&pipeline_at(server.base_url(), CONTACTS))).await;
        let contacts = report(&summary, "contacts");
        assert!(matches!(contacts.outcome, Outcome::Partial | Outcome::Transient), "{what}: {:?}", contacts.outcome);
        assert!(message(contacts).contains("cannot be used"), "{what}: {}", message(contacts));
        assert!(message(contacts).len() < 1_000 && contacts.commit.is_none(), "{what}");
    }
}

/// The pipeline with one attempt a request.
fn once(pipeline: &str) -> String {
    format!("{pipeline}retry:\n  attempts: 1\n")
}

#[tokio::test]
async fn what_fits_the_bounds_lands_however_odd_it_is() {
    let harness = Harness::new(0).await;
    let deep = "[".repeat(5_000) + &"]".repeat(5_000);
    let keys: Vec<String> = (0..600).map(|key| format!(r#""k{key:03}\u001b[2J":0"#)).collect();
    let body = with_member(&format!(r#""x":{deep},"first_name":"a","first_name":"b",{}"#, keys.join(",")));
    let server = Scripted::start([("/contacts", vec![Answer::body(body)])]).await;
    let summary = harness.run_at(server.base_url(), CONTACTS).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    let contacts = report(&summary, "contacts");
    assert_eq!((contacts.drift.len(), contacts.drift_further), (50, 552), "the first are named, the others counted");
    assert!(contacts.drift.keys().all(|name| !name.contains(char::is_control)), "{:?}", contacts.drift);
    let rows = harness.rows("contacts");
    assert_eq!(rows[0]["first_name"], "b");
    let extra: Value = serde_json::from_str(rows[0]["_extra"].as_str().unwrap()).expect("readers can parse it");
    assert_eq!(extra["first_name"], "a", "a key that is there twice keeps both values");
    let mut level = &extra["x"];
    while let Some(inner) = level.as_array() {
        level = &inner[0];
    }
    assert_eq!(level.as_str().unwrap().len(), 2 * (5_000 - 100), "what is nested deeper is a text");
}

/// The rows of the page of this number.
type Rows<'a> = &'a dyn Fn(usize) -> Vec<Value>;

#[tokio::test]
async fn a_list_that_leads_nowhere_ends_soon_and_commits_nothing() {
    let harness = Harness::new(0).await;
    let next = |number: usize| format!("/v3/contacts?cursor={number}");
    let rows = |number: usize| match number {
        number if number % 2 == 0 => vec![contact(1, &json!({})), contact(2, &json!({}))],
        _ => vec![contact(2, &json!({})), contact(1, &json!({}))],
    };
    let volatile = |number: usize| vec![contact(1, &json!({"asked": number, "z": "z".repeat(200)}))];
    let same = |_| vec![contact(1, &json!({}))];
    let kinds: [(&str, Rows<'_>, usize); 4] = [
        // Some pages more are requested while those before are decoded.
        ("the same page", &same, 25),
        ("the same rows in another order", &rows, 25),
        ("rows that differ in something each time", &volatile, 25),
        ("no rows", &|_| Vec::new(), 60),
    ];
    for (what, rows, most) in kinds {
        let pages = (0..100).map(|number| Answer::json(&page(&rows(number), Some(&next(number))))).collect();
        let server = Scripted::start([("/contacts", pages)]).await;
        let summary = harness.run_at(server.base_url(), CONTACTS).await;
        let contacts = report(&summary, "contacts");
        assert_eq!(contacts.outcome, Outcome::Partial, "{what}: {:?}", contacts.error);
        assert!(message(contacts).contains("brought"), "{what}: {}", message(contacts));
        let asked = server.asked().len();
        assert!(asked <= most, "{what}: {asked} requests");
        assert!(contacts.commit.is_none(), "{what}");
        // What led there is not kept: the next run begins anew.
        harness.run_at(server.base_url(), CONTACTS).await;
        let next = &server.asked()[asked];
        assert!(!next.contains("cursor"), "{what}: {next}");
    }
    // More than the API counts, each row a new one.
    let pages = (0..400).map(|number| {
        let mut page = page(&[contact(number, &json!({}))], Some(&next(number)));
        page["contacts_count"] = 10.into();
        Answer::json(&page)
    });
    let server = Scripted::start([("/contacts", pages.collect())]).await;
    let summary = harness.run_at(server.base_url(), CONTACTS).await;
    assert_eq!(report(&summary, "contacts").outcome, Outcome::Partial, "{summary:#?}");
    assert!(server.asked().len() < 40, "{}", server.asked().len());
}

#[tokio::test]
async fn a_mistake_of_this_program_ends_in_a_summary() {
    let harness = Harness::new(3).await;
    let mut bugs = 0;
    for nth in 2..9 {
        let (calls, plan) = (Arc::new(AtomicUsize::new(0)), harness.plan(&harness.pipeline(CONTACTS)));
        let clock = Clock::from_fn(move || {
            assert_ne!(calls.fetch_add(1, Ordering::Relaxed), nth, "a cell's value");
            now()
        });
        let context = Context { clock, ..harness.context(&format!("run-{nth}")) };
        // What is told of the run is the caller's part, and a mistake there is the process's.
        let run = AssertUnwindSafe(ctct_pipeline::run(&plan, &context)).catch_unwind();
        let Ok(summary) = run.await else { continue };
        let errors = summary.reports.iter().filter_map(|report| report.error.as_ref()).chain(&summary.error);
        for error in errors {
            bugs += 1;
            assert!(error.message.contains("internal error") && !error.message.contains("cell"), "{}", error.message);
            assert_eq!(summary.exit_code, 1);
        }
    }
    assert!(bugs > 0, "one of them was made while the run worked");
}

#[test]
fn a_token_leaves_this_host_in_clear_only_where_that_is_said() {
    let folder = TempDir::new().unwrap();
    let seeded = "refresh_token: {env: TOKEN}, client_id: a, token_url:";
    for (source, code) in [
        ("access_token: {env: TOKEN}, base_url: 'http://api.example.test/v3'".to_owned(), 2),
        ("access_token: {env: TOKEN}, base_url: 'http://127.0.0.1.example.test/v3'".to_owned(), 2),
        ("access_token: {env: TOKEN}, base_url: 'http://10.0.0.1/v3'".to_owned(), 2),
        (format!("{seeded} 'http://auth.example.test/token'"), 2),
        ("access_token: {env: TOKEN}, base_url: 'https://api.example.test/v3?a=b'".to_owned(), 2),
        ("access_token: {env: TOKEN}, base_url: 'https://api.example.test/v3#a'".to_owned(), 2),
        ("access_token: {env: TOKEN}, base_url: 'http://localhost:1/v3'".to_owned(), 0),
        ("access_token: {env: TOKEN}, base_url: 'http://[::1]:1/v3'".to_owned(), 0),
        ("access_token: {env: TOKEN}, allow_http: true, base_url: 'http://api.example.test/v3'".to_owned(), 0),
        (format!("{seeded} 'http://auth.example.test/token', allow_http: true"), 0),
        (format!("{seeded} 'https://auth.example.test/token'"), 0),
    ] {
        let text = format!(
            "version: 1\nname: t\nsource: {{account: a, {source}}}\ndestination: {{url: ./out}}\nreports: [{{report: contacts}}]\n"
        );
        std::fs::write(folder.path().join("p.yaml"), text).unwrap();
        let said = program::run(folder.path(), &["validate", "p.yaml"]);
        assert_eq!(said.code, Some(code), "{source}: {}", said.stderr);
        // What `validate` refuses, `plan` and `run` refuse in the same words.
        for command in ["plan", "run"].iter().filter(|_| code == 2) {
            let again = program::run(folder.path(), &[command, "p.yaml"]);
            assert_eq!((again.code, &again.stderr), (Some(2), &said.stderr), "{command}: {source}");
        }
    }
}

#[test]
fn what_is_no_file_of_a_secret_ends_a_run_at_once() {
    let folder = TempDir::new().unwrap();
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    std::fs::write(folder.path().join("long"), "a".repeat(70_000)).unwrap();
    for (file, why) in
        [("/dev/zero", "regular file"), ("pipe", "regular file"), (".", "regular file"), ("long", "64 KiB")]
    {
        let text = format!(
            "version: 1\nname: t\nsource: {{access_token: {{file: '{file}'}}}}\ndestination: {{url: ./out}}\nreports: [{{report: contacts}}]\n"
        );
        std::fs::write(folder.path().join("p.yaml"), text).unwrap();
        let said = program::run(folder.path(), &["run", "p.yaml"]);
        assert_eq!(said.code, Some(2), "{file}: {}", said.stderr);
        assert!((said.stdout.clone() + &said.stderr).contains(why), "{file}: {}{}", said.stdout, said.stderr);
    }
    // A pipeline may come through a pipe, but has an end.
    let said = program::run(folder.path(), &["validate", "/dev/zero"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("4 MiB"), "{}", said.stderr);
}

#[test]
fn a_line_break_in_a_files_name_adds_no_line_to_a_scheduler() {
    let folder = TempDir::new().unwrap();
    let name = "a\n* * * * * reboot\n.yaml";
    let text = "version: 1\nname: t\nschedule: {every: 1h}\nsource: {account: a}\ndestination: {url: ./out}\nreports: [{report: contacts}]\n";
    std::fs::write(folder.path().join(name), text).unwrap();
    for target in ["cron", "systemd", "airflow"] {
        let said = program::run(folder.path(), &["schedule", name, "--target", target]);
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{target}: {}", said.stderr);
    }
}

#[test]
fn what_a_run_would_refuse_without_asking_anyone_validate_refuses() {
    let folder = TempDir::new().unwrap();
    for (source, rest) in [
        ("requests_per_second: 0.0001", "{report: contacts}"),
        ("daily_requests: 10, reserve: 10", "{report: contacts}"),
        ("reserve: 0", "{report: contacts, write_mode: merge, partition_by: [contact_id]}"),
        ("reserve: 0", "{report: contacts, write_mode: merge, partition_by: [{month: updated_at}]}"),
        ("reserve: 0", "{report: contacts, write_mode: append, partition_by: [{bucket: contact_id, count: 0}]}"),
    ] {
        let text = format!(
            "version: 1\nname: t\nsource: {{account: a, {source}}}\ndestination: {{url: ./out}}\nreports: [{rest}]\n"
        );
        std::fs::write(folder.path().join("p.yaml"), text).unwrap();
        for command in ["validate", "plan", "run"] {
            let said = program::run(folder.path(), &[command, "p.yaml"]);
            assert_eq!(said.code, Some(2), "{command}: {source} {rest}: {}", said.stderr);
        }
    }
}

/// A server that takes every request and never answers.
#[tokio::test]
async fn a_stop_ends_a_run_within_two_seconds_whatever_it_waits_for() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v3", silent.local_addr().unwrap());
    let harness = Harness::new(0).await;
    let plan = harness.plan(&pipeline_at(&base_url, CONTACTS));
    let stop = harness.stop.clone();
    let context = harness.context("run");
    let asked_to_stop = async {
        let asked = silent.accept().await.unwrap();
        stop.cancel();
        asked
    };
    let both = futures::future::join(ctct_pipeline::run(&plan, &context), asked_to_stop);
    let (ended, _) = tokio::time::timeout(Duration::from_secs(4), both).await.expect("it ends soon");
    assert_eq!((ended.outcome, ended.stopped), (Outcome::Stopped, true), "{ended:#?}");
}
