//! `status`: fresh, stale, failed, damaged and unknown, each with its exit code, and no request for any of them.

use std::fs;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use ctct_extract::Clock;
use ctct_pipeline::maintain::{Expectation, Health, StatusSummary};
use ctct_pipeline::plan::Scope;
use ctct_pipeline::{Context, Outcome};
use ctct_sandbox::{Faults, SandboxConfig};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Harness, now, pipeline_at, sandbox_of};
use crate::program;
use crate::scripted::{Answer, Scripted};

const REPORTS: &str =
    "  - report: contacts\n    write_mode: merge\n  - report: contact_lists\n    write_mode: replace\n";
const DAILY: &str = "schedule: {cron: \"0 6 * * *\", timezone: UTC}\nreports:\n";
const HOUR: Duration = Duration::from_hours(1);

/// How things stand, so many hours after the tests' day at noon.
async fn status(harness: &Harness, hours: i64, expectation: Expectation) -> StatusSummary {
    let text = harness.pipeline(REPORTS).replace("reports:\n", DAILY);
    let clock = Clock::fixed(now() + TimeDelta::hours(hours));
    ctct_pipeline::maintain::status(&harness.plan(&text), &Context { clock, ..harness.context("look") }, expectation)
        .await
}

fn by_schedule() -> Expectation {
    Expectation { max_age: None, grace: HOUR }
}

fn by_age(hours: u64) -> Expectation {
    Expectation { max_age: Some(Duration::from_hours(hours)), grace: HOUR }
}

fn healths(summary: &StatusSummary) -> Vec<Health> {
    summary.reports.iter().map(|report| report.health).collect()
}

