//! An answer that looks complete and lacks most of what is stored takes nothing away, until somebody says that it may.

use chrono::TimeDelta;
use ctct_extract::Clock;
use ctct_pipeline::plan::Scope;
use ctct_pipeline::{Context, Plan, RunSummary};
use serde_json::{Value, json};

use crate::harness::{Harness, message, now, pipeline_at, report};
use crate::scripted::{Answer, Scripted};

fn lists(number: usize) -> Answer {
    let lists: Vec<Value> = (0..number).map(|at| json!({"list_id": format!("l{at:03}"), "name": "n"})).collect();
    Answer::json(&json!({"lists": lists, "lists_count": number}))
}

/// How a run comes to remove what it does not find.
const WAYS: [(&str, &str); 4] =
    [("replace", ""), ("merge", ""), ("merge", ", reconcile: {every: 1d}"), ("merge", ", history: true")];

/// Runs so many days after the day of the tests; `allowed` is `--allow-removal`.
async fn run_on(
    harness: &Harness,
    server: &Scripted,
    way: (&str, &str),
    limit: &str,
    day: i64,
    allowed: bool,
) -> RunSummary {
    let (write_mode, options) = way;
    let reports = format!("  - {{report: contact_lists, write_mode: {write_mode}{options}{limit}}}\n");
    let mut plan: Plan = harness.plan(&pipeline_at(server.base_url(), &reports));
    if write_mode == "merge" && !options.contains("reconcile") && day > 0 {
        plan.reports[0].scope = Scope::Everything;
    }
    let plan = if allowed { plan.with_removal_allowed() } else { plan };
    let clock = Clock::fixed(now() + TimeDelta::days(day));
    ctct_pipeline::run(&plan, &Context { clock, ..harness.context(&format!("run-{day}")) }).await
}

/// The lists that are there as of now.
fn current(harness: &Harness) -> usize {
    let gone = |row: &crate::tables::Row| row.contains_key("_deleted_at") || row.contains_key("_valid_to");
    harness.rows("contact_lists").iter().filter(|row| !gone(row)).count()
}

#[tokio::test]
async fn an_empty_answer_removes_nothing_until_it_is_allowed_and_then_once() {
    for way in WAYS {
        let harness = Harness::new(1).await;
        let answers = vec![lists(60), lists(0), lists(0), lists(60), lists(0)];
        let server = Scripted::start([("/contact_lists", answers)]).await;
        for (day, allowed, exit_code, left) in
            [(0, false, 0, 60), (1, false, 14, 60), (2, true, 0, 0), (3, false, 0, 60), (4, false, 14, 60)]
        {
            let summary = run_on(&harness, &server, way, "", day, allowed).await;
            let told = format!("{way:?}, day {day}: {summary:#?}");
            assert_eq!((summary.exit_code, current(&harness)), (exit_code, left), "{told}");
            let lists = report(&summary, "contact_lists");
            assert_eq!(lists.commit.is_some(), exit_code == 0, "{told}");
            if exit_code == 14 {
                assert!(message(lists).contains("60 of 60"), "{told}");
                assert!(
                    lists.error.as_ref().unwrap().advice.contains("--report contact_lists --allow-removal"),
                    "{told}"
                );
            }
        }
        assert_eq!(server.asked().len(), 5, "each run asks: the answer may have been wrong");
    }
}

#[tokio::test]
async fn a_share_of_what_is_stored_may_go() {
    for way in WAYS {
        for (stored, left, limit, stopped) in [
            (60, 30, "", false),
            (60, 10, "", false),
            (60, 9, "", true),
            (200, 149, "", false),
            (200, 139, "", true),
            (200, 140, "", false),
            (60, 53, ", max_removed: 10%", true),
            (60, 54, ", max_removed: 10%", false),
            (60, 59, ", max_removed: 0%", true),
            (60, 0, ", max_removed: 100%", false),
        ] {
            let harness = Harness::new(1).await;
            let server = Scripted::start([("/contact_lists", vec![lists(stored), lists(left)])]).await;
            run_on(&harness, &server, way, limit, 0, false).await;
            let summary = run_on(&harness, &server, way, limit, 1, false).await;
            let told = format!("{way:?}, {left} of {stored}{limit}: {summary:#?}");
            let expected = if stopped { (14, stored) } else { (0, left) };
            assert_eq!((summary.exit_code, current(&harness)), expected, "{told}");
            let removed = if stopped { 0 } else { (stored - left) as u64 };
            assert_eq!(report(&summary, "contact_lists").removed, removed, "{told}");
        }
    }
}

#[tokio::test]
async fn what_was_chosen_in_another_way_may_go() {
    // How many come of another choice, the limit, and whether the run stops.
    for (number, limit, stopped) in [
        (3, "", false),
        // An answer without any tells nothing of the choice either.
        (0, "", true),
        (3, ", max_removed: 10%", true),
        (3, ", max_removed: 100%", false),
    ] {
        let harness = Harness::new(1).await;
        let contacts = |number: usize| {
            let contacts: Vec<Value> = (0..number).map(|at| json!({"contact_id": format!("c{at:03}")})).collect();
            Answer::json(&json!({"contacts": contacts}))
        };
        let server = Scripted::start([("/contacts", vec![contacts(100), contacts(number)])]).await;
        for (choice, exit_code, rows) in
            [("", 0, 100), (", segment_id: 4", if stopped { 14 } else { 0 }, if stopped { 100 } else { number })]
        {
            let reports = format!("  - {{report: contacts, write_mode: replace{choice}{limit}}}\n");
            let summary = harness.run_at(server.base_url(), &reports).await;
            let told = format!("{number}{limit}: {summary:#?}");
            assert_eq!((summary.exit_code, harness.rows("contacts").len()), (exit_code, rows), "{told}");
        }
    }
}

#[tokio::test]
async fn rows_that_leave_a_filter_count_as_removed() {
    let contacts = |number: usize, permission: &str| {
        let contact = |at: usize| {
            json!({"contact_id": format!("c{at:03}"), "updated_at": "2026-02-01T00:00:00Z",
                "email_address": {"address": "a@example.com", "permission_to_send": permission}})
        };
        Answer::json(&json!({"contacts": (0..number).map(contact).collect::<Vec<_>>()}))
    };
    for (unsubscribed, limit, stopped) in
        [(30, "", false), (60, "", true), (60, ", max_removed: 70%", false), (30, ", max_removed: 10%", true)]
    {
        let harness = Harness::new(1).await;
        let answers = vec![contacts(100, "implicit"), contacts(unsubscribed, "unsubscribed")];
        let server = Scripted::start([("/contacts", answers)]).await;
        let reports = format!("  - {{report: contacts, write_mode: merge, contact_status: [active]{limit}}}\n");
        let first = harness.run_at(server.base_url(), &reports).await;
        assert_eq!((first.exit_code, harness.rows("contacts").len()), (0, 100), "{first:#?}");
        let summary = harness.run_at(server.base_url(), &reports).await;
        let expected = if stopped { (14, 100) } else { (0, 100 - unsubscribed) };
        assert_eq!(
            (summary.exit_code, harness.rows("contacts").len()),
            expected,
            "{unsubscribed}{limit}: {summary:#?}"
        );
    }
}
