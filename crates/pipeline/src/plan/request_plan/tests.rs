use ctct_catalog::Catalog;

use super::*;
use crate::document::{Environment, Pipeline};
use crate::plan::Plan;

const NOW: &str = "2026-02-10T12:30:00Z";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn report(options: &str) -> ReportPlan {
    let text = format!(
        "version: 1\nname: acme\nsource: {{account: acme}}\ndestination: {{url: ./data}}\nreports:\n  - {{{options}}}\n"
    );
    let pipeline = Pipeline::parse(&text, "acme.yaml", &Catalog::embedded().unwrap(), &Environment::default())
        .unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    Plan::new(&pipeline, at(NOW)).unwrap().reports.remove(0)
}

fn after_a_run(watermark: &str) -> ReportState {
    ReportState { watermark: Some(at(watermark)), reconciled_at: Some(at(watermark)), ..ReportState::default() }
}

/// The queries without what every request of the report carries.
fn shown(report: &ReportPlan, previous: Option<&ReportState>) -> String {
    let request = report.request_plan(previous, at(NOW));
    let own = |query: &Query| -> String {
        let own = query.params.iter().filter(|pair| !report.params.contains(pair));
        own.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    };
    let queries: Vec<String> = request.queries.iter().map(own).collect();
    format!("{}{}", queries.join(" then "), if request.sweep { " (sweep)" } else { "" })
}

#[test]
fn a_window_begins_at_the_pipelines_date_and_then_at_the_watermark_less_the_overlap() {
    let left = after_a_run("2026-02-09T06:00:00Z");
    let since = ReportState { since: Some(at("2026-01-01T00:00:00Z")), ..left.clone() };
    let cases = [
        ("contacts: first run", shown(&report("report: contacts"), None)),
        ("contacts: later", shown(&report("report: contacts"), Some(&left))),
        ("contacts: wide overlap", shown(&report("report: contacts, overlap: 2h"), Some(&left))),
        ("contacts: since, first run", shown(&report("report: contacts, updated_after: 2026-01-01"), None)),
        ("contacts: since, later", shown(&report("report: contacts, updated_after: 2026-01-01"), Some(&since))),
        (
            "contacts: since an earlier date",
            shown(&report("report: contacts, updated_after: 2025-01-01"), Some(&since)),
        ),
        ("contacts: since for ever", shown(&report("report: contacts"), Some(&since))),
        ("contacts: since a later date", shown(&report("report: contacts, updated_after: 2026-02-01"), Some(&since))),
        ("contacts: days back", shown(&report("report: contacts, updated_after: {days_back: 7}"), Some(&since))),
        ("contacts: replace", shown(&report("report: contacts, write_mode: replace"), Some(&left))),
        ("contacts: segment", shown(&report("report: contacts, segment_id: 4, write_mode: replace"), Some(&left))),
        ("campaigns: later", shown(&report("report: email_campaigns"), Some(&left))),
        ("lists: later", shown(&report("report: contact_lists"), Some(&left))),
    ];
    insta::assert_snapshot!(cases.map(|(what, asked)| format!("{what}: {asked}")).join("\n"));
}

#[test]
fn every_window_begins_one_step_early_and_is_told_as_it_was_meant() {
    let from = at("2026-01-01T00:00:00Z");
    for options in ["report: contacts", "report: email_campaigns"] {
        let report = ReportPlan { scope: Scope::Between { from, to: None }, ..report(options) };
        let request = report.request_plan(None, at(NOW));
        assert_eq!(request.window.after, Some(from));
        for query in &request.queries {
            let sent = query.params.iter().find(|(name, _)| name.ends_with("after") || name == "after_date").unwrap();
            assert_eq!(sent.1, "2025-12-31T23:59:59.000Z", "{options}: {}", sent.0);
        }
        assert_eq!(report.after_of(&request.queries[0].params), Some(from), "{options}: read back as it was meant");
        assert_eq!(report.resumed(request.clone(), Some(from)).queries, request.queries);
    }
    let created = report("report: contacts, created_after: 2026-01-01");
    assert!(
        created.request_plan(None, at(NOW)).queries[0]
            .params
            .contains(&("created_after".to_owned(), "2025-12-31T23:59:59.000Z".to_owned()))
    );
    assert!(created.chosen_by().contains("2026-01-01"), "told as it is written: {}", created.chosen_by());
    let summary = report(
        "report: contact_action_summary, contact_id: 1618ae62-4752-11e9-9c8a-fa163e6b01c1, duration: single_date, report_date: 2026-01-01",
    );
    assert!(
        summary.request_plan(None, at(NOW)).queries[0]
            .params
            .contains(&("start".to_owned(), "2026-01-01T00:00:00.000Z".to_owned()))
    );
}

