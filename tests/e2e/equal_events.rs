//! Events that look alike are events of their own, and those that show up late are not missed.

use chrono::TimeDelta;
use ctct_catalog::Catalog;
use ctct_pipeline::plan::Scope;
use ctct_pipeline::{Outcome, RunSummary};
use serde_json::{Value, json};

use crate::harness::{Harness, pipeline_at, report};
use crate::scripted::{Answer, Scripted};

const ID: &str = "00000001-0000-1000-8000-00000000c0de";
const PATH: &str = "/reports/contact_reports/00000001-0000-1000-8000-00000000c0de/activity_details";

fn reports(options: &str) -> String {
    format!("  - {{report: contact_activity_details, contact_id: {ID}{options}}}\n")
}

/// An open at this time.
fn open(time: &str) -> Value {
    json!({
        "contact_id": ID, "campaign_activity_id": "0000000a-0000-4000-8000-000000000ac7", "created_time": time,
        "tracking_activity_type": "em_opens", "campaign_activity_name": "News",
    })
}

/// A page of opens at these times, and where the next one is.
fn page(times: &[&str], next: Option<u32>) -> Answer {
    let events: Vec<Value> = times.iter().map(|time| open(time)).collect();
    let mut body = json!({ "tracking_activities": events });
    if let Some(next) = next {
        body["_links"] = json!({"next": {"href": format!("/v3{PATH}?cursor={next}")}});
    }
    Answer::json(&body)
}

/// The times and numbers of what is stored, sorted.
fn stored(harness: &Harness) -> Vec<String> {
    let rows = harness.rows("contact_activity_details");
    let mut events: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {}", &row["created_time"].as_str().unwrap()[..16], row["_occurrence"]))
        .collect();
    events.sort();
    events
}

async fn run(harness: &Harness, answers: Vec<Answer>, options: &str) -> (RunSummary, usize) {
    let server = Scripted::start([(PATH, answers)]).await;
    let summary = harness.run_at(server.base_url(), &reports(options)).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    (summary, server.asked().len())
}

const MODES: [&str; 4] = ["", ", write_mode: merge", ", write_mode: replace", ", write_mode: merge, history: true"];

