//! What a run costs, told before it starts; and runs that the day or a deadline ends.

use std::collections::BTreeMap;
use std::fs;
use std::future::pending;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ctct_extract::Clock;
use ctct_pipeline::forecast::{Fits, PlanSummary, forecast};
use ctct_pipeline::plan::Scope;
use ctct_pipeline::{Context, Event, Events, Outcome, RunSummary, run};
use ctct_sandbox::SandboxConfig;
use tokio::sync::Notify;
use tokio::time::{Instant, advance};
use tokio_util::sync::CancellationToken;

use crate::harness::{Harness, message, now, report, sandbox_of};
use crate::program;

const EVENTS: &str = "  - {report: contact_activity_details, contact_id: {from: contacts}}\n";
const CONTACTS: &str = "  - {report: contacts, write_mode: merge}\n";

/// The text of a pipeline of these reports that may use so many requests a day.
fn limited(harness: &Harness, daily: u64, reports: &str) -> String {
    harness.pipeline(reports).replace("daily_requests: 100000000", &format!("daily_requests: {daily}"))
}

async fn planned(harness: &Harness, text: &str, probe: bool) -> PlanSummary {
    let sent = harness.sandbox.requests().total;
    let summary = forecast(&harness.plan(text), &harness.context("plan"), probe).await;
    assert_eq!(harness.sandbox.requests().total - sent, summary.sent, "{summary:#?}");
    summary
}

/// The plan without what differs from test to test.
fn shown(harness: &Harness, text: &str) -> String {
    let folder = harness.folder().to_str().unwrap();
    text.replace(folder, "[folder]").replace(&harness.sandbox.base_url(), "http://[sandbox]/v3")
}

