use ctct_catalog::Catalog;

use super::*;
use crate::document::{Environment, Pipeline};
use crate::plan::Plan;

const MODES: [&str; 4] = ["append", "merge", "replace", "partition"];
const NOW: &str = "2026-02-10T12:30:00Z";
const ID: &str = "1618ae62-4752-11e9-9c8a-fa163e6b01c1";
const OTHER: &str = "06a9d2c0-2d41-11e7-8fc9-d4ae529a8612";

/// What comes of a run whose option was changed since the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comes {
    /// It goes on.
    Allowed,
    /// It is refused before its first request.
    Refused,
    /// The combination is refused when the pipeline is read.
    Invalid,
}
use Comes::{Allowed, Invalid, Refused};

/// Every option of the catalog, two settings that ask for different rows or columns, and what comes of a change from the
/// first to the second in append, merge, replace and partition. An option that is not here fails the test.
const OPTIONS: [(&str, &str, &str, &str, [Comes; 4]); 13] = [
    ("contacts", "contact_status", "[active]", "[active, deleted]", [Invalid, Refused, Allowed, Invalid]),
    ("contacts", "include_subresources", "all", "[notes, taggings]", [Refused, Refused, Allowed, Refused]),
    ("contacts", "updated_after", "2026-01-01", "2025-01-01", [Allowed, Allowed, Allowed, Refused]),
    ("contacts", "created_after", "2026-01-01", "2025-01-01", [Refused, Refused, Allowed, Allowed]),
    ("contacts", "list_ids", ID, OTHER, [Invalid, Invalid, Allowed, Invalid]),
    ("contacts", "tag_ids", ID, OTHER, [Invalid, Invalid, Allowed, Invalid]),
    ("contacts", "segment_id", "4", "5", [Invalid, Invalid, Allowed, Invalid]),
    ("contact_lists", "channel_type", "email", "sms", [Refused, Refused, Allowed, Refused]),
    ("email_campaigns", "updated_after", "2026-01-01", "2025-01-01", [Allowed, Allowed, Allowed, Refused]),
    ("contact_activity_details", "contact_id", ID, OTHER, [Allowed; 4]),
    (
        "contact_activity_details",
        "tracking_activity_types",
        "em_sends",
        "[em_sends, em_opens]",
        [Allowed, Allowed, Allowed, Refused],
    ),
    ("contact_action_summary", "contact_id", ID, OTHER, [Allowed; 4]),
    ("contact_action_summary", "report_date", "2026-01-01", "2026-01-02", [Allowed; 4]),
];
/// Options that only say which form of a period is meant, and the days of the other form.
const PERIODS: [&str; 3] = ["duration", "start_date", "end_date"];

fn parse(name: &str, report: &str, mode: &str, options: &str) -> Result<Pipeline, String> {
    let mut options = options.to_owned();
    if mode == "partition" {
        let column = match report {
            "contact_activity_details" => "{month: created_time}",
            "contact_action_summary" => "{month: period_start}",
            _ => "{month: created_at}",
        };
        options.push_str(&format!(", partition_by: {column}"));
    }
    for (of, option, default) in [
        ("contact_activity_details", "contact_id", ID),
        ("contact_action_summary", "contact_id", ID),
        ("contact_action_summary", "report_date", "2026-01-01"),
    ] {
        if of == report && !options.contains(option) {
            options.push_str(&format!(", {option}: {default}"));
        }
    }
    if report == "contact_action_summary" {
        options.push_str(", duration: single_date");
    }
    let text = format!(
        "version: 1\nname: {name}\nsource: {{account: acme}}\ndestination: {{url: ./data}}\nreports:\n  \
         - {{report: {report}, write_mode: {mode}{options}}}\n"
    );
    Pipeline::parse(&text, "acme.yaml", &Catalog::embedded().unwrap(), &Environment::default())
        .map_err(|errors| errors.render(false))
}

