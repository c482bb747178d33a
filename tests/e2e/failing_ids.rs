//! An id that fails costs itself: the rest is committed, the id is listed, and it is asked for again after the others.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ctct_pipeline::{Outcome, RunSummary};
use serde_json::{Value, json};

use crate::harness::{Harness, message, pipeline_at, report};
use crate::scripted::{Answer, Scripted};

const EVENTS: &str = "contact_activity_details";

fn id(number: usize) -> String {
    format!("{number:08x}-4752-11e9-9c8a-fa163e6b01c1")
}

fn path(id: &str) -> String {
    format!("/reports/contact_reports/{id}/activity_details")
}

fn page(id: &str) -> Answer {
    let event = json!({"contact_id": id, "tracking_activity_type": "em_sends", "created_time": "2026-01-01T00:00:00Z"});
    Answer::json(&json!({"tracking_activities": [event]}))
}

/// A server on which these ids answer as they should, but for those that have answers of their own.
async fn server(ids: &[String], own: &[(usize, Vec<Answer>)]) -> Scripted {
    let answers = ids.iter().enumerate().map(|(at, id)| {
        let own = own.iter().find(|(number, _)| *number == at).map(|(_, answers)| answers.clone());
        (path(id), own.unwrap_or_else(|| vec![page(id)]))
    });
    Scripted::with(answers.collect()).await
}

fn pipeline(server: &Scripted, ids: &[String], keys: &str) -> String {
    let reports = format!("  - report: {EVENTS}\n    contact_id: [{}]\n{keys}", ids.join(", "));
    pipeline_at(server.base_url(), &reports) + "retry: {attempts: 2}\n"
}

fn stored(harness: &Harness) -> BTreeSet<String> {
    let rows = harness.rows(EVENTS);
    rows.iter().map(|row| row["contact_id"].as_str().unwrap().to_owned()).collect()
}

fn listed(summary: &RunSummary) -> Vec<Value> {
    let file = report(summary, EVENTS).failed_ids_file.as_ref().unwrap();
    let text = fs::read_to_string(Path::new(file)).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["failed"].as_array().unwrap().clone()
}