#[test]
fn windows_of_any_watermark_are_of_a_year_that_can_be() {
    let contacts = report("report: contacts");
    for watermark in [DateTime::<Utc>::MIN_UTC, at("0001-01-01T00:00:00Z"), at("1999-12-31T23:59:59Z")] {
        let state = ReportState { watermark: Some(watermark), ..ReportState::default() };
        assert_eq!(contacts.request_plan(Some(&state), at(NOW)).window.after, None, "{watermark}: all is read");
    }
}

#[test]
fn a_sweep_that_a_wrong_clock_has_dated_ahead_is_due() {
    let contacts = report("report: contacts, write_mode: merge, reconcile: {every: 7d}");
    let ahead = Some(at("2099-01-01T00:00:00Z"));
    let state = ReportState { reconciled_at: ahead, reconcile_tried_at: ahead, ..after_a_run("2026-02-10T06:00:00Z") };
    assert!(contacts.request_plan(Some(&state), at(NOW)).sweep);
}

#[test]
fn only_a_backfill_that_ends_well_in_the_past_has_an_upper_end() {
    let backfill = |to: &str| {
        let scope = Scope::Between { from: at("2026-01-01T00:00:00Z"), to: Some(at(to)) };
        shown(&ReportPlan { scope, ..report("report: contacts") }, Some(&after_a_run("2026-02-09T06:00:00Z")))
    };
    let everything = ReportPlan { scope: Scope::Everything, ..report("report: contacts") };
    insta::assert_snapshot!(
        [
            backfill("2026-02-01T00:00:00Z"),
            backfill("2026-02-10T12:00:00Z"),
            shown(&everything, Some(&after_a_run("2026-02-09T06:00:00Z"))),
        ]
        .join("\n")
    );
}

#[test]
fn a_sweep_is_due_after_its_span_and_not_tried_twice_a_day() {
    let contacts = report("report: contacts, write_mode: merge, reconcile: {every: 7d}");
    let left = |reconciled: &str, tried: &str| ReportState {
        reconciled_at: Some(at(reconciled)),
        reconcile_tried_at: Some(at(tried)),
        ..after_a_run("2026-02-10T06:00:00Z")
    };
    let due = |state: &ReportState| contacts.request_plan(Some(state), at(NOW)).sweep;
    assert!(!contacts.request_plan(None, at(NOW)).sweep, "the first run has nothing that could be gone");
    assert!(due(&left("2026-02-03T12:30:00Z", "2026-02-03T12:30:00Z")));
    assert!(!due(&left("2026-02-03T12:31:00Z", "2026-02-03T12:31:00Z")));
    assert!(!due(&left("2026-01-01T00:00:00Z", "2026-02-09T12:31:00Z")), "tried less than a day ago");
    assert!(due(&left("2026-01-01T00:00:00Z", "2026-02-09T12:30:00Z")));
    insta::assert_snapshot!(
        shown(&contacts, Some(&left("2026-02-03T12:30:00Z", "2026-02-03T12:30:00Z"))),
        @"include_count=true (sweep)"
    );
    let lists = report("report: contact_lists, write_mode: merge, reconcile: {every: 7d}");
    assert!(lists.request_plan(Some(&left("2026-02-10T12:29:00Z", "2026-02-10T12:29:00Z")), at(NOW)).sweep);
}

#[test]
fn only_a_read_of_all_rows_from_the_beginning_is_counted() {
    let left = after_a_run("2026-02-09T06:00:00Z");
    for (options, previous, counted) in [
        ("report: contacts", None, true),
        ("report: contacts", Some(&left), false),
        ("report: contacts, write_mode: replace", Some(&left), true),
        ("report: contacts, include_subresources: none", None, true),
        ("report: contacts, updated_after: 2026-01-01", None, false),
        ("report: contacts, write_mode: replace, created_after: 2026-01-01", None, true),
        ("report: contacts, write_mode: replace, segment_id: 4", None, false),
        ("report: contacts, write_mode: replace, contact_status: active", None, true),
        ("report: contacts, write_mode: replace, check_count: false", None, false),
        ("report: contact_lists", None, true),
        ("report: contact_lists", Some(&left), true),
        // The API does not count this.
        ("report: email_campaigns", None, false),
    ] {
        let asked = report(options).request_plan(previous, at(NOW));
        let counts = asked.queries.iter().flat_map(|query| &query.params).any(|(name, _)| name == "include_count");
        assert_eq!(counts, counted, "{options}, {}", previous.is_some());
    }
}