fn plan_at(now: &str, name: &str, report: &str, mode: &str, options: &str) -> ReportPlan {
    let pipeline = parse(name, report, mode, options).unwrap_or_else(|errors| panic!("{errors}"));
    Plan::new(&pipeline, now.parse().unwrap()).unwrap().reports.remove(0)
}

fn plan(report: &str, mode: &str, options: &str) -> ReportPlan {
    plan_at(NOW, "acme", report, mode, options)
}

/// What a run of the plan leaves, by a pipeline of this name.
fn committed(plan: &ReportPlan, pipeline: &str) -> Commit {
    committed_as(&plan.query_text(), pipeline)
}

fn committed_as(query: &str, pipeline: &str) -> Commit {
    let record = serde_json::json!({
        "format": 1, "version": 1, "run_id": "run", "pipeline": pipeline, "account": "acme", "report": "contacts",
        "committed_at": NOW, "write_mode": "append", "partition_by": [], "window": {}, "layout": 1,
        "state": {"watermark": NOW, "query": query}, "inventory": {"changed": 0, "tables": {}}, "files": [], "removed": [], "rows": {}, "stats": {},
    });
    serde_json::from_value(record).unwrap()
}

#[test]
fn every_option_of_the_catalogue_is_in_the_table() {
    let catalog = Catalog::embedded().unwrap();
    for report in catalog.reports() {
        for option in report.options.iter().filter(|option| !PERIODS.contains(&option.name.as_str())) {
            let known = OPTIONS.iter().any(|row| (row.0, row.1) == (&report.name, &option.name));
            assert!(known, "what comes of a change of `{}` of `{}`?", option.name, report.name);
        }
    }
}

#[test]
fn a_change_of_any_option_in_any_mode_is_allowed_refused_or_no_pipeline() {
    for (report, option, before, after, comes) in OPTIONS {
        for (mode, comes) in MODES.into_iter().zip(comes) {
            let case = format!("{option} of {report}, {mode}");
            let [first, second] = [before, after].map(|value| format!(", {option}: {value}"));
            if comes == Invalid {
                let errors = parse("acme", report, mode, &first).unwrap_err();
                assert!(errors.contains("write_mode: replace") && errors.contains(option), "{case}: {errors}");
                continue;
            }
            let (first, second) = (plan(report, mode, &first), plan(report, mode, &second));
            let stored = committed(&first, "acme");
            assert_eq!(first.other_rows(&stored, "acme"), None, "{case}: nothing changed");
            assert!(!first.asks_otherwise(&stored.state), "{case}: nothing changed");
            assert_eq!(second.other_rows(&stored, "acme").is_some(), comes == Refused, "{case}");
            let back = first.other_rows(&committed(&second, "acme"), "acme");
            assert_eq!(back.is_some(), comes == Refused, "{case}, back");
            // A full refresh is the way out.
            let everything = ReportPlan { scope: Scope::Everything, ..second.clone() };
            assert_eq!(everything.other_rows(&stored, "acme"), None, "{case}");
            assert_eq!(
                everything.kept_beside(&stored, "acme").is_some(),
                (comes, mode) == (Refused, "append"),
                "{case}"
            );
            // Another pipeline must not put its snapshot in the place of this one's.
            let taken = second.other_rows(&stored, "other");
            let by_ids = mode == "partition" && option == "contact_id";
            assert_eq!(taken.is_some(), comes == Refused || mode == "replace" || by_ids, "{case}, another pipeline");
            assert_eq!(first.other_rows(&stored, "other"), None, "{case}: another pipeline that asks the same");
            // Ids that are done, and pages that are kept, are those of the one question.
            assert_ne!(first.progress_of(&first.period()), second.progress_of(&second.period()), "{case}");
            let fingerprint = |plan: &ReportPlan| plan.request_plan(None, NOW.parse().unwrap()).text;
            let asks_the_same = fingerprint(&first) == fingerprint(&second);
            assert_eq!(asks_the_same, option == "contact_status" && mode == "merge", "{case}: all is asked for there");
        }
    }
}

