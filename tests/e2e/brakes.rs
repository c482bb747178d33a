//! An answer that looks complete and lacks most of what is stored takes nothing away, until somebody says that it may.

use chrono::TimeDelta;
use ctct_extract::Clock;
use ctct_pipeline::{Context, Plan, RunSummary, Scope};
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
    let harness = Harness::new(1).await;
    let contacts = |number: usize| {
        let contacts: Vec<Value> = (0..number).map(|at| json!({"contact_id": format!("c{at:03}")})).collect();
        Answer::json(&json!({"contacts": contacts}))
    };
    let server = Scripted::start([("/contacts", vec![contacts(100), contacts(3)])]).await;
    for (choice, rows) in [("", 100), (", segment_id: 4", 3)] {
        let reports = format!("  - {{report: contacts, write_mode: replace{choice}}}\n");
        let summary = harness.run_at(server.base_url(), &reports).await;
        assert_eq!((summary.exit_code, harness.rows("contacts").len()), (0, rows), "{summary:#?}");
    }
}
