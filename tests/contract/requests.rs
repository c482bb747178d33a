//! What whole runs ask for, option by option, against the vendor's parameters; and that pages are followed by their links.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{TimeZone, Utc};
use ctct_catalog::{Catalog, Limit, OptionKind, Report};
use ctct_extract::{Clock, Url};
use ctct_pipeline::{Context, Environment, Events, Outcome, Pipeline, Plan, StateStore};
use ctct_sandbox::{Account, Quirks, RequestRecord, SandboxConfig};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::peer::{Peer, busiest, next_link, today};
use crate::vendor::Vendor;

/// One run for each: entries of `reports`. `$BUSY` is the contact with the most campaigns, `$LISTS` and `$TAGS` are ids.
const RUNS: [&str; 22] = [
    "[{report: contacts}, {report: contact_lists}, {report: email_campaigns}]",
    "[{report: contacts, contact_status: [all], include_subresources: all}]",
    "[{report: contacts, contact_status: [active, deleted, not_set], write_mode: replace, include_subresources: none}]",
    "[{report: contacts, contact_status: pending_confirmation, write_mode: replace, include_subresources: notes}]",
    "[{report: contacts, contact_status: [temp_hold, unsubscribed], write_mode: replace, include_subresources: [custom_fields, taggings]}]",
    "[{report: contacts, updated_after: 2025-12-01}, {report: email_campaigns, updated_after: 2025-06-01}]",
    "[{report: contacts, updated_after: {days_back: 90}}, {report: email_campaigns, updated_after: {days_back: 300}}]",
    "[{report: contacts, updated_after: '2025-12-01T08:30:00+05:30'}]",
    "[{report: email_campaigns, updated_after: '2025-12-01T08:30:00.25Z'}]",
    "[{report: contacts, created_after: 2025-01-01}]",
    "[{report: contacts, created_after: {days_back: 0}}]",
    "[{report: contacts, list_ids: $LISTS, write_mode: replace}]",
    "[{report: contacts, tag_ids: $TAGS, write_mode: replace}]",
    "[{report: contacts, segment_id: 14, write_mode: replace}]",
    "[{report: contact_custom_fields}, {report: contact_tags}, {report: segments}, {report: account_summary}]",
    "[{report: contact_lists, channel_type: email}]",
    "[{report: contact_lists, channel_type: sms}]",
    "[{report: contact_action_summary, contact_id: $BUSY, duration: single_date, report_date: 2026-02-01}]",
    "[{report: contact_action_summary, contact_id: [$BUSY], duration: single_date, report_date: {days_back: 3}}]",
    "[{report: contact_action_summary, contact_id: $BUSY, duration: date_range, start_date: 2023-01-01, end_date: {days_back: 0}}, \
      {report: contact_activity_details, contact_id: $BUSY}]",
    "[{report: contact_activity_details, contact_id: [$BUSY], tracking_activity_types: [em_opens, em_clicks]}]",
    "[{report: contacts, contact_status: temp_hold, write_mode: replace}, \
      {report: contact_action_summary, contact_id: {from: contacts}, duration: date_range, start_date: {days_back: 10}, end_date: {days_back: 5}}, \
      {report: contact_activity_details, contact_id: {from: contacts}, tracking_activity_types: p_contact_open}]",
];

/// An account in which every report has more than one page, but for those that an account has too few rows of.
fn config() -> SandboxConfig {
    SandboxConfig { contacts: 1_100, lists: 600, campaigns: 600, sends: 600, ..SandboxConfig::default() }
}

/// An API that sends a few rows a page, whatever the limit: custom fields, tags and segments have pages too.
fn few_rows_a_page() -> SandboxConfig {
    let quirks = Quirks { most_rows: Some(2), ..Quirks::default() };
    SandboxConfig { contacts: 10, quirks, ..SandboxConfig::default() }
}