#[test]
fn what_is_written_in_another_way_is_the_same_question_on_any_day() {
    let types = "em_sends, em_opens, em_clicks, em_bounces, em_optouts, em_forwards, p_contact_open, p_contact_click, \
                 p_contact_add, p_contact_update";
    let same = [
        ("contacts", ", include_subresources: all".to_owned(), String::new()),
        (
            "contacts",
            ", include_subresources: [notes, taggings]".to_owned(),
            ", include_subresources: [taggings, notes]".to_owned(),
        ),
        ("contacts", ", contact_status: all".to_owned(), String::new()),
        (
            "contacts",
            ", contact_status: [active, deleted]".to_owned(),
            ", contact_status: [deleted, active]".to_owned(),
        ),
        ("contacts", format!(", list_ids: [{ID}, {OTHER}]"), format!(", list_ids: [{OTHER}, {ID}]")),
        ("contacts", format!(", tag_ids: [{ID}]"), format!(", tag_ids: {ID}")),
        ("contacts", ", created_after: {days_back: 400}".to_owned(), ", created_after: {days_back: 400}".to_owned()),
        ("contacts", ", segment_id: 4".to_owned(), ", segment_id: \"4\"".to_owned()),
        ("contact_lists", ", channel_type: email".to_owned(), String::new()),
        ("contact_activity_details", format!(", tracking_activity_types: [{types}]"), String::new()),
        (
            "contact_activity_details",
            ", tracking_activity_types: [em_opens, em_sends]".to_owned(),
            ", tracking_activity_types: [em_sends, em_opens]".to_owned(),
        ),
        (
            "contact_activity_details",
            format!(", contact_id: [{ID}, {OTHER}]"),
            format!(", contact_id: [{OTHER}, {ID}]"),
        ),
    ];
    for (report, one, other) in same {
        // In a merge `contact_status` is no filter of the request, and lists of ids are none at all there.
        let one = plan(report, "replace", &one);
        let next_day = plan_at("2026-02-11T12:30:00Z", "acme", report, "replace", &other);
        assert_eq!(one.query_text(), next_day.query_text());
        assert_eq!(one.chosen_by(), next_day.chosen_by());
        assert_eq!(one.progress_of(&one.period()), next_day.progress_of(&next_day.period()));
        assert_eq!(next_day.other_rows(&committed(&one, "acme"), "other"), None);
        let fingerprint = |plan: &ReportPlan, now: &str| plan.request_plan(None, now.parse().unwrap()).text;
        let asked = fingerprint(&next_day, "2026-02-11T12:30:00Z");
        assert!(report == "contact_lists" || fingerprint(&one, NOW) == asked, "{asked}");
    }
}

#[test]
fn a_day_that_moves_is_another_day_for_what_is_done_and_its_pages_are_kept_where_it_is_finished_first() {
    let options = ", report_date: {days_back: 1}";
    let next_day = |mode| plan_at("2026-02-11T12:30:00Z", "acme", "contact_action_summary", mode, options);
    for (mode, finishes) in [("append", true), ("merge", true), ("replace", false), ("partition", false)] {
        let (one, next_day) = (plan("contact_action_summary", mode, options), next_day(mode));
        let fingerprint = |plan: &ReportPlan| plan.request_plan(None, NOW.parse().unwrap()).text;
        assert_eq!(fingerprint(&one) == fingerprint(&next_day), finishes, "{mode}");
        let period = one.period();
        let progress = Some(Progress { of: one.progress_of(&period), period, ..Progress::default() });
        let previous = ReportState { progress, ..ReportState::default() };
        assert!(one.progress(&previous).is_some() || !finishes, "{mode}");
        assert_eq!(next_day.progress(&previous).is_some(), finishes, "{mode}");
        let everything = ReportPlan { scope: Scope::Everything, ..next_day };
        assert_eq!(everything.progress(&previous), None, "{mode}: a full refresh reads all of it");
    }
    let (one, next_day) = (plan("contact_action_summary", "append", options), next_day("append"));
    assert_eq!(one.other_rows(&committed(&next_day, "acme"), "acme"), None);
    assert_ne!(one.progress_of(&one.period()), next_day.progress_of(&next_day.period()));
    assert_ne!(one.chosen_by(), next_day.chosen_by());
}

