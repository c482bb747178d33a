//! Runs that follow each other while the account lives on: what they ask, what they write, and where they go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use ctct_pipeline::plan::Scope;
use ctct_pipeline::{Context, Event, Events, Outcome, Plan, RunSummary};
use ctct_sandbox::SandboxConfig;
use tokio_util::sync::CancellationToken;

use crate::harness::{Harness, message, report, sandbox_of, today};
use crate::truth::{Tables, add, comparable};

const MERGED: &str = "
  - {report: contacts, write_mode: merge, partition_by: [{year: created_at}]}
  - {report: contact_lists, write_mode: merge}
  - {report: email_campaigns, write_mode: merge}
";

/// The first moment of the harness's day, at which the account is as it was made.
fn dawn() -> DateTime<Utc> {
    Utc.from_utc_datetime(&today().and_hms_opt(0, 0, 0).unwrap())
}

fn three_days_later() -> DateTime<Utc> {
    dawn() + TimeDelta::days(3)
}

/// The account at dawn.
fn account_of(contacts: u64) -> SandboxConfig {
    SandboxConfig { clock: dawn, ..sandbox_of(contacts) }
}

/// The same account three days on.
fn lived_on(contacts: u64) -> SandboxConfig {
    SandboxConfig { clock: three_days_later, days_later: 3, ..sandbox_of(contacts) }
}

/// What the account holds, but for the counts of members, which the account's lists do not have.
fn truth(harness: &Harness) -> Tables {
    let account = harness.sandbox.account();
    let mut tables = Tables::new();
    for index in 0..account.contacts() {
        add(&mut tables, "contacts", &account.contact(index), &["contact_id"]);
    }
    for list in account.lists() {
        add(&mut tables, "contact_lists", list, &["list_id"]);
    }
    for campaign in account.campaigns() {
        add(&mut tables, "email_campaigns", campaign, &["campaign_id"]);
    }
    tables
}

/// The rows of a table without the counts of members.
fn stored(harness: &Harness, table: &str) -> Vec<String> {
    let mut rows = harness.rows(table);
    for row in &mut rows {
        row.remove("membership_count");
    }
    comparable(&rows)
}

fn equals_the_account(harness: &Harness) {
    for (table, expected) in truth(harness) {
        assert_eq!(stored(harness, &table), comparable(&expected), "{table}");
    }
}

/// Runs with a scope of its own.
async fn run_for(harness: &Harness, reports: &str, scope: Scope) -> RunSummary {
    let plan: Plan = harness.plan(&harness.pipeline(reports)).with_scope(scope).unwrap();
    ctct_pipeline::run(&plan, &harness.context("scoped")).await
}

/// Runs, and asks the run to stop after so many pages.
async fn run_until(harness: &Harness, reports: &str, pages: u64) -> RunSummary {
    let stop = CancellationToken::new();
    let (seen, stopping) = (Arc::new(AtomicU64::new(0)), stop.clone());
    let events = Events::to(move |event| {
        if let Event::PageRead { .. } = event
            && seen.fetch_add(1, Ordering::Relaxed) + 1 >= pages
        {
            stopping.cancel();
        }
    });
    let context = Context { events, stop, ..harness.context("stopped") };
    ctct_pipeline::run(&harness.plan(&harness.pipeline(reports)), &context).await
}

