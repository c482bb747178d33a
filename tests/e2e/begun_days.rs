//! Days that a run had begun and not finished are finished first, although the date of the pipeline has moved on.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ctct_extract::Clock;
use ctct_pipeline::maintain::Expectation;
use ctct_pipeline::plan::Scope;
use ctct_pipeline::{Context, Outcome, Pipeline, Plan, RunSummary};
use serde_json::{Value, json};

use crate::harness::{Harness, now, pipeline_at, report};
use crate::scripted::{Answer, Scripted};

const SUMMARY: &str = "contact_action_summary";
const FIRST_DAY: &str = "Mon, 02 Mar 2026 12:00:00 GMT";
const EVENTS: &str = "contact_activity_details";

fn id(number: usize) -> String {
    format!("{number:08x}-4752-11e9-9c8a-fa163e6b01c1")
}

fn summary_path(id: &str) -> String {
    format!("/reports/contact_reports/{id}/activity_summary")
}

fn summary_of(id: &str) -> Answer {
    Answer::json(&json!({"contact_id": id, "campaign_activities": [{"campaign_activity_id": id, "em_sends": 1}]}))
}

fn contacts(ids: &[String]) -> Answer {
    let contacts: Vec<Value> = ids.iter().map(|id| json!({"contact_id": id})).collect();
    Answer::json(&json!({"contacts": contacts}))
}

fn day(number: i64) -> DateTime<Utc> {
    now() + TimeDelta::days(number)
}

fn plan_on(harness: &Harness, text: &str, day: DateTime<Utc>) -> Plan {
    let context = harness.context("plan");
    let pipeline = Pipeline::parse(text, "test.yaml", &harness.catalog, &context.environment).unwrap();
    Plan::new(&pipeline, day).unwrap().with_over_days()
}

async fn run_on(harness: &Harness, plan: &Plan, day: DateTime<Utc>) -> RunSummary {
    let run_id = format!("run-{}", day.format("%m%d"));
    ctct_pipeline::run(plan, &Context { clock: Clock::fixed(day), ..harness.context(&run_id) }).await
}

