use ctct_catalog::Catalog;

use super::*;
use crate::document::Environment;
use crate::document::error::ConfigErrors;

const ID: &str = "1618ae62-4752-11e9-9c8a-fa163e6b01c1";
const OTHER: &str = "2618ae62-4752-11e9-9c8a-fa163e6b01c1";
const LIST: &str = "06a9d2c0-2d41-11e7-8fc9-d4ae529a8612";

fn plan(head: &str, reports: &str) -> Result<Plan, ConfigErrors> {
    let text = format!("version: 1\nname: acme\n{head}destination: {{url: ./data/acme}}\nreports:\n{reports}");
    let pipeline = Pipeline::parse(&text, "acme.yaml", &Catalog::embedded().unwrap(), &Environment::default())
        .unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    Plan::new(&pipeline, "2026-02-10T12:30:00Z".parse().unwrap())
}

const ACCOUNT: &str = "source: {account: acme}\n";

/// Report, its options, and the query that they come to.
#[test]
#[expect(clippy::too_many_lines, reason = "one line a form")]
fn every_form_of_every_option_comes_to_its_parameters() {
    let all = "custom_fields,list_memberships,phone_numbers,street_addresses,taggings,notes";
    let events = "em_sends,em_opens,em_clicks,em_bounces,em_optouts,em_forwards,p_contact_open,p_contact_click,p_contact_add,p_contact_update";
    let summary = format!("contact_id: {ID}\n    duration:");
    let contacts = |rest: &str| format!("status=all&include={all}{rest}");
    let day = "2026-01-31T00:00:00.000Z";
    // What is after a day begins a second before it, since the API leaves out the very instant.
    let after_day = "2026-01-30T23:59:59.000Z";
    let cases: Vec<(&str, String, String)> = vec![
        ("contacts", String::new(), contacts("")),
        ("contacts", "contact_status: active".to_owned(), format!("status=active&include={all}")),
        (
            "contacts",
            "contact_status: [active, unsubscribed]".to_owned(),
            format!("status=active,unsubscribed&include={all}"),
        ),
        ("contacts", "contact_status: [all]".to_owned(), contacts("")),
        ("contacts", "include_subresources: all".to_owned(), contacts("")),
        ("contacts", "include_subresources: none".to_owned(), "status=all".to_owned()),
        ("contacts", "include_subresources: [none]".to_owned(), "status=all".to_owned()),
        ("contacts", "include_subresources: notes".to_owned(), "status=all&include=notes".to_owned()),
        (
            "contacts",
            "include_subresources: [taggings, notes]".to_owned(),
            "status=all&include=taggings,notes".to_owned(),
        ),
        ("contacts", "updated_after: 2026-01-31".to_owned(), contacts(&format!("&updated_after={after_day}"))),
        (
            "contacts",
            "updated_after: 2026-01-31T10:00:00+02:00".to_owned(),
            contacts("&updated_after=2026-01-31T07:59:59.000Z"),
        ),
        ("contacts", "updated_after: {days_back: 10}".to_owned(), contacts(&format!("&updated_after={after_day}"))),
        ("contacts", "created_after: {days_back: 0}".to_owned(), contacts("&created_after=2026-02-09T23:59:59.000Z")),
        ("contacts", format!("list_ids: {LIST}"), contacts(&format!("&lists={LIST}"))),
        ("contacts", format!("tag_ids: [{LIST}, {ID}]"), contacts(&format!("&tags={LIST},{ID}"))),
        ("contacts", "segment_id: 42".to_owned(), "segment_id=42".to_owned()),
        ("contacts", "segment_id: \"42\"".to_owned(), "segment_id=42".to_owned()),
        ("contact_lists", String::new(), "status=all&include_membership_count=all".to_owned()),
        (
            "contact_lists",
            "channel_type: sms".to_owned(),
            "status=all&include_membership_count=all&channel_type=sms".to_owned(),
        ),
        ("email_campaigns", String::new(), String::new()),
        ("email_campaigns", "updated_after: 2026-01-31".to_owned(), format!("after_date={after_day}")),
        (
            "email_campaigns",
            "updated_after: 2026-01-31T10:00:00Z".to_owned(),
            "after_date=2026-01-31T09:59:59.000Z".to_owned(),
        ),
        ("email_campaigns", "updated_after: {days_back: 10}".to_owned(), format!("after_date={after_day}")),
        (
            "contact_action_summary",
            format!("{summary} single_date\n    report_date: 2026-01-31"),
            format!("start={day}&end=2026-01-31T23:59:59.999Z"),
        ),
        (
            "contact_action_summary",
            format!("{summary} single_date\n    report_date: {{days_back: 10}}"),
            format!("start={day}&end=2026-01-31T23:59:59.999Z"),
        ),
        (
            "contact_action_summary",
            format!("{summary} date_range\n    start_date: 2026-01-31\n    end_date: 2026-02-02"),
            format!("start={day}&end=2026-02-02T23:59:59.999Z"),
        ),
        (
            "contact_action_summary",
            format!("{summary} date_range\n    start_date: {{days_back: 10}}\n    end_date: {{days_back: 5}}"),
            format!("start={day}&end=2026-02-05T23:59:59.999Z"),
        ),
        (
            "contact_action_summary",
            format!("{summary} date_range\n    start_date: 2026-01-31\n    end_date: {{days_back: 10}}"),
            format!("start={day}&end=2026-01-31T23:59:59.999Z"),
        ),
        ("contact_activity_details", format!("contact_id: {ID}"), format!("tracking_activities_list={events}")),
        (
            "contact_activity_details",
            format!("contact_id: {ID}\n    tracking_activity_types: em_opens"),
            "tracking_activities_list=em_opens".to_owned(),
        ),
        (
            "contact_activity_details",
            format!("contact_id: {ID}\n    tracking_activity_types: [em_sends, em_opens, em_clicks]"),
            "tracking_activities_list=em_sends,em_opens,em_clicks".to_owned(),
        ),
    ];
    let mut reports_seen = std::collections::BTreeSet::new();
    for (report, options, query) in cases {
        let plan = plan(ACCOUNT, &format!("  - report: {report}\n    write_mode: replace\n    {options}\n")).unwrap();
        let params: Vec<String> = plan.reports[0].request_plan(None, plan.now).queries[0]
            .params
            .iter()
            // Whether rows are counted is no option's choice.
            .filter(|(name, _)| name != "include_count")
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(params.join("&"), query, "{report}: {options}");
        let known = options.lines().filter_map(|line| line.trim().split_once(':')).map(|(name, _)| name.to_owned());
        reports_seen.extend(known.map(|option| (report.to_owned(), option)));
    }
    for report in Catalog::embedded().unwrap().reports() {
        for option in &report.options {
            let seen = reports_seen.contains(&(report.name.clone(), option.name.clone()));
            assert!(seen, "no case for {} of {}", option.name, report.name);
        }
    }
}

