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
    let ask = report.ask(previous, at(NOW));
    let own = |query: &Query| -> String {
        let own = query.params.iter().filter(|pair| !report.params.contains(pair));
        own.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    };
    let queries: Vec<String> = ask.queries.iter().map(own).collect();
    format!("{}{}", queries.join(" then "), if ask.sweep { " (sweep)" } else { "" })
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
        ("contacts: segment", shown(&report("report: contacts, segment_id: 4"), Some(&left))),
        ("campaigns: later", shown(&report("report: email_campaigns"), Some(&left))),
        ("lists: later", shown(&report("report: contact_lists"), Some(&left))),
    ];
    insta::assert_snapshot!(cases.map(|(what, asked)| format!("{what}: {asked}")).join("\n"));
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
    let due = |state: &ReportState| contacts.ask(Some(state), at(NOW)).sweep;
    assert!(!contacts.ask(None, at(NOW)).sweep, "the first run has nothing that could have vanished");
    assert!(due(&left("2026-02-03T12:30:00Z", "2026-02-03T12:30:00Z")));
    assert!(!due(&left("2026-02-03T12:31:00Z", "2026-02-03T12:31:00Z")));
    assert!(!due(&left("2026-01-01T00:00:00Z", "2026-02-09T12:31:00Z")), "tried less than a day ago");
    assert!(due(&left("2026-01-01T00:00:00Z", "2026-02-09T12:30:00Z")));
    insta::assert_snapshot!(
        shown(&contacts, Some(&left("2026-02-03T12:30:00Z", "2026-02-03T12:30:00Z"))),
        @"include_count=true (sweep)"
    );
    let lists = report("report: contact_lists, write_mode: merge, reconcile: {every: 7d}");
    assert!(lists.ask(Some(&left("2026-02-10T12:29:00Z", "2026-02-10T12:29:00Z")), at(NOW)).sweep);
}

#[test]
fn the_question_stays_the_same_where_pages_may_be_used_again() {
    let relative = "report: contacts, updated_after: {days_back: 7}";
    let question =
        |options: &str, previous: Option<&ReportState>, now: &str| report(options).ask(previous, at(now)).question;
    let day_later = "2026-02-11T12:30:00Z";
    let left = after_a_run("2026-02-09T06:00:00Z");
    assert_eq!(question(relative, None, NOW), question(relative, None, day_later));
    assert_eq!(question("report: contacts", Some(&left), NOW), question("report: contacts", Some(&left), day_later));
    assert_ne!(question("report: contacts", Some(&left), NOW), question("report: contacts", None, NOW));
    assert_ne!(question(relative, None, NOW), question("report: contacts", None, NOW));
    let status = "report: contacts, contact_status: active";
    assert_ne!(question(status, Some(&left), NOW), question("report: contacts", Some(&left), NOW));
}