#[test]
fn what_was_not_whole_is_read_again_from_the_beginning() {
    let left = |incomplete| ReportState { incomplete, ..after_a_run("2026-02-09T06:00:00Z") };
    let after = |options: &str, incomplete| report(options).request_plan(Some(&left(incomplete)), at(NOW)).window.after;
    assert_eq!(after("report: contacts", 0), Some(at("2026-02-09T05:50:00Z")));
    for incomplete in [1, 2, u32::MAX] {
        assert_eq!(after("report: contacts", incomplete), None);
        assert_eq!(after("report: contacts, write_mode: merge", incomplete), None);
        let since = "report: contacts, updated_after: 2026-01-01";
        assert_eq!(after(since, incomplete), Some(at("2026-01-01T00:00:00Z")));
    }
}

#[test]
fn records_that_could_not_be_used_are_asked_for_again_for_a_week() {
    let usual = "2026-02-09T05:50:00Z";
    for (since, first_at, after) in [
        (Some("2026-02-01T00:00:00Z"), "2026-02-08T00:00:00Z", Some("2026-01-31T23:59:59Z")),
        // To the second.
        (Some("2026-02-01T00:00:00Z"), "2026-02-03T12:30:00Z", Some("2026-01-31T23:59:59Z")),
        (Some("2026-02-01T00:00:00Z"), "2026-02-03T12:29:59Z", Some(usual)),
        // A window that begins earlier anyway stays, and so does one of a record from tomorrow.
        (Some("2026-02-09T05:55:00Z"), "2026-02-09T06:00:00Z", Some(usual)),
        (Some("2099-01-01T00:00:00Z"), "2026-02-09T06:00:00Z", Some(usual)),
        (None, "2026-02-09T06:00:00Z", None),
        (None, "2026-02-01T06:00:00Z", Some(usual)),
        // A clock that was wrong.
        (Some("2026-02-01T00:00:00Z"), "2099-01-01T00:00:00Z", Some("2026-01-31T23:59:59Z")),
    ] {
        let rejected = Some(Rejected { since: since.map(at), first_at: at(first_at) });
        let state = ReportState { rejected, ..after_a_run("2026-02-09T06:00:00Z") };
        let asked = report("report: contacts").request_plan(Some(&state), at(NOW)).window.after;
        assert_eq!(asked, after.map(at), "{since:?}, first at {first_at}");
        let replaced = report("report: contacts, write_mode: replace").request_plan(Some(&state), at(NOW)).window;
        assert_eq!(replaced, Window::default());
    }
}

#[test]
fn the_question_stays_the_same_where_pages_may_be_used_again() {
    let relative = "report: contacts, updated_after: {days_back: 7}";
    let fingerprint =
        |options: &str, previous: Option<&ReportState>, now: &str| report(options).request_plan(previous, at(now)).text;
    let day_later = "2026-02-11T12:30:00Z";
    let left = after_a_run("2026-02-09T06:00:00Z");
    assert_eq!(fingerprint(relative, None, NOW), fingerprint(relative, None, day_later));
    assert_eq!(
        fingerprint("report: contacts", Some(&left), NOW),
        fingerprint("report: contacts", Some(&left), day_later)
    );
    assert_ne!(fingerprint("report: contacts", Some(&left), NOW), fingerprint("report: contacts", None, NOW));
    assert_ne!(fingerprint(relative, None, NOW), fingerprint("report: contacts", None, NOW));
    let [status, all] =
        ["active", "all"].map(|status| format!("report: contacts, contact_status: {status}, write_mode: replace"));
    assert_ne!(fingerprint(&status, Some(&left), NOW), fingerprint(&all, Some(&left), NOW));
    let elsewhere = ReportPlan { source: "http://localhost/".to_owned(), ..report("report: contacts") };
    assert_ne!(elsewhere.request_plan(None, at(NOW)).text, fingerprint("report: contacts", None, NOW));
}