/// `RUNS` with ids of the account.
fn runs(account: &Account) -> impl Iterator<Item = String> {
    let ids = |ids: Vec<&str>| format!("[{}]", ids.join(", "));
    let busy = busiest(account);
    let lists = ids(account.lists().iter().take(25).map(|list| list.list_id.as_str()).collect());
    let tags = ids(account.tags().iter().map(|tag| tag.tag_id.as_str()).collect());
    RUNS.iter().map(move |run| run.replace("$BUSY", &busy).replace("$LISTS", &lists).replace("$TAGS", &tags))
}

/// Runs a pipeline into a folder of its own and returns the targets that were answered.
async fn asked(peer: &Peer, catalog: &Catalog, reports: &str) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let text = format!(
        "version: 1\nname: test\nsource:\n  account: acme\n  access_token: {{env: TOKEN}}\n  base_url: {}\n  \
         requests_per_second: 100000\n  daily_requests: 100000000\ndestination:\n  url: .\nreports: {reports}\n",
        peer.sandbox.base_url(),
    );
    let environment: Environment = [("TOKEN", peer.sandbox.access_token())].into_iter().collect();
    let now = Utc.from_utc_datetime(&today().and_hms_opt(12, 0, 0).unwrap());
    let pipeline = Pipeline::parse(&text, "test.yaml", catalog, &environment);
    let pipeline = pipeline.unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    let context = Context {
        clock: Clock::fixed(now),
        run_id: "run".to_owned(),
        base_dir: folder.path().to_owned(),
        environment,
        events: Events::none(),
        stop: CancellationToken::new(),
        state: StateStore::nowhere(),
        deadline: None,
        destination: None,
    };
    let before = peer.sandbox.requests().latest.len();
    let summary = ctct_pipeline::run(&Plan::new(&pipeline, now).unwrap(), &context).await;
    assert_eq!(summary.outcome, Outcome::Done, "{reports}: {summary:#?}");
    let log = peer.sandbox.requests();
    assert_eq!(log.total, log.latest.len() as u64, "the log still holds every request");
    let asked = log.latest.into_iter().skip(before);
    let target = |request: RequestRecord| {
        assert!(request.method == "GET" && matches!(request.status, 200 | 202), "{request:?}");
        // What got 202 is asked again.
        (request.status == 200).then_some(request.target)
    };
    asked.filter_map(target).collect()
}

/// Path and decoded query of a target.
fn parsed(target: &str) -> (String, Vec<(String, String)>) {
    let url = Url::parse("http://localhost").unwrap().join(target).unwrap();
    (url.path().to_owned(), url.query_pairs().into_owned().collect())
}

fn follows_a_link(target: &str) -> bool {
    parsed(target).1.iter().any(|(name, _)| name == "cursor")
}

/// What a first page asks is all declared, of the right form and complete.
fn assert_declared(vendor: &Vendor, catalog: &Catalog, target: &str) {
    let (path, query) = parsed(target);
    let (operation, in_path) = vendor.serving(&path).unwrap_or_else(|| panic!("{target}: no such path"));
    let in_path = in_path.iter().map(|(name, value)| ("path", *name, *value));
    let in_query = query.iter().map(|(name, value)| ("query", name.as_str(), value.as_str()));
    let mut names = BTreeSet::new();
    for (place, name, value) in in_path.chain(in_query) {
        let parameter = operation.parameter(name).unwrap_or_else(|| panic!("{target}: {name} is not declared"));
        assert_eq!(parameter.place(), place, "{target}: {name}");
        assert_eq!(parameter.complaint(value), None, "{target}: {name}");
        assert!(names.insert(name) || parameter.is_repeated(), "{target}: {name} stands twice");
    }
    for parameter in operation.parameters().filter(|parameter| parameter.is_required()) {
        assert!(names.contains(parameter.name()), "{target}: {} is required", parameter.name());
    }
    // What the vendor says in prose alone.
    if names.contains("segment_id") {
        assert!(names.iter().all(|name| ["segment_id", "limit"].contains(name)), "{target}: only beside the limit");
    }
    if operation.parameter("tracking_activity_type").is_some() {
        let both = ["tracking_activities_list", "tracking_activity_type"];
        assert!(both.iter().filter(|name| names.contains(**name)).count() == 1, "{target}: one of {both:?}");
    }
    let report = catalog.reports().find(|report| report.path == operation.path).unwrap();
    let limit = query.iter().find(|(name, _)| name == "limit").map(|(_, value)| value.clone());
    assert_eq!(limit, limit_of(report).map(|limit| limit.max.to_string()), "{target}: the largest page");
}

