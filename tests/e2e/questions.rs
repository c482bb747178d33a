//! What a pipeline asks for travels with what is stored: who no longer fits leaves, and rows that were chosen in two ways
//! never stand in one table.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use ctct_extract::Clock;
use ctct_pipeline::plan::Scope;
use ctct_pipeline::{Context, Event, Events, Outcome, Pipeline, Plan, RunSummary};
use ctct_sandbox::{Change, ContactChange, Quirks, SandboxConfig};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::harness::{Harness, message, now, report, sandbox_of};
use crate::scripted::{Answer, Scripted};
use crate::truth::comparable;

/// A run at a moment of its own.
async fn run_at(harness: &Harness, text: &str, scope: Scope, at: DateTime<Utc>) -> RunSummary {
    let environment = [("TOKEN", harness.sandbox.access_token())].into_iter().collect();
    let pipeline = Pipeline::parse(text, "test.yaml", &harness.catalog, &environment)
        .unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    harness.sandbox.set_time(at);
    let plan = Plan::new(&pipeline, at).unwrap().with_scope(scope).unwrap();
    ctct_pipeline::run(&plan, &Context { clock: Clock::fixed(at), ..harness.context("run") }).await
}

/// The same at the harness's moment, for what changed.
async fn run(harness: &Harness, reports: &str) -> RunSummary {
    run_at(harness, &harness.pipeline(reports), Scope::Live, now()).await
}

async fn done(harness: &Harness, reports: &str) -> RunSummary {
    let summary = run(harness, reports).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    summary
}

/// Refused before the first request, with both questions and a way out.
fn refused(summary: &RunSummary, name: &str, texts: &[&str]) {
    assert_eq!((summary.exit_code, summary.api.requests), (2, 0), "{summary:#?}");
    let report = report(summary, name);
    let advice = &report.error.as_ref().unwrap().advice;
    for text in texts {
        assert!(message(report).contains(text), "`{text}`: {}", message(report));
    }
    assert!(advice.contains(&format!("--report {name} --full-refresh")), "{advice}");
}

fn id(number: u32) -> String {
    format!("{number:08x}-4752-11e9-9c8a-fa163e6b01c1")
}

/// An account of five contacts, created in the hours before the harness's moment.
async fn five() -> Harness {
    let harness = Harness::with(SandboxConfig { contacts: 0, ..sandbox_of(0) }).await;
    for number in 0..5 {
        let address = json!({"address": format!("c{number}@example.com")});
        let contact = json!({"contact_id": id(number), "first_name": "Ann", "email_address": address,
            "phone_numbers": [{"phone_number_id": id(100 + number), "phone_number": "555", "kind": "home"}]});
        harness.sandbox.edit(now() - TimeDelta::hours(9), &Change::CreateContact(contact)).unwrap();
    }
    harness
}

fn change(harness: &Harness, number: u32, change: ContactChange, hours_ago: i64) {
    let at = now() - TimeDelta::hours(hours_ago);
    harness.sandbox.edit(at, &Change::Contact(id(number), change)).unwrap();
}

/// Ids in a table, of the versions that hold now.
fn current(harness: &Harness, table: &str) -> BTreeSet<String> {
    let rows = harness.rows(table);
    let open = rows.iter().filter(|row| !row.contains_key("_valid_to"));
    open.map(|row| row["contact_id"].as_str().unwrap().to_owned()).collect()
}

