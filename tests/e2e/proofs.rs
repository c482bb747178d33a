//! What a read must prove before it counts: that enough of it can be used, that all came that the API counts, and that not
//! too many rows would go.

use std::collections::BTreeSet;
use std::fs;

use chrono::{DateTime, TimeDelta, Utc};
use ctct_extract::Clock;
use ctct_pipeline::{Context, IncompleteSummary, Outcome, ReportSummary, RunSummary};
use serde_json::{Value, json};

use crate::harness::{Harness, message, now, pipeline_at, report};
use crate::scripted::{Answer, Scripted};

const CONTACTS: &str = "  - {report: contacts, write_mode: merge, include_subresources: none}\n";
const LETTERS: &str = "_ctct/acme/contacts/dead_letters";

/// When contacts of these tests changed.
const CHANGED: &str = "2026-01-15T00:00:00Z";

fn contact(number: usize) -> Value {
    json!({"contact_id": format!("c{number:04}"), "updated_at": CHANGED})
}

/// A record without the key: nothing can be made of it.
fn unusable(number: usize) -> Value {
    json!({"contact_id": null, "first_name": format!("n{number}"), "updated_at": CHANGED})
}

fn page(contacts: Vec<Value>, counted: Option<usize>, next: bool) -> Answer {
    let mut page = json!({});
    page["contacts"] = Value::Array(contacts);
    if let Some(counted) = counted {
        page["contacts_count"] = json!(counted);
    }
    if next {
        page["_links"] = json!({"next": {"href": "/v3/contacts?cursor=second"}});
    }
    Answer::json(&page)
}

fn contacts(numbers: impl IntoIterator<Item = usize>) -> Vec<Value> {
    numbers.into_iter().map(contact).collect()
}

/// Runs against a server, so long after the day of the tests.
async fn run_later(harness: &Harness, server: &Scripted, reports: &str, days: i64) -> RunSummary {
    let plan = harness.plan(&pipeline_at(server.base_url(), reports));
    let clock = Clock::fixed(now() + TimeDelta::days(days));
    ctct_pipeline::run(&plan, &Context { clock, ..harness.context(&format!("run-{days}-{}", server.asked().len())) })
        .await
}

/// The lower end of the window of the last first page that was asked for.
fn asked_after(server: &Scripted) -> Option<DateTime<Utc>> {
    let asked = server.asked();
    let first = asked.iter().rev().find(|uri| uri.contains("updated_after") || uri.contains("include_count"))?;
    let value = first.split(['?', '&']).find_map(|pair| pair.strip_prefix("updated_after="))?;
    Some(value.replace("%3A", ":").parse().unwrap())
}

fn stored(harness: &Harness, table: &str, key: &str) -> BTreeSet<String> {
    harness.rows(table).iter().map(|row| row[key].as_str().unwrap().to_owned()).collect()
}

fn of_contacts(summary: &RunSummary) -> &ReportSummary {
    report(summary, "contacts")
}