/// Every way in which a request can finally fail, with the status that is listed.
fn ways() -> Vec<(&'static str, Vec<Answer>, Option<u16>)> {
    vec![
        ("bad request", vec![Answer::refusal(400, "bad")], Some(400)),
        ("forbidden", vec![Answer::refusal(403, "no")], Some(403)),
        ("gone for good", vec![Answer::refusal(410, "gone")], Some(410)),
        ("unprocessable", vec![Answer::refusal(422, "no")], Some(422)),
        ("trouble", vec![Answer::refusal(500, "x")], Some(500)),
        ("an invention", vec![Answer::refusal(530, "x")], Some(530)),
        ("late", vec![Answer::refusal(408, "x")], Some(408)),
        ("HTML", vec![Answer::body("<html>")], Some(200)),
        ("nothing", vec![Answer::body("")], Some(200)),
        ("an error with 200", vec![Answer::refusal(200, "x")], Some(200)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_land_the_id_is_listed_and_asked_for_last_and_leaves_the_list_when_it_answers() {
    let modes = ["append", "merge", "replace", "merge\n    history: true"];
    for (number, (way, mut answers, status)) in ways().into_iter().enumerate() {
        let mode = format!("    write_mode: {}\n", modes[number % modes.len()]);
        let ids: Vec<String> = (0..12).map(id).collect();
        // Two attempts in each of two runs, and then it answers.
        answers = vec![answers[0].clone(); if matches!(status, Some(400..=407 | 409..=499)) { 2 } else { 4 }];
        answers.push(page(&ids[0]));
        let server = server(&ids, &[(0, answers)]).await;
        let harness = Harness::new(0).await;
        let text = pipeline(&server, &ids, &mode);
        let others: BTreeSet<String> = ids[1..].iter().cloned().collect();
        for run in 1..=2 {
            let asked_before = server.asked().len();
            let summary = harness.run_text(&text).await;
            let events = report(&summary, EVENTS);
            assert_eq!((summary.exit_code, events.ids_failed), (14, 1), "{way}: {summary:#?}");
            assert_eq!(events.commit, Some(run), "{way}");
            assert_eq!(stored(&harness), others, "{way}");
            let list = listed(&summary);
            assert_eq!((list.len(), &list[0]["id"], &list[0]["runs"]), (1, &json!(ids[0]), &json!(run)), "{way}");
            assert_eq!(list[0]["status"], json!(status), "{way}");
            let said = format!("{} {summary:?}", message(events));
            assert!(!ids.iter().any(|id| said.contains(id)), "{way}: {said}");
            assert!(message(events).contains("1 of 12 ids failed, the first of them number 1"), "{}", message(events));
            if run == 2 {
                let asked = server.asked().split_off(asked_before);
                let first = asked.iter().position(|asked| asked.contains(&ids[0])).unwrap();
                assert!(first >= 11, "{way}: not after the others: {asked:?}");
            }
        }
        let summary = harness.run_text(&text).await;
        let events = report(&summary, EVENTS);
        assert_eq!((summary.outcome, events.ids_failed), (Outcome::Done, 0), "{way}: {summary:#?}");
        assert_eq!(stored(&harness), ids.iter().cloned().collect(), "{way}");
        assert_eq!(harness.rows(EVENTS).len(), 12, "{way}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_ten_and_more_than_a_fifth_are_an_outage_and_what_was_read_is_kept() {
    for (failing, of, code) in [(11, 60, 14), (12, 40, 12), (10, 12, 14), (30, 200, 14)] {
        let ids: Vec<String> = (0..of).map(id).collect();
        // All of them at the beginning, which looks most like an outage.
        let own: Vec<_> = (0..failing).map(|at| (at, vec![Answer::refusal(400, "bad")])).collect();
        let bad = server(&ids, &own).await;
        let harness = Harness::new(0).await;
        let summary = harness.run_text(&pipeline(&bad, &ids, "")).await;
        let events = report(&summary, EVENTS);
        assert_eq!(summary.exit_code, code, "{failing} of {of}: {summary:#?}");
        assert_eq!(events.commit.is_some(), code == 14, "{failing} of {of}");
        if code == 14 {
            assert_eq!(stored(&harness).len(), of - failing);
        } else {
            assert!(message(events).contains("as in an outage"), "{}", message(events));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_answers_nothing_is_found_out_after_a_few_ids() {
    let ids: Vec<String> = (0..300).map(id).collect();
    let own: Vec<_> = (0..300).map(|at| (at, vec![Answer::refusal(400, "bad")])).collect();
    let bad = server(&ids, &own).await;
    let harness = Harness::new(0).await;
    let text = pipeline(&bad, &ids, "").replace("requests_per_second: 100000", "requests_per_second: 4");
    let text = text.replace("requests_per_second: 4", "requests_per_second: 400");
    let summary = harness.run_text(&text).await;
    assert_eq!(summary.exit_code, 12, "{summary:#?}");
    assert!(bad.asked().len() < 150, "{}", bad.asked().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_cannot_stand_in_a_path_costs_itself() {
    let ids = [id(1), id(2)];
    let mut answers: Vec<(String, Vec<Answer>)> = ids.iter().map(|id| (path(id), vec![page(id)])).collect();
    let contacts: Vec<Value> = ["..", &ids[0], &ids[1]].map(|id| json!({"contact_id": id})).into();
    answers.push(("/contacts".to_owned(), vec![Answer::json(&json!({"contacts": contacts}))]));
    let server = Scripted::with(answers).await;
    let harness = Harness::new(0).await;
    let reports = format!("  - report: contacts\n  - {{report: {EVENTS}, contact_id: {{from: contacts}}}}\n");
    let summary = harness.run_text(&pipeline_at(server.base_url(), &reports)).await;
    let events = report(&summary, EVENTS);
    assert_eq!((summary.exit_code, events.ids_failed, events.commit), (14, 1, Some(1)), "{summary:#?}");
    assert_eq!(stored(&harness), ids.into_iter().collect());
    assert_eq!(listed(&summary)[0]["id"], "..");
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_failed_for_an_id_are_asked_for_again_when_the_report_has_come_to_others() {
    let ids: Vec<String> = (0..3).map(id).collect();
    let summary_of = |id: &String| format!("/reports/contact_reports/{id}/activity_summary");
    let good = |id: &String| {
        Answer::json(&json!({"contact_id": id, "campaign_activities": [{"campaign_activity_id": id, "em_sends": 1}]}))
    };
    let answers =
        |at: usize| if at == 1 { vec![Answer::refusal(400, "bad"), good(&ids[1])] } else { vec![good(&ids[at])] };
    let server = Scripted::with((0..3).map(|at| (summary_of(&ids[at]), answers(at))).collect()).await;
    let harness = Harness::new(0).await;
    let day = |day: &str| {
        let ids = ids.join(", ");
        let reports = format!(
            "  - {{report: contact_action_summary, contact_id: [{ids}], duration: single_date, report_date: {day}, write_mode: append}}\n"
        );
        pipeline_at(server.base_url(), &reports)
    };
    assert_eq!(harness.run_text(&day("2026-02-01")).await.exit_code, 14);
    let next = harness.run_text(&day("2026-02-02")).await;
    assert_eq!(next.outcome, Outcome::Done, "{next:#?}");
    let rows = harness.rows("contact_action_summary");
    assert_eq!(rows.len(), 6, "three contacts on two days: {rows:#?}");
}
