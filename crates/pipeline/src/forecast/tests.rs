use ctct_catalog::Catalog;
use ctct_extract::Today;

use super::probe::Counts;
use super::stored_state::StoredState;
use super::*;
use crate::allowance::Allowance;
use crate::document::error::ConfigErrors;
use crate::document::{Environment, Pipeline};
use crate::plan::Plan;

const ID: &str = "1618ae62-4752-11e9-9c8a-fa163e6b01c1";
const OTHER: &str = "2618ae62-4752-11e9-9c8a-fa163e6b01c1";

fn plan(head: &str, reports: &str) -> Result<Plan, ConfigErrors> {
    let text = format!("version: 1\nname: acme\n{head}destination: {{url: ./data/acme}}\nreports:\n{reports}");
    let pipeline = Pipeline::parse(&text, "acme.yaml", &Catalog::embedded().unwrap(), &Environment::default())
        .unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    Plan::new(&pipeline, "2026-02-10T12:30:00Z".parse().unwrap())
}

#[test]
fn a_plan_is_shown_as_text() {
    let head = "description: Contacts and engagement\ntimezone: America/New_York\nsource: {account: acme, access_token: {env: T}, base_url: \"http://127.0.0.1:8080/v3\", requests_per_second: 2.5}\n";
    let reports = format!(
        "  - report: contact_action_summary\n    contact_id: {{from: contacts}}\n    duration: date_range\n    start_date: {{days_back: 10}}\n    end_date: {{days_back: 5}}\n    write_mode: partition\n    partition_by: [{{day: period_start}}, {{bucket: {{column: contact_id, count: 16}}}}]\n\
         \x20 - report: contacts\n    updated_after: 2026-01-01\n    include_subresources: [custom_fields, notes]\n    partition_by: {{month: created_at}}\n\
         \x20 - report: contact_activity_details\n    contact_id: [{ID}, {OTHER}]\n    tracking_activity_types: em_opens\n\
         \x20 - report: contact_lists\n    write_mode: replace\n"
    );
    insta::assert_snapshot!(first_run(&plan(head, &reports).unwrap()));
}

#[test]
fn a_segment_is_one_crawl_beside_which_nothing_is_asked() {
    let plan =
        plan("source: {sandbox: {}}\n", "  - report: contacts\n    segment_id: 9\n    write_mode: replace\n").unwrap();
    insta::assert_snapshot!(first_run(&plan));
}

/// The plan as it is shown where nothing is stored and nothing was sent today.
fn first_run(plan: &Plan) -> PlanSummary {
    let states: Vec<StoredState> = plan.reports.iter().map(|report| StoredState::nothing(report, plan.now)).collect();
    let today = Today { day: plan.now.date_naive(), spent: 0, shut_until: None };
    let allowance = Allowance::new(u64::from(plan.pipeline.pace().daily_requests), today, plan.now);
    PlanSummary::new(plan, &states, &Counts::default(), Some(allowance), plan.now)
}