#[tokio::test]
async fn too_many_unusable_records_publish_nothing_and_are_kept_to_look_at() {
    for (mode, limit, usable, bad, published) in [
        ("merge", "", 70, 30, false),
        ("append", "", 70, 30, false),
        ("replace", "", 70, 30, false),
        ("merge", "", 97, 3, true),
        ("merge", "", 3, 3, false),
        ("merge", ", max_rejected: 2%", 97, 3, false),
        ("replace", ", max_rejected: 40%", 70, 30, true),
    ] {
        let harness = Harness::new(1).await;
        let records = contacts(0..usable).into_iter().chain((0..bad).map(unusable)).collect();
        let server = Scripted::start([("/contacts", vec![page(records, Some(usable + bad), false)])]).await;
        let reports = format!("  - {{report: contacts, write_mode: {mode}, include_subresources: none{limit}}}\n");
        let summary = run_later(&harness, &server, &reports, 0).await;
        let contacts = of_contacts(&summary);
        let told = format!("{mode}, {usable} and {bad}{limit}: {summary:#?}");
        if published {
            assert_eq!((summary.exit_code, contacts.dead_letters), (0, bad as u64), "{told}");
            assert_eq!(stored(&harness, "contacts", "contact_id").len(), usable, "{told}");
            continue;
        }
        assert_eq!((summary.exit_code, contacts.commit, contacts.watermark_after), (14, None, None), "{told}");
        let all = usable + bad;
        assert!(message(contacts).contains(&format!("{bad} of {all} records")), "{told}");
        assert!(!harness.folder().join("contacts").exists(), "{told}");
        let kept: Vec<_> = fs::read_dir(harness.folder().join("_ctct/acme/contacts/rejected")).unwrap().collect();
        assert_eq!(kept.len(), 1, "{told}");
        let kept = kept.into_iter().next().unwrap().unwrap().file_name();
        assert!(message(contacts).contains(kept.to_str().unwrap()), "{told}");
        // The same answers would lead there again: the next run asks.
        let (before, again) = (server.asked().len(), run_later(&harness, &server, &reports, 1).await);
        assert_eq!((again.exit_code, server.asked().len()), (14, before + 1), "{told}");
    }
}

#[tokio::test]
async fn a_few_unusable_records_are_asked_for_again_for_a_week() {
    for mode in ["merge", "append"] {
        let harness = Harness::new(1).await;
        let reports = format!("  - {{report: contacts, write_mode: {mode}, include_subresources: none}}\n");
        let first = contacts(0..50).into_iter().chain([unusable(50)]).collect();
        let bad = || page(vec![contact(3), unusable(50)], None, false);
        let none = || page(Vec::new(), None, false);
        // Each later run asks twice: for what changed, and for who opted out.
        let answers = vec![page(first, Some(51), false), bad(), none(), bad(), none(), none()];
        let server = Scripted::start([("/contacts", answers)]).await;
        let changed: DateTime<Utc> = CHANGED.parse().unwrap();
        for (days, asks_again) in [(0, None), (3, Some(true)), (6, Some(true)), (8, Some(false))] {
            let summary = run_later(&harness, &server, &reports, days).await;
            assert_eq!(summary.exit_code, 0, "{mode}, day {days}: {summary:#?}");
            let told = of_contacts(&summary).warnings.iter().filter(|warning| warning.starts_with("unusable records"));
            assert_eq!(told.count(), usize::from(days < 7), "{mode}, day {days}: {summary:#?}");
            if let Some(asks_again) = asks_again {
                assert_eq!(asked_after(&server).unwrap() < changed, asks_again, "{mode}, day {days}");
            }
            assert_eq!(harness.rows("contacts").len(), 50, "{mode}, day {days}: nothing twice");
            let files = fs::read_dir(harness.folder().join(LETTERS)).unwrap().count();
            assert_eq!(files, 1, "{mode}, day {days}: and no letter either");
        }
    }
}

#[tokio::test]
async fn a_record_that_can_be_used_when_it_is_read_again_lands() {
    let harness = Harness::new(1).await;
    let first = contacts(0..50).into_iter().chain([unusable(50)]).collect();
    let none = || page(Vec::new(), None, false);
    let answers = vec![page(first, Some(51), false), page(vec![contact(50)], None, false), none()];
    let server = Scripted::start([("/contacts", answers)]).await;
    let changed: DateTime<Utc> = CHANGED.parse().unwrap();
    for (days, rows) in [(0, 50), (1, 51), (2, 51)] {
        let summary = run_later(&harness, &server, CONTACTS, days).await;
        assert_eq!(summary.exit_code, 0, "day {days}: {summary:#?}");
        assert_eq!(stored(&harness, "contacts", "contact_id").len(), rows, "day {days}");
    }
    assert!(asked_after(&server).unwrap() > changed, "nothing is left to ask again for");
}