#[test]
fn ids_are_one_or_many_or_those_of_a_report() {
    for report in ["contact_action_summary", "contact_activity_details"] {
        let ids = |ids: &str| {
            let period = if report == "contact_action_summary" {
                "duration: single_date\n    report_date: 2026-01-31"
            } else {
                ""
            };
            let plan = plan(ACCOUNT, &format!("  - report: {report}\n    contact_id: {ids}\n    {period}\n")).unwrap();
            // Nothing of this plan reads contacts, so there is nothing to wait for.
            assert_eq!(plan.depends_on(&plan.reports[0]), None);
            plan.reports[0].clone()
        };
        let param = || "contact_id".to_owned();
        assert_eq!(ids(ID).ids, Ids::List { param: param(), ids: vec![ID.to_owned()] });
        let both = Ids::List { param: param(), ids: vec![ID.to_owned(), OTHER.to_owned()] };
        assert_eq!(ids(&format!("[{ID}, {OTHER}]")).ids, both);
        let from = ids("{from: contacts}");
        assert_eq!(
            from.ids,
            Ids::From { param: param(), source: IdSource { report: "contacts".to_owned(), column: param() } }
        );
    }
}

#[test]
fn dates_are_days_of_the_pipelines_time_zone() {
    let head = "timezone: America/New_York\nsource: {account: acme}\n";
    let plan = plan(head, "  - report: contacts\n    updated_after: {days_back: 1}\n    include_subresources: none\n")
        .unwrap();
    assert_eq!(plan.reports[0].since, Some("2026-02-09T05:00:00Z".parse().unwrap()));
}

#[test]
fn a_report_comes_after_the_one_that_it_takes_its_ids_from() {
    let plan = plan(ACCOUNT, "  - report: contact_activity_details\n    contact_id: {from: contacts}\n  - report: contact_lists\n  - report: contacts\n").unwrap();
    let order: Vec<&str> = plan.reports.iter().map(|report| report.report.name.as_str()).collect();
    assert_eq!(order, ["contact_lists", "contacts", "contact_activity_details"]);
    assert_eq!(plan.depends_on(&plan.reports[2]), Some("contacts"));
}

#[test]
fn a_range_that_turns_out_to_end_before_it_starts_is_refused() {
    let errors = plan(
        ACCOUNT,
        &format!(
            "  - report: contact_action_summary\n    contact_id: {ID}\n    duration: date_range\n    start_date: {{days_back: 5}}\n    end_date: 2026-01-31\n"
        ),
    );
    let text = errors.unwrap_err().render(false);
    insta::assert_snapshot!(text);
}
