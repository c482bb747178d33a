//! Clocks that are wrong: the server's, this host's, and the marks that they would leave.

use chrono::{DateTime, TimeDelta, Utc};
use ctct_extract::Clock;
use ctct_pipeline::maintain::{Expectation, Health};
use ctct_pipeline::plan::Scope;
use ctct_pipeline::{Context, Outcome, Plan, RunSummary};
use ctct_sandbox::{Change, ContactChange, Quirks, SandboxConfig};
use serde_json::json;

use crate::harness::{Harness, message, now, pipeline_at, report, sandbox_of};
use crate::scripted::{Answer, Scripted};

const CONTACTS: &str = "  - {report: contacts, write_mode: merge}\n";
/// No `Date` header that anybody can read.
const NONE: &str = "none";

fn contact(number: u64) -> String {
    format!("0000000{number}-0000-1000-8000-00000000c0de")
}

/// A sandbox whose `Date` header is off by so much, with one contact.
async fn off_by(date: TimeDelta) -> Harness {
    let quirks = Quirks { wrong_date: date, ..Quirks::default() };
    let harness = Harness::with(SandboxConfig { quirks, ..sandbox_of(0) }).await;
    harness
        .sandbox
        .edit(now() - TimeDelta::days(3), &Change::CreateContact(json!({"contact_id": contact(1)})))
        .unwrap();
    harness
}

/// Runs at `time`; this host's clock is off by `host`.
async fn run_at(harness: &Harness, time: DateTime<Utc>, host: TimeDelta, reports: &str) -> RunSummary {
    harness.sandbox.set_time(time);
    let context = Context { clock: Clock::fixed(time + host), ..harness.context(&format!("run-{}", time.timestamp())) };
    ctct_pipeline::run(&harness.plan(&harness.pipeline(reports)), &context).await
}

fn change(harness: &Harness, time: DateTime<Utc>, name: &str) {
    let fields = ContactChange::Fields(json!({"first_name": name}));
    harness.sandbox.edit(time, &Change::Contact(contact(1), fields)).unwrap();
}