#[tokio::test(flavor = "multi_thread")]
async fn two_equal_opens_are_two_rows_in_every_mode_and_after_a_second_read() {
    let events = ["2026-02-01T10:05Z", "2026-02-01T10:05Z", "2026-02-01T09:00Z"];
    let expected = ["2026-02-01T09:00 1", "2026-02-01T10:05 1", "2026-02-01T10:05 2"];
    for mode in MODES {
        let harness = Harness::new(0).await;
        for _ in 0..3 {
            run(&harness, vec![page(&events, None)], mode).await;
            assert_eq!(stored(&harness), expected, "{mode}");
        }
        let server = Scripted::start([(PATH, vec![page(&events, None)])]).await;
        let plan = harness.plan(&pipeline_at(server.base_url(), &reports(mode)));
        let everything = plan.with_scope(Scope::Everything).unwrap();
        assert_eq!(ctct_pipeline::run(&everything, &harness.context("all")).await.outcome, Outcome::Done);
        assert_eq!(stored(&harness), expected, "{mode}: a full refresh");
        // A third one of the minute shows up.
        let more = ["2026-02-01T10:05Z", "2026-02-01T10:05Z", "2026-02-01T10:05Z", "2026-02-01T09:00Z"];
        run(&harness, vec![page(&more, None)], mode).await;
        assert_eq!(stored(&harness).len(), 4, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_opens_on_both_sides_of_a_page_border_are_counted_unless_one_was_pushed_down() {
    let [new, first, second, old] =
        ["2026-02-02T08:00Z", "2026-02-01T11:00Z", "2026-02-01T10:05Z", "2026-02-01T09:00Z"];
    for mode in MODES {
        let harness = Harness::new(0).await;
        let top = || page(&[first, second], Some(2));
        let (_, asked) = run(&harness, vec![top(), page(&[second, old], None), top()], mode).await;
        assert_eq!(
            stored(&harness),
            ["2026-02-01T09:00 1", "2026-02-01T10:05 1", "2026-02-01T10:05 2", "2026-02-01T11:00 1"],
            "{mode}"
        );
        assert_eq!(asked, 3, "the first page tells that nothing came in");

        let harness = Harness::new(0).await;
        let pushed = page(&[new, first], Some(2));
        run(&harness, vec![top(), page(&[second, old], None), pushed], mode).await;
        assert_eq!(stored(&harness), ["2026-02-01T09:00 1", "2026-02-01T10:05 1", "2026-02-01T11:00 1"], "{mode}");

        let harness = Harness::new(0).await;
        let (_, asked) = run(&harness, vec![top(), page(&[old], None)], mode).await;
        assert_eq!(asked, 2, "no doubt, no request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_the_far_future_hides_no_later_one() {
    for mode in MODES {
        let harness = Harness::new(0).await;
        let future = "2099-01-01T00:00Z";
        run(&harness, vec![page(&[future, "2026-02-01T10:00Z"], None)], mode).await;
        run(&harness, vec![page(&[future, "2026-02-28T10:00Z", "2026-02-01T10:00Z"], None)], mode).await;
        assert_eq!(stored(&harness), ["2026-02-01T10:00 1", "2026-02-28T10:00 1", "2099-01-01T00:00 1"], "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_shows_up_late_lands() {
    for late in [TimeDelta::minutes(5), TimeDelta::hours(1), TimeDelta::days(40)] {
        for mode in MODES {
            let harness = Harness::new(0).await;
            let newest = "2026-02-28T10:00Z".to_owned();
            let late = ("2026-02-28T10:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap() - late)
                .format("%Y-%m-%dT%H:%MZ");
            let late = late.to_string();
            run(&harness, vec![page(&[&newest, "2026-01-01T10:00Z"], None)], mode).await;
            run(&harness, vec![page(&[&newest, &late, "2026-01-01T10:00Z"], None)], mode).await;
            assert_eq!(stored(&harness).len(), 3, "{mode} {late}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_ends_at_a_page_that_is_old_and_holds_nothing_new() {
    let [new, late, old, older] = ["2026-02-28T10:00Z", "2026-02-01T10:00Z", "2026-01-02T10:00Z", "2025-01-02T10:00Z"];
    for mode in ["", ", write_mode: merge"] {
        let harness = Harness::new(0).await;
        run(&harness, vec![page(&[old], Some(2)), page(&[older], None)], mode).await;
        // Nothing is new: the first page is enough.
        let (_, asked) = run(&harness, vec![page(&[old], Some(2)), page(&[older], None)], mode).await;
        assert_eq!(asked, 1, "{mode}");
        // The first page is older than the mark and holds something new, so the read goes on.
        let answers = vec![page(&[new, late], Some(2)), page(&[old], Some(3)), page(&[older], None)];
        let (summary, asked) = run(&harness, answers, mode).await;
        assert_eq!(
            (asked, stored(&harness).len()),
            (2, 4),
            "{mode}: {:#?}",
            report(&summary, "contact_activity_details")
        );
    }
}

/// The catalogue of before: the same reports, and equal events are one row.
fn catalogue_of_before() -> Catalog {
    let files = [
        ("contacts.yaml", include_str!("../../crates/catalog/reports/contacts.yaml")),
        ("contact_custom_fields.yaml", include_str!("../../crates/catalog/reports/contact_custom_fields.yaml")),
        ("contact_lists.yaml", include_str!("../../crates/catalog/reports/contact_lists.yaml")),
        ("contact_tags.yaml", include_str!("../../crates/catalog/reports/contact_tags.yaml")),
        ("contact_activity_details.yaml", include_str!("../../crates/catalog/reports/contact_activity_details.yaml")),
    ];
    let files = files.map(|(name, text)| (name, text.replace("duplicates: counted\n", "")));
    Catalog::from_files(files.iter().map(|(name, text)| (*name, text.as_str()))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_before_are_refused_until_they_are_rebuilt() {
    let events = ["2026-02-01T10:05Z", "2026-02-01T10:05Z", "2026-02-01T09:00Z"];
    for mode in ["", ", write_mode: merge", ", write_mode: merge, history: true"] {
        let mut harness = Harness::new(0).await;
        let server = Scripted::start([(PATH, vec![page(&events, None)])]).await;
        let text = pipeline_at(server.base_url(), &reports(mode));
        let now = std::mem::replace(&mut harness.catalog, catalogue_of_before());
        assert_eq!(ctct_pipeline::run(&harness.plan(&text), &harness.context("before")).await.outcome, Outcome::Done);
        harness.catalog = now;

        let asked = server.asked().len();
        let plan = harness.plan(&text);
        let refused = ctct_pipeline::run(&plan, &harness.context("refused")).await;
        assert_eq!((refused.exit_code, server.asked().len()), (2, asked), "{mode}: {refused:#?}");
        let error = report(&refused, "contact_activity_details").error.as_ref().unwrap();
        let command = "`ctct-etl run test.yaml --report contact_activity_details --full-refresh`";
        assert!(error.message.contains("_occurrence") && error.advice.contains(command), "{mode}: {error:#?}");
        let verified = ctct_pipeline::maintain::verify(&plan, &harness.context("verify"), false).await;
        assert_eq!(verified.exit_code, 15, "{mode}: {verified:#?}");

        let everything = plan.clone().with_scope(Scope::Everything).unwrap();
        let rebuilt = ctct_pipeline::run(&everything, &harness.context("rebuilt")).await;
        assert_eq!(rebuilt.outcome, Outcome::Done, "{mode}: {rebuilt:#?}");
        assert_eq!(stored(&harness).len(), 3, "{mode}");
        assert_eq!(ctct_pipeline::run(&plan, &harness.context("next")).await.outcome, Outcome::Done);
        assert_eq!(stored(&harness).len(), 3, "{mode}");
        assert_eq!(
            ctct_pipeline::maintain::verify(&plan, &harness.context("verified"), false).await.exit_code,
            0,
            "{mode}"
        );
    }
}
