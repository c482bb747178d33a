use std::collections::BTreeMap;

use ctct_catalog::Catalog;
use ctct_load::{CrawlEnd, Inventory, Progress, ReportState, Window, WriteMode};

use super::*;
use crate::document::{Environment, Pipeline};
use crate::plan::Plan;

const ID: &str = "1618ae62-4752-11e9-9c8a-fa163e6b01c1";

fn at(day: u32) -> DateTime<Utc> {
    format!("2026-02-{day:02}T00:00:00Z").parse().unwrap()
}

fn now() -> DateTime<Utc> {
    at(20)
}

/// The last report of a pipeline of these.
fn report(reports: &str) -> ReportPlan {
    let text = format!("version: 1\nname: a\nsource: {{account: a}}\ndestination: {{url: ./a}}\nreports:\n{reports}");
    let pipeline = Pipeline::parse(&text, "a.yaml", &Catalog::embedded().unwrap(), &Environment::default());
    let pipeline = pipeline.unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    Plan::new(&pipeline, now()).unwrap().reports.pop().unwrap()
}

/// A commit of a run that read so many pages of a window that began on a day.
fn commit(day: u32, after: Option<u32>, pages: u64) -> Commit {
    Commit {
        format: 1,
        version: i64::from(day),
        run_id: String::new(),
        pipeline: String::new(),
        account: String::new(),
        identity: ctct_load::Owner::default(),
        report: String::new(),
        committed_at: at(day),
        write_mode: WriteMode::Merge,
        history: false,
        partition_by: Vec::new(),
        key: Vec::new(),
        window: Window { after: after.map(at), before: None },
        state: ReportState { watermark: Some(at(day)), ..ReportState::default() },
        account_column: false,
        layout: 1,
        inventory: Inventory::default(),
        rebuilt: false,
        files: Vec::new(),
        removed: Vec::new(),
        dead_letters: None,
        raw: None,
        seen: None,
        manifest: None,
        failed: None,
        answers: None,
        rows: BTreeMap::new(),
        stats: BTreeMap::from([("pages".to_owned(), pages)]),
    }
}

/// How a report stands after these commits, the newest first.
fn after(report: &ReportPlan, history: Vec<Commit>) -> StoredState {
    let request = report.request_plan(history.first().map(|commit| &commit.state), now());
    StoredState { history, request, ..StoredState::nothing(report, now()) }
}

fn kept(state: StoredState, crawl: &str, number: u32, next: Option<&str>) -> StoredState {
    let end = CrawlEnd { number, next: next.map(str::to_owned) };
    StoredState { kept: state.kept.into_iter().chain([(crawl.to_owned(), end)]).collect(), ..state }
}

fn requests(report: &ReportPlan, state: &StoredState, counted: Option<u64>) -> (u64, Option<u64>, Basis) {
    let Requests { least, most, basis } = state.requests(report, counted, now());
    (least, most, basis)
}

const CONTACTS: &str = "  - {report: contacts, write_mode: merge}\n";
const CAMPAIGNS: &str = "  - {report: email_campaigns, write_mode: merge}\n";
const BY_ID: &str = "  - {report: contact_activity_details, contact_id: {from: contacts}}\n";

#[test]
fn a_first_run_of_unknown_size_takes_one_request_a_query_at_least() {
    let first = |reports: &str| {
        let report = report(reports);
        requests(&report, &StoredState::nothing(&report, now()), None)
    };
    assert_eq!(first(CONTACTS), (1, None, Basis::Unknown));
    assert_eq!(first("  - {report: contacts, updated_after: 2026-01-01}\n"), (2, None, Basis::Unknown));
    assert_eq!(first(BY_ID), (0, None, Basis::Unknown), "not even the number of ids is known");
    let ids = format!("  - {{report: contact_activity_details, contact_id: [{ID}, {}]}}\n", ID.replace('6', "7"));
    assert_eq!(first(&ids), (2, None, Basis::Unknown));
}

#[test]
fn a_count_of_one_query_is_exact_and_beside_another_a_least() {
    let all = report(CONTACTS);
    let first = StoredState::nothing(&all, now());
    for (rows, pages) in [(0, 1), (1, 1), (500, 1), (501, 2), (10_001, 21)] {
        assert_eq!(requests(&all, &first, Some(rows)), (pages, Some(pages), Basis::Counted), "{rows}");
    }
    let since = report("  - {report: contacts, updated_after: 2026-01-01}\n");
    let first = StoredState::nothing(&since, now());
    assert_eq!(requests(&since, &first, Some(10_001)), (22, None, Basis::Unknown));
    let goes_on = kept(StoredState::nothing(&all, now()), "updated_after", 20, Some("/v3/next"));
    assert_eq!(requests(&all, &goes_on, Some(10_001)), (1, Some(1), Basis::Counted));
    let by_id = report(&format!("{CONTACTS}{BY_ID}"));
    let first = StoredState::nothing(&by_id, now());
    assert_eq!(requests(&by_id, &first, Some(40)), (40, None, Basis::Unknown), "its source will have 40 rows");
}

