//! The program as its users meet it: what it prints where, and how it ends.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Harness, pipeline_at};
use crate::program::{self, Running, Said, run, said};
use crate::tables;
use crate::truth::{Tables, add, comparable};

/// A small pipeline on the embedded API, `p.yaml` in its own folder.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let text = "
version: 1
name: small
source:
  sandbox: {contacts: 30, today: 2026-03-01, requests_per_second: 5000, burst: 5000, daily_requests: 100000}
destination: {url: ./out}
reports:
  - {report: contacts, updated_after: {days_back: 9000}}
  - {report: contact_lists, write_mode: replace}
  - {report: contact_activity_details, contact_id: {from: contacts}}
";
    fs::write(folder.path().join("p.yaml"), text).unwrap();
    folder
}

fn in_folder(arguments: &[&str]) -> Said {
    run(folder().path(), arguments)
}

/// The exit code and what was said.
fn shown(said: &Said) -> String {
    let code = said.code.map_or_else(|| "signal".to_owned(), |code| code.to_string());
    format!("exit code {code}\n--- stdout\n{}\n--- stderr\n{}", said.stdout, said.stderr)
}

/// A snapshot of `text` without what differs from run to run and from host to host.
fn filtered(name: &str, text: &str) {
    insta::with_settings!({filters => vec![
        (r"ctct-etl-under-test", "ctct-etl"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "[run]"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)", "[time]"),
        (r"; waited \d+\.\d s for the rate limit", ""),
        (r"\d+\.\d s\b", "[seconds]"),
        (r"\d+(\.\d)? (kB|MB|B)\b", "[bytes]"),
        (r"http://127.0.0.1:\d+", "http://127.0.0.1:[port]"),
        (r" +│", " │"),
        (r"[─═]{5,}", "────"),
    ], omit_expression => true}, {
        insta::assert_snapshot!(name, text);
    });
}

/// A summary for people, without the folder, and without the widths that follow from the sizes of files.
fn summary(folder: &Path, said: &Said) -> String {
    let words =
        |line: &str| line.split("  ").filter(|word| !word.is_empty()).map(str::trim).collect::<Vec<_>>().join("  ");
    let text = said.stdout.replace(folder.to_str().unwrap(), "[folder]");
    text.lines().map(words).collect::<Vec<_>>().join("\n")
}