/// The id and the first instant that each request for a summary asked for.
fn asked(server: &Scripted) -> Vec<(String, String)> {
    let of_summary = |uri: &String| {
        let (path, query) = uri.split_once('?')?;
        let id = path.strip_suffix("/activity_summary")?.rsplit('/').next()?;
        let start = query.split('&').find_map(|pair| pair.strip_prefix("start="))?;
        Some((id.to_owned(), start.replace("%3A", ":")))
    };
    server.asked().iter().filter_map(of_summary).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn begun_days_are_finished_before_new_ones_and_contacts_that_come_meanwhile_are_read_for_them() {
    for mode in ["append", "merge"] {
        let mut ids: Vec<String> = (1..=60).map(id).collect();
        let first = contacts(&ids);
        // It sorts before all others.
        ids.insert(0, id(0));
        let mut routes: Vec<_> = ids.iter().map(|id| (summary_path(id), vec![summary_of(id)])).collect();
        routes.push(("/contacts".to_owned(), vec![first, contacts(&ids)]));
        let server = Scripted::with(routes).await;
        let harness = Harness::new(0).await;
        let contacts = pipeline_at(server.base_url(), "  - {report: contacts, write_mode: replace}\n");
        let reports = format!(
            "  - {{report: {SUMMARY}, contact_id: {{from: contacts}}, duration: single_date, report_date: {{days_back: 1}}, write_mode: {mode}}}\n"
        );
        let text = pipeline_at(server.base_url(), &reports).replace("daily_requests: 100000000", "daily_requests: 25");
        assert_eq!(harness.run_text(&contacts).await.outcome, Outcome::Done);
        let mut told = Vec::new();
        for number in 1..=5 {
            if number == 2 {
                assert_eq!(harness.run_text(&contacts).await.outcome, Outcome::Done);
            }
            let (day, before) = (day(number), asked(&server).len());
            let summary = run_on(&harness, &plan_on(&harness, &text, day), day).await;
            assert!([0, 11].contains(&summary.exit_code), "{mode}, day {number}: {summary:#?}");
            let mut of_days: Vec<(String, usize)> = Vec::new();
            for (_, start) in asked(&server).split_off(before) {
                let start = start.get(..10).unwrap().to_owned();
                match of_days.last_mut().filter(|(last, _)| *last == start) {
                    Some((_, count)) => *count += 1,
                    None => of_days.push((start, 1)),
                }
            }
            told.push(of_days);
        }
        let all = asked(&server);
        let once: BTreeSet<_> = all.iter().collect();
        assert_eq!(once.len(), all.len(), "{mode}: something was requested twice: {told:#?}");
        let of_first: BTreeSet<&String> =
            all.iter().filter(|(_, start)| start.starts_with("2026-03-01")).map(|(id, _)| id).collect();
        assert_eq!(of_first.len(), 61, "{mode}: {told:#?}");
        assert!(
            told[2].len() == 2 && told[2][1].0 == "2026-03-03",
            "{mode}: the new day comes after the begun one: {told:#?}"
        );
        assert_eq!(harness.rows(SUMMARY).len(), all.len(), "{mode}: {told:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn days_of_which_only_pages_are_kept_are_finished_first_too() {
    for mode in ["append", "merge"] {
        let ids: Vec<String> = (0..60).map(id).collect();
        let answers = |number: usize| match number {
            24..37 => vec![Answer::refusal(500, "x"), summary_of(&ids[number]).dated(FIRST_DAY)],
            _ => vec![summary_of(&ids[number]).dated(FIRST_DAY)],
        };
        let server = Scripted::with((0..60).map(|at| (summary_path(&ids[at]), answers(at))).collect()).await;
        let harness = Harness::new(0).await;
        let listed = ids.join(", ");
        let reports = format!(
            "  - {{report: {SUMMARY}, contact_id: [{listed}], duration: single_date, report_date: {{days_back: 1}}, write_mode: {mode}}}\n"
        );
        let text = pipeline_at(server.base_url(), &reports) + "retry: {attempts: 1}\n";
        let summary = run_on(&harness, &plan_on(&harness, &text, day(1)), day(1)).await;
        assert_eq!((summary.exit_code, report(&summary, SUMMARY).commit), (12, None), "{mode}: {summary:#?}");
        let before = asked(&server);
        let read: BTreeSet<&String> = before.iter().map(|(id, _)| id).filter(|id| !ids[24..37].contains(id)).collect();
        let summary = run_on(&harness, &plan_on(&harness, &text, day(2)), day(2)).await;
        let resumed = report(&summary, SUMMARY).resumed_pages;
        assert_eq!((summary.outcome, resumed), (Outcome::Done, read.len() as u64), "{mode}: {summary:#?}");
        // What is resumed is not called fresh as of its commit.
        let plan = plan_on(&harness, &text, day(2));
        let context = Context { clock: Clock::fixed(day(2)), ..harness.context("status") };
        let expectation = Expectation { max_age: None, grace: Duration::ZERO };
        let status = ctct_pipeline::maintain::status(&plan, &context, expectation).await;
        assert_eq!(status.reports[0].last_success, Some(day(1)), "{mode}: {status:#?}");
        let days: Vec<String> =
            asked(&server).split_off(before.len()).into_iter().map(|(_, start)| start[..10].to_owned()).collect();
        let begun = days.iter().take_while(|day| *day == "2026-03-01").count();
        assert_eq!(begun, 60 - read.len(), "{mode}: the begun day first, without what is kept: {days:?}");
        assert!(days[begun..].iter().all(|day| day == "2026-03-02"), "{mode}: {days:?}");
        assert_eq!(days.len() - begun, 60, "{mode}: {days:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_refresh_that_ends_early_takes_nothing_away_and_goes_on() {
    let event = |id: &str| {
        Answer::json(&json!({"tracking_activities": [
            {"contact_id": id, "tracking_activity_type": "em_sends", "created_time": "2026-01-01T00:00:00Z"}
        ]}))
    };
    for mode in ["append", "merge"] {
        let ids: Vec<String> = (0..12).map(id).collect();
        let path = |id: &String| format!("/reports/contact_reports/{id}/activity_details");
        let server = Scripted::with(ids.iter().map(|id| (path(id), vec![event(id)])).collect()).await;
        let harness = Harness::new(0).await;
        let reports = format!("  - {{report: {EVENTS}, contact_id: [{}], write_mode: {mode}}}\n", ids.join(", "));
        let text = pipeline_at(server.base_url(), &reports);
        let few = text.replace("daily_requests: 100000000", "daily_requests: 6");
        let stored = || -> BTreeSet<String> {
            harness.rows(EVENTS).iter().map(|row| row["contact_id"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(run_on(&harness, &plan_on(&harness, &few, day(0)), day(0)).await.exit_code, 11);
        assert_eq!(run_on(&harness, &plan_on(&harness, &text, day(1)), day(1)).await.exit_code, 0);
        assert_eq!(stored().len(), 12, "{mode}");
        // A live run that came to some of them is no progress of a full refresh.
        assert_eq!(run_on(&harness, &plan_on(&harness, &few, day(2)), day(2)).await.exit_code, 11, "{mode}");
        let refresh = |text: &str, number| plan_on(&harness, text, day(number)).with_scope(Scope::Everything).unwrap();
        let before = server.asked().len();
        let cut = run_on(&harness, &refresh(&few, 3), day(3)).await;
        assert_eq!((cut.exit_code, stored().len()), (11, 12), "{mode}: {cut:#?}");
        let whole = run_on(&harness, &refresh(&text, 4), day(4)).await;
        assert_eq!((whole.exit_code, stored().len()), (0, 12), "{mode}: {whole:#?}");
        let paths: Vec<String> =
            server.asked().split_off(before).into_iter().filter(|uri| uri.contains("activity_details")).collect();
        assert_eq!(paths.len(), 12, "{mode}: each was requested once: {paths:#?}");
    }
}