#[tokio::test(flavor = "multi_thread")]
async fn merging_runs_bring_the_tables_to_what_the_account_is() {
    let mut harness = Harness::with(account_of(1_200)).await;
    assert_eq!(harness.run(MERGED).await.outcome, Outcome::Done);
    equals_the_account(&harness);

    harness.serve(lived_on(1_200)).await;
    let summary = harness.run(MERGED).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    let contacts = report(&summary, "contacts");
    assert!(contacts.rows > 0 && contacts.rows < 200, "only what changed is read: {contacts:#?}");
    equals_the_account(&harness);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_changes_asks_once_a_report_and_writes_nothing() {
    let harness = Harness::with(account_of(400)).await;
    harness.run(MERGED).await;
    let files = |harness: &Harness| -> Vec<_> {
        let table = |name| crate::tables::files(&harness.folder().join(name));
        ["contacts", "contacts_taggings", "contact_lists", "email_campaigns"].map(table).concat()
    };
    let times = |paths: &[std::path::PathBuf]| -> Vec<_> {
        paths.iter().map(|path| std::fs::metadata(path).unwrap().modified().unwrap()).collect()
    };
    let before = files(&harness);
    let written = times(&before);
    let summary = harness.run(MERGED).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    assert_eq!(summary.api.requests, 4, "two for contacts, one for each of the others");
    assert_eq!((files(&harness), times(&before)), (before, written));
    assert_eq!(report(&summary, "contacts").commit, Some(2), "the watermark moves all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn appending_runs_read_an_overlap_and_write_no_version_twice() {
    let mut harness = Harness::with(account_of(300)).await;
    let reports = "  - {report: contacts, overlap: 2d}\n  - report: contact_lists\n";
    harness.run(reports).await;
    let summary = harness.run(reports).await;
    assert_eq!(report(&summary, "contacts").tables[0].rows, 0, "{summary:#?}");
    assert_eq!(harness.rows("contacts").len(), 300);

    harness.serve(lived_on(300)).await;
    let summary = harness.run(reports).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    let mut versions = comparable(&harness.rows("contacts"));
    let all = versions.len();
    versions.dedup();
    assert_eq!(versions.len(), all, "a version stands once");
    for (table, expected) in truth(&harness).into_iter().filter(|(table, _)| !table.starts_with("email")) {
        let stored = stored(&harness, &table);
        for row in comparable(&expected) {
            assert!(stored.binary_search(&row).is_ok(), "{table} misses a row of the account");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_upkeep_between_a_stop_and_the_next_run_costs_a_kept_page() {
    for (mode, upkeep) in [
        ("append", "compact"),
        ("append", "rebuild of damage"),
        ("merge", "nothing"),
        ("merge", "replay"),
        ("merge", "rebuild"),
        ("merge", "rebuild of damage"),
    ] {
        let harness = Harness::with(account_of(2_000)).await;
        let reports = format!("  - {{report: contacts, write_mode: {mode}, include_subresources: none}}\n");
        let text = harness.pipeline(&reports);
        let plan = harness.plan(&text).with_raw_kept();
        let few = text.replace("daily_requests: 100000000", "daily_requests: 3");
        let few = harness.plan(&few).with_raw_kept().with_over_days().with_scope(Scope::Everything).unwrap();
        let everything = plan.clone().with_scope(Scope::Everything).unwrap();
        for (number, plan) in [&plan, &everything, &everything].into_iter().enumerate() {
            let done = ctct_pipeline::run(plan, &harness.context(&format!("run-{number}"))).await;
            assert_eq!(done.outcome, Outcome::Done, "{done:#?}");
        }
        let stopped = ctct_pipeline::run(&few, &harness.context("stopped")).await;
        assert_eq!((stopped.exit_code, report(&stopped, "contacts").commit), (11, None), "{stopped:#?}");
        let context = harness.context("upkeep");
        match upkeep {
            "compact" => {
                let compacted = ctct_pipeline::maintain::compact(&plan, &context, false).await.unwrap();
                assert_eq!(compacted.outcome(), Outcome::Done, "{compacted:#?}");
            }
            "replay" => {
                let replayed = ctct_pipeline::run::replay(&plan, &context).await;
                assert_eq!(replayed.outcome, Outcome::Done, "{replayed:#?}");
            }
            "rebuild of damage" => {
                let record = harness.folder().join(format!("_ctct/acme/contacts/commits/{:020}.json", 3));
                std::fs::write(record, "{}").unwrap();
                let rebuilt = ctct_pipeline::maintain::rebuild(&plan, &context, false).await;
                assert_eq!(rebuilt.outcome, Outcome::Done, "{rebuilt:#?}");
            }
            "rebuild" => {
                assert_eq!(ctct_pipeline::maintain::rebuild(&plan, &context, false).await.outcome, Outcome::Done);
            }
            _ => {}
        }
        let summary = ctct_pipeline::run(&everything, &harness.context("resumed")).await;
        assert_eq!(summary.outcome, Outcome::Done, "{mode}, {upkeep}: {summary:#?}");
        let contacts = report(&summary, "contacts");
        assert!(contacts.resumed_pages >= 2, "{mode}, {upkeep}: {summary:#?}");
        assert_eq!(contacts.resumed_pages + contacts.api.requests, 4, "{mode}, {upkeep}: no page is requested twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_is_gone_on_with_at_its_page() {
    for mode in ["append", "merge", "replace"] {
        let harness = Harness::with(account_of(4_000)).await;
        let contacts = format!("  - {{report: contacts, write_mode: {mode}, include_subresources: none}}\n");
        let stopped = run_until(&harness, &contacts, 2).await;
        assert_eq!((stopped.exit_code, report(&stopped, "contacts").commit), (12, None), "{stopped:#?}");
        let summary = harness.run(&contacts).await;
        assert_eq!(summary.outcome, Outcome::Done, "{mode}: {summary:#?}");
        let resumed = report(&summary, "contacts").resumed_pages;
        assert!(resumed >= 2, "{mode}: {summary:#?}");
        assert_eq!(resumed + report(&summary, "contacts").api.requests, 8, "{mode}: no page is asked for twice");
        assert_eq!(harness.rows("contacts").len(), 4_000, "{mode}");
        assert_eq!(crate::tables::files(&harness.folder().join("_ctct")).len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_by_ids_goes_on_at_the_id_when_the_quota_is_new() {
    for mode in ["append", "merge", "replace"] {
        let mut harness = Harness::with(account_of(60)).await;
        let reports =
            format!("  - {{report: contact_activity_details, contact_id: {{from: contacts}}, write_mode: {mode}}}\n");
        harness.run("  - {report: contacts, write_mode: merge}\n").await;
        harness.serve(SandboxConfig { daily_requests: 25, ..account_of(60) }).await;
        let first = harness.run(&reports).await;
        assert_eq!(first.exit_code, 11, "{mode}: {first:#?}");
        harness.serve_later(account_of(60)).await;
        let second = harness.run(&reports).await;
        assert_eq!(second.outcome, Outcome::Done, "{mode}: {second:#?}");
        let account = harness.sandbox.account();
        let events: usize = (0..60).map(|index| account.activities(index).len()).sum();
        assert_eq!(harness.rows("contact_activity_details").len(), events, "{mode}");
        assert!(second.api.requests < 60, "{mode}: ids that were done are not asked again: {second:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn activity_details_are_read_down_to_what_is_known() {
    let mut harness = Harness::with(SandboxConfig { campaigns: 400, sends: 300, ..account_of(3) }).await;
    harness.run("  - {report: contacts, write_mode: merge}\n").await;
    let reports = "  - {report: contact_activity_details, contact_id: {from: contacts}}\n";
    let first = harness.run(reports).await;
    assert!(first.api.requests > 6, "{first:#?}");
    harness.serve(SandboxConfig { campaigns: 400, sends: 300, ..lived_on(3) }).await;
    let second = harness.run(reports).await;
    assert_eq!(second.api.requests, 3, "one page for each contact: {second:#?}");
    let account = harness.sandbox.account();
    let known: Vec<u64> = (0..account.contacts())
        .filter(|index| harness.rows("contacts").iter().any(|row| row["contact_id"] == account.contact_id(*index)))
        .collect();
    let events: usize = known.iter().map(|index| account.activities(*index).len()).sum();
    assert_eq!(harness.rows("contact_activity_details").len(), events);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_chosen_in_another_way_are_refused_until_everything_is_read() {
    let harness = Harness::with(account_of(50)).await;
    let contacts = |options: &str| format!("  - {{report: contacts, write_mode: merge{options}}}\n");
    harness.run(&contacts(", contact_status: active")).await;
    let summary = harness.run(&contacts("")).await;
    assert_eq!((summary.exit_code, summary.api.requests), (2, 0));
    insta::assert_snapshot!(message(report(&summary, "contacts")));
    let summary = run_for(&harness, &contacts(""), Scope::Everything).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    assert_eq!(harness.rows("contacts").len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_leaves_the_watermark_and_an_earlier_beginning_is_read_once() {
    let harness = Harness::with(account_of(500)).await;
    let contacts = |since: &str| format!("  - {{report: contacts, write_mode: merge, updated_after: {since}}}\n");
    let live = harness.run(&contacts("2026-01-01")).await;
    let watermark = report(&live, "contacts").watermark_after;
    let since = harness.rows("contacts").len();
    assert!(since > 0 && since < 500);
    let (from, to) = (dawn() - TimeDelta::days(365), Some(dawn() - TimeDelta::days(60)));
    let backfill = run_for(&harness, &contacts("2026-01-01"), Scope::Between { from, to }).await;
    assert_eq!(backfill.outcome, Outcome::Done, "{backfill:#?}");
    assert_eq!(report(&backfill, "contacts").watermark_after, watermark);
    let more = harness.rows("contacts").len();
    assert!(more > since && more < 500, "{since} -> {more}");
    let earlier = harness.run(&contacts("2000-01-01")).await;
    assert_eq!(earlier.outcome, Outcome::Done, "{earlier:#?}");
    assert_eq!(harness.rows("contacts").len(), 500);
    let again = harness.run(&contacts("2000-01-01")).await;
    assert_eq!(again.api.requests, 2, "{again:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_pages_make_the_tables_again_without_a_request() {
    for mode in ["append", "merge", "merge, history: true"] {
        let mut harness = Harness::with(account_of(700)).await;
        let reports = format!(
            "  - {{report: contacts, keep_raw: true, write_mode: {mode}}}\n  - {{report: contact_lists, keep_raw: true, write_mode: {mode}}}\n"
        );
        harness.run(&reports).await;
        harness.serve(lived_on(700)).await;
        assert_eq!(harness.run(&reports).await.outcome, Outcome::Done);
        let tables = ["contacts", "contacts_taggings", "contacts_custom_fields", "contact_lists"];
        let stored = |harness: &Harness| tables.map(|table| comparable(&harness.rows(table)));
        let before = stored(&harness);
        for _ in 0..2 {
            let plan = harness.plan(&harness.pipeline(&reports));
            let summary = ctct_pipeline::run::replay(&plan, &harness.context("replay")).await;
            assert_eq!((summary.outcome, summary.api.requests), (Outcome::Done, 0), "{mode}: {summary:#?}");
            assert_eq!(report(&summary, "contacts").resumed_pages, 4, "{mode}: {summary:#?}");
            for (table, (after, before)) in tables.iter().zip(stored(&harness).iter().zip(&before)) {
                let lost: Vec<_> = before.iter().filter(|row| !after.contains(row)).collect();
                let more: Vec<_> = after.iter().filter(|row| !before.contains(row)).collect();
                let counts = (after.len(), before.len());
                assert!(
                    after == before,
                    "{mode}: {table} is another after a replay: {counts:?}\nlost {lost:?}\nmore {more:?}"
                );
            }
        }
        // The next run goes on as if nothing had been.
        let next = harness.run(&reports).await;
        assert_eq!((next.outcome, next.api.requests), (Outcome::Done, 3), "{mode}: {next:#?}");
        assert!(stored(&harness) == before, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_pages_from_the_beginning_nothing_is_replayed() {
    let mut harness = Harness::with(account_of(20)).await;
    let contacts = |raw: bool| format!("  - {{report: contacts, write_mode: merge, keep_raw: {raw}}}\n");
    harness.run(&contacts(false)).await;
    harness.serve(lived_on(20)).await;
    harness.run(&contacts(true)).await;
    let summary =
        ctct_pipeline::run::replay(&harness.plan(&harness.pipeline(&contacts(true))), &harness.context("replay")).await;
    assert_eq!(summary.exit_code, 2, "{summary:#?}");
    let message = message(report(&summary, "contacts")).replace(harness.folder().to_str().unwrap(), "[folder]");
    insta::assert_snapshot!(message, @"contacts: [folder] has no saved responses that its tables could be made from");
    equals_the_account_of(&harness, "contacts");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_keeps_every_version_and_one_of_them_is_open() {
    let mut harness = Harness::with(account_of(800)).await;
    let contacts = "  - {report: contacts, write_mode: merge, history: true}\n";
    harness.run(contacts).await;
    harness.serve(lived_on(800)).await;
    assert_eq!(harness.run(contacts).await.outcome, Outcome::Done);
    let rows = harness.rows("contacts");
    let is_open = |row: &crate::tables::Row| !row.contains_key("_valid_to");
    let (open, closed): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_open);
    assert!(!closed.is_empty());
    let without_spans = |rows: Vec<crate::tables::Row>| -> Vec<String> {
        let bare = rows.into_iter().map(|mut row| {
            row.remove("_valid_from");
            row.remove("_valid_to");
            row
        });
        comparable(&bare.collect::<Vec<_>>())
    };
    assert_eq!(without_spans(open.clone()), comparable(&truth(&harness)["contacts"]));
    for version in closed {
        let next = open.iter().find(|row| row["contact_id"] == version["contact_id"]).unwrap();
        assert_eq!(version["_valid_to"], next["_valid_from"], "a version ends where the next begins");
    }
}

fn equals_the_account_of(harness: &Harness, table: &str) {
    assert_eq!(stored(harness, table), comparable(&truth(harness)[table]));
}