#[test]
fn a_window_takes_what_windows_before_it_took_and_more_where_it_is_longer() {
    let report = report(CAMPAIGNS);
    // Yesterday's commit: the window is a day and the overlap long, as each of them was.
    let daily = vec![commit(19, Some(18), 3), commit(18, Some(17), 7), commit(17, Some(16), 2), commit(16, None, 90)];
    let (least, most, basis) = requests(&report, &after(&report, daily.clone()), None);
    assert_eq!((least, basis), (1, Basis::Commits));
    assert!((7..=8).contains(&most.unwrap()), "{most:?}: a read of everything is no measure of a window");
    let late: Vec<Commit> = daily.into_iter().skip(2).collect();
    let (_, most, _) = requests(&report, &after(&report, late), None);
    assert!((6..=7).contains(&most.unwrap()), "{most:?}: three days of two pages each");
    let once = vec![commit(19, None, 90)];
    assert_eq!(
        requests(&report, &after(&report, once), None),
        (1, Some(90), Basis::Commits),
        "no more than everything"
    );
    let upkeep = Commit { stats: BTreeMap::new(), ..commit(19, Some(18), 0) };
    assert_eq!(requests(&report, &after(&report, vec![upkeep]), None), (1, None, Basis::Unknown));
}

#[test]
fn a_read_of_everything_takes_what_the_last_one_took() {
    let report = report("  - {report: email_campaigns, write_mode: replace}\n");
    let history = vec![commit(19, None, 12), commit(18, Some(17), 99), commit(17, None, 11)];
    assert_eq!(requests(&report, &after(&report, history), None), (1, Some(12), Basis::Commits));
    // Where it is too long ago, by what is stored.
    let windows_only = after(&report, vec![commit(19, Some(18), 99)]);
    assert_eq!(requests(&report, &windows_only, None), (1, None, Basis::Unknown));
    let stored = StoredState { stored_rows: Some(5_001), ..windows_only };
    assert_eq!(requests(&report, &stored, None), (1, Some(11), Basis::Commits));
}

#[test]
fn kept_pages_are_not_asked_for_again() {
    let report = report("  - {report: email_campaigns, write_mode: replace}\n");
    let state = || after(&report, vec![commit(19, None, 12)]);
    let goes_on = kept(state(), "after_date", 10, Some("/v3/next"));
    assert_eq!(requests(&report, &goes_on, None), (1, Some(2), Basis::Commits));
    let more_than_before = kept(state(), "after_date", 40, Some("/v3/next"));
    assert_eq!(requests(&report, &more_than_before, None), (1, Some(1), Basis::Commits));
    let whole = kept(state(), "after_date", 40, None);
    assert_eq!(requests(&report, &whole, None), (0, Some(0), Basis::Certain));
}

#[test]
fn ids_that_are_done_are_not_asked_for_again_and_the_rest_costs_what_they_did() {
    let report = report(BY_ID);
    let ids = |left, kept, may_go| Some(IdsToRead { all: 100, left, kept, may_go });
    let state = |history, ids| StoredState { ids, ..after(&report, history) };
    let progress = |commit: Commit| {
        let progress =
            Some(Progress { through: Some(ID.to_owned()), also: Vec::new(), of: String::new(), period: Vec::new() });
        Commit { state: ReportState { progress, ..commit.state.clone() }, ..commit }
    };
    let first = state(Vec::new(), ids(100, 0, false));
    assert_eq!(requests(&report, &first, None), (100, None, Basis::Unknown));
    // Two days took 60 requests for 40 ids.
    let days = || vec![progress(commit(19, None, 40)), progress(commit(18, None, 20)), commit(10, None, 500)];
    assert_eq!(requests(&report, &state(days(), ids(60, 0, false)), None), (60, Some(90), Basis::Commits));
    assert_eq!(requests(&report, &state(days(), ids(60, 10, false)), None), (50, Some(75), Basis::Commits));
    let whole = || vec![commit(19, None, 130), commit(18, None, 101)];
    assert_eq!(requests(&report, &state(whole(), ids(100, 0, false)), None), (100, Some(130), Basis::Commits));
    assert_eq!(requests(&report, &state(whole(), ids(100, 0, true)), None).0, 0, "they may be gone by then");
}