fn numbers(numbers: &[u32]) -> BTreeSet<String> {
    numbers.iter().map(|number| id(*number)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_filter_leaves_the_tables_and_comes_back() {
    for keys in ["", ", history: true", ", partition_by: [{month: created_at}]", ", reconcile: {every: 7d}"] {
        let harness = five().await;
        let active = format!("  - {{report: contacts, contact_status: [active], write_mode: merge{keys}}}\n");
        // Not every one fits at first.
        change(&harness, 4, ContactChange::Unsubscribe, 8);
        let text = harness.pipeline(&active);
        let summary = run_at(&harness, &text, Scope::Live, now() - TimeDelta::hours(7)).await;
        assert_eq!((summary.outcome, report(&summary, "contacts").outside), (Outcome::Done, 1), "{keys}");
        assert_eq!(current(&harness, "contacts"), numbers(&[0, 1, 2, 3]), "{keys}");
        change(&harness, 0, ContactChange::Unsubscribe, 6);
        change(&harness, 1, ContactChange::Delete, 6);
        let summary = run_at(&harness, &text, Scope::Live, now() - TimeDelta::hours(5)).await;
        assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
        for table in ["contacts", "contacts_phone_numbers"] {
            assert_eq!(current(&harness, table), numbers(&[2, 3]), "{table}{keys}");
        }
        if keys.contains("history") {
            assert_eq!(harness.rows("contacts").len(), 4, "those who left have an end");
        }
        // Back again, by a change that a filter finds.
        change(&harness, 1, ContactChange::Revive, 4);
        change(&harness, 1, ContactChange::Fields(json!({"first_name": "Bea"})), 4);
        let summary = run_at(&harness, &text, Scope::Live, now() - TimeDelta::hours(3)).await;
        assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
        for table in ["contacts", "contacts_phone_numbers"] {
            assert_eq!(current(&harness, table), numbers(&[1, 2, 3]), "{table}{keys}");
        }
        // Opting in again moves nothing that a filter finds: the read of everything does.
        change(&harness, 0, ContactChange::Resubscribe, 2);
        if keys.contains("reconcile") {
            let at = now() + TimeDelta::days(8);
            let summary = run_at(&harness, &text, Scope::Live, at).await;
            assert_eq!(report(&summary, "contacts").reconciled, Some(true), "{summary:#?}");
            let rows = harness.rows("contacts");
            assert!(rows.iter().all(|row| !row.contains_key("_deleted_at")), "nobody has vanished: {rows:#?}");
            assert_eq!(current(&harness, "contacts"), numbers(&[0, 1, 2, 3]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_through_a_filter_holds_what_the_same_filter_reads_whole() {
    let statuses = ["active", "deleted", "not_set", "pending_confirmation", "temp_hold", "unsubscribed"];
    let wanted =
        statuses.iter().map(|status| (*status).to_owned()).chain(["active, deleted".to_owned(), "all".to_owned()]);
    for wanted in wanted {
        let (merged, whole) = (Harness::new(300).await, Harness::new(300).await);
        let contacts =
            |mode: &str| format!("  - {{report: contacts, contact_status: [{wanted}], write_mode: {mode}}}\n");
        done(&merged, &contacts("merge")).await;
        done(&whole, &contacts("replace")).await;
        for table in ["contacts", "contacts_custom_fields", "contacts_taggings"] {
            assert_eq!(comparable(&merged.rows(table)), comparable(&whole.rows(table)), "{wanted}, {table}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_choice_is_refused_in_reports_that_are_read_whole_too() {
    let harness = Harness::new(20).await;
    for mode in ["append", "merge, reconcile: {every: 1d}"] {
        let harness = Harness::new(20).await;
        let lists =
            |channel: &str| format!("  - {{report: contact_lists, channel_type: {channel}, write_mode: {mode}}}\n");
        done(&harness, &lists("email")).await;
        let before = comparable(&harness.rows("contact_lists"));
        refused(&run(&harness, &lists("sms")).await, "contact_lists", &["channel_type: email", "channel_type: sms"]);
        assert_eq!(comparable(&harness.rows("contact_lists")), before);
        // What the API takes anyway is the same choice as nothing.
        done(&harness, &format!("  - {{report: contact_lists, write_mode: {mode}}}\n")).await;
        let everything = run_at(&harness, &harness.pipeline(&lists("sms")), Scope::Everything, now()).await;
        assert_eq!(everything.outcome, Outcome::Done, "{everything:#?}");
        let warnings = &report(&everything, "contact_lists").warnings;
        assert_eq!(warnings.len(), usize::from(mode == "append"), "{warnings:?}");
        done(&harness, &lists("sms")).await;
    }
    // A snapshot may become one of something else.
    let segments: Vec<u32> = harness.sandbox.account().segments().iter().map(|segment| segment.segment_id).collect();
    for segment in &segments[..2] {
        done(&harness, &format!("  - {{report: contacts, segment_id: {segment}, write_mode: replace}}\n")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pipelines_do_not_put_their_snapshots_in_each_others_place() {
    let harness = Harness::new(20).await;
    let text = |name: &str, status: &str| {
        let reports = format!("  - {{report: contacts, contact_status: {status}, write_mode: replace}}\n");
        harness.pipeline(&reports).replace("name: test", &format!("name: {name}"))
    };
    let run = async |name: &str, status: &str, scope: Scope| run_at(&harness, &text(name, status), scope, now()).await;
    assert_eq!(run("one", "all", Scope::Live).await.exit_code, 0);
    assert_eq!(run("two", "all", Scope::Live).await.exit_code, 0, "it asks for the same");
    refused(&run("one", "active", Scope::Live).await, "contacts", &["pipeline `two`", "contact_status: all"]);
    assert_eq!(harness.rows("contacts").len(), 20);
    assert_eq!(run("two", "active", Scope::Live).await.exit_code, 0, "its own");
    assert_eq!(run("one", "all", Scope::Everything).await.exit_code, 0, "taken over");
    refused(&run("two", "active", Scope::Live).await, "contacts", &["pipeline `one`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relative_date_is_the_same_question_on_the_next_day() {
    for mode in ["append", "merge", "replace"] {
        let harness = Harness::new(50).await;
        let contacts = |days: u32| {
            let reports =
                format!("  - {{report: contacts, created_after: {{days_back: {days}}}, write_mode: {mode}}}\n");
            harness.pipeline(&reports)
        };
        for day in 0..3 {
            let at = now() + TimeDelta::days(day);
            let summary = run_at(&harness, &contacts(400), Scope::Live, at).await;
            assert_eq!(summary.outcome, Outcome::Done, "{mode}, day {day}: {summary:#?}");
        }
        let summary = run_at(&harness, &contacts(401), Scope::Live, now() + TimeDelta::days(3)).await;
        if mode == "replace" {
            assert_eq!(summary.outcome, Outcome::Done);
        } else {
            refused(&summary, "contacts", &["created_after: 400 days back", "created_after: 401 days back"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_one_server_are_not_committed_with_those_of_another() {
    for mode in ["append", "merge", "replace"] {
        let quirks = Quirks { most_rows: Some(20), ..Quirks::default() };
        let mut harness = Harness::with(SandboxConfig { quirks, ..sandbox_of(1_200) }).await;
        let contacts = format!("  - {{report: contacts, include_subresources: none, write_mode: {mode}}}\n");
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let events = Events::to(move |event| {
            if let Event::PageRead { .. } = event {
                stopping.cancel();
            }
        });
        let plan = harness.plan(&harness.pipeline(&contacts));
        let stopped = ctct_pipeline::run(&plan, &Context { stop, events, ..harness.context("stopped") }).await;
        assert!(stopped.stopped, "{stopped:#?}");
        harness.serve(SandboxConfig { seed: 8, ..sandbox_of(700) }).await;
        let summary = done(&harness, &contacts).await;
        assert_eq!(report(&summary, "contacts").rows, 700, "{mode}");
        let account = harness.sandbox.account();
        let there: BTreeSet<String> = (0..700).map(|index| account.contact_id(index)).collect();
        assert_eq!(current(&harness, "contacts"), there, "{mode}: of the second server alone");
    }
}

/// What a wider choice of types brings is read from the first event on, and nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn events_of_another_type_are_read_from_the_first_one_on() {
    for mode in ["append", "merge"] {
        let harness = Harness::with(SandboxConfig { campaigns: 200, sends: 150, ..sandbox_of(5) }).await;
        let ids: Vec<String> = (0..3).map(|index| harness.sandbox.account().contact_id(index)).collect();
        let details = |types: &str| {
            format!(
                "  - {{report: contact_activity_details, contact_id: [{}], tracking_activity_types: [{types}], write_mode: {mode}}}\n",
                ids.join(", ")
            )
        };
        done(&harness, &details("em_sends")).await;
        done(&harness, &details("em_opens, em_sends")).await;
        done(&harness, &details("em_sends")).await;
        done(&harness, &details("em_sends, em_opens")).await;
        let at_once = Harness::with(SandboxConfig { campaigns: 200, sends: 150, ..sandbox_of(5) }).await;
        done(&at_once, &details("em_sends, em_opens")).await;
        let table = "contact_activity_details";
        assert_eq!(comparable(&harness.rows(table)), comparable(&at_once.rows(table)), "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_fit_a_filter_stays_where_it_is() {
    for keys in ["", ", history: true", ", partition_by: [{month: created_at}]"] {
        let harness = five().await;
        let contact = |number: u32, permission: &serde_json::Value, name: &str| {
            json!({"contact_id": id(number), "first_name": name, "created_at": "2026-01-05T00:00:00Z",
                "updated_at": "2026-02-01T00:00:00Z", "email_address": {"permission_to_send": permission}})
        };
        let page = |contacts: &[serde_json::Value]| Answer::json(&json!({ "contacts": contacts }));
        let odd = json!({"is": "implicit"});
        let server = Scripted::start([(
            "/contacts",
            vec![
                page(&[contact(0, &json!("implicit"), "Ann"), contact(1, &json!("implicit"), "Bea")]),
                // Stored before; stored before; never seen.
                page(&[contact(0, &odd, "Amy"), contact(1, &json!("unsubscribed"), "Bea"), contact(2, &odd, "Cat")]),
            ],
        )])
        .await;
        let active = format!("  - {{report: contacts, contact_status: [active], write_mode: merge{keys}}}\n");
        for expected in [numbers(&[0, 1]), numbers(&[0])] {
            let summary = harness.run_at(server.base_url(), &active).await;
            assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
            assert_eq!(current(&harness, "contacts"), expected, "{keys}");
        }
        let rows = harness.rows("contacts");
        let open: Vec<_> = rows.iter().filter(|row| !row.contains_key("_valid_to")).collect();
        assert_eq!(open[0]["first_name"], json!("Amy"), "{keys}: {rows:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_replay_the_next_run_looks_for_who_vanished() {
    let harness = five().await;
    let contacts = "  - {report: contacts, write_mode: merge, keep_raw: true, reconcile: {every: 7d}}\n";
    let text = harness.pipeline(contacts);
    run_at(&harness, &text, Scope::Live, now()).await;
    let next = run_at(&harness, &text, Scope::Live, now() + TimeDelta::hours(1)).await;
    assert_eq!(report(&next, "contacts").reconciled, None, "{next:#?}");
    let replayed = ctct_pipeline::run::replay(&harness.plan(&text), &harness.context("replay")).await;
    assert_eq!(replayed.outcome, Outcome::Done, "{replayed:#?}");
    let next = run_at(&harness, &text, Scope::Live, now() + TimeDelta::hours(2)).await;
    assert_eq!(report(&next, "contacts").reconciled, Some(true), "{next:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_refresh_of_one_period_leaves_the_others() {
    let path = format!("/reports/contact_reports/{}/activity_summary", id(0));
    let summary_of = |sends: u32| {
        let activity = json!({"campaign_activity_id": id(9), "em_sends": sends});
        Answer::json(&json!({"contact_id": id(0), "campaign_activities": [activity]}))
    };
    for keys in ["", ", history: true", ", partition_by: [{month: period_start}]"] {
        let harness = five().await;
        let answers = [1, 2, 3].map(summary_of).to_vec();
        let server = Scripted::with(vec![(path.clone(), answers)]).await;
        let day = |day: &str| {
            let reports = format!(
                "  - {{report: contact_action_summary, contact_id: {}, duration: single_date, report_date: {day}, write_mode: \
                 merge{keys}}}\n",
                id(0)
            );
            crate::harness::pipeline_at(server.base_url(), &reports)
        };
        for (text, scope) in
            [(day("2026-02-01"), Scope::Live), (day("2026-02-02"), Scope::Live), (day("2026-02-02"), Scope::Everything)]
        {
            let summary = run_at(&harness, &text, scope, now()).await;
            assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
        }
        let mut sends: Vec<i64> = harness
            .rows("contact_action_summary")
            .iter()
            .filter(|row| !row.contains_key("_valid_to"))
            .map(|row| row["em_sends"].as_i64().unwrap())
            .collect();
        sends.sort_unstable();
        assert_eq!(sends, [1, 3], "{keys}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_replaced_is_asked_for_from_its_beginning() {
    for (keys, asked) in [
        ("replace", "created_after=2026-02-15T05%3A59%3A59"),
        ("partition, partition_by: [{month: created_at}]", "created_after=2026-01-31T23%3A59%3A59"),
        ("partition, partition_by: [{year: created_at}]", "created_after=2025-12-31T23%3A59%3A59"),
        ("partition, partition_by: [{day: created_at}]", "created_after=2026-02-14T23%3A59%3A59"),
    ] {
        let harness = five().await;
        let server = Scripted::start([("/contacts", vec![Answer::json(&json!({"contacts": []}))])]).await;
        let reports = format!("  - {{report: contacts, created_after: '2026-02-15T06:00:00Z', write_mode: {keys}}}\n");
        let summary = harness.run_at(server.base_url(), &reports).await;
        assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
        assert!(server.asked()[0].contains(asked), "{keys}: {:?}", server.asked());
    }
}