#[tokio::test]
async fn dead_letters_that_fit_now_are_read_in_and_the_others_stay() {
    for mode in ["merge", "append"] {
        let harness = Harness::new(1).await;
        let reports = format!("  - {{report: contacts, write_mode: {mode}, include_subresources: none}}\n");
        let records = contacts(0..50).into_iter().chain([unusable(50), unusable(51)]).collect();
        let server = Scripted::start([("/contacts", vec![page(records, Some(52), false)])]).await;
        run_later(&harness, &server, &reports, 0).await;
        // As a later version would read one of them.
        let file = fs::read_dir(harness.folder().join(LETTERS)).unwrap().next().unwrap().unwrap().path();
        let text = zstd::decode_all(fs::File::open(&file).unwrap()).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        let fits = text.replacen(r#""contact_id":null"#, r#""contact_id":"c0050""#, 1);
        // A line of an earlier version has no parameters and no time.
        let keys = [r#""bound""#, r#""extracted_at""#];
        let older = fits.lines().map(|line| {
            let mut line: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
            line.retain(|key, _| !keys.contains(&format!("\"{key}\"").as_str()));
            serde_json::to_string(&line).unwrap() + "\n"
        });
        let lines: String = if mode == "merge" { fits.clone() } else { older.collect() };
        fs::write(&file, zstd::encode_all(lines.as_bytes(), 1).unwrap()).unwrap();

        let asked = server.asked().len();
        let plan = harness.plan(&pipeline_at(server.base_url(), &reports));
        let replayed = |run: &'static str| {
            let (plan, context) = (plan.clone(), harness.context(run));
            async move { ctct_pipeline::run::replay_dead_letters(&plan, &context).await }
        };
        let summary = replayed("letters").await;
        let told = format!("{mode}: {summary:#?}");
        let contacts = of_contacts(&summary);
        assert_eq!((summary.exit_code, contacts.replayed, contacts.dead_letters), (0, Some(1), 1), "{told}");
        assert_eq!(stored(&harness, "contacts", "contact_id").len(), 51, "{told}");
        let files: Vec<_> =
            fs::read_dir(harness.folder().join(LETTERS)).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!((files.len(), files.contains(&file)), (1, false), "{told}");
        let left = zstd::decode_all(fs::File::open(&files[0]).unwrap()).unwrap();
        assert_eq!(String::from_utf8(left).unwrap().lines().count(), 1, "{told}");
        // Nothing fits, nothing changes.
        let again = replayed("again").await;
        assert_eq!((again.exit_code, of_contacts(&again).replayed, of_contacts(&again).commit), (0, Some(0), None));
        assert_eq!(server.asked().len(), asked, "nothing is asked");
        let replace = reports.replace(mode, "replace");
        let plan = harness.plan(&pipeline_at(server.base_url(), &replace));
        let refused = ctct_pipeline::run::replay_dead_letters(&plan, &harness.context("replace")).await;
        assert_eq!(refused.exit_code, 2, "{refused:#?}");
    }
}

/// 200 contacts by a cursor that is a position: when one of the first page is deleted meanwhile, one of the second is passed
/// over.
fn one_is_passed_over() -> Vec<Answer> {
    vec![page(contacts(0..100), Some(200), true), page(contacts(101..200), Some(199), false)]
}

#[tokio::test]
async fn a_read_of_everything_that_is_short_of_the_count_is_read_again() {
    for (mode, scope) in [("merge", ""), ("append", ""), ("replace", ""), ("merge", "full"), ("merge", "sweep")] {
        let harness = Harness::new(1).await;
        let reconcile = if scope == "sweep" { ", reconcile: {every: 1d}" } else { "" };
        let reports = format!("  - {{report: contacts, write_mode: {mode}, include_subresources: none{reconcile}}}\n");
        let now_whole = || page(contacts((0..50).chain(51..200)), Some(199), false);
        let before = if scope.is_empty() { Vec::new() } else { vec![page(contacts(0..200), Some(200), false)] };
        let answers = before.into_iter().chain(one_is_passed_over()).chain([now_whole()]).collect();
        let server = Scripted::start([("/contacts", answers)]).await;
        if !scope.is_empty() {
            run_later(&harness, &server, &reports, 0).await;
        }
        let plan = harness.plan(&pipeline_at(server.base_url(), &reports));
        let plan = if scope == "full" { full_refresh(plan) } else { plan };
        let context = Context { clock: Clock::fixed(now() + TimeDelta::days(2)), ..harness.context("short") };
        let short = ctct_pipeline::run(&plan, &context).await;
        let told = format!("{mode} {scope}: {short:#?}");
        let incomplete = Some(IncompleteSummary { read: 199, counted: 200 });
        assert_eq!((short.exit_code, of_contacts(&short).incomplete), (0, incomplete), "{told}");
        // Of what was stored before nothing is taken away by such a read.
        let rows = if scope.is_empty() { 199 } else { 200 };
        assert_eq!(stored(&harness, "contacts", "contact_id").len(), rows, "{told}");

        let whole = run_later(&harness, &server, &reports, 3).await;
        assert_eq!((whole.exit_code, of_contacts(&whole).incomplete), (0, None), "{mode} {scope}: {whole:#?}");
        assert!(stored(&harness, "contacts", "contact_id").contains("c0100"), "{mode} {scope}");
        assert_eq!(asked_after(&server), None, "{mode} {scope}: everything is asked for again");
        if matches!(mode, "merge" | "append") {
            run_later(&harness, &server, &reports, 3).await;
            assert!(asked_after(&server).is_some(), "{mode} {scope}: and then what changed");
        }
    }
}

fn full_refresh(mut plan: ctct_pipeline::Plan) -> ctct_pipeline::Plan {
    for report in &mut plan.reports {
        report.scope = ctct_pipeline::plan::Scope::Everything;
    }
    plan
}

#[tokio::test]
async fn a_read_that_is_short_twice_running_fails_and_what_came_is_there() {
    let harness = Harness::new(1).await;
    let answers = [one_is_passed_over(), one_is_passed_over(), vec![page(contacts(0..199), Some(199), false)]].concat();
    let server = Scripted::start([("/contacts", answers)]).await;
    assert_eq!(run_later(&harness, &server, CONTACTS, 0).await.exit_code, 0);
    let twice = run_later(&harness, &server, CONTACTS, 1).await;
    let contacts = of_contacts(&twice);
    assert_eq!((twice.exit_code, contacts.outcome), (14, Outcome::Partial), "{twice:#?}");
    assert!(contacts.commit.is_some() && message(contacts).contains("200") && message(contacts).contains("199"));
    let healed = run_later(&harness, &server, CONTACTS, 2).await;
    assert_eq!((healed.exit_code, of_contacts(&healed).incomplete), (0, None), "{healed:#?}");
}

#[tokio::test]
async fn a_full_page_without_a_next_link_is_not_the_end_where_more_are_counted() {
    let harness = Harness::new(1).await;
    let server = Scripted::start([("/contacts", vec![page(contacts(0..500), Some(700), false)])]).await;
    let summary = run_later(&harness, &server, CONTACTS, 0).await;
    let incomplete = Some(IncompleteSummary { read: 500, counted: 700 });
    assert_eq!((summary.exit_code, of_contacts(&summary).incomplete), (0, incomplete), "{summary:#?}");
}

#[tokio::test]
async fn with_a_filter_the_count_weighs_only_behind_a_full_page() {
    let list = "list_ids: [00000000-0000-4000-8000-000000000001]";
    let filtered = format!("  - {{report: contacts, write_mode: replace, include_subresources: none, {list}}}\n");
    for (pages, incomplete) in [
        // A page of less than 500, the last one: the count may be of all contacts.
        (vec![page(contacts(0..499), Some(700), false)], None),
        (vec![page(contacts(0..500), Some(700), false)], Some((500, 700))),
        (vec![page(contacts(0..500), Some(500), false)], None),
        // The server has smaller pages than it was asked for.
        (vec![page(contacts(0..100), Some(300), true), page(contacts(100..200), None, false)], Some((200, 300))),
        (vec![page(contacts(0..100), Some(300), true), page(contacts(100..199), None, false)], None),
        (vec![page(contacts(0..100), Some(300), true), page(contacts(0..0), None, false)], None),
    ] {
        let harness = Harness::new(1).await;
        let server = Scripted::start([("/contacts", pages)]).await;
        let summary = run_later(&harness, &server, &filtered, 0).await;
        let found = of_contacts(&summary).incomplete.map(|found| (found.read, found.counted));
        assert_eq!((summary.exit_code, found), (0, incomplete), "{summary:#?}");
    }
}

#[tokio::test]
async fn a_count_that_is_not_to_be_checked_is_not_asked_for() {
    let harness = Harness::new(1).await;
    let unchecked = CONTACTS.replace("report: contacts", "report: contacts, check_count: false");
    assert_ne!(unchecked, CONTACTS);
    let server = Scripted::start([("/contacts", vec![page(contacts(0..500), Some(700), false)])]).await;
    for _ in 0..2 {
        let summary = run_later(&harness, &server, &unchecked, 0).await;
        assert_eq!((summary.exit_code, of_contacts(&summary).incomplete), (0, None), "{summary:#?}");
    }
    assert!(server.asked().iter().all(|uri| !uri.contains("include_count")), "{:?}", server.asked());
}

#[tokio::test]
async fn a_server_that_counts_nothing_or_oddly_proves_nothing() {
    for counted in [Value::Null, json!(-1), json!("9"), json!(1.5), json!(3), json!(0)] {
        let harness = Harness::new(1).await;
        let answer = Answer::json(&json!({"contacts": contacts(0..4), "contacts_count": counted}));
        let server = Scripted::start([("/contacts", vec![answer])]).await;
        let summary = run_later(&harness, &server, CONTACTS, 0).await;
        assert_eq!((summary.exit_code, of_contacts(&summary).incomplete), (0, None), "{counted}: {summary:#?}");
    }
}

#[tokio::test]
async fn the_count_of_the_first_page_holds_after_a_resume_too() {
    let harness = Harness::new(1).await;
    let [first, second] = <[Answer; 2]>::try_from(one_is_passed_over()).ok().unwrap();
    let answers = vec![first, Answer::refusal(429, "quota_exceeded"), second];
    let server = Scripted::start([("/contacts", answers)]).await;
    let stopped = run_later(&harness, &server, CONTACTS, 0).await;
    assert_eq!(stopped.exit_code, 11, "{stopped:#?}");
    let resumed = run_later(&harness, &server, CONTACTS, 0).await;
    let contacts = of_contacts(&resumed);
    let incomplete = Some(IncompleteSummary { read: 199, counted: 200 });
    assert_eq!((resumed.exit_code, contacts.resumed_pages, contacts.incomplete), (0, 1, incomplete), "{resumed:#?}");
}

#[tokio::test]
async fn a_window_is_not_counted() {
    let harness = Harness::new(1).await;
    let answers = vec![page(contacts(0..10), Some(10), false), page(contacts(0..1), Some(10), false)];
    let server = Scripted::start([("/contacts", answers)]).await;
    for days in 0..2 {
        let summary = run_later(&harness, &server, CONTACTS, days).await;
        assert_eq!((summary.exit_code, of_contacts(&summary).incomplete), (0, None), "{summary:#?}");
    }
    let counted: Vec<bool> = server.asked().iter().map(|uri| uri.contains("include_count")).collect();
    assert_eq!(counted, [true, false, false]);
}