fn name_stored(harness: &Harness) -> String {
    harness.rows("contacts")[0]["first_name"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_is_missed_whatever_the_servers_clock_says() {
    let years = |years: i64| TimeDelta::days(years * 365);
    let off = [
        ("2099", years(73)),
        ("two hours ahead", TimeDelta::hours(2)),
        ("two hours behind", TimeDelta::hours(-2)),
        ("year 2", years(-2_024)),
        ("year 9000", years(6_980)),
        ("a minute ahead", TimeDelta::minutes(1)),
    ];
    for (what, off) in off {
        let harness = off_by(off).await;
        let mut last = None;
        for hour in 0..4 {
            let time = now() + TimeDelta::hours(hour);
            let name = format!("at {hour}");
            change(&harness, time - TimeDelta::minutes(20), &name);
            let summary = run_at(&harness, time, TimeDelta::zero(), CONTACTS).await;
            assert_eq!(summary.outcome, Outcome::Done, "{what}: {summary:#?}");
            assert_eq!(name_stored(&harness), name, "{what}");
            let contacts = report(&summary, "contacts");
            assert!(contacts.watermark_after >= last, "{what}: never back");
            assert!(contacts.watermark_after.is_none_or(|at| at <= time), "{what}");
            assert_eq!(
                contacts.warnings.len(),
                usize::from(off.abs() > TimeDelta::minutes(2)),
                "{what}: {contacts:#?}"
            );
            last = contacts.watermark_after;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_is_missed_where_this_hosts_clock_is_wrong_once() {
    for host in [TimeDelta::days(400), TimeDelta::hours(2), TimeDelta::hours(-2)] {
        let harness = off_by(TimeDelta::zero()).await;
        assert_eq!(run_at(&harness, now(), host, CONTACTS).await.outcome, Outcome::Done);
        change(&harness, now() + TimeDelta::minutes(40), "later");
        let summary = run_at(&harness, now() + TimeDelta::hours(1), TimeDelta::zero(), CONTACTS).await;
        assert_eq!((summary.outcome, name_stored(&harness).as_str()), (Outcome::Done, "later"), "{host}");
    }
}

/// A page of one list.
fn lists(date: &'static str) -> Vec<Answer> {
    vec![Answer::json(&json!({"contacts": [{"contact_id": contact(1)}]})).dated(date)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watermark_ahead_of_the_time_is_damage_until_it_is_rebuilt() {
    let harness = Harness::new(0).await;
    let server = Scripted::start([("/contacts", lists(NONE))]).await;
    let text = pipeline_at(server.base_url(), CONTACTS);
    let plan: Plan = harness.plan(&text);
    let at = |time: DateTime<Utc>, run: &str| Context { clock: Clock::fixed(time), ..harness.context(run) };
    assert_eq!(ctct_pipeline::run(&plan, &at(now(), "good")).await.outcome, Outcome::Done);
    // No `Date`, and this host is a year ahead, for one run.
    let wrong = ctct_pipeline::run(&plan, &at(now() + TimeDelta::days(365), "wrong")).await;
    assert_eq!(wrong.outcome, Outcome::Done);
    let ahead = report(&wrong, "contacts").watermark_after;
    assert!(ahead > Some(now()));

    let later = now() + TimeDelta::hours(1);
    let asked = server.asked().len();
    let refused = ctct_pipeline::run(&plan, &at(later, "refused")).await;
    assert_eq!((refused.exit_code, server.asked().len()), (15, asked), "before the first request: {refused:#?}");
    let error = report(&refused, "contacts").error.as_ref().unwrap();
    assert!(error.message.contains("/commits/") && error.message.contains("2027-03-01"), "{}", error.message);
    assert!(error.advice.contains("state rebuild test.yaml --report contacts"), "{}", error.advice);

    let expectation = Expectation { max_age: None, grace: std::time::Duration::ZERO };
    let status = ctct_pipeline::maintain::status(&plan, &at(later, "status"), expectation).await;
    assert_eq!((status.health, status.exit_code), (Health::Damaged, 15), "{status:#?}");
    let forecast = ctct_pipeline::forecast::forecast(&plan, &at(later, "plan"), false).await;
    assert_eq!(forecast.exit_code, 15, "{forecast:#?}");
    let verified = ctct_pipeline::maintain::verify(&plan, &at(later, "verify"), false).await;
    assert_eq!(verified.exit_code, 15, "{verified:#?}");

    let rebuilt = ctct_pipeline::maintain::rebuild(&plan, &at(later, "rebuild"), false).await;
    assert_eq!(rebuilt.exit_code, 0, "{rebuilt:#?}");
    let next = ctct_pipeline::run(&plan, &at(later, "next")).await;
    let contacts = report(&next, "contacts");
    assert_eq!(next.outcome, Outcome::Done, "{next:#?}");
    assert_eq!(contacts.watermark_before, Some(now() - TimeDelta::minutes(1)), "back to the one of the good run");
    assert_eq!(ctct_pipeline::maintain::verify(&plan, &at(later, "verified"), false).await.exit_code, 0);
    assert!(harness.rows("contacts").len() == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_refresh_takes_nothing_over_from_a_wrong_clock() {
    let harness = Harness::new(0).await;
    let server = Scripted::start([("/contacts", lists(NONE))]).await;
    let plan: Plan = harness.plan(&pipeline_at(server.base_url(), CONTACTS));
    let at = |time: DateTime<Utc>, run: &str| Context { clock: Clock::fixed(time), ..harness.context(run) };
    ctct_pipeline::run(&plan, &at(now() + TimeDelta::days(365), "wrong")).await;
    let everything = plan.clone().with_scope(Scope::Everything).unwrap();
    let summary = ctct_pipeline::run(&everything, &at(now(), "everything")).await;
    let contacts = report(&summary, "contacts");
    assert_eq!((summary.outcome, contacts.watermark_after), (Outcome::Done, Some(now() - TimeDelta::minutes(1))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_changed_at_the_very_instant_of_from_is_read() {
    let harness = off_by(TimeDelta::zero()).await;
    let midnight = now() - TimeDelta::hours(12);
    change(&harness, midnight, "midnight");
    for reports in [
        "  - {report: contacts, write_mode: replace, updated_after: 2026-03-01}\n",
        "  - {report: contacts, write_mode: replace, created_after: 2026-02-26T12:00:00Z}\n",
    ] {
        let summary = run_at(&harness, now(), TimeDelta::zero(), reports).await;
        assert_eq!((summary.outcome, harness.rows("contacts").len()), (Outcome::Done, 1), "{reports}");
    }
    let harness = off_by(TimeDelta::zero()).await;
    change(&harness, midnight, "midnight");
    let scope = Scope::Between { from: midnight, to: None };
    let plan = harness.plan(&harness.pipeline(CONTACTS)).with_scope(scope).unwrap();
    let summary = ctct_pipeline::run(&plan, &harness.context("from")).await;
    let contacts = report(&summary, "contacts");
    assert_eq!((summary.outcome, harness.rows("contacts").len()), (Outcome::Done, 1));
    assert_eq!(contacts.window.after, Some(midnight), "the instant that was asked for is told");
    assert!(contacts.error.is_none() || message(contacts).is_empty());
}