fn limit_of(report: &Report) -> Option<&Limit> {
    report.paging.as_ref()?.limit.as_ref()
}

/// How often each target is asked, if every page that one of `first` leads to is asked by the link of the page before.
async fn chains(peer: &Peer, first: BTreeSet<&String>) -> BTreeMap<String, usize> {
    let mut expected = BTreeMap::new();
    for target in first {
        let mut next = Some(target.clone());
        while let Some(target) = next {
            let answer = peer.get(&target).await;
            *expected.entry(target).or_default() += 1;
            next = next_link(&answer.json()).map(str::to_owned);
        }
    }
    expected
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_one_that_the_vendor_declares_and_pages_follow_their_links() {
    let vendor = Vendor::facts();
    let catalog = Catalog::embedded().unwrap();
    let large = Peer::start(config()).await;
    let mut paged = BTreeSet::new();
    for reports in runs(large.sandbox.account()) {
        paged.extend(check_run(vendor, &catalog, &large, &reports).await);
    }
    let small = Peer::start(few_rows_a_page()).await;
    let definitions = RUNS.iter().find(|reports| reports.contains("account_summary")).unwrap();
    paged.extend(check_run(vendor, &catalog, &small, definitions).await);
    let with_pages = catalog.reports().filter(|report| report.paging.is_some());
    let every: BTreeSet<&str> = with_pages.map(|report| report.operation.as_str()).collect();
    assert_eq!(paged, every, "a report of one page proves nothing about links");
}

/// Checks every request of a run, and returns the operations that were asked for more than one page.
async fn check_run<'v>(vendor: &'v Vendor, catalog: &Catalog, peer: &Peer, reports: &str) -> BTreeSet<&'v str> {
    let mut paged = BTreeSet::new();
    let targets = asked(peer, catalog, reports).await;
    assert!(!targets.is_empty(), "{reports}");
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for target in &targets {
        *found.entry(target.clone()).or_default() += 1;
        if follows_a_link(target) {
            let path = parsed(target).0;
            paged.insert(vendor.serving(&path).unwrap().0.id());
        } else {
            assert_declared(vendor, catalog, target);
        }
    }
    // The sandbox answers the same again, so the links that the run was given can be read once more.
    let first: BTreeSet<&String> = targets.iter().filter(|target| !follows_a_link(target)).collect();
    assert_eq!(found, chains(peer, first).await, "{reports}");
    paged
}

/// Every option of the catalogue stands in one of the runs above, so that a new one cannot go unchecked.
#[test]
fn every_option_of_every_report_is_used() {
    let runs = RUNS.iter().map(|reports| serde_saphyr::from_str::<Value>(reports).unwrap());
    let entries: Vec<Value> = runs.flat_map(|reports| reports.as_array().unwrap().clone()).collect();
    for report in Catalog::embedded().unwrap().reports() {
        for option in &report.options {
            let name = (&report.name, &option.name);
            let entries = entries.iter().filter(|entry| entry["report"] == report.name.as_str());
            let set: Vec<&Value> = entries.filter_map(|entry| entry.get(&option.name)).collect();
            assert!(!set.is_empty(), "no run sets {name:?}");
            if option.kind == OptionKind::Choice {
                for value in &report.param(&option.params[0]).unwrap().values {
                    assert!(set.iter().any(|set| *set == value), "no run sets {name:?} to {value}");
                }
            }
        }
    }
}