fn least_and_most(summary: &PlanSummary, name: &str) -> (u64, Option<u64>) {
    let planned = summary.reports.iter().find(|planned| planned.report == name).unwrap();
    (planned.requests.least, planned.requests.most)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_goes_by_what_is_stored_and_is_right() {
    let reports = format!("{CONTACTS}  - report: contact_lists\n{EVENTS}");
    let harness = Harness::new(1_200).await;
    let text = harness.pipeline(&reports);
    // At the vendor's limits, to be looked at.
    let vendor = limited(&harness, 10_000, &reports).replace("requests_per_second: 100000", "requests_per_second: 4");
    let first = planned(&harness, &text, false).await;
    assert_eq!((first.cost.least.requests, first.cost.most.is_none(), first.sent), (3, true, 0));
    let counted = planned(&harness, &text, true).await;
    assert_eq!(counted.sent, 2, "one for each report that can be counted");
    assert_eq!(least_and_most(&counted, "contacts"), (3, Some(3)));
    insta::assert_snapshot!(
        "plan_of_a_first_run",
        shown(&harness, &planned(&harness, &vendor, true).await.to_string())
    );

    let done = harness.run_text(&text).await;
    assert_eq!(done.outcome, Outcome::Done, "{done:#?}");
    assert_eq!(report(&done, "contacts").pages, 3, "as the count said");
    let next = planned(&harness, &text, false).await;
    let events = report(&done, "contact_activity_details").pages;
    assert_eq!(least_and_most(&next, "contact_activity_details"), (1_200, Some(events)));
    assert_eq!(least_and_most(&next, "contacts"), (2, Some(3)));
    let shown_next = planned(&harness, &vendor, false).await;
    insta::assert_snapshot!("plan_of_a_second_run", shown(&harness, &shown_next.to_string()));
    let json = serde_json::to_string_pretty(&shown_next).unwrap();
    insta::assert_snapshot!("plan_as_json", shown(&harness, &json));

    let again = harness.run_text(&text).await;
    let cost = next.cost;
    assert!(
        (cost.least.requests..=cost.most.unwrap().requests).contains(&again.api.requests),
        "{} requests, and {cost:#?} was told",
        again.api.requests
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_knows_a_read_of_everything_and_pages_that_are_kept() {
    let harness = Harness::new(4_000).await;
    let reports = "  - {report: contacts, write_mode: merge, include_subresources: none, reconcile: {every: 7d}}\n";
    let text = harness.pipeline(reports);
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let events = Events::to(move |event| {
        if let Event::PageRead { .. } = event {
            stopping.cancel();
        }
    });
    // Whose account it is, is known by then.
    harness.run("  - report: contact_lists\n").await;
    let stopped = run(&harness.plan(&text), &Context { events, stop, ..harness.context("stopped") }).await;
    assert_eq!((stopped.exit_code, stopped.stopped, stopped.deadline), (12, true, false), "{stopped:#?}");
    let kept = stopped.api.requests;
    let next = planned(&harness, &text, true).await;
    assert_eq!((next.reports[0].kept_pages, next.cost.least.requests), (kept, 8 - kept), "{next:#?}");
    let done = harness.run_text(&text).await;
    assert_eq!(done.api.requests, 8 - kept);

    // Eight days later everything is due to be read again.
    let context = Context { clock: Clock::fixed(now() + TimeDelta::days(8)), ..harness.context("plan") };
    let due = forecast(&harness.plan(&text), &context, false).await;
    assert!(due.reports[0].reconciles && !next.reports[0].reconciles);
    assert_eq!((due.cost.least.requests, due.cost.most.map(|most| most.requests)), (1, Some(8)), "{due:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_cannot_be_read_leaves_the_bounds_of_a_first_run() {
    let harness = Harness::new(5).await;
    fs::write(harness.folder().join("file"), "").unwrap();
    let text = harness.pipeline(CONTACTS).replace("url: .", "url: ./file/below");
    let summary = planned(&harness, &text, false).await;
    assert_eq!((summary.exit_code, summary.cost.least.requests, summary.unknown.len()), (0, 2, 1), "{summary:#?}");
    insta::assert_snapshot!("plan_without_a_destination", shown(&harness, &summary.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_fails_says_why_and_the_plan_is_there() {
    let harness = Harness::new(5).await;
    let text = harness.pipeline(CONTACTS);
    let environment = [("TOKEN", "wrong")].into_iter().collect();
    let context = Context { environment, ..harness.context("plan") };
    let summary = forecast(&harness.plan(&text), &context, true).await;
    assert_eq!((summary.exit_code, summary.cost.least.requests), (10, 2), "{summary:#?}");
    assert!(summary.error.is_some_and(|error| !error.advice.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_fit_is_refused_before_it_asks_anything() {
    let harness = Harness::new(60).await;
    harness.run(CONTACTS).await;
    let sent = harness.sandbox.requests().total;
    let text = limited(&harness, 25, EVENTS);
    let plan = planned(&harness, &text, false).await;
    assert_eq!((plan.fits, plan.cost.least.days), (Fits::No, Some(3)));
    let refused = harness.run_text(&text).await;
    assert_eq!((refused.exit_code, refused.api.requests), (11, 0), "{refused:#?}");
    assert_eq!(harness.sandbox.requests().total, sent);
    let error = refused.error.unwrap();
    insta::assert_snapshot!("a_run_that_takes_days", format!("{}\nnext: {}", error.message, error.advice));
    // Sixty fit into sixty, and what is not certain is no reason to refuse.
    let done = harness.run_text(&limited(&harness, 60, EVENTS)).await;
    assert_ne!(done.error.map(|error| error.message), Some(error.message));
    let unknown = Harness::new(2_000).await;
    let begun = unknown.run_text(&limited(&unknown, 2, CONTACTS)).await;
    assert_eq!((begun.exit_code, begun.api.requests), (11, 2), "{begun:#?}");
}

/// Runs day after day, each day's quota at the server's, until the run is done.
async fn day_after_day(harness: &Harness, reports: &str) -> Vec<RunSummary> {
    let mut runs: Vec<RunSummary> = Vec::new();
    while runs.last().is_none_or(|run| run.outcome != Outcome::Done) {
        let today: DateTime<Utc> = now() + TimeDelta::days(i64::try_from(runs.len()).unwrap());
        harness.sandbox.set_time(today);
        let plan = harness.plan(&harness.pipeline(reports)).with_over_days();
        let context = Context { clock: Clock::fixed(today), ..harness.context(&format!("day-{}", runs.len())) };
        runs.push(run(&plan, &context).await);
        assert!(runs.len() < 20, "{:#?}", runs.last());
    }
    runs
}

/// How often each page was answered. Whose account it is may be asked again as long as there is no commit that says so.
fn answered(harness: &Harness) -> BTreeMap<String, u64> {
    let mut answered = BTreeMap::new();
    for request in harness
        .sandbox
        .requests()
        .latest
        .iter()
        .filter(|request| request.status == 200 && !request.target.starts_with("/v3/account"))
    {
        *answered.entry(request.target.clone()).or_default() += 1;
    }
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_days_does_what_each_day_allows_and_asks_nothing_twice() {
    for mode in ["append", "merge", "replace"] {
        for (reports, requests) in [
            (format!("  - {{report: contacts, write_mode: {mode}, include_subresources: none}}\n"), 8),
            (EVENTS.replace("contact_id:", &format!("write_mode: {mode}, contact_id:")), 0),
        ] {
            let contacts = if requests > 0 { 4_000 } else { 60 };
            let daily = if requests > 0 { 3 } else { 25 };
            let mut harness = Harness::new(contacts).await;
            if requests == 0 {
                harness.run(CONTACTS).await;
            }
            harness.serve(SandboxConfig { daily_requests: daily, ..sandbox_of(contacts) }).await;
            let runs = day_after_day(&harness, &reports).await;
            assert!(runs.len() >= 3, "{mode}: {} days", runs.len());
            for part in &runs[..runs.len() - 1] {
                assert_eq!((part.exit_code, part.stopped), (11, false), "{mode}: {part:#?}");
            }
            let repeated: Vec<_> = answered(&harness).into_iter().filter(|(_, times)| *times > 1).collect();
            assert_eq!(repeated, [], "{mode}");
            if requests > 0 {
                assert_eq!(harness.rows("contacts").len(), 4_000, "{mode}");
            } else {
                let account = harness.sandbox.account();
                let events: usize = (0..60).map(|index| account.activities(index).len()).sum();
                assert_eq!(harness.rows("contact_activity_details").len(), events, "{mode}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_an_id_that_the_day_cut_short_are_not_asked_for_again() {
    for mode in ["append", "merge", "replace", "append, keep_raw: true", "merge, keep_raw: true"] {
        let config = || SandboxConfig { campaigns: 400, sends: 300, ..sandbox_of(12) };
        let mut harness = Harness::with(config()).await;
        harness.run(CONTACTS).await;
        harness.serve(SandboxConfig { daily_requests: 13, ..config() }).await;
        let reports = EVENTS.replace("contact_id:", &format!("write_mode: {mode}, contact_id:"));
        let runs = day_after_day(&harness, &reports).await;
        assert!(runs.len() >= 3, "{mode}: {} days", runs.len());
        let repeated: Vec<_> = answered(&harness).into_iter().filter(|(_, times)| *times > 1).collect();
        assert_eq!(repeated, [], "{mode}");
        let account = harness.sandbox.account();
        let events: usize = (0..12).map(|index| account.activities(index).len()).sum();
        assert_eq!(harness.rows("contact_activity_details").len(), events, "{mode}");
        if mode.contains("keep_raw") {
            let plan = harness.plan(&harness.pipeline(&reports));
            let replayed = ctct_pipeline::run::replay(&plan, &harness.context("replay")).await;
            assert_eq!(replayed.outcome, Outcome::Done, "{mode}: {replayed:#?}");
            assert_eq!(harness.rows("contact_activity_details").len(), events, "{mode}, replayed");
        }
    }
}

/// Keeps tokio's clock still until it is dropped: otherwise it leaps ahead whenever only another thread is at work.
fn hold_the_clock() -> mpsc::Sender<()> {
    let (held, released) = mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || released.recv());
    held
}

/// A run by which it is known whose account it is, so that the next one begins with a page. The clock moves as little as the
/// pace takes.
async fn become_known(harness: &Harness) {
    let time_passes = async {
        for _ in 0..u64::MAX {
            advance(Duration::from_micros(10)).await;
        }
    };
    tokio::select! {
        known = harness.run("  - report: contact_lists\n") => assert_eq!(known.outcome, Outcome::Done, "{known:#?}"),
        () = time_passes => unreachable!(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_run_at_a_page_even_while_it_waits_for_the_pace() {
    let held = hold_the_clock();
    let harness = Harness::new(4_000).await;
    let reports = "  - {report: contacts, include_subresources: none}\n";
    let text = harness.pipeline(reports).replace("requests_per_second: 100000", "requests_per_second: 0.01");
    become_known(&harness).await;
    let page_read = Arc::new(Notify::new());
    let events = Events::to({
        let page_read = Arc::clone(&page_read);
        move |event| {
            if let Event::PageRead { .. } = event {
                page_read.notify_one();
            }
        }
    });
    let deadline = Some(Instant::now() + Duration::from_secs(50));
    let context = Context { deadline, events, stop: CancellationToken::new(), ..harness.context("deadline") };
    let time_passes = async {
        page_read.notified().await;
        for _ in 0..56 {
            advance(Duration::from_secs(1)).await;
        }
        // Whatever still waits now goes on, and would be seen.
        drop(held);
        pending::<()>().await;
    };
    let plan = harness.plan(&text);
    // The next request may go after 100 seconds.
    let ended = tokio::select! { ended = run(&plan, &context) => ended, () = time_passes => unreachable!() };
    assert_eq!((ended.exit_code, ended.stopped, ended.deadline), (12, true, true), "{ended:#?}");
    assert_eq!(message(report(&ended, "contacts")), "contacts: stopped before it finished");
    let next = harness.run(reports).await;
    assert_eq!((next.outcome, next.deadline), (Outcome::Done, false), "{next:#?}");
    assert_eq!((ended.api.requests, next.api.requests), (1, 7), "nothing is asked twice");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_done_in_time_does_not_know_of_its_deadline() {
    let _held = hold_the_clock();
    let harness = Harness::new(5).await;
    become_known(&harness).await;
    let deadline = Some(Instant::now() + Duration::from_secs(1));
    let plan = harness.plan(&harness.pipeline(CONTACTS));
    let done = run(&plan, &Context { deadline, ..harness.context("deadline") }).await;
    assert_eq!((done.outcome, done.stopped, done.deadline), (Outcome::Done, false, false), "{done:#?}");
    assert!(!harness.stop.is_cancelled());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_refresh_is_planned_as_one() {
    let harness = Harness::new(1_200).await;
    harness.run(CONTACTS).await;
    harness.run(CONTACTS).await;
    let plan = harness.plan(&harness.pipeline(CONTACTS));
    let live = forecast(&plan, &harness.context("plan"), false).await;
    let all = forecast(&plan.with_scope(Scope::Everything).unwrap(), &harness.context("plan"), false).await;
    assert_eq!((least_and_most(&live, "contacts"), least_and_most(&all, "contacts")), ((2, Some(2)), (1, Some(3))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_that_a_run_would_leave_holes() {
    let harness = Harness::new(5).await;
    harness
        .run("  - {report: contacts, write_mode: merge, contact_status: active, include_subresources: none}\n")
        .await;
    let plan = harness.plan(&harness.pipeline(CONTACTS));
    let live = forecast(&plan, &harness.context("plan"), false).await;
    assert_eq!(live.reports[0].other_rows.as_deref(), Some("contact_status: active; include_subresources: none"));
    assert!(live.to_string().contains("without --full-refresh"), "{live}");
    let all = forecast(&plan.with_scope(Scope::Everything).unwrap(), &harness.context("plan"), false).await;
    assert_eq!(all.reports[0].other_rows, None);
}

#[test]
fn the_command_line_knows_spans_and_refuses_others() {
    let folder = tempfile::TempDir::new().unwrap();
    for span in ["0s", "50", "1.5h", "-1m", "m", "400d", "1w", "99999999999999999999s"] {
        let said = program::run(folder.path(), &["run", "none.yaml", &format!("--deadline={span}")]);
        assert!(said.code == Some(2) && said.stderr.contains("90s, 50m, 2h, 1d"), "{span}: {said:?}");
    }
    for span in ["90s", "50m", "2h", "1d"] {
        let said = program::run(folder.path(), &["run", "none.yaml", "--deadline", span]);
        assert!(said.stderr.contains("none.yaml"), "{span}: {said:?}");
    }
}

#[test]
fn the_program_prints_plans_for_machines_and_says_why_it_refuses() {
    let folder = tempfile::TempDir::new().unwrap();
    let ids: Vec<String> = (0..6).map(|id| format!("1618ae62-4752-11e9-9c8a-fa163e6b01c{id}")).collect();
    let text = format!(
        "version: 1\nname: small\nsource: {{sandbox: {{contacts: 5, daily_requests: 5}}}}\ndestination: {{url: ./out}}\n\
         reports:\n  - {{report: contact_activity_details, contact_id: [{}]}}\n",
        ids.join(", ")
    );
    fs::write(folder.path().join("p.yaml"), text).unwrap();
    let json = |arguments: &[&str]| -> serde_json::Value {
        let said = program::run(folder.path(), arguments);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        let mut plan: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        plan["now"].take();
        plan
    };
    let plan = json(&["plan", "p.yaml", "--output", "json"]);
    assert_eq!(plan, json(&["run", "p.yaml", "--dry-run", "--output", "json"]));
    assert_eq!((&plan["fits"], &plan["cost"]["least"]["days"]), (&"no".into(), &2.into()), "{plan}");

    let refused = program::run(folder.path(), &["run", "p.yaml"]);
    assert_eq!(refused.code, Some(11), "{refused:?}");
    assert!(refused.stderr.contains("at least 6 requests, and 5 of today's 5 are left"), "{refused:?}");
    assert!(refused.stderr.contains("--over-days"), "{refused:?}");
    // It begins then; the API knows none of these ids, and after five the day is over.
    for (code, requests) in [(11, 5), (0, 1)] {
        let day = program::run(folder.path(), &["run", "p.yaml", "--over-days", "--output", "json"]);
        let summary: serde_json::Value = serde_json::from_str(&day.stdout).unwrap();
        assert_eq!((day.code, &summary["api"]["requests"]), (Some(code), &requests.into()), "{summary}");
    }
}