#[test]
fn help_shows_every_command_with_examples() {
    for command in [
        "",
        "run",
        "replay",
        "plan",
        "validate",
        "schema",
        "reports",
        "state",
        "state rebuild",
        "verify",
        "compact",
        "schedule",
        "sandbox",
    ] {
        let arguments: Vec<&str> = command.split(' ').filter(|word| !word.is_empty()).chain(["--help"]).collect();
        let said = in_folder(&arguments);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{command}");
        assert!(said.stdout.contains("Examples:"), "{command}");
        filtered(
            &format!("help_{}", if command.is_empty() { "program".to_owned() } else { command.replace(' ', "_") }),
            &said.stdout,
        );
    }
    assert_eq!(in_folder(&["--version"]).stdout, concat!("ctct-etl ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn what_the_command_line_does_not_know_is_refused_with_2() {
    let mut refusals = String::new();
    for arguments in [
        &[][..],
        &["rum"],
        &["run"],
        &["run", "p.yaml", "--ouput", "json"],
        &["run", "p.yaml", "--output", "xml"],
        &["run", "p.yaml", "--quiet", "--verbose"],
        &["run", "p.yaml", "--report", "contact"],
        &["plan", "p.yaml", "--report", "contact"],
        &["run", "missing.yaml"],
        &["run", "p.yaml", "missing.yaml"],
        &["validate", "."],
        &["schema", "--report", "contact"],
        &["schema", "p.yaml", "--report", "segments"],
        &["schema", "--format", "json", "--dialect", "spark"],
        &["state"],
        &["state", "rebuild"],
        &["state", "p.yaml", "--report", "contact"],
        &["verify"],
        &["schema", "p.yaml", "--editor"],
        &["reports", "contact"],
        &["sandbox", "--error-rate", "2"],
        &["sandbox", "--requests-per-second", "0"],
        &["sandbox", "--port", "1", "--address", "127.0.0.1:1"],
    ] {
        let said = in_folder(arguments);
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{arguments:?}: {said:?}");
        refusals += &format!("$ ctct-etl {}\n{}\n", arguments.join(" "), said.stderr);
    }
    filtered("refused", &refusals);
}

#[test]
fn every_mistake_of_every_file_is_shown_with_its_place() {
    let folder = folder();
    let not_yaml = "version: 1\nname: a\nsource: {account: x\nreports: [\n";
    let wrong = "
version: 1
name: wrong
source: {account: acme, access_token: {env: TOKEN}}
destinaton: {url: ./out}
reports:
  - report: contacts
    contact_status: [activ]
    start_date: 2026-01-01
  - report: contact_action_summary
    contact_id: not-an-id
    duration: date_range
    start_date: 2026-02-01
    end_date: 2026-01-01
  - report: contact_lists
    updated_after: 2026-01-01
";
    fs::write(folder.path().join("not-yaml.yaml"), not_yaml).unwrap();
    fs::write(folder.path().join("wrong.yaml"), wrong).unwrap();
    let said = run(folder.path(), &["validate", "not-yaml.yaml", "p.yaml", "wrong.yaml", "missing.yaml"]);
    assert_eq!(said.code, Some(2));
    filtered("validate", &shown(&said));
    for command in [&["plan", "wrong.yaml"][..], &["run", "p.yaml", "wrong.yaml"], &["schema", "wrong.yaml"]] {
        let said = run(folder.path(), command);
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{command:?}");
    }
    assert!(!folder.path().join("out").exists(), "nothing runs before every file is valid");
}

#[test]
fn plan_and_dry_run_say_the_same_and_touch_nothing() {
    let folder = folder();
    let plan = run(folder.path(), &["plan", "p.yaml"]);
    assert_eq!((plan.code, plan.stderr.as_str()), (Some(0), ""));
    filtered("plan", &plan.stdout.replace(folder.path().to_str().unwrap(), "[folder]"));
    let dry = run(folder.path(), &["run", "p.yaml", "--dry-run"]);
    let without_now = |text: &str| text.lines().filter(|line| !line.contains("  now ")).collect::<Vec<_>>().join("\n");
    assert_eq!(without_now(&dry.stdout), without_now(&plan.stdout));
    assert!(!folder.path().join("out").exists());
    let one = run(folder.path(), &["plan", "p.yaml", "--report", "contact_lists"]);
    assert!(one.stdout.contains("GET /contact_lists") && !one.stdout.contains("GET /contacts"), "{}", one.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_sends_nothing() {
    let harness = Harness::new(5).await;
    fs::write(harness.folder().join("p.yaml"), harness.pipeline("  - report: contacts\n")).unwrap();
    for arguments in
        [&["run", "p.yaml", "--dry-run"][..], &["plan", "p.yaml"], &["validate", "p.yaml"], &["schema", "p.yaml"]]
    {
        // Not even the token is needed.
        assert_eq!(run(harness.folder(), arguments).code, Some(0), "{arguments:?}");
    }
    assert_eq!(harness.sandbox.requests().total, 0);
    let said = run(harness.folder(), &["run", "p.yaml"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    filtered("token_missing", &said.stdout);
    let quiet = run(harness.folder(), &["run", "p.yaml", "--quiet"]);
    assert!(quiet.stderr.contains("`TOKEN` is not set") && quiet.stdout.is_empty(), "{quiet:?}");
    assert_eq!(harness.sandbox.requests().total, 0);
}

#[test]
fn reports_and_schemas_come_from_the_catalogue() {
    filtered("reports", &in_folder(&["reports"]).stdout);
    filtered("reports_contact_action_summary", &in_folder(&["reports", "contact_action_summary"]).stdout);
    let text = in_folder(&["schema", "p.yaml"]);
    assert_eq!(text.code, Some(0));
    for table in ["contacts_custom_fields_choice_ids: ", "contact_lists: ", "contact_activity_details: "] {
        assert!(text.stdout.contains(table), "{table}");
    }
    let json = in_folder(&["schema", "p.yaml", "--output", "json"]);
    let tables: Value = serde_json::from_str(&json.stdout).unwrap();
    let names: Vec<&str> = tables.as_array().unwrap().iter().map(|table| table["table"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 11, "{names:?}");
    assert!(json.stdout.lines().count() == 1);
    let editor = in_folder(&["schema", "--editor"]);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/pipeline.schema.json");
    assert_eq!(editor.stdout.trim_end(), fs::read_to_string(kept).unwrap().trim_end());
}

#[test]
fn a_run_tells_people_what_it_wrote_and_what_to_try() {
    let folder = folder();
    let said = run(folder.path(), &["run", "p.yaml"]);
    assert_eq!(said.code, Some(0));
    let mut lines: Vec<&str> = said.stderr.lines().collect();
    // Reports run side by side.
    lines.sort_unstable();
    filtered("run_progress", &lines.join("\n"));
    filtered("run_summary", &summary(folder.path(), &said));
}

#[test]
fn a_run_tells_machines_in_one_line_and_says_nothing_else_there() {
    let folder = folder();
    for rows in [30, 0] {
        let said = run(folder.path(), &["run", "p.yaml", "--output", "json", "--report", "contacts"]);
        assert_eq!((said.code, said.stdout.lines().count()), (Some(0), 1), "{said:?}");
        let summary: Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!((&summary["outcome"], &summary["exit_code"]), (&"done".into(), &0.into()));
        assert_eq!(summary["reports"].as_array().unwrap().len(), 1);
        assert_eq!(summary["reports"][0]["tables"][0]["rows"], rows, "the second run finds nothing new");
    }
    let two = run(folder.path(), &["run", "p.yaml", "p.yaml", "--output", "json", "--report", "contact_lists"]);
    assert_eq!(two.stdout.lines().count(), 2, "one line a pipeline: {}", two.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_in_part_says_what_to_do() {
    use crate::scripted::{Answer, Scripted};
    let server = Scripted::start([
        ("/contacts", vec![Answer::body("<html>")]),
        (
            "/contact_lists",
            vec![Answer::body(r#"{"lists": [{"list_id": "1", "novelty": 1}, {"list_id": "2"}, {"list_id": null}]}"#)],
        ),
    ])
    .await;
    let folder = TempDir::new().unwrap();
    let reports = "  - report: contacts\n  - report: contact_lists\n  - {report: contact_activity_details, contact_id: {from: contacts}}\n";
    let text = pipeline_at(server.base_url(), reports) + "retry: {attempts: 1}\n";
    fs::write(folder.path().join("p.yaml"), text).unwrap();
    let run = |arguments: &[&str]| said(program::command(folder.path(), arguments).env("TOKEN", "t"));
    let plain = run(&["run", "p.yaml"]);
    assert_eq!(plain.code, Some(14));
    filtered("failed_in_part", &summary(folder.path(), &plain).replace("scripted-2", "scripted-1"));
    assert!(plain.stderr.contains("contacts page 1 (GET /v3/contacts)"), "{}", plain.stderr);

    let quiet = run(&["run", "p.yaml", "--quiet"]);
    assert_eq!((quiet.code, quiet.stdout.as_str()), (Some(14), ""));
    assert!(quiet.stderr.starts_with("error: contacts page 1") && quiet.stderr.contains("help: "), "{}", quiet.stderr);
}

#[test]
fn quiet_says_nothing_and_still_does_its_work() {
    let folder = folder();
    let said = run(folder.path(), &["run", "p.yaml", "--quiet"]);
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(0), "", ""));
    assert_eq!(tables::rows(&folder.path().join("out/contacts")).len(), 30);
    let said = run(folder.path(), &["run", "p.yaml", "--quiet", "--output", "json"]);
    assert_eq!((said.stdout.lines().count(), said.stderr.as_str()), (1, ""), "what was asked for is not noise");
}

#[test]
fn json_logs_are_json_line_by_line() {
    for more in [&[][..], &["-v"], &["-vv"], &["--quiet"]] {
        let said = in_folder(&[&["run", "p.yaml", "--log-format", "json"], more].concat());
        assert_eq!(said.code, Some(0));
        for line in said.stderr.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
        }
        assert_eq!(said.stderr.is_empty(), more == ["--quiet"]);
    }
}

#[test]
fn nothing_is_coloured_where_there_is_no_terminal() {
    let folder = folder();
    for arguments in [&["run", "p.yaml", "-v"][..], &["validate", "missing.yaml"], &["reports"], &["--help"], &["rum"]]
    {
        for no_color in [false, true] {
            let mut command = program::command(folder.path(), arguments);
            if no_color {
                command.env("NO_COLOR", "1");
            }
            let said = said(&mut command);
            assert!(!said.stdout.contains('\u{1b}') && !said.stderr.contains('\u{1b}'), "{said:?}");
        }
    }
}

#[test]
fn a_reader_who_goes_away_is_no_error() {
    let folder = folder();
    for arguments in
        [&["run", "p.yaml"][..], &["run", "p.yaml", "--output", "json"], &["schema", "--editor"], &["reports"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let said = said(program::command(folder.path(), arguments).stdout(Stdio::from(writer)));
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(!said.stderr.contains("panick"), "{}", said.stderr);
    }
    // The same on the other side: nobody listens to the progress.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let said = said(program::command(folder.path(), &["run", "p.yaml", "-vv"]).stderr(Stdio::from(writer)));
    assert_eq!(said.code, Some(0), "{said:?}");
}

/// A pipeline that takes long enough to be stopped: a page of contacts takes its latency, an id its share of the pace.
fn slow(sandbox: &str, pace: &str, reports: &str) -> String {
    let pace = if pace.is_empty() { String::new() } else { format!("  requests_per_second: {pace}\n") };
    format!(
        "version: 1\nname: slow\nsource:\n  sandbox: {sandbox}\n{pace}destination: {{url: ./out}}\nreports:\n{reports}"
    )
}

fn stopped(folder: &Path, said: &Said) -> Value {
    assert_eq!(said.code, Some(12), "{said:?}");
    let staged = folder.join("out/_ctct");
    assert!(!find(&staged, "staging"), "staged files are left");
    let summary: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&summary["stopped"], &summary["exit_code"]), (&true.into(), &12.into()), "{summary}");
    summary
}

fn find(folder: &Path, name: &str) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.map(|entry| entry.unwrap().path()).any(|path| path.ends_with(name) || (path.is_dir() && find(&path, name)))
}

#[test]
fn a_run_that_is_terminated_in_a_list_commits_nothing_of_it_and_the_next_run_is_fine() {
    let folder = TempDir::new().unwrap();
    let reports = "  - {report: contacts, write_mode: replace}\n  - {report: contact_activity_details, contact_id: {from: contacts}}\n";
    let sandbox = "{contacts: 1001, latency_ms: 300, requests_per_second: 5000, burst: 5000, daily_requests: 100000}";
    fs::write(folder.path().join("p.yaml"), slow(sandbox, "", reports)).unwrap();
    let mut running =
        Running::start(&mut program::command(folder.path(), &["run", "p.yaml", "p.yaml", "--output", "json"]));
    running.wait_for("contacts: reading");
    running.terminate();
    let said = running.end();
    let summary = stopped(folder.path(), &said);
    assert!(said.stderr.contains("Stopping after the current request"), "{}", said.stderr);
    assert!(summary["reports"].as_array().unwrap().iter().all(|report| report["commit"].is_null()), "{summary}");
    assert!(!folder.path().join("out/contacts").exists());

    let reports = "  - {report: contacts, write_mode: replace}\n";
    fs::write(folder.path().join("p.yaml"), slow(&sandbox.replace("300", "0"), "", reports)).unwrap();
    assert_eq!(run(folder.path(), &["run", "p.yaml"]).code, Some(0));
    assert_eq!(tables::rows(&folder.path().join("out/contacts")).len(), 1001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_terminated_between_ids_keeps_those_that_are_whole() {
    let harness = Harness::new(300).await;
    let reports = "  - report: contacts\n  - {report: contact_activity_details, contact_id: {from: contacts}}\n";
    let text = harness.pipeline(reports).replace("requests_per_second: 100000", "requests_per_second: 100");
    fs::write(harness.folder().join("p.yaml"), text.replace("url: .", "url: ./out")).unwrap();
    let mut command = program::command(harness.folder(), &["run", "p.yaml", "--output", "json", "-vv"]);
    let mut running = Running::start(command.env("TOKEN", harness.sandbox.access_token()));
    running.wait_for("contact_activity_details: reading 300 ids");
    // Some ids are answered before it is told to stop.
    for _ in 0..20 {
        running.wait_for("answered");
    }
    running.terminate();
    let summary = stopped(harness.folder(), &running.end());
    let ids = &summary["reports"][1];
    assert_eq!((&ids["outcome"], &ids["commit"]), (&"stopped".into(), &1.into()), "{summary}");
    let rows = tables::rows(&harness.folder().join("out/contact_activity_details"));
    let account = harness.sandbox.account();
    let mut whole = Tables::new();
    for index in 0..300 {
        let id = Value::from(account.contact_id(index));
        for activity in account.activities(index).iter().filter(|_| rows.iter().any(|row| row["contact_id"] == id)) {
            add(&mut whole, "events", activity, &["contact_id"]);
        }
    }
    assert!(!rows.is_empty() && whole["events"].len() < 3_000, "{} rows", rows.len());
    assert_eq!(comparable(&rows), comparable(&whole["events"]));
}

#[test]
fn a_second_signal_ends_the_run_at_once() {
    let folder = TempDir::new().unwrap();
    let sandbox = "{contacts: 10, latency_ms: 600000}";
    fs::write(folder.path().join("p.yaml"), slow(sandbox, "", "  - report: contact_lists\n")).unwrap();
    let mut running = Running::start(&mut program::command(folder.path(), &["run", "p.yaml"]));
    running.wait_for("slow: run");
    running.terminate();
    running.wait_for("Press Ctrl-C again");
    running.terminate();
    assert_eq!(running.end().code, Some(12));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_prints_an_address_that_answers_and_ends_when_told() {
    let folder = TempDir::new().unwrap();
    let mut command = program::command(
        folder.path(),
        &["sandbox", "--port", "0", "--contacts", "25", "--requests-per-second", "1000"],
    );
    let mut sandbox = Running::start(&mut command);
    let line = sandbox.line_with("The sandbox serves http://127.0.0.1:");
    let base_url = line.trim().rsplit(' ').next().unwrap().to_owned();
    let curl = sandbox.line_with("Authorization: Bearer ");
    let bearer = curl.split("Bearer ").nth(1).unwrap().split('\'').next().unwrap().to_owned();

    fs::write(folder.path().join("p.yaml"), pipeline_at(&base_url, "  - report: contacts\n")).unwrap();
    let ran = said(program::command(folder.path(), &["run", "p.yaml"]).env("TOKEN", &bearer));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(tables::rows(&folder.path().join("contacts")).len(), 25);

    let port = base_url.rsplit(':').next().unwrap().trim_end_matches("/v3");
    let taken = run(folder.path(), &["sandbox", "--port", port]);
    assert_eq!((taken.code, taken.stdout.as_str()), (Some(2), ""));
    assert!(taken.stderr.contains("--port"), "{}", taken.stderr);
    sandbox.terminate();
    assert_eq!(sandbox.end().code, Some(0));
}