#[test]
fn records_of_earlier_versions_are_compared_by_what_was_sent() {
    let all = "custom_fields,list_memberships,phone_numbers,street_addresses,taggings,notes";
    let cases = [
        ("contacts", "merge", "", format!("status=all&include={all}"), false),
        ("contacts", "append", "", format!("status=all&include={all}"), false),
        ("contacts", "append", ", include_subresources: none", "status=all".to_owned(), false),
        ("contacts", "append", ", include_subresources: notes", "status=all".to_owned(), true),
        ("contacts", "append", "", format!("status=active&include={all}"), true),
        ("contacts", "merge", ", contact_status: active", format!("status=active&include={all}"), false),
        ("contacts", "merge", ", contact_status: active", format!("status=all&include={all}"), true),
        (
            "contacts",
            "append",
            ", created_after: {days_back: 400}",
            format!("status=all&include={all}&created_after=2025-01-06T00:00:00.000Z"),
            false,
        ),
        (
            "contacts",
            "append",
            ", created_after: 2025-01-06",
            format!("status=all&include={all}&created_after=2025-01-06T00:00:00.000Z"),
            false,
        ),
        (
            "contacts",
            "append",
            ", created_after: 2025-01-07",
            format!("status=all&include={all}&created_after=2025-01-06T00:00:00.000Z"),
            true,
        ),
        ("contacts", "append", "", "segment_id=4".to_owned(), true),
        ("contact_lists", "merge", "", "status=all&include_membership_count=all".to_owned(), false),
        ("contact_lists", "merge", ", channel_type: sms", "status=all&include_membership_count=all".to_owned(), true),
        (
            "contact_lists",
            "merge",
            ", channel_type: sms",
            "status=all&include_membership_count=all&channel_type=sms".to_owned(),
            false,
        ),
        ("contact_activity_details", "append", "", "tracking_activities_list=em_sends".to_owned(), false),
        ("segments", "append", "", String::new(), false),
        ("contacts", "append", "", String::new(), false),
        ("account_summary", "append", "", "extra_fields=physical_address,company_logo".to_owned(), false),
    ];
    for (report, mode, options, stored, refused) in cases {
        let now = plan(report, mode, options);
        let found = now.other_rows(&committed_as(&stored, "acme"), "acme");
        assert_eq!(found.is_some(), refused, "{report}, {mode}{options} over `{stored}`: {found:?}");
    }
    // A filter that nobody saw people leave through: all are read once more.
    let left = |query: &str| ReportState { query: query.to_owned(), ..committed_as("", "acme").state };
    let active = plan("contacts", "merge", ", contact_status: active");
    let after = |state: &ReportState| active.request_plan(Some(state), NOW.parse().unwrap()).window.after;
    assert_eq!(after(&left(&format!("status=active&include={all}"))), None);
    assert!(after(&left(&active.query_text())).is_some());
}

#[test]
fn texts_read_back_and_hold_no_id_of_a_contact() {
    let details = plan("contact_activity_details", "append", &format!(", contact_id: [{ID}, {OTHER}]"));
    assert!(!details.query_text().contains(ID) && details.query_text().contains("2 ids"), "{}", details.query_text());
    for plan in
        [details, plan("segments", "append", ""), plan("contacts", "replace", ", updated_after: {days_back: 7}")]
    {
        let StoredQuery::Written(fingerprint) = StoredQuery::read(&plan.query_text()) else {
            panic!("{}", plan.query_text())
        };
        assert_eq!(fingerprint, plan.fingerprint);
    }
}