async fn run(harness: &Harness, run_id: &str, scope: Scope) -> Outcome {
    let plan = harness.plan(&harness.pipeline(REPORTS)).with_scope(scope).unwrap();
    ctct_pipeline::run(&plan, &harness.context(run_id)).await.outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_fresh_until_a_run_was_due_and_the_grace_is_over() {
    let harness = Harness::new(10).await;
    let never = status(&harness, 0, by_schedule()).await;
    assert_eq!((healths(&never), never.exit_code), (vec![Health::Stale; 2], 20));
    assert!(never.reports.iter().all(|report| report.last_success.is_none()));

    assert_eq!(run(&harness, "019a", Scope::Live).await, Outcome::Done);
    let asked = harness.sandbox.requests().total;
    // It ran at noon; 06:00 of the next day is 18 hours later.
    for (hours, expectation, code) in [
        (0, by_schedule(), 0),
        (18, by_schedule(), 0),
        (19, by_schedule(), 0),
        (20, by_schedule(), 20),
        (20, Expectation { grace: 3 * HOUR, ..by_schedule() }, 0),
        (25, by_age(26), 0),
        (27, by_age(26), 20),
    ] {
        let summary = status(&harness, hours, expectation).await;
        assert_eq!(summary.exit_code, code, "after {hours} h by {expectation:?}: {summary:#?}");
    }
    let summary = status(&harness, 1, by_schedule()).await;
    assert_eq!(summary.reports[0].last_success, Some(now()));
    assert_eq!(summary.reports[0].age_seconds, Some(3_600));
    assert_eq!(summary.next_due, Some(now() + TimeDelta::hours(18)));
    assert_eq!(summary.quota.unwrap().daily, 100_000_000);
    assert_eq!(harness.sandbox.requests().total, asked, "nothing was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_makes_nothing_fresh() {
    let harness = Harness::new(10).await;
    assert_eq!(run(&harness, "019a", Scope::Live).await, Outcome::Done);
    let from = now() - TimeDelta::days(100);
    let plan = harness.plan(&harness.pipeline("  - report: contacts\n    write_mode: merge\n"));
    let plan = plan.with_scope(Scope::Between { from, to: None }).unwrap();
    let clock = Clock::fixed(now() + TimeDelta::hours(30));
    let done = ctct_pipeline::run(&plan, &Context { clock, ..harness.context("019b") }).await;
    assert_eq!(done.outcome, Outcome::Done);
    let summary = status(&harness, 30, by_schedule()).await;
    assert_eq!((healths(&summary)[0], summary.reports[0].last_success), (Health::Stale, Some(now())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_needs_a_person_is_told_at_once_and_one_that_passes_is_only_shown() {
    let mut harness = Harness::new(10).await;
    assert_eq!(run(&harness, "019a", Scope::Live).await, Outcome::Done);
    let none = Faults::default();
    for (run_id, faults, outcome, health, code) in [
        ("019b", Faults { error_503: 1.0, ..none }, Outcome::Transient, Health::Fresh, 0),
        ("019bb", Faults { other_json: 1.0, ..none }, Outcome::Transient, Health::Fresh, 0),
        ("019c", none, Outcome::Partial, Health::Failed, 21),
        ("019d", none, Outcome::Done, Health::Fresh, 0),
    ] {
        harness.serve(SandboxConfig { faults, ..sandbox_of(10) }).await;
        let refuses = || vec![Answer::refusal(400, "bad")];
        let bad = Scripted::start([("/contacts", refuses()), ("/contact_lists", refuses())]).await;
        let text = if run_id == "019c" { pipeline_at(bad.base_url(), REPORTS) } else { harness.pipeline(REPORTS) };
        let text = text.replace("reports:\n", "retry: {attempts: 1}\nreports:\n");
        let summary = ctct_pipeline::run(&harness.plan(&text), &harness.context(run_id)).await;
        assert_eq!(summary.outcome, outcome);
        let found = status(&harness, 1, by_schedule()).await;
        assert_eq!((healths(&found), found.exit_code), (vec![health; 2], code), "{run_id}: {found:#?}");
        for (report, ran) in found.reports.iter().zip(&summary.reports) {
            let error = report.last_error.as_ref().map(|error| (error.run_id.as_deref(), error.message.as_str()));
            assert_eq!(error, ran.error.as_ref().map(|error| (Some(run_id), error.message.as_str())));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_told_before_all_else() {
    let harness = Harness::new(10).await;
    assert_eq!(run(&harness, "019a", Scope::Live).await, Outcome::Done);
    let log = harness.folder().join("_ctct/acme/contacts/commits/00000000000000000001.json");
    fs::write(log, "{").unwrap();
    let summary = status(&harness, 1, by_schedule()).await;
    assert_eq!((healths(&summary), summary.exit_code), (vec![Health::Damaged, Health::Fresh], 15));
    assert!(summary.reports[0].last_error.as_ref().unwrap().advice.contains("state rebuild"), "{summary:#?}");
}

/// A folder with a pipeline for the program.
fn folder(name: &str, text: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    folder
}

fn demo(more: &str) -> String {
    format!(
        "version: 1\nname: demo\nsource:\n  sandbox: {{contacts: 5}}\ndestination:\n  url: ./out\n{more}reports:\n  \
         - report: contacts\n  - report: contact_lists\n"
    )
}

#[test]
fn the_program_tells_people_and_machines_the_same() {
    let folder = folder("p.yaml", &demo("schedule: {every: 1d}\n"));
    let call = |arguments: &[&str]| program::run(folder.path(), arguments);
    let never = call(&["status", "p.yaml"]);
    assert_eq!(never.code, Some(20), "{}", never.stderr);
    assert!(never.stdout.contains("never"), "{}", never.stdout);
    assert!(!folder.path().join("out").exists(), "looking leaves nothing");

    assert_eq!(call(&["run", "p.yaml"]).code, Some(0));
    let fresh = call(&["status", "p.yaml", "--max-age", "26h"]);
    assert_eq!(fresh.code, Some(0), "{}{}", fresh.stdout, fresh.stderr);
    let json = call(&["status", "p.yaml", "--max-age", "26h", "--output", "json"]);
    let summary: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&summary["health"], &summary["exit_code"], &summary["quota"]),
        (&"fresh".into(), &0.into(), &Value::Null)
    );
    let reports = summary["reports"].as_array().unwrap();
    assert!(reports.iter().all(|report| report["health"] == "fresh" && report["age_seconds"].as_i64() < Some(600)));
    let at: chrono::DateTime<Utc> = reports[0]["last_success"].as_str().unwrap().parse().unwrap();
    assert!(fresh.stdout.contains(&at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)), "{}", fresh.stdout);
}

#[test]
fn several_pipelines_have_the_worst_code_and_what_cannot_be_looked_at_its_own() {
    let folder = folder("good.yaml", &demo(""));
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let call = |arguments: &[&str]| program::run(folder.path(), arguments);
    assert_eq!(call(&["run", "good.yaml"]).code, Some(0));
    write("never.yaml", &demo("").replace("./out", "./other"));
    write("wrong.yaml", &demo("shedule: 1h\n"));
    write("nobody.yaml", &demo("").replace("sandbox: {contacts: 5}", "account: nobody"));
    for (files, code) in [
        (&["good.yaml"][..], 0),
        (&["good.yaml", "never.yaml"], 20),
        (&["wrong.yaml", "good.yaml"], 2),
        (&["wrong.yaml", "never.yaml", "good.yaml"], 20),
    ] {
        let end = call(&[&["status"], files].concat());
        assert_eq!(end.code, Some(code), "{files:?}: {}{}", end.stdout, end.stderr);
    }
    // Its tables are those of nobody, so all of them were never read; and whoever looks learns that nobody is signed in.
    let end = call(&["status", "nobody.yaml", "--output", "json"]);
    let summary: Value = serde_json::from_str(&end.stdout).unwrap();
    assert_eq!((end.code, &summary["health"]), (Some(20), &"stale".into()), "{summary}");
    assert!(summary["error"]["advice"].as_str().unwrap().contains("auth login"), "{summary}");
    let no_schedule = call(&["status", "good.yaml"]);
    assert!(no_schedule.stdout.contains("--max-age"), "{}", no_schedule.stdout);
}
